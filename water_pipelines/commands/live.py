"""The demo's live data: a SensorThings server with a simulated station, which the platform follows like any other server."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import time
from datetime import datetime

import yaml

from water_pipelines.commands import databases
from water_pipelines.commands.asking import Api, NotReachable
from water_pipelines.commands.drop import store_of
from water_pipelines.commands.live_server import DATABASE_URL
from water_pipelines.commands.live_station import STATION
from water_pipelines.commands.output import Output
from water_pipelines.commands.platform import Platform, answers
from water_pipelines.commands.processes import Program
from water_pipelines.parsers.inbox import INBOX
from water_pipelines.settings import Settings

FOLDER = "live"
_EVERY_S = 5.0
_TELL_EVERY_S = 15.0


class LiveData:
    """The live part of a demo; `start` it, then `tell` now and then."""

    def __init__(self, platform: Platform, settings: Settings, api: Api, output: Output) -> None:
        self._platform, self._settings, self._api, self._output = platform, settings, api, output
        self._tell_at = 0.0
        self._told: str | None = None

    def start(self) -> bool:
        """Run server and station, and drop the file by which the platform follows them; False where the extra `live` is not installed."""
        if importlib.util.find_spec("sensorthings") is None or importlib.util.find_spec("waitress") is None:
            self._output.say("no live data: the extra `live` is not installed (pip install 'water-pipelines[live]')")
            return False
        server = databases.server_of(self._settings)
        database = f"{self._settings.database}_live"
        server.ensure_database(database)
        for program in programs_of(server.url(database), port := _free_port()):
            self._platform.add(program)
        url = f"http://127.0.0.1:{port}/v1.1"
        said = {"servers": [{"name": "demo", "url": url, "station_id": "properties.station_id", "interval": f"{_EVERY_S:g}s"}]}
        store_of(self._settings).put(f"{INBOX}{FOLDER}/sensorthings.yaml", yaml.safe_dump(said).encode())
        self._output.say(
            f"a simulated station posts every {_EVERY_S:g} s to {url} (SensorThings 1.1), and the platform follows it; WATER_DEMO_LIVE=0 is without"
        )
        return True

    def tell(self) -> None:
        """Say what arrived last, when it is something new."""
        if time.monotonic() < self._tell_at:
            return
        self._tell_at = time.monotonic() + _TELL_EVERY_S
        try:
            series = next(self._api.items("/api/v1/time-series/metadata", station=STATION), None)
            if series is None or series["last_at"] in (None, self._told):
                return
            self._told = series["last_at"]
            query = {"series_id": series["id"], "start": self._told, "rows": "true"}
            value = self._api.get("/api/v1/time-series/data", **query)["rows"][-1]["value"]
        except NotReachable:
            return
        age_s = time.time() - datetime.fromisoformat(str(self._told)).timestamp()
        self._output.say(f"live: {series['natural_id']} is {value} {series['unit'] or ''}, measured {age_s:.0f} s ago")


def programs_of(database_url: str, port: int) -> list[Program]:
    """The server and the station that posts to it."""
    here = "water_pipelines.commands"
    return [
        Program(
            "live server",
            [sys.executable, "-m", f"{here}.live_server", str(port)],
            os.environ | {DATABASE_URL: database_url},
            lambda: answers(f"http://127.0.0.1:{port}/v1.1/"),
            grace_s=5,
        ),
        Program(
            "live station",
            [sys.executable, "-m", f"{here}.live_station", f"http://127.0.0.1:{port}/v1.1", f"{_EVERY_S:g}"],
            dict(os.environ),
            after=("live server",),
            grace_s=5,
        ),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
