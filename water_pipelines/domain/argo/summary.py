"""What a set of casts holds, in numbers and in words.

`summarise` gives the numbers from arrays, `to_text` the words of the template, and `to_statistics` what a language model may be given: nothing of it
is a single measurement. Add a number here when a reader asks for it; who writes the words in the end is decided outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from water_pipelines.domain.argo.casts import Casts
from water_pipelines.domain.argo.flags import BAD, INTERPOLATED, MISSING, PROBABLY_BAD, CastFlags, RealTimeTest
from water_pipelines.domain.argo.levels import MEDITERRANEAN, RED_SEA, in_boxes
from water_pipelines.domain.series import FloatArray, TimeArray

_NORTH_ATLANTIC = ((0, 70, -75, -10), (0, 30, -100, -75), (30, 70, -10, 0), (50, 62, 0, 10), (0, 10, -10, 10))
_PACIFIC = ((0, 66, 100, 180), (0, 66, -180, -100), (0, 9, -100, -77))
_REGIONS: tuple[tuple[str, tuple[tuple[float, ...], ...]], ...] = (
    ("Red Sea", RED_SEA),
    ("Mediterranean Sea", MEDITERRANEAN),
    ("Black Sea", ((40.8, 47.5, 27.5, 42),)),
    ("Baltic Sea", ((53, 66, 10, 31),)),
    ("Southern Ocean", ((-90, -50, -180, 180),)),
    ("Arctic Ocean", ((66, 90, -180, 180),)),
    ("Arabian Sea and western Indian Ocean", ((0, 31, 43, 78),)),
    ("Bay of Bengal and eastern Indian Ocean", ((0, 24, 78, 100),)),
    ("South Indian Ocean", ((-50, 0, 20, 116),)),
    ("North Atlantic Ocean", _NORTH_ATLANTIC),
    ("South Atlantic Ocean", ((-50, 0, -70, 20),)),
    ("North Pacific Ocean", _PACIFIC),
    ("South Pacific Ocean", ((-50, 0, 116, 180), (-50, 0, -180, -70))),
)
"""Boxes of south, north, west, east; a position belongs to the first that holds it. They say where one is, not where a sea ends."""

_NOTABLE = 0.05
_FEW = 3


@dataclass(frozen=True)
class ParameterSummary:
    """One parameter: how many casts and values have it, and the shares of values that are probably bad or bad, by us and by the data centres."""

    name: str
    units: str
    casts: int
    values: int
    least_good: float | None
    greatest_good: float | None
    probably_bad_share: float
    bad_share: float
    bad_share_of_data_centre: float


@dataclass(frozen=True)
class Summary:
    """What a set of casts holds.

    Parameters
    ----------
    floats, casts, empty_casts, levels : int
    first_at, last_at : datetime64[us] or None
        Of the casts whose date is possible.
    south, north, west, east : float or None
        Of the possible positions; west is greater than east where the casts lie on both sides of the date line.
    regions : sequence of (name, casts)
        The most frequent first.
    data_centres, modes : sequence of (name, casts)
    deepest_dbar : float or None
        Of the good pressures.
    parameters : sequence of ParameterSummary
    failed : sequence of (test, casts)
        Tests that at least one cast failed, the most frequent first.
    findings : sequence of str
        What a reader should know, as sentences.
    """

    floats: int
    casts: int
    empty_casts: int
    levels: int
    first_at: np.datetime64 | None
    last_at: np.datetime64 | None
    south: float | None
    north: float | None
    west: float | None
    east: float | None
    regions: Sequence[tuple[str, int]]
    data_centres: Sequence[tuple[str, int]]
    modes: Sequence[tuple[str, int]]
    deepest_dbar: float | None
    parameters: Sequence[ParameterSummary]
    failed: Sequence[tuple[str, int]]
    findings: Sequence[str]


def region_names(latitude: FloatArray, longitude: FloatArray) -> np.ndarray[Any, np.dtype[np.str_]]:
    """str[c]: the sea in whose box each position lies; empty where it is missing or in none.

    >>> region_names(np.array([36.0, 36.0, np.nan]), np.array([18.0, -30.0, 0.0])).tolist()
    ['Mediterranean Sea', 'North Atlantic Ocean', '']
    """
    names = np.zeros(len(latitude), f"U{max(len(name) for name, _ in _REGIONS)}")
    for name, boxes in _REGIONS:
        names[(names == "") & in_boxes(latitude, longitude, boxes)] = name
    return names


def summarise(casts: Casts, flags: CastFlags) -> Summary:
    """The numbers of a set of casts and its flags."""
    placed = ~np.isin(flags.position, (BAD, MISSING))
    latitude, longitude = casts.latitude[placed], casts.longitude[placed]
    dated = casts.juld[flags.juld == 1]
    west, east = _span_of_longitude(longitude)
    regions = _counted(region_names(latitude, longitude))
    parameters = [_of_parameter(casts, flags, name) for name in casts.parameters]
    deepest = next((each.greatest_good for each in parameters if each.name == "PRES"), None)
    failed = [(test, int(np.count_nonzero(flags.failed & test.bit))) for test in RealTimeTest]
    frequent = sorted(((test.name.lower(), count) for test, count in failed if count), key=lambda each: -each[1])
    return Summary(
        floats=len(np.unique(casts.platform_number)),
        casts=len(casts),
        empty_casts=int(np.count_nonzero(casts.counts == 0)),
        levels=casts.levels,
        first_at=dated.min() if len(dated) else None,
        last_at=dated.max() if len(dated) else None,
        south=float(latitude.min()) if len(latitude) else None,
        north=float(latitude.max()) if len(latitude) else None,
        west=west,
        east=east,
        regions=regions,
        data_centres=_counted(casts.data_centre),
        modes=_counted(casts.data_mode),
        deepest_dbar=deepest,
        parameters=[each for each in parameters if each.values],
        failed=frequent,
        findings=_findings(casts, flags, dated, parameters),
    )


def to_text(summary: Summary) -> str:
    """The template: a few sentences, then what is notable."""
    if summary.casts == 0:
        return "The dataset holds no casts."
    said = [f"{_number(summary.casts, 'cast')} of {_number(summary.floats, 'float')} with {_number(summary.levels, 'level')}"]
    if summary.regions:
        said.append(f" in the {_listed([name for name, _ in summary.regions[:_FEW]])}")
    if summary.first_at is not None and summary.last_at is not None:
        first, last = str(summary.first_at)[:10], str(summary.last_at)[:10]
        said.append(f", on {first}" if first == last else f", from {first} to {last}")
    said.append(".")
    if summary.south is not None and summary.north is not None and summary.west is not None and summary.east is not None:
        said.append(f" They lie between {_degrees(summary.south, 'NS')} and {_degrees(summary.north, 'NS')}, from {_degrees(summary.west, 'EW')} ")
        said.append(f"{'eastward ' if summary.west > summary.east else ''}to {_degrees(summary.east, 'EW')}")
        said.append(f", down to {summary.deepest_dbar:,.0f} dbar." if summary.deepest_dbar is not None else ".")
    if summary.parameters:
        said.append(f" Measured were {_listed([each.name for each in summary.parameters])}.")
        shares = [f"{_percent(each.bad_share)} of {each.name}" for each in summary.parameters if each.bad_share > 0]
        said.append(f" The real-time tests found bad: {_listed(shares)}." if shares else " The real-time tests found no bad value.")
    said += [f" {finding}" for finding in summary.findings]
    return "".join(said)


def to_statistics(summary: Summary) -> dict[str, Any]:
    """All numbers as JSON knows them: counts, shares, extremes and names, no measurement and no position of a cast."""
    statistics = asdict(summary)
    for name in ("first_at", "last_at"):
        if statistics[name] is not None:
            statistics[name] = str(statistics[name])[:19] + "Z"
    for each in statistics["parameters"]:
        for share in ("probably_bad_share", "bad_share", "bad_share_of_data_centre"):
            each[share] = round(each[share], 4)
    return statistics


def _of_parameter(casts: Casts, flags: CastFlags, name: str) -> ParameterSummary:
    parameter, own = casts.parameters[name], flags.parameters[name]
    present = own.flag != MISSING
    values = int(np.count_nonzero(present))
    good = parameter.raw[present & (own.flag < PROBABLY_BAD)]
    judged = present & (parameter.qc <= MISSING)
    return ParameterSummary(
        name=name,
        units=parameter.units,
        casts=len(np.unique(casts.cast_of_level[present])),
        values=values,
        least_good=float(good.min()) if len(good) else None,
        greatest_good=float(good.max()) if len(good) else None,
        probably_bad_share=int(np.count_nonzero(own.flag == PROBABLY_BAD)) / max(values, 1),
        bad_share=int(np.count_nonzero(own.flag == BAD)) / max(values, 1),
        bad_share_of_data_centre=int(np.count_nonzero(parameter.qc[judged] == BAD)) / max(int(np.count_nonzero(judged)), 1),
    )


def _findings(casts: Casts, flags: CastFlags, dated: TimeArray, parameters: Sequence[ParameterSummary]) -> list[str]:
    findings = []
    for each in parameters:
        if each.values and each.bad_share >= _NOTABLE:
            findings.append(f"{_percent(each.bad_share)} of {each.name} is bad.")
        difference = each.bad_share_of_data_centre - each.bad_share
        if each.values and difference >= _NOTABLE:
            findings.append(
                f"The data centres flag {_percent(each.bad_share_of_data_centre)} of {each.name} as bad, the tests {_percent(each.bad_share)}."
            )
    for test, words in (
        (RealTimeTest.GROSS_SENSOR_DRIFT, "drifted against the cast before"),
        (RealTimeTest.FROZEN_PROFILE, "repeat the cast before"),
        (RealTimeTest.GREY_LIST, "are on the grey list"),
    ):
        failed = (flags.failed & test.bit) != 0
        if failed.any():
            floats = len(np.unique(casts.platform_number[failed]))
            findings.append(f"{_number(int(failed.sum()), 'cast')} of {_number(floats, 'float')} {words}.")
    bad_positions = int(np.count_nonzero(flags.position == BAD))
    if bad_positions:
        findings.append(f"{_number(bad_positions, 'cast')} {'has' if bad_positions == 1 else 'have'} an impossible position.")
    unplaced = int(np.count_nonzero(flags.position == MISSING))
    if unplaced:
        findings.append(f"{_number(unplaced, 'cast')} {'has' if unplaced == 1 else 'have'} no position.")
    interpolated = int(np.count_nonzero(flags.position == INTERPOLATED))
    if interpolated:
        findings.append(f"The position of {_number(interpolated, 'cast')} was interpolated, for instance under ice.")
    undated = len(casts) - len(dated)
    if undated:
        findings.append(f"{_number(undated, 'cast')} {'has' if undated == 1 else 'have'} no possible date.")
    empty = int(np.count_nonzero(casts.counts == 0))
    if empty:
        findings.append(f"{_number(empty, 'cast')} {'is' if empty == 1 else 'are'} empty.")
    return findings


def _span_of_longitude(longitude: FloatArray) -> tuple[float | None, float | None]:
    """The shortest arc that holds all longitudes."""
    if not len(longitude):
        return None, None
    ordered = np.unique(longitude)
    gaps = np.diff(np.append(ordered, ordered[0] + 360))
    widest = int(np.argmax(gaps))
    return float(ordered[(widest + 1) % len(ordered)]), float(ordered[widest])


def _counted(names: np.ndarray[Any, np.dtype[np.str_]]) -> list[tuple[str, int]]:
    found, counts = np.unique(names[names != ""], return_counts=True)
    return sorted(zip(found.tolist(), counts.tolist(), strict=True), key=lambda each: -each[1])


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _listed(words: Sequence[str]) -> str:
    """One, two, or many words as English lists them.

    >>> _listed(["PRES", "TEMP", "PSAL"])
    'PRES, TEMP and PSAL'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _percent(share: float) -> str:
    return "less than 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def _degrees(value: float, names: str) -> str:
    """An angle with its half of the Earth.

    >>> _degrees(-30.5, "EW")
    '30.5 W'
    """
    return f"{abs(value):.1f} {names[0] if value >= 0 else names[1]}"
