"""Our flags of Argo casts against what the data centres recorded in HISTORY_QCTEST: agreement per test, and every disagreement with its cause.

``python -m water_pipelines_tests.argo_truth`` reads all profile files under the shared data and prints both; ``--write docs/argo.md`` puts them
between the marks of that page; ``--data FOLDER`` reads another folder. The rules are those of the day of the record. A cause that a program has is
named only where doing as the program does gives its record.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gsw
import numpy as np

from water_pipelines.domain.argo import levels
from water_pipelines.domain.argo.casts import Casts, FileKind, concatenate
from water_pipelines.domain.argo.flags import BAD, PROBABLY_BAD, RealTimeTest
from water_pipelines.domain.argo.records import failed_then
from water_pipelines.domain.argo.rules import Rules, rules_of_record
from water_pipelines.domain.argo.run import Beside, flag_casts
from water_pipelines.domain.series import BoolArray, FloatArray
from water_pipelines.parsers.argo import read_argo
from water_pipelines.parsers.argo_netcdf import Arrays, open_arrays
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.shared_data import ROOT

TESTS = (
    RealTimeTest.GLOBAL_RANGE,
    RealTimeTest.PRESSURE_INCREASING,
    RealTimeTest.SPIKE,
    RealTimeTest.DIGIT_ROLLOVER,
    RealTimeTest.STUCK_VALUE,
    RealTimeTest.DENSITY,
)
BEGIN, END = "<!-- made by water_pipelines_tests.argo_truth: begin -->", "<!-- made by water_pipelines_tests.argo_truth: end -->"
NOW = np.datetime64("2026-01-01", "us")

NOT_HERE = "The sum covers parameters of the cycle's BGC file, which is not among the files"
GONE = "What failed is not in the file any more: no value in it is flagged bad that the test could have found"
SORTED = "The file was put in order after the test: the level whose pressure is flagged bad lies where it should"
THROUGH = "The program compares with values, too, that an earlier test found bad"
RISING = "CSIRO's program, which INCOIS uses, compares all values and finds a rollover only where it rises towards the surface"
ANY_INVERSION = "The program of the time flagged any inversion of density; the limit of 0.03 kg/m3 came later"
NO_BRIDGE = "The program does not compare across a level that an earlier test found bad"
COAR = "Coriolis' program of 2010 failed each near-surface cast of two levels, and wrote the sum beside all casts of the file"
INTERMEDIATE = "Coriolis' decoder tests intermediate parameters, too, which are not kept here: all values of one are the same"
ADJUSTED = "Coriolis' decoder tests adjusted values, too: one of them is out of range"
UNEXPLAINED = "Not explained"
_REPRODUCED = (THROUGH, RISING, ANY_INVERSION, NO_BRIDGE, COAR, INTERMEDIATE, ADJUSTED)
_NOT_HELD = (NOT_HERE, GONE, SORTED)


Key = tuple[str, int, str, int]
"""A cast: float, cycle, direction and place in its file."""


@dataclass(frozen=True)
class Disagreement:
    """A cast and a test of which the data centre says something else than we do."""

    test: RealTimeTest
    file: str
    cast: int
    mode: str
    record: str
    theirs: bool
    cause: str


@dataclass(frozen=True)
class Agreement:
    """What was compared for a test: casts, failures in the records and in ours, casts that agree, that agree when we do as the program does, and
    those whose files do not hold what was tested; casts of R and A files, and those of them that agree.
    """

    compared: int
    theirs: int
    ours: int
    agreeing: int
    reproduced: int
    not_held: int
    timely: int
    timely_agreeing: int

    @property
    def share_of_timely(self) -> float:
        """Agreement with the rule of the day over the casts that nobody has edited since: those in R and A mode."""
        return self.timely_agreeing / self.timely

    @property
    def share(self) -> float:
        """Agreement with the rule of the day, over all casts that were compared."""
        return self.agreeing / self.compared

    @property
    def share_of_held(self) -> float:
        """Agreement where we do as the programs do, over the casts whose files hold what was tested."""
        return (self.agreeing + self.reproduced) / (self.compared - self.not_held)


@dataclass(frozen=True)
class Truth:
    """All casts of mono-profile files, for each the name of its file, and those of which an intermediate parameter has but one value."""

    casts: Casts
    names: list[str]
    stuck: set[Key]


def read_folder(folder: Path) -> Truth:
    """The casts of all files that can be read."""
    pieces: list[Casts] = []
    names: list[str] = []
    stuck: set[Key] = set()
    for path in sorted(folder.rglob("*.nc")):
        if path.stem.endswith(("_prof", "_Sprof", "_meta", "_tech", "traj")):
            continue
        try:
            with path.open("rb") as stream:
                read = [each for each in read_argo(stream) if isinstance(each, Casts)]
                places = _stuck_intermediate(open_arrays(stream))
        except UnreadableFile as error:
            sys.stderr.write(f"{path.name}: {error}\n")
            continue
        pieces += read
        names += [path.name] * sum(len(each) for each in read)
        stuck |= {_key(each, place) for each in read for place in range(len(each)) if int(each.cast[place]) in places}
    return Truth(concatenate(pieces), names, stuck)


def _stuck_intermediate(arrays: Arrays) -> set[int]:
    """Casts of a file of which a parameter without adjusted values has two values at least, and all are the same."""
    found: set[int] = set()
    for name, each in arrays.variables.items():
        is_parameter = each.dimensions == ("N_PROF", "N_LEVELS") and each.dtype.kind == "f" and f"{name}_QC" in arrays.variables
        if is_parameter and "_ADJUSTED" not in name and f"{name}_ADJUSTED" not in arrays.variables:
            values = np.ma.masked_equal(arrays.read(name), each.attributes.get("_FillValue", 99999.0))
            found |= set(np.flatnonzero((values.count(1) > 1) & (np.ma.filled(np.ma.ptp(values, axis=1), 1) == 0)).tolist())
    return found


def compare(truth: Truth) -> tuple[dict[RealTimeTest, Agreement], list[Disagreement]]:
    """Agreement per test over all casts with a record of failures, and every disagreement with its cause."""
    casts, names = truth.casts, truth.names
    recorded = np.flatnonzero(casts.tests.has_failed & (casts.kind != FileKind.SYNTHETIC))
    rules = {
        int(place): rules_of_record(casts.tests.at[place], str(casts.tests.software[place]), str(casts.tests.release[place])) for place in recorded
    }
    bits = failed_then(casts, Beside(NOW)).failed
    failed = {place: int(bits[place]) for place in rules}
    _join_parts(casts, failed)
    _join_files(casts, names, failed)
    alone = _parts_alone(casts)
    agreements, disagreements = {}, []
    for test in TESTS:
        bit = np.uint64(test.bit)
        performed = casts.tests.has_performed & ((casts.tests.performed & bit) > 0)
        theirs_of_all = (casts.tests.failed & bit) > 0
        compared = [int(place) for place in recorded if performed[place] or theirs_of_all[place]]
        compared = [place for place in compared if place not in alone]
        wrong = []
        for place in compared:
            theirs = bool(theirs_of_all[place])
            if theirs != bool(failed[place] & test.bit):
                is_stuck = _key(casts, place) in truth.stuck
                cause = _cause(casts, place, test, theirs, rules[place], is_stuck=is_stuck)
                wrong.append(
                    Disagreement(test, names[place], int(casts.cast[place]), str(casts.data_mode[place]), _record(casts, place), theirs, cause)
                )
        disagreements += wrong
        agreements[test] = Agreement(
            compared=len(compared),
            theirs=sum(bool(theirs_of_all[place]) for place in compared),
            ours=sum(bool(failed[place] & test.bit) for place in compared),
            agreeing=len(compared) - len(wrong),
            reproduced=sum(each.cause in _REPRODUCED for each in wrong),
            not_held=sum(each.cause in _NOT_HELD for each in wrong),
            timely=int(np.count_nonzero(casts.data_mode[compared] != "D")),
            timely_agreeing=sum(bool(casts.data_mode[place] != "D") for place in compared) - sum(each.mode != "D" for each in wrong),
        )
    return agreements, disagreements


def _key(casts: Casts, place: int) -> Key:
    return str(casts.platform_number[place]), int(casts.cycle[place]), str(casts.direction[place]), int(casts.cast[place])


def _join_parts(casts: Casts, failed: dict[int, int]) -> None:
    """The record of a cast is one for its core and its BGC file: both carry it, and it covers the parameters of both."""
    of: dict[tuple[Key, bool], int] = {}
    for place, bits in failed.items():
        part = _key(casts, place), bool(casts.kind[place] == FileKind.BGC)
        of[part] = of.get(part, 0) | bits
    for place in failed:
        failed[place] |= of.get((_key(casts, place), bool(casts.kind[place] != FileKind.BGC)), 0)


def _join_files(casts: Casts, names: Sequence[str], failed: dict[int, int]) -> None:
    """COAR, Coriolis' program of 2010, wrote the sum of a file beside each of its casts."""
    whole: dict[str, int] = {}
    for place, bits in failed.items():
        if casts.tests.software[place] == "COAR":
            whole[names[place]] = whole.get(names[place], 0) | bits
    for place in failed:
        if casts.tests.software[place] == "COAR":
            failed[place] = whole[names[place]]


def _parts_alone(casts: Casts) -> set[int]:
    """Casts that hold nothing but pressure, and whose other file, core or BGC, is not here: there is nothing to run the tests of values on."""
    is_bgc = casts.kind == FileKind.BGC
    here = {(_key(casts, place), bool(is_bgc[place])) for place in range(len(casts))}
    modes = np.stack([each.mode for name, each in casts.parameters.items() if name != "PRES"])
    bare = np.flatnonzero((casts.kind != FileKind.SYNTHETIC) & (modes == "").all(0)).tolist()
    return {place for place in bare if (_key(casts, place), not is_bgc[place]) not in here}


def _record(casts: Casts, place: int) -> str:
    at = casts.tests.at[place]
    day = "undated" if np.isnat(at) else str(at)[:10]
    return " ".join(filter(None, (str(casts.tests.institution[place]), str(casts.tests.software[place]), str(casts.tests.release[place]), day)))


def _cause(casts: Casts, place: int, test: RealTimeTest, theirs: bool, rules: Rules, *, is_stuck: bool) -> str:
    """Why a disagreement came about, by trying what is known of the programs on the cast."""
    one = casts.take(np.array([place]))
    software = str(casts.tests.software[place])
    value = {name: each.raw.astype(np.float64) for name, each in one.parameters.items() if each.mode[0] or name == "PRES"}
    flags = {name: one.parameters[name].qc for name in value}
    misplaced = np.flatnonzero(flags["PRES"] == BAD)
    match test:
        case RealTimeTest.DIGIT_ROLLOVER if software in ("CSQC", "INQC") and _rises(value) == theirs:
            return RISING
        case RealTimeTest.DENSITY if not theirs and not _inverted(one, value, rules, bridge=False):
            return NO_BRIDGE
        case RealTimeTest.PRESSURE_INCREASING if theirs and len(misplaced):
            return SORTED
        case RealTimeTest.STUCK_VALUE if theirs and software == "COAR":
            return COAR
        case RealTimeTest.STUCK_VALUE if theirs and software == "COQC" and is_stuck:
            return INTERMEDIATE
        case RealTimeTest.GLOBAL_RANGE if theirs and software == "COQC" and _adjusted_out_of_range(one, rules):
            return ADJUSTED
        case RealTimeTest.SPIKE if theirs and _spiked(value):
            return THROUGH
        case RealTimeTest.DENSITY if theirs and _inverted(one, value, rules, through=True):
            return THROUGH
        case RealTimeTest.DENSITY if theirs and _inverted(one, value, rules, through=True, least=0.0):
            return ANY_INVERSION
        case RealTimeTest.DENSITY if theirs and any(_inverted(one, _moved(value, int(level)), rules, through=True, least=0.0) for level in misplaced):
            return SORTED
    if not theirs:
        return UNEXPLAINED
    flagged = {name for name, qc in flags.items() if np.isin(qc, (PROBABLY_BAD, BAD)).any()}
    secondary = str(one.vertical_sampling_scheme[0]).startswith("Secondary")
    if casts.kind[place] == FileKind.CORE and secondary and not flagged & {"TEMP", "PSAL"}:
        return NOT_HERE
    if not any(BAD in qc for qc in flags.values()):
        return GONE
    return UNEXPLAINED


def _adjusted_out_of_range(one: Casts, rules: Rules) -> bool:
    """Whether an adjusted value is outside the global range of its parameter."""
    ranges = levels.GLOBAL_RANGE | ({"CHLA": levels.FIRST_CHLA_RANGE} if rules.first_chla else {})
    values = {name: one.parameters[name].adjusted.astype(np.float64) for name in ranges if name in one.parameters}
    return any(bool(levels.outside_range(value, *ranges[name]).any()) for name, value in values.items())


def _rises(value: dict[str, FloatArray]) -> bool:
    """Whether a value is higher than the one below it by more than the limit, bad ones included."""
    steps = {name: -np.diff(value[name][np.isfinite(value[name])]) for name in levels.ROLLOVER if name in value}
    return any(bool((step > levels.ROLLOVER[name]).any()) for name, step in steps.items())


def _moved(value: dict[str, FloatArray], level: int) -> dict[str, FloatArray]:
    """The cast with a level moved behind the one after it."""
    order = np.arange(len(value["PRES"]))
    if level + 1 < len(order):
        order[level : level + 2] = order[level : level + 2][::-1]
    return {name: each[order] for name, each in value.items()}


def _inverted(
    one: Casts, value: dict[str, FloatArray], rules: Rules, *, through: bool = False, bridge: bool = True, least: float = levels.INVERSION
) -> bool:
    """Whether a cast has an inversion of at least `least`: through bad values, too, or between adjacent levels only."""
    if not {"PRES", "TEMP", "PSAL"} <= set(value):
        return False
    flags = flag_casts(one, Beside(NOW), rules)
    usable: BoolArray = np.ones(one.levels, np.bool_)
    for name in ("PRES", "TEMP", "PSAL"):
        usable &= np.isfinite(value[name])
        if not through:
            earlier = flags.parameters[name].failed & ~np.int32(RealTimeTest.DENSITY.bit)
            usable &= (flags.parameters[name].flag < BAD) | (earlier == 0)
    where = np.flatnonzero(usable)
    at = np.full(len(where), one.latitude[0]), np.full(len(where), one.longitude[0])
    pressure = value["PRES"][where]
    absolute, conservative = levels.sea_water(pressure, value["TEMP"][where], value["PSAL"][where], *at)
    between = (pressure[:-1] + pressure[1:]) / 2
    fall = gsw.rho(absolute[:-1], conservative[:-1], between) - gsw.rho(absolute[1:], conservative[1:], between)
    adjacent = np.diff(where) == 1
    return bool(((fall >= least) & (fall > 0) & (adjacent | bridge)).any())


def _spiked(value: dict[str, FloatArray]) -> bool:
    """Whether a cast has a spike when nothing is left out but what is missing."""
    found = False
    for name, (shallow, deep) in levels.SPIKE.items():
        if name in value:
            present = np.isfinite(value[name]) & np.isfinite(value["PRES"])
            join = levels.joined(present, np.zeros(len(present), np.int64))
            found |= bool(levels.spikes(value[name], value["PRES"], join, shallow=shallow, deep=deep).any())
    return found


def report(agreements: dict[RealTimeTest, Agreement], disagreements: Sequence[Disagreement]) -> str:
    """Both tables, as Markdown."""
    lines = [
        "| test | casts | failed, data centre | failed, ours | agree, rule of the day | of them R and A | not in the files | rest, as programs do |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for test, each in agreements.items():
        timely = f"{100 * each.share_of_timely:.1f} % of {each.timely}"
        shares = f"{100 * each.share:.1f} % | {timely} | {each.not_held} | {100 * each.share_of_held:.1f} %"
        lines.append(f"| {test.value} {test.name.lower().replace('_', ' ')} | {each.compared} | {each.theirs} | {each.ours} | {shares} |")
    lines += ["", "| cause | disagreements |", "|---|---|"]
    lines += [f"| {cause} | {count} |" for cause, count in Counter(each.cause for each in disagreements).most_common()]
    lines += ["", "| test | file | cast | mode | record | failed, says | cause |", "|---|---|---|---|---|---|---|"]
    for found in disagreements:
        says = "the data centre" if found.theirs else "our test"
        lines.append(f"| {found.test.value} | {found.file} | {found.cast} | {found.mode} | {found.record} | {says} | {found.cause} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m water_pipelines_tests.argo_truth", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "argo", help="a folder with profile files")
    parser.add_argument("--write", type=Path, help="a page with the marks between which the tables go")
    chosen = parser.parse_args(arguments)
    text = report(*compare(read_folder(chosen.data)))
    if chosen.write is None:
        sys.stdout.write(text + "\n")
        return
    page = chosen.write.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    chosen.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
