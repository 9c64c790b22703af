"""SensorThings servers for tests: the Django one on the session's PostgreSQL, and what writes to it.

Add a verb to `DjangoServer` when several tests arrange the same thing.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from water_pipelines.commands.live_server import DATABASE_URL
from water_pipelines.parsers.names import snake

MEASUREMENT = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"
_PATIENCE_S = 120.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class DjangoServer:
    """A running server of `django-ogc-sensorthings`, in one process or several, and its clients' side."""

    def __init__(self, database_url: str, port: int, log: Path, *, processes: int = 1) -> None:
        self.url = f"http://127.0.0.1:{port}/v1.1"
        self._command = [sys.executable, "-m", "water_pipelines.commands.live_server", str(port), str(processes)]
        self._environment = os.environ | {DATABASE_URL: database_url}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=60)

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()
            try:
                if self._http.get(self.url + "/").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise TimeoutError(f"the server did not answer within {_PATIENCE_S} s: {self._log.read_text()}")

    def stop(self) -> None:
        """Kill it with all its processes, as a crash would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        self._http.close()

    def create(self, path: str, entity: dict[str, Any]) -> str:
        """An entity; gives its id."""
        made = self._http.post(f"{self.url}/{path}", json=entity)
        made.raise_for_status()
        return str(made.headers["location"]).rpartition("(")[2].strip("')")

    def add_thing(self, name: str, *properties: str, unit: str = "m", at: tuple[float, float] = (14.4, 50.0)) -> dict[str, str]:
        """A Thing with a Datastream for each observed property; gives the Datastreams' ids by property."""
        location = {"type": "Point", "coordinates": list(at)}
        place = {"name": name, "description": "place", "encodingType": "application/geo+json", "location": location}
        thing = self.create("Things", {"name": name, "description": "a station", "properties": {"station_id": name}, "Locations": [place]})
        return {each: self.add_datastream(thing, name, each, unit) for each in properties}

    def add_datastream(self, thing: str, station: str, observed: str, unit: str = "m") -> str:
        """A Datastream of a Thing, with a sensor and an observed property of its own (this server mixes up those of a deep insert)."""
        probe = {"name": "probe", "description": "probe", "encodingType": "text/html", "metadata": "http://example.org"}
        return self.create(
            "Datastreams",
            {
                "name": f"{station} {observed}",
                "description": observed,
                "observationType": MEASUREMENT,
                "unitOfMeasurement": {"name": unit, "symbol": unit, "definition": f"ucum:{unit}"},
                "Thing": {"@iot.id": thing},
                "Sensor": {"@iot.id": self.create("Sensors", probe)},
                "ObservedProperty": {
                    "@iot.id": self.create(
                        "ObservedProperties", {"name": observed, "definition": f"http://example.org/{snake(observed)}", "description": observed}
                    )
                },
            },
        )

    def add(self, datastream: str, rows: Sequence[tuple[str, float]]) -> list[str]:
        """Observations (time, result); gives their ids."""
        made = self.add_all({datastream: rows})
        assert not any(each.startswith("error") for each in made), made
        return [each.rpartition("(")[2].strip("')") for each in made]

    def add_all(self, rows: Mapping[str, Sequence[tuple[str, float]]]) -> list[str]:
        """Observations (time, result) of several Datastreams in one request; gives their addresses, or `error` in place of one."""
        groups = [
            {"Datastream": {"@iot.id": datastream}, "components": ["phenomenonTime", "result"], "dataArray": [list(row) for row in some]}
            for datastream, some in rows.items()
        ]
        made = self._http.post(f"{self.url}/CreateObservations", json=groups)
        made.raise_for_status()
        said: list[str] = made.json()
        return said

    def correct(self, observation: str, result: float) -> None:
        """Give an observation another result."""
        self._http.patch(f"{self.url}/Observations('{observation}')", json={"result": result}).raise_for_status()

    def delete(self, observation: str) -> None:
        """Delete an observation."""
        self._http.delete(f"{self.url}/Observations('{observation}')").raise_for_status()

    def count(self, path: str) -> int:
        """How many entities a collection has."""
        number: int = self._http.get(f"{self.url}/{path}", params={"$count": "true", "$top": 1}).json()["@iot.count"]
        return number

    def values(self, datastream: str) -> list[tuple[str, float]]:
        """What a Datastream holds, in the order of time."""
        found = self._http.get(f"{self.url}/Datastreams('{datastream}')/Observations", params={"$top": 100}).json()["value"]
        return sorted((each["phenomenonTime"], each["result"]) for each in found)


@contextmanager
def django_server(database_url: str, folder: Path) -> Iterator[DjangoServer]:
    """A server on an empty database."""
    server = DjangoServer(database_url, free_port(), folder / "server.log")
    try:
        server.start()
        yield server
    finally:
        server.close()
