"""What one run of `load_job` does: empty the inbox, load what landed, until nothing is left that can be loaded."""

from __future__ import annotations

from water_pipelines.orchestration.operations.landing import land_inbox
from water_pipelines.orchestration.operations.loading import load_files
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import source_files


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
