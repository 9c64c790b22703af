"""Retention of the history: what `as_of` may still be asked. Asked first, done with `apply`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import history


@dataclass(frozen=True)
class Expired:
    """The first change that can be read, and the rows of each table of the history that only earlier states need."""

    horizon: int
    rows: dict[str, int]


def expire_history(platform: Platform, now: datetime, *, apply: bool) -> Expired | None:
    """Remove, or only count, what was superseded longer ago than `WATER_HISTORY_DAYS`; none where history is kept for ever."""
    days = platform.settings.history_days
    if days is None:
        return None
    with platform.database.connection() as connection:
        oldest = history.change_at(connection, now - timedelta(days=days))
        reached = max(oldest, history.horizon(connection))
        if not apply:
            return Expired(reached, history.superseded(connection, reached))
    return Expired(reached, history.expire(platform.database, reached))
