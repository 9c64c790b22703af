"""What is written to other servers: the values of series and the forecasts that are served, and up to which change they were written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from water_pipelines.storage.database import Connection
from water_pipelines.storage.forecasts import BASELINE

_CHANGED: LiteralString = """
select min(start_at), max(end_at) from (
    select start_at, end_at, sum(case when start_at <= before then 0 else 1 end) over (order by start_at) as stretch from (
        select start_at, end_at, max(end_at) over (order by start_at rows between unbounded preceding and 1 preceding) as before
        from core.series_change where series_id = %(series)s and n > %(after)s and kind in ('added', 'changed', 'withdrawn')
    ) as c
) as s group by stretch order by 1
"""

_FORECAST: LiteralString = """
with issue as (select max(issued_at) as at from core.forecast where series_id = %(series)s and kind = 'issue'),
champion as (
    select coalesce((
        select c.champion from core.champion as c, issue where c.scope_series_id = %(series)s and c.kind = 'forecast' and c.from_at <= issue.at
        order by c.from_at desc limit 1
    ), %(baseline)s) as model
)
select distinct on (f.target_at) f.target_at, f.issued_at, f.q50, f.q05, f.q95, f.model
from core.forecast as f cross join issue cross join champion
where f.series_id = %(series)s and f.issued_at = issue.at and f.model in (champion.model, %(baseline)s)
order by f.target_at, f.model = champion.model desc
"""


@dataclass(frozen=True)
class Written:
    """Where a subject is written, and up to which change it was."""

    datastream: str
    change: int


def written(connection: Connection, server: str) -> dict[tuple[str, str], Written]:
    """What was written to a server, by subject and natural id."""
    query = "select subject, natural_id, datastream, change from raw.sensorthings_pushed where server = %s"
    return {(subject, name): Written(*row) for subject, name, *row in connection.execute(query, (server,))}


def note(connection: Connection, server: str, subject: str, natural_id: str, datastream: str, change: int, rows: int) -> None:
    """Note that a subject was written up to a change."""
    connection.execute(
        "insert into raw.sensorthings_pushed as p (server, subject, natural_id, datastream, change, rows) values (%s, %s, %s, %s, %s, %s)"
        " on conflict (server, subject, natural_id) do update set datastream = excluded.datastream, change = excluded.change,"
        " rows = p.rows + excluded.rows, pushed_at = clock_timestamp()",
        (server, subject, natural_id, datastream, change, rows),
    )


def totals(connection: Connection) -> dict[str, int]:
    """How many rows were written to each server."""
    return dict(connection.execute("select server, sum(rows)::bigint from raw.sensorthings_pushed group by server order by server").fetchall())


def changed_since(connection: Connection, series_id: int, change: int) -> list[tuple[datetime, datetime]]:
    """The stretches of whole days in which values of a series changed after a change."""
    return connection.execute(_CHANGED, {"series": series_id, "after": change}).fetchall()


def values(connection: Connection, series_id: int, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
    """The values of a series within a half-open window; those that are missing are left out."""
    query = "select time, value from core.observation where series_id = %s and time >= %s and time < %s and value <> 'NaN' order by time"
    return connection.execute(query, (series_id, start, end)).fetchall()


def forecast(connection: Connection, series_id: int) -> Sequence[tuple[Any, ...]]:
    """The last issue of a series as it is served: (target, issued, median, q05, q95, model) of each hour."""
    return connection.execute(_FORECAST, {"series": series_id, "baseline": BASELINE}).fetchall()


def place(connection: Connection, station: str) -> tuple[float | None, float | None]:
    """Longitude and latitude of a station."""
    row = connection.execute("select longitude, latitude from core.station where natural_id = %s", (station,)).fetchone()
    return (row[0], row[1]) if row is not None else (None, None)
