"""The first and the last value of series, found without a scan.

The ledger of loads says which days a series may have values on, so that only the outermost of them are looked into, one after the
other until a value is found (a day may have lost all its values since).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from psycopg import sql

from water_pipelines.storage.served.reading import Reading

_OUTERMOST = """
select s.series_id, v.time as time, v.value as value, coalesce(
    f.flag,
    case when v.value = 'NaN' then 9 when (select l.change from raw.load as l where l.load_id = v.load_id) <= e.read then 1 else 2 end
) as flag
from unnest(%(ids)s::int[]) as s (series_id)
cross join lateral (
    select o.time, o.value, o.load_id from (select distinct d.day from {days} as d where d.series_id = s.series_id order by d.day {direction}) as d
    cross join lateral (
        select o.time, o.value, o.load_id from {observations} as o
        where o.series_id = s.series_id
            and o.time >= d.day::timestamp at time zone 'UTC' and o.time < (d.day + 1)::timestamp at time zone 'UTC'
        order by o.time {direction} limit 1
    ) as o
    order by d.day {direction} limit 1
) as v
left join lateral (select f.flag from {flags} as f where f.series_id = s.series_id and f.time = v.time) as f on true
left join lateral (select e.read from {evaluations} as e where e.series_id = s.series_id and e.day = (v.time at time zone 'UTC')::date) as e on true
"""


def last_values(reading: Reading, series_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The last value of each series that has one: time, value (NaN where the source says missing), flag."""
    return _outermost(reading, series_ids, "desc")


def first_values(reading: Reading, series_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The same of the first value."""
    return _outermost(reading, series_ids, "asc")


def _outermost(reading: Reading, series_ids: Sequence[int], direction: Literal["asc", "desc"]) -> dict[int, dict[str, Any]]:
    query = sql.SQL(_OUTERMOST).format(
        days=reading.loaded_days,
        observations=reading.observations,
        flags=reading.table("core.observation_flag"),
        evaluations=reading.table("core.evaluation"),
        direction=sql.SQL(direction),
    )
    return {row.pop("series_id"): row for row in reading.rows(query, {"ids": list(series_ids)})}
