"""Events of unusual behaviour, stitched from the segments of days by the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from water_pipelines.storage.served.identity import as_uuid
from water_pipelines.storage.served.reading import Reading

SEVERITIES = ("low", "medium", "high")

_EVENTS = """
select a.event_id as id, a.kind, a.severity, a.status, a.score, a.start_at, a.end_at, a.expected_low, a.expected_high, a.observed, m.uuid as model,
    s.uuid as series, s.natural_id as series_natural_id, s.name as series_name, s.property, s.unit, s.interval_s,
    t.uuid as station, t.natural_id as station_natural_id, t.name as station_name
from {events} as a join {series} as s using (series_id) join {stations} as t using (station_id)
left join core.model_version as m using (model_id)
where (%(series)s::text is null or s.natural_id = %(series)s or s.uuid = %(series_uuid)s)
    and (%(station)s::text is null or t.natural_id = %(station)s or t.uuid = %(station_uuid)s)
    and (%(kind)s::text is null or a.kind = %(kind)s)
    and (%(severity)s::text is null or a.severity = %(severity)s)
    and (%(status)s::text is null or a.status = %(status)s)
    and (%(start)s::timestamptz is null or a.end_at > %(start)s)
    and (%(end)s::timestamptz is null or a.start_at < %(end)s)
    and (%(before)s::timestamptz is null or (a.start_at, a.event_id) < (%(before)s, %(before_id)s::uuid))
order by a.start_at desc, a.event_id desc limit %(limit)s
"""


@dataclass(frozen=True)
class AnomalyFilter:
    """Which events are asked for; none means any. An event is within a window where it has a part in it."""

    series: str | None = None
    station: str | None = None
    kind: str | None = None
    severity: str | None = None
    status: str | None = None
    start: datetime | None = None
    end: datetime | None = None


def page(
    reading: Reading, wanted: AnomalyFilter, before: tuple[datetime, UUID] | None, limit: int
) -> tuple[list[dict[str, Any]], tuple[datetime, UUID] | None]:
    """Events, the latest start first, before one of them (its start and id); and where to go on."""
    query = sql.SQL(_EVENTS).format(events=_events(reading), series=reading.table("core.series"), stations=reading.table("core.station"))
    parameters = {
        "series": wanted.series,
        "series_uuid": as_uuid(wanted.series),
        "station": wanted.station,
        "station_uuid": as_uuid(wanted.station),
        "kind": wanted.kind,
        "severity": wanted.severity,
        "status": wanted.status,
        "start": wanted.start,
        "end": wanted.end,
        "before": before[0] if before else None,
        "before_id": before[1] if before else None,
        "limit": limit + 1,
    }
    found = reading.rows(query, parameters)
    items = found[:limit]
    return items, (items[-1]["start_at"], items[-1]["id"]) if len(found) > limit else None


def open_by_severity(reading: Reading) -> dict[str, int]:
    """How many events go on."""
    query = sql.SQL("select a.severity, count(*) as events from {} as a where a.status = 'open' group by a.severity").format(_events(reading))
    return {**dict.fromkeys(SEVERITIES, 0), **{row["severity"]: row["events"] for row in reading.rows(query)}}


def _events(reading: Reading) -> sql.Composable:
    if reading.is_current:
        return sql.Identifier("core", "anomaly_event")
    return sql.SQL("core.anomaly_event_as_of({})").format(sql.Literal(reading.number))
