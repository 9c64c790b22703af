"""What one run of `load_job` does: start the clock, empty the inbox, load what landed, until nothing is left that can be loaded."""

from __future__ import annotations

from datetime import datetime

from water_pipelines.orchestration.operations.landing import land_inbox
from water_pipelines.orchestration.operations.loading import load_file, load_files
from water_pipelines.orchestration.operations.ticks import tick
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import source_files, ticks


def start_clock(platform: Platform, now: datetime) -> None:
    """Let the first tick land, unless one did: what is missing or closed is judged as of a tick, never as of whatever arrived last."""
    with platform.database.connection() as connection:
        is_ticking = ticks.latest(connection) is not None
    if not is_ticking:
        load_file(platform, tick(platform, now).arrival)


def empty_inbox(platform: Platform) -> int:
    """Land and load what is in the inbox, and what earlier runs landed and could not load; gives the number of files that landed."""
    load_files(platform, source_files.to_load(platform.database))
    total = 0
    while True:
        landed = 0
        for batch in land_inbox(platform):
            landed += len(batch)
            load_files(platform, batch)
        if not landed:
            return total
        total += landed
