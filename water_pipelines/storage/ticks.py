"""Ticks of the clock: the half-hours as of which clock-dependent rows are computed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from water_pipelines.storage.database import Connection, instant
from water_pipelines.storage.staging import Edge, mark_readers

_AS_OF = """
select coalesce(
    (select max(tick_at) from core.tick),
    (select max((select time from core.observation as o where o.series_id = s.series_id order by time desc limit 1)) from core.series as s)
)
"""

_STORED = """
select min(day)::timestamp at time zone 'UTC', (max(day) + 1)::timestamp at time zone 'UTC' - interval '1 microsecond' from raw.load_day
"""


def note(connection: Connection, arrival: int, at: datetime, readers: Sequence[Edge]) -> None:
    """Note a tick, and mark stale what reads the time from the tick before it to its own; call it with the clock held.

    The first one changes as of when all days that are stored are judged, also those after it.
    """
    since = latest(connection)
    first, end = (since, at) if since else _stored(connection, at)
    connection.execute(
        "insert into core.tick (tick_at, arrival, since) values (%s, %s, core.this_change()) on conflict (tick_at) do nothing", (at, arrival)
    )
    mark_readers(connection, readers, np.array([instant(min(first, at))]), np.array([instant(max(end, at))]))


def _stored(connection: Connection, at: datetime) -> tuple[datetime, datetime]:
    """From the start of the first day that any file speaks of to the last one's end; a time where none does."""
    row = connection.execute(_STORED).fetchone()
    return row if row and row[0] else (at, at)


def latest(connection: Connection) -> datetime | None:
    """The last tick."""
    row = connection.execute("select max(tick_at) from core.tick").fetchone()
    return row[0] if row else None


def as_of(connection: Connection) -> np.datetime64 | None:
    """The time as of which everything is judged: the last tick, or the last observation while there is none; none in an empty database."""
    row = connection.execute(_AS_OF).fetchone()
    return instant(row[0]) if row and row[0] else None


def reached(connection: Connection, days: Sequence[str]) -> list[str]:
    """Those of some days that have begun as of the last tick, or as of the last value that is stored, if that is later.

    A later tick asks for the others that it reaches.
    """
    row = connection.execute("select max(day) from raw.load_day").fetchone()
    now, stored = as_of(connection), row[0] if row else None
    return [day for day in days if now is not None and (np.datetime64(day) <= now or (stored is not None and day <= str(stored)))]
