"""Judging Argo casts by the real-time tests, and changing the versions of these: what would change is told before anything is written.

Add here what a test needs beside the casts. The tests are in `domain/argo/`, the SQL in `storage/argo_flags.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from water_pipelines.domain.argo.casts import FileKind, FloatMeta
from water_pipelines.domain.argo.flags import names_of
from water_pipelines.domain.argo.rules import CURRENT, ERAS, Rules, named
from water_pipelines.domain.argo.sensors import has_old_rbr
from water_pipelines.domain.series import BoolArray, FloatArray
from water_pipelines.orchestration.operations.landing import land_bytes
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import Numbered, Numbers, chunks
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.storage import argo_flags, argo_rules, source_files
from water_pipelines.storage.argo_casts import StoredCasts, arrived_at, levels_of, read_casts, read_metas
from water_pipelines.storage.argo_flags import Judged
from water_pipelines.storage.database import Connection, Snapshot
from water_pipelines.storage.loads import Loaded
from water_pipelines.storage.source_files import SourceFile

KIND = "argo_rules"
TEST_8 = {"2024": 20.0, "before-2024": 0.0}
"""The versions of test 8, and the reversal of pressure in dbar from which each flags."""

BY_FLOAT = Numbered(every=argo_rules.floats, weights=levels_of, at_once=1_500_000)
"""The units of what is judged: floats, as many at once as have that many levels."""


class CannotChange(Exception):
    """There are no such rules; the message says which there are."""


def rules_in_force(connection: Connection) -> Rules:
    """The versions of the tests in force: those of the last file that chose, else those of the newest manual."""
    known = argo_rules.in_force(connection)
    return CURRENT if known is None else named(known.version, known.settings)


def judge(snapshot: Snapshot, wmos: Sequence[int], rules: Rules) -> list[Judged]:
    """All casts of some floats with their flags; synthetic casts repeat those of the core files, so each kind is judged by itself."""
    stored = read_casts(snapshot, wmos)
    if stored is None:
        return []
    metas, grey = read_metas(snapshot.connection, wmos), argo_rules.read_grey_list(snapshot.connection)
    arrived = arrived_at(snapshot.connection, stored)
    is_synthetic = stored.casts.kind == FileKind.SYNTHETIC
    judged = []
    for chosen in (~is_synthetic, is_synthetic):
        if chosen.any():
            of = StoredCasts(stored.casts.take(chosen), stored.profile_id[chosen])
            judged.append(_judge(of, metas, grey, arrived[chosen], rules))
    return judged


def _judge(stored: StoredCasts, metas: Mapping[str, FloatMeta], grey: Any, arrived: Any, rules: Rules) -> Judged:
    from water_pipelines.domain.argo.records import failed_then
    from water_pipelines.domain.argo.run import Beside, flag_casts
    from water_pipelines.parsers.argo_land import land_mask

    land = land_mask()
    # a later date than the arrival of its file is impossible, whenever a cast is judged
    beside = Beside(arrived, land, grey, _profile_pressure(stored, metas), _old_rbr(stored, metas))
    flags = flag_casts(stored.casts, beside, rules)
    return Judged(stored, flags, f"{rules.name}; land by {land.variant}", failed_then(stored.casts, beside, (rules, flags)))


def _profile_pressure(stored: StoredCasts, metas: Mapping[str, FloatMeta]) -> FloatArray:
    casts = stored.casts
    pressure = np.full(len(casts), np.nan)
    for wmo, meta in metas.items():
        of = casts.platform_number == wmo
        pressure[of] = meta.configured("CONFIG_ProfilePressure_dbar", casts.config_mission_number[of])
    return pressure


def _old_rbr(stored: StoredCasts, metas: Mapping[str, FloatMeta]) -> BoolArray:
    casts = stored.casts
    is_old = np.zeros(len(casts), dtype=np.bool_)
    for wmo, meta in metas.items():
        of = casts.platform_number == wmo
        dates = casts.juld[of & ~np.isnat(casts.juld)]
        is_old[of] = has_old_rbr(meta, dates.min() if len(dates) else np.datetime64("NaT", "us"))
    return is_old


@dataclass(frozen=True)
class ChangedCast:
    """A cast whose flags other rules change: how many values get another flag, and the tests that it failed and would fail."""

    id: str
    wmo: int
    values: int
    failed: list[str]
    would_fail: list[str]


@dataclass
class Preview:
    """What other rules would change."""

    rules: Rules
    casts: int = 0
    changed: list[ChangedCast] = field(default_factory=list)


def choose(platform: Platform, *, era: str | None = None, test8: str | None = None) -> Rules:
    """The rules in force with another version of a test, or those of an era."""
    try:
        if era is not None:
            rules = named(era)
        else:
            with platform.database.connection() as connection:
                rules = rules_in_force(connection)
        if test8 is None:
            return rules
        if test8 not in TEST_8:
            raise ValueError(f"there is no version {test8!r} of test 8; there are {', '.join(TEST_8)}")
        return _known(named(f"{rules.name.partition(', test 8')[0]}, test 8 of {test8}", {**rules.settings(), "reversal": TEST_8[test8]}))
    except ValueError as error:
        raise CannotChange(f"{error}. Eras: {'; '.join(each.name for _, each in ERAS)}") from error


def _known(rules: Rules) -> Rules:
    """The rules of an era where these are just that, else themselves."""
    return next((each for _, each in ERAS if each.settings() == rules.settings()), rules)


def preview(platform: Platform, rules: Rules) -> Preview:
    """Which casts would have other flags under some rules. Nothing is written."""
    found = Preview(rules)
    with platform.database.connection() as connection:
        wmos = np.array(sorted(argo_rules.floats(connection)), dtype=np.int64)
    for part in chunks(platform, wmos, BY_FLOAT) if len(wmos) else ():
        with platform.database.snapshot() as snapshot:
            for each in judge(snapshot, _numbers(part), rules):
                found.casts += len(each.stored.casts)
                found.changed += [
                    ChangedCast(id, wmo, values, names_of(before), names_of(after))
                    for id, wmo, values, before, after in argo_flags.differences(snapshot, each)
                ]
    return found


def _numbers(wmos: Numbers) -> list[int]:
    return [int(wmo) for wmo in wmos]


def put_in_force(platform: Platform, rules: Rules) -> SourceFile:
    """Land a choice of rules; whoever settles next flags all casts by it."""
    from water_pipelines.orchestration.operations.loading import load_file  # which knows every kind of file, this one too

    text = yaml.safe_dump({"name": rules.name, "settings": rules.settings()})
    file = land_bytes(platform, text.encode(), kind=KIND, name="argo_rules.yaml", prefix="acts")
    if file.status == "succeeded":
        return _again(platform, text)
    load_file(platform, file.arrival)
    return source_files.get(platform.database, file.arrival)


def _again(platform: Platform, text: str) -> SourceFile:
    """The same choice as some time ago: it arrives anew, so that it is the latest."""
    from water_pipelines.orchestration.operations.loading import load_file

    with platform.database.connection() as connection:
        count = argo_rules.count(connection)
    file = land_bytes(platform, f"{text}# choice {count + 1}\n".encode(), kind=KIND, name="argo_rules.yaml", prefix="acts")
    load_file(platform, file.arrival)
    return source_files.get(platform.database, file.arrival)


def load_rules(platform: Platform, file: SourceFile) -> Loaded:
    """Put the rules of a landed file in force; `UnreadableFile` where it names none."""
    rules = rules_of(platform.store.read(file.key))
    with platform.database.connection() as connection:
        change = platform.database.take_number(connection, KIND)
        argo_rules.put_in_force(connection, file.arrival, rules.name, rules.settings())
        source_files.succeed(connection, file.arrival, rows=1, rejected=0)
    return Loaded(change, rows=1)


def rules_of(data: bytes) -> Rules:
    """Rules as a file gives them: `era: <name>`, or `settings:` of their own, with a `name:`."""
    try:
        said = yaml.safe_load(data.decode("utf-8"))
        if not isinstance(said, dict) or not said or set(said) - {"era", "name", "settings"}:
            raise ValueError("it holds `era:` with the name of one, or `settings:` and `name:`")
        if "era" in said:
            return named(str(said["era"]))
        return _known(named(str(said.get("name", "own rules")), said["settings"]))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError, KeyError) as error:
        raise UnreadableFile(f"it chooses no rules of the real-time tests: {error}. Eras: {'; '.join(each.name for _, each in ERAS)}") from error
