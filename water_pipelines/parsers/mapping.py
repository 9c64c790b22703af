"""The mapping: a few lines of YAML that say about a file what the file does not say itself.

Add a key here when files of a kind need it; `docs/mappings.md` explains each to users. What a key does belongs to the module that reads it.
A key that ends in ``_column`` names a column, and so do `time`, `value` and `ignore`: by the name in its header, or by its position from 1.
All others are constants.
"""

from __future__ import annotations

import hashlib
import json
import re
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

NO_MAPPING = "none"

_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?(\d{2}))?")
_INTERVAL = re.compile(r"(?:P?T?)\s*(\d+(?:\.\d+)?)\s*(s|sec|min|m|h|hour|hours|d|day|days)", re.IGNORECASE)
_UNIT_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400}


class InvalidMapping(ValueError):
    """The mapping cannot be used; the message names the key and what would be right."""


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) else value


Text = Annotated[str, BeforeValidator(_text)]
Column = str | int
Columns = Annotated[tuple[Column, ...], BeforeValidator(_list)]
Markers = Annotated[tuple[Text, ...], BeforeValidator(_list)]


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _INTERVAL.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{value!r} is not an interval; write for instance 15min, 1h or 1d")
    return float(found[1]) * _UNIT_SECONDS[found[2].lower()]


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


def offset_seconds(zone: str) -> int | None:
    """Seconds east of UTC of a fixed offset (``+01:00``, ``UTC-4``, ``Z``), or None when it is not one.

    >>> offset_seconds("-03:30"), offset_seconds("UTC"), offset_seconds("Europe/Rome")
    (-12600, 0, None)
    """
    if zone.strip().upper() in {"Z", "UTC", "GMT"}:
        return 0
    found = _OFFSET.fullmatch(zone.strip())
    if found is None:
        return None
    seconds = int(found[2]) * 3600 + int(found[3] or 0) * 60
    return -seconds if found[1] == "-" else seconds


def zone_name(zone: str) -> str | None:
    """The IANA name of a zone: offsets of whole hours have one, others have none.

    >>> zone_name("-04:00"), zone_name("UTC"), zone_name("Europe/Rome"), zone_name("+05:30")
    ('Etc/GMT+4', 'UTC', 'Europe/Rome', None)
    """
    offset = offset_seconds(zone)
    if offset is None:
        return zone
    if offset == 0:
        return "UTC"
    return f"Etc/GMT{-offset // 3600:+d}" if offset % 3600 == 0 and -12 * 3600 <= offset <= 14 * 3600 else None


def check_zone(zone: str) -> str:
    """The zone, when it is an IANA name or an offset of less than a day; ValueError otherwise."""
    offset = offset_seconds(zone)
    if offset is None:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, LookupError) as error:
            raise ValueError(f'{zone!r} is no time zone; write an IANA name such as Europe/Rome, an offset such as "+01:00", or UTC') from error
    elif abs(offset) > 15 * 3600:
        raise ValueError(f"{zone!r} is further from UTC than any clock on Earth")
    return zone


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            raise ValueError("write key: value lines")
        for key in values:
            if key not in cls.model_fields:
                near = get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                hint = f"; did you mean {near[0]!r}?" if near else f"; the keys are {', '.join(cls.model_fields)}"
                raise ValueError(f"unknown key {key!r}{hint}")
        return values


class ColumnMapping(_Strict):
    """What one value column of a wide file holds; what is left out is taken from the mapping around it."""

    station: Text | None = None
    property: Text | None = None
    unit: Text | None = None
    name: Text | None = None
    feature_of_interest: Text | None = None
    qualifier_column: Column | None = None
    missing: Markers = ()
    interval: Seconds | None = None


class MessageMapping(_Strict):
    r"""How messages whose topic fits a pattern are read; what is left out is found in the topic or in the message.

    >>> MessageMapping(topic="devices/{station}/{property}").fits("devices/MILL/stage")
    {'station': 'MILL', 'property': 'stage'}
    """

    topic: Text
    header: Annotated[tuple[Text, ...], BeforeValidator(_list)] = ()
    separator: str = ","
    time: Text | None = None
    time_format: str | None = None
    time_zone: Text | None = None
    value: Annotated[tuple[Text, ...], BeforeValidator(_list)] = ()
    columns: dict[Text, ColumnMapping] = Field(default_factory=dict)
    missing: Markers = ()
    qualifier_column: Text | None = None
    station: Text | None = None
    station_column: Text | None = None
    property: Text | None = None
    property_column: Text | None = None
    unit: Text | None = None
    unit_column: Text | None = None
    station_attributes: dict[str, Any] = Field(default_factory=dict)

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, zone: str | None) -> str | None:
        return None if zone is None else check_zone(zone)

    @field_validator("topic")
    @classmethod
    def _pattern_is_known(cls, topic: str) -> str:
        names = [level[1:-1] for level in topic.split("/") if level.startswith("{") and level.endswith("}")]
        if not set(names) <= {"station", "property"} or len(names) != len(set(names)):
            raise ValueError(f"{topic!r}: a level in braces is {{station}} or {{property}}, each once at most; + is any one level, # all that follow")
        if "#" in topic[:-1]:
            raise ValueError(f"{topic!r}: # is the last level")
        return topic

    def fits(self, topic: str) -> dict[str, str] | None:
        """What a topic says of station and property; none where it does not fit the pattern."""
        found = self._pattern.fullmatch(topic)
        return None if found is None else found.groupdict()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        levels = []
        for level in self.topic.split("/"):
            if level == "+":
                levels.append("[^/]*")
            elif level == "#":
                levels.append(".*")
            elif level.startswith("{") and level.endswith("}"):
                levels.append(f"(?P<{level[1:-1]}>[^/]+)")
            else:
                levels.append(re.escape(level))
        return re.compile("/".join(levels))


class Mapping(_Strict):
    r"""Everything that can be said about a file; all of it may be left out.

    >>> Mapping.from_yaml("time_zone: Europe/Rome\nproperty: discharge").property
    'discharge'
    """

    kind: Literal["observations", "stations"] | None = None
    complete: bool | Literal["day", "month", "year"] = False

    encoding: str | None = None
    separator: str | None = None
    widths: tuple[int, ...] = ()
    decimal: Literal[".", ","] | None = None
    thousands: Literal[".", ",", "'", " "] | None = None
    header: Literal[False] | int | None = None
    skip: int = Field(default=0, ge=0)
    comment: str | None = None
    sheet: Text | None = None
    records: str | None = None
    members: str | None = None

    time: Columns = ()
    time_format: str | None = None
    day_first: bool | None = None
    time_zone: Text | None = None
    time_zone_column: Column | None = None
    time_zones: dict[str, Text] = Field(default_factory=dict)

    value: Columns = ()
    ignore: Columns = ()
    columns: dict[Text, ColumnMapping] = Field(default_factory=dict)
    qualifier_column: Column | None = None
    qualifier_suffix: str | None = None
    missing: Markers = ()

    station: Text | None = None
    station_column: Column | None = None
    station_name_column: Column | None = None
    property: Text | None = None
    property_column: Column | None = None
    unit: Text | None = None
    unit_column: Column | None = None
    series_columns: Columns = ()
    feature_of_interest: Text | None = None
    feature_of_interest_column: Column | None = None
    interval: Seconds | None = None
    series_kind: Literal["sensor", "imported", "computed"] | None = None

    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)
    latitude_column: Column | None = None
    longitude_column: Column | None = None
    station_attributes: dict[str, Any] = Field(default_factory=dict)

    messages: tuple[MessageMapping, ...] = ()

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, zone: str | None) -> str | None:
        return None if zone is None else check_zone(zone)

    @field_validator("time_zones")
    @classmethod
    def _zones_exist(cls, zones: dict[str, str]) -> dict[str, str]:
        return {name: check_zone(zone) for name, zone in zones.items()}

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, encoding: str | None) -> str | None:
        try:
            "".encode(encoding or "utf-8")
        except LookupError as error:
            raise ValueError(f"{encoding!r} is no text encoding; write for instance utf-8, cp1252 or utf-16") from error
        return encoding

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        for constant in ("station", "property", "unit", "feature_of_interest", "latitude", "longitude", "time_zone"):
            if getattr(self, constant) is not None and getattr(self, f"{constant}_column") is not None:
                raise ValueError(f"{constant!r} and '{constant}_column' exclude each other: it is one constant or a column")
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("'latitude' and 'longitude' go together")
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError("'decimal' and 'thousands' cannot be the same character")
        return self

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """The mapping a YAML text says; an empty text is the empty mapping.

        Raises
        ------
        InvalidMapping
            Not YAML, an unknown key (with the nearest known one) or a value that cannot be.
        """
        try:
            values = yaml.load(text, Loader=PlainLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            raise InvalidMapping(f"it is not YAML{where}: {getattr(error, 'problem', None) or error}") from error
        try:
            return cls.model_validate({} if values is None else values)
        except ValidationError as error:
            problems = ("; ".join(_problem(dict(problem)) for problem in error.errors(include_url=False))) or str(error)
            raise InvalidMapping(problems) from error

    @cached_property
    def version(self) -> str:
        """16 hex digits of the canonical content: the order of keys, comments and defaults written out do not change it."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        if not said:
            return NO_MAPPING
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _problem(problem: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {said}" if where else said


class PlainLoader(yaml.SafeLoader):
    """YAML without the surprises: ``0211`` stays a station's number, ``12:30`` a time, ``no`` a word."""


PlainLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|false|False", "tTfF"),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?", "-0123456789"),
    ("null", r"~|null|", "~n\0"),
):
    PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first) if _tag != "null" else ["~", "n", ""]
    )
