"""Measure: one large CSV from the inbox to committed rows, and how much memory the loading process holds at most.

Not a race. The file is made by streaming, as a logger network's export by time: many series, one line a reading. A process of its own
lands and loads it through the functions that a run of `load_job` calls; this one watches the progress that the ledger tells.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psycopg
from _race import arena, show, show_machine

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database

_LINES = 200_000
_MOST_RESIDENT = 1 << 30


def write(path: Path, rows: int, series: int) -> None:
    """The file, a block of lines at a time; one line of 100,000 holds no number."""
    stations = np.array([f"BIG_{number:03d}" for number in range(series)])
    first = np.datetime64("1990-01-01T00:00")  # a hundred million rows end before today
    with path.open("w") as file:
        file.write("time,station,property,unit,value\n")
        for begin in range(0, rows, _LINES):
            row = np.arange(begin, min(begin + _LINES, rows))
            times = np.datetime_as_string(first + (row // series) * np.timedelta64(15, "m"))
            values = np.round(2 + np.sin(row / 97.0), 3).astype(str)
            values[row % 100_000 == 99_999] = "broken"
            file.write(
                "".join(f"{at}:00Z,{name},water_level,m,{value}\n" for at, name, value in zip(times, stations[row % series], values, strict=True))
            )


def load_here(url: str, home: Path) -> None:
    """Land and load what is in the inbox, and print the seconds and the largest resident set."""
    database = Database(url, code_version="benchmark", run="benchmark")
    platform = Platform(Settings(_env_file=None, home=home), database, LocalStore(home / "store"))
    started = time.perf_counter()
    empty_inbox(platform)
    print(json.dumps([time.perf_counter() - started, _most_resident()]))
    database.close()


def _most_resident() -> int:
    """The most memory that this process held, in bytes; `ru_maxrss` counts what the process that forked it held, so it is only asked elsewhere."""
    status = Path("/proc/self/status")
    if status.exists() and (peak := re.search(r"VmHWM:\s+(\d+)", status.read_text())):
        return int(peak[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Make the file, load it in a process of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--load", nargs=2, metavar=("URL", "HOME"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        load_here(given.load[0], Path(given.load[1]))
        return
    show_machine()
    with arena() as field:
        platform = field.platform("big")
        home = platform.settings.home
        path = home / "store" / "inbox" / "big.csv"
        path.parent.mkdir(parents=True)
        write(path, given.rows, given.series)
        size = path.stat().st_size
        url = platform.database.url
        told: list[float] = []
        child = subprocess.Popen([sys.executable, __file__, "--load", url, str(home)], stdout=subprocess.PIPE, text=True)
        with psycopg.connect(url, autocommit=True) as watch:
            before = watch.execute("select pg_database_size(current_database())").fetchone()
            while child.poll() is None:
                told += [share for (share,) in watch.execute("select progress from raw.source_file where progress is not null") if share not in told]
                time.sleep(0.2)
            after = watch.execute("select pg_database_size(current_database())").fetchone()
            stored = watch.execute("select count(*), (select count(*) from raw.rejected_row) from core.observation").fetchone()
        assert child.stdout is not None
        assert before is not None
        assert after is not None
        seconds, resident = json.loads(child.stdout.read())
        broken = given.rows // 100_000
        assert stored == (given.rows - broken, broken), f"{stored} rows were stored and rejected"
        assert told == sorted(told), f"progress went back: {told}"
        show(
            f"{given.rows:,} rows in {size / 2**20:,.0f} MiB of CSV, {given.series} series",
            ["", ""],
            [
                ["landed and loaded", f"{seconds:,.0f} s, {given.rows / seconds / 1e3:,.0f} k rows/s"],
                ["largest resident set of the loading process", f"{resident / 2**20:,.0f} MiB (goal < {_MOST_RESIDENT >> 20})"],
                ["progress told", f"{len(told)} times, up to {max(told, default=0):.0%}"],
                ["database grew by", f"{(after[0] - before[0]) / given.rows:,.0f} bytes a row"],
            ],
        )


if __name__ == "__main__":
    main()
