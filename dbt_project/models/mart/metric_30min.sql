-- A series' values are read once, along its key, and each bucket is first computed as if its day were judged completely: a value without
-- a row of flags is good. That nearly always holds, and is decided a day at a time; the buckets of other days are computed again, value
-- by value. Full joins stand where left joins would do, because they are always hashed or merged, however few rows the planner expects.
with tick as materialized (
    {{ last_tick() }}
),

series as materialized (
    select
        series_id,
        case when interval_s > 0 then interval_s end as interval_s,
        {{ cubic_metres_per_second('unit') }} as cubic_metres_per_second,
        {{ is_additive('property', 'unit') }} as is_additive
    from {{ source('core', 'series') }}
)

select
    s.series_id,
    b.start_at,
    coalesce(b.good, 0)::integer as count,
    b.total / b.good as mean,
    b.minimum,
    b.maximum,
    case when s.is_additive and b.good > 0 then b.total end as sum,
    sqrt(b.squared_deviations / b.good) as standard_deviation,
    case when b.good > 0 then b.squared_deviations end as squared_deviations,
    -- each value stands for its series' interval, all together for no more than the bucket
    s.cubic_metres_per_second * b.total / b.good
    * case when s.interval_s is null then 1800 else least(b.good * s.interval_s, greatest(1800, s.interval_s)) end as volume,
    b.expected::integer as expected,
    case when b.expected > 0 then least(1, b.received / b.expected) end as completeness,
    b.received::integer as received,
    (b.received - b.suspect - b.bad - b.missing - b.not_evaluated) / nullif(b.received, 0) as good_share,
    b.suspect / nullif(b.received, 0) as suspect_share,
    b.bad / nullif(b.received, 0) as bad_share,
    b.missing / nullif(b.received, 0) as missing_share,
    b.not_evaluated / nullif(b.received, 0) as not_evaluated_share,
    b.start_at + interval '30 minutes' <= tick.at as is_closed
from {{ source('core', 'settle_window') }} as w
cross join series as s
cross join tick
cross join lateral (
    with buckets as materialized (
        select
            date_bin('30 minutes', v.time, '2000-01-01 00:00+00') as start_at,
            min(v.time) as first_at,
            min(v.load_id) as least_load,
            max(v.load_id) as greatest_load,
            {{ statistics() }}
        from (
            select
                o.time,
                o.load_id,
                coalesce(f.flag, case when o.value = 'NaN' then 9 else 1 end) as flag,
                case when coalesce(f.flag, case when o.value = 'NaN' then 9 else 1 end) = 1 then o.value end as good
            from (
                select
                    o.time,
                    o.value,
                    o.load_id
                from {{ source('core', 'observation') }} as o
                where o.series_id = s.series_id and o.time >= w.start_at and o.time < w.end_at
                offset 0
            ) as o
            full join (
                select
                    f.time,
                    f.flag
                from {{ source('core', 'observation_flag') }} as f
                where f.series_id = s.series_id and f.time >= w.start_at and f.time < w.end_at
                offset 0
            ) as f on f.time = o.time
            where coalesce(o.load_id, -1) >= 0
            offset 0
        ) as v
        group by 1
    ),

    days as materialized (
        select
            d.*,
            coalesce(d.latest <= d.read, false) as is_judged
        from (
            select
                d.*,
                (
                    select e.read
                    from {{ source('core', 'evaluation') }} as e
                    where e.series_id = s.series_id and e.day = (d.start_at at time zone 'UTC')::date
                ) as read,
                case
                    when d.least_load = d.greatest_load then (select l.change from {{ source('raw', 'load') }} as l where l.load_id = d.least_load)
                    else (
                        select max(l.change)
                        from (
                            select distinct o.load_id
                            from {{ source('core', 'observation') }} as o
                            where o.series_id = s.series_id and o.time >= d.start_at and o.time < d.start_at + interval '1 day'
                            offset 0
                        ) as o
                        inner join {{ source('raw', 'load') }} as l on l.load_id = o.load_id
                    )
                end as latest
            from (
                select
                    {{ day_of('b.start_at') }} as start_at,
                    min(b.first_at) as first_at,
                    min(b.least_load) as least_load,
                    max(b.greatest_load) as greatest_load,
                    count(*) as buckets
                from buckets as b
                group by 1
                offset 0
            ) as d
            offset 0
        ) as d
    )

    select
        b.start_at,
        {%- for column in statistics_columns() %}
        b.{{ column }},
        {%- endfor %}
        {{ values_expected('b.start_at', "b.start_at + interval '30 minutes'", 'd.first_at') }} as expected
    from buckets as b
    full join days as d on d.start_at = {{ day_of('b.start_at') }}
    where coalesce(d.is_judged, false)
    union all
    select
        b.start_at,
        {%- for column in statistics_columns() %}
        b.{{ column }},
        {%- endfor %}
        {{ values_expected('b.start_at', "b.start_at + interval '30 minutes'", 'd.first_at') }}
    from days as d
    cross join lateral (
        select
            date_bin('30 minutes', v.time, '2000-01-01 00:00+00') as start_at,
            {{ statistics() }}
        from (
            select
                v.time,
                v.flag,
                case when v.flag = 1 then v.value end as good
            from (
                select
                    o.time,
                    o.value,
                    {{ served_flag() }} as flag
                from {{ source('core', 'observation') }} as o
                left join lateral (
                    select f.flag
                    from {{ source('core', 'observation_flag') }} as f
                    where f.series_id = o.series_id and f.time = o.time
                    offset 0
                ) as f on true
                cross join (select d.read) as e
                where o.series_id = s.series_id and o.time >= d.start_at and o.time < d.start_at + interval '1 day'
                offset 0
            ) as v
        ) as v
        group by 1
        offset 0
    ) as b
    where not d.is_judged
    union all
    -- values are expected at the day's first and every interval before and after it
    select
        m.start_at,
        {%- for column in statistics_columns() %}
        {{ 'null' if column in ['good', 'total', 'squared_deviations', 'minimum', 'maximum'] else '0' }},
        {%- endfor %}
        m.expected
    from (
        select
            g.start_at,
            {{ values_expected('g.start_at', "g.start_at + interval '30 minutes'", 'g.first_at') }} as expected
        from (
            select
                d.start_at + n * interval '30 minutes' as start_at,
                d.first_at
            from days as d
            cross join generate_series(0, 47) as n
            where d.buckets < 48
            offset 0
        ) as g
        full join (
            select
                b.start_at,
                true as is_there
            from buckets as b
            offset 0
        ) as b on b.start_at = g.start_at
        where b.is_there is null
        offset 0
    ) as m
    where m.expected > 0
) as b
