"""One consistent state of what is served: now, or as it was at a change.

Every function beside this file takes a `Reading` and names its tables through `Reading.table`, so that `as_of` is answered in one
place. Add what every noun needs here; what one noun needs belongs in that noun's file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from water_pipelines.storage.database import Connection, Database

Query = sql.SQL | sql.Composed

_NO_TABLE = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)


class UnknownChange(LookupError):
    """The state that was asked for does not exist (yet)."""


class Forgotten(LookupError):
    """The state that was asked for lies before the history's retention."""


class NothingFound(LookupError):
    """What was asked for by its id does not exist, as of the change that is read."""


class Unavailable(Exception):
    """The database does not answer, or holds no schema of ours."""


@dataclass(frozen=True)
class Reading:
    """A read-only transaction whose queries see the state as of change `number`; `is_current` where that is the last change."""

    connection: Connection
    number: int
    is_current: bool

    def table(self, name: str) -> sql.Composable:
        """The rows of a table that keeps a history, `schema.name`, as of the change; give it an alias."""
        if self.is_current:
            return sql.Identifier(*name.split("."))
        return sql.SQL(
            "(select t.*, null::bigint as until from {} as t where since <= {n} union all select * from {} where since <= {n} and until > {n})"
        ).format(sql.Identifier(*name.split(".")), sql.Identifier("history", name.split(".")[1]), n=sql.Literal(self.number))

    @property
    def observations(self) -> sql.Composable:
        """The rows of `core.observation` as of the change; what came by a later load is not among them."""
        if self.is_current:
            return sql.Identifier("core", "observation")
        known = sql.SQL("load_id <> all (array(select load_id from raw.load where change > {}))").format(sql.Literal(self.number))
        return sql.SQL(
            "(select t.*, null::bigint as until from core.observation as t where {known}"
            " union all select * from history.observation where until > {n} and {known})"
        ).format(known=known, n=sql.Literal(self.number))

    @property
    def loaded_days(self) -> sql.Composable:
        """The rows of `raw.load_day` as of the change."""
        if self.is_current:
            return sql.Identifier("raw", "load_day")
        return sql.SQL("(select d.* from raw.load_day as d join raw.load as l using (load_id) where l.change <= {})").format(sql.Literal(self.number))

    def rows(self, query: Query, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a query, as dictionaries by column."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows: list[dict[str, Any]] = cursor.execute(query, parameters).fetchall()
            return rows

    def row(self, query: Query, parameters: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The first row of a query, or none."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            row: dict[str, Any] | None = cursor.execute(query, parameters).fetchone()
            return row

    def tick(self) -> datetime | None:
        """The last half-hour as of which clock-dependent rows were computed; none before the first."""
        found = self.connection.execute("select max(tick_at) from core.tick where since <= %s", (self.number,)).fetchone()
        return found[0] if found else None


@contextmanager
def reading(database: Database, as_of: int | datetime | None = None) -> Iterator[Reading]:
    """Open one repeatable-read, read-only state of everything.

    Parameters
    ----------
    as_of : a change number; or a time, which stands for the last change recorded up to then; by default the last change.

    Raises
    ------
    UnknownChange
        The change was not made yet, or the time lies in the future.
    Forgotten
        The state can no longer be told: what was superseded since is gone.
    Unavailable
        The database does not answer, or was never migrated.
    """
    try:
        with database.connection() as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            try:
                latest = _latest(connection)
                number = latest if as_of is None else _remembered(connection, _number(connection, as_of, latest))
                yield Reading(connection, number, number == latest)
            finally:
                connection.rollback()
                connection.isolation_level = None
                connection.read_only = None
    except _NO_TABLE as error:
        raise Unavailable(f"the database lacks a table of this version; run `water migrate` ({_first_line(error)})") from error
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise Unavailable(f"the database does not answer: {_first_line(error)}") from error


def require_made(reading: Reading, since: int) -> None:
    """Raise `UnknownChange` where a copy of the data stands at a change that was not made yet: the database is an earlier state, or rebuilt."""
    if reading.is_current and since > reading.number:
        raise UnknownChange(f"there is no change {since} yet: the database was restored or rebuilt; make a new copy, from since=0 on")


def _latest(connection: Connection) -> int:
    row = connection.execute("select n from core.clock").fetchone()
    assert row is not None
    return int(row[0])


def _number(connection: Connection, as_of: int | datetime, latest: int) -> int:
    if isinstance(as_of, int):
        if as_of > latest:
            raise UnknownChange(f"change {as_of} has not been made yet; the last change is {latest}")
        return as_of
    row = connection.execute(
        "select %(at)s > clock_timestamp(), (select n from core.change where recorded_at <= %(at)s order by recorded_at desc, n desc limit 1)",
        {"at": as_of},
    ).fetchone()
    assert row is not None
    if row[0]:
        raise UnknownChange(f"{as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} lies in the future; what will have been recorded then is not known")
    return int(row[1] or 0)


def _remembered(connection: Connection, number: int) -> int:
    row = connection.execute(
        "select h.n, c.recorded_at from core.history_horizon as h left join core.change as c using (n) where h.n > %s", (number,)
    ).fetchone()
    if row is None:
        return number
    since = "" if row[1] is None else f", recorded at {row[1].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    raise Forgotten(f"what was superseded since change {number} is no longer kept; the first change that can be read is {row[0]}{since}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
