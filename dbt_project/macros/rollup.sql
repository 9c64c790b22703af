{#-
    A metric of longer buckets from one of shorter buckets, exactly: counts and sums add up, means are weighted by their counts, and
    squared deviations are pooled. They are added up in the order of time: in another order a sum would end in another last bit.
-#}
{% macro rollup(finer, bucket) -%}
with tick as materialized (
    {{ last_tick() }}
)

select
    s.series_id,
    b.start_at,
    b.count::integer as count,
    b.moments[2] / nullif(b.moments[1], 0) as mean,
    b.minimum,
    b.maximum,
    b.sum,
    sqrt(b.moments[3] / nullif(b.moments[1], 0)) as standard_deviation,
    case when b.count > 0 then b.moments[3] end as squared_deviations,
    b.volume,
    b.expected::integer as expected,
    case when b.expected > 0 then least(1, b.received::double precision / b.expected) end as completeness,
    b.received::integer as received,
    b.good / nullif(b.received, 0) as good_share,
    b.suspect / nullif(b.received, 0) as suspect_share,
    b.bad / nullif(b.received, 0) as bad_share,
    b.missing / nullif(b.received, 0) as missing_share,
    b.not_evaluated / nullif(b.received, 0) as not_evaluated_share,
    b.start_at + interval '{{ bucket }}' <= tick.at as is_closed
from {{ source('core', 'settle_window') }} as w
cross join {{ source('core', 'series') }} as s
cross join tick
cross join lateral (
    select
        date_bin('{{ bucket }}', m.start_at, '2000-01-01 00:00+00') as start_at,
        sum(m.count) as count,
        mart.pooled(array[m.count, m.count * m.mean, m.squared_deviations] order by m.start_at) filter (where m.count > 0) as moments,
        min(m.minimum) as minimum,
        max(m.maximum) as maximum,
        sum(m.sum order by m.start_at) as sum,
        sum(m.volume order by m.start_at) as volume,
        sum(m.expected) as expected,
        sum(m.received) as received,
        {%- for flag in ['good', 'suspect', 'bad', 'missing', 'not_evaluated'] %}
        sum(round(m.{{ flag }}_share * m.received)) as {{ flag }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select m.*
        from {{ finer }} as m
        where m.series_id = s.series_id and m.start_at >= w.start_at and m.start_at < w.end_at
        offset 0
    ) as m
    group by 1
    offset 0
) as b
{%- endmacro %}
