"""Measure: many small files in one drop, from the inbox to committed rows.

Not a race: the figures are files a second of landing and of loading, the CPU time of the process and the server together, and the commits,
in one process as one run of `load_job` does it, with fsync on. The files are of several loggers, some readings each, as a download of single
records leaves them. By default no file names its station, so that each is a station of its own; with `--named` the rows name the logger.
With `--hourly` a file is of an hour, not of a day, so that many files share the days of their series.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
from dataclasses import replace

import numpy as np
from _race import Measured, arena, quiet, show, show_machine

from water_pipelines.orchestration.operations import landing, loading
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage.database import Database
from water_pipelines.storage.source_files import SourceFile

_ROWS = 48
_COMMITS = "select xact_commit from pg_stat_database where datname = current_database()"


def drop(platform: Platform, files: int, loggers: int, *, named: bool, hourly: bool) -> None:
    """Put files into the inbox: day after day, or hour after hour, of each logger."""
    step = np.timedelta64(75 if hourly else 1800, "s")
    header, cell = ("station,", "L{:03d},") if named else ("", "")
    for number in range(files):
        logger, place = number % loggers, number // loggers
        times = np.datetime64("2024-01-01T00:00:00") + (place * _ROWS + np.arange(_ROWS)) * step
        rows = "".join(f"{time}Z,{cell.format(logger)}{(number * 7 + row) % 100 / 10}\n" for row, time in enumerate(times))
        platform.store.put(f"inbox/network/L{logger:03d}/{place:06d}.csv", f"time,{header}water_level [m]\n{rows}".encode())
    platform.store.put("inbox/network/mapping.yaml", b"columns: {'water_level [m]': {property: water_level, unit: m}}\n")


def main() -> None:
    """Drop, land, load, and say how fast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--loggers", type=int, default=100)
    parser.add_argument("--named", action="store_true", help="the rows name their logger")
    parser.add_argument("--hourly", action="store_true", help="a file is of an hour")
    parser.add_argument("--profile", action="store_true", help="where the time goes; the figures mean less")
    given = parser.parse_args()
    show_machine()
    with arena() as field:
        platform = field.platform("drop")
        drop(platform, given.files, given.loggers, named=given.named, hourly=given.hourly)
        profile = cProfile.Profile()
        landed: list[SourceFile] = []
        landed_in, loaded_in = Measured(0, 0), Measured(0, 0)
        with quiet(platform) as connection:
            before = connection.execute(_COMMITS).fetchone()
        platform = replace(platform, database=Database(platform.database.url, code_version="benchmark", run="benchmark"))
        batches = landing.land_inbox(platform, at_most=given.files + 1)
        if given.profile:
            profile.enable()
        while True:
            batch: list[SourceFile] = []
            landed_in += field.measure(lambda batch=batch: batch.extend(next(batches, [])))
            if not batch:
                break
            landed += batch
            loaded_in += field.measure(lambda batch=batch: loading.load_files(platform, batch))
        profile.disable()
        with platform.database.connection() as connection:
            rows = connection.execute("select count(*) from core.observation").fetchone()
        with quiet(platform) as connection:
            after = connection.execute(_COMMITS).fetchone()
        assert before is not None
        assert after is not None
        assert rows == (given.files * _ROWS,), f"{rows} rows were stored"
        show(
            f"{given.files:,} files of {_ROWS} rows from {given.loggers} loggers",
            ["", "files/s", "CPU ms a file"],
            [
                [name, f"{len(landed) / took.wall:,.0f}", f"{1e3 * took.cpu / len(landed):.2f}"]
                for name, took in (("landing", landed_in), ("loading", loaded_in), ("both", landed_in + loaded_in))
            ],
        )
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{(after[0] - before[0]) / len(landed):.2f} commits a file; at most {resident:,.0f} MiB resident")
        if given.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
