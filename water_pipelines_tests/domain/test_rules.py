"""Rules: which limits hold for a series, in which unit, and what a wrong file says."""

import numpy as np
import pytest

from water_pipelines.domain.flags import Test
from water_pipelines.domain.reach import Reach
from water_pipelines.domain.rules import InvalidRules, RuleSet, SeriesRules, default_rules

HOUR = np.timedelta64(3_600_000_000, "us")
RULES = """
any:
  gap: {limit: 2h}
properties:
  water_level:
    also_called: [stage]
    unit: m
    gross_range: {suspect: [0, 10], fail: [-1, 20]}
    spike: {suspect: 1, fail: 3}
    rate_of_change: {suspect: 3.6, fail: 36, per: 1h}
    flat_line: {suspect: 6h, fail: 12h, tolerance: 0.01}
  rainfall:
    unit: mm
    flat_line: {suspect: 20h, except_at: 0}
stations:
  WEIR:
    stage: {unit: m, gross_range: {suspect: [2, 4]}}
series:
  WEIR/water_level: {spike: off, gap: {limit: 30min}}
"""


def level(unit: str | None = "m", station: str = "GAUGE", **more: np.timedelta64) -> SeriesRules:
    return RuleSet.from_yaml(RULES).for_series("water_level", unit, station, f"{station}/water_level", **more)


def test_the_most_specific_section_wins_field_by_field() -> None:
    """The weir has its own suspect span and gap limit and no spike test, and keeps the property's other limits."""
    weir, gauge = level(station="WEIR"), level()
    assert (gauge.suspect_low, gauge.suspect_high, gauge.gap_limit) == (0.0, 10.0, 2 * HOUR)
    assert (weir.suspect_low, weir.suspect_high, weir.gap_limit) == (2.0, 4.0, HOUR // 2)
    assert (weir.fail_low, weir.fail_high, weir.rate_suspect) == (-1.0, 20.0, 0.001)
    assert weir.tests == Test.GROSS_RANGE | Test.RATE_OF_CHANGE | Test.FLAT_LINE | Test.GAP
    assert gauge.tests == weir.tests | Test.SPIKE


@pytest.mark.parametrize("name", ["water_level", "stage", "Water Level", "STAGE"])
def test_a_property_is_found_by_any_of_its_names(name: str) -> None:
    """`also_called` and spelling do not matter."""
    assert RuleSet.from_yaml(RULES).for_series(name, "m", "G", "G/x").fail_high == 20.0


def test_an_unknown_property_keeps_only_what_needs_no_knowledge() -> None:
    """With the default rules a chlorophyll series is judged by gaps and by what no number of a sensor can be."""
    rules = default_rules().for_series("chlorophyll", None, "G", "G/chlorophyll")
    assert rules.tests == Test.GROSS_RANGE | Test.GAP
    assert (rules.fail_low, rules.fail_high) == (-1e30, 1e30)


def test_limits_are_converted_to_the_unit_of_the_series() -> None:
    """20 m are 65.6 ft; differences and rates take the factor alone, durations stay."""
    feet = level("ft")
    assert feet.fail_high == pytest.approx(65.6168, abs=1e-4)
    assert feet.spike_suspect == pytest.approx(3.28084, abs=1e-5)
    assert feet.rate_fail == pytest.approx(0.0328084, abs=1e-7)
    assert feet.flat_tolerance == pytest.approx(0.0328084, abs=1e-7)
    assert feet.flat_fail == 12 * HOUR
    fahrenheit = default_rules().for_series("water_temperature", "degF", "G", "G/water_temperature")
    assert (fahrenheit.suspect_high, fahrenheit.flat_except_at, fahrenheit.spike_suspect) == pytest.approx((113.0, 32.0, 5.4))


@pytest.mark.parametrize("unit", [None, "furlong", "degC"])
def test_limits_in_another_unit_are_not_applied_and_say_so(unit: str | None) -> None:
    """A series without a unit, or in one that does not convert, keeps the gap test alone; the reason names units and tests."""
    rules = level(unit)
    assert rules.tests == Test.GAP
    assert rules.fail_high == np.inf
    not_applied = "not applied: flat_line, gross_range, rate_of_change, spike"
    assert rules.reasons == (f"properties.water_level: limits in 'm' cannot be converted to the series' unit {unit!r}; {not_applied}",)


def test_a_flat_line_without_its_exception_is_not_judged() -> None:
    """Rain in an unknown unit may be 0 for weeks."""
    assert Test.FLAT_LINE not in default_rules().for_series("rainfall", None, "G", "G/rainfall").tests


def test_series_slower_than_the_gap_limit_run_no_tests_of_neighbours() -> None:
    """Daily values under a gap limit of two hours are not all marked as gaps; the reason says why."""
    rules = level(interval=np.timedelta64(1, "D"))
    assert rules.tests == Test.GROSS_RANGE
    assert "exceeds the gap limit" in rules.reasons[0]


def test_a_file_over_the_defaults_changes_only_what_it_says() -> None:
    """A station's file in feet leaves other stations alone, and the version tells the sets apart."""
    over = RuleSet.from_yaml("stations: {WEIR: {stage: {unit: ft, spike: {suspect: 50}}}}", default_rules())
    weir, other = (over.for_series("water_level", "m", name, f"{name}/water_level") for name in ("WEIR", "OTHER"))
    assert weir.spike_suspect == pytest.approx(15.24)
    assert weir.spike_fail == pytest.approx(15.24)  # the default fail level of 3 m gives way to the station's own 50 ft
    assert other == default_rules().for_series("water_level", "m", "OTHER", "OTHER/water_level")
    assert over.version != default_rules().version


def test_the_version_names_the_content() -> None:
    """Order, comments and layout do not change it; a number does."""
    one = RuleSet.from_yaml("any: {gap: {limit: 2h}}\nproperties: {ph: {unit: pH, spike: {suspect: 1, fail: 2}}}")
    same = RuleSet.from_yaml("# the same\nproperties:\n  ph:\n    spike: {fail: 2, suspect: 1}\n    unit: pH\nany:\n  gap: {limit: 2h}\n")
    other = RuleSet.from_yaml("any: {gap: {limit: 2h}}\nproperties: {ph: {unit: pH, spike: {suspect: 1, fail: 3}}}")
    assert one.version == same.version != other.version
    assert len(one.version) == 16
    assert int(one.version, 16) > 0


def test_reach_is_the_largest_window_over_all_rules() -> None:
    """Rain's flat line of 20 h and the gap limit of 2 h look 22 h back; the spike test looks a gap ahead."""
    assert RuleSet.from_yaml(RULES).reach() == Reach(22 * HOUR, 2 * HOUR)
    assert level().reach() == Reach(14 * HOUR, 2 * HOUR)
    assert RuleSet.from_yaml("any: {gap: {limit: 1h}}").reach() == Reach(HOUR, 0 * HOUR)


def test_the_default_rules_reach_no_further_than_a_day() -> None:
    """A touched day can change the flags of its neighbours and of no other day."""
    reach = default_rules().reach()
    assert reach.looks_back < np.timedelta64(1, "D")
    assert reach.looks_ahead < np.timedelta64(1, "D")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("properties: {ph: {spike: {suspect: 1}}}", "properties.ph.unit: missing"),
        ("properties: {ph: {unit: pH, spyke: {suspect: 1}}}", "properties.ph: spyke is not known there; expected flat_line, gap"),
        ("properties: {ph: {unit: pH, spike: {suspect: high}}}", "properties.ph.spike.suspect: expected a number, found 'high'"),
        ("properties: {ph: {unit: pH, spike: {suspect: 3, fail: 2}}}", "properties.ph.spike.suspect: must not be above fail"),
        ("properties: {ph: {unit: pH, gross_range: {fail: [14, 0]}}}", "properties.ph.gross_range.fail: the lowest value 14.0 is above"),
        ("properties: {ph: {unit: pH, gross_range: {fail: [0, 14], suspect: [4, 15]}}}", "properties.ph.gross_range.suspect: the span"),
        ("properties: {ph: {unit: pH, rate_of_change: {suspect: 1}}}", "properties.ph.rate_of_change: expected"),
        ("stations: {W: {ph: {flat_line: {suspect: 3 hours}}}}", "stations.W.ph.flat_line.suspect: expected a duration such as 30s"),
        ("stations: {W: {ph: {gap: off}}}", "stations.W.ph.gap: cannot be switched off"),
        ("series: {W/ph: 3}", "series.W/ph: expected keys and values, found 3"),
        ("stations: {W: {ph: {}}, W: {ph: {}}}", "key written twice: W"),
        ("properties: {a: {also_called: [b]}, b: {}}", "properties.b: the rules of 'a' are written twice"),
        ("limits: {}", "the rules: limits is not known there; expected any, properties, series, stations"),
        ("any: {gap: {limit: ", "not readable YAML"),
    ],
)
def test_a_wrong_file_says_what_is_wrong_and_where(text: str, message: str) -> None:
    """Every refusal names the place in the file and what is expected there."""
    with pytest.raises(InvalidRules) as refused:
        RuleSet.from_yaml(text, default_rules())
    assert message in str(refused.value)


def test_a_file_that_stands_alone_says_what_a_gap_is() -> None:
    """Without a gap limit no test knows its neighbours."""
    with pytest.raises(InvalidRules, match=r"any\.gap\.limit: missing"):
        RuleSet.from_yaml("properties: {ph: {unit: pH, spike: {suspect: 1}}}")
