"""Builders for parser tests: bytes in, everything that was said about them out."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa

from water_pipelines.parsers.contract import OBSERVATION_SCHEMA, Complete, Described, FileFacts, Rejected, Rows, Series, Station, Window
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.recognise import parse_file

ARRIVED = datetime(2026, 11, 1, tzinfo=UTC)


def facts(name: str = "file.csv", prefix: str = "inbox") -> FileFacts:
    """A file that arrived on 2026-11-01; the store begins in 1950, and an hour of future is tolerated."""
    return FileFacts(name, prefix, ARRIVED, date(1950, 1, 1), timedelta(hours=1))


@dataclass
class Read:
    """All events of a file."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    stations: list[Station] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)

    @cached_property
    def table(self) -> pa.Table:
        """All observations."""
        return pa.Table.from_batches(self.batches, OBSERVATION_SCHEMA).unify_dictionaries()

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All observations, one by one."""
        return self.table.to_pylist()

    @property
    def values(self) -> list[float]:
        """Values in the order of the file."""
        return [row["value"] for row in self.rows]

    @property
    def times(self) -> list[str]:
        """Times as ``2020-01-01T00:00:00``, UTC."""
        return [row["time"].replace(tzinfo=None).isoformat() for row in self.rows]

    @property
    def source_rows(self) -> list[int]:
        """Where each observation stands in the file."""
        return [row["source_row"] for row in self.rows]

    @property
    def reasons(self) -> dict[int, str]:
        """Why each rejected row was rejected."""
        return {row.source_row: row.reason for row in self.rejected}


def read(content: str | bytes, mapping: str = "", *, name: str = "file.csv", prefix: str = "inbox") -> Read:
    """Parse a file; every batch has the schema, and every series is described before its first batch."""
    found = Read()
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    for event in parse_file(stream, Mapping.from_yaml(mapping), facts(name, prefix)):
        if isinstance(event, Described):
            found.stations += event.stations
            found.series += event.series
            continue
        if isinstance(event, Complete):
            assert {one.series for one in event.windows} <= {one.natural_id for one in found.series}
            found.windows += event.windows
            continue
        assert isinstance(event, Rows)
        assert event.batch.schema == OBSERVATION_SCHEMA
        used = set(event.batch.column("series").cast(pa.string()).unique().to_pylist())
        assert used <= {one.natural_id for one in found.series}
        found.batches.append(event.batch)
        found.rejected += event.rejected
    return found
