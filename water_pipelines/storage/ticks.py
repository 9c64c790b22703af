"""Ticks of the clock: the half-hours as of which clock-dependent rows are computed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from water_pipelines.storage.database import Connection
from water_pipelines.storage.staging import Edge, mark_readers


def note(connection: Connection, arrival: int, at: datetime, readers: Sequence[Edge]) -> None:
    """Note a tick, and mark stale what reads the time from the tick before it to its own; call it with the clock held."""
    last = latest(connection)
    connection.execute(
        "insert into core.tick (tick_at, arrival, since) values (%s, %s, core.this_change()) on conflict (tick_at) do nothing", (at, arrival)
    )
    first, end = (np.array([time.astimezone(UTC).replace(tzinfo=None)], dtype="datetime64[us]") for time in (min(last or at, at), at))
    mark_readers(connection, readers, first, end)


def latest(connection: Connection) -> datetime | None:
    """The last tick."""
    row = connection.execute("select max(tick_at) from core.tick").fetchone()
    return row[0] if row else None
