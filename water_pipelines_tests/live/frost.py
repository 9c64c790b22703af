"""A small server that replays the recorded exchanges of a real FROST.

A URL that was recorded is answered with the recorded bytes. Any other question is answered from what the recording holds, the way the recording
shows: `$top` capped without a word, `$skip` and `$skipFilter` in the links, data arrays grouped by runs of a Datastream, 400 for a filter
that it does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

RECORDED_AT = "http://frost.example/FROST-Server/v1.1"
CAP = 1_000
_CONDITION = re.compile(r"\(?\s*(?P<name>@iot\.id|id|phenomenonTime|resultTime)\s+(?P<word>gt|ge|lt|le)\s+(?P<value>[^\s()]+)\s*\)?")
_COMPARE = {"gt": lambda a, b: a > b, "ge": lambda a, b: a >= b, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b}


class Recording:
    """What the recording holds, as it was after its last exchange but for what a test takes away or changes."""

    def __init__(self, file: Path) -> None:
        exchanges = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        self.exact = {_normal(each["url"]): each for each in exchanges if each["method"] == "GET"}
        self.things: dict[int, dict[str, Any]] = {}
        self.observations: dict[int, dict[str, Any]] = {}
        self.multi: list[dict[str, Any]] = []
        for each in exchanges:
            if each["method"] == "GET" and each["status"] == 200:
                self._keep(each)
        self.observations[1]["result"] = 9.999  # the recorded PATCH
        del self.observations[2]  # and the recorded DELETE

    def _keep(self, exchange: dict[str, Any]) -> None:
        document = json.loads(exchange["body"]) if isinstance(exchange["body"], str) else exchange["body"]
        scenario = exchange["scenario"]
        if scenario == "things expanded":
            self.things = {each["@iot.id"]: each for each in document["value"]}
        elif scenario == "historical locations":
            self.things[4]["HistoricalLocations"] = document["value"]
        elif scenario == "multi datastream":
            self.multi = document["value"]
            for each in self.multi:
                for row in each.pop("Observations"):
                    self.observations[row["@iot.id"]] = {**row, "MultiDatastream": {"@iot.id": each["@iot.id"]}}
        elif scenario == "odd observations read back":
            self.observations |= {row["@iot.id"]: {**row, "Datastream": {"@iot.id": 5}} for row in document["value"]}
        elif scenario in ("all observations by id, pages of 1000", "poll after late data"):
            for row in document["value"]:
                if "Datastream" in row:
                    self.observations.setdefault(row["@iot.id"], row)

    @property
    def datastreams(self) -> list[dict[str, Any]]:
        """The Datastreams of all Things, each with its Thing."""
        return [
            {**each, "Thing": {"@iot.id": thing["@iot.id"], "name": thing["name"]}} for thing in self.things.values() for each in thing["Datastreams"]
        ]


def _normal(url: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    parts = urlsplit(url)
    return unquote(parts.path).rstrip("/"), tuple(sorted(parse_qsl(parts.query)))


class FrostReplay:
    """The running replay.

    `asked` are the questions that it was asked, `refuses` the options that it does not understand of observations; where it `links_on`, an empty
    page follows the last one, as with servers that do not look ahead. What lies behind the first `gives` rows of a question it does not give.
    """

    def __init__(self, recording: Recording, port: int) -> None:
        self.recording = recording
        self.asked: list[str] = []
        self.refuses: set[str] = set()
        self.links_on = False
        self.gives: int | None = None
        self.url = f"http://127.0.0.1:{port}/FROST-Server/v1.1"

    def answer(self, target: str) -> tuple[int, str]:
        """Status and body of a GET."""
        self.asked.append(target)
        recorded = self.recording.exact.get(_normal(f"http://frost.example{target}"))
        if recorded is not None and "Things?" not in target:
            body = recorded["body"] if isinstance(recorded["body"], str) else json.dumps(recorded["body"])
            return recorded["status"], body.replace(RECORDED_AT, self.url)
        if any(f"{name}=" in unquote(target) for name in self.refuses) and "Observations" in target:
            return 400, '{"code":400,"type":"error","message":"Not supported"}'
        path, options = unquote(urlsplit(target).path).removeprefix("/FROST-Server/v1.1").strip("/"), dict(parse_qsl(urlsplit(target).query))
        if self.gives is not None and int(options.get("$skip", "0")) >= self.gives:
            return 302, "{}"
        try:
            return 200, json.dumps(self._collection(path, options))
        except KeyError:
            return 404, '{"code":404,"type":"error","message":"Not Found"}'
        except ValueError as error:
            return 400, json.dumps({"code": 400, "type": "error", "message": str(error)})

    def _collection(self, path: str, options: dict[str, str]) -> dict[str, Any]:
        one = re.fullmatch(r"(Multi)?Datastreams\((\d+)\)/Observations", path)
        if path == "Things":
            rows = [{name: value for name, value in each.items() if name != "Datastreams"} for each in self.recording.things.values()]
        elif path == "Datastreams":
            rows = self.recording.datastreams
        elif path == "MultiDatastreams":
            rows = [{**each, "Thing": {"@iot.id": 4}} for each in self.recording.multi]
        elif path == "Observations" or one:
            rows = [self.recording.observations[number] for number in sorted(self.recording.observations)]
            if one:
                kind = f"{one[1] or ''}Datastream"
                rows = [row for row in rows if row.get(kind, {}).get("@iot.id") == int(one[2])]
        else:
            raise KeyError(path)
        rows = [row for row in rows if self._fits(row, options.get("$filter", ""))]
        if options.get("$orderby", "").endswith("desc"):
            rows.reverse()
        top, skip = min(int(options.get("$top", "100")), CAP), int(options.get("$skip", "0"))
        page = rows[skip : skip + top]
        more = len(rows) > skip + top or (self.links_on and bool(page))
        if options.get("$resultFormat") == "dataArray":
            page = self._as_array(page)
        elif path.endswith("Observations") and "$expand" not in options:
            page = [{name: value for name, value in row.items() if name not in ("Datastream", "MultiDatastream")} for row in page]
        link = {"@iot.nextLink": f"{self.url}/{path}?{urlencode({**options, '$top': str(top), '$skip': str(skip + top)})}"} if more else {}
        return {"value": page, **link} | ({"@iot.count": len(rows)} if options.get("$count") == "true" else {})

    def _as_array(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        names = ["id", "phenomenonTime", "result", "resultTime", "resultQuality", "validTime", "parameters"]
        groups = []
        for link, found in groupby(rows, key=self._link):
            cells = [[row.get(f"@iot.{name}" if name == "id" else name) for name in names] for row in found]
            groups.append({f"{link[0]}@iot.navigationLink": link[1], "components": names, "dataArray@iot.count": len(cells), "dataArray": cells})
        return groups

    def _link(self, row: dict[str, Any]) -> tuple[str, str]:
        kind = "Datastream" if "Datastream" in row else "MultiDatastream"
        return kind, f"{self.url}/{kind}s({row[kind]['@iot.id']})"

    @staticmethod
    def _fits(row: dict[str, Any], condition: str) -> bool:
        *conditions, chosen = condition.rpartition(" and (Datastream/id")[::2] if "Datastream/id" in condition else (condition, "")
        if "Datastream/id" in condition and row.get("Datastream", {}).get("@iot.id") not in map(int, re.findall(r"eq (\d+)", chosen)):
            return False
        plain = conditions[0].strip("()")
        if " or " in plain:
            return any(FrostReplay._fits(row, part) for part in plain.split(" or "))
        for part in filter(None, plain.split(" and ")):
            found = _CONDITION.fullmatch(part)
            if found is None:
                raise ValueError(f"Could not place {part} under type Observation")
            name = found["name"]
            is_id = name in ("id", "@iot.id")
            held = row["@iot.id"] if is_id else _instant(row.get(name))
            if held is None or not _COMPARE[found["word"]](held, int(found["value"]) if is_id else _instant(found["value"])):
                return False
        return True


def _instant(written: Any) -> datetime | None:
    return datetime.fromisoformat(str(written).partition("/")[0]).astimezone(UTC) if written else None


@contextmanager
def frost_replay(recording: Recording) -> Iterator[FrostReplay]:
    """A running replay."""
    with serving(lambda target, replay: replay.answer(target), lambda port: FrostReplay(recording, port)) as replay:
        yield replay


@contextmanager
def serving(answer: Any, made: Any) -> Iterator[Any]:
    """A server of this machine: `made(port)` is what `answer(target, made)` takes its status and body from."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the library's name
            status, text = answer(self.path, served)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = made(server.server_port)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
