"""What a computation leaves: rows staged in temporary tables, of which only the difference to the store is written.

A settled asset's function stages rows inside a `Snapshot` and returns `Staged`; `apply` is the one writer of derived tables.
Add nothing about a particular table here: what a table is called and keyed by is said by its noun's `Table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.reach import Reach, affected_days
from water_pipelines.domain.series import series_day_codes
from water_pipelines.storage import computed, series_changes, stale
from water_pipelines.storage.copy import copy_arrays
from water_pipelines.storage.database import Connection, Database, Snapshot, Window, window_values

Units = NDArray[Any]
"""Units of an asset, sorted: its UTC days (datetime64[D]), or numbers, such as those of floats."""

_names = count()


@dataclass(frozen=True)
class Table:
    """A derived table: its name, its natural key, and the column that says which unit a row belongs to: a timestamptz or date, or the unit's number.

    What changes in a table that `flags` is told by the changes feed: its rows, of a series and a time or day, decide on the flags of values.
    """

    name: str
    key: tuple[str, ...]
    at: str
    flags: bool = False

    @property
    def identifier(self) -> sql.Identifier:
        """The name for use in a statement."""
        return sql.Identifier(*self.name.split("."))


@dataclass(frozen=True)
class StagedTable:
    """The rows that `table` should have within the windows of the computation."""

    table: Table
    name: str


@dataclass(frozen=True)
class Staged:
    """What a computation of some units found: a staged table for each table of the asset, and what it went by.

    `counted` is for an asset whose rows are facts that a load has written already: nothing is staged, and its rows are counted by unit.
    """

    tables: Sequence[StagedTable]
    rule_set_id: int | None = None
    model: str | None = None
    counted: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Edge:
    """An asset that reads another, and how far around a time it looks.

    `units` turns the first and last changed time of each touched day into the reader's stale units; by default these are the
    days that the reach covers. `only` keeps of these, as the writing transaction sees the store, the ones that can have rows at all.
    """

    asset: str
    reach: Reach
    units: Callable[[NDArray[np.datetime64], NDArray[np.datetime64]], Sequence[str]] | None = None
    only: Callable[[Connection, Sequence[str]], Sequence[str]] | None = None

    def stale_units(self, first: NDArray[np.datetime64], last: NDArray[np.datetime64]) -> Sequence[str]:
        """The units that changes within [first_i, last_i] make stale."""
        if self.units is not None:
            return self.units(first, last)
        return [str(day) for day in affected_days(first, last, self.reach)]


@dataclass
class Applied:
    """What applying a computation did: the change it made (none where nothing differed) and the rows written by table."""

    change: int | None
    units: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)


def stage(snapshot: Snapshot, table: Table, columns: Mapping[str, tuple[str, NDArray[Any]]]) -> StagedTable:
    """Stage rows given as arrays: column -> (type, array[n])."""
    staged = _empty(snapshot, table)
    copy_arrays(snapshot.connection, sql.Identifier(staged.name), columns)
    return staged


def stage_query(snapshot: Snapshot, table: Table, query: sql.Composable) -> StagedTable:
    """Stage the rows of a query, whose columns carry the table's names."""
    staged = _empty(snapshot, table)
    names = sql.SQL(", ").join(map(sql.Identifier, _columns(snapshot.connection, staged.name)))
    snapshot.connection.execute(sql.SQL("insert into {} ({}) select {} from ({}) as rows").format(sql.Identifier(staged.name), names, names, query))
    return staged


def _empty(snapshot: Snapshot, table: Table) -> StagedTable:
    name = f"staged_{next(_names)}"
    snapshot.connection.execute(sql.SQL("create temporary table {} (like {} including defaults)").format(sql.Identifier(name), table.identifier))
    snapshot.connection.execute(sql.SQL("alter table {} drop column since").format(sql.Identifier(name)))
    return StagedTable(table, name)


def settle(
    database: Database,
    asset: str,
    units: Units,
    compute: Callable[[Snapshot, Units], Staged],
    edges: Sequence[Edge],
    known: int | None = None,
) -> Applied:
    """Compute units of an asset in a snapshot, close it, and write the difference in a transaction of its own.

    Stale marks are cleared up to the snapshot, or up to `known`, where what the computation goes by was looked up as of an earlier state.
    """
    with database.connection() as connection:
        with database.snapshot(connection) as snapshot:
            staged = compute(snapshot, units)
        connection.execute("delete from core.settle_window")
        connection.commit()
        try:
            applied = apply(database, connection, asset, units, snapshot.number, staged, edges, snapshot.number if known is None else known)
            connection.commit()
        finally:
            connection.rollback()
            for each in staged.tables:
                connection.execute(sql.SQL("drop table {}").format(sql.Identifier(each.name)))
    return applied


def apply(
    database: Database, connection: Connection, asset: str, units: Units, read: int, staged: Staged, edges: Sequence[Edge], known: int
) -> Applied:
    """Write the difference between what is staged and what is stored, under one change number.

    Units for which a later state of the data was computed meanwhile are left alone. With the rows, in the same transaction, the
    assets that read this one are marked stale, the units are noted as computed, and their own stale marks, as far as they were
    known, are cleared.

    Parameters
    ----------
    connection : a connection outside a transaction; its transaction is committed by the caller's block.
    asset : the asset's key, `schema/name`.
    units : the units that were computed.
    read : the number of the snapshot in which they were computed.
    known : the change up to which their marks are cleared.
    """
    computed.lock(connection, asset)
    later = computed.units_read_after(connection, asset, read)
    names = [str(unit) for unit in units]
    result = Applied(None, [unit for unit in names if unit not in later], [unit for unit in names if unit in later])
    kept = np.array(result.units, dtype=units.dtype)
    if len(kept):
        spread = [_spread_within(connection, each, kept) for each in staged.tables]
        differences = [_difference(connection, each, rows, kept) for each, rows in zip(staged.tables, spread, strict=True)]
        connection.execute("select n from core.clock for update")
        if any(len(each.spread.units) for each in differences):
            change = result.change = database.take_number(connection, asset)
            for each in differences:
                result.written[each.table.name] = int(each.spread.rows.sum())
                if len(each.spread.units):
                    _write(connection, each, change)
            _tell_of_flags(connection, change, differences)
            for each in differences:
                if len(each.spread.units):
                    _mark_readers(connection, edges, each.spread)
        found = dict(staged.counted) if staged.counted is not None else spread[0].by_unit()
        rows = {unit: found.get(unit, 0) for unit in result.units}
        computed.note(database, connection, asset, rows, read, result.change, staged.rule_set_id, staged.model)
        stale.clear(connection, asset, result.units, known)
    return result


def is_by_day(units: Units) -> bool:
    """Whether units are days."""
    return units.dtype.kind == "M"


def windows_of(days: NDArray[np.datetime64]) -> list[Window]:
    """Sorted days as half-open windows of whole contiguous stretches.

    >>> windows_of(np.array(["2026-01-01", "2026-01-02", "2026-01-05"], dtype="datetime64[D]"))[1][0]
    np.datetime64('2026-01-05T00:00:00.000000')
    """
    if len(days) == 0:
        return []
    breaks = np.flatnonzero(np.diff(days).astype(np.int64) != 1) + 1
    return [(part[0].astype("datetime64[us]"), (part[-1] + 1).astype("datetime64[us]")) for part in np.split(days, breaks)]


def present_rows(table: Table, windows: Sequence[Window]) -> sql.Composed:
    """A query for the rows that a table holds within windows.

    Keys begin with the series, so each series' stretch is read by its key: a plain join could choose to scan every partition.
    """
    at = sql.Identifier(table.at)
    within = sql.SQL("t.{at} >= w.start_at and t.{at} < w.end_at").format(at=at)
    if table.key[0] != "series_id":
        return sql.SQL("select t.* from {} as w(start_at, end_at) join {} as t on {}").format(window_values(windows), table.identifier, within)
    return sql.SQL(
        "select t.* from {} as w(start_at, end_at) cross join core.series as s"
        " cross join lateral (select * from {} as t where t.series_id = s.series_id and {} offset 0) as t"
    ).format(window_values(windows), table.identifier, within)


def _columns(connection: Connection, name: str) -> list[str]:
    query = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum"
    return [row[0] for row in connection.execute(query, (name,))]


@dataclass(frozen=True)
class _Spread:
    """How many rows a temporary table has of each unit, and the first and last time of each, or the unit's number where units are numbers.

    Parameters
    ----------
    units : sorted [k]
    rows : int64[k]
    first, last : datetime64[us][k] or int64[k]
    """

    units: Units
    rows: NDArray[np.int64]
    first: NDArray[Any]
    last: NDArray[Any]

    @classmethod
    def of(cls, connection: Connection, name: str, table: Table, kind: np.dtype[Any]) -> _Spread:
        """Count a temporary table whose rows are those of a table; `kind` is the type of its units."""
        is_days = kind.kind == "M"
        at = sql.SQL("{}::timestamp" if is_days else "{}").format(sql.Identifier(table.at))
        unit = sql.SQL("date_bin('1 day', {}, '2000-01-01')" if is_days else "{}").format(at)
        query = sql.SQL("select count(*), min({at}), max({at}) from {} group by {}").format(sql.Identifier(name), unit, at=at)
        found = connection.execute(query).fetchall()
        within = "datetime64[us]" if is_days else "int64"
        rows, first, last = (np.array([row[i] for row in found], dtype=dtype) for i, dtype in enumerate(("int64", within, within)))
        order = np.argsort(first)
        return cls(first[order].astype(kind), rows[order], first[order], last[order])

    def by_unit(self) -> dict[str, int]:
        """Unit -> rows."""
        return dict(zip(self.units.astype(str).tolist(), self.rows.tolist(), strict=True))

    def take(self, where: NDArray[np.bool_]) -> _Spread:
        """Some of the units."""
        return _Spread(self.units[where], self.rows[where], self.first[where], self.last[where])


@dataclass(frozen=True)
class _Difference:
    """Rows to write, in the temporary table `name`, and how they spread. Unless all are new, `is_known` and `is_gone` say what each is."""

    table: Table
    name: str
    spread: _Spread
    is_all_new: bool


def _spread_within(connection: Connection, staged: StagedTable, kept: Units) -> _Spread:
    """How staged rows spread, without those of other units, which are let go."""
    spread = _Spread.of(connection, staged.name, staged.table, kept.dtype)
    is_kept = np.isin(spread.units, kept)
    if is_kept.all():
        return spread
    query = sql.SQL("delete from {} where ({at}::timestamp)::date = any(%s::date[])" if is_by_day(kept) else "delete from {} where {at} = any(%s)")
    connection.execute(query.format(sql.Identifier(staged.name), at=sql.Identifier(staged.table.at)), (spread.units[~is_kept].tolist(),))
    return spread.take(is_kept)


def _difference(connection: Connection, staged: StagedTable, spread: _Spread, units: Units) -> _Difference:
    """What of the staged rows of some units differs from what is stored of them: all, where nothing is stored yet."""
    table = staged.table
    present: sql.Composable
    if is_by_day(units):
        present = present_rows(table, windows_of(units))
    else:
        present = sql.SQL("select * from {} where {} = any({})").format(table.identifier, sql.Identifier(table.at), sql.Literal(units.tolist()))
    if connection.execute(sql.SQL("select exists ({})").format(present)).fetchone() == (False,):
        return _Difference(table, staged.name, spread, is_all_new=True)
    names, difference = _columns(connection, staged.name), f"{staged.name}_difference"
    key = sql.SQL(", ").join(map(sql.Identifier, table.key))
    values = [name for name in names if name not in table.key]
    differ = sql.SQL("({}) is distinct from ({})").format(
        sql.SQL(", ").join(sql.Identifier("s", name) for name in values), sql.SQL(", ").join(sql.Identifier("p", name) for name in values)
    )
    taken = sql.SQL(", ").join(sql.Identifier(name) if name in table.key else sql.Identifier("s", name) for name in names)
    _analyze(connection, staged.name, table)
    connection.execute(
        sql.SQL(
            "create temporary table {difference} on commit drop as select {taken}, p.is_known is not null as is_known, s.is_staged is null as is_gone"
            " from (select *, true as is_staged from {staged}) as s full join (select *, true as is_known from ({present}) as t) as p"
            " using ({key}) where s.is_staged is null or p.is_known is null or {differ}"
        ).format(
            difference=sql.Identifier(difference),
            taken=taken,
            staged=sql.Identifier(staged.name),
            present=present,
            key=key,
            differ=differ if values else sql.SQL("false"),
        )
    )
    return _Difference(table, difference, _Spread.of(connection, difference, table, units.dtype), is_all_new=False)


def _analyze(connection: Connection, name: str, table: Table) -> None:
    """Let the planner know how many rows a temporary table has, and how their keys spread: what else they hold costs much and helps nothing."""
    connection.execute(sql.SQL("analyze {} ({})").format(sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, table.key))))


def _write(connection: Connection, difference: _Difference, change: int) -> None:
    table, source = difference.table, sql.Identifier(difference.name)
    names = [name for name in _columns(connection, difference.name) if name not in ("is_known", "is_gone")]
    if not difference.is_all_new:
        _analyze(connection, difference.name, table)
        _delete_and_update(connection, difference, [name for name in names if name not in table.key], change)
    connection.execute(
        sql.SQL("insert into {} ({columns}, since) select {columns}, {} from {} where {} order by {}").format(
            table.identifier,
            change,
            source,
            sql.SQL("true" if difference.is_all_new else "not is_known"),
            sql.SQL(", ").join(map(sql.Identifier, table.key)),
            columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        )
    )


def _delete_and_update(connection: Connection, difference: _Difference, values: Sequence[str], change: int) -> None:
    table, source = difference.table, sql.Identifier(difference.name)
    bounds = connection.execute(sql.SQL("select min({at}), max({at}) from {} where is_known").format(source, at=sql.Identifier(table.at))).fetchone()
    assert bounds is not None
    if bounds[0] is None:
        return
    same_key = sql.SQL(" and ").join(sql.SQL("t.{0} = d.{0}").format(sql.Identifier(name)) for name in table.key)
    within = sql.SQL("{} and t.{at} between {} and {}").format(same_key, *bounds, at=sql.Identifier(table.at))
    connection.execute(sql.SQL("delete from {} as t using {} as d where d.is_gone and {}").format(table.identifier, source, within))
    setting = sql.SQL(", ").join(sql.SQL("{0} = d.{0}").format(sql.Identifier(name)) for name in values)
    separator = sql.SQL(", " if values else "")
    connection.execute(
        sql.SQL("update {} as t set {}{}since = {} from {} as d where d.is_known and not d.is_gone and {}").format(
            table.identifier, setting, separator, change, source, within
        )
    )


def _tell_of_flags(connection: Connection, change: int, differences: Sequence[_Difference]) -> None:
    """Note for the changes feed on which days of which series flags may be others than before, and how many rows say so."""
    codes, rows = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for each in differences:
        if each.table.flags:
            query = sql.SQL("select series_id, ({at}::timestamp)::date, count(*) from {} group by 1, 2").format(
                sql.Identifier(each.name), at=sql.Identifier(each.table.at)
            )
            found = connection.execute(query).fetchall()
            if found:
                series, days, count = (np.array(column) for column in zip(*found, strict=True))
                codes.append(series_day_codes(series.astype(np.int32), days.astype("datetime64[D]")))
                rows.append(count.astype(np.int64))
    distinct, where = np.unique(np.concatenate(codes), return_inverse=True)
    sums = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(sums, where, np.concatenate(rows))
    series_changes.note(connection, change, series_changes.FLAGGED, distinct, sums)


def _mark_readers(connection: Connection, edges: Sequence[Edge], changed: _Spread) -> None:
    if is_by_day(changed.units):
        mark_readers(connection, edges, changed.first, changed.last)
    else:
        mark_readers_of_numbers(connection, edges, changed.units.astype(str).tolist())


def mark_readers(connection: Connection, edges: Sequence[Edge], first: NDArray[np.datetime64], last: NDArray[np.datetime64]) -> None:
    """Mark stale what reads an asset whose rows changed within [first_i, last_i]; call it with the clock held."""
    for edge in edges:
        units = edge.stale_units(first, last)
        stale.mark(connection, edge.asset, edge.only(connection, units) if edge.only else units)


def mark_readers_of_numbers(connection: Connection, edges: Sequence[Edge], units: Sequence[str]) -> None:
    """The same of an asset whose units are numbers: what reads it has the same units, unless its edge says that nothing follows."""
    for edge in edges:
        if edge.units is None:
            stale.mark(connection, edge.asset, units)
