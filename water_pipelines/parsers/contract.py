"""What every parser takes and gives: a seekable stream, a mapping and the facts of the file in; events out.

Add here only what all parsers and the loader share. How a kind of file is read belongs to its own module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from water_pipelines.domain.argo.casts import Casts, FloatMeta, GreyList, SurfaceFixes, TechnicalValues
from water_pipelines.parsers.mapping import Mapping

HEAD_BYTES = 1 << 18
LONGEST_TEXT = 500

PUT, WITHDRAW = 0, 1

MESSAGES = "messages"
"""Name of the parser of batches of messages."""

OBSERVATION_SCHEMA = pa.schema(
    [
        ("series", pa.dictionary(pa.int32(), pa.string())),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
        ("qualifier", pa.dictionary(pa.int32(), pa.string())),
        ("source_row", pa.int32()),
        ("op", pa.int8()),
    ]
)
"""One observation a row.

``value`` is NaN where the source says that the value is missing. ``qualifier`` is the source's own flag, approval or censoring as it writes
it (``A``, ``P:e``, ``<``), null where there is none. ``source_row`` is the 1-based line, sheet row or record number within the file (within
the member, for archives). ``op`` is 0 to put and 1 to withdraw.
"""


class UnreadableFile(Exception):
    """The whole file is refused. The message is for a field hydrologist: what happened, where, and what to do."""


@dataclass(frozen=True)
class Series:
    """A series that the file speaks of.

    ``natural_id`` is ``<station>/<property>``; further discriminators are appended with ``/``. ``attributes`` may hold property, unit,
    name, interval_s, time_zone, feature_of_interest.
    """

    natural_id: str
    station: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Station:
    """A station that the file speaks of; attributes that it does not state are absent, never null."""

    natural_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rejected:
    """A row, or one value of a row, that was not taken: where it stands, what it said, and why.

    Where a member of an archive was set aside, `source_row` is 0 and `text` its name.
    """

    source_row: int
    text: str
    reason: str


@dataclass(frozen=True)
class Described:
    """Stations and series, before the first batch that uses them."""

    stations: list[Station]
    series: list[Series]


@dataclass(frozen=True)
class Rows:
    """Observations (`OBSERVATION_SCHEMA`) in the order of the file, and what was rejected beside them."""

    batch: pa.RecordBatch
    rejected: list[Rejected]


@dataclass(frozen=True)
class Argo:
    """What a file of the Argo archive holds: casts with their levels, a float, its technical values or surface fixes, or a grey list."""

    content: Casts | FloatMeta | TechnicalValues | SurfaceFixes | GreyList


@dataclass(frozen=True)
class SensorState:
    """From a time on (aware), the sensor of a series is switched on or off, as far as somebody said so."""

    series: str
    station: str
    at: datetime
    is_active: bool
    reason: str | None = None


@dataclass(frozen=True)
class SensorStates:
    """States of sensors, whose series are described before."""

    states: list[SensorState]


@dataclass(frozen=True)
class Window:
    """From `start` up to, not including, `end` (aware) a file gives all there is of a series: what others gave there before is withdrawn.

    Its rows within the window may come before or after it, in any number of batches.
    """

    series: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Complete:
    """Windows that a file gives completely, of series that are described before."""

    windows: list[Window]


Event = Described | Rows | Argo | SensorStates | Complete


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file beside its bytes.

    Parameters
    ----------
    name : str
        Original name, without folders.
    prefix : str
        The folders below the inbox, joined by ``/``; may be empty.
    arrived_at : datetime
        Aware; "future" is judged against it.
    first_day : date
        Earlier observations are rejected.
    future_tolerance : timedelta
        How far after its arrival a file may speak of.
    """

    name: str
    prefix: str
    arrived_at: datetime
    first_day: date
    future_tolerance: timedelta

    @property
    def default_station(self) -> str:
        """The natural id of the station where neither the file nor its mapping names one."""
        stem = PurePosixPath(self.name).stem
        return f"{self.prefix}/{stem}" if self.prefix else stem


@dataclass(frozen=True)
class Head:
    """The beginning of a file, for recognising its kind."""

    start: bytes
    size: int
    mapping: Mapping
    decoded: list[str] = field(default_factory=list, repr=False, compare=False)
    """Its text, once the first parser has asked for it."""

    @property
    def is_whole(self) -> bool:
        """Whether `start` is the whole file."""
        return len(self.start) >= self.size


class Parser(Protocol):
    """Reads one kind of file. `version` is raised whenever the output changes for some bytes."""

    name: str
    version: str
    kind: str
    """``observations``, ``stations``, ``argo``, ``archive`` or ``pages`` (of many sensors, whose rows are refused one by one)."""

    def recognises(self, head: Head) -> bool:
        """Whether the content, not the name, is of this kind."""
        ...

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Yield what the file says.

        Raises
        ------
        UnreadableFile
            When the file as a whole cannot be taken; nothing that was yielded before may be kept.
        """
        ...


def read_head(stream: BinaryIO, mapping: Mapping) -> Head:
    """The head of a seekable stream, which is left at its start."""
    size = stream.seek(0, 2)
    stream.seek(0)
    start = stream.read(HEAD_BYTES)
    stream.seek(0)
    return Head(start, size, mapping)
