"""Stations as they are served, each with its series and whether they report.

A node is a station of a water network, a facility one that a message set up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from water_pipelines.domain.reporting import STATUSES, ReportingLimits, status_of, status_of_station
from water_pipelines.storage.served import series as all_series
from water_pipelines.storage.served.identity import as_uuid
from water_pipelines.storage.served.latest import last_values
from water_pipelines.storage.served.reading import NothingFound, Reading

_STATIONS = """
select t.station_id, t.uuid as id, t.natural_id, t.name, t.description, t.kind, t.network, t.zone, t.latitude, t.longitude, t.elevation_m,
    t.time_zone, t.properties
from {stations} as t
"""


@dataclass(frozen=True)
class StationFilter:
    """Which stations are asked for; none means any."""

    network: str | None = None
    zone: str | None = None
    kind: str | None = None
    observed_property: str | None = None
    is_node: bool = False
    is_facility: bool = False


def find(reading: Reading, station_id: str, *, is_node: bool = False) -> dict[str, Any]:
    """A station by its UUID or natural id.

    Raises
    ------
    NothingFound
        There is none, or it is no node although one is asked for.
    """
    found = reading.row(_query(reading, "where t.uuid = %(uuid)s or t.natural_id = %(id)s"), {"uuid": as_uuid(station_id), "id": station_id})
    if found is None:
        raise NothingFound(f"there is no station {station_id!r}; /api/v1/water-data/stations lists them")
    if is_node and found["network"] is None:
        raise NothingFound(f"the station {station_id!r} belongs to no water network; /api/v1/nodes lists those that do")
    return found


def find_facility(reading: Reading, facility_id: str) -> dict[str, Any]:
    """A facility by its UUID or natural id; `NothingFound` where there is none."""
    found = reading.row(
        _query(reading, "where (t.uuid = %(uuid)s or t.natural_id = %(id)s) and t.properties ? 'is_facility'"),
        {"uuid": as_uuid(facility_id), "id": facility_id},
    )
    if found is None:
        raise NothingFound(f"there is no facility {facility_id!r}; /api/v1/facilities lists them")
    return found


def page(reading: Reading, wanted: StationFilter, after: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """Stations in the order of their natural ids, after one of them; and where to go on."""
    query = _query(
        reading,
        "where (%(after)s::text is null or t.natural_id > %(after)s) and (%(network)s::text is null or t.network = %(network)s)"
        " and (%(zone)s::text is null or t.zone = %(zone)s) and (%(kind)s::text is null or t.kind = %(kind)s)"
        " and (not %(is_node)s or t.network is not null) and (not %(is_facility)s or t.properties ? 'is_facility')"
        " and (%(property)s::text is null or exists (select from {series} as s where s.station_id = t.station_id and s.property = %(property)s))"
        " order by t.natural_id limit %(limit)s",
    )
    parameters = {
        "after": after,
        "network": wanted.network,
        "zone": wanted.zone,
        "kind": wanted.kind,
        "is_node": wanted.is_node,
        "is_facility": wanted.is_facility,
        "property": wanted.observed_property,
        "limit": limit + 1,
    }
    found = reading.rows(query, parameters)
    return found[:limit], found[limit - 1]["natural_id"] if len(found) > limit else None


def with_series(reading: Reading, stations: Sequence[dict[str, Any]], limits: ReportingLimits) -> list[dict[str, Any]]:
    """The stations, each with its `series` (their status and last value), its own `status` and `last_at`, as of the last tick."""
    found = all_series.of_stations(reading, [station["station_id"] for station in stations])
    last = last_values(reading, [each["series_id"] for each in found])
    tick = reading.tick()
    by_station: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for each in found:
        value = last.get(each["series_id"])
        status = status_of(value["time"] if value else None, each["interval_s"], tick, limits)
        by_station[each["station_id"]].append({**each, "status": status, "last": value})
    return [
        {
            **station,
            "status": status_of_station(each["status"] for each in by_station[station["station_id"]]),
            "last_at": max((each["last"]["time"] for each in by_station[station["station_id"]] if each["last"]), default=None),
            "status_at": tick,
            "series": by_station[station["station_id"]],
        }
        for station in stations
    ]


def counts(reading: Reading, limits: ReportingLimits) -> dict[str, int]:
    """How many stations have each status, as of the last tick."""
    stations = with_series(reading, reading.rows(_query(reading, "")), limits)
    return {status: sum(station["status"] == status for station in stations) for status in STATUSES}


def _query(reading: Reading, condition: LiteralString) -> sql.Composed:
    tables = {"stations": reading.table("core.station"), "series": reading.table("core.series")}
    return sql.SQL(_STATIONS + condition).format(**tables)
