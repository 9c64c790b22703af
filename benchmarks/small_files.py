"""Measure: many small files in one drop, from the inbox to committed rows.

Not a race: the figures are files a second of landing and of loading, in one process as one run of `load_job` does it, with fsync on.
The files are of several loggers, some readings each, as a download of single records leaves them.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time

import numpy as np
from _race import arena, show, show_machine

from water_pipelines.orchestration.operations import landing, loading
from water_pipelines.orchestration.resources import Platform

_ROWS = 24


def drop(platform: Platform, files: int, loggers: int) -> None:
    """Put files into the inbox: day after day of each logger."""
    for number in range(files):
        logger, day = number % loggers, np.datetime64("2024-01-01") + number // loggers
        rows = "".join(f"{day}T{hour:02d}:00:00Z,{(number * 7 + hour) % 100 / 10}\n" for hour in range(_ROWS))
        platform.store.put(f"inbox/network/L{logger:03d}/{day}.csv", f"time,water_level [m]\n{rows}".encode())
    platform.store.put("inbox/network/mapping.yaml", b"columns: {'water_level [m]': {property: water_level, unit: m}}\n")


def main() -> None:
    """Drop, land, load, and say how fast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--loggers", type=int, default=100)
    parser.add_argument("--profile", action="store_true", help="where the time goes; the figures mean less")
    given = parser.parse_args()
    show_machine()
    with arena() as field:
        platform = field.platform("drop")
        drop(platform, given.files, given.loggers)
        profile = cProfile.Profile()
        if given.profile:
            profile.enable()
        landed_s, loaded_s, landed = 0.0, 0.0, 0
        started = time.perf_counter()
        for batch in landing.land_inbox(platform, at_most=given.files + 1):
            landed_s += time.perf_counter() - started
            landed += len(batch)
            started = time.perf_counter()
            loading.load_files(platform, batch)
            loaded_s += time.perf_counter() - started
            started = time.perf_counter()
        profile.disable()
        with platform.database.connection() as connection:
            rows = connection.execute("select count(*) from core.observation").fetchone()
        assert rows == (given.files * _ROWS,), f"{rows} rows were stored"
        show(
            f"{given.files:,} files of {_ROWS} rows from {given.loggers} loggers",
            ["", "files/s"],
            [["landing", f"{landed / landed_s:,.0f}"], ["loading", f"{landed / loaded_s:,.0f}"], ["both", f"{landed / (landed_s + loaded_s):,.0f}"]],
        )
        if given.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
