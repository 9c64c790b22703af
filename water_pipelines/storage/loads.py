"""Loading parsed files into `core.observation`: one transaction a file, or one of many that only add; the latest arrival wins in any order.

Three cases, told apart for each series and day by the ledger: nothing was ever loaded there (the rows are copied straight in), only
earlier arrivals were (the difference is merged), or a later arrival was, or an arrival leaves (the day is replayed from its files).
A window that a file gives completely touches every day within it of which others gave values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.series import series_day_codes, series_days_of, starts_of_runs
from water_pipelines.storage import claims as claiming
from water_pipelines.storage import complete_windows, computed, sensor_states, series_changes, source_files, tombstones
from water_pipelines.storage.claims import Claims, Provision
from water_pipelines.storage.complete_windows import Windows
from water_pipelines.storage.copy import copy_arrays, copy_rows
from water_pipelines.storage.database import Connection, Database
from water_pipelines.storage.partitions import leaf_of
from water_pipelines.storage.source_files import SourceFile
from water_pipelines.storage.spool import Chunk, Refused, Spool
from water_pipelines.storage.staging import Edge, mark_readers

Reparse = Callable[[int], Spool]
Readers = Callable[[Connection], Sequence[Edge]]
"""What reads `core/observation`, and how far by the rules in force; asked with the clock held, so that no other rules come in between."""
_FEW_ROWS = 100_000
_NEW, _CHANGED, _UNCHANGED, _REJECTED = range(4)
_FED = ("added", "changed", "withdrawn")
_ADDED, _WITHDRAWN = 0, 2


@dataclass(frozen=True)
class Parsed:
    """A file as its parser gave it. A rejected row is (row number, text, reason); there may be more of them than memory holds."""

    spool: Spool
    claims: Claims
    rejected: Collection[tuple[int, str, str]]
    parser: str
    parser_version: str
    states: Sequence[sensor_states.Said] = ()
    windows: Sequence[complete_windows.Said] = ()


@dataclass
class Loaded:
    """What a load did. `days` are the UTC days whose stored values changed."""

    change: int | None
    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    gone: int = 0
    days: NDArray[np.datetime64] = field(default_factory=lambda: np.empty(0, dtype="datetime64[D]"))


class Overtaken(Exception):
    """Series of a file were deleted while it was about to be loaded; loading it again finds them gone."""


def load(database: Database, file: SourceFile, parsed: Parsed, *, edges: Readers, series_edges: Sequence[Edge] = (), reparse: Reparse) -> Loaded:
    """Load a parsed file: its observations, stations and series, ledgers and stale marks, in one transaction.

    What was deleted for ever after the file arrived is left out of it.

    Parameters
    ----------
    edges, series_edges : what reads `core/observation`, and `core/series`.
    reparse : gives the spool of another arrival, when a day must be replayed from its landed files.

    Raises
    ------
    Overtaken
        Try again.
    """
    with database.connection() as connection:
        return load_within(database, connection, file, parsed, edges=edges, series_edges=series_edges, reparse=reparse)


def load_within(
    database: Database,
    connection: Connection,
    file: SourceFile,
    parsed: Parsed,
    *,
    edges: Readers,
    series_edges: Sequence[Edge] = (),
    reparse: Reparse,
) -> Loaded:
    """The same in a transaction that the caller commits, or rolls back to have asked only.

    A file that was loaded before comes to what it says now: what only its earlier loads gave is gone.
    """
    qualifier_ids = _qualifier_ids(database, list(parsed.spool.qualifiers))
    with Refused(parsed.spool.directory) as repeated:
        # before any other lock: whoever loads these bytes under an older mapping ends first, and is then superseded as a whole
        source_files.hold(connection, [each.arrival for each in source_files.earlier_mappings(connection, file)])
        buried = tombstones.above(connection, file.arrival)
        claims = buried.left_of(parsed.claims)
        provision = claiming.prepare(connection, {file.arrival: claims})
        superseded = [each.arrival for each in source_files.earlier_mappings(connection, file)]
        taken_back, leaving = complete_windows.forget(connection, [*superseded, file.arrival]), _days_of(connection, [*superseded, file.arrival])
        numbers = np.array([provision.series_ids.get(name, -1) for name in parsed.spool.series], dtype=np.int32)
        named = np.array([provision.series_ids.get(name, -1) for name, _, _ in parsed.windows], dtype=np.int32)
        _lock_series(connection, np.unique(np.concatenate([numbers, named, leaving.series, taken_back.series])))
        if claiming.series_ids(connection, list(provision.known)) != provision.known or tombstones.above(connection, file.arrival) != buried:
            raise Overtaken(f"series of {file.name} were deleted meanwhile")
        leaving = leaving.also(complete_windows.series_days(connection, taken_back))
        work = _Load(database, connection, _Mine(file.arrival, parsed, numbers, qualifier_ids, repeated))
        waiting = [work.take(chunk, leaving) for chunk in parsed.spool.chunks()]
        if parsed.windows:
            waiting.append(work.clear(complete_windows.record(connection, file.arrival, parsed.windows, provision.series_ids), leaving))
        work.replay(_SeriesDays(np.unique(np.concatenate([leaving.codes, *(each.codes for each in waiting)]))), reparse, without=superseded)
        change = work.write("load")
        described = claiming.record(connection, {file.arrival: claims}, provision, without=superseded)
        switched = sensor_states.record(connection, file.arrival, parsed.states, provision.series_ids, without=superseded)
        claiming.mark_readers_of_series(connection, series_edges, [*described, *switched])
        source_files.supersede(connection, superseded, by=file.arrival, change=change)
        mark_readers(connection, edges(connection), *work.tally.spans())
        loaded = work.loaded(change)
        work.note_computed(change)
        arrived_on = {str(file.arrived_at.astimezone(UTC).date()): loaded.rows}
        for asset in ("raw/source_file", "raw/load_day"):
            computed.note(database, connection, asset, arrived_on, change, change, None, None)
        source_files.succeed(connection, file.arrival, rows=loaded.rows, rejected=len(parsed.rejected) + loaded.rejected)
        source_files.keep_rejected(connection, file.arrival, () if buried.takes_all(parsed.claims) else chain(parsed.rejected, repeated))
    return loaded


def load_additions(
    database: Database, files: Sequence[tuple[SourceFile, Parsed]], *, edges: Readers, series_edges: Sequence[Edge] = ()
) -> list[Loaded]:
    """Load small files in one transaction, under one change number, up to the first that does more than add; gives what each of these did.

    A file only adds where each of its values is of a time that has none, or is the same again as what stands there: nothing is replaced or
    withdrawn, no later arrival is on its series-days, and it was not loaded before. What any other file does is for `load` to find out.

    Parameters
    ----------
    files : in the order of arrival, none with the bytes of another file under another mapping.

    Raises
    ------
    Overtaken
        Nothing was loaded.
    """
    names: dict[str, int] = {}
    qualifiers: dict[str, int] = {}
    parts: list[_Rows] = []
    for _, parsed in files:
        part = _puts(parsed, len(parts), names, qualifiers)
        if part is None:
            break
        parts.append(part)
    if not parts:
        return []
    qualifier_ids = _qualifier_ids(database, list(qualifiers))
    arrivals, said = [file.arrival for file, _ in files[: len(parts)]], {file.arrival: parsed.claims for file, parsed in files[: len(parts)]}
    with database.connection() as connection:
        buried = tombstones.above(connection, arrivals[0])
        if buried.stations or buried.series:
            return []
        provision = claiming.prepare(connection, said)
        numbers = np.array([provision.series_ids.get(name, -1) for name in names], dtype=np.int32)
        _lock_series(connection, np.unique(numbers))
        if claiming.series_ids(connection, list(provision.known)) != provision.known or tombstones.above(connection, arrivals[0]) != buried:
            raise Overtaken(f"series of {len(arrivals)} files were deleted meanwhile")
        added = _Additions.among(connection, arrivals, _Rows.join(parts).renamed(numbers, qualifier_ids))
        taken = files[: added.files]
        if not taken:
            return []
        loaded = added.write(database, connection, taken)
        change = loaded[0].change
        assert change is not None
        described = claiming.record(connection, {file.arrival: parsed.claims for file, parsed in taken}, provision)
        claiming.mark_readers_of_series(connection, series_edges, described)
        mark_readers(connection, edges(connection), *added.spans())
        computed.note(database, connection, "core/observation", added.rows_by_day(), change, change, None, None)
        arrived_on: Counter[str] = Counter()
        for (file, _), each in zip(taken, loaded, strict=True):
            arrived_on[str(file.arrived_at.astimezone(UTC).date())] += each.rows
        for asset in ("raw/source_file", "raw/load_day"):
            computed.note(database, connection, asset, arrived_on, change, change, None, None)
        rejected = {file.arrival: parsed.rejected for file, parsed in taken}
        source_files.succeed_all(connection, list(rejected), rows=[each.rows for each in loaded], rejected=[len(each) for each in rejected.values()])
        source_files.keep_all_rejected(connection, rejected)
    return loaded


def withdraw(
    database: Database, connection: Connection, arrivals: Sequence[int], *, edges: Readers, series_edges: Sequence[Edge], reparse: Reparse
) -> Loaded:
    """Take files out: their series-days come to what the remaining files say, and what they claim of stations and series is dropped.

    So do the days of their complete windows, in which values of other files come back.

    Parameters
    ----------
    connection : in a transaction, which the caller commits, or rolls back to have asked only.
    arrivals : of data files; what they superseded does not come back.
    """
    claiming.hold(connection)
    taken_back, leaving = complete_windows.forget(connection, arrivals), _days_of(connection, arrivals)
    _lock_series(connection, np.union1d(leaving.series, taken_back.series))
    # others may have loaded into the windows until their series were locked
    leaving = leaving.also(complete_windows.series_days(connection, taken_back))
    work = _Load(database, connection, None)
    work.replay(leaving, reparse, without=arrivals)
    change = work.write("withdraw")
    described = claiming.record(connection, {}, Provision({}, {}, is_news=True), without=arrivals)
    switched = sensor_states.record(connection, arrivals[0], (), {}, without=arrivals)
    claiming.mark_readers_of_series(connection, series_edges, [*described, *switched])
    source_files.withdraw(connection, arrivals, change=change)
    mark_readers(connection, edges(connection), *work.tally.spans())
    work.note_computed(change)
    return work.loaded(change)


def replay(database: Database, connection: Connection, days: NDArray[np.datetime64], *, edges: Readers, reparse: Reparse) -> Loaded:
    """Derive days of `core.observation` again from their landed files, and write what differs.

    Parameters
    ----------
    connection : in a transaction, which the caller commits, or rolls back to have asked only.
    """
    touched = _series_days(connection, "select distinct series_id, day from raw.load_day where day = any(%s::date[])", [str(day) for day in days])
    _lock_series(connection, np.unique(touched.series))
    work = _Load(database, connection, None)
    work.replay(touched, reparse, without=[])
    if not work.differs():
        return Loaded(None)
    change = work.write("replay")
    mark_readers(connection, edges(connection), *work.tally.spans())
    work.note_computed(change)
    return work.loaded(change)


def said_by(connection: Connection, arrival: int) -> str:
    """A digest of what a file says beside its values: of stations and series, what it gives completely, and the rows of it that were refused."""
    row = connection.execute(
        "select md5(coalesce((select string_agg(concat_ws(' ', subject, natural_id, attributes), ';' order by subject, natural_id) from raw.claim"
        " where arrival = %(arrival)s), '') || coalesce((select string_agg(concat_ws(' ', source_row, text, reason), ';' order by position)"
        " from raw.rejected_row where arrival = %(arrival)s), '') || coalesce((select string_agg(concat_ws(' ', series_id, start_at, end_at), ';'"
        " order by series_id, start_at) from raw.complete_window where arrival = %(arrival)s), ''))",
        {"arrival": arrival},
    ).fetchone()
    assert row is not None
    return str(row[0])


def days_with_values(connection: Connection, first: date, last: date) -> NDArray[np.datetime64]:
    """The days (UTC) within [first, last] of which any load gave values."""
    found = connection.execute("select distinct day from raw.load_day where day between %s and %s order by 1", (first, last)).fetchall()
    return np.array([day for (day,) in found], dtype="datetime64[D]")


@dataclass(frozen=True)
class _SeriesDays:
    """Distinct (series, day) pairs as sorted codes, so that membership is one binary search."""

    codes: NDArray[np.int64]

    @property
    def series(self) -> NDArray[np.int32]:
        return series_days_of(self.codes)[0]

    @property
    def days(self) -> NDArray[np.datetime64]:
        return series_days_of(self.codes)[1]

    def holds(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        if len(self.codes) == 0:
            return np.zeros(len(codes), dtype=np.bool_)
        position = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        held: NDArray[np.bool_] = self.codes[position] == codes
        return held

    def also(self, codes: NDArray[np.int64]) -> _SeriesDays:
        return _SeriesDays(np.union1d(self.codes, codes))

    def among(self, codes: NDArray[np.int64]) -> _SeriesDays:
        return _SeriesDays(np.intersect1d(self.codes, codes))


_NONE = _SeriesDays(np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class _Rows:
    """Rows by series number; `load` is the number of the load that they come from."""

    series: NDArray[np.int32]
    time: NDArray[np.datetime64]
    value: NDArray[np.float64]
    qualifier: NDArray[np.int16]
    source_row: NDArray[np.int32]
    op: NDArray[np.int8]
    load: NDArray[np.int32]

    def take(self, where: NDArray[Any]) -> _Rows:
        return _Rows(*(column[where] for column in (self.series, self.time, self.value, self.qualifier, self.source_row, self.op, self.load)))

    def codes(self) -> NDArray[np.int64]:
        return series_day_codes(self.series, self.time)

    def known(self) -> _Rows:
        """Without the rows of series that have no number: those that were deleted."""
        return self if bool((self.series >= 0).all()) else self.take(self.series >= 0)

    @staticmethod
    def join(parts: Sequence[_Rows]) -> _Rows:
        names = ("series", "time", "value", "qualifier", "source_row", "op", "load")
        return _Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @staticmethod
    def of(chunk: Chunk, numbers: NDArray[np.int32], qualifier_ids: NDArray[np.int16], load_id: int) -> _Rows:
        load = np.full(len(chunk.series), load_id, dtype=np.int32)
        return _Rows(numbers[chunk.series], chunk.time, chunk.value, qualifier_ids[chunk.qualifier], chunk.source_row, chunk.op, load)

    def by_key(self) -> _Rows:
        """Sorted by (series, time); rows of one key stay in their order."""
        same, later = self.series[1:] == self.series[:-1], self.time[1:] >= self.time[:-1]
        if bool(np.all((self.series[1:] > self.series[:-1]) | (same & later))):
            return self
        return self.take(np.lexsort((self.time, self.series)))

    def within(self, series: int, start: np.datetime64, end: np.datetime64) -> slice:
        """Where the rows of a series within a half-open window stand, of rows that are sorted by key."""
        first, last = np.searchsorted(self.series, [series, series + 1])
        begin, until = first + np.searchsorted(self.time[first:last], np.array([start, end]))
        return slice(int(begin), int(until))

    def renamed(self, numbers: NDArray[np.int32], qualifier_ids: NDArray[np.int16]) -> _Rows:
        """The same rows, whose series and qualifiers are positions in what is given."""
        return replace(self, series=numbers[self.series], qualifier=qualifier_ids[self.qualifier])

    def columns(self) -> dict[str, tuple[str, NDArray[Any]]]:
        return {
            "time": ("timestamptz", self.time),
            "value": ("float8", self.value),
            "series_id": ("int4", self.series),
            "load_id": ("int4", self.load),
            "source_row": ("int4", self.source_row),
            "qualifier_id": ("int2", self.qualifier),
        }


_NO_ROWS = _Rows(*(np.empty(0, dtype=kind) for kind in ("int32", "datetime64[us]", "float64", "int16", "int32", "int8", "int32")))


def _fold(rows: _Rows) -> tuple[_Rows, NDArray[np.intp]]:
    """What rows of the same key, given in their order, come to, and which rows were overruled by another value.

    The last row of a key wins. It is credited to the first of the rows that end in saying the same without a break, so that a
    value which is merely repeated keeps its origin, whether its repetitions are folded at once or merged one after the other.

    Parameters
    ----------
    rows : sorted by key.

    Returns
    -------
    The winning rows, each key once, and the positions of rows whose successor of the same key differs.
    """
    if len(rows.series) == 0:
        return rows, np.empty(0, dtype=np.intp)
    same_key = (rows.series[1:] == rows.series[:-1]) & (rows.time[1:] == rows.time[:-1])
    if not same_key.any():
        return rows, np.empty(0, dtype=np.intp)
    same_value = (rows.value[1:] == rows.value[:-1]) | (np.isnan(rows.value[1:]) & np.isnan(rows.value[:-1]))
    same_word = same_value & (rows.qualifier[1:] == rows.qualifier[:-1]) & (rows.op[1:] == rows.op[:-1])
    begins = np.append(True, ~(same_key & same_word))
    origin = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
    is_last = np.append(~same_key, True)
    return rows.take(origin[is_last]), np.flatnonzero(same_key & ~same_word)


def _left_by(windows: Sequence[tuple[int, np.datetime64, np.datetime64]], earlier: _Rows, own: Sequence[_Rows]) -> _Rows:
    """What of earlier rows is left by a file that gives its own, and gives some windows of series completely."""
    earlier = earlier.by_key()
    given = _Rows.join([earlier.take(np.empty(0, dtype=np.intp)), *own]).by_key()
    is_left = np.ones(len(earlier.series), dtype=np.bool_)
    for window in windows:
        here = earlier.within(*window)
        is_left[here] &= np.isin(earlier.time[here], given.time[given.within(*window)])
    return earlier.take(is_left)


class _Tally:
    """Counts by series and day, and the first and last changed time of each day."""

    def __init__(self) -> None:
        self._codes: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._first: dict[np.datetime64, np.datetime64] = {}
        self._last: dict[np.datetime64, np.datetime64] = {}

    def add(self, codes: NDArray[np.int64], kind: int) -> None:
        """Count rows whose series-days stand together."""
        starts = starts_of_runs(codes)
        self.count(codes[starts], kind, np.diff(np.append(starts, len(codes))))

    def count(self, codes: NDArray[np.int64], kind: int, number: NDArray[np.int64]) -> None:
        """Add to the counts of series-days."""
        counts = np.zeros((len(codes), 4), dtype=np.int64)
        counts[:, kind] = number
        self._codes.append(codes)
        self._counts.append(counts)

    def touch(self, first: NDArray[np.datetime64], last: NDArray[np.datetime64]) -> None:
        """Note stretches within a day in which values changed."""
        days, where = np.unique(first.astype("datetime64[D]"), return_inverse=True)
        begins, ends = np.full(len(days), np.iinfo(np.int64).max), np.full(len(days), np.iinfo(np.int64).min)
        np.minimum.at(begins, where, first.astype(np.int64))
        np.maximum.at(ends, where, last.astype(np.int64))
        for day, begin, end in zip(days, begins.astype("datetime64[us]"), ends.astype("datetime64[us]"), strict=True):
            self._first[day] = min(begin, self._first.get(day, begin))
            self._last[day] = max(end, self._last.get(day, end))

    def sums(self) -> tuple[_SeriesDays, NDArray[np.int64]]:
        if not self._codes:
            return _NONE, np.zeros((0, 4), dtype=np.int64)
        codes, where = np.unique(np.concatenate(self._codes), return_inverse=True)
        sums = np.zeros((len(codes), 4), dtype=np.int64)
        np.add.at(sums, where, np.concatenate(self._counts))
        return _SeriesDays(codes), sums

    def spans(self) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64]]:
        days = sorted(self._first)
        return np.array([self._first[day] for day in days], dtype="datetime64[us]"), np.array(
            [self._last[day] for day in days], dtype="datetime64[us]"
        )


@dataclass(frozen=True)
class _Mine:
    """The file that is being loaded, with its names as numbers."""

    arrival: int
    parsed: Parsed
    numbers: NDArray[np.int32]
    qualifier_ids: NDArray[np.int16]
    repeated: Refused


_STAGING = """
create temporary table staged (
    time timestamptz not null, value double precision not null, series_id integer not null, load_id integer not null, source_row integer not null,
    qualifier_id smallint not null, is_put boolean not null, chunk integer not null
) on commit drop;
create temporary table series_day (series_id integer not null, day date not null, is_replayed boolean not null) on commit drop;
create temporary table arrival_of (load_id integer not null, arrival bigint not null) on commit drop
"""

_CLEARED = """
insert into staged (time, value, series_id, load_id, source_row, qualifier_id, is_put, chunk)
select o.time, 'NaN', o.series_id, %(load)s, 0, 0, false, 0
from series_day as d
join raw.complete_window as w on w.series_id = d.series_id and w.arrival = %(arrival)s
    and w.start_at < (d.day + 1)::timestamp at time zone 'UTC' and w.end_at > d.day::timestamp at time zone 'UTC'
cross join lateral (
    select * from core.observation as o where o.series_id = d.series_id and o.time >= greatest(w.start_at, d.day::timestamp at time zone 'UTC')
        and o.time < least(w.end_at, (d.day + 1)::timestamp at time zone 'UTC')
    offset 0
) as o
where not d.is_replayed and o.load_id <> %(load)s and not exists (select from staged as s where s.series_id = o.series_id and s.time = o.time)
"""
"""A window that a file gives completely is so many withdrawals: of what is stored in it and not given."""

_DIFFERENCE = """
create temporary table difference on commit drop as
with latest as (
    select distinct on (series_id, time) staged.*, arrival from staged join arrival_of using (load_id) order by series_id, time, chunk desc
),
present as (
    select o.*, d.is_replayed, load.arrival from series_day as d
    cross join lateral (
        select * from core.observation as o
        where o.series_id = d.series_id and o.time >= d.day::timestamp at time zone 'UTC' and o.time < (d.day + 1)::timestamp at time zone 'UTC'
        offset 0
    ) as o
    left join raw.load as load using (load_id)
)
select series_id, time, s.value, s.load_id, s.source_row, s.qualifier_id,
    p.load_id is null and s.is_put as is_new,
    p.load_id is not null and coalesce(not s.is_put, p.is_replayed) as is_gone,
    p.load_id is not null and s.is_put and (
        (p.value, p.qualifier_id) is distinct from (s.value, s.qualifier_id)
        or p.is_replayed and (p.source_row, p.arrival) is distinct from (s.source_row, s.arrival)
    ) as is_changed
from latest as s full join present as p using (series_id, time)
where s.load_id is not null or p.is_replayed
"""

_KNOWN = """
select series_id, day, bool_or(is_later) from (
    select series_id, day, load.arrival > %(mine)s as is_later from raw.load_day join raw.load as load using (load_id)
    where series_id = any(%(series)s) and day = any(%(days)s::date[])
    union all
    select w.series_id, t.day, true from raw.complete_window as w
    join unnest(%(days)s::date[]) as t(day)
        on w.start_at < (t.day + 1)::timestamp at time zone 'UTC' and w.end_at > t.day::timestamp at time zone 'UTC'
    where w.series_id = any(%(series)s) and w.arrival > %(mine)s
) as known group by 1, 2
"""

_WITHIN = "o.series_id = d.series_id and o.time = d.time and o.time between {} and {}"


class _Load:
    """One transaction's work on `core.observation`: `take` the file's chunks, `replay` what could not be merged, then `write`."""

    def __init__(self, database: Database, connection: Connection, mine: _Mine | None) -> None:
        self.tally = _Tally()
        self._fed = _Tally()
        self._database = database
        self._connection = connection
        self._mine = mine
        self._rows = 0
        self._chunk = 0
        self._loads: dict[int, tuple[int, str, str, str]] = {}
        self._seen = _NONE
        self._merging = _NONE
        self._load_id = self._new_load(mine.arrival, "load", mine.parsed.parser, mine.parsed.parser_version) if mine else 0
        self._is_staging = False
        self._clears = False
        self._compares = False

    def _new_load(self, arrival: int, reason: str, parser: str, version: str) -> int:
        row = self._connection.execute("select nextval(pg_get_serial_sequence('raw.load', 'load_id'))").fetchone()
        assert row is not None
        self._loads[int(row[0])] = (arrival, reason, parser, version)
        return int(row[0])

    def take(self, chunk: Chunk, leaving: _SeriesDays) -> _SeriesDays:
        """Copy in the rows whose series-days hold nothing yet, stage those to be merged; gives back the series-days to be replayed."""
        assert self._mine is not None
        self._rows += len(chunk.series)
        rows = _Rows.of(chunk, self._mine.numbers, self._mine.qualifier_ids, self._load_id).known().by_key()
        rows = self._without_repetitions(rows)
        codes = rows.codes()
        touched = _SeriesDays(codes[starts_of_runs(codes)])
        earlier, later = _known(self._connection, self._mine.arrival, touched)
        waiting = touched.among(later.also(leaving.codes).codes)
        known = touched.among(self._seen.also(earlier.codes).codes)
        self._seen = self._seen.also(touched.codes)
        waits = waiting.holds(codes)
        merges = known.holds(codes) & ~waits
        is_fresh = ~(waits | merges)
        is_inserted = is_fresh & (rows.op == 0)
        self._insert(rows if bool(is_inserted.all()) else rows.take(is_inserted))
        self.tally.add(codes[~is_fresh | (rows.op != 0)], _UNCHANGED)
        if merges.any():
            self._merging = self._merging.also(codes[merges])
            self._stage(rows.take(merges))
        return waiting

    def clear(self, windows: Windows, leaving: _SeriesDays) -> _SeriesDays:
        """Let go, when the difference is found, what the file's windows hold and it does not give; gives back the series-days to be replayed."""
        within = _SeriesDays(complete_windows.series_days(self._connection, windows))
        if len(within.codes) == 0:
            return within
        assert self._mine is not None
        earlier, later = _known(self._connection, self._mine.arrival, within)
        self._merging = self._merging.also(within.among(earlier.codes).codes)
        self._clears = True
        return within.among(later.also(leaving.codes).codes)

    def _without_repetitions(self, rows: _Rows) -> _Rows:
        """Each key once; of a repeated time with different values the later row is kept and the earlier noted as rejected."""
        assert self._mine is not None
        kept, overruled = _fold(rows)
        again = "the time is given again with another value, in row {}; the later row was kept"
        self._mine.repeated.extend(
            (int(rows.source_row[i]), f"{rows.time[i]}Z {rows.value[i]:g}", again.format(rows.source_row[i + 1])) for i in overruled
        )
        self.tally.add(rows.codes()[overruled], _REJECTED)
        return kept

    def _insert(self, rows: _Rows) -> None:
        """Copy rows straight into their yearly partitions."""
        codes = rows.codes()
        starts = starts_of_runs(codes)
        self.tally.add(codes, _NEW)
        self._fed.add(codes, _ADDED)
        self.tally.touch(rows.time[starts], rows.time[np.append(starts[1:], len(codes))[: len(starts)] - 1])
        _copy_in(self._connection, rows)

    def replay(self, series_days: _SeriesDays, reparse: Reparse, *, without: Sequence[int]) -> None:
        """Stage what all arrivals of some series-days come to, in their order."""
        if len(series_days.codes):
            parts = self._parts_in_order(series_days, reparse, without)
            if parts:
                self._stage(_fold(_Rows.join(parts).by_key())[0])
        self._find_difference(series_days)

    def _parts_in_order(self, series_days: _SeriesDays, reparse: Reparse, without: Sequence[int]) -> list[_Rows]:
        """The rows of all arrivals on some series-days, without those that a later arrival withdrew by giving a window completely without them."""
        arrivals, days = self._arrivals(series_days, without), series_days.days
        windows = complete_windows.of_series(self._connection, series_days.series, days.min(), days.max())
        parts: list[_Rows] = []
        for arrival in sorted({*arrivals, *windows.arrival.tolist()}):
            own = list(self._parts(arrival, arrivals[arrival], series_days, reparse)) if arrival in arrivals else []
            complete = windows.of(arrival)
            if complete and parts:
                parts = [_left_by(complete, _Rows.join(parts), own)]
            parts += own
        return parts

    def _arrivals(self, series_days: _SeriesDays, without: Sequence[int]) -> dict[int, tuple[str, str]]:
        """The arrivals to fold, with the parser by which each was loaded."""
        known = self._connection.execute(
            "select distinct on (load.arrival) load.arrival, parser, parser_version from unnest(%s::int[], %s::date[]) as t(series_id, day)"
            " join raw.load_day using (series_id, day) join raw.load as load using (load_id) join raw.source_file as f on f.arrival = load.arrival"
            " where f.withdrawn_at is null and not load.arrival = any(%s) order by load.arrival, load_id desc",
            (series_days.series.tolist(), series_days.days.tolist(), list(without)),
        ).fetchall()
        found = {int(arrival): (str(parser), str(version)) for arrival, parser, version in known}
        if self._mine:
            found[self._mine.arrival] = (self._mine.parsed.parser, self._mine.parsed.parser_version)
        return found

    def _parts(self, arrival: int, parser: tuple[str, str], series_days: _SeriesDays, reparse: Reparse) -> Iterator[_Rows]:
        """The rows of an arrival on some series-days, in file order."""
        if self._mine and arrival == self._mine.arrival:
            yield from _within(self._mine.parsed.spool, self._mine.numbers, self._mine.qualifier_ids, self._load_id, series_days)
            return
        with reparse(arrival) as spool:
            buried = tombstones.above(self._connection, arrival)
            ids = claiming.series_ids(self._connection, [name for name in spool.series if name not in buried.series])
            numbers = np.array([ids.get(name, -1) for name in spool.series], dtype=np.int32)
            yield from _within(
                spool, numbers, _qualifier_ids(self._database, list(spool.qualifiers)), self._new_load(arrival, "replay", *parser), series_days
            )

    def _prepare_staging(self) -> None:
        """Most small files bring nothing but new days, and do without these tables."""
        if not self._is_staging:
            self._connection.execute(_STAGING)
            self._is_staging = True

    def _stage(self, rows: _Rows) -> None:
        self._prepare_staging()
        self._chunk += 1
        chunk = np.full(len(rows.series), self._chunk, dtype=np.int32)
        copy_arrays(self._connection, sql.Identifier("staged"), {**rows.columns(), "is_put": ("bool", rows.op == 0), "chunk": ("int4", chunk)})

    def _find_difference(self, replayed: _SeriesDays) -> None:
        """Hold what is staged against what is stored, and count it."""
        merging = _SeriesDays(np.setdiff1d(self._merging.codes, replayed.codes))
        if len(merging.codes) == 0 and len(replayed.codes) == 0:
            return
        self._prepare_staging()
        self._compares = True
        for series_days, is_replayed in ((merging, False), (replayed, True)):
            flags = np.full(len(series_days.codes), is_replayed)
            columns = {"series_id": ("int4", series_days.series), "day": ("date", series_days.days), "is_replayed": ("bool", flags)}
            copy_arrays(self._connection, sql.Identifier("series_day"), columns)
        copy_rows(self._connection, sql.Identifier("arrival_of"), ("load_id", "arrival"), [(number, load[0]) for number, load in self._loads.items()])
        for statement in ("analyze staged", "analyze series_day", "analyze arrival_of"):
            self._connection.execute(statement)
        if self._clears and self._mine:
            self._connection.execute(_CLEARED, {"load": self._load_id, "arrival": self._mine.arrival})
        for statement in (_DIFFERENCE, "analyze difference"):
            self._connection.execute(statement)
        changes = self._connection.execute(
            "select series_id, count(*) filter (where is_new and load_id = %(mine)s), count(*) filter (where is_changed and load_id = %(mine)s),"
            " count(*) filter (where is_new), count(*) filter (where is_changed), count(*) filter (where is_gone),"
            " min(time)::timestamp, max(time)::timestamp from difference where is_new or is_changed or is_gone group by series_id, time::date",
            {"mine": self._load_id},
        ).fetchall()
        if changes:
            series, new, changed, *fed, first, last = (np.array(column) for column in zip(*changes, strict=True))
            first, last = first.astype("datetime64[us]"), last.astype("datetime64[us]")
            self.tally.touch(first, last)
            codes = series_day_codes(series.astype(np.int32), first)
            for kind, number in enumerate(fed):
                self._fed.count(codes, kind, number)
            for kind, number in ((_NEW, new), (_CHANGED, changed)):
                self.tally.count(codes, kind, number)
                self.tally.count(codes, _UNCHANGED, -number)

    def differs(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.tally.spans()[0].size)

    def write(self, kind: str) -> int:
        """Take the change number, write the difference and the ledgers under it, and give it back."""
        run = self._connection.execute
        change = self._database.take_number(self._connection, kind)
        used = {self._load_id}
        if self._compares:
            used |= {row[0] for row in run("select distinct load_id from difference where is_new or is_changed")}
        rows = [(number, *load, self._database.run, change) for number, load in self._loads.items() if number in used]
        copy_rows(
            self._connection, sql.Identifier("raw", "load"), ("load_id", "arrival", "reason", "parser", "parser_version", "run", "change"), rows
        )
        if self._compares:
            self._write_difference()
        if self._mine:
            touched, sums = self.tally.sums()
            columns: dict[str, tuple[str, NDArray[Any]]] = {
                "series_id": ("int4", touched.series),
                "day": ("date", touched.days),
                "load_id": ("int4", np.full(len(sums), self._load_id, dtype=np.int32)),
            }
            columns |= {name: ("int4", sums[:, kind]) for kind, name in enumerate(("new", "changed", "unchanged", "rejected"))}
            copy_arrays(self._connection, sql.Identifier("raw", "load_day"), columns)
        fed, numbers = self._fed.sums()
        for position, name in enumerate(_FED):
            series_changes.note(self._connection, change, name, fed.codes, numbers[:, position])
        return change

    def _write_difference(self) -> None:
        run = self._connection.execute
        bounds = run("select min(time), max(time) from difference where is_gone or is_changed").fetchone()
        if bounds and bounds[0] is not None:
            within = sql.SQL(_WITHIN).format(*bounds)
            run(sql.SQL("delete from core.observation as o using difference as d where d.is_gone and {}").format(within))
            run(
                sql.SQL(
                    "update core.observation as o set value = d.value, load_id = d.load_id, source_row = d.source_row, qualifier_id = d.qualifier_id"
                    " from difference as d where d.is_changed and {}"
                ).format(within)
            )
        run(
            "insert into core.observation (time, value, series_id, load_id, source_row, qualifier_id)"
            " select time, value, series_id, load_id, source_row, qualifier_id from difference where is_new order by series_id, time"
        )

    def note_computed(self, change: int) -> None:
        """Note the days whose values changed as computed, so that Dagster is told of them."""
        touched, sums = self.tally.sums()
        days, where = np.unique(touched.days, return_inverse=True)
        rows = np.zeros(len(days), dtype=np.int64)
        np.add.at(rows, where, sums[:, :_REJECTED].sum(axis=1))
        changed = set(self.tally.spans()[0].astype("datetime64[D]").tolist())
        counts = {str(day): int(count) for day, count in zip(days.tolist(), rows, strict=True) if day in changed}
        computed.note(self._database, self._connection, "core/observation", counts, change, change, None, None)

    def loaded(self, change: int) -> Loaded:
        """What was done, in numbers."""
        _, sums = self.tally.sums()
        new, changed, unchanged, rejected = (int(total) for total in sums.sum(axis=0))
        gone = int(self._fed.sums()[1][:, _WITHDRAWN].sum())
        return Loaded(change, self._rows, new, changed, unchanged, rejected, gone, self.tally.spans()[0].astype("datetime64[D]"))


def _copy_in(connection: Connection, rows: _Rows) -> None:
    """Append rows to their yearly partitions."""
    if len(rows.time) == 0:
        return
    first, last = rows.time.min().astype("datetime64[Y]"), rows.time.max().astype("datetime64[Y]")
    for year in np.arange(first, last + 1):
        within = rows if first == last else rows.take((rows.time >= year) & (rows.time < year + 1))
        if len(within.time):
            copy_arrays(connection, leaf_of("core.observation", int(year.astype(np.int64)) + 1970), within.columns())


def _puts(parsed: Parsed, place: int, names: dict[str, int], qualifiers: dict[str, int]) -> _Rows | None:
    """The rows of a small file that says nothing but values, each time once; none where it does more.

    Its series and qualifiers are numbered as they come, and for the load stands the place of the file.
    """
    spool = parsed.spool
    if parsed.states or parsed.windows or spool.rows > _FEW_ROWS or not spool.series.keys() <= parsed.claims.series.keys():
        return None
    numbers = np.array([names.setdefault(name, len(names)) for name in spool.series], dtype=np.int32)
    qualifier_ids = np.array([*(qualifiers.setdefault(name, len(qualifiers)) for name in spool.qualifiers), -1], dtype=np.int16)
    rows = _Rows.join([_NO_ROWS, *(_Rows.of(chunk, numbers, qualifier_ids, place) for chunk in spool.chunks())])
    kept, overruled = _fold(rows.by_key())
    return None if len(overruled) or kept.op.any() else kept


@dataclass(frozen=True)
class _Additions:
    """What the first of some files bring, sorted by key: their rows, with the place of the file for the load, and which of these are new."""

    files: int
    rows: _Rows
    is_new: NDArray[np.bool_]

    @classmethod
    def among(cls, connection: Connection, arrivals: Sequence[int], rows: _Rows) -> _Additions:
        """The rows of the files before the first that does more than add, as the locks let it be known."""
        codes = rows.codes()
        touched = _SeriesDays(np.unique(codes))
        earlier, later = _known(connection, arrivals[0], touched)
        loaded = {row[0] for row in connection.execute("select arrival from raw.load where arrival = any(%s)", (list(arrivals),))}
        both = _Rows.join([_stored(connection, touched.among(earlier.codes)), rows])
        both = both.take(np.lexsort((both.time, both.series)))
        again = [place for place, each in enumerate(arrivals) if each in loaded]
        stops = chain(rows.load[later.holds(codes)].tolist(), both.load[_fold(both)[1] + 1].tolist(), again)
        files = min(stops, default=len(arrivals))
        is_first = np.ones(len(both.series), dtype=np.bool_)
        is_first[1:] = (both.series[1:] != both.series[:-1]) | (both.time[1:] != both.time[:-1])
        mine = (both.load >= 0) & (both.load < files)
        return cls(files, both.take(mine), is_first[mine])

    def write(self, database: Database, connection: Connection, files: Sequence[tuple[SourceFile, Parsed]]) -> list[Loaded]:
        """Copy in what is new, take the change number and write the ledgers under it."""
        found = connection.execute(
            "select nextval(pg_get_serial_sequence('raw.load', 'load_id')) from generate_series(1, %s)", (len(files),)
        ).fetchall()
        load_ids = np.array(found, dtype=np.int32)[:, 0]
        rows, new = replace(self.rows, load=load_ids[self.rows.load]), self._new()
        _copy_in(connection, rows.take(self.is_new))
        change = database.take_number(connection, "load")
        loads = [
            (number, file.arrival, "load", parsed.parser, parsed.parser_version, database.run, change)
            for number, (file, parsed) in zip(load_ids.tolist(), files, strict=True)
        ]
        copy_rows(connection, sql.Identifier("raw", "load"), ("load_id", "arrival", "reason", "parser", "parser_version", "run", "change"), loads)
        codes = rows.codes()
        order = np.lexsort((codes, rows.load))
        codes, load, is_new = codes[order], rows.load[order], self.is_new[order]
        starts = np.flatnonzero(np.append(True, (codes[1:] != codes[:-1]) | (load[1:] != load[:-1])))[: len(codes)]
        series, days = series_days_of(codes[starts])
        is_new_so_far = np.append(0, np.cumsum(is_new))
        ends = np.append(starts[1:], len(codes))[: len(starts)]
        added = is_new_so_far[ends] - is_new_so_far[starts]
        none = np.zeros(len(starts), dtype=np.int32)
        columns: dict[str, tuple[str, NDArray[Any]]] = {
            "series_id": ("int4", series),
            "day": ("date", days),
            "load_id": ("int4", load[starts]),
            "new": ("int4", added),
            "changed": ("int4", none),
            "unchanged": ("int4", ends - starts - added),
            "rejected": ("int4", none),
        }
        copy_arrays(connection, sql.Identifier("raw", "load_day"), columns)
        begins = starts_of_runs(new.codes())
        series_changes.note(connection, change, series_changes.ADDED, new.codes()[begins], np.diff(np.append(begins, len(new.series))))
        each, fresh = (np.bincount(of, minlength=len(files)).tolist() for of in (self.rows.load, new.load))
        return [
            Loaded(
                change,
                parsed.spool.rows,
                fresh[place],
                0,
                each[place] - fresh[place],
                days=np.unique(new.time[new.load == place].astype("datetime64[D]")),
            )
            for place, (_, parsed) in enumerate(files)
        ]

    def spans(self) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64]]:
        """The first and last new time of each day."""
        tally, new = _Tally(), self._new()
        tally.touch(new.time, new.time)
        return tally.spans()

    def rows_by_day(self) -> dict[str, int]:
        """How many values the files gave of each day that has new ones."""
        days, counts = np.unique(self.rows.time.astype("datetime64[D]"), return_counts=True)
        changed = np.isin(days, self._new().time.astype("datetime64[D]"))
        return dict(zip(days[changed].astype(str).tolist(), counts[changed].tolist(), strict=True))

    def _new(self) -> _Rows:
        return self.rows.take(self.is_new)


def _stored(connection: Connection, series_days: _SeriesDays) -> _Rows:
    """What is stored of some series-days, as rows of no load."""
    found = (
        connection.execute(
            "select o.series_id, o.time::timestamp, o.value, o.qualifier_id, o.source_row from unnest(%s::int[], %s::date[]) as d(series_id, day)"
            " cross join lateral (select * from core.observation as o where o.series_id = d.series_id"
            " and o.time >= d.day::timestamp at time zone 'UTC' and o.time < (d.day + 1)::timestamp at time zone 'UTC' offset 0) as o",
            (series_days.series.tolist(), series_days.days.tolist()),
        ).fetchall()
        if len(series_days.codes)
        else []
    )
    series, time, value, qualifier, source_row = zip(*found, strict=True) if found else ((), (), (), (), ())
    return _Rows(
        np.array(series, dtype=np.int32),
        np.array(time, dtype="datetime64[us]"),
        np.array(value, dtype=np.float64),
        np.array(qualifier, dtype=np.int16),
        np.array(source_row, dtype=np.int32),
        np.zeros(len(found), dtype=np.int8),
        np.full(len(found), -1, dtype=np.int32),
    )


def _within(spool: Spool, numbers: NDArray[np.int32], qualifier_ids: NDArray[np.int16], load_id: int, series_days: _SeriesDays) -> Iterator[_Rows]:
    """Each chunk folded by itself, as `take` folds it: else a replay could credit a repeated value to another row than a merge does."""
    for chunk in spool.chunks():
        rows = _Rows.of(chunk, numbers, qualifier_ids, load_id)
        yield _fold(rows.take(series_days.holds(rows.codes())).by_key())[0]


def _known(connection: Connection, arrival: int, touched: _SeriesDays) -> tuple[_SeriesDays, _SeriesDays]:
    """Series-days on which only earlier arrivals were loaded, and those on which a later one was, or that lie in a window of a later one.

    Others than `touched` may be among them.
    """
    # the days of all series, rather than each series' own: an array of all pairs costs more than what it leaves out
    known = {"mine": arrival, "series": np.unique(touched.series).tolist(), "days": np.unique(touched.days).tolist()}
    found = connection.execute(_KNOWN, known).fetchall()
    if not found:
        return _NONE, _NONE
    series, days, later = (np.array(column) for column in zip(*found, strict=True))
    codes = series_day_codes(series.astype(np.int32), days.astype("datetime64[D]"))
    return _SeriesDays(np.sort(codes[~later])), _SeriesDays(np.sort(codes[later]))


def _lock_series(connection: Connection, numbers: NDArray[np.int32]) -> None:
    """Hold series, in order, until the end of the transaction; new ones are held by the provisioning lock."""
    connection.execute("select from core.series where series_id = any(%s) order by series_id for no key update", (numbers.tolist(),))


def _days_of(connection: Connection, arrivals: Sequence[int]) -> _SeriesDays:
    """The series-days that files touched."""
    query = "select distinct series_id, day from raw.load_day join raw.load as load using (load_id) where arrival = any(%s)"
    return _series_days(connection, query, arrivals)


def _series_days(connection: Connection, query: str, parameter: Sequence[Any]) -> _SeriesDays:
    if not parameter:
        return _NONE
    found = connection.execute(query, (list(parameter),)).fetchall()
    if not found:
        return _NONE
    series, days = (np.array(column) for column in zip(*found, strict=True))
    return _SeriesDays(np.unique(series_day_codes(series.astype(np.int32), days.astype("datetime64[D]"))))


def _qualifier_ids(database: Database, names: Sequence[str]) -> NDArray[np.int16]:
    """The numbers of qualifiers by their position; the last entry (position -1) is 0, for none."""
    if not names:
        return np.zeros(1, dtype=np.int16)
    with database.connection() as connection:
        connection.execute("insert into core.qualifier (text) select unnest(%s::text[]) order by 1 on conflict do nothing", (names,))
        ids = dict(connection.execute("select text, qualifier_id from core.qualifier where text = any(%s)", (names,)).fetchall())
    return np.array([*(ids[name] for name in names), 0], dtype=np.int16)


def rows_by_day(connection: Connection, days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """About how many observations each of some days holds: the sum of what its loads added."""
    found: dict[date, int] = dict(
        connection.execute("select day, sum(new)::bigint from raw.load_day where day = any(%s::date[]) group by day", (days.tolist(),)).fetchall()
    )
    return np.array([found.get(day, 0) for day in days.tolist()], dtype=np.int64)
