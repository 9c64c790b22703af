-- Counts come from the daily metric, which test failed from the rows of flags, and gaps from the values.
-- Full joins where left joins would do: they are always hashed or merged, however few rows the planner expects of a window.
with tick as materialized (
    {{ last_tick() }}
)

select
    s.series_id,
    (d.start_at at time zone 'UTC')::date as day,
    d.expected,
    d.received,
    round(d.good_share * d.received)::integer as good,
    round(d.suspect_share * d.received)::integer as suspect,
    round(d.bad_share * d.received)::integer as bad,
    round(d.missing_share * d.received)::integer as missing,
    round(d.not_evaluated_share * d.received)::integer as not_evaluated,
    d.completeness,
    {%- for test in quality_tests() %}
    coalesce(d.{{ test }}_failed, 0)::integer as {{ test }}_failed,
    {%- endfor %}
    date_part(
        'epoch', greatest(d.longest_gap, least(d.start_at + interval '1 day', tick.at) - coalesce(d.last_at, d.start_at), interval '0')
    ) as longest_gap_s,
    d.rule_set_id
from {{ source('core', 'settle_window') }} as w
cross join {{ source('core', 'series') }} as s
cross join tick
cross join lateral (
    select
        m.*,
        {%- for test in quality_tests() %}
        f.{{ test }}_failed,
        {%- endfor %}
        v.longest_gap,
        v.last_at,
        e.rule_set_id
    from (
        select m.*
        from {{ ref('metric_daily') }} as m
        where m.series_id = s.series_id and m.start_at >= w.start_at and m.start_at < w.end_at
        offset 0
    ) as m
    full join (
        select
            {{ day_of('f.time') }} as start_at,
            {%- for test, bit in quality_tests().items() %}
            count(*) filter (where f.failed & {{ bit }} != 0) as {{ test }}_failed{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ source('core', 'observation_flag') }} as f
        where f.series_id = s.series_id and f.time >= w.start_at and f.time < w.end_at
        group by 1
        offset 0
    ) as f on f.start_at = m.start_at
    full join (
        select
            g.start_at,
            max(g.gap) as longest_gap,
            max(g.time) as last_at
        from (
            select
                o.time,
                {{ day_of('o.time') }} as start_at,
                o.time - greatest(lag(o.time) over (order by o.time), {{ day_of('o.time') }}) as gap
            from {{ source('core', 'observation') }} as o
            where o.series_id = s.series_id and o.time >= w.start_at and o.time < w.end_at and o.value != 'NaN'
        ) as g
        group by 1
        offset 0
    ) as v on v.start_at = m.start_at
    full join ({{ evaluations_in_window() }}) as e on e.start_at = m.start_at
    where coalesce(m.received, 0) > 0
    offset 0
) as d
