"""Killing at a point, starting again, retrying, and comparing with what was never interrupted."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_postgresql.dbapi  # noqa: F401  # here, once, rather than in every fork, where it is most of the work
import psutil
import psycopg

import water_pipelines.parsers.recognise  # noqa: F401  # the same
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import computed, source_files, stale
from water_pipelines_tests.crashes.operations import FIRST_DAY, OPERATIONS, Operation, base, recover
from water_pipelines_tests.crashes.points import watch
from water_pipelines_tests.exactness import state
from water_pipelines_tests.worlds import World, Worlds

VICTIMS = ("worker", "server")
_OF_LANDING = ("arrived_at", "key", "sha256", "bytes", "job_id")
"""What differs where nothing is lost: times, and the bytes of forecasts, which name the change that they were made from. Their rows are compared."""
_PATIENCE_S = 60.0
_NUMBER = re.compile(r"\b[0-9a-f]{8,}\b|\d+|(?<=inbox/)\S+")


@dataclass(frozen=True)
class Place:
    """Where a process is killed: before or after its n-th write in an operation, and who dies with it."""

    operation: str
    number: int
    is_done: bool
    victim: str
    what: str
    phase: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.victim} killed {'after' if self.is_done else 'before'} write {self.number} ({self.what})"

    @property
    def kind(self) -> tuple[str, bool, str]:
        """What places that are one write point have in common: the same statement after the same ones of its transaction."""
        return self.victim, self.is_done, self.phase


class Harness:
    """Operations on worlds of one durable server. Work is done in forked processes: this one opens no platform, so that forks are clean."""

    def __init__(self) -> None:
        logging.disable(logging.CRITICAL)  # what dies says so
        self._worlds = Worlds(is_durable=True, first_day=FIRST_DAY)
        self._scratch = Path(tempfile.mkdtemp(prefix="water-crash-"))
        self._base: World | None = None
        self._prepared: dict[str, World] = {}
        self._uninterrupted: dict[str, World] = {}

    def close(self) -> None:
        """Stop the server and remove everything."""
        self._worlds.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        logging.disable(logging.NOTSET)

    def places(self, name: str) -> list[Place]:
        """Every place at which an operation can be killed: before each write, and after each commit."""
        operation, heard = OPERATIONS[name], self._scratch / f"{name}.json"
        prepared = self._prepare(name, operation)
        reference = self._uninterrupted[name] = self._worlds.new(like=prepared)

        def whole() -> None:
            found: list[str] = []
            watch(lambda number, is_done, what: None if is_done else found.append(what))
            with reference.opened() as platform:
                operation.work(platform)
                heard.write_text(json.dumps(found))
                recover(platform)

        _must(forked(whole), f"{name}, uninterrupted")
        points = json.loads(heard.read_text())
        kills = [
            (number, is_done, what, phase)
            for number, (what, phase) in enumerate(zip(points, _phases(points), strict=True), start=1)
            for is_done in ((False, True) if what == "commit" else (False,))
        ]
        return [Place(name, number, is_done, victim, what, phase) for victim in VICTIMS for number, is_done, what, phase in kills]

    def strike(self, place: Place) -> list[str]:
        """Kill at a place, start again and retry; gives what differs from the uninterrupted state."""
        operation, world = OPERATIONS[place.operation], self._worlds.new(like=self._prepared[place.operation])
        told = self._scratch / "differences.json"
        told.unlink(missing_ok=True)

        def struck() -> None:
            watch(lambda number, is_done, what: self._kill(place) if (number, is_done) == (place.number, place.is_done) else None)
            with world.opened("killed") as platform:
                operation.work(platform)

        def again() -> None:
            with world.opened("again") as platform, self._uninterrupted[place.operation].opened() as reference:
                _patiently(platform, operation)
                told.write_text(json.dumps(_differences(platform, reference)))

        try:
            other = operation.beside
            beside = _fork(lambda: _quietly(world, other)) if other else None
            code = forked(struck)
            if beside:
                if place.victim == "server":  # it would wait for a server that is gone
                    os.kill(beside, signal.SIGKILL)
                _ended(beside)
            if code != -signal.SIGKILL and not (code == 0 and other):
                return ["it was not killed there: the point was not reached"]
            self._worlds.server.ensure_running()
            if forked(again) != 0:
                return ["the retry failed"]
            found: list[str] = json.loads(told.read_text())
            return found
        finally:
            self._worlds.drop(world)

    def _prepare(self, name: str, operation: Operation) -> World:
        if operation.on_base and self._base is None:
            self._base = self._worlds.new()
            _must(forked(lambda: _on(self._base, base)), "the base")
        world = self._prepared[name] = self._worlds.new(like=self._base if operation.on_base else None)
        _must(forked(lambda: _on(world, operation.before)), f"what goes before {name}")
        return world

    def _kill(self, place: Place) -> None:
        if place.victim == "server":
            postmaster = psutil.Process(self._worlds.embedded.status().pid)
            for process in [postmaster, *postmaster.children(recursive=True)]:
                process.kill()
        os.kill(os.getpid(), signal.SIGKILL)


def _phases(points: Sequence[str]) -> Iterator[str]:
    """Each write with those before it in its transaction, each kind of these once; numbers, hashes and names of files aside."""
    before: list[str] = []
    for what in points:
        write = _NUMBER.sub("", what)
        yield " | ".join([*before, write])
        if what == "commit":
            before = []
        elif write not in before:
            before.append(write)


def _on(world: World | None, work: Callable[[Platform], object]) -> None:
    assert world is not None
    with world.opened("before") as platform:
        work(platform)
        with platform.database.connection() as connection:
            failed = connection.execute("select name, error from raw.source_file where status = 'failed' and error is not null").fetchall()
        if failed:
            raise RuntimeError(f"files that should be loaded are not: {failed}")


def _quietly(world: World, work: Callable[[Platform], object]) -> None:
    """Work of a process whose server may be killed under it, which is no finding."""
    with world.opened("beside") as platform, suppress(psycopg.Error):
        work(platform)


def _patiently(platform: Platform, operation: Operation) -> None:
    """Retry until nothing waits: the locks of a killed process are let go of when the server notices."""
    end = time.monotonic() + _PATIENCE_S
    if operation.again:
        operation.again(platform)
    while True:
        recover(platform)
        if not source_files.to_load(platform.database) or time.monotonic() > end:
            return
        time.sleep(0.2)


def _differences(platform: Platform, reference: Platform) -> list[str]:
    found = [f"{table}: {what}" for table, what in state.differences(platform, reference, _OF_LANDING).items()]
    with platform.database.connection() as connection, reference.database.connection() as expected:
        query = "select asset, unit from core.computed where asset not like 'raw/%' order by 1, 2"
        here, there = set(connection.execute(query).fetchall()), set(expected.execute(query).fetchall())
        if here != there:
            found.append(f"computed units: only here {sorted(here - there)[:3]}, only there {sorted(there - here)[:3]}")
        if left := stale.counts(connection):
            found.append(f"still stale: {left}")
        if computed.not_logged(connection, 1):
            found.append("not everything was told")
        failed = connection.execute("select name, attempts, error from raw.source_file where status = 'failed'").fetchall()
        found += [f"failed in attempt {attempts}: {name}: {error}" for name, attempts, error in failed]
        keys = {row[0] for row in connection.execute("select key from raw.source_file")}
    landed = {each.key for each in platform.store.list("landed/")}
    wanted = {name for key in keys for name in (key, f"{key}.json")}
    if landed != wanted:
        found.append(f"landed area: only there {sorted(landed - wanted)[:3]}, missing {sorted(wanted - landed)[:3]}")
    found += [f"left in the inbox: {each.key}" for each in platform.store.list("inbox/")]
    return found


def _fork(work: Callable[[], object]) -> int:
    """Do work in a process of its own; gives its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001  # told by the exit code
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def _ended(pid: int) -> int:
    """Wait for a process; gives its exit code, negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def forked(work: Callable[[], object]) -> int:
    """Do work in a process of its own, and wait for it; gives its exit code."""
    return _ended(_fork(work))


def _must(code: int, what: str) -> None:
    if code != 0:
        raise RuntimeError(f"{what} failed with code {code}; see above")
