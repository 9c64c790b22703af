"""Ticks of the clock: the half-hours as of which clock-dependent rows are computed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from water_pipelines.storage import stale
from water_pipelines.storage.database import Connection


def note(connection: Connection, arrival: int, at: datetime, assets: Sequence[str]) -> None:
    """Note a tick, and mark the days since the tick before it stale in assets that follow the clock; call it with the clock held."""
    last = latest(connection)
    connection.execute("insert into core.tick (tick_at, arrival, since) values (%s, %s, core.this_change()) on conflict (tick_at) do nothing", (at, arrival))
    first = min(last or at, at).astimezone(UTC).date()
    days = [str(first + timedelta(days=n)) for n in range((at.astimezone(UTC).date() - first).days + 1)]
    for asset in assets:
        stale.mark(connection, asset, days)


def latest(connection: Connection) -> datetime | None:
    """The last tick."""
    row = connection.execute("select max(tick_at) from core.tick").fetchone()
    return row[0] if row else None
