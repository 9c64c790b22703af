"""Quality tests: what each finds, what it refuses to judge, and that a flag does not depend on the window."""

from dataclasses import replace

import ioos_qc.qartod
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from water_pipelines.domain.flags import BAD, GOOD, MISSING, NOT_EVALUATED, SUSPECT, Test
from water_pipelines.domain.quality import evaluations_by_day, flag_flat_line, flag_observations, flag_rate_of_change, is_neighbour
from water_pipelines.domain.reach import margin
from water_pipelines.domain.rules import RuleSet, SeriesRules, default_rules
from water_pipelines.domain.series import Observations
from water_pipelines_tests.shared_data import shared

MINUTE = np.timedelta64(60_000_000, "us")
NAN = float("nan")
FIVE_TESTS = SeriesRules(
    tests=Test.GROSS_RANGE | Test.SPIKE | Test.RATE_OF_CHANGE | Test.FLAT_LINE | Test.GAP,
    gap_limit=60 * MINUTE,
    fail_low=-10,
    fail_high=10,
    suspect_low=-5,
    suspect_high=5,
    spike_suspect=1,
    spike_fail=3,
    rate_suspect=2 / 900,
    rate_fail=4 / 900,
    flat_suspect=45 * MINUTE,
    flat_fail=90 * MINUTE,
)
RANGE_ONLY = replace(FIVE_TESTS, tests=Test.GROSS_RANGE)


def readings(values: list[float], *, minutes: list[int] | None = None, series: int = 1, start: str = "2024-03-01") -> Observations:
    """One series, every 15 minutes unless the minutes are given."""
    at = np.array(minutes if minutes is not None else np.arange(len(values)) * 15) * MINUTE + np.datetime64(start, "us")
    return Observations(np.full(len(values), series, np.int32), at, np.array(values, dtype=float))


def both(one: Observations, other: Observations) -> Observations:
    return Observations(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in ("series", "time", "value")))


def test_every_failed_test_is_kept() -> None:
    """A jump to 12 leaves the span, is a spike and is too fast; the way back is too fast; nothing is lost by the roll-up."""
    flags = flag_observations(readings([0, 0.1, 12, 0.1, 0]), {1: FIVE_TESTS})
    assert flags.flag.tolist() == [GOOD, BAD, BAD, BAD, GOOD]
    assert flags.failed[2] == Test.GROSS_RANGE | Test.SPIKE | Test.RATE_OF_CHANGE
    assert flags.failed[3] == Test.SPIKE | Test.RATE_OF_CHANGE
    assert flags.failed[1] == Test.SPIKE
    assert not flags.suspect[1:4].any()


def test_suspect_bits_tell_which_tests_found_no_worse() -> None:
    """6 is outside the expected span only (suspect), but a spike of 6 and 6 in 15 minutes (bad)."""
    flags = flag_observations(readings([0, 0, 6, 0, 0]), {1: FIVE_TESTS})
    assert flags.flag[2] == BAD
    assert flags.failed[2] & flags.suspect[2] == Test.GROSS_RANGE
    assert flags.failed[2] & ~flags.suspect[2] == Test.SPIKE | Test.RATE_OF_CHANGE


def test_limits_are_the_last_good_values() -> None:
    """5 is within [-5, 5] and 10 within the sensor's span; just beyond is not."""
    flags = flag_observations(readings([5, np.nextafter(5, 6), 10, np.nextafter(10, 11), 0]), {1: RANGE_ONLY})
    assert flags.flag.tolist() == [GOOD, SUSPECT, SUSPECT, BAD, GOOD]


def test_zero_is_a_value() -> None:
    """Zeros are judged, and found by a span that leaves them out."""
    above_zero = replace(RANGE_ONLY, fail_low=0.5, suspect_low=0.5)
    assert flag_observations(readings([0, 0, 1]), {1: above_zero}).flag.tolist() == [BAD, BAD, GOOD]


def test_missing_values_are_9_and_as_if_absent_to_their_neighbours() -> None:
    """A source that writes NaN is judged like one that leaves the row out, infinities included."""
    written = readings([0, NAN, 2.5, np.inf, 0, 0.1])
    kept = np.isfinite(written.value)
    flags, left_out = flag_observations(written, {1: FIVE_TESTS}), flag_observations(written.take(kept), {1: FIVE_TESTS})
    assert flags.flag[~kept].tolist() == [MISSING, MISSING]
    assert flags.not_run[~kept].tolist() == [31, 31]
    assert not flags.failed[~kept].any()
    for name in ("flag", "failed", "suspect", "not_run"):
        assert getattr(flags, name)[kept].tolist() == getattr(left_out, name).tolist()
    assert flags.failed[2] & Test.SPIKE


def test_the_first_value_has_no_rate_and_the_ends_have_no_spike() -> None:
    """They are good by the tests that were run, and say which were not."""
    flags = flag_observations(readings([0, 0.5, 1, 1.5, 2]), {1: FIVE_TESTS})
    assert flags.flag.tolist() == [GOOD] * 5
    assert [Test(bits) for bits in flags.not_run.tolist()] == [
        Test.SPIKE | Test.RATE_OF_CHANGE | Test.FLAT_LINE,
        Test.FLAT_LINE,
        Test.FLAT_LINE,
        Test(0),
        Test.SPIKE,
    ]


def test_a_value_that_no_test_could_judge_is_not_evaluated() -> None:
    """With tests of neighbours alone, a lonely value is 2; a gap before it says nothing about the value."""
    lonely = replace(FIVE_TESTS, tests=Test.SPIKE | Test.RATE_OF_CHANGE | Test.GAP)
    flags = flag_observations(readings([3]), {1: lonely})
    assert (flags.flag.tolist(), flags.failed.tolist(), flags.not_run.tolist()) == ([NOT_EVALUATED], [Test.GAP], [Test.SPIKE | Test.RATE_OF_CHANGE])


def test_tests_of_neighbours_do_not_reach_over_a_gap() -> None:
    """An hour apart is a neighbour; 61 minutes apart is a gap: recorded at the value after it, which keeps its flag."""
    flags = flag_observations(readings([0, 0.1, 4, 4.1], minutes=[0, 60, 121, 122]), {1: FIVE_TESTS})
    assert [Test.GAP in Test(bits) for bits in flags.failed.tolist()] == [True, False, True, False]
    assert [Test.RATE_OF_CHANGE in Test(bits) for bits in flags.not_run.tolist()] == [True, False, True, False]
    assert [Test.SPIKE in Test(bits) for bits in flags.not_run.tolist()] == [True, True, True, True]
    assert flags.flag.tolist() == [GOOD] * 4


def test_series_do_not_see_each_other() -> None:
    """Two series flagged at once, each by its own rules, are flagged as if alone."""
    one, other = readings([0, 0, 4, 0]), readings([0, 0, 4, 0], series=2)
    rules = {1: FIVE_TESTS, 2: replace(FIVE_TESTS, tests=Test.SPIKE, spike_suspect=9, spike_fail=9)}
    together = flag_observations(both(one, other), rules)
    for where, alone in ((slice(0, 4), one), (slice(4, 8), other)):
        flags = flag_observations(alone, rules)
        for name in ("flag", "failed", "suspect", "not_run"):
            assert getattr(together, name)[where].tolist() == getattr(flags, name).tolist()
    assert together.flag[4:].tolist() == [NOT_EVALUATED, GOOD, GOOD, NOT_EVALUATED]


def test_a_flat_line_is_judged_by_durations_not_by_counts() -> None:
    """Equal values for 45 minutes are suspect and for 90 bad, whatever the interval; before 45 minutes of values the test is not run."""
    at = [0, 20, 44, 45, 50, 90, 100]
    flags = flag_observations(readings([1.5] * 6 + [1.6], minutes=at), {1: FIVE_TESTS})
    assert flags.flag.tolist() == [GOOD, GOOD, GOOD, SUSPECT, SUSPECT, BAD, GOOD]
    assert [Test.FLAT_LINE in Test(bits) for bits in flags.not_run.tolist()] == [True, True, True, False, False, False, False]


def test_a_slow_slope_is_not_flat() -> None:
    """Steps within the tolerance that add up to more are good; wobbling within the tolerance is flat."""
    for values, expected in (([0, 0.06, 0.12, 0.18, 0.24], [2, 2, 2, 1, 1]), ([0, 0.06, 0.1, 0.02, 0], [2, 2, 2, 3, 3])):
        o = readings(values)
        neighbour = is_neighbour(o.series, o.time, 60 * MINUTE)
        assert flag_flat_line(o.value, o.time, neighbour, suspect=45 * MINUTE, fail=200 * MINUTE, tolerance=0.1).tolist() == expected


def test_rain_may_be_zero_for_long() -> None:
    """A flat line at the natural value is good, at any other it is not."""
    rules = {1: replace(FIVE_TESTS, tests=Test.FLAT_LINE, flat_except_at=0.0)}
    assert flag_observations(readings([0] * 10), rules).flag.tolist() == [2, 2, 2] + [GOOD] * 7
    assert flag_observations(readings([0.2] * 10), rules).flag.tolist() == [2, 2, 2, 3, 3, 3, 4, 4, 4, 4]


def test_nothing_gives_nothing() -> None:
    """No observations give no flags and no evaluations."""
    flags = flag_observations(readings([]), {})
    assert (len(flags.flag), len(evaluations_by_day(readings([]), flags, {}).day)) == (0, 0)


def test_tests_run_are_recorded_per_series_and_day() -> None:
    """A lonely value on the second day ran the gross range test and the gap test only; tests that no rule asks for were not run."""
    observations = both(readings([0, 1, 0, NAN, 2, 1], minutes=[0, 15, 30, 45, 60, 1500]), readings([NAN], series=2))
    rules = {1: FIVE_TESTS, 2: RANGE_ONLY}
    found = evaluations_by_day(observations, flag_observations(observations, rules), rules)
    assert found.series.tolist() == [1, 1, 2]
    assert [str(day) for day in found.day] == ["2024-03-01", "2024-03-02", "2024-03-01"]
    assert found.run.tolist() == [31, Test.GROSS_RANGE | Test.GAP, 0]
    assert found.not_run.tolist() == [0, Test.SPIKE | Test.RATE_OF_CHANGE | Test.FLAT_LINE, 31]


VALUES = st.sampled_from([0.0, 0.0, 0.05, 0.1, 1.5, 4.0, 7.0, 12.0, NAN])
GAPS = st.sampled_from([1, 5, 15, 15, 15, 30, 60, 61, 200])


@settings(deadline=None)
@given(
    st.lists(st.tuples(VALUES, GAPS), min_size=1, max_size=80),
    st.lists(st.tuples(VALUES, GAPS), max_size=40),
    st.sampled_from([0.0, 0.1, 2.0]),
)
def test_flags_are_what_the_definitions_say(one: list[tuple[float, int]], other: list[tuple[float, int]], tolerance: float) -> None:
    """On irregular data with gaps and missing values the vectorised tests say what a loop over the definitions says."""
    parts = [readings([v for v, _ in rows], minutes=list(np.cumsum([g for _, g in rows])), series=i) for i, rows in ((1, one), (2, other))]
    rules = {1: replace(FIVE_TESTS, flat_tolerance=tolerance), 2: replace(FIVE_TESTS, flat_tolerance=0.1, spike_suspect=0.2)}
    observations = both(*parts)
    flags = flag_observations(observations, rules)
    expected = [row for number, part in ((1, parts[0]), (2, parts[1])) for row in by_definition(part, rules[number])]
    assert list(zip(flags.flag.tolist(), flags.failed.tolist(), flags.suspect.tolist(), flags.not_run.tolist(), strict=True)) == expected


def by_definition(observations: Observations, rules: SeriesRules) -> list[tuple[int, int, int, int]]:
    """(flag, failed, suspect, not run) of one series, value by value."""
    rows = []
    present = [(t, v) for t, v in zip(observations.time, observations.value, strict=True) if np.isfinite(v)]
    for time, value in zip(observations.time, observations.value, strict=True):
        if not np.isfinite(value):
            rows.append((MISSING, 0, 0, int(rules.tests)))
            continue
        i = present.index((time, value))
        before = present[i - 1] if i and time - present[i - 1][0] <= rules.gap_limit else None
        after = present[i + 1] if i + 1 < len(present) and present[i + 1][0] - time <= rules.gap_limit else None
        chain = [i]
        while chain[0] and present[chain[0]][0] - present[chain[0] - 1][0] <= rules.gap_limit:
            chain.insert(0, chain[0] - 1)

        def still(duration: np.timedelta64, chain: list[int] = chain, now: np.datetime64 = time) -> bool | None:
            reaching = [j for j in chain if present[j][0] <= now - duration]
            window = [present[j][1] for j in chain if reaching and j >= reaching[-1]]
            return max(window) - min(window) <= rules.flat_tolerance if window else None

        seconds = (time - before[0]) / np.timedelta64(1, "s") if before else NAN
        rate = abs(value - before[1]) / seconds if before else NAN
        distance = abs(value - (before[1] + after[1]) / 2) if before and after else NAN
        found = {
            Test.GROSS_RANGE: 4 if abs(value) > rules.fail_high else 3 if abs(value) > rules.suspect_high else 1,
            Test.SPIKE: 2 if np.isnan(distance) else 4 if distance > rules.spike_fail else 3 if distance > rules.spike_suspect else 1,
            Test.RATE_OF_CHANGE: 2 if np.isnan(rate) else 4 if rate > rules.rate_fail else 3 if rate > rules.rate_suspect else 1,
            Test.FLAT_LINE: 4 if still(rules.flat_fail) else {None: 2, True: 3, False: 1}[still(rules.flat_suspect)],
        }
        failed = sum(test for test, flag in found.items() if flag >= 3) + (0 if before else Test.GAP)
        ran = [flag for flag in found.values() if flag != 2]
        suspect, not_run = (sum(t for t, flag in found.items() if flag == code) for code in (3, 2))
        rows.append((max(ran, default=NOT_EVALUATED), int(failed), int(suspect), int(not_run)))
    return rows


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, GAPS), min_size=1, max_size=120), st.integers(0, 3), st.sampled_from([0.0, 0.1]))
def test_flags_do_not_depend_on_where_the_window_was_cut(rows: list[tuple[float, int]], day: int, tolerance: float) -> None:
    """The flags of a day, computed from its margin alone, are those of the whole history."""
    rules = {1: replace(FIVE_TESTS, flat_tolerance=tolerance, flat_fail=300 * MINUTE)}
    history = readings([v for v, _ in rows], minutes=list(np.cumsum([g for _, g in rows])))
    wanted = np.array(["2024-03-01"], "datetime64[D]") + day
    (start, end) = margin(wanted, rules[1].reach())[0]
    window = history.take((history.time >= start) & (history.time < end))
    whole, cut = flag_observations(history, rules), flag_observations(window, rules)
    in_history, in_window = (o.time.astype("datetime64[D]") == wanted[0] for o in (history, window))
    for name in ("flag", "failed", "suspect", "not_run"):
        assert getattr(cut, name)[in_window].tolist() == getattr(whole, name)[in_history].tolist()


def test_blocks_of_many_series_are_flagged_like_each_alone() -> None:
    """Around the size of a block, where limits are gathered for some rows and shared by others, nothing changes."""
    rng = np.random.default_rng(5)
    lengths = [40_000, 10, 20_000, 13_000, 1, 33_000]
    parts = [readings(list(rng.normal(0, 2, n).round(1)), series=i) for i, n in enumerate(lengths)]
    rules = {i: replace(FIVE_TESTS, spike_suspect=1 + i / 10, flat_tolerance=0.05 * i) for i in range(len(parts))}
    together = parts[0]
    for part in parts[1:]:
        together = both(together, part)
    flags = flag_observations(together, rules)
    alone = np.concatenate([flag_observations(part, rules).failed for part in parts])
    assert np.array_equal(flags.failed, alone)


def test_flags_equal_those_of_ioos_qc_on_regular_data() -> None:
    """The same flags as the peer's four tests and roll-up; only the first value's rate and the first flat-line windows are not run here."""
    rng = np.random.default_rng(11)
    value = np.cumsum(rng.normal(0, 0.8, 4000)).round(2) % 11 - 5.5
    for at in rng.integers(0, 3990, 60):
        value[at : at + 9] = value[at] + rng.uniform(0, 0.01, 9)
    o = readings(list(value))
    seconds = [int(limit / np.timedelta64(1, "s")) for limit in (FIVE_TESTS.flat_suspect, FIVE_TESTS.flat_fail)]
    theirs = {
        Test.GROSS_RANGE: ioos_qc.qartod.gross_range_test(value, (-10, 10), (-5, 5)),
        Test.SPIKE: ioos_qc.qartod.spike_test(value, 1, 3),
        Test.RATE_OF_CHANGE: ioos_qc.qartod.rate_of_change_test(value, o.time, 2 / 900, 4 / 900),
        Test.FLAT_LINE: ioos_qc.qartod.flat_line_test(value, o.time, *seconds, tolerance=0.02),
    }
    flags = flag_observations(o, {1: replace(FIVE_TESTS, flat_tolerance=0.02)})
    for test, their_flags in theirs.items():
        ours = np.where(flags.not_run & test, 2, np.where(flags.failed & test, np.where(flags.suspect & test, 3, 4), 1))
        differs = np.flatnonzero(ours != np.asarray(their_flags))
        assert differs.tolist() == {Test.RATE_OF_CHANGE: [0], Test.FLAT_LINE: [0, 1, 2]}.get(test, []), test
    assert np.array_equal(flags.flag, np.asarray(ioos_qc.qartod.qartod_compare(list(theirs.values()))))
    assert [np.count_nonzero(flags.failed & test) > 50 for test in theirs] == [True] * 4


def test_two_series_that_meet_in_one_instant_are_no_rate_of_change() -> None:
    """The last value of a series and the first of the next at the same time, with no limit: neither is judged, and nothing warns."""
    limit = np.array([np.inf, np.inf])
    time = np.array(["2024-03-01", "2024-03-01"], dtype="datetime64[us]")
    flags = flag_rate_of_change(np.array([1.0, 2.0]), time, np.array([False, False]), suspect=limit, fail=limit)
    assert flags.tolist() == [NOT_EVALUATED, NOT_EVALUATED]


STATION_RULES = """
stations:
  BlackSmithFork:
    water_temperature: {unit: degC, gross_range: {fail: [-1, 25]}, flat_line: {suspect: 6h, except_at: -50}}
    conductivity: {unit: uS/cm, gross_range: {fail: [150, 1200]}, spike: {suspect: 20, fail: 40}, flat_line: {suspect: 6h}}
    ph: {unit: pH, gross_range: {fail: [7, 9.5]}}
    dissolved_oxygen: {unit: mg/L, gross_range: {fail: [2, 18]}, flat_line: {suspect: 6h}}
"""


@pytest.mark.parametrize(
    ("column", "observed_property", "unit", "by_default", "by_station_rules"),
    [
        ("temp", "water_temperature", "degC", 0.85, 0.85),
        ("cond", "conductivity", "uS/cm", 0.15, 0.5),
        ("ph", "ph", "pH", 0.9, 0.9),
        ("do", "dissolved_oxygen", "mg/L", 0.3, 0.7),
    ],
)
def test_labelled_faults_of_a_river_are_found(column: str, observed_property: str, unit: str, by_default: float, by_station_rules: float) -> None:
    """Point F1 against the technicians' qualifiers is at least this, above what simple rules reach (0.34, 0.49, 0.63, 0.15)."""
    table = pd.read_csv(shared("labelled_anomalies/AmberSJones+pyhydroqc/LRO_data/BlackSmithFork2015.csv"))
    time = pd.to_datetime(table["datetime"]).to_numpy().astype("datetime64[us]")
    observations = Observations(np.zeros(len(table), np.int32), time, table[column].to_numpy(dtype=float))
    labelled = table[f"{column}_qual"].notna().to_numpy()
    for rules, least in ((default_rules(), by_default), (RuleSet.from_yaml(STATION_RULES, default_rules()), by_station_rules)):
        limits = rules.for_series(observed_property, unit, "BlackSmithFork", f"BlackSmithFork/{observed_property}")
        found = flag_observations(observations, {0: limits}).flag >= SUSPECT
        assert 2 * np.count_nonzero(found & labelled) / (np.count_nonzero(found) + np.count_nonzero(labelled)) >= least
