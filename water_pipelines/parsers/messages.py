"""Batches of messages, as a listener lands them: one message a line, with its address, its properties and when it was received.

Add a kind of message as a reader in `_READERS` (or a module of its own, as `facilities` is). A reader tells what one message says, or raises
`Refused` with the reason; what it says depends on the message and the mapping alone, so that a message says the same however often and in
whatever batch it comes. Keep out: where messages come from.
"""

from __future__ import annotations

import base64
import binascii
import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pyarrow as pa

from water_pipelines.domain.storable import storable
from water_pipelines.parsers import facilities, names
from water_pipelines.parsers.contract import (
    MESSAGES,
    OBSERVATION_SCHEMA,
    PUT,
    Described,
    Event,
    FileFacts,
    Head,
    Rejected,
    Rows,
    SensorState,
    SensorStates,
    Series,
    Station,
    UnreadableFile,
)
from water_pipelines.parsers.mapping import ColumnMapping, Mapping, MessageMapping, offset_seconds
from water_pipelines.parsers.sensorthings import LONGEST_WORD, quality_code
from water_pipelines.parsers.table import shorten

FORMAT = "water_pipelines/messages/1"
_HEADER = orjson.dumps({"format": FORMAT})

_FROST = re.compile(r"(?:.*/)?v1\.[01]/(?P<datastream>(?P<multi>Multi)?Datastreams\((?P<id>[^/]+)\))/Observations")
_EPOCH = re.compile(r"\d{10}(?:\.\d+)?|\d{13}|\d{16}|\d{19}")
_EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_NANOSECONDS_FROM, _MICROSECONDS_FROM, _MILLISECONDS_FROM = 1e17, 1e14, 1e11
_ZONE_HINT = "; send it with an offset, such as 2026-03-01T12:00:00Z, or name its time_zone in the mapping"


_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_FLAGS = ("qualifier", "quality", "flag")
_MOST_WORDS = 100
"""A database holds few qualifiers: longer words are cut, and of more of them in a batch it is only told that they are text."""


class Refused(Exception):
    """A message, or one value of it, that is not taken; says why."""


@dataclass(frozen=True)
class Message:
    """A message as it was received.

    Parameters
    ----------
    address : the topic or queue that it was sent to.
    body : as it was sent.
    received_at : aware.
    properties : what the sender or the broker said beside the body.
    """

    address: str
    body: bytes
    received_at: datetime
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """One observation that a message tells of; `time` in microseconds since 1970, UTC; `value` NaN where it is said to be missing."""

    series: Series
    time: int
    value: float
    qualifier: str | None = None


Told = Station | Series | SensorState | Observed | Refused
"""What a message tells; a `Refused` among it is one value that is not taken, beside others that are."""

Reader = Callable[[Message, Mapping, FileFacts], Iterable[Told] | None]
"""Reads a message; none where it is of another kind."""


def written(messages: Iterable[Message]) -> bytes:
    """Messages as the bytes of a batch.

    >>> written([Message("a/b", b"1.5", datetime(2026, 3, 1, tzinfo=UTC))]).splitlines()[1]
    b'{"address":"a/b","received_at":"2026-03-01T00:00:00+00:00","body":"1.5"}'
    """
    return b"\n".join([_HEADER, *map(_line, messages), b""])


def _line(message: Message) -> bytes:
    said: dict[str, Any] = {"address": message.address, "received_at": message.received_at}
    if message.properties:
        said["properties"] = message.properties
    try:
        said["body"] = message.body.decode()
    except UnicodeDecodeError:
        said["body_base64"] = base64.b64encode(message.body).decode()
    return orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS, default=str)


class Messages:
    """A batch of messages, each read by what its topic and its body say."""

    name = MESSAGES
    version = "1"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """By the first line."""
        return head.start.startswith(_HEADER)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Stations, series, states of sensors and observations, in the order of the messages; row 2 is the first message."""
        stream.seek(0)
        found = _Found(file)
        for row, line in enumerate(stream, start=1):
            if row > 1 and line.strip():
                found.read(row, line, mapping)
        yield from found.events()


def told_by(message: Message, mapping: Mapping, file: FileFacts) -> list[Told]:
    """What a message says.

    Raises
    ------
    Refused
        Nothing of it can be taken.
    """
    for reader in _READERS:
        told = reader(message, mapping, file)
        if told is not None:
            return list(told)
    raise Refused(f"nothing is known of the topic {message.address!r}; name it in the mapping: messages: [{{topic: {message.address!r}, ...}}]")


class _Found:
    """What the messages of a batch said so far."""

    def __init__(self, file: FileFacts) -> None:
        self._file = file
        self._first = round(datetime.combine(file.first_day, datetime.min.time(), UTC).timestamp()) * 1_000_000
        self._last = round((file.arrived_at + file.future_tolerance).timestamp() * 1e6)
        self._stations: dict[str, Station] = {}
        self._series: dict[str, Series] = {}
        self._states: list[SensorState] = []
        self._rows: list[tuple[str, int, float, str | None, int]] = []
        self._rejected: list[Rejected] = []
        self._words: set[str] = set()

    def read(self, row: int, line: bytes, mapping: Mapping) -> None:
        """Read a line of the batch."""
        message = _message_of(line, row)
        try:
            told = told_by(message, mapping, self._file)
        except Refused as refused:
            self._reject(row, message, str(refused))
            return
        for each in told:
            match each:
                case Station():
                    self._stations[each.natural_id] = _merged(self._stations.get(each.natural_id), each)
                case Series():
                    self._describe(each)
                case SensorState():
                    self._describe(Series(each.series, each.station))
                    self._states.append(each)
                case Refused():
                    self._reject(row, message, str(each))
                case Observed():
                    self._observe(row, message, each)

    def events(self) -> Iterator[Event]:
        """All of it."""
        yield Described(list(self._stations.values()), list(self._series.values()))
        if self._states:
            yield SensorStates(self._states)
        series, time, value, qualifier, source_row = zip(*self._rows, strict=True) if self._rows else ((), (), (), (), ())
        columns = [
            pa.array(series, pa.string()).dictionary_encode(),
            pa.array(np.array(time, dtype=np.int64).astype("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
            pa.array(np.array(value, dtype=np.float64), pa.float64()),
            pa.array(qualifier, pa.string()).dictionary_encode(),
            pa.array(source_row, pa.int32()),
            pa.array(np.full(len(self._rows), PUT, dtype=np.int8)),
        ]
        yield Rows(pa.RecordBatch.from_arrays(columns, schema=OBSERVATION_SCHEMA), self._rejected)

    def _describe(self, series: Series) -> None:
        known = self._series.get(series.natural_id)
        attributes = {**(known.attributes if known else {}), **series.attributes}
        self._series[series.natural_id] = Series(series.natural_id, series.station, attributes)

    def _observe(self, row: int, message: Message, observed: Observed) -> None:
        if not self._first <= observed.time <= self._last:
            said = f"{np.datetime64(observed.time, 'us')}Z"
            reason = (
                f"is before the first day of the store, {self._file.first_day} (setting WATER_FIRST_DAY)"
                if observed.time < self._first
                else f"is more than {self._file.future_tolerance.total_seconds() / 60:g} minutes after its arrival,"
                f" {self._file.arrived_at:%Y-%m-%d %H:%M:%S%z}"
                " (setting WATER_FUTURE_TOLERANCE_MINUTES)"
            )
            self._reject(row, message, f"the time {said} {reason}")
            return
        self._describe(observed.series)
        word = observed.qualifier and observed.qualifier[:LONGEST_WORD]
        if word and len(self._words) >= _MOST_WORDS and word not in self._words:
            word = "text"
        self._words |= {word} if word else set()
        self._rows.append((observed.series.natural_id, observed.time, observed.value, word or None, row))

    def _reject(self, row: int, message: Message, reason: str) -> None:
        self._rejected.append(Rejected(row, shorten(f"{message.address} {message.body.decode('utf-8', 'replace')}"), reason))


def _merged(known: Station | None, said: Station) -> Station:
    return said if known is None else Station(said.natural_id, {**known.attributes, **said.attributes})


def _message_of(line: bytes, row: int) -> Message:
    try:
        said = orjson.loads(line)
        body = said["body"].encode() if "body" in said else base64.b64decode(said["body_base64"])
        return Message(said["address"], body, datetime.fromisoformat(said["received_at"]), said.get("properties", {}))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise UnreadableFile(f"line {row} of the batch is no message ({error}): the object is damaged, put back the bytes that landed") from error


# Times and numbers


def time_of(said: Any, zone: str | None = None, time_format: str | None = None) -> int:
    """A time as a message writes it, in microseconds since 1970, UTC: ISO 8601, seconds to nanoseconds since 1970, or `time_format`.

    Of a time interval it is the start.

    >>> time_of("2026-03-01T01:00:00+01:00") == time_of(1772323200) == time_of("1772323200000")
    True
    >>> time_of("2026-03-01T00:00:00Z/2026-03-01T01:00:00Z") == time_of("2026-03-01T00:00:00Z")
    True

    Raises
    ------
    Refused
        It cannot be read, or its zone is not known.
    """
    if said is None or isinstance(said, bool) or not isinstance(said, str | int | float) or said == "":
        raise Refused(f"the time {said!r} is none" if said not in (None, "") else "it has no time")
    if time_format in _EPOCHS or isinstance(said, int | float) or _EPOCH.fullmatch(said.strip()):
        return _since_1970(said, time_format)
    text = said.strip().partition("/")[0] if time_format is None else said.strip()
    try:
        moment = datetime.strptime(text, time_format) if time_format else datetime.fromisoformat(text)  # noqa: DTZ007  # its zone comes next
    except ValueError as error:
        raise Refused(f"the time {said!r} cannot be read") from error
    if moment.tzinfo is None:
        moment = _placed(moment, zone, said)
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def _since_1970(said: Any, time_format: str | None) -> int:
    try:
        number = float(said)
    except ValueError as error:
        raise Refused(f"the time {said!r} cannot be read") from error
    if not math.isfinite(number) or abs(number) > 9e18:
        raise Refused(f"the time {said!r} cannot be read")
    if time_format in _EPOCHS:
        return round(number * _EPOCHS[time_format])
    if abs(number) >= _NANOSECONDS_FROM:
        return round(number / 1_000)
    if abs(number) >= _MICROSECONDS_FROM:
        return round(number)
    return round(number * (1_000 if abs(number) >= _MILLISECONDS_FROM else 1_000_000))


def _placed(moment: datetime, zone: str | None, said: Any) -> datetime:
    if zone is None:
        raise Refused(f"the time {said!r} has no time zone{_ZONE_HINT}")
    offset = offset_seconds(zone)
    if offset is not None:
        return datetime.fromtimestamp((moment.replace(tzinfo=UTC).timestamp()) - offset, UTC)
    placed = moment.replace(tzinfo=_zone(zone))
    if placed.utcoffset() != placed.replace(fold=1).utcoffset():
        raise Refused(f"the time {said!r} does not exist, or occurred twice, on the clocks of {zone}: send it in UTC")
    return placed


@lru_cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def value_of(said: Any, missing: Iterable[str] = ()) -> float:
    """A value as a message writes it: numbers, also in strings; true and false are 1 and 0; null, and what `missing` lists, is missing (NaN).

    >>> value_of("1.5"), value_of(True), value_of(None), value_of(-9999, ["-9999"])
    (1.5, 1.0, nan, nan)

    Raises
    ------
    Refused
        It is text, a list or an object.
    """
    if said is None:
        return math.nan
    if isinstance(said, bool | int | float):
        number = float(said)
    elif isinstance(said, str):
        if said.strip() in missing:
            return math.nan
        if not _NUMBER.fullmatch(said):
            raise Refused(f"{shorten(said)!r} is no number; if it stands for a missing value, say so in the mapping: missing")
        number = float(said)
    else:
        raise Refused(f"the value is {'a list' if isinstance(said, list) else 'an object'}, not a number")
    for mark in missing:
        try:
            if float(mark) == number:
                return math.nan
        except ValueError:
            continue
    if not math.isfinite(number):
        raise Refused(f"{said!r} is no number")
    return number


# What FROST publishes


def _frost(message: Message, mapping: Mapping, file: FileFacts) -> list[Told] | None:
    """Observations of a SensorThings server; its Datastreams are named by the mapping, or else by their address."""
    found = _FROST.fullmatch(message.address)
    if found is None or mapping_for(message.address, mapping) is not None:
        return None
    station = f"{file.prefix}/{found['datastream']}" if file.prefix else found["datastream"]
    return _entity(message, Series(f"{station}/result", station, {"property": "result", "kind": "sensor"}), None)


def _entity(message: Message, series: Series, how: MessageMapping | None) -> list[Told]:
    """An Observation: as a client published it, or the entity that the server made of it.

    A server publishes the entity for each message that a client published without a time, which it adds: the first tells nothing. A result
    that is text is a missing value, with the text as its qualifier. The result of a MultiDatastream is a list, a series a value.
    """
    said = _object(message)
    time, result, missing = said.get("phenomenonTime") or said.get("resultTime"), said.get("result"), how.missing if how else ()
    if time is None and "@iot.id" not in said:
        return []
    parameters = said.get("parameters")
    flag = next((parameters[name] for name in _FLAGS if parameters.get(name) is not None), None) if isinstance(parameters, dict) else None
    flags = (None if isinstance(flag, dict | list) else flag, quality_code(said.get("resultQuality")))
    at = time_of(time, how.time_zone if how else None)
    found = _FROST.fullmatch(message.address)
    if found is None or not found["multi"]:
        return [_observed(series, at, result, flags, missing)]
    told: list[Told] = []
    for component, cell in _components(series, result, how):
        try:
            told.append(_observed(component, at, cell, flags, missing))
        except Refused as error:
            told.append(error)
    if told and all(isinstance(each, Refused) for each in told):
        raise Refused(f"none of the {len(told)} values of the MultiDatastream can be taken; the first: {told[0]}")
    return told


def _observed(series: Series, at: int, result: Any, flags: tuple[Any, ...], missing: Iterable[str]) -> Observed:
    word = result.strip() if isinstance(result, str) and not _NUMBER.fullmatch(result) and result.strip() not in missing else None
    value = math.nan if word is not None else value_of(result, missing)
    qualifier = ":".join(str(each)[:LONGEST_WORD] for each in (word, *flags) if each is not None and each != "")
    return Observed(series, at, value, qualifier or None)


def _components(series: Series, result: Any, how: MessageMapping | None) -> Iterator[tuple[Series, Any]]:
    """The series of a MultiDatastream, with the value of each: called as the header of the mapping says, else by their place in the list."""
    header = how.header if how and how.header else None
    if not isinstance(result, list) or (header and len(result) != len(header)):
        raise Refused(f"the result is not a list of the {f'{len(header)} ' if header else ''}values of its MultiDatastream")
    for number, cell in enumerate(result):
        if how is None or header is None:
            said = {name: f"{value}_{number + 1}" if name == "property" else value for name, value in series.attributes.items()}
            yield Series(f"{series.natural_id}_{number + 1}", series.station, said), cell
        elif header[number] != "-":
            column = how.columns.get(header[number], ColumnMapping())
            unit = column.unit or series.attributes.get("unit")
            yield _series(column.station or series.station, column.property or header[number], unit, column.name), cell


# What devices send


def mapping_for(topic: str, mapping: Mapping) -> tuple[MessageMapping, dict[str, str]] | None:
    """The first pattern of the mapping that fits a topic, and what the topic says."""
    for each in mapping.messages:
        said = each.fits(topic)
        if said is not None:
            return each, said
    return None


def _device(message: Message, mapping: Mapping, file: FileFacts) -> Iterator[Told] | None:
    """Payloads of devices, JSON or a line of values, as the mapping says of their topic."""
    known = mapping_for(message.address, mapping)
    if known is None:
        return None
    how, topic = known
    is_entity = _FROST.fullmatch(message.address) is not None
    records = _cells(message, how) if how.header and not is_entity else _records(message)
    return _told_of_records(message, records, how, topic, is_entity)


def _told_of_records(message: Message, records: list[dict[str, Any]], how: MessageMapping, topic: dict[str, str], is_entity: bool) -> Iterator[Told]:
    refused: list[Refused] = []
    taken = False
    for record in records:
        try:
            told = list(_read_record(message, record, how, topic, is_entity))
        except Refused as error:
            told = [error]
        refused += [each for each in told if isinstance(each, Refused)]
        taken = taken or any(isinstance(each, Observed) for each in told) or not told
        yield from (each for each in told if not isinstance(each, Refused))
    if refused and not taken:
        raise refused[0]
    yield from refused


def _read_record(message: Message, record: dict[str, Any], how: MessageMapping, topic: dict[str, str], is_entity: bool) -> Iterator[Told]:
    station = how.station or _said(record, how.station_column, names.STATION) or topic.get("station")
    if station is None:
        raise Refused("neither the mapping, nor the topic, nor the message names the station; in the mapping: station, or {station} in the topic")
    if how.station_attributes:
        yield Station(station, dict(how.station_attributes))
    named = how.property or _said(record, how.property_column, names.PROPERTY) or topic.get("property")
    unit = how.unit or _said(record, how.unit_column, names.UNIT)
    if is_entity:
        yield from _entity(message, _series(station, named or "result", unit, None), how)
        return
    time_name = how.time or next((name for name in record if names.key(name) in names.TIME), None)
    time = time_of(record.get(time_name) if time_name else None, how.time_zone, how.time_format)
    qualifier = _said(record, how.qualifier_column, names.QUALIFIER)
    members = how.value or tuple(how.columns) or _members(record, how, time_name)
    if not members:
        raise Refused("it holds no value; name it in the mapping: value")
    for name in members:
        if name not in record:
            if len(members) == 1:
                raise Refused(f"it has no {name!r}")
            continue
        column = how.columns.get(name, ColumnMapping())
        is_only = len(members) == 1 and not how.columns
        observed = (
            column.property or (named if is_only and named else None) or (names.split_unit(name)[0] if names.key(name) not in names.VALUE else named)
        )
        if observed is None:
            yield Refused(f"it is not clear what {name!r} is a value of; in the mapping: property, or {{property}} in the topic")
            continue
        series = _series(column.station or station, observed, column.unit or unit or names.split_unit(name)[1], column.name)
        try:
            value = value_of(record[name], (*how.missing, *column.missing))
        except Refused as error:
            yield error
            continue
        yield Observed(series, time, value, _said(record, _plain(column), frozenset()) or qualifier)


def _plain(column: ColumnMapping) -> str | None:
    return str(column.qualifier_column) if column.qualifier_column is not None else None


def _series(station: str, observed: str, unit: str | None, name: str | None) -> Series:
    said = {"property": names.snake(observed), "unit": unit, "name": name, "kind": "sensor"}
    return Series(f"{station}/{names.snake(observed)}", station, {key: value for key, value in said.items() if value is not None})


def _members(record: dict[str, Any], how: MessageMapping, time_name: str | None) -> tuple[str, ...]:
    """The members that hold values where the mapping names none: the one that is called so, else all numbers."""
    called = tuple(name for name in record if names.key(name) in names.VALUE)
    if called:
        return called
    own = _names_of_no_value(record, how) | {time_name}
    return tuple(
        name for name, value in record.items() if name not in own and (how.header or (isinstance(value, int | float) and not isinstance(value, bool)))
    )


def _names_of_no_value(record: Iterable[str], how: MessageMapping) -> set[str | None]:
    words = names.STATION | names.PROPERTY | names.UNIT | names.QUALIFIER | names.TIME
    return {how.station_column, how.property_column, how.unit_column, how.qualifier_column, *(name for name in record if names.key(name) in words)}


def _said(record: dict[str, Any], column: str | None, words: frozenset[str]) -> str | None:
    """A text of a record: under the name that the mapping gives, else under one that is known."""
    name = column or next((each for each in record if names.key(each) in words), None)
    value = record.get(name) if name else None
    return None if value is None or isinstance(value, dict | list) or str(value).strip() == "" else str(value).strip()


def _text(message: Message) -> str:
    try:
        return message.body.decode()
    except UnicodeDecodeError:
        raise Refused("the message is binary, not text") from None


def _object(message: Message) -> dict[str, Any]:
    found = _json(message)
    if not isinstance(found, dict):
        raise Refused("the message is no JSON object")
    return found


def _json(message: Message) -> Any:
    try:
        return orjson.loads(storable(message.body))
    except orjson.JSONDecodeError as error:
        raise Refused(f"the message is no JSON: {error}") from error


def _records(message: Message) -> list[dict[str, Any]]:
    """The records of a JSON message, with nested members as `outer.inner`; a bare number is a value."""
    found = _json(message)
    listed = found if isinstance(found, list) else [found]
    if not listed:
        raise Refused("the message holds no record")
    return [_flat(each) if isinstance(each, dict) else {"value": each} for each in listed]


def _flat(record: dict[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, dict) else {f"{path}{name}": value}
    return flat


def _cells(message: Message, how: MessageMapping) -> list[dict[str, Any]]:
    """The lines of a message by the names that the mapping gives their cells; an empty cell is no value, and `-` names one that is left out."""
    lines = [line for line in _text(message).splitlines() if line.strip()]
    if not lines:
        raise Refused("the message is empty")
    records: list[dict[str, Any]] = []
    for cells in csv.reader(lines, delimiter=how.separator):
        if len(cells) != len(how.header):
            raise Refused(f"a line has {len(cells)} cells, and the mapping names {len(how.header)}: {', '.join(how.header)}")
        records.append({name: cell.strip() for name, cell in zip(how.header, cells, strict=True) if name != "-" and cell.strip()})
    return records


# What facilities send


def _facility(message: Message, mapping: Mapping, file: FileFacts) -> Iterator[Told] | None:
    """A message that names one of our schemas, whatever its address."""
    if not message.body.lstrip().startswith(b"{") or b'"schema"' not in message.body:
        return None
    said = _json(message)
    return _told_of_facility(said) if facilities.is_of_a_facility(said) else None


def _told_of_facility(said: Any) -> Iterator[Told]:
    refused: list[Refused] = []
    taken = False
    try:
        for each in facilities.told_by(said):
            if not isinstance(each, tuple):
                yield each
                continue
            series, time, value, qualifier = each
            try:
                yield Observed(series, time_of(time), value_of(value), qualifier)
                taken = True
            except Refused as error:
                refused.append(error)
    except facilities.Invalid as error:
        raise Refused(str(error)) from error
    if refused and not taken:
        raise refused[0]
    yield from refused


_READERS: tuple[Reader, ...] = (_facility, _frost, _device)
