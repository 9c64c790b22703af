"""Our flags of Argo casts beside those of the data centres: staged as settle writes them, and held against what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.argo.casts import Casts
from water_pipelines.domain.argo.flags import GOOD, MISSING, NOT_TESTED, CastFlags, ParameterFlags, RealTimeTest
from water_pipelines.domain.argo.records import Then
from water_pipelines.storage.argo_casts import StoredCasts, parameter_numbers
from water_pipelines.storage.database import Connection, Snapshot
from water_pipelines.storage.staging import StagedTable, Table, stage

FLAG = Table("core.argo_flag", ("wmo", "profile_id", "parameter_id", "level"), "wmo")
EVALUATION = Table("core.argo_evaluation", ("wmo", "profile_id"), "wmo")
OF_THE_CAST = -1
"""The level under which the flags of a cast's date and position are kept."""

_PLAIN = (NOT_TESTED, GOOD, MISSING)
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Judged:
    """Casts with what the tests found, and what the tests went by, in words; and what they find by the rules of the data centres' records."""

    stored: StoredCasts
    flags: CastFlags
    rules: str
    then: Then


def flag_rows(connection: Connection, judged: Judged) -> Columns:
    """The rows of `core.argo_flag`: what is neither good, nor missing, nor judged by no test."""
    numbers, stored, casts, flags = parameter_numbers(connection), judged.stored, judged.stored.casts, judged.flags
    parts: list[tuple[NDArray[Any], ...]] = []
    for name, flag, failed in (("JULD", flags.juld, flags.juld_failed), ("POSITION", flags.position, flags.position_failed)):
        rows = np.flatnonzero(~np.isin(flag, _PLAIN))
        parts.append((rows, np.full(len(rows), numbers[name]), np.full(len(rows), OF_THE_CAST), flag[rows], failed[rows]))
    cast_of_level, level = casts.cast_of_level, casts.level
    for name, found in flags.parameters.items():
        rows = np.flatnonzero(~np.isin(found.flag, _PLAIN))
        parts.append((cast_of_level[rows], np.full(len(rows), numbers[name]), level[rows], found.flag[rows], found.failed[rows]))
    cast, parameter, levels, flag, failed = (np.concatenate(column) for column in zip(*parts, strict=True))
    return {
        "wmo": stored.wmo[cast],
        "profile_id": stored.profile_id[cast],
        "parameter_id": parameter.astype(np.int16),
        "level": levels.astype(np.int32),
        "flag": flag.astype(np.int16),
        "failed": failed.astype(np.int64),
    }


def stage_flags(snapshot: Snapshot, judged: Sequence[Judged]) -> list[StagedTable]:
    """Stage the flags of casts, and which tests were run on them."""
    nothing = np.empty(0, dtype=np.int64)
    flags = [flag_rows(snapshot.connection, each) for each in judged]
    staged = stage(snapshot, FLAG, {name: (kind, np.concatenate([nothing, *(each[name] for each in flags)])) for name, kind in _FLAG_TYPES.items()})
    columns = {
        "wmo": ("int4", [each.stored.wmo for each in judged]),
        "profile_id": ("int4", [each.stored.profile_id for each in judged]),
        "run": ("int8", [each.flags.performed for each in judged]),
        "failed": ("int8", [each.flags.failed for each in judged]),
        "recorded_run": ("int8", [each.then.performed for each in judged]),
        "recorded_failed": ("int8", [each.then.failed for each in judged]),
    }
    evaluated = stage(snapshot, EVALUATION, {name: (kind, np.concatenate([nothing, *parts])) for name, (kind, parts) in columns.items()})
    for rules in {each.rules for each in judged}:
        snapshot.connection.execute(sql.SQL("update {} set rules = %s").format(sql.Identifier(evaluated.name)), (rules,))
    for name in {name for each in judged for name in np.unique(each.then.rules).tolist()} - {""}:
        of = np.concatenate([each.stored.profile_id[each.then.rules == name] for each in judged])
        snapshot.connection.execute(
            sql.SQL("update {} set recorded_rules = %s where profile_id = any(%s)").format(sql.Identifier(evaluated.name)), (name, of.tolist())
        )
    return [staged, evaluated]


def differences(snapshot: Snapshot, judged: Judged) -> list[tuple[str, int, int, int, int]]:
    """The casts whose flags are others than those that are stored.

    Returns
    -------
    Of each cast its id, its float, how many values (or date, or position) have another flag or fail other tests, and the sums of the tests
    that it failed and that it fails now.
    """
    new = _codes(flag_rows(snapshot.connection, judged))
    profiles = judged.stored.profile_id
    stored = snapshot.rows(
        "select profile_id, parameter_id, level, flag, failed from core.argo_flag where wmo = any(%s) and profile_id = any(%s)",
        (np.unique(judged.stored.wmo).tolist(), profiles.tolist()),
    )
    rows = np.array(stored, dtype=np.int64).reshape(-1, 5)
    old = _codes(dict(zip(("profile_id", "parameter_id", "level", "flag", "failed"), rows.T, strict=True)))
    other = np.setxor1d(new, old)
    keys = np.unique(other[["profile_id", "parameter_id", "level"]])
    changed, values = np.unique(keys["profile_id"], return_counts=True)
    place = {number: position for position, number in enumerate(profiles.tolist())}
    known = {
        number: (name, failed)
        for number, name, failed in snapshot.rows(
            "select p.profile_id, p.natural_id, coalesce(e.failed, 0) from core.argo_profile as p"
            " left join core.argo_evaluation as e on e.wmo = p.wmo and e.profile_id = p.profile_id where p.profile_id = any(%s)",
            (changed.tolist(),),
        )
    }
    return [
        (known[number][0], int(judged.stored.wmo[place[number]]), count, int(known[number][1]), int(judged.flags.failed[place[number]]))
        for number, count in zip(changed.tolist(), values.tolist(), strict=True)
    ]


def _codes(rows: Columns) -> NDArray[Any]:
    """Rows as records that can be held against one another."""
    names = ("profile_id", "parameter_id", "level", "flag", "failed")
    records = np.empty(len(rows["flag"]), dtype=[(name, np.int64) for name in names])
    for name in names:
        records[name] = rows[name]
    return records


_FLAG_TYPES = {"wmo": "int4", "profile_id": "int4", "parameter_id": "int2", "level": "int4", "flag": "int2", "failed": "int8"}


def agreement(connection: Connection) -> list[tuple[str, int, int, int, int]]:
    """(test, casts compared, those on which we agree, failed by us alone, failed by the data centre alone) by test, over all casts."""
    rows = connection.execute(
        "select n, count(*), count(*) filter (where ours = theirs), count(*) filter (where ours and not theirs),"
        " count(*) filter (where theirs and not ours) from core.argo_recorded_test group by n order by n"
    )
    names = {test.value: test.name.lower() for test in RealTimeTest}
    return [(names.get(number, str(number)), *counts) for number, *counts in rows]


def shown_casts(connection: Connection, wmos: Sequence[int], count: int) -> list[int]:
    """The latest casts of the one of some floats that has most flags."""
    return [
        row[0]
        for row in connection.execute(
            "select profile_id from core.argo_profile where levels > 0 and wmo = ("
            " select p.wmo from core.argo_profile as p left join core.argo_flag as g on g.wmo = p.wmo and g.profile_id = p.profile_id"
            " where p.wmo = any(%s) and p.levels > 0 group by p.wmo order by count(g.flag) desc, p.wmo limit 1"
            ") order by cast_number, at desc nulls last, profile_id limit %s",
            (list(wmos), count),
        )
    ]


def read_flags(connection: Connection, profile_ids: Sequence[int]) -> dict[tuple[int, str], tuple[NDArray[Any], NDArray[Any]]]:
    """Cast and parameter -> the levels that are not good, and their flags."""
    found = connection.execute(
        "select g.profile_id, p.name, array_agg(g.level), array_agg(g.flag) from core.argo_flag as g"
        " join core.argo_parameter as p using (parameter_id) where g.profile_id = any(%s) and g.level >= 0 group by 1, 2",
        (list(profile_ids),),
    )
    return {(number, name): (np.array(levels), np.array(flags)) for number, name, levels, flags in found}


def read_positions(connection: Connection, wmos: Sequence[int]) -> dict[int, list[tuple[float, float]]]:
    """Float -> longitude and latitude of its casts, in the order of time."""
    found: dict[int, list[tuple[float, float]]] = {}
    for wmo, longitude, latitude in connection.execute(
        "select wmo, longitude, latitude from core.argo_position where wmo = any(%s) and source = 'profile' order by wmo, at nulls last, cycle",
        (list(wmos),),
    ):
        found.setdefault(wmo, []).append((longitude, latitude))
    return found


def read_judged(snapshot: Snapshot, stored: StoredCasts) -> CastFlags:
    """The flags of casts as they are stored; what is not evaluated has none."""
    casts, numbers = stored.casts, stored.profile_id
    place = {number: position for position, number in enumerate(numbers.tolist())}
    asked = (np.unique(stored.wmo).tolist(), numbers.tolist())
    performed, failed = np.zeros(len(casts), dtype=np.int32), np.zeros(len(casts), dtype=np.int32)
    for number, run, sums in snapshot.rows(
        "select profile_id, run, failed from core.argo_evaluation where wmo = any(%s) and profile_id = any(%s)", asked
    ):
        performed[place[number]], failed[place[number]] = run, sums
    parameters = {
        name: ParameterFlags(np.where(np.isnan(each.raw), MISSING, GOOD).astype(np.uint8), np.zeros(casts.levels, dtype=np.int32))
        for name, each in casts.parameters.items()
    }
    juld = np.where(np.isnat(casts.juld), MISSING, GOOD).astype(np.uint8)
    position = np.where(np.isnan(casts.latitude) | np.isnan(casts.longitude), MISSING, GOOD).astype(np.uint8)
    of_cast = {"JULD": (juld, np.zeros(len(casts), dtype=np.int32)), "POSITION": (position, np.zeros(len(casts), dtype=np.int32))}
    for number, name, level, flag, sums in snapshot.rows(
        "select g.profile_id, p.name, g.level, g.flag, g.failed from core.argo_flag as g join core.argo_parameter as p using (parameter_id)"
        " where g.wmo = any(%s) and g.profile_id = any(%s)",
        asked,
    ):
        if level == OF_THE_CAST:
            of_cast[name][0][place[number]], of_cast[name][1][place[number]] = flag, sums
        else:
            at = casts.first[place[number]] + level
            parameters[name].flag[at], parameters[name].failed[at] = flag, sums
    return CastFlags(parameters, *of_cast["JULD"], *of_cast["POSITION"], performed, failed, "as stored")


def take(flags: CastFlags, casts: Casts, where: NDArray[np.int64]) -> CastFlags:
    """The flags of some of the casts."""
    levels = np.concatenate([np.arange(casts.first[at], casts.first[at + 1]) for at in where]) if len(where) else where
    return CastFlags(
        {name: ParameterFlags(each.flag[levels], each.failed[levels]) for name, each in flags.parameters.items()},
        flags.juld[where],
        flags.juld_failed[where],
        flags.position[where],
        flags.position_failed[where],
        flags.performed[where],
        flags.failed[where],
        flags.rules,
    )
