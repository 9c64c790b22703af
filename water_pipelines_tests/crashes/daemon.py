"""Dagster's daemon as the victim: kill -9 of it in a running platform, between a file's arrival and the end of what follows from it.

The supervisor starts it again, or dies with it and `water up` is called again. At the end no run hangs, Dagster shows what was computed, and
the database equals the one that is rebuilt from what landed, which nobody interrupted.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.commands.home import Home
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines.storage.server import EmbeddedServer
from water_pipelines_tests.crashes.harness import forked
from water_pipelines_tests.e2e.outside import Outside, until
from water_pipelines_tests.exactness import state
from water_pipelines_tests.worlds import World, Worlds

PHASES = ("dropped", "asked", "QUEUED", "STARTING", "STARTED")
"""A file waits in the inbox, a sensor looks at it, and what becomes of the run that it asks for."""

_FIRST = datetime(2026, 3, 1, tzinfo=UTC)
_PATIENCE_S = 900.0  # a run that was being started is failed after 300 s, and begun again
_SHOWN = ("core/observation", "core/observation_flag", "mart/metric_daily")
_LATEST = "{runsOrError(limit: 1) {... on Runs {results {runId status}}}}"


def strike(platform: Outside, phase: str, drop: Callable[[], object], *, timeout_s: float = 60.0) -> None:
    """Drop something, and kill the daemon as soon as a phase of what follows is seen, or long enough has passed without."""
    before, daemon = _latest(platform), _daemon(platform)
    drop()
    end = time.monotonic() + timeout_s
    while phase != "dropped" and time.monotonic() < end:
        run = _latest(platform)
        if run != before and phase in ("asked", *run.values()):
            break
    os.kill(daemon, signal.SIGKILL)


def prove(kills: int, rng: random.Random, said: Callable[[str], object]) -> list[str]:
    """Kill the daemon of a platform so many times; gives what is wrong at the end."""
    with _running() as platform:
        for number in range(kills):
            phase, is_all = rng.choice(PHASES), rng.random() < 0.3 or number % 4 == 3  # a supervisor gives up after some deaths in a row
            strike(platform, phase, lambda number=number: _drop(platform, rng, number))  # type: ignore[misc]  # called at once
            time.sleep(rng.choice((0.0, rng.uniform(0, 5))))
            if is_all:
                assert platform.process is not None
                platform.process.kill()
                platform.process.wait()
                platform.start()
            said(f"{number + 1} of {kills}: killed when {phase}{', with the supervisor' if is_all else ''}\n")
            if number % 4 == 3:
                until(platform.is_settled, _PATIENCE_S, said=platform.logs)
        until(platform.is_settled, _PATIENCE_S, said=platform.logs)
        found = [
            f"{asset}: Dagster shows other days than were computed" for asset in _SHOWN if platform.materialised(asset) != _computed(platform, asset)
        ]
        return found + differences(platform)


def differences(platform: Outside) -> list[str]:
    """What differs from the database that is rebuilt from what landed, by files and tables."""
    worlds = Worlds(is_durable=False, first_day=date(2026, 1, 1))
    try:
        again = worlds.new()
        shutil.copytree(platform.home / "store" / "landed", again.folder / "store" / "landed")
        told = again.folder / "differences"
        code = forked(lambda: _compare(platform, again, told))
        return told.read_text().splitlines() if code == 0 else ["the rebuild failed"]
    finally:
        worlds.close()


def _compare(platform: Outside, again: World, told: Path) -> None:
    with closing(Database(EmbeddedServer(platform.home).url("water"), code_version="test")) as database, again.opened("rebuild") as rebuilt:
        here = Platform(Settings(_env_file=None, home=platform.home), database, LocalStore(platform.home / "store"))
        rebuild(rebuilt)
        found = [f"{table}: {what}" for table, what in state.differences(here, rebuilt).items()]
        with database.connection() as connection:
            failed = connection.execute("select name, status, error from raw.source_file where status <> 'succeeded'").fetchall()
        found += [f"{name} is {status}: {error}" for name, status, error in failed]
        found += [f"left in the inbox: {each.key}" for each in here.store.list("inbox/")]
    told.write_text("\n".join(found))


@contextmanager
def _running() -> Iterator[Outside]:
    home = Path(tempfile.mkdtemp(prefix="water-daemon-"))
    home.chmod(0o755)  # else root's server would keep its data below /var/lib
    platform = Outside(home, {})
    try:
        platform.start()
        yield platform
    finally:
        with suppress(ProcessLookupError):
            platform.interrupt(120)
        shutil.rmtree(home)


def _drop(platform: Outside, rng: random.Random, number: int) -> None:
    """Two hundred values of one of three stations somewhere in four weeks: new ones and corrections."""
    first = _FIRST + timedelta(minutes=15 * rng.randrange(2500))
    rows = "".join(
        f"{first + n * timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ},S{number % 3},stage,m,{2 + rng.randrange(100) / 100}\n" for n in range(200)
    )
    LocalStore(platform.home / "store").put(f"inbox/file{number}.csv", f"time,station,property,unit,value\n{rows}".encode())


def _latest(platform: Outside) -> dict[str, str]:
    """Number and status of the run that was asked for last."""
    found: list[dict[str, str]] = platform.ask(_LATEST)["runsOrError"]["results"]
    return found[0] if found else {}


def _computed(platform: Outside, asset: str) -> list[str]:
    with psycopg.connect(EmbeddedServer(platform.home).url("water")) as connection:
        return [unit for (unit,) in connection.execute("select unit from core.computed where asset = %s order by unit", (asset,))]


def _daemon(platform: Outside) -> int:
    """The process of the daemon, which may be being started again."""

    def alive() -> int | None:
        record = Home(platform.home).record()
        found = record.sessions.get("daemon") if record else None
        return found.pid if found and found.is_alive() else None

    return until(alive, said=platform.logs)
