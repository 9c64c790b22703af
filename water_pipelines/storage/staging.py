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

_names = count()


@dataclass(frozen=True)
class Table:
    """A derived table: its name, its natural key, and the column (timestamptz or date) that says which day a row belongs to.

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
    """What a computation of some days found: a staged table for each table of the asset, and what it went by.

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
    database: Database, asset: str, days: NDArray[np.datetime64], compute: Callable[[Snapshot, NDArray[np.datetime64]], Staged], edges: Sequence[Edge]
) -> Applied:
    """Compute days of an asset in a snapshot, close it, and write the difference in a transaction of its own."""
    with database.connection() as connection:
        with database.snapshot(connection) as snapshot:
            staged = compute(snapshot, days)
        connection.execute("delete from core.settle_window")
        connection.commit()
        try:
            applied = apply(database, connection, asset, days, snapshot.number, staged, edges)
            connection.commit()
        finally:
            connection.rollback()
            for each in staged.tables:
                connection.execute(sql.SQL("drop table {}").format(sql.Identifier(each.name)))
    return applied


def apply(
    database: Database, connection: Connection, asset: str, days: NDArray[np.datetime64], read: int, staged: Staged, edges: Sequence[Edge]
) -> Applied:
    """Write the difference between what is staged and what is stored, under one change number.

    Days for which a later state of the data was computed meanwhile are left alone. With the rows, in the same transaction, the
    assets that read this one are marked stale, the days are noted as computed, and their own stale marks, as far as they were
    read, are cleared.

    Parameters
    ----------
    connection : a connection outside a transaction; its transaction is committed by the caller's block.
    asset : the asset's key, `schema/name`.
    days : datetime64[D][d], the days that were computed.
    read : the number of the snapshot in which they were computed.
    """
    computed.lock(connection, asset)
    later = computed.units_read_after(connection, asset, read)
    units = [str(day) for day in days]
    result = Applied(None, [unit for unit in units if unit not in later], [unit for unit in units if unit in later])
    kept = np.array(result.units, dtype="datetime64[D]")
    if len(kept):
        spread = [_spread_within(connection, each, kept) for each in staged.tables]
        differences = [_difference(connection, each, rows, windows_of(kept)) for each, rows in zip(staged.tables, spread, strict=True)]
        connection.execute("select n from core.clock for update")
        if any(len(each.spread.days) for each in differences):
            change = result.change = database.take_number(connection, asset)
            for each in differences:
                result.written[each.table.name] = int(each.spread.rows.sum())
                if len(each.spread.days):
                    _write(connection, each, change)
            _tell_of_flags(connection, change, differences)
            for each in differences:
                if len(each.spread.days):
                    mark_readers(connection, edges, each.spread.first, each.spread.last)
        found = dict(staged.counted) if staged.counted is not None else spread[0].by_day()
        rows = {unit: found.get(unit, 0) for unit in result.units}
        computed.note(database, connection, asset, rows, read, result.change, staged.rule_set_id, staged.model)
        stale.clear(connection, asset, result.units, read)
    return result


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
    """How many rows a temporary table has on each UTC day, and the first and last time of each.

    Parameters
    ----------
    days : datetime64[D][k], sorted.
    rows : int64[k]
    first, last : datetime64[us][k]
    """

    days: NDArray[np.datetime64]
    rows: NDArray[np.int64]
    first: NDArray[np.datetime64]
    last: NDArray[np.datetime64]

    @classmethod
    def of(cls, connection: Connection, name: str, table: Table) -> _Spread:
        """Count a temporary table whose rows are those of a table."""
        query = sql.SQL("select count(*), min({at})::timestamp, max({at})::timestamp from {} group by date_bin('1 day', {at}, '2000-01-01')")
        found = connection.execute(query.format(sql.Identifier(name), at=sql.Identifier(table.at))).fetchall()
        rows, first, last = (np.array([row[i] for row in found], dtype=kind) for i, kind in enumerate(("int64", "datetime64[us]", "datetime64[us]")))
        order = np.argsort(first)
        return cls(first[order].astype("datetime64[D]"), rows[order], first[order], last[order])

    def by_day(self) -> dict[str, int]:
        """Day -> rows."""
        return dict(zip(self.days.astype(str).tolist(), self.rows.tolist(), strict=True))

    def take(self, where: NDArray[np.bool_]) -> _Spread:
        """Some of the days."""
        return _Spread(self.days[where], self.rows[where], self.first[where], self.last[where])


@dataclass(frozen=True)
class _Difference:
    """Rows to write, in the temporary table `name`, and how they spread. Unless all are new, `is_known` and `is_gone` say what each is."""

    table: Table
    name: str
    spread: _Spread
    is_all_new: bool


def _spread_within(connection: Connection, staged: StagedTable, kept: NDArray[np.datetime64]) -> _Spread:
    """How staged rows spread, without those of other days, which are let go."""
    spread = _Spread.of(connection, staged.name, staged.table)
    is_kept = np.isin(spread.days, kept)
    if is_kept.all():
        return spread
    query = sql.SQL("delete from {} where ({at}::timestamp)::date = any(%s::date[])")
    connection.execute(query.format(sql.Identifier(staged.name), at=sql.Identifier(staged.table.at)), (spread.days[~is_kept].tolist(),))
    return spread.take(is_kept)


def _difference(connection: Connection, staged: StagedTable, spread: _Spread, windows: Sequence[Window]) -> _Difference:
    """What of the staged rows of some windows differs from what is stored in them: all, where nothing is stored yet."""
    table = staged.table
    present = present_rows(table, windows)
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
    return _Difference(table, difference, _Spread.of(connection, difference, table), is_all_new=False)


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


def mark_readers(connection: Connection, edges: Sequence[Edge], first: NDArray[np.datetime64], last: NDArray[np.datetime64]) -> None:
    """Mark stale what reads an asset whose rows changed within [first_i, last_i]; call it with the clock held."""
    for edge in edges:
        units = edge.stale_units(first, last)
        stale.mark(connection, edge.asset, edge.only(connection, units) if edge.only else units)
