select
    n.network,
    n.zone,
    n.property,
    n.start_at,
    n.unit,
    n.series::integer as series,
    case when n.unit is not null then n.mean end as mean,
    case when n.unit is not null then n.minimum end as minimum,
    case when n.unit is not null then n.maximum end as maximum,
    case when n.unit is not null then n.sum end as sum,
    n.volume,
    n.completeness
from (
    select
        p.network,
        coalesce(p.zone, '') as zone,
        s.property,
        m.start_at,
        case when min(coalesce(s.unit, '')) = max(coalesce(s.unit, '')) then min(coalesce(s.unit, '')) end as unit,
        count(m.mean) as series,
        avg(m.mean order by s.series_id) as mean,
        min(m.minimum) as minimum,
        max(m.maximum) as maximum,
        sum(m.mean order by s.series_id) as sum,
        sum(m.volume order by s.series_id) as volume,
        (sum(least(m.received, m.expected)) filter (where m.expected is not null))::double precision / nullif(sum(m.expected), 0) as completeness
    from {{ source('core', 'settle_window') }} as w
    cross join {{ source('core', 'series') }} as s
    inner join {{ source('core', 'station') }} as p on p.station_id = s.station_id and p.network is not null
    cross join lateral (
        select m.*
        from {{ ref('metric_30min') }} as m
        where m.series_id = s.series_id and m.start_at >= w.start_at and m.start_at < w.end_at
        offset 0
    ) as m
    group by 1, 2, 3, 4
) as n
