"""Writing forecasts and series to SensorThings servers, as Datastreams of their own.

What a server holds is compared with what is to be there, and only the difference is written: so a push may be repeated, or cut off anywhere.
Entities are made once and found again by the natural id in their properties.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from water_pipelines.clients.sensorthings import NotUnderstood, SensorThings, SensorThingsError, literal
from water_pipelines.orchestration.operations.pulling import access_to, servers_of
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.sensorthings import Observed, read_times
from water_pipelines.parsers.servers import Server, matches
from water_pipelines.parsers.things import OURS
from water_pipelines.storage import pushed, sensorthings, series
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.series import Series

log = logging.getLogger(__name__)

_ROWS_A_REQUEST = 1_000
_WINDOW = timedelta(days=30)
_MEASUREMENT = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"

Key = tuple[int, int | None]
"""Phenomenon time and, of forecasts, the time of issue, in microseconds since 1970."""


class NotWritten(SensorThingsError):
    """The server took a request and says that some of its rows are wrong."""


@dataclass
class Pushed:
    """What was written to a server."""

    created: int = 0
    changed: int = 0
    deleted: int = 0
    requests: int = 0
    errors: list[str] = field(default_factory=list)


def push(platform: Platform) -> dict[str, Pushed]:
    """Write what is new to every server that is configured for it; what fails of one subject leaves the others."""
    found = {}
    for name, server in servers_of(platform).items():
        if server.push.forecasts or server.push.series:
            found[name] = _push_to(platform, server)
    return found


def _push_to(platform: Platform, server: Server) -> Pushed:
    done = Pushed()
    try:
        with SensorThings(access_to(server)) as client:
            try:
                _Push(platform, server, client, done).run()
            finally:
                done.requests = client.requests
    except (SensorThingsError, UnreadableFile) as error:
        log.warning("%s cannot be written to: %s", server.name, error)
        done.errors.append(str(error))
    return done


class _Push:
    """One push to one server."""

    def __init__(self, platform: Platform, server: Server, client: SensorThings, done: Pushed) -> None:
        self._platform, self._server, self._client, self._done = platform, server, client, done

    def run(self) -> None:
        """All forecasts and series that are wanted there."""
        with self._platform.database.snapshot() as snapshot:
            known = pushed.written(snapshot.connection, self._server.name)
            things = {station: thing for thing, station in sensorthings.stations(snapshot.connection, self._server.name).items()}
            wanted = self._server.push
            for each in series.read_all(snapshot.connection):
                for subject, patterns in (("forecast", wanted.forecasts), ("series", wanted.series)):
                    if matches(patterns, each.natural_id):
                        self._push_one(snapshot, subject, each, known.get((subject, each.natural_id)), things)

    def _push_one(self, snapshot: Snapshot, subject: str, each: Series, before: pushed.Written | None, things: Mapping[str, str]) -> None:
        change = before.change if before else 0
        if subject == "series":
            windows = [part for start, end in pushed.changed_since(snapshot.connection, each.series_id, change) for part in _parts(start, end)]
            wanted = [(start, end, self._values(snapshot, each, start, end)) for start, end in windows]
        else:
            rows = pushed.forecast(snapshot.connection, each.series_id)
            wanted = [(rows[0][0], rows[-1][0] + timedelta(seconds=1), _forecast(rows))] if rows else []
        if not wanted:
            return
        try:
            datastream = _identity(before.datastream) if before else self._datastream(subject, each, things)
            written = sum(self._make_equal(datastream, subject, *window) for window in wanted)
        except NotWritten as error:
            log.warning("%s of %s is not written to %s: %s", subject, each.natural_id, self._server.name, error)
            self._done.errors.append(f"{subject} {each.natural_id}: {error}")
            return
        with self._platform.database.connection() as connection:
            pushed.note(connection, self._server.name, subject, each.natural_id, str(datastream), snapshot.number, written)

    @staticmethod
    def _values(snapshot: Snapshot, each: Series, start: datetime, end: datetime) -> dict[Key, dict[str, Any]]:
        return {(_micros(time), None): {"result": value} for time, value in pushed.values(snapshot.connection, each.series_id, start, end)}

    # Entities

    def _datastream(self, subject: str, each: Series, things: Mapping[str, str]) -> Any:
        """The id of the Datastream of a subject, made with what it needs unless it is there."""
        title = f"Forecast of {each.natural_id}" if subject == "forecast" else each.natural_id
        mark = f"{subject}:{each.natural_id}"
        unit = each.unit or "1"
        return self._found_or_made(
            "Datastreams",
            title,
            mark,
            lambda: {
                "description": f"{title}, by water_pipelines",
                "observationType": _MEASUREMENT,
                "unitOfMeasurement": {"name": unit, "symbol": unit, "definition": f"ucum:{unit}"},
                "Thing": {"@iot.id": self._thing(each.station, things)},
                "Sensor": {"@iot.id": self._sensor(subject)},
                "ObservedProperty": {"@iot.id": self._property(each.observed_property)},
            },
        )

    def _thing(self, station: str, things: Mapping[str, str]) -> Any:
        if station in things:
            return _identity(things[station])
        return self._found_or_made(
            "Things", station, f"station:{station}", lambda: {"description": f"Station {station} of water_pipelines", **self._place(station)}
        )

    def _place(self, station: str) -> dict[str, Any]:
        """Where a station is, without which a server can make no feature of interest; at 0, 0 where that is not known."""
        with self._platform.database.connection() as connection:
            longitude, latitude = pushed.place(connection, station)
        point = {"type": "Point", "coordinates": [longitude or 0.0, latitude or 0.0]}
        return {"Locations": [{"name": station, "description": station, "encodingType": "application/geo+json", "location": point}]}

    def _sensor(self, subject: str) -> Any:
        name = f"water_pipelines {subject}"
        about = {"description": "Computed by water_pipelines", "encodingType": "text/html", "metadata": "https://en.wikipedia.org/wiki/Hydrology"}
        return self._found_or_made("Sensors", name, f"sensor:{subject}", lambda: about)

    def _property(self, name: str) -> Any:
        about = {"definition": f"urn:water_pipelines:{name}", "description": name}
        return self._found_or_made("ObservedProperties", name, f"property:{name}", lambda: about)

    def _found_or_made(self, path: str, name: str, mark: str, about: Any) -> Any:
        found = self._client.find(path, name, lambda properties: properties.get(OURS) == mark)
        if found is None:
            found = self._client.create(path, {"name": name, "properties": {OURS: mark}, **about()})
        return _identity(found)

    # Observations

    def _make_equal(self, datastream: Any, subject: str, start: datetime, end: datetime, wanted: Mapping[Key, dict[str, Any]]) -> int:
        """Write the difference between what is wanted within a window and what the server holds; gives the rows written."""
        held = self._held(datastream, subject, start, end)
        missing = [key for key in wanted if key not in held]
        for begin in range(0, len(missing), _ROWS_A_REQUEST):
            self._create(datastream, [(key, wanted[key]) for key in missing[begin : begin + _ROWS_A_REQUEST]])
        changed = 0
        for key, (identity, *more), result in ((key, held[key][0], held[key][1]) for key in held):
            if key in wanted and result != wanted[key]["result"]:
                self._client.update("Observations", identity, {"result": wanted[key]["result"]})
                changed += 1
            gone = [identity, *more] if key not in wanted and subject == "series" else more
            for each in gone:
                self._client.delete("Observations", each)
            self._done.deleted += len(gone)
        self._done.changed += changed
        return len(missing) + changed

    def _held(self, datastream: Any, subject: str, start: datetime, end: datetime) -> dict[Key, tuple[list[Any], Any]]:
        """What the server holds within a window: by key the ids (more than one where it was written twice) and the last result."""
        condition = f"phenomenonTime ge {_iso(start)} and phenomenonTime lt {_iso(end)}"
        held: dict[Key, tuple[list[Any], Any]] = {}
        for answer in self._client.observations(f"Datastreams({literal(datastream)})/Observations", {"$filter": condition, "$orderby": "id"}):
            observed = Observed.of(answer.document, "here")
            at = read_times(observed, "start").micros
            issued = read_times(Observed(code=observed.code, times=observed.result_times, result_times=observed.result_times), "start").micros
            for row, identity in enumerate(observed.ids):
                key = (int(at[row]), int(issued[row]) if subject == "forecast" else None)
                held[key] = ([identity, *(held[key][0] if key in held else ())], observed.results[row])
        return held

    def _create(self, datastream: Any, rows: Sequence[tuple[Key, dict[str, Any]]]) -> None:
        names = ["phenomenonTime", *(["resultTime"] if rows[0][0][1] is not None else []), *rows[0][1]]
        cells = [[_at(moment) for moment in key if moment is not None] + [row[name] for name in rows[0][1]] for key, row in rows]
        of = {"Datastream": {"@iot.id": datastream}}
        entities = [{**of, **dict(zip(names, cell, strict=True))} for cell in cells]
        try:
            said = self._client.create_observations([{**of, "components": names, "dataArray": cells}])
        except NotUnderstood:  # the data array is an extension of the standard
            try:
                said = self._client.create_in_batch("Observations", entities)
            except NotUnderstood:  # and so are batches in JSON, of its first version
                said = [self._client.create("Observations", entity) for entity in entities]
        wrong = [each for each in said if each.lower().startswith("error")]
        self._done.created += len(said) - len(wrong)
        if wrong or len(said) != len(cells):
            first = wrong[0] if wrong else "rows are missing from the answer"
            raise NotWritten(f"{len(wrong)} of {len(cells)} rows were refused in an answer of success; the first: {first}")


def _forecast(rows: Sequence[tuple[Any, ...]]) -> dict[Key, dict[str, Any]]:
    return {
        (_micros(target), _micros(issued)): {"result": float(median), "parameters": {"q05": float(low), "q95": float(high), "model": model}}
        for target, issued, median, low, high, model in rows
    }


def _parts(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    parts = []
    while start < end:
        parts.append((start, min(start + _WINDOW, end)))
        start += _WINDOW
    return parts


def _identity(found: Any) -> Any:
    """An id as the server writes it in JSON: a number where it is one."""
    return int(found) if str(found).isdecimal() else found


def _micros(at: datetime) -> int:
    return int(np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us").astype(np.int64))


def _at(micros: int) -> str:
    return f"{np.datetime64(micros, 'us')}Z"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
