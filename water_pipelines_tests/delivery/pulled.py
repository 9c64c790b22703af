"""A stream of observations posted to a real SensorThings server, a platform that follows it, and what is killed meanwhile.

A client that is cut off posts the same rows again until the server answers 201 with an address for each, as a device does; so the server may
hold a row twice. The platform must hold each once.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import yaml

from water_pipelines.storage.server import EmbeddedServer
from water_pipelines_tests.delivery.killing import Outcome, Stream, prove, time_of
from water_pipelines_tests.delivery.platforms import Killable, kill_database
from water_pipelines_tests.live.servers import DjangoServer, free_port

_STATION = "MILL"
_DATASTREAMS = 5
_PROCESSES = 3


class Agency:
    """A SensorThings server of several processes, with a PostgreSQL of its own, and the client that posts to it."""

    def __init__(self, folder: Path) -> None:
        home = folder / "agency"
        home.mkdir(mode=0o755)
        self._database = EmbeddedServer(home)
        self._database.ensure_running()
        self._database.ensure_database("sensorthings")
        self._server = DjangoServer(self._database.url("sensorthings"), free_port(), folder / "server.log", processes=_PROCESSES)
        self._server.start()
        self.url = self._server.url
        self._datastreams = list(self._server.add_thing(_STATION, *(f"p{number}" for number in range(_DATASTREAMS))).values())

    def post(self, numbers: range) -> None:
        """Post rows in bulk, again until the server says that it has them all."""
        rows = {
            datastream: [(time_of(number, _DATASTREAMS), float(number)) for number in numbers if number % _DATASTREAMS == place]
            for place, datastream in enumerate(self._datastreams)
        }
        while not self._took(rows):
            time.sleep(0.2)

    def _took(self, rows: dict[str, list[tuple[str, float]]]) -> bool:
        try:
            return not any(said.startswith("error") for said in self._server.add_all(rows))
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """Kill the server, and start it again."""
        self._server.stop()
        time.sleep(0.5)
        self._server.start()

    def kill_all(self) -> None:
        """Kill the server and its PostgreSQL, and start them again."""
        kill_database(self._database)
        self._server.stop()
        time.sleep(2)
        self._database.ensure_running()
        self._server.start()

    def close(self) -> None:
        self._server.close()
        self._database.stop("immediate")


def prove_pulled(
    platform_of: Callable[[Path, dict[str, str]], Killable],
    seed: int,
    *,
    seconds: float,
    rate: float,
    rounds: int,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Post observations for some seconds, and kill server and platform in turn.

    Parameters
    ----------
    platform_of : makes the platform, of a home and settings.
    rate : observations a second.
    rounds : how often each is killed.
    """
    outcome = Outcome()
    folder = Path(tempfile.mkdtemp(prefix="water-pulled-"))
    folder.chmod(0o755)  # else root's server would keep its data below /var/lib
    agency: Agency | None = None
    platform: Killable | None = None
    try:
        agency = Agency(folder)
        platform = platform_of(folder / "home", {})
        said = {"name": "agency", "url": agency.url, "station_id": "name", "interval": "5s", "reconcile": {"every": "30s", "window": "1d"}}
        platform.drop("sensorthings.yaml", yaml.safe_dump({"servers": [said]}))
        kills = {"sensorthings": agency.kill, "sensorthings and its postgresql": agency.kill_all, "platform": platform.kills["platform"]}
        streams = {_STATION: Stream(agency.post, rate, at_once=round(rate / 2))}
        prove(platform, streams, kills, outcome, seed=seed, seconds=seconds, rounds=rounds, say=say)
    finally:
        for each in (platform, agency):
            if each is not None:
                each.close()
        shutil.rmtree(folder)
    return outcome
