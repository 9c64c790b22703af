"""Platforms of a home of their own, whose processes can be killed: the real one, and its own functions without Dagster.

`Up` is what `water up` runs. `Loop` does the same work in two processes that are there at once, for the suite.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.commands.home import Home
from water_pipelines.storage.migrate import migrate
from water_pipelines.storage.server import EmbeddedServer
from water_pipelines_tests.delivery.worker import run
from water_pipelines_tests.e2e.outside import Outside, until

_AWAY_S = 2
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["water_pipelines_tests.delivery.worker"])


class Killable(ABC):
    """A platform: what can be killed of it, and what it has stored.

    Parameters
    ----------
    home : a folder that is not there yet.
    environment : its settings; with a broker among them it has a listener.
    """

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        home.mkdir()
        self.home = home
        self.environment = dict(environment)
        self.server = EmbeddedServer(home)

    @property
    def kills(self) -> dict[str, Callable[[], None]]:
        """What can be killed; each is there again afterwards."""
        listener = {"listener": self._kill_listener} if self.environment else {}
        return {"platform": self._kill_all, "platform's postgresql": self._kill_database, **listener}

    def drop(self, name: str, text: str) -> None:
        """Put a file into the inbox."""
        LocalStore(self.home / "store").put(f"inbox/{name}", text.encode())

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]] | None:
        """The rows of a query; none while the database does not answer."""
        try:
            with psycopg.connect(self.server.url("water"), connect_timeout=10) as connection:
                return connection.execute(query).fetchall()
        except psycopg.OperationalError:
            return None

    def _kill_database(self) -> None:
        kill_database(self.server)
        time.sleep(_AWAY_S)
        self.server.ensure_running()

    @abstractmethod
    def _kill_listener(self) -> None: ...

    @abstractmethod
    def _kill_all(self) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Stop everything."""

    @abstractmethod
    def log(self) -> str:
        """The last words of its processes."""


class Up(Killable):
    """The platform that `water up` runs: Dagster's daemon and code server, its runs, the API, PostgreSQL, and the listener."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        super().__init__(home, environment)
        self._outside = Outside(home, self.environment)
        self._outside.start()

    def _kill_all(self) -> None:
        """Kill every process of it at once, as a machine does that loses its power, and call `water up` again."""
        assert self._outside.process is not None
        for process in self._outside.processes():
            process.kill()
        self._outside.process.wait()
        assert self._outside.process.stdout is not None
        self._outside.process.stdout.close()
        time.sleep(_AWAY_S)
        self._outside.start()

    def _kill_listener(self) -> None:
        def leader() -> int | None:
            record = Home(self.home).record()
            found = record.sessions.get("listener") if record else None
            return found.pid if found and found.is_alive() else None

        os.kill(until(leader, said=self.log), signal.SIGKILL)

    def close(self) -> None:
        try:
            self._outside.interrupt()
        finally:
            for process in self._outside.processes():
                process.kill()

    def log(self) -> str:
        return self._outside.logs()


class Loop(Killable):
    """The platform's functions in a loop, the listener, and PostgreSQL."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        super().__init__(home, environment)
        forkserver.ensure_running()  # imports what the worker needs while the database is made
        self.server.ensure_running()
        self.server.ensure_database("water")
        migrate(self.server.url("water"))
        self._log = home / "processes.log"
        self._start_all()

    def _start_all(self) -> None:
        self._start_worker()
        if self.environment:
            self._start_listener()

    def _start_worker(self) -> None:
        self._worker = _FORKS.Process(target=run, args=(self.home, self._log))
        self._worker.start()

    def _start_listener(self) -> None:
        environment = os.environ | self.environment | {"WATER_HOME": str(self.home)}
        environment.pop("WATER_DATABASE_URL", None)
        with self._log.open("ab") as log:
            self._listener = subprocess.Popen([sys.executable, "-m", "water_pipelines.cli", "listen"], env=environment, stdout=log, stderr=log)

    def _end_worker(self) -> None:
        self._worker.kill()
        self._worker.join()

    def _end_listener(self) -> None:
        self._listener.kill()
        self._listener.wait()

    def _kill_all(self) -> None:
        kill_database(self.server)
        self._end_all()
        time.sleep(_AWAY_S)
        self.server.ensure_running()
        self._start_all()

    def _kill_database(self) -> None:
        super()._kill_database()
        self._end_worker()  # what Dagster does with a run that failed
        self._start_worker()

    def _kill_listener(self) -> None:
        self._end_listener()
        self._start_listener()

    def _end_all(self) -> None:
        self._end_worker()
        if self.environment:
            self._end_listener()

    def close(self) -> None:
        self._end_all()
        self.server.stop("immediate")

    def log(self) -> str:
        return "\n".join(self._log.read_text().splitlines()[-30:])


def kill_database(server: EmbeddedServer) -> None:
    """Kill PostgreSQL's first process; the others end with it."""
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
