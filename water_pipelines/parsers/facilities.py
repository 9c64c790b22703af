"""Messages of facilities: set-ups, sensors that are switched on and off, and data collections.

Their shapes are the JSON Schemas in `schemas/`, one file a kind and version, each with examples. A new version is a new file beside the old
one, which stays; what it says goes into `_TELLERS`. A sensor's series is `facility/sensor`, so that data may come before any set-up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from water_pipelines.parsers import names
from water_pipelines.parsers.contract import SensorState, Series, Station

Said = Mapping[str, Any]
Record = tuple[Series, Any, Any, str | None]
"""Series, time, value and qualifier as the message writes them."""
Told = Station | Series | SensorState | Record

_SCHEMA = re.compile(r"^(?P<name>[a-z-]+)/(?P<version>\d+)$")
_OWN = ("facility", "sensor", "property", "schema", "sensors", "place", "time", "properties")


class Invalid(Exception):
    """A message that is none of the kinds that are known, or not as its schema says."""


def schema_names() -> list[str]:
    """The kinds and versions that are known.

    >>> schema_names()
    ['data-collection/1', 'facility-setup/1', 'sensor-activation/1', 'sensor-deactivation/1']
    """
    return sorted(_TELLERS)


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a kind of message, such as `facility-setup/1`."""
    text = (files("water_pipelines.parsers") / "schemas" / f"{name.replace('/', '.')}.json").read_bytes()
    found: dict[str, Any] = orjson.loads(text)
    return found


def is_of_a_facility(said: Any) -> bool:
    """Whether a JSON document calls itself one of these messages."""
    return isinstance(said, dict) and isinstance(said.get("schema"), str) and _SCHEMA.match(said["schema"]) is not None


def told_by(said: Any) -> Iterator[Told]:
    """What a message tells.

    Raises
    ------
    Invalid
        With where it departs from its schema.
    """
    teller = _TELLERS.get(said["schema"])
    if teller is None:
        raise Invalid(f"the schema {said['schema']!r} is not known; known are {', '.join(schema_names())}")
    error = best_match(_validator(said["schema"]).iter_errors(said))
    if error is not None:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
        raise Invalid(f"it is not as {said['schema']} says{f', at {where}' if where else ''}: {error.message}")
    return teller(said)


@lru_cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


def _setup(said: Said) -> Iterator[Told]:
    facility = said["facility"]
    place = dict(said.get("place", {}))
    own = {name: value for name, value in said.items() if name not in _OWN}
    more = {**said.get("properties", {}), "is_facility": True}
    if "address" in place:
        more["address"] = place.pop("address")
    if "time" in said:
        more["set_up_at"] = said["time"]
    yield Station(facility, {**own, **place, **more})
    for each in said.get("sensors", ()):
        stated = {name: value for name, value in each.items() if name not in _OWN}
        yield _sensor(facility, each["sensor"], {**each.get("properties", {}), **stated, "property": names.snake(each["property"])})


def _sensor(facility: str, sensor: str, attributes: dict[str, Any] | None = None) -> Series:
    return Series(f"{facility}/{sensor}", facility, {"kind": "sensor", **(attributes or {})})


def _state(is_active: bool) -> Callable[[Said], Iterator[Told]]:
    def told(said: Said) -> Iterator[Told]:
        series = _sensor(said["facility"], said["sensor"])
        yield series
        yield SensorState(series.natural_id, series.station, _moment(said["time"]), is_active, said.get("reason"))

    return told


def _moment(said: str) -> datetime:
    try:
        moment = datetime.fromisoformat(said)
    except ValueError as error:
        raise Invalid(f"the time {said!r} cannot be read") from error
    if moment.tzinfo is None:
        raise Invalid(f"the time {said!r} has no offset; send it as in 2026-03-01T12:00:00Z")
    if not timedelta(days=1) < moment - datetime.min.replace(tzinfo=UTC) < timedelta(days=3_652_000):
        raise Invalid(f"the time {said!r} cannot be")
    return moment.astimezone(UTC)


def _collection(said: Said) -> Iterator[Told]:
    for each in said["records"]:
        yield _sensor(said["facility"], each["sensor"]), each["time"], each["value"], each.get("qualifier")


_TELLERS: dict[str, Callable[[Said], Iterator[Told]]] = {
    "facility-setup/1": _setup,
    "sensor-activation/1": _state(True),
    "sensor-deactivation/1": _state(False),
    "data-collection/1": _collection,
}
