"""Worlds for tests: a database into which files were dropped, filled by the platform's own functions.

Add a verb to `World` when several tests arrange the same thing. Keep out: assertions, and rows written past the functions that
write them on the platform (the marts' rows are staged and applied, as settle does).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg import sql

from water_pipelines.storage import loads, sensor_states, source_files, ticks
from water_pipelines.storage.claims import Claims
from water_pipelines.storage.database import Database
from water_pipelines.storage.loads import Loaded, Parsed
from water_pipelines.storage.source_files import SourceFile
from water_pipelines.storage.spool import Spool
from water_pipelines.storage.staging import Applied, Staged, Table, settle, stage_query

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""When the files of a world arrive, unless a test says otherwise: a second apart."""

Row = tuple[str, str, float]


def every(minutes: float, start: str, values: Sequence[float], series: str = "STATION_1/stage") -> list[Row]:
    """Rows of a series at a fixed interval: (series, ISO time in UTC, value).

    >>> every(15, "2026-03-01T00:00", [1.0, 1.5])[1]
    ('STATION_1/stage', '2026-03-01T00:15:00', 1.5)
    """
    first = datetime.fromisoformat(start)
    return [(series, (first + timedelta(minutes=minutes * i)).isoformat(), value) for i, value in enumerate(values)]


class World:
    """A database and what was dropped into it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._rows: dict[int, Sequence[Row]] = {}
        self._seconds = itertools.count()

    def announce(self, name: str, *, prefix: str = "", kind: str = "data", mapping_version: str = "none", content: str = "") -> SourceFile:
        """A file that has landed and waits for its load."""
        sha256 = hashlib.sha256(f"{name}\n{content}".encode()).hexdigest()
        with source_files.landing(self.database) as arrival:
            file = source_files.announce(
                self.database,
                arrival=arrival,
                sha256=sha256,
                size=len(content),
                name=name,
                prefix=prefix,
                kind=kind,
                mapping_version=mapping_version,
                mapping="",
                arrived_at=NOON + timedelta(seconds=next(self._seconds)),
            )
        source_files.landed(self.database, file.arrival)
        return source_files.get(self.database, file.arrival)

    def drop(
        self,
        name: str,
        rows: Sequence[Row] = (),
        *,
        series: Mapping[str, Mapping[str, Any]] | None = None,
        stations: Mapping[str, Mapping[str, Any]] | None = None,
        rejected: Sequence[tuple[int, str, str]] = (),
        qualifiers: Sequence[str | None] = (),
        states: Sequence[sensor_states.Said] = (),
    ) -> Loaded:
        """Land and load a file. Series of the rows that are not described are given their station and property by their id, and 15 minutes."""
        file = self.announce(name, content=repr((rows, series, stations, states)))
        self._rows[file.arrival] = rows
        return self.load(file, rows, series=series, stations=stations, rejected=rejected, qualifiers=qualifiers, states=states)

    def load(
        self,
        file: SourceFile,
        rows: Sequence[Row],
        *,
        series: Mapping[str, Mapping[str, Any]] | None = None,
        stations: Mapping[str, Mapping[str, Any]] | None = None,
        rejected: Sequence[tuple[int, str, str]] = (),
        qualifiers: Sequence[str | None] = (),
        states: Sequence[sensor_states.Said] = (),
    ) -> Loaded:
        """Load a file that has landed."""
        described = {name: _described(name) for name in dict.fromkeys(row[0] for row in rows)}
        for name, attributes in (series or {}).items():
            described[name] = {**_described(name), **attributes}
        claims = Claims({**{each["station"]: {} for each in described.values()}, **(stations or {})}, described)
        with source_files.loading(self.database, file.arrival) as held, _spool(rows, qualifiers) as spool:
            assert held is not None, f"{file.name} was loaded before"
            parsed = Parsed(spool, claims, rejected, "builder", "1", states)
            return loads.load(self.database, held, parsed, edges=lambda _: [], reparse=lambda arrival: _spool(self._rows[arrival]))

    def tick(self, at: str) -> int:
        """Let the half-hour `at` (ISO, UTC) be the one as of which clock-dependent rows are computed; gives the change."""
        file = self.announce(f"tick-{at}", kind="tick")
        with self.database.connection() as connection:
            change = self.database.take_number(connection, "tick")
            ticks.note(connection, file.arrival, datetime.fromisoformat(at).replace(tzinfo=UTC), readers=[])
        return change

    def put(self, table: Table, days: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Applied:
        """Apply rows as all that a table holds on some days, as settle does; missing columns are null."""
        return settle(
            self.database,
            table.name.replace(".", "/"),
            np.array(sorted(days), dtype="datetime64[D]"),
            lambda snapshot, _: Staged([stage_query(snapshot, table, recordset(table, rows))]),
            [],
        )

    def insert(self, table: str, **row: Any) -> int:
        """Add a row to an append-only table, which no settle writes; gives the change."""
        columns = [*row, "since"]
        with self.database.connection() as connection:
            change = self.database.take_number(connection, table)
            connection.execute(
                sql.SQL("insert into {} ({}) values ({})").format(
                    sql.Identifier(*table.split(".")),
                    sql.SQL(", ").join(map(sql.Identifier, columns)),
                    sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
                ),
                [*row.values(), change],
            )
        return change

    def number_of(self, series: str) -> int:
        """The number by which tables know a series."""
        with self.database.connection() as connection:
            row = connection.execute("select series_id from core.series where natural_id = %s", (series,)).fetchone()
        assert row is not None, f"{series} was never dropped"
        return int(row[0])

    @property
    def change(self) -> int:
        """The number of the last change."""
        with self.database.snapshot() as snapshot:
            return snapshot.number


def _described(name: str) -> dict[str, Any]:
    station, _, observed = name.rpartition("/")
    return {"station": station, "property": observed, "unit": "m", "interval_s": 900.0}


def _spool(rows: Sequence[Row], qualifiers: Sequence[str | None] = ()) -> Spool:
    spool = Spool()
    columns = [
        pa.array([row[0] for row in rows], pa.string()).dictionary_encode(),
        pa.array(np.array([row[1] for row in rows], dtype="datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
        pa.array([row[2] for row in rows], pa.float64(), from_pandas=False),
        pa.array([*qualifiers, *[None] * (len(rows) - len(qualifiers))], pa.string()).dictionary_encode(),
        pa.array(range(2, len(rows) + 2), pa.int32()),
        pa.array([0] * len(rows), pa.int8()),
    ]
    spool.append(pa.RecordBatch.from_arrays(columns, names=["series", "time", "value", "qualifier", "source_row", "op"]))
    return spool


def recordset(table: Table, rows: Sequence[Mapping[str, Any]]) -> sql.Composed:
    """Rows as a query that gives them."""
    return sql.SQL("select * from json_populate_recordset(null::{}, {}::json)").format(table.identifier, json.dumps(list(rows)))
