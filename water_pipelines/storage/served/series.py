"""Series as they are served: what is measured, where, in which unit, how often and since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from water_pipelines.storage.served.identity import as_uuid
from water_pipelines.storage.served.latest import first_values, last_values
from water_pipelines.storage.served.reading import NothingFound, Reading

_SERIES = """
select s.series_id, s.uuid as id, s.natural_id, s.name, s.property, s.unit, s.kind, s.interval_s, s.feature_of_interest, s.properties,
    s.station_id, t.uuid as station, t.natural_id as station_natural_id, t.name as station_name
from {series} as s join {stations} as t using (station_id)
"""


@dataclass(frozen=True)
class SeriesFilter:
    """Which series are asked for; none means any. A station is named by its UUID or natural id."""

    station: str | None = None
    observed_property: str | None = None
    network: str | None = None


def find(reading: Reading, series_id: str) -> dict[str, Any]:
    """A series by its UUID or natural id.

    Raises
    ------
    NothingFound
        There is none.
    """
    query = _query(reading, "where s.uuid = %(uuid)s or s.natural_id = %(id)s")
    found = reading.row(query, {"uuid": as_uuid(series_id), "id": series_id})
    if found is None:
        raise NothingFound(f"there is no series {series_id!r}; /api/v1/time-series/metadata lists them")
    return found


def of_stations(reading: Reading, station_ids: Sequence[int], observed_property: str | None = None) -> list[dict[str, Any]]:
    """All series of some stations, in the order of their natural ids."""
    query = _query(reading, "where s.station_id = any(%(ids)s) and (%(property)s::text is null or s.property = %(property)s) order by s.natural_id")
    return reading.rows(query, {"ids": list(station_ids), "property": observed_property})


def page(reading: Reading, wanted: SeriesFilter, after: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """Series in the order of their natural ids, after one of them, with the times of their first and last value; and where to go on."""
    query = _query(
        reading,
        "where (%(after)s::text is null or s.natural_id > %(after)s) and (%(property)s::text is null or s.property = %(property)s)"
        " and (%(station)s::text is null or t.natural_id = %(station)s or t.uuid = %(uuid)s)"
        " and (%(network)s::text is null or t.network = %(network)s)"
        " order by s.natural_id limit %(limit)s",
    )
    found = reading.rows(
        query,
        {
            "after": after,
            "property": wanted.observed_property,
            "station": wanted.station,
            "uuid": as_uuid(wanted.station),
            "network": wanted.network,
            "limit": limit + 1,
        },
    )
    items = found[:limit]
    ids = [item["series_id"] for item in items]
    first, last = first_values(reading, ids), last_values(reading, ids)
    for item in items:
        item["first_at"] = first.get(item["series_id"], {}).get("time")
        item["last_at"] = last.get(item["series_id"], {}).get("time")
    return items, items[-1]["natural_id"] if len(found) > limit else None


def _query(reading: Reading, condition: LiteralString) -> sql.Composed:
    return sql.SQL(_SERIES).format(series=reading.table("core.series"), stations=reading.table("core.station")) + sql.SQL(condition)
