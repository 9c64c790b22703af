-- A series' values are read once, along its key, and grouped by what decides whether they are good: their row of flags, if any, and their load.
-- Full joins where left joins would do: they are always hashed or merged, however few rows the planner expects of a window.
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
    case when s.is_additive then b.total end as sum,
    sqrt(b.squared_deviations / b.good) as standard_deviation,
    b.squared_deviations,
    -- each value stands for its series' interval, all together for no more than the bucket
    s.cubic_metres_per_second * b.total / b.good * coalesce(least(b.good * s.interval_s, greatest(1800, s.interval_s)), 1800) as volume,
    b.expected::integer as expected,
    least(1, b.received / nullif(b.expected, 0)) as completeness,
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
    with grouped as materialized (
        select
            date_bin('30 minutes', o.time, '2000-01-01 00:00+00') as start_at,
            o.load_id,
            coalesce(f.flag, case when o.value = 'NaN' then 9 else 0 end) as flag,
            min(o.time) as first_at,
            mart.moments(o.value) as moments,
            min(o.value) as minimum,
            max(o.value) as maximum
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
        group by 1, 2, 3
    ),

    loads as (
        select
            l.load_id,
            l.change
        from (select distinct g.load_id from grouped as g where g.flag = 0 offset 0) as g
        inner join {{ source('raw', 'load') }} as l on l.load_id = g.load_id
        offset 0
    ),

    judged as (
        select
            g.*,
            case when g.flag != 0 then g.flag when l.change <= e.read then 1 else 2 end as served
        from grouped as g
        full join ({{ evaluations_in_window() }}) as e on e.start_at = {{ day_of('g.start_at') }}
        full join loads as l on l.load_id = g.load_id
        where coalesce(g.load_id, -1) >= 0
        offset 0
    ),

    buckets as materialized (
        select
            j.start_at,
            min(j.first_at) as first_at,
            mart.pooled(j.moments) filter (where j.served = 1) as moments,
            min(j.minimum) filter (where j.served = 1) as minimum,
            max(j.maximum) filter (where j.served = 1) as maximum,
            sum(j.moments[1]) as received,
            sum(j.moments[1]) filter (where j.served = 3) as suspect,
            sum(j.moments[1]) filter (where j.served = 4) as bad,
            sum(j.moments[1]) filter (where j.served = 9) as missing,
            sum(j.moments[1]) filter (where j.served = 2) as not_evaluated
        from judged as j
        group by j.start_at
    ),

    -- values are expected at the day's first and every interval before and after it
    grid as (
        select
            day.start_at + n * interval '30 minutes' as start_at,
            day.first_at
        from (
            select
                {{ day_of('b.start_at') }} as start_at,
                min(b.first_at) as first_at
            from buckets as b
            group by 1
        ) as day
        cross join generate_series(0, 47) as n
        offset 0
    )

    select
        start_at,
        nullif(b.moments[1], 0) as good,
        case when b.moments[1] > 0 then b.moments[2] end as total,
        case when b.moments[1] > 0 then b.moments[3] end as squared_deviations,
        b.minimum,
        b.maximum,
        coalesce(b.received, 0) as received,
        coalesce(b.suspect, 0) as suspect,
        coalesce(b.bad, 0) as bad,
        coalesce(b.missing, 0) as missing,
        coalesce(b.not_evaluated, 0) as not_evaluated,
        {{ values_expected('start_at', "start_at + interval '30 minutes'", 'g.first_at') }} as expected
    from grid as g
    full join buckets as b using (start_at)
    offset 0
) as b
where b.received > 0 or b.expected > 0
