"""The half-hour's tick: the time as of which rows that depend on the clock are computed. It lands like any other fact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from water_pipelines.orchestration.operations.landing import land_bytes
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import clocked
from water_pipelines.storage import source_files, ticks
from water_pipelines.storage.loads import Loaded
from water_pipelines.storage.source_files import SourceFile

HALF_HOUR = timedelta(minutes=30)


def tick(platform: Platform, now: datetime) -> SourceFile:
    """Land the half-hour that has just passed."""
    passed = datetime.fromtimestamp(now.timestamp() // HALF_HOUR.total_seconds() * HALF_HOUR.total_seconds(), UTC)
    return land_bytes(platform, orjson.dumps({"tick_at": passed}), kind="tick", name=f"tick-{passed:%Y-%m-%dT%H%MZ}.json", prefix="ticks")


def load_tick(platform: Platform, file: SourceFile) -> Loaded:
    """Note a tick, and mark stale what depends on the clock, from the day of the tick before to this one's."""
    at = datetime.fromisoformat(orjson.loads(platform.store.read(file.key))["tick_at"])
    with platform.database.connection() as connection:
        change = platform.database.take_number(connection, "tick")
        ticks.note(connection, file.arrival, at, clocked(connection))
        source_files.succeed(connection, file.arrival, rows=1, rejected=0)
    return Loaded(change, rows=1)
