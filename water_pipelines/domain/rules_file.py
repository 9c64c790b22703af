"""The rules file: YAML in, checked sections out.

The file::

    any:                                  # every series, whatever it measures
      gap: {limit: 3h}
    properties:
      water_level:
        also_called: [stage]
        unit: m                           # the unit the limits are written in, or `any`
        gross_range: {suspect: [-5, 20], fail: [-20, 50]}
        spike: {suspect: 1, fail: 3}
        rate_of_change: {suspect: 4, fail: 20, per: 1h}
        flat_line: {suspect: 12h, fail: 20h, tolerance: 0, except_at: 0}
    stations:
      STATION_123:
        water_level: {unit: ft, gross_range: {suspect: [0, 12]}}
    series:
      STATION_123/water_level: {spike: off}

Every level of a test is optional. The most specific section wins, field by field; `off` switches a test off. Durations are numbers with
s, min, h or d. Add a key here together with its field in `FIELDS` and in `rules.SeriesRules`; which section wins is decided in `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import yaml

from water_pipelines.domain.flags import Test

ANY_UNIT = "any"
"""The unit of limits that hold in all units."""


class InvalidRules(ValueError):
    """A rules file that cannot be used; the message names the key, its place and what is expected there."""


@dataclass(frozen=True)
class Section:
    """The rules written in one place: fields of `rules.SeriesRules` in `unit`, and the tests switched off there."""

    unit: str
    limits: Mapping[str, Any]
    off: Test


@dataclass(frozen=True)
class RuleFile:
    """The sections of one file."""

    any: Section
    properties: Mapping[str, Section]
    stations: Mapping[str, Mapping[str, Section]]
    series: Mapping[str, Section]

    def sections(self) -> Iterator[Section]:
        """All of them, in no particular order."""
        yield self.any
        yield from self.properties.values()
        yield from self.series.values()
        for station in self.stations.values():
            yield from station.values()


@dataclass(frozen=True)
class Field:
    """A field of `rules.SeriesRules`: its test, how it converts between units, and whether setting it asks for the test."""

    test: Test
    converts: Literal["value", "difference", "no"]  # value * factor + offset; value * factor; as it is
    asks_for_test: bool = True


FIELDS = {
    "fail_low": Field(Test.GROSS_RANGE, "value"),
    "fail_high": Field(Test.GROSS_RANGE, "value"),
    "suspect_low": Field(Test.GROSS_RANGE, "value"),
    "suspect_high": Field(Test.GROSS_RANGE, "value"),
    "spike_suspect": Field(Test.SPIKE, "difference"),
    "spike_fail": Field(Test.SPIKE, "difference"),
    "rate_suspect": Field(Test.RATE_OF_CHANGE, "difference"),
    "rate_fail": Field(Test.RATE_OF_CHANGE, "difference"),
    "flat_suspect": Field(Test.FLAT_LINE, "no"),
    "flat_fail": Field(Test.FLAT_LINE, "no"),
    "flat_tolerance": Field(Test.FLAT_LINE, "difference", asks_for_test=False),
    "flat_except_at": Field(Test.FLAT_LINE, "value", asks_for_test=False),
    "gap_limit": Field(Test.GAP, "no"),
}


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys without a word; a station written twice must be an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key written twice: {', '.join(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def read_content(text: str) -> Mapping[str, Any]:
    """The keys and values of a rules file; `InvalidRules` where it is not YAML, or has keys that are not known at the top."""
    try:
        written = yaml.load(text, Loader=_UniqueKeys)  # a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidRules(f"the rules are not readable YAML: {error}") from error
    content = _mapping({} if written is None else written, "the rules")
    _expect_keys(content, {"any", "properties", "stations", "series"}, "the rules")
    return content


def read_file(content: Mapping[str, Any], names: dict[str, str]) -> RuleFile:
    """The sections of a file, checked; the names of its properties are added to `names`."""
    properties = {}
    for called, written in _part(content, "properties").items():
        place = f"properties.{called}"
        section = dict(_mapping(written, place))
        others = section.pop("also_called", [])
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise InvalidRules(f"{place}.also_called: expected a list of names, found {others!r}")
        canonical = canonical_name(called, names)
        for name in (called, *others):
            if names.setdefault(_snake(name), canonical) != canonical:
                raise InvalidRules(f"{place}: the name {name!r} already belongs to {names[_snake(name)]!r}")
        if canonical in properties:
            raise InvalidRules(f"{place}: the rules of {canonical!r} are written twice, under two of its names")
        properties[canonical] = _section(section, place)
    stations = {
        str(station): {
            canonical_name(called, names): _section(written, f"stations.{station}.{called}")
            for called, written in _mapping(sections, f"stations.{station}").items()
        }
        for station, sections in _part(content, "stations").items()
    }
    series = {str(name): _section(written, f"series.{name}") for name, written in _part(content, "series").items()}
    everything = _section({"unit": ANY_UNIT, **_part(content, "any")}, "any")
    return RuleFile(everything, properties, stations, series)


def canonical_name(observed_property: str, names: Mapping[str, str]) -> str:
    """The name under which a property's rules stand."""
    called = _snake(observed_property)
    return names.get(called, called)


def _section(written: object, place: str) -> Section:
    rules = _mapping(written, place)
    _expect_keys(rules, {"unit", *_READERS}, place)
    limits: dict[str, Any] = {}
    off = Test(0)
    for key, (test, reader) in _READERS.items():
        if key not in rules:
            continue
        if rules[key] is False or rules[key] is None:
            if test is Test.GAP:
                raise InvalidRules(f"{place}.gap: cannot be switched off, because its limit says for every test what a neighbour is")
            off |= test
        else:
            limits |= reader(_mapping(rules[key], f"{place}.{key}"), f"{place}.{key}")
    unit = rules.get("unit")
    if unit is not None and not isinstance(unit, str | int):
        raise InvalidRules(f"{place}.unit: expected the name of a unit, found {unit!r}")
    if unit is None and any(FIELDS[name].converts != "no" for name in limits):
        raise InvalidRules(f"{place}.unit: missing; say in which unit the limits are written (or `unit: any` for limits that hold in all units)")
    return Section(ANY_UNIT if unit is None else str(unit), limits, off)


def _gross_range(written: Mapping[str, Any], place: str) -> dict[str, Any]:
    _expect_keys(written, {"suspect", "fail"}, place, at_least_one=True)
    limits: dict[str, float] = {}
    for level in written:
        span = written[level]
        if not isinstance(span, list) or len(span) != 2:
            raise InvalidRules(f"{place}.{level}: expected [lowest, highest], found {span!r}")
        low, high = (_number(limit, f"{place}.{level}") for limit in span)
        if low > high:
            raise InvalidRules(f"{place}.{level}: the lowest value {low} is above the highest {high}")
        limits |= {f"{level}_low": low, f"{level}_high": high}
    if len(written) == 2 and not limits["fail_low"] <= limits["suspect_low"] <= limits["suspect_high"] <= limits["fail_high"]:
        raise InvalidRules(f"{place}.suspect: the span {written['suspect']} must lie within that of fail, {written['fail']}")
    return limits


def _spike(written: Mapping[str, Any], place: str) -> dict[str, Any]:
    _expect_keys(written, {"suspect", "fail"}, place, at_least_one=True)
    limits = {f"spike_{level}": _not_negative(limit, f"{place}.{level}") for level, limit in written.items()}
    return _suspect_first(limits, "spike", place)


def _rate_of_change(written: Mapping[str, Any], place: str) -> dict[str, Any]:
    _expect_keys(written, {"suspect", "fail", "per"}, place)
    if "per" not in written or len(written) < 2:
        raise InvalidRules(f"{place}: expected `suspect` or `fail` and the time it is `per`, for instance {{suspect: 4, per: 1h}}")
    seconds = float(_duration(written["per"], f"{place}.per") / np.timedelta64(1, "s"))
    limits = {f"rate_{level}": _not_negative(written[level], f"{place}.{level}") / seconds for level in ("suspect", "fail") if level in written}
    return _suspect_first(limits, "rate", place)


def _flat_line(written: Mapping[str, Any], place: str) -> dict[str, Any]:
    _expect_keys(written, {"suspect", "fail", "tolerance", "except_at"}, place, at_least_one=True)
    limits: dict[str, Any] = {f"flat_{level}": _duration(written[level], f"{place}.{level}") for level in ("suspect", "fail") if level in written}
    if written.get("tolerance", 0) != 0:  # no tolerance is the default, and 0 is 0 in every unit
        limits["flat_tolerance"] = _not_negative(written["tolerance"], f"{place}.tolerance")
    if "except_at" in written:
        limits["flat_except_at"] = _number(written["except_at"], f"{place}.except_at")
    return _suspect_first(limits, "flat", place)


def _gap(written: Mapping[str, Any], place: str) -> dict[str, Any]:
    _expect_keys(written, {"limit"}, place, at_least_one=True)
    return {"gap_limit": _duration(written["limit"], f"{place}.limit")}


_READERS = {
    "gross_range": (Test.GROSS_RANGE, _gross_range),
    "spike": (Test.SPIKE, _spike),
    "rate_of_change": (Test.RATE_OF_CHANGE, _rate_of_change),
    "flat_line": (Test.FLAT_LINE, _flat_line),
    "gap": (Test.GAP, _gap),
}


def _suspect_first(limits: dict[str, Any], test: str, place: str) -> dict[str, Any]:
    if f"{test}_suspect" in limits and f"{test}_fail" in limits and limits[f"{test}_suspect"] > limits[f"{test}_fail"]:
        raise InvalidRules(f"{place}.suspect: must not be above fail")
    return limits


def _part(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return _mapping({} if content.get(key) is None else content[key], key)


def _mapping(written: object, place: str) -> Mapping[str, Any]:
    if not isinstance(written, Mapping):
        raise InvalidRules(f"{place}: expected keys and values, found {written!r}")
    return written


def _expect_keys(written: Mapping[str, Any], known: set[str], place: str, *, at_least_one: bool = False) -> None:
    unknown = sorted(str(key) for key in written if key not in known)
    if unknown or (at_least_one and not written):
        found = f"{', '.join(unknown)} is not known" if unknown else "nothing is written"
        raise InvalidRules(f"{place}: {found} there; expected {', '.join(sorted(known))}")


def _number(written: object, place: str) -> float:
    if isinstance(written, bool) or not isinstance(written, int | float) or not np.isfinite(written):
        raise InvalidRules(f"{place}: expected a number, found {written!r}")
    return float(written)


def _not_negative(written: object, place: str) -> float:
    number = _number(written, place)
    if number < 0:
        raise InvalidRules(f"{place}: expected a number that is not negative, found {written!r}")
    return number


_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _duration(written: object, place: str) -> np.timedelta64:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*", written) if isinstance(written, str) else None
    duration = round(float(match[1]) * _SECONDS[match[2]] * 1_000_000) if match else 0
    if not 0 < duration <= 366 * 86400 * 1_000_000:
        raise InvalidRules(f"{place}: expected a duration such as 30s, 15min, 3h or 2d (above zero, up to 366d), found {written!r}")
    return np.timedelta64(duration, "us")


def _snake(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(name).strip().lower()).strip("_")
