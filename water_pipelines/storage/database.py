"""Connections, snapshots and changes: how everything in `storage` reads and writes.

Work is computed in a `Snapshot` (repeatable read), staged in temporary tables, and applied in a transaction of its own whose
last lock is the clock. Add what every noun needs here; what one noun needs belongs in that noun's file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, LiteralString

import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolTimeout

Connection = psycopg.Connection[tuple[Any, ...]]
Window = tuple[np.datetime64, np.datetime64]
NOT_ANSWERING: tuple[type[Exception], ...] = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What is raised while the server is away; whoever can wait tries again."""


class Database:
    """Where the platform's data is. Opens nothing until it is asked; safe to share between threads.

    Parameters
    ----------
    url : str
        A libpq URL; its `sslmode` and other options are honoured.
    code_version : str
        Recorded with every change that is made through this object.
    run : str, optional
        The run on whose behalf changes are made.
    """

    def __init__(self, url: str, *, code_version: str, run: str | None = None, max_connections: int = 8) -> None:
        self.url = url
        self.code_version = code_version
        self.run = run
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=0,
            max_size=max_connections,
            open=False,
            timeout=30,
            kwargs={"options": "-c timezone=UTC -c jit=off", "application_name": "water_pipelines"},
        )

    def on_behalf_of(self, run: str) -> Database:
        """The same database, whose changes are recorded as made by `run`."""
        return Database(self.url, code_version=self.code_version, run=run)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection in a read-committed transaction: committed at the end, rolled back on an error."""
        self._pool.open()
        with self._pool.connection() as connection:
            yield connection

    @contextmanager
    def snapshot(self, connection: Connection | None = None) -> Iterator[Snapshot]:
        """One consistent state of everything, with the number of the last change in it."""
        if connection is None:
            with self.connection() as own, self.snapshot(own) as snapshot:
                yield snapshot
            return
        connection.execute("set transaction isolation level repeatable read")
        row = connection.execute("select n from core.clock").fetchone()
        assert row is not None
        snapshot = Snapshot(connection, row[0], self.url)
        try:
            yield snapshot
        finally:
            snapshot.close()

    def take_number(self, connection: Connection, kind: str) -> int:
        """The number of the change that this transaction makes. Take it after every other lock: it orders all writers."""
        row = connection.execute("select core.next_change(%s, %s, %s)", (kind, self.run, self.code_version)).fetchone()
        assert row is not None
        return int(row[0])


@dataclass
class Snapshot:
    """One consistent state of the database, as of change `number`; open while its transaction is."""

    connection: Connection
    number: int
    url: str
    _arrow: Any = field(default=None, repr=False)

    def rows(self, query: LiteralString | sql.Composed, parameters: Sequence[Any] | dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query, as tuples."""
        return self.connection.execute(query, parameters).fetchall()

    def arrow(self, query: sql.Composable) -> pa.Table:
        """The rows of a query, as Arrow, read in bulk over a second connection that shares this snapshot."""
        if self._arrow is None:
            import adbc_driver_postgresql.dbapi  # imports pandas and polars, which most processes do without

            (name,) = self.rows("select pg_export_snapshot()")[0]
            self._arrow = adbc_driver_postgresql.dbapi.connect(self.url, autocommit=True)
            with self._arrow.cursor() as cursor:
                cursor.execute("begin isolation level repeatable read read only")
                cursor.execute(f"set transaction snapshot '{name}'")
                cursor.execute("set local timezone = 'UTC'")
        with self._arrow.cursor() as cursor:
            cursor.execute(query.as_string(self.connection))
            table: pa.Table = cursor.fetch_arrow_table()
            return table

    def set_windows(self, windows: Sequence[Window]) -> None:
        """Say which windows the views of the marts are to show within this transaction (and no other)."""
        self.connection.execute("delete from core.settle_window")
        self.connection.execute(
            "insert into core.settle_window select * from unnest(%s::timestamptz[], %s::timestamptz[])",
            ([timestamp(start) for start, _ in windows], [timestamp(end) for _, end in windows]),
        )

    def close(self) -> None:
        """Let go of the second connection; the transaction is its owner's to end."""
        if self._arrow is not None:
            self._arrow.close()
            self._arrow = None


def timestamp(time: np.datetime64) -> str:
    """A UTC time as PostgreSQL reads it.

    >>> timestamp(np.datetime64("2026-03-01T00:30"))
    '2026-03-01T00:30:00.000000+00'
    """
    return f"{np.datetime_as_string(time.astype('datetime64[us]'))}+00"


def utc(time: np.datetime64) -> datetime:
    """A UTC time as an aware datetime.

    >>> utc(np.datetime64("2026-03-01"))
    datetime.datetime(2026, 3, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    naive: datetime = time.astype("datetime64[us]").item()
    return naive.replace(tzinfo=UTC)


def instant(time: datetime) -> np.datetime64:
    """An aware datetime as datetime64[us] (UTC).

    >>> instant(datetime(2026, 3, 1, tzinfo=UTC))
    np.datetime64('2026-03-01T00:00:00.000000')
    """
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


def as_times(column: pa.ChunkedArray[Any]) -> NDArray[np.datetime64]:
    """A timestamp column as datetime64[us] (UTC)."""
    return column.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us")).to_numpy().astype("datetime64[us]")


def window_values(windows: Sequence[Window]) -> sql.Composed:
    """The windows as a `values` list of (start_at, end_at), as literals, so that the planner knows them."""
    rows = [sql.SQL("({}::timestamptz, {}::timestamptz)").format(timestamp(start), timestamp(end)) for start, end in windows]
    return sql.SQL("(values {})").format(sql.SQL(", ").join(rows))
