"""A server that answers as the recorded FROST does, with as many Datastreams and observations as a race needs.

Ids are numbers that grow; observations came in bulk, a Datastream's thousand after the other's. It is quick, so that a race waits for its
clients. What is asked of it beyond what the races ask is not there.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import orjson

from water_pipelines_tests.live.frost import serving

_START = datetime(2024, 1, 1, tzinfo=UTC)
_CAP = 10_000
_RUN = 1_000
_PATH = "/FROST-Server/v1.1"
_COLUMNS = ("id", "phenomenonTime", "result", "resultTime")
_BOUND = re.compile(r"id (gt|le) (\d+)")


@dataclass
class Station:
    """The made-up server.

    Parameters
    ----------
    rows : how many observations of the past it has; `news` are the Datastreams of those that came since.
    """

    url: str
    datastreams: int
    rows: int
    news: list[int]
    asked: int = 0

    def answer(self, target: str) -> tuple[int, str]:
        """Status and body of a GET."""
        self.asked += 1
        parts = urlsplit(target)
        path, options = unquote(parts.path).removeprefix(_PATH).strip("/"), dict(parse_qsl(parts.query))
        if not path:
            names = ("Things", "Datastreams", "Observations")
            return 200, orjson.dumps({"value": [{"name": name, "url": f"{self.url}/{name}"} for name in names]}).decode()
        top, skip = min(int(options.get("$top", "100")), _CAP), int(options.get("$skip", "0"))
        count, one = {
            "Things": ((self.datastreams + 9) // 10, self._thing),
            "Datastreams": (self.datastreams, self._datastream),
            "Observations": (self.rows + len(self.news), self._observation),
        }[path]
        bounds = {word: int(number) for word, number in _BOUND.findall(options.get("$filter", ""))}
        numbers: Any = range(bounds.get("gt", 0) + 1, min(bounds.get("le", count), count) + 1)
        if options.get("$orderby", "").endswith("desc"):
            numbers = numbers[::-1]
        rows = [one(number) for number in numbers[skip : skip + top]]
        more = len(numbers) > skip + top
        link = {"@iot.nextLink": f"{self.url}/{path}?{urlencode({**options, '$top': str(top), '$skip': str(skip + top)})}"} if more else {}
        return 200, orjson.dumps({"value": self._as_array(rows) if options.get("$resultFormat") == "dataArray" else rows, **link}).decode()

    def _as_array(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = []
        held = None
        for row in rows:
            if row["Datastream"]["@iot.id"] != held:
                held = row["Datastream"]["@iot.id"]
                groups.append({"Datastream@iot.navigationLink": f"{self.url}/Datastreams({held})", "components": _COLUMNS, "dataArray": []})
            groups[-1]["dataArray"].append([row["@iot.id"], row["phenomenonTime"], row["result"], None])
        return groups

    def _thing(self, number: int) -> dict[str, Any]:
        return {"@iot.id": number, "name": f"Station {number}", "description": "made up", "properties": {}, "Locations": []}

    def _datastream(self, number: int) -> dict[str, Any]:
        thing = (number - 1) // 10 + 1
        said = {"name": "water level", "definition": "http://example.org/water_level", "description": "made up"}
        return {
            "@iot.id": number,
            "name": f"Datastream {number}",
            "description": "made up",
            "observationType": "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement",
            "unitOfMeasurement": {"name": "metre", "symbol": "m", "definition": "ucum:m"},
            "Thing": {"@iot.id": thing, "name": f"Station {thing}"},
            "Sensor": {"@iot.id": number, "name": f"probe {number}", "description": "", "encodingType": "text/html", "metadata": ""},
            "ObservedProperty": {"@iot.id": number, **said},
        }

    def _observation(self, number: int) -> dict[str, Any]:
        at = number - 1
        if at < self.rows:
            turn = at // _RUN
            datastream, minute = turn % self.datastreams + 1, turn // self.datastreams * _RUN + at % _RUN
        else:
            datastream, minute = self.news[at - self.rows], 2 * self.rows + at
        return {
            "@iot.id": number,
            "phenomenonTime": f"{_START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}",
            "result": at % 9973 / 1000,
            "resultTime": None,
            "Datastream": {"@iot.id": datastream},
        }


def _serve(pipe: Pipe, datastreams: int, rows: int) -> None:
    with serving(
        lambda target, station: station.answer(target), lambda port: Station(f"http://127.0.0.1:{port}{_PATH}", datastreams, rows, [])
    ) as station:
        pipe.send(station.url)
        while (news := pipe.recv()) is not None:
            station.news += news
            pipe.send(station.asked)


class Running:
    """A made-up server in a process of its own."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.url: str = pipe.recv()

    def add(self, *datastreams: int) -> int:
        """Let Datastreams have one new observation each; gives how often the server was asked so far."""
        self._pipe.send(list(datastreams))
        asked: int = self._pipe.recv()
        return asked


@contextmanager
def made_up_frost(datastreams: int, rows: int) -> Iterator[Running]:
    """A server that costs its clients' process nothing."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, datastreams, rows))
    process.start()
    try:
        yield Running(ours)
    finally:
        ours.send(None)
        process.join()
