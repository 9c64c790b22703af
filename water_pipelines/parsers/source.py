"""Observations of a source that names its own stations and series, to events: where the formats of the data services meet.

Add here what all services share: how a channel becomes a series, a missing mark a NaN, a declared zone the zone of a time. What a format
calls these things belongs to its own module; the rules for rows are those of every table (`readings`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa

from water_pipelines.parsers import encoding, names
from water_pipelines.parsers.contract import (
    OBSERVATION_SCHEMA,
    Described,
    Event,
    FileFacts,
    Head,
    Rejected,
    Rows,
    Series,
    Station,
    UnreadableFile,
    read_head,
)
from water_pipelines.parsers.dialect import split_quoted
from water_pipelines.parsers.mapping import Mapping, check_zone, zone_name
from water_pipelines.parsers.readings import DECLARE_ZONE, read_table
from water_pipelines.parsers.table import Chunk, Table, shorten

CUT_OFF = "the file ends in the middle of this line: its transfer was probably cut off"
_ROWS = 100_000
_COLUMNS = ("station", "property", "part", "other", "time", "zone", "value", "qualifier")
_HAS_ZONE = re.compile(r"\d[T ]?.*(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$", re.IGNORECASE)
_DATE_ENDS = re.compile(r"^\d{4}-\d\d-\d\d$|^\d\d-\d\d-\d{4}$")
_LAYOUT_KEYS = ("time", "value", "columns", "skip", "header", "separator", "widths", "records", "ignore", "qualifier_column", "series_columns")
_NUMERIC = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$")


@dataclass(frozen=True)
class Channel:
    """One series of the source and how its values are written.

    Parameters
    ----------
    station : Station
    observed_property : str
        Lower snake case.
    part, other : str
        What else tells the series apart (statistic, sensor, filter); empty where nothing does.
    attributes : dict
        unit, name, interval_s, ...
    zone : str or None
        The zone of times that state none, as the source declares it; None where it declares none.
    missing : tuple of str
        The source's marks of missing values; numbers are compared as numbers.
    """

    station: Station
    observed_property: str
    part: str = ""
    other: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    zone: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def natural_id(self) -> str:
        """``station/property[/part[/other]]``."""
        return "/".join(
            [self.station.natural_id, names.snake(self.observed_property), *(names.snake(more) for more in (self.part, self.other) if more)]
        )


@dataclass(frozen=True)
class Reading:
    """One observation as the source writes it.

    `time` is ISO 8601, `value` None where the source leaves it out, `zone` that of this very time where one stands beside it.
    """

    channel: Channel
    time: str | None
    value: str | None
    qualifier: str | None
    row: int
    zone: str | None = None


Told = Reading | Rejected | Channel
"""What a format's reader tells: an observation, a row that it cannot take, or a series that may stay without values."""


def is_left_to(mapping: Mapping) -> bool:
    """Whether the mapping leaves the layout to the format: one that names columns or lines wants the plain table."""
    return not any(getattr(mapping, key) for key in _LAYOUT_KEYS)


def read_source(
    told: Callable[[], Iterable[Told]],
    mapping: Mapping,
    file: FileFacts,
    *,
    empty: str = "There are no observations in the file.",
    day_first: bool | None = True,
) -> Iterator[Event]:
    """Events of what a source tells.

    Parameters
    ----------
    told : function
        Starts reading from the first observation.
    empty : str
        Said when the file names no series at all.
    day_first : bool or None
        The order in which the format writes days and months where the year is last; None where that differs from file to file.

    Raises
    ------
    UnreadableFile
        No series; or a time without a zone where neither the source nor the mapping declares one.
    """
    known = _Known(mapping)
    rejected: list[Rejected] = []
    passes = count()

    def chunks(known: _Known, rejected: list[Rejected]) -> Iterator[Chunk]:
        rows: list[Reading] = []
        for one in told():
            if isinstance(one, Rejected):
                rejected.append(one)
            elif isinstance(one, Channel):
                known.add(one)
            else:
                rows.append(one)
                if len(rows) == _ROWS:
                    yield known.chunk(rows, _taken(rejected))
                    rows = []
        if rows:
            yield known.chunk(rows, _taken(rejected))

    started = chunks(known, rejected)
    first = next(started, None)
    if first is None:
        if not known.series:
            raise UnreadableFile(empty + (f" {rejected[0].reason}" if rejected else ""))
        yield Described(list(known.stations.values()), list(known.series.values()))
        if rejected:
            yield Rows(_no_rows(), rejected)
        return

    def all_chunks() -> Iterator[Chunk]:
        if next(passes):  # for the order of day and month, while the first pass goes on
            yield from chunks(_Known(mapping), [])
            return
        yield first
        yield from started

    described: set[str] = set()
    table = Table(_COLUMNS, True, all_chunks)
    for event in read_table(table, _table_mapping(mapping, day_first), file):
        if not isinstance(event, Described):
            yield event
            continue
        series = [known.series[one.natural_id] for one in event.series]
        stations = [known.stations[one.station] for one in series if one.station not in described]
        described |= {station.natural_id for station in stations}
        yield Described(list({one.natural_id: one for one in stations}.values()), series)
    if rejected:
        yield Rows(_no_rows(), _taken(rejected))


def _no_rows() -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, column.type) for column in OBSERVATION_SCHEMA], schema=OBSERVATION_SCHEMA)


def _taken(rejected: list[Rejected]) -> list[Rejected]:
    taken = rejected.copy()
    rejected.clear()
    return taken


def _table_mapping(mapping: Mapping, day_first: bool | None) -> Mapping:
    return Mapping(
        time=("time",),
        time_zone_column="zone",
        day_first=mapping.day_first if day_first is None else day_first,
        station_column="station",
        property_column="property",
        series_columns=("part", "other"),
        value=("value",),
        qualifier_column="qualifier",
        decimal=".",
        missing=mapping.missing,
    )


class _Known:
    """Stations and series that were told so far, and the rows of them as a table."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._channels: dict[int, tuple[Channel, str | None, frozenset[str], frozenset[float]]] = {}
        self.series: dict[str, Series] = {}
        self.stations: dict[str, Station] = {}

    def add(self, channel: Channel) -> tuple[Channel, str | None, frozenset[str], frozenset[float]]:
        """Describe a channel once: its zone, and its missing marks as words and as numbers."""
        known = self._channels.get(id(channel))
        if known is not None:
            return known
        zone = self._mapping.time_zone or channel.zone
        marks = channel.missing
        numbers = frozenset(float(mark) for mark in marks if _NUMERIC.match(mark.strip()))
        known = (channel, zone, frozenset(mark.strip().casefold() for mark in marks), numbers)
        self._channels[id(channel)] = known
        said = {"property": names.snake(channel.observed_property), **channel.attributes}
        if self._mapping.interval and "interval_s" not in said:
            said["interval_s"] = self._mapping.interval
        if zone and "time_zone" not in said and (named := zone_name(zone)):
            said["time_zone"] = named
        series = Series(channel.natural_id, channel.station.natural_id, {key: value for key, value in said.items() if value not in (None, "")})
        self.series.setdefault(series.natural_id, series)
        more = dict(self._mapping.station_attributes)
        if self._mapping.latitude is not None:
            more |= {"latitude": self._mapping.latitude, "longitude": self._mapping.longitude}
        attributes = {key: value for key, value in (channel.station.attributes | more).items() if value not in (None, "")}
        self.stations.setdefault(channel.station.natural_id, Station(channel.station.natural_id, attributes))
        return known

    def chunk(self, readings: list[Reading], rejected: list[Rejected]) -> Chunk:
        """Readings as rows of the table that `read_table` takes."""
        rows = [self._row(reading) for reading in readings]
        cells = list(zip(*rows, strict=True))
        frame = pl.DataFrame({str(position): pl.Series(column, dtype=pl.String) for position, column in enumerate(cells)})
        return Chunk(frame, np.array([reading.row for reading in readings], dtype=np.int32), rejected)

    def _row(self, reading: Reading) -> tuple[str | None, ...]:
        channel, zone, words, numbers = self.add(reading.channel)
        time, value, qualifier = reading.time, reading.value, reading.qualifier or None
        if reading.zone is not None:
            zone = self._mapping.time_zones.get(reading.zone, reading.zone)
        if zone is None and time and (_DATE_ENDS.match(time) or not _HAS_ZONE.search(time)):
            raise UnreadableFile(f"The time {time!r} in row {reading.row} has no time zone, and the file declares none. {DECLARE_ZONE}")
        if value is not None:
            value = value.strip()
            if value.casefold() in words:
                qualifier = _with(None if _NUMERIC.match(value) or value.casefold() == "nan" else value, qualifier)
                value = None
            elif numbers and _NUMERIC.match(value) and float(value) in numbers:
                value = None
        return channel.station.natural_id, channel.observed_property, channel.part, channel.other, time, zone, value, qualifier


def _with(mark: str | None, qualifier: str | None) -> str | None:
    return ":".join(one for one in (mark, qualifier) if one) or None


def declared_zone(said: str | None) -> str | None:
    """A zone as a source declares it (``+01:00``, ``UTC+1``, ``1.0``, ``Europe/Brussels``); None where that names no clock beyond doubt.

    >>> declared_zone("UTC+1"), declared_zone("1.0"), declared_zone("-3.5"), declared_zone("MEZ")
    ('+01:00', '+01:00', '-03:30', None)
    """
    text = (said or "").strip()
    if re.fullmatch(r"[+-]?\d{1,2}(\.\d+)?", text):
        minutes = round(float(text) * 60)
        return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    found = re.fullmatch(r"(?:UTC|GMT)\s*([+-]?)(\d{1,2})(?::?(\d\d))?", text, re.IGNORECASE)
    if found:
        return f"{found[1] or '+'}{int(found[2]):02d}:{found[3] or '00'}"
    try:
        return check_zone(text) if text and ("/" in text or re.fullmatch(r"UTC|GMT|Z|[+-]\d\d:?\d\d", text, re.IGNORECASE)) else None
    except ValueError:
        return None


def number_of(text: str | None) -> float | None:
    """A coordinate or height, or None."""
    try:
        return None if text is None else float(text.strip())
    except ValueError:
        return None


def position(latitude: float | None, longitude: float | None) -> dict[str, float]:
    """Attributes of a place on Earth; nothing where either is absent, impossible, or both are zero."""
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180) or latitude == longitude == 0:
        return {}
    return {"latitude": latitude, "longitude": longitude}


@dataclass(frozen=True)
class Line:
    """A line of a text; `is_cut` when it is the last and does not end."""

    number: int
    text: str
    is_cut: bool = False


def text_head(head: Head) -> str:
    """The first lines of a text in any encoding; empty when it is no text."""
    if not head.decoded:
        charset = head.mapping.encoding or encoding.detect(head.start)
        head.decoded.append("" if charset is None else encoding.read_head(head.start, charset, is_whole=head.is_whole))
    return head.decoded[0]


def lines(stream: BinaryIO, mapping: Mapping) -> Iterator[Line]:
    """All lines of a text, in bounded memory."""
    head = read_head(stream, mapping)
    charset = mapping.encoding or encoding.detect(head.start)
    if charset is None:
        raise UnreadableFile("The file is binary, not text.")
    number = 0
    for block in encoding.blocks(stream, charset):
        texts = block.decode().split("\n")
        last = texts.pop()
        for text in texts:
            number += 1
            yield Line(number, text.rstrip("\r"))
        if last:
            number += 1
            yield Line(number, last.rstrip("\r"), is_cut=True)


def cells_of(text: str, separator: str) -> list[str]:
    """The cells of a line, without quotes and the blanks around them."""
    cells = split_quoted(text, separator) if '"' in text else text.split(separator)
    return [cell.strip() for cell in (cells if cells is not None else text.split(separator))]


def reject(line: Line, reason: str) -> Rejected:
    """A line that is not taken."""
    return Rejected(line.number, shorten(line.text), reason)


def cut_off(line: Line) -> Rejected:
    """The last line, which does not end."""
    return reject(line, CUT_OFF)
