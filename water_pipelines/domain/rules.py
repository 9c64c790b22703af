"""Quality rules as data: which limits hold for a series, by observed property, then station, then series.

Add a field here when a test in `quality` needs another number. How rules are written is in `rules_file`, the numbers are in
`default_rules.yaml` and in the files that users drop; what a test does with them is in `quality`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from water_pipelines.domain.flags import Test
from water_pipelines.domain.reach import SAME_DAY, Reach
from water_pipelines.domain.rules_file import ANY_UNIT, FIELDS, InvalidRules, RuleFile, Section, canonical_name, read_content, read_file
from water_pipelines.domain.units import conversion

__all__ = ["NEEDS_NEIGHBOURS", "NEVER", "InvalidRules", "RuleSet", "SeriesRules", "default_rules"]

NEEDS_NEIGHBOURS = Test.SPIKE | Test.RATE_OF_CHANGE | Test.FLAT_LINE | Test.GAP
NEVER = np.timedelta64(200 * 365, "D").astype("timedelta64[us]")
"""A duration that no run of equal values lasts: the limit of a level that is not set."""


@dataclass(frozen=True)
class SeriesRules:
    """The limits of one series, in its own unit. A level that is not set has a limit that nothing exceeds.

    Parameters
    ----------
    tests : Test
        The tests that the rules ask for; the others are not run for this series.
    gap_limit : timedelta64[us]
        Values further apart are no neighbours.
    fail_low, fail_high, suspect_low, suspect_high : float
        Spans of the gross range test; the suspect span lies within the fail span.
    spike_suspect, spike_fail : float
        Largest good distance from the mean of the two neighbours; suspect <= fail.
    rate_suspect, rate_fail : float
        Largest good change per second; suspect <= fail.
    flat_suspect, flat_fail : timedelta64[us]
        Durations of a flat line; suspect <= fail.
    flat_tolerance : float
        Values within this range of each other are flat.
    flat_except_at : float
        A value at which a flat line is natural (no rain, no flow); NaN for none.
    reasons : tuple of str
        Why tests that the rules ask for are not run for this series.
    """

    tests: Test
    gap_limit: np.timedelta64
    fail_low: float = -np.inf
    fail_high: float = np.inf
    suspect_low: float = -np.inf
    suspect_high: float = np.inf
    spike_suspect: float = np.inf
    spike_fail: float = np.inf
    rate_suspect: float = np.inf
    rate_fail: float = np.inf
    flat_suspect: np.timedelta64 = NEVER
    flat_fail: np.timedelta64 = NEVER
    flat_tolerance: float = 0.0
    flat_except_at: float = np.nan
    reasons: tuple[str, ...] = ()

    def reach(self) -> Reach:
        """How far the tests of this series look: neighbours within the gap limit, a flat line over its longest duration and one more gap."""
        reach = SAME_DAY
        if self.tests & NEEDS_NEIGHBOURS:
            reach |= Reach(self.gap_limit, np.timedelta64(0, "us"))
        if Test.SPIKE in self.tests:
            reach |= Reach(self.gap_limit, self.gap_limit)
        if Test.FLAT_LINE in self.tests:
            longest = max(limit for limit in (self.flat_suspect, self.flat_fail) if limit < NEVER)
            reach |= Reach(longest + self.gap_limit, np.timedelta64(0, "us"))
        return reach


_LEVELS = [
    ("suspect_low", "fail_low"),
    ("suspect_high", "fail_high"),
    ("spike_suspect", "spike_fail"),
    ("rate_suspect", "rate_fail"),
    ("flat_suspect", "flat_fail"),
]
_ZERO = np.timedelta64(0, "us")


@dataclass(frozen=True)
class RuleSet:
    """A whole set of rules: one file, or a file over others.

    Parameters
    ----------
    version : str
        16 hexadecimal digits that name the content, whatever the order of keys and the layout of the files.
    files : tuple of RuleFile
        The later win over the earlier, within each of property, station and series.
    names : mapping
        Every name of a property (`stage`) to the one its rules stand under (`water_level`).
    contents : tuple of mapping
        The files as they were read.
    """

    version: str
    files: tuple[RuleFile, ...]
    names: Mapping[str, str]
    contents: tuple[Mapping[str, Any], ...]

    @staticmethod
    def from_yaml(text: str, over: RuleSet | None = None) -> RuleSet:
        """Read a rules file.

        Parameters
        ----------
        text : str
            YAML, as the module's docstring shows it.
        over : RuleSet, optional
            Rules that hold where the file says nothing, usually `default_rules()`. Without it the file stands alone.

        Raises
        ------
        InvalidRules
            Names the key, its place and what is expected.
        """
        content = read_content(text)
        names = dict(over.names) if over else {}
        files = (*(over.files if over else ()), read_file(content, names))
        if not any("gap_limit" in file.any.limits for file in files):
            raise InvalidRules("any.gap.limit: missing; without it no test knows what a neighbour is. Write for instance `any: {gap: {limit: 3h}}`")
        contents = (*(over.contents if over else ()), content)
        canonical = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return RuleSet(hashlib.sha256(canonical.encode()).hexdigest()[:16], files, names, contents)

    def for_series(self, observed_property: str, unit: str | None, station: str, series: str, interval: np.timedelta64 | None = None) -> SeriesRules:
        """The limits that hold for a series, converted to its unit.

        Parameters
        ----------
        observed_property : str
            As provisioned (`water_level`); a property without rules gets those of `any`.
        unit : str or None
            Of the series. Limits in a unit that cannot be converted to it are left out, with the reason.
        station, series : str
            Natural ids.
        interval : timedelta64, optional
            The series' declared interval. Where it exceeds the gap limit no value has a neighbour, and the tests that need one are left out.
        """
        called = canonical_name(observed_property, self.names)
        sections = [
            *((f.any, "any") for f in self.files),
            *((f.properties.get(called), f"properties.{called}") for f in self.files),
            *((f.stations.get(station, {}).get(called), f"stations.{station}.{called}") for f in self.files),
            *((f.series.get(series), f"series.{series}") for f in self.files),
        ]
        limits: dict[str, Any] = {}
        reasons = []
        for section, place in sections:
            if section is not None:
                limits = {name: limit for name, limit in limits.items() if FIELDS[name].test not in section.off}
                converted, reason = _converted(section, unit)
                limits = _laid_over(limits, converted)
                reasons += [f"{place}: {reason}"] if reason else []
        tests = Test(0)
        for name in limits:
            if FIELDS[name].asks_for_test:
                tests |= FIELDS[name].test
        rules = _filled(SeriesRules(tests=tests, **limits))
        if interval is not None and interval > rules.gap_limit:
            reasons.append(f"its interval ({interval}) exceeds the gap limit ({rules.gap_limit}): no value has a neighbour to be compared with")
            rules = replace(rules, tests=rules.tests & ~NEEDS_NEIGHBOURS)
        return replace(rules, reasons=tuple(reasons))

    def reach(self) -> Reach:
        """The largest reach over all rules: what a change of one value can affect, whichever series it belongs to."""
        limits = [limit for file in self.files for section in file.sections() for limit in section.limits.items()]
        gap = max(limit for name, limit in limits if name == "gap_limit")
        flat = max((limit for name, limit in limits if name in ("flat_suspect", "flat_fail")), default=_ZERO)
        has_spike = any(FIELDS[name].test is Test.SPIKE for name, _ in limits)
        return Reach(gap + flat, gap if has_spike else _ZERO)


@cache
def default_rules() -> RuleSet:
    """The rules that the project comes with: wide limits that good data of any station keeps."""
    return RuleSet.from_yaml(resources.files("water_pipelines.domain").joinpath("default_rules.yaml").read_text(encoding="utf-8"))


def _converted(section: Section, unit: str | None) -> tuple[dict[str, Any], str]:
    """The section's limits in the series' unit, and why some are missing."""
    if section.unit == ANY_UNIT:
        return dict(section.limits), ""
    way = conversion(section.unit, unit) if unit is not None else None
    limits = {}
    for name, limit in section.limits.items():
        match FIELDS[name].converts:
            case "value" if way:
                limits[name] = limit * way.factor + way.offset
            case "difference" if way:
                limits[name] = limit * way.factor
            case "no":
                limits[name] = limit
    if {"flat_tolerance", "flat_except_at"} & (section.limits.keys() - limits.keys()):  # a flat line without its exception would judge zeros
        limits = {name: limit for name, limit in limits.items() if FIELDS[name].test is not Test.FLAT_LINE}
    lost = {str(FIELDS[name].test.name).lower() for name in section.limits.keys() - limits.keys()}
    reason = f"limits in {section.unit!r} cannot be converted to the series' unit {unit!r}; not applied: {', '.join(sorted(lost))}"
    return limits, reason if lost else ""


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Field by field; where a suspect level passes the fail level from below, the one that is written above decides for both."""
    limits = {**below, **above}
    for suspect, fail in _LEVELS:
        if suspect in above and fail not in above and fail in limits:
            limits[fail] = (min if suspect == "suspect_low" else max)(limits[suspect], limits[fail])
    return limits


def _filled(rules: SeriesRules) -> SeriesRules:
    """Suspect is reached no later than fail: a level that is not set, or lies beyond fail, takes fail's limit."""
    low, high = max(rules.suspect_low, rules.fail_low), min(rules.suspect_high, rules.fail_high)
    if low > high:
        low, high = rules.fail_low, rules.fail_high
    return replace(
        rules,
        suspect_low=low,
        suspect_high=high,
        spike_suspect=min(rules.spike_suspect, rules.spike_fail),
        rate_suspect=min(rules.rate_suspect, rules.rate_fail),
        flat_suspect=min(rules.flat_suspect, rules.flat_fail),
    )
