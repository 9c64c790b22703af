"""Quality tests after QARTOD, over many series at once: observations and limits in, flags out.

Add a test here as one pure array function that answers with QARTOD flags, give it a bit in `flags.Test`, its limits in `rules`, and a
line in `_flag_block`. Its reach must be part of `SeriesRules.reach`: a flag must not depend on where the window was cut.

What holds for all tests:

- A value that is not finite is missing (9). To its neighbours it is as if the row were absent, so that a source that writes its missing
  values is judged like one that leaves them out.
- Zero is a value.
- Neighbours are the values just before and after of the same series, not further away than the gap limit. A test that needs a neighbour
  which is not there is not run (2) for that value: at the beginning and the end of a series, and beside a gap.
- A limit is the last good value: only what exceeds it is flagged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.flags import ALL_TESTS, BAD, GOOD, MISSING, NOT_EVALUATED, SUSPECT, Test
from water_pipelines.domain.rules import SeriesRules
from water_pipelines.domain.series import BoolArray, FloatArray, Int8Array, Int32Array, Int64Array, Observations, TimeArray, starts_of_runs

Limit = float | FloatArray
"""One limit for all values, or one for each value."""
Duration = np.timedelta64 | NDArray[np.timedelta64]

_BLOCK = 1 << 15  # rows worked on at once: their arrays stay in the processor's cache


@dataclass(frozen=True)
class Flags:
    """What the tests say about each observation, in the order of the observations.

    Parameters
    ----------
    flag : int8[n]
        QARTOD roll-up of the tests that the rules of the series ask for: the worst in the order 9 < 2 < 1 < 3 < 4. So 1 means that a
        test was run and none failed, 2 that none could be run. A gap does not worsen the flag: it says something about the time before the
        value, and nothing about the value.
    failed : int32[n]
        Bits of `Test`: all tests that found the value suspect or bad, and `GAP` where the value follows a gap.
    suspect : int32[n]
        Those of `failed` that found it no worse than suspect.
    not_run : int32[n]
        Tests that the rules ask for and that could not be run for this value.
    """

    flag: Int8Array
    failed: Int32Array
    suspect: Int32Array
    not_run: Int32Array


@dataclass(frozen=True)
class Evaluations:
    """Per series and UTC day with observations: which tests were run, as `core.evaluation` keeps it.

    Parameters
    ----------
    series : int32[k]
    day : datetime64[D][k]
    run, not_run : int32[k]
        Bits of the tests that were run for at least one value of the day, and of all others. A test was run for a single value when it is
        in the day's `run` and not in the value's `not_run`.
    """

    series: Int32Array
    day: TimeArray
    run: Int32Array
    not_run: Int32Array


def flag_observations(observations: Observations, rules: Mapping[int, SeriesRules]) -> Flags:
    """Run the tests that the rules ask for, and roll their flags up.

    Parameters
    ----------
    observations : Observations
        Sorted by series and time. Flags of values within the rules' reach of a cut edge of the window are those of the window, not of
        the history: read a margin (`reach.margin`) and drop it afterwards.
    rules : mapping of int to SeriesRules
        The limits of every series that occurs, in the unit of its values.

    Raises
    ------
    KeyError
        If a series has no rules.
    """
    present = np.isfinite(observations.value)
    if present.all():
        return _flag_values(observations, rules)
    flags = _flag_values(observations.take(present), rules)
    n = len(observations)
    spread = Flags(np.full(n, MISSING, np.int8), np.zeros(n, np.int32), np.zeros(n, np.int32), _tests_asked_for(observations, rules))
    spread.flag[present], spread.failed[present] = flags.flag, flags.failed
    spread.suspect[present], spread.not_run[present] = flags.suspect, flags.not_run
    return spread


def evaluations_by_day(observations: Observations, flags: Flags, rules: Mapping[int, SeriesRules]) -> Evaluations:
    """Which tests were run and which were not, per series and UTC day.

    Parameters
    ----------
    observations, flags
        As given to and answered by `flag_observations`.
    rules : mapping of int to SeriesRules
        The same as there.
    """
    if len(observations) == 0:
        nothing = np.empty(0, np.int32)
        return Evaluations(nothing, np.empty(0, "datetime64[D]"), nothing, nothing)
    day = observations.time.astype("datetime64[D]")
    starts = np.union1d(starts_of_runs(observations.series), starts_of_runs(day))
    run = np.bitwise_or.reduceat(_tests_asked_for(observations, rules) & ~flags.not_run, starts)
    return Evaluations(observations.series[starts], day[starts], run, np.int32(ALL_TESTS) & ~run)


def flag_gross_range(value: FloatArray, *, fail_low: Limit, fail_high: Limit, suspect_low: Limit, suspect_high: Limit) -> Int8Array:
    """Bad outside the sensor's span, suspect outside the expected one (QARTOD test 4).

    Parameters
    ----------
    value : float64[n]
    fail_low, fail_high, suspect_low, suspect_high
        In the unit of the values; the ends of a span are within it. The suspect span lies within the fail span.

    Examples
    --------
    >>> flag_gross_range(np.array([0.0, 4.5, 5.0, 8.0]), fail_low=0, fail_high=5, suspect_low=0, suspect_high=4)
    array([1, 3, 3, 4], dtype=int8)
    """
    return _level((value < suspect_low) | (value > suspect_high), (value < fail_low) | (value > fail_high))


def flag_spike(value: FloatArray, neighbour: BoolArray, *, suspect: Limit, fail: Limit) -> Int8Array:
    """Distance from the mean of the two neighbours (QARTOD test 6, average method); not run without both neighbours.

    Parameters
    ----------
    value : float64[n]
    neighbour : bool[n]
        Whether the row before is a neighbour.
    suspect, fail
        Largest good distances in the unit of the values; suspect <= fail.

    Examples
    --------
    >>> flag_spike(np.array([1.0, 1.0, 7.0, 1.0, 1.0]), np.array([False, True, True, True, True]), suspect=2, fail=4)
    array([2, 3, 4, 3, 2], dtype=int8)
    """
    flags = np.full(len(value), NOT_EVALUATED, np.int8)
    if len(value) > 2:
        distance = np.abs(value[1:-1] - (value[:-2] + value[2:]) / 2)
        judged = _level(distance > _from(suspect, 1, -1), distance > _from(fail, 1, -1))
        flags[1:-1] = np.where(neighbour[1:-1] & neighbour[2:], judged, NOT_EVALUATED)
    return flags


def flag_rate_of_change(value: FloatArray, time: TimeArray, neighbour: BoolArray, *, suspect: Limit, fail: Limit) -> Int8Array:
    """Change since the value before, per second (QARTOD test 7); not run for a value without a predecessor, where `ioos_qc` says good.

    Parameters
    ----------
    value : float64[n]
    time : datetime64[us][n]
    neighbour : bool[n]
        Whether the row before is a neighbour.
    suspect, fail
        Largest good rates in the unit of the values per second; suspect <= fail.

    Examples
    --------
    >>> time = np.array(["2024-01-01T00:00", "2024-01-01T00:01", "2024-01-01T00:02"], dtype="datetime64[us]")
    >>> flag_rate_of_change(np.array([0.0, 6.0, 18.0]), time, np.array([False, True, True]), suspect=0.1, fail=1)
    array([2, 1, 3], dtype=int8)
    """
    flags = np.full(len(value), NOT_EVALUATED, np.int8)
    if len(value) > 1:
        change = np.abs(value[1:] - value[:-1])
        seconds = np.where(neighbour[1:], (time[1:] - time[:-1]).astype(np.int64) / 1e6, 1.0)  # two series may meet in one instant
        judged = _level(change > seconds * _from(suspect, 1), change > seconds * _from(fail, 1))
        flags[1:] = np.where(neighbour[1:], judged, NOT_EVALUATED)
    return flags


def flag_flat_line(
    value: FloatArray,
    time: TimeArray,
    neighbour: BoolArray,
    *,
    suspect: Duration,
    fail: Duration,
    tolerance: Limit = 0.0,
    except_at: Limit = np.nan,
) -> Int8Array:
    """Values that have not moved for a while (QARTOD test 8), by actual durations.

    A value at t is suspect when all values from the last one at or before t - suspect until t lie within `tolerance` of each other
    (range <= tolerance); the same for bad. Where the unbroken stretch of neighbours before t is shorter than `suspect` the test is not
    run, where it is shorter than `fail` only suspect is judged.

    Parameters
    ----------
    value : float64[n]
    time : datetime64[us][n]
        Ascending within a stretch of neighbours.
    neighbour : bool[n]
        Whether the row before is a neighbour.
    suspect, fail
        Durations; suspect <= fail.
    tolerance
        In the unit of the values. Unlike in `ioos_qc`, 0 finds equal values.
    except_at
        A value that may stay as long as it likes, such as 0 for rain; NaN for none.

    Examples
    --------
    >>> time = np.array(["2024-01-01T00", "2024-01-01T01", "2024-01-01T02", "2024-01-01T03"], dtype="datetime64[us]")
    >>> limits = {"suspect": np.timedelta64(1, "h"), "fail": np.timedelta64(2, "h")}
    >>> flag_flat_line(np.array([5.0, 5.0, 5.0, 6.0]), time, np.array([False, True, True, True]), **limits)
    array([2, 3, 4, 1], dtype=int8)
    """
    n = len(value)
    if n == 0:
        return np.empty(0, np.int8)
    firsts = np.flatnonzero(~neighbour)
    judged_from = np.repeat(time[firsts], np.diff(np.append(firsts, n))) + suspect
    flags = np.where(time >= judged_from, np.int8(GOOD), np.int8(NOT_EVALUATED))
    still = np.zeros(n, np.bool_)
    still[1:] = neighbour[1:] & (np.abs(value[1:] - value[:-1]) <= _from(tolerance, 1))
    starts = np.flatnonzero(~still)
    ends = np.append(starts[1:], n) - 1
    many = ends > starts
    starts, ends = starts[many], ends[many]
    lasting = time[ends] - time[starts] >= np.broadcast_to(np.asarray(suspect, "timedelta64[us]"), (n,))[ends]
    starts, lengths = starts[lasting], ends[lasting] - starts[lasting] + 1
    rows = np.repeat(starts, lengths) + np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    since = time[rows] - time[np.repeat(starts, lengths)]
    tolerances = np.broadcast_to(tolerance, (n,))[rows]
    for level, duration in ((SUSPECT, suspect), (BAD, fail)):
        durations = np.broadcast_to(np.asarray(duration, "timedelta64[us]"), (n,))[rows]
        flat = since >= durations
        slow = flat & (tolerances > 0)  # steps within the tolerance may still add up to a slope
        if slow.any():
            last = np.flatnonzero(slow)
            flat[last] = _ranges(value[rows], _first_of_windows(since, lengths, durations, last), last) <= tolerances[last]
        flags[rows[flat]] = level
    if not np.all(np.isnan(except_at)):
        flags[(flags >= SUSPECT) & (value == except_at)] = GOOD
    return flags


def is_neighbour(series: Int32Array, time: TimeArray, gap_limit: Duration) -> BoolArray:
    """Whether the row before belongs to the same series and lies no further back than the gap limit (QARTOD test 1, per value).

    A value that follows a gap is one without such a row. The first value of a series is one too: within the reach of the test it cannot
    be told from a value after a long silence, and the answer must not depend on where the window was cut.

    Parameters
    ----------
    series : int32[n]
    time : datetime64[us][n]
        Ascending within a series.
    gap_limit
        Longest good distance in time.

    Examples
    --------
    >>> time = np.array(["2024-01-01T00", "2024-01-01T01", "2024-01-01T05", "2024-01-01T06"], dtype="datetime64[us]")
    >>> is_neighbour(np.array([1, 1, 1, 2], np.int32), time, np.timedelta64(3, "h"))
    array([False,  True, False, False])
    """
    neighbour = np.zeros(len(series), np.bool_)
    np.less_equal(time[1:] - time[:-1], _from(gap_limit, 1), out=neighbour[1:])
    neighbour[1:] &= series[1:] == series[:-1]
    return neighbour


def _flag_values(observations: Observations, rules: Mapping[int, SeriesRules]) -> Flags:
    n = len(observations)
    flags = Flags(np.empty(n, np.int8), np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32))
    for where in _blocks(observations.series):
        block = _flag_block(observations.take(where), rules)
        flags.flag[where], flags.failed[where], flags.suspect[where], flags.not_run[where] = block.flag, block.failed, block.suspect, block.not_run
    return flags


def _blocks(series: Int32Array) -> Iterator[slice]:
    """Whole series, so many that a block has about `_BLOCK` rows."""
    starts = starts_of_runs(series)
    if len(starts) == 0:
        return
    begins = starts[starts_of_runs(starts // _BLOCK)]
    for begin, end in zip(begins, np.append(begins[1:], len(series)), strict=True):
        yield slice(int(begin), int(end))


def _flag_block(observations: Observations, rules: Mapping[int, SeriesRules]) -> Flags:
    series, time, value = observations.series, observations.time, observations.value
    limits = _Limits(series, rules)
    neighbour = is_neighbour(series, time, limits.of("gap_limit"))
    roll_up = _RollUp(len(value), np.asarray(limits.of("tests"), np.int32))
    if limits.ask_for(Test.GROSS_RANGE):
        spans = {name: limits.of(name) for name in ("fail_low", "fail_high", "suspect_low", "suspect_high")}
        roll_up.add(Test.GROSS_RANGE, flag_gross_range(value, **spans))
    if limits.ask_for(Test.SPIKE):
        roll_up.add(Test.SPIKE, flag_spike(value, neighbour, suspect=limits.of("spike_suspect"), fail=limits.of("spike_fail")))
    if limits.ask_for(Test.RATE_OF_CHANGE):
        rates = {"suspect": limits.of("rate_suspect"), "fail": limits.of("rate_fail")}
        roll_up.add(Test.RATE_OF_CHANGE, flag_rate_of_change(value, time, neighbour, **rates))
    if limits.ask_for(Test.FLAT_LINE):
        durations = {"suspect": limits.of("flat_suspect"), "fail": limits.of("flat_fail")}
        exceptions = {"tolerance": limits.of("flat_tolerance"), "except_at": limits.of("flat_except_at")}
        roll_up.add(Test.FLAT_LINE, flag_flat_line(value, time, neighbour, **durations, **exceptions))
    return roll_up.flags(~neighbour)


class _Limits:
    """The limits of the rows of a block: one where it is the same for all of them, else gathered for each row."""

    def __init__(self, series: Int32Array, rules: Mapping[int, SeriesRules]) -> None:
        starts = starts_of_runs(series)
        self._rules = [rules[int(number)] for number in series[starts]]
        self._rows = np.diff(np.append(starts, len(series)))

    def ask_for(self, test: Test) -> bool:
        return any(test in rules.tests for rules in self._rules)

    def of(self, name: str) -> Any:
        limits = [getattr(rules, name) for rules in self._rules]
        if limits.count(limits[0]) == len(limits):
            return limits[0]
        return np.repeat(np.array(limits), self._rows)


class _RollUp:
    """The worst flag so far, and the bits of the tests."""

    def __init__(self, n: int, asked: Int32Array) -> None:
        """`asked`: bits of the tests that the rules ask for, one for all rows or one each."""
        self.asked = asked
        self.worst = np.full(n, GOOD, np.int8)
        self.failed, self.suspect, self.run = np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int32)

    def add(self, test: Test, flags: Int8Array) -> None:
        if self.asked.ndim:  # a test that only other series of the block ask for
            flags = np.where(self.asked & test, flags, np.int8(NOT_EVALUATED))
        np.maximum(self.worst, flags, out=self.worst)
        self.run |= _bits(flags != NOT_EVALUATED, test)
        found = flags >= SUSPECT
        if found.any():
            self.failed |= _bits(found, test)
            self.suspect |= _bits(flags == SUSPECT, test)

    def flags(self, after_gap: BoolArray) -> Flags:
        flag = np.where(self.worst >= SUSPECT, self.worst, np.where(self.run != 0, np.int8(GOOD), np.int8(NOT_EVALUATED)))
        gap = self.asked & np.int32(Test.GAP)
        return Flags(flag, self.failed | np.where(after_gap, gap, np.int32(0)), self.suspect, self.asked & ~(self.run | gap))


def _bits(where: BoolArray, test: Test) -> Int32Array:
    return where.astype(np.int32) * np.int32(test)


def _tests_asked_for(observations: Observations, rules: Mapping[int, SeriesRules]) -> Int32Array:
    if len(observations) == 0:
        return np.empty(0, np.int32)
    return np.broadcast_to(np.asarray(_Limits(observations.series, rules).of("tests"), np.int32), (len(observations),)).copy()


def _level(suspect: BoolArray, fail: BoolArray) -> Int8Array:
    """1, 3 or 4; what fails is suspect too."""
    return np.int8(GOOD) + suspect.view(np.int8) * np.int8(SUSPECT - GOOD) + fail.view(np.int8) * np.int8(BAD - SUSPECT)


def _from(limit: Any, begin: int, end: int | None = None) -> Any:
    """A limit for the rows from `begin` to `end`."""
    return limit[begin:end] if np.ndim(limit) else limit


def _first_of_windows(since: NDArray[np.timedelta64], lengths: Int64Array, durations: NDArray[np.timedelta64], last: NDArray[np.intp]) -> Int64Array:
    """Position of the last row at or before `duration` ahead of each row in `last`, within runs laid end to end.

    `since` is the time since the start of the row's run, and at least the duration for the rows in `last`; so one ascending clock, on
    which each run begins after the one before it, finds all of them at once.
    """
    elapsed = since.astype(np.int64)
    run_ends = np.cumsum(lengths) - 1
    begins = np.cumsum(elapsed[run_ends] + 1) - elapsed[run_ends] - 1
    clock = elapsed + np.repeat(begins, lengths)
    return np.searchsorted(clock, clock[last] - durations[last].astype(np.int64), side="right") - 1


def _ranges(value: FloatArray, first: Int64Array, last: Int64Array) -> FloatArray:
    """Largest minus smallest value from `first` to `last`, both included: two overlapping windows of a power of two cover each range."""
    exponent = np.frexp(last - first + 1)[1] - 1
    found = np.empty(len(first))
    high = low = value
    for power in range(int(exponent.max()) + 1):
        width = 1 << power
        here = exponent == power
        left, right = first[here], last[here] - width + 1
        found[here] = np.maximum(high[left], high[right]) - np.minimum(low[left], low[right])
        high, low = np.maximum(high[:-width], high[width:]), np.minimum(low[:-width], low[width:])
    return found
