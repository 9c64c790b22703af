"""Loading Argo: floats, casts with their levels, positions and grey lists, in one transaction for as many files as are handed over.

The current version of a cast is a delayed-mode one before any other, else the one that arrived last, whatever the order of loading; BGC
files join the casts of their core files. A file that is withdrawn leaves what the remaining ones say. What files state is kept here; the flags
that the tests give are in `argo_flags.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import UTC
from typing import Any, LiteralString

import numpy as np
import orjson
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.argo.casts import (
    CORE_PARAMETERS,
    NO_QC,
    Casts,
    FileKind,
    FloatMeta,
    GreyList,
    SurfaceFixes,
    TechnicalValues,
    concatenate,
)
from water_pipelines.domain.series import BoolArray
from water_pipelines.storage import argo_rules, computed, source_files, stale
from water_pipelines.storage.copy import copy_arrays, copy_rows
from water_pipelines.storage.database import Connection, Database
from water_pipelines.storage.loads import Loaded
from water_pipelines.storage.source_files import SourceFile
from water_pipelines.storage.staging import Edge, mark_readers_of_numbers

ASSETS = ("core/argo_float", "core/argo_profile", "core/argo_level", "core/argo_position")
SUMMARY = "core/argo_summary"
_ONE_LOADER = 5_601_011
_TECHNICAL_VALUES = 500
_LEVELS_AT_ONCE = 250_000
_STORED_BITS = np.uint64((1 << 62) - 1)  # the tests have numbers up to 25 or so; what files write beyond is no test

Key = tuple[int, int, str, str, int]
"""A cast: float, cycle, direction, product and place among the casts of its cycle."""
Content = Casts | FloatMeta | TechnicalValues | SurfaceFixes | GreyList
Rank = tuple[bool, int]
"""What decides which version is current: delayed mode before any other, then the arrival."""


@dataclass(frozen=True)
class Member:
    """What one file, or one member of an archive (which has a name), holds."""

    name: str
    content: Content


@dataclass
class ArgoFile:
    """A file as its load takes it. Its members are given again whenever they are asked for, in the order of the file.

    Rejected rows are (place in the archive, member, reason).
    """

    file: SourceFile
    members: Callable[[], Iterable[Member]]
    rejected: Collection[tuple[int, str, str]]
    parser: str
    parser_version: str
    rows: int = 0
    loaded: Loaded = field(default_factory=lambda: Loaded(None))


def load(database: Database, files: Sequence[ArgoFile], edges: Sequence[Edge]) -> list[Loaded]:
    """Load parsed files, all or none of them: facts, ledgers and stale marks in one transaction.

    Parameters
    ----------
    files : in the order of arrival.
    edges : what reads the levels, by float.
    """
    with database.connection() as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (_ONE_LOADER,))
        work = _Load(connection)
        work.take(files)
        change = database.take_number(connection, "argo")
        work.write(change)
        mark_readers_of_numbers(connection, edges, [str(wmo) for wmo in sorted(work.touched)])
        stale.mark(connection, SUMMARY, [str(arrival) for arrival in work.arrivals_with_casts])
        _note(database, connection, files, change, work.written(files, change))
    for each in files:
        each.loaded.change, each.loaded.rows, each.loaded.rejected = change, each.rows, len(each.rejected)
    return [each.loaded for each in files]


@dataclass(frozen=True)
class Withdrawn:
    """What taking files out did: the casts that are gone, those that come to another version, and the floats that they are of."""

    change: int
    gone: int
    replaced: int
    floats: int


def withdraw(
    database: Database, connection: Connection, arrivals: Sequence[int], edges: Sequence[Edge], reread: Callable[[int], ArgoFile]
) -> Withdrawn:
    """Take files out: casts, floats and tracks come to what the remaining files say, and where none does they are gone.

    Parameters
    ----------
    connection : in a transaction, which the caller commits, or rolls back to have asked only.
    edges : what reads the levels, by float.
    reread : gives another landed file; what it says was let go of when it was not, or no longer, current.
    """
    connection.execute("select pg_advisory_xact_lock(%s)", (_ONE_LOADER,))
    work = _Load(connection, leaving=arrivals)
    work.take([reread(arrival) for arrival in work.remaining()])
    change = database.take_number(connection, "withdraw")
    work.write(change)
    mark_readers_of_numbers(connection, edges, [str(wmo) for wmo in sorted(work.touched)])
    held = connection.execute("select distinct arrival from raw.argo_cast where arrival = any(%s)", (list(arrivals),)).fetchall()
    stale.mark(connection, SUMMARY, [str(arrival) for arrival in sorted({arrival for (arrival,) in held} | set(work.arrivals_with_casts))])
    source_files.withdraw(connection, arrivals, change=change)
    days = connection.execute("select distinct arrived_on::text from raw.source_file where arrival = any(%s)", (list(arrivals),)).fetchall()
    for asset in ASSETS:
        computed.note(database, connection, asset, dict.fromkeys([day for (day,) in days], 0), change, change, None, None)
    return work.withdrawn(change)


def _day_of(file: SourceFile) -> str:
    return str(file.arrived_at.astimezone(UTC).date())


def _note(database: Database, connection: Connection, files: Sequence[ArgoFile], change: int, written: Mapping[str, Mapping[str, int]]) -> None:
    """The ledgers of some loads; `written` has the rows of each asset by the day of arrival."""
    arrivals = [each.file.arrival for each in files]
    connection.execute(
        "insert into raw.load (arrival, reason, parser, parser_version, run, change)"
        " select arrival, 'load', parser, version, %s, %s from unnest(%s::bigint[], %s::text[], %s::text[]) as t(arrival, parser, version)",
        (database.run, change, arrivals, [each.parser for each in files], [each.parser_version for each in files]),
    )
    source_files.succeed_all(connection, arrivals, rows=[each.rows for each in files], rejected=[len(each.rejected) for each in files])
    for each in files:
        if each.rejected or each.file.attempts:
            source_files.keep_rejected(connection, each.file.arrival, each.rejected)
    rows: Counter[str] = Counter()
    for each in files:
        rows[_day_of(each.file)] += each.rows
    for asset in ("raw/source_file", "raw/load_day"):
        computed.note(database, connection, asset, rows, change, change, None, None)
    for asset, by_day in written.items():
        computed.note(database, connection, asset, {day: by_day.get(day, 0) for day in rows}, change, change, None, None)


@dataclass
class _Profile:
    """A cast as it is stored: the versions that make it up, each with its rank and what it says."""

    profile_id: int
    is_new: bool
    rank: dict[str, Rank] = field(default_factory=dict)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class _Seen:
    """Casts of one member: their keys and parts, and which of them become current."""

    keys: list[Key]
    part: str
    wins: BoolArray


@dataclass(frozen=True)
class _Pending:
    """Casts whose levels wait to be copied."""

    part: str
    casts: Casts
    keys: list[Key]
    arrival: int


class _Load:
    """One transaction's work: `see` every file, `choose` versions, `copy_levels` of every file again, and then `write` under the clock."""

    def __init__(self, connection: Connection, leaving: Sequence[int] = ()) -> None:
        self.touched: set[int] = set()
        self._connection = connection
        self._leaving = list(leaving)
        self._seen: dict[tuple[int, int], _Seen] = {}
        self._pending: list[_Pending] = []
        self._waiting = 0
        self._best: dict[tuple[Key, str], tuple[Rank, int, int, int]] = {}
        self._ledger: list[tuple[Any, ...]] = []
        self._said: dict[tuple[int, str, int], tuple[bool, dict[str, Any]]] = {}
        self._fixes: dict[tuple[int, int], SurfaceFixes] = {}
        self._levels: Counter[int] = Counter()
        self._lists: dict[int, GreyList] = {}
        self._profiles: dict[Key, _Profile] = {}
        self._replaced: dict[str, list[tuple[int, int]]] = {"core": [], "bgc": []}
        self._changed: set[Key] = set()
        self._numbers: dict[tuple[int, str], dict[tuple[int, int, str], int]] = {}
        self._parameters: dict[str, int] = dict(connection.execute("select name, parameter_id from core.argo_parameter").fetchall())

    def take(self, files: Sequence[ArgoFile]) -> None:
        """Take up what files say, in the order of arrival, and copy in the levels of the casts that become current."""
        for each in files:
            self.see(each)
        self.choose()
        for each in files:
            self.copy_levels(each)
        self.flush()

    def see(self, each: ArgoFile) -> None:
        """Note which casts and floats a file speaks of."""
        arrival, rows = each.file.arrival, 0
        for number, member in enumerate(each.members()):
            match member.content:
                case Casts() as casts:
                    rows += casts.levels
                    self._see_casts(arrival, number, member.name, casts)
                case FloatMeta() as meta:
                    rows += 1
                    self._say(int(meta.platform_number), "meta", arrival, _plain(meta))
                case TechnicalValues() as technical:
                    rows += len(technical.cycle)
                    self._say(int(technical.platform_number), "technical", arrival, _last_technical(technical))
                case SurfaceFixes() as fixes:
                    rows += len(fixes.cycle)
                    wmo = int(fixes.platform_number)
                    if self._say(wmo, "fixes", arrival, {"data_centre": fixes.data_centre}, is_delayed=fixes.is_delayed):
                        self._fixes[wmo, arrival] = fixes
                case GreyList() as grey:
                    rows += len(grey.flag)
                    self._lists[arrival] = grey
        each.rows = rows

    def _say(self, wmo: int, source: str, arrival: int, attributes: dict[str, Any], *, is_delayed: bool = False) -> bool:
        """Note what a file says of a float; of two members of an archive the delayed-mode one, else the later."""
        known = self._said.get((wmo, source, arrival))
        if known is not None and known[0] > is_delayed:
            return False
        self._said[wmo, source, arrival] = (is_delayed, attributes)
        return True

    def _see_casts(self, arrival: int, number: int, name: str, casts: Casts) -> None:
        keys = _keys(casts, self._numbers.setdefault((arrival, name), {}))
        part = "bgc" if len(casts) and casts.kind[0] == FileKind.BGC else "core"
        modes, counts = casts.data_mode.tolist(), casts.counts.tolist()
        for position, key in enumerate(keys):
            rank = (modes[position] == "D", arrival)
            best = self._best.get((key, part))
            if best is None or best[0] <= rank:
                self._best[key, part] = (rank, arrival, number, position)
            self._ledger.append((*key, part, arrival, _text(name), _text(modes[position]), counts[position]))
        for wmo, position in {key[0]: position for position, key in enumerate(keys)}.items():
            self._say(wmo, "profile", arrival, _float_of(casts, position))
        self._seen[arrival, number] = _Seen(keys, part, np.zeros(len(casts), dtype=np.bool_))

    def remaining(self) -> list[int]:
        """The files by which casts, floats and tracks will be current once others have left, in the order of arrival."""
        return [row[0] for row in self._connection.execute(_REMAINING, {"leaving": self._leaving})]

    def choose(self) -> None:
        """Hold what was seen against what is stored: a version wins over one of a lower rank, and over one that leaves."""
        left = {tuple(row) for row in self._connection.execute(_LEFT, {"leaving": self._leaving})} if self._leaving else set()
        self._profiles = _stored(self._connection, {key for key, _ in self._best} | left)
        for key in left:
            profile = self._profiles[key]
            for part in [part for part, (_, arrival) in profile.rank.items() if arrival in self._leaving]:
                self._replaced[part].append((profile.profile_id, profile.rank[part][1]))
                del profile.rank[part], profile.said[part]
                self._changed.add(key)
        new = [key for key in dict.fromkeys(key for key, _ in self._best) if key not in self._profiles]
        numbers = self._connection.execute(
            "select nextval(pg_get_serial_sequence('core.argo_profile', 'profile_id')) from generate_series(1, %s)", (len(new),)
        ).fetchall()
        for key, (profile_id,) in zip(new, numbers, strict=True):
            self._profiles[key] = _Profile(int(profile_id), is_new=True)
        for (key, part), (rank, arrival, number, position) in self._best.items():
            profile = self._profiles[key]
            known = profile.rank.get(part)
            if known is not None and known >= rank:
                continue
            if known is not None:
                self._replaced[part].append((profile.profile_id, known[1]))
            profile.rank[part] = rank
            self._changed.add(key)
            self._seen[arrival, number].wins[position] = True

    def copy_levels(self, each: ArgoFile) -> None:
        """Copy in the levels of what becomes current; those of many small files at once."""
        arrival = each.file.arrival
        for number, member in enumerate(each.members()):
            seen = self._seen.get((arrival, number))
            if seen is None or not isinstance(member.content, Casts) or not seen.wins.any():
                continue
            winners = member.content if seen.wins.all() else member.content.take(seen.wins)
            keys = [key for key, wins in zip(seen.keys, seen.wins.tolist(), strict=True) if wins]
            self._pending.append(_Pending(seen.part, winners, keys, arrival))
            each.loaded.new += winners.levels
            self._levels[arrival] += winners.levels if seen.part == "core" else 0
            self._waiting += winners.levels
            if self._waiting >= _LEVELS_AT_ONCE:
                self.flush()
        each.loaded.unchanged = each.rows - each.loaded.new

    def flush(self) -> None:
        """Copy in what is pending."""
        for part in ("core", "bgc"):
            pending = [each for each in self._pending if each.part == part]
            if not pending:
                continue
            casts = concatenate([each.casts for each in pending])
            keys = [key for each in pending for key in each.keys]
            for key, said in zip(keys, _said(casts), strict=True):
                self._profiles[key].said[part] = said
            numbers = np.array([self._profiles[key].profile_id for key in keys], dtype=np.int32)
            arrivals = np.repeat(np.array([each.arrival for each in pending], dtype=np.int32), [len(each.keys) for each in pending])
            if part == "core":
                self._copy_core(casts, numbers, arrivals)
            self._copy_others(casts, numbers, arrivals, part)
        self._pending, self._waiting = [], 0

    def _copy_core(self, casts: Casts, numbers: NDArray[np.int32], arrivals: NDArray[np.int32]) -> None:
        n = casts.levels
        columns: dict[str, tuple[str, NDArray[Any]]] = {
            "profile_id": ("int4", np.repeat(numbers, casts.counts)),
            "arrival": ("int4", np.repeat(arrivals, casts.counts)),
            "level": ("int4", casts.level),
        }
        missing, none = np.full(n, np.nan, dtype=np.float32), np.full(n, -1, dtype=np.int16)
        flags: dict[str, tuple[str, NDArray[Any]]] = {}
        for name in CORE_PARAMETERS:
            at, found = name.lower(), casts.parameters.get(name)
            columns[at] = ("float4", missing if found is None else found.raw)
            columns[f"{at}_adjusted"] = ("float4", missing if found is None else found.adjusted)
            columns[f"{at}_error"] = ("float4", missing if found is None else found.adjusted_error)
            flags[f"{at}_qc"] = ("int2", none if found is None else _qc(found.qc))
            flags[f"{at}_adjusted_qc"] = ("int2", none if found is None else _qc(found.adjusted_qc))
        copy_arrays(self._connection, sql.Identifier("core", "argo_level"), columns | flags)

    def _copy_others(self, casts: Casts, numbers: NDArray[np.int32], arrivals: NDArray[np.int32], part: str) -> None:
        """The parameters that are no columns, row by row where they hold anything; of a BGC file its own PRES, too."""
        names = [name for name in casts.parameters if name not in CORE_PARAMETERS or (part == "bgc" and name == "PRES")]
        profile, arrival, level = np.repeat(numbers, casts.counts), np.repeat(arrivals, casts.counts), casts.level
        for name in names:
            found = casts.parameters[name]
            holds = np.flatnonzero(~np.isnan(found.raw) | ~np.isnan(found.adjusted) | (found.qc != NO_QC))
            if not len(holds):
                continue
            columns: dict[str, tuple[str, NDArray[Any]]] = {
                "profile_id": ("int4", profile[holds]),
                "arrival": ("int4", arrival[holds]),
                "parameter_id": ("int2", np.full(len(holds), self._number_of(name, found.units), dtype=np.int16)),
                "level": ("int4", level[holds]),
                "value": ("float8", found.raw[holds]),
                "adjusted": ("float8", found.adjusted[holds]),
                "error": ("float8", found.adjusted_error[holds]),
                "qc": ("int2", _qc(found.qc[holds])),
                "adjusted_qc": ("int2", _qc(found.adjusted_qc[holds])),
            }
            copy_arrays(self._connection, sql.Identifier("core", "argo_bgc_level"), columns)

    def _number_of(self, name: str, unit: str) -> int:
        if name not in self._parameters:
            row = self._connection.execute(
                "insert into core.argo_parameter (name, unit) values (%s, %s) returning parameter_id", (_text(name), _text(unit))
            ).fetchone()
            assert row is not None
            self._parameters[name] = row[0]
        return int(self._parameters[name])

    def write(self, change: int) -> None:
        """Write everything but the levels, and take away those that are superseded; call it with the clock held."""
        names = ("wmo", "cycle", "direction", "product", "cast_number", "part", "arrival", "member", "data_mode", "levels")
        self._connection.execute("delete from raw.argo_cast where arrival = any(%s)", (self.arrivals_with_casts,))
        copy_rows(self._connection, sql.Identifier("raw", "argo_cast"), names, self._distinct_ledger())
        for part, table in (("core", "core.argo_level"), ("core", "core.argo_bgc_level"), ("bgc", "core.argo_bgc_level")):
            if self._replaced[part]:
                profile_ids, old = zip(*self._replaced[part], strict=True)
                self._connection.execute(
                    sql.SQL(_SUPERSEDED).format(sql.Identifier(*table.split("."))), {"profile_ids": list(profile_ids), "arrivals": list(old)}
                )
        floats = _Floats(self._connection, self._said, self._leaving)
        floats.write(change)
        self.touched = {key[0] for key in self._changed} | {wmo for wmo, source in floats.changed if source != "profile"}
        self._write_profiles(change)
        _write_profile_positions(self._connection, sorted({(key[0], key[1]) for key in self._changed}))
        for wmo in sorted(wmo for wmo, source in floats.changed if source == "fixes"):
            arrival = floats.arrival_of(wmo, "fixes")
            _write_fixes(self._connection, wmo, None if arrival is None else self._fixes[wmo, arrival], arrival)
        floats.forget_gone()
        stale_by_list = argo_rules.drop_grey_lists(self._connection, self._leaving) if self._leaving else set[int]()
        for arrival, grey in self._lists.items():
            stale_by_list |= argo_rules.keep_grey_list(self._connection, arrival, grey)
        if stale_by_list:
            self.touched |= stale_by_list & set(argo_rules.floats(self._connection))

    def written(self, files: Sequence[ArgoFile], change: int) -> dict[str, dict[str, int]]:
        """How many floats, casts, levels and positions are as they are by files of each day of arrival, by asset."""
        day_of = {each.file.arrival: _day_of(each.file) for each in files}
        floats = {(wmo, day_of[arrival]) for wmo, _, arrival in self._said}
        casts = {
            (key, day_of[arrival])
            for (arrival, _), seen in self._seen.items()
            for key, wins in zip(seen.keys, seen.wins.tolist(), strict=True)
            if wins
        }
        levels, positions = Counter[str](), Counter[str]()
        for arrival, count in self._levels.items():
            levels[day_of[arrival]] += count
        for arrival, count in self._connection.execute(
            "select arrival, count(*) from core.argo_position where wmo = any(%s) and since = %s group by arrival", (sorted(self.touched), change)
        ):
            if arrival in day_of:
                positions[day_of[arrival]] += count
        return dict(zip(ASSETS, (Counter(day for _, day in floats), Counter(day for _, day in casts), levels, positions), strict=True))

    def withdrawn(self, change: int) -> Withdrawn:
        """What was done, in numbers, where files left."""
        gone = sum(not self._profiles[key].rank for key in self._changed)
        return Withdrawn(change, gone, len(self._changed) - gone, len(self.touched))

    @property
    def arrivals_with_casts(self) -> list[int]:
        """The files that hold casts."""
        return sorted({row[6] for row in self._ledger})

    def _distinct_ledger(self) -> list[tuple[Any, ...]]:
        return list({row[:8]: row for row in self._ledger}.values())

    def _write_profiles(self, change: int) -> None:
        rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        gone = []
        for key in sorted(self._changed):
            profile = self._profiles[key]
            if profile.rank:
                rows[profile.is_new].append(_row(key, profile))
            else:
                gone.append(profile.profile_id)
        if gone:
            self._connection.execute("delete from core.argo_profile where profile_id = any(%s)", (gone,))
        _insert(self._connection, "core.argo_profile", rows[True], change)
        _update(self._connection, "core.argo_profile", ("profile_id",), rows[False], change)


class _Floats:
    """What files say of floats: every file of each kind, but of profile files the latest alone, and the floats as these come to be merged.

    Parameters
    ----------
    said : (float, source, arrival) -> whether it is of delayed mode, and what it says.
    leaving : arrivals whose word counts no longer.
    """

    def __init__(self, connection: Connection, said: Mapping[tuple[int, str, int], tuple[bool, dict[str, Any]]], leaving: Sequence[int]) -> None:
        self._connection = connection
        self._leaving = list(leaving)
        latest: dict[int, int] = {}
        for wmo, source, arrival in said:
            if source == "profile":
                latest[wmo] = max(arrival, latest.get(wmo, arrival))
        self._rows = [
            {"wmo": wmo, "source": source, "arrival": arrival, "is_delayed": is_delayed, "attributes": attributes}
            for (wmo, source, arrival), (is_delayed, attributes) in sorted(said.items())
            if source != "profile" or arrival == latest[wmo]
        ]
        left = connection.execute("select distinct wmo from raw.argo_said where arrival = any(%s)", (self._leaving,)).fetchall() if leaving else []
        self._wmos = sorted({wmo for wmo, *_ in said} | {wmo for (wmo,) in left})
        self._in_force: dict[tuple[int, str], tuple[int, dict[str, Any]]] = {}
        self.changed: set[tuple[int, str]] = set()
        """Float and source of which another file is in force than before."""

    def arrival_of(self, wmo: int, source: str) -> int | None:
        """The file whose word on a float counts; none where there is none."""
        found = self._in_force.get((wmo, source))
        return None if found is None else found[0]

    def write(self, change: int) -> None:
        """Keep what was said, and let the floats and their launches be what it comes to."""
        run = self._connection.execute
        before = self._read()
        run("delete from raw.argo_said where arrival = any(%s)", (self._leaving,))
        run(
            "insert into raw.argo_said select * from jsonb_populate_recordset(null::raw.argo_said, %s) on conflict (wmo, source, arrival)"
            " do update set is_delayed = excluded.is_delayed, attributes = excluded.attributes",
            (_json(self._rows),),
        )
        run(
            "delete from raw.argo_said as s using raw.argo_said as later where s.wmo = any(%s) and s.source = 'profile'"
            " and later.wmo = s.wmo and later.source = s.source and later.arrival > s.arrival",
            (self._wmos,),
        )
        self._in_force = self._read()
        self.changed = {key for key in before.keys() | self._in_force.keys() if before.get(key, (None,))[0] != self._in_force.get(key, (None,))[0]}
        merged: dict[int, dict[str, dict[str, Any]]] = {}
        for (wmo, source), (_, attributes) in self._in_force.items():
            merged.setdefault(wmo, {})[source] = attributes
        new = {wmo for wmo, _ in self.changed} & merged.keys()
        _upsert(self._connection, "core.argo_float", ("wmo",), [{"wmo": wmo, **_merged_float(merged[wmo])} for wmo in sorted(new)], change)
        self._write_launches(sorted(wmo for wmo, source in self.changed if source == "meta"), change)

    def _read(self) -> dict[tuple[int, str], tuple[int, dict[str, Any]]]:
        found = self._connection.execute(
            "select distinct on (wmo, source) wmo, source, arrival, attributes from raw.argo_said where wmo = any(%s)"
            " order by wmo, source, is_delayed desc, arrival desc",
            (self._wmos,),
        )
        return {(wmo, source): (arrival, attributes) for wmo, source, arrival, attributes in found}

    def _write_launches(self, wmos: Sequence[int], change: int) -> None:
        launches, none = [], []
        for wmo in wmos:
            said = self._in_force.get((wmo, "meta"))
            launch = None if said is None else _launch(wmo, said[1])
            if said is None or launch is None:
                none.append(wmo)
            else:
                launches.append({**launch, "arrival": said[0]})
        if none:
            self._connection.execute("delete from core.argo_position where wmo = any(%s) and source = 'launch'", (none,))
        _upsert(self._connection, "core.argo_position", ("wmo", "source", "cycle", "direction", "number"), launches, change)

    def forget_gone(self) -> None:
        """Let go of floats of which no file says anything any more; their casts are gone before."""
        gone = sorted({wmo for wmo, _ in self.changed} - {wmo for wmo, _ in self._in_force})
        if gone:
            self._connection.execute("delete from core.argo_float where wmo = any(%s)", (gone,))


# by the key of each: a plain join reads the whole table while it grows faster than its statistics
_SUPERSEDED = """
delete from {0} where ctid = any(array(
    select l.ctid from unnest(%(profile_ids)s::int[], %(arrivals)s::int[]) as t(profile_id, arrival)
    cross join lateral (select ctid from {0} as l where l.profile_id = t.profile_id and l.arrival = t.arrival offset 0) as l
))
"""

_LEFT = """
select wmo, cycle, direction, product, cast_number from core.argo_profile where core_arrival = any(%(leaving)s)
union select wmo, cycle, direction, product, cast_number from core.argo_profile where bgc_arrival = any(%(leaving)s)
"""

_REMAINING = f"""
with stays as (select arrival from raw.source_file where withdrawn_at is null and status = 'succeeded' and arrival <> all(%(leaving)s))
select arrival from (
    select distinct on (c.wmo, c.cycle, c.direction, c.product, c.cast_number, c.part) c.arrival
    from ({_LEFT}) as p join raw.argo_cast as c using (wmo, cycle, direction, product, cast_number) join stays using (arrival)
    order by c.wmo, c.cycle, c.direction, c.product, c.cast_number, c.part, c.data_mode = 'D' desc, c.arrival desc
) as of_casts
union
select max(c.arrival) from raw.argo_said as s join raw.argo_cast as c using (wmo) join stays on stays.arrival = c.arrival
where s.source = 'profile' and s.arrival = any(%(leaving)s) group by s.wmo
union
select arrival from (
    select distinct on (o.wmo) o.arrival from raw.argo_said as s join raw.argo_said as o using (wmo, source) join stays on stays.arrival = o.arrival
    where s.source = 'fixes' and s.arrival = any(%(leaving)s) order by o.wmo, o.is_delayed desc, o.arrival desc
) as of_tracks
order by 1
"""


def _keys(casts: Casts, counts: dict[tuple[int, int, str], int]) -> list[Key]:
    """The casts of a part of a file: of those of one cycle and direction, the first is number 0, as in the file of that cycle alone.

    Parameters
    ----------
    counts : how many casts of each float, cycle and direction the parts before held; these are counted on.
    """
    wmos, products = casts.platform_number.tolist(), (casts.kind == FileKind.SYNTHETIC).tolist()
    keys: list[Key] = []
    for wmo, cycle, direction, is_synthetic in zip(wmos, casts.cycle.tolist(), casts.direction.tolist(), products, strict=True):
        of = (int(wmo), cycle, direction)
        number = counts.get(of, 0)
        counts[of] = number + 1
        keys.append((*of, "synthetic" if is_synthetic else "core", number))
    return keys


def arrived_on(connection: Connection, days: Sequence[str]) -> tuple[dict[str, int], list[int]]:
    """How many rows of each table came by files that arrived on some days (UTC) and are current, and the floats that they are of."""
    asked = {"days": list(days)}
    arrivals = "select arrival from raw.source_file where arrived_on = any(%(days)s::date[])"
    counts = {}
    for table, condition in (
        ("argo_float", f"wmo in (select wmo from raw.argo_said where arrival in ({arrivals}))"),
        ("argo_profile", f"core_arrival in ({arrivals}) or bgc_arrival in ({arrivals})"),
        ("argo_position", f"arrival in ({arrivals})"),
    ):
        row = connection.execute(f"select count(*) from core.{table} where {condition}", asked).fetchone()
        assert row is not None
        counts[table] = int(row[0])
    row = connection.execute(f"select coalesce(sum(levels), 0) from core.argo_profile where core_arrival in ({arrivals})", asked).fetchone()
    assert row is not None
    counts["argo_level"] = int(row[0])
    wmos = connection.execute(f"select distinct wmo from raw.argo_cast where arrival in ({arrivals}) order by wmo", asked).fetchall()
    return counts, [wmo for (wmo,) in wmos]


def arrivals_of_argo(connection: Connection, arrivals: Sequence[int]) -> list[int]:
    """Those of some arrivals that hold anything of Argo."""
    return [
        row[0]
        for row in connection.execute(
            "select arrival from raw.argo_cast where arrival = any(%(arrivals)s) union select arrival from raw.argo_said where arrival ="
            " any(%(arrivals)s) union select arrival from core.argo_grey_list where arrival = any(%(arrivals)s) order by 1",
            {"arrivals": list(arrivals)},
        )
    ]


def natural_id(key: Key) -> str:
    """The name of a cast, in the manner of the archive's files.

    >>> natural_id((6903247, 1, "A", "core", 0)), natural_id((6903247, 12, "D", "synthetic", 1))
    ('6903247_001', 'S6903247_012D.2')
    """
    wmo, cycle, direction, product, number = key
    return f"{'S' if product == 'synthetic' else ''}{wmo}_{cycle:03d}{'D' if direction == 'D' else ''}{f'.{number + 1}' if number else ''}"


def _stored(connection: Connection, keys: set[Key]) -> dict[Key, _Profile]:
    """The casts among `keys` that are stored."""
    cycles = sorted({key[:2] for key in keys})
    found = connection.execute(
        "select p.profile_id, p.wmo, p.cycle, p.direction, p.product, p.cast_number, p.core_arrival, p.core_said, p.bgc_arrival, p.bgc_said"
        " from unnest(%s::int[], %s::int[]) as t(wmo, cycle) join core.argo_profile as p using (wmo, cycle)",
        ([wmo for wmo, _ in cycles], [cycle for _, cycle in cycles]),
    ).fetchall()
    profiles = {}
    for profile_id, wmo, cycle, direction, product, number, core_arrival, core, bgc_arrival, bgc in found:
        profile = _Profile(profile_id, is_new=False)
        for part, arrival, said in (("core", core_arrival, core), ("bgc", bgc_arrival, bgc)):
            if arrival is not None:
                profile.rank[part], profile.said[part] = (said["data_mode"] == "D", arrival), said
        profiles[wmo, cycle, direction, product, number] = profile
    return profiles


def _qc(flags: NDArray[np.uint8]) -> NDArray[np.int16]:
    stored = flags.astype(np.int16)
    stored[flags == NO_QC] = -1
    return stored


_TEXTS = ("data_centre", "vertical_sampling_scheme", "project_name", "pi_name", "platform_type", "wmo_inst_type", "float_serial_no")
_TIMES = ("juld", "juld_location", "updated_at")
_FLOAT_TEXTS = {
    "platform_type": "platform_type",
    "wmo_inst_type": "wmo_inst_type",
    "float_serial_no": "float_serial_no",
    "data_centre": "data_centre",
    "project_name": "project_name",
    "pi_name": "pi_name",
    "positioning_system": "positioning_system",
}


def _said(casts: Casts) -> list[dict[str, Any]]:
    """What is stated of each cast beside its levels, in the words of JSON."""
    columns: dict[str, list[Any]] = {name: getattr(casts, name).tolist() for name in (*_TEXTS, "data_mode", "positioning_system", "kind")}
    columns |= {name: _times(getattr(casts, name)) for name in _TIMES}
    columns |= {name: _numbers(getattr(casts, name)) for name in ("latitude", "longitude")}
    columns |= {name: _qc(getattr(casts, name)).tolist() for name in ("juld_qc", "position_qc")}
    columns |= {"config_mission_number": casts.config_mission_number.tolist(), "levels": casts.counts.tolist()}
    low, high = _pressure_span(casts)
    columns |= {"pressure_min": _numbers(low), "pressure_max": _numbers(high)}
    modes = {name: found.mode.tolist() for name, found in casts.parameters.items()}
    units = {name: found.units for name, found in casts.parameters.items()}
    shares = {name: share.tolist() for name, share in casts.profile_qc.items()}
    tests = casts.tests
    recorded = {each.name: getattr(tests, each.name) for each in fields(tests)}
    recorded_at = _times(tests.at)
    recorded |= {name: recorded[name] & _STORED_BITS for name in ("performed", "failed")}
    plain = {name: column.tolist() for name, column in recorded.items() if name != "at"}
    rows = []
    for position in range(len(casts)):
        row = {name: column[position] for name, column in columns.items()}
        row["modes"] = {name: mode[position] for name, mode in modes.items() if mode[position]}
        row["units"] = {name: units[name] for name in row["modes"]}
        row["profile_qc"] = {name: share[position] for name, share in shares.items() if share[position]}
        if plain["has_performed"][position] or plain["has_failed"][position]:
            row["tests"] = {**{name: column[position] for name, column in plain.items()}, "at": recorded_at[position]}
        rows.append(row)
    return rows


def _pressure_span(casts: Casts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and highest pressure of each cast, of the values to use; NaN where there is none."""
    low, high = np.full(len(casts), np.nan), np.full(len(casts), np.nan)
    pres = casts.parameters.get("PRES")
    if pres is not None and casts.levels:
        value = pres.best(casts.cast_of_level)[0]
        holds = casts.counts > 0
        starts = casts.first[:-1][holds]
        low[holds], high[holds] = np.fmin.reduceat(value, starts), np.fmax.reduceat(value, starts)
    return low, high


def _row(key: Key, profile: _Profile) -> dict[str, Any]:
    """A cast as its row: what the core file says, and where there is none yet, what the BGC file says."""
    core, bgc = profile.said.get("core"), profile.said.get("bgc")
    said = core or bgc
    assert said is not None
    both = [each for each in (core, bgc) if each is not None]
    wmo, cycle, direction, product, number = key
    return {
        "profile_id": profile.profile_id,
        "natural_id": natural_id(key),
        "wmo": wmo,
        "cycle": cycle,
        "direction": direction,
        "product": product,
        "cast_number": number,
        "at": said["juld"],
        "at_qc": _known(said["juld_qc"]),
        "located_at": said["juld_location"],
        "latitude": said["latitude"],
        "longitude": said["longitude"],
        "position_qc": _known(said["position_qc"]),
        "data_mode": said["data_mode"],
        "data_centre": said["data_centre"],
        "vertical_sampling_scheme": said["vertical_sampling_scheme"],
        "parameters": sorted({name for each in both for name in each["modes"]}, key=_place_of),
        "levels": max(each["levels"] for each in both),
        "pressure_min_dbar": said["pressure_min"],
        "pressure_max_dbar": said["pressure_max"],
        "updated_at": max((each["updated_at"] for each in both if each["updated_at"]), default=None),
        "core_arrival": profile.rank["core"][1] if core else None,
        "core_said": core,
        "bgc_arrival": profile.rank["bgc"][1] if bgc else None,
        "bgc_said": bgc,
    }


def _place_of(parameter: str) -> tuple[int, str]:
    """Pressure, temperature and salinity come first, then the others by name."""
    return (CORE_PARAMETERS.index(parameter) if parameter in CORE_PARAMETERS else len(CORE_PARAMETERS), parameter)


def _known(qc: int) -> int | None:
    return None if qc < 0 else qc


def _float_of(casts: Casts, position: int) -> dict[str, Any]:
    return {name: str(getattr(casts, of)[position]) for name, of in _FLOAT_TEXTS.items()}


def _merged_float(sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A float as its row: what the meta file says, else what profiles say."""
    meta, profile = sources.get("meta", {}), sources.get("profile", {})

    def text(name: str) -> str | None:
        return meta.get(name) or profile.get(name) or None

    properties: dict[str, Any] = {"meta": meta} if meta else {}
    if "technical" in sources:
        properties["technical"] = sources["technical"]
    return {
        "platform_type": text("platform_type"),
        "maker": text("platform_maker"),
        "wmo_inst_type": text("wmo_inst_type"),
        "serial_no": text("float_serial_no"),
        "firmware_version": text("firmware_version"),
        "data_centre": text("data_centre") or sources.get("fixes", {}).get("data_centre") or sources.get("technical", {}).get("data_centre"),
        "project_name": text("project_name"),
        "pi_name": text("pi_name"),
        "positioning_system": ", ".join(meta.get("positioning_systems", ())) or profile.get("positioning_system") or None,
        "launch_at": meta.get("launch_at"),
        "launch_latitude": meta.get("launch_latitude"),
        "launch_longitude": meta.get("launch_longitude"),
        "properties": properties,
    }


def _launch(wmo: int, meta: Mapping[str, Any]) -> dict[str, Any] | None:
    if meta.get("launch_latitude") is None or meta.get("launch_longitude") is None:
        return None
    place = {
        "latitude": meta["launch_latitude"],
        "longitude": meta["launch_longitude"],
        "qc": meta["launch_qc"] if meta["launch_qc"] != NO_QC else -1,
    }
    key = {"wmo": wmo, "source": "launch", "cycle": -1, "direction": "", "number": 0}
    return {**key, "at": meta["launch_at"], "at_qc": None, **place, "accuracy": "", "profile_id": None}


def _last_technical(technical: TechnicalValues) -> dict[str, Any]:
    """The last value of each name, and the cycle that it is of."""
    values: dict[str, Any] = {}
    for cycle, name, value in zip(technical.cycle.tolist(), technical.name.tolist(), technical.value.tolist(), strict=True):
        if name and (name not in values or values[name]["cycle"] <= cycle) and (name in values or len(values) < _TECHNICAL_VALUES):
            values[name] = {"cycle": cycle, "value": value}
    return {"data_centre": technical.data_centre, "values": values}


_WANTED_POSITIONS = """
select distinct on (p.wmo, p.cycle, p.direction) p.wmo, 'profile' as source, p.cycle, p.direction, 0 as number,
    coalesce(p.located_at, p.at) as at, p.at_qc, p.latitude, p.longitude, coalesce(p.position_qc, -1)::smallint as qc, ''::text as accuracy,
    p.profile_id, coalesce(p.core_arrival, p.bgc_arrival) as arrival
from unnest(%(wmos)s::int[], %(cycles)s::int[]) as t(wmo, cycle) join core.argo_profile as p using (wmo, cycle)
where p.latitude is not null and p.longitude is not null order by p.wmo, p.cycle, p.direction, p.product, p.cast_number
"""
_POSITION_COLUMNS = "wmo, source, cycle, direction, number, at, at_qc, latitude, longitude, qc, accuracy, profile_id, arrival"


def _write_profile_positions(connection: Connection, cycles: Sequence[tuple[int, int]]) -> None:
    """Let the track of the touched cycles be that of their casts: of each cycle and direction the first one with a position."""
    asked = {"wmos": [wmo for wmo, _ in cycles], "cycles": [cycle for _, cycle in cycles]}
    connection.execute(f"create temporary table wanted_position on commit drop as {_WANTED_POSITIONS}", asked)
    _replace_positions(
        connection,
        "p.source = 'profile' and (p.wmo, p.cycle) in (select * from unnest(%(wmos)s::int[], %(cycles)s::int[]))",
        asked,
    )


def _write_fixes(connection: Connection, wmo: int, fixes: SurfaceFixes | None, arrival: int | None) -> None:
    """Let the surface fixes of a float be those of its trajectory file in force; there are none where it has no file."""
    if fixes is None:
        connection.execute("delete from core.argo_position where wmo = %s and source = 'trajectory'", (wmo,))
        return
    here = np.flatnonzero(np.isfinite(fixes.latitude) & np.isfinite(fixes.longitude))
    times, qc, at_qc = _times(fixes.at), _qc(fixes.position_qc).tolist(), _qc(fixes.at_qc).tolist()
    connection.execute("create temporary table wanted_position on commit drop as select * from core.argo_position limit 0")
    copy_rows(
        connection,
        sql.Identifier("wanted_position"),
        _POSITION_COLUMNS.split(", "),
        [
            (
                wmo, "trajectory", int(fixes.cycle[i]), "", int(i), times[i], _known(at_qc[i]), float(fixes.latitude[i]), float(fixes.longitude[i]),
                qc[i], str(fixes.accuracy[i]), None, arrival,
            )
            for i in here
        ],
    )  # fmt: skip
    _replace_positions(connection, "p.source = 'trajectory' and p.wmo = %(wmo)s", {"wmo": wmo})


def _replace_positions(connection: Connection, within: LiteralString, parameters: Mapping[str, Any]) -> None:
    """Write the difference between what is wanted and what is stored within a condition."""
    same = "p.wmo = w.wmo and p.source = w.source and p.cycle = w.cycle and p.direction = w.direction and p.number = w.number"
    values = "at, at_qc, latitude, longitude, qc, accuracy, profile_id, arrival"
    of_wanted, of_stored = (", ".join(f"{alias}.{name}" for name in values.split(", ")) for alias in ("w", "p"))
    connection.execute(
        f"delete from core.argo_position as p where {within} and not exists (select from wanted_position as w where {same})", parameters
    )
    connection.execute(
        f"update core.argo_position as p set ({values}, since) = ({of_wanted}, core.this_change()) from wanted_position as w"
        f" where {same} and ({of_wanted}) is distinct from ({of_stored})"
    )
    connection.execute(
        f"insert into core.argo_position ({_POSITION_COLUMNS}, since) select {_POSITION_COLUMNS}, core.this_change() from wanted_position as w"
        f" where not exists (select from core.argo_position as p where {same})"
    )
    connection.execute("drop table wanted_position")


def _upsert(connection: Connection, table: str, key: Sequence[str], rows: Sequence[Mapping[str, Any]], change: int) -> None:
    """Write rows that differ from what is stored under their key."""
    if rows:
        _update(connection, table, key, rows, change)
        known = sql.SQL("select {} from {}").format(sql.SQL(", ").join(map(sql.Identifier, key)), sql.Identifier(*table.split(".")))
        of_floats = sql.SQL(" where wmo = any({})").format(sql.Literal([row["wmo"] for row in rows]))
        found = set(connection.execute(known + of_floats).fetchall())
        _insert(connection, table, [row for row in rows if tuple(row[name] for name in key) not in found], change)


def _update(connection: Connection, table: str, key: Sequence[str], rows: Sequence[Mapping[str, Any]], change: int) -> None:
    if not rows:
        return
    name, values = sql.Identifier(*table.split(".")), [column for column in rows[0] if column not in key]
    connection.execute(
        sql.SQL(
            "update {table} as t set {set}, since = %(change)s from jsonb_populate_recordset(null::{table}, %(rows)s) as r"
            " where {same} and ({old}) is distinct from ({new})"
        ).format(
            table=name,
            set=sql.SQL(", ").join(sql.SQL("{0} = r.{0}").format(sql.Identifier(column)) for column in values),
            same=sql.SQL(" and ").join(sql.SQL("t.{0} = r.{0}").format(sql.Identifier(column)) for column in key),
            old=sql.SQL(", ").join(sql.Identifier("t", column) for column in values),
            new=sql.SQL(", ").join(sql.Identifier("r", column) for column in values),
        ),
        {"rows": _json(rows), "change": change},
    )


def _insert(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]], change: int) -> None:
    if not rows:
        return
    connection.execute(
        sql.SQL("insert into {table} ({columns}, since) select {columns}, %(change)s from json_populate_recordset(null::{table}, %(rows)s)").format(
            table=sql.Identifier(*table.split(".")), columns=sql.SQL(", ").join(map(sql.Identifier, rows[0]))
        ),
        {"rows": _json(rows), "change": change},
    )


def _json(value: Any) -> str:
    try:
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a large number without a fraction comes back from jsonb as an integer, which may have more than 64 bits
        text = json.dumps(value, allow_nan=False)
    return text.replace("\\u0000", "")


def _times(times: NDArray[np.datetime64]) -> list[str | None]:
    return [None if np.isnat(time) else f"{time}Z" for time in times.astype("datetime64[us]")]


def _numbers(values: NDArray[Any]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.astype(np.float64).tolist()]


def _text(text: str) -> str:
    """Without NULs, which files pad texts with and PostgreSQL does not keep."""
    return text.replace("\0", "")


def _plain(value: Any) -> Any:
    """A dataclass in the words of JSON: what is missing is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.datetime64):
        return _times(np.array([value]))[0]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
