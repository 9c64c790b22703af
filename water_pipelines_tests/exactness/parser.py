"""A parser of the proof's own: files in which a source withdraws values, which no file that the platform reads by itself does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from water_pipelines.parsers import recognise
from water_pipelines.parsers.contract import OBSERVATION_SCHEMA, WITHDRAW, Described, Event, FileFacts, Head, Rows, Series, Station
from water_pipelines.parsers.mapping import Mapping
from water_pipelines_tests.exactness.acts import WITHDRAWALS


class Withdrawals:
    """Lines of time, station and property after `#withdrawals`: what the source takes back."""

    name = "withdrawals"
    version = "1"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """By its first line."""
        return head.start.startswith(WITHDRAWALS)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Each line withdraws one value."""
        lines = [line.split(",") for line in stream.read().decode().splitlines()[1:]]
        names = {f"{station}/{observed}": (station, observed) for _, station, observed in lines}
        series = [Series(name, station, {"property": observed}) for name, (station, observed) in names.items()]
        yield Described([Station(station) for station in dict.fromkeys(station for station, _ in names.values())], series)
        columns = [
            pa.array([f"{station}/{observed}" for _, station, observed in lines]).dictionary_encode(),
            pa.array(np.array([time.rstrip("Z") for time, _, _ in lines], dtype="datetime64[us]")).cast(pa.timestamp("us", "UTC")),
            pa.array(np.full(len(lines), np.nan), from_pandas=False),
            pa.nulls(len(lines), pa.string()).dictionary_encode(),
            pa.array(np.arange(2, len(lines) + 2, dtype=np.int32)),
            pa.array(np.full(len(lines), WITHDRAW, dtype=np.int8)),
        ]
        yield Rows(pa.RecordBatch.from_arrays(columns, schema=OBSERVATION_SCHEMA), [])


@contextmanager
def registered() -> Iterator[None]:
    """The parser among the platform's own, as a parser that is added is."""
    before = recognise.PARSERS
    recognise.PARSERS = (Withdrawals(), *before)
    try:
        yield
    finally:
        recognise.PARSERS = before
