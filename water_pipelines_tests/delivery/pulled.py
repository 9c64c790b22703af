"""A stream of observations posted to a real SensorThings server, a platform that pulls it, and what is killed meanwhile.

A client that is cut off posts the same rows again until the server answers 201, as a device does; so the server may hold a row twice. The
platform must hold each once.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import yaml

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import NOT_ANSWERING, Database
from water_pipelines.storage.migrate import migrate
from water_pipelines.storage.server import EmbeddedServer
from water_pipelines_tests.delivery.proof import Outcome, Stream, time_of
from water_pipelines_tests.live.servers import DjangoServer, free_port
from water_pipelines_tests.orchestration.brokers import rows

_DATASTREAMS = 5
_ROWS_A_POST = 50
_PATIENCE_S = 400
_COUNT = "select count(*), coalesce(sum(value), 0)::bigint, count(distinct value) from core.observation"


class Agency:
    """A SensorThings server with a PostgreSQL of its own, and the client that posts to it."""

    def __init__(self, folder: Path) -> None:
        home = folder / "agency"
        home.mkdir(mode=0o755)
        self._database = EmbeddedServer(home)
        self._database.ensure_running()
        self._database.ensure_database("sensorthings")
        self._server = DjangoServer(self._database.url("sensorthings"), free_port(), folder / "server.log")
        self._server.start()
        self.url = self._server.url
        self._datastreams = list(self._server.add_thing("MILL", *(f"p{number}" for number in range(_DATASTREAMS))).values())

    def post(self, batch: int) -> None:
        """Post rows in bulk, again until the server says that it has them."""
        numbers = range(batch * _ROWS_A_POST, (batch + 1) * _ROWS_A_POST)
        for place, datastream in enumerate(self._datastreams):
            some = [(time_of(number, _DATASTREAMS), float(number)) for number in numbers if number % _DATASTREAMS == place]
            while not self._took(datastream, some):
                time.sleep(0.2)

    def _took(self, datastream: str, some: list[tuple[str, float]]) -> bool:
        try:
            self._server.add(datastream, some)
        except httpx.HTTPError:
            return False
        return True

    def kill(self) -> None:
        """Kill the server, and start it again."""
        self._server.stop()
        time.sleep(0.5)
        self._server.start()

    def kill_all(self) -> None:
        """Kill the server and its PostgreSQL, and start them again."""
        _kill_database(self._database)
        self._server.stop()
        time.sleep(2)
        self._database.ensure_running()
        self._server.start()

    def close(self) -> None:
        self._server.close()
        self._database.stop("immediate")


class Following:
    """A platform that follows the server, in a process of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self._home, self._log = folder / "home", folder / "puller.log"
        self._home.mkdir()
        self._server = EmbeddedServer(self._home)
        self._server.ensure_running()
        self._server.ensure_database("water")
        migrate(self._server.url("water"))
        self.platform = Platform(
            Settings(home=self._home), Database(self._server.url("water"), code_version="proof"), LocalStore(self._home / "store")
        )
        said = {"servers": [{"name": "agency", "url": url, "station_id": "name", "interval": "1s", "reconcile": {"every": "5s", "window": "1d"}}]}
        self.platform.store.put("inbox/sensorthings.yaml", yaml.safe_dump(said).encode())
        empty_inbox(self.platform)
        self._start()

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "water_pipelines_tests.delivery.puller", str(self._home)], stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill all of it at once, PostgreSQL included, and start it again."""
        _kill_database(self._server)
        self.stop()
        time.sleep(2)
        self._server.ensure_running()
        self._start()

    def count(self) -> tuple[int, int, int] | None:
        """How many values are stored, their sum, and how many different ones; none where the database was killed since it was asked last."""
        try:
            ((number, total, different),) = rows(self.platform, _COUNT)
        except NOT_ANSWERING:
            return None
        return number, total, different

    def log(self) -> str:
        """The last words of the puller."""
        return "\n".join(self._log.read_text().splitlines()[-20:])

    def stop(self) -> None:
        """Kill the puller."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.stop()
        self.platform.database.close()
        self._server.stop("immediate")


def _kill_database(server: EmbeddedServer) -> None:
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def prove_pulled(seed: int, *, seconds: float, rate: float, rounds: int, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Post observations for some seconds and kill server and platform in turn, in an order and at times that the seed gives.

    Parameters
    ----------
    rate : observations a second, as far as the server keeps up.
    rounds : how often each kind of process is killed.
    """
    outcome, rng = Outcome(), random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="water-pulled-"))
    folder.chmod(0o755)  # else root's server would keep its data below /var/lib
    agency, following = None, None
    try:
        agency = Agency(folder)
        following = Following(folder, agency.url)
        all_killed = threading.Event()
        stream = Stream(agency.post, rate / _ROWS_A_POST, seconds, all_killed)
        stream.start()
        kills = {"sensorthings": agency.kill, "sensorthings and its postgresql": agency.kill_all, "platform": following.kill}
        turns = [name for _ in range(rounds) for name in rng.sample(sorted(kills), len(kills))]
        began = time.monotonic()
        for number, name in enumerate(turns):
            time.sleep(max(0.0, began + seconds * (number + rng.uniform(0.2, 0.8)) / len(turns) - time.monotonic()))
            kills[name]()
            outcome.kills[name] = outcome.kills.get(name, 0) + 1
            say(f"{time.monotonic() - began:5.1f} s: killed {name}")
        all_killed.set()
        stream.join(seconds + _PATIENCE_S)
        if stream.is_alive() or stream.failed:
            outcome.problems.append(f"the stream did not end: {stream.failed}")
        outcome.sent = stream.sent * _ROWS_A_POST
        wanted = (outcome.sent, outcome.sent * (outcome.sent - 1) // 2, outcome.sent)
        ends_at = time.monotonic() + _PATIENCE_S
        while (found := following.count()) != wanted and time.monotonic() < ends_at:
            time.sleep(0.5)
        if found != wanted:
            outcome.problems.append(f"stored (count, sum, distinct) {found}, answered 201 {wanted}\n{following.log()}")
        following.stop()
        _examine(following.platform, outcome)
    finally:
        for each in (following, agency):
            if each is not None:
                each.close()
        shutil.rmtree(folder)
    return outcome


def _examine(platform: Platform, outcome: Outcome) -> None:
    """What must hold once what was cut off is ended: nothing was set aside, nothing ever changed a value."""
    empty_inbox(platform)
    queries = {
        "files that could not be loaded": "select count(*) from raw.source_file where status <> 'succeeded'",
        "files whose landing was never ended": "select count(*) from raw.source_file where landed_at is null",
        "values that changed": "select count(*) from history.observation",
    }
    for what, query in queries.items():
        ((number,),) = rows(platform, query)
        if number:
            outcome.problems.append(f"{number} {what}")
    ((outcome.batches, outcome.unchanged),) = rows(
        platform, "select count(distinct load_id)::int, coalesce(sum(unchanged), 0)::int from raw.load_day"
    )
