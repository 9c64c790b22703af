"""Anomalies: observations and expected bands in, segments of unusual behaviour by UTC day out.

Add a kind here when it can be judged from a series and its bands within `ANOMALY_REACH`. What is usual is learned in
`domain/bands.py`; segments are joined to events across midnight where they are read.

A day's segments depend on the bands of its own cut-off and on the observations within `ANOMALY_REACH` of the day, never on more:
computing one day with that margin, many days at once or the whole history gives the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.bands import Bands, daily_shift, joined
from water_pipelines.domain.neighbours import RUN_BREAKS, median_of_five, step_size, unchanging_runs
from water_pipelines.domain.reach import Reach
from water_pipelines.domain.series import BoolArray, FloatArray, Int32Array, Observations, TimeArray, starts_of_runs

OUTSIDE_BAND, MISSING_DATA, STUCK_SENSOR, LEVEL_SHIFT = ("outside_band", "missing_data", "stuck_sensor", "level_shift")
KINDS = (OUTSIDE_BAND, MISSING_DATA, STUCK_SENSOR, LEVEL_SHIFT)
SEVERITIES = ("low", "medium", "high")

ANOMALY_REACH = Reach(np.timedelta64(24, "h"), np.timedelta64(15, "h"))
"""Back: yesterday as a whole, for a shift that lasts and for who was reporting. Ahead: the longest run that tells a stuck sensor."""

_Rows = dict[str, NDArray[np.generic]]
_SECOND = np.timedelta64(1_000_000, "us")
_HOUR = np.timedelta64(3_600_000_000, "us")
_DAY = 24 * _HOUR
_JOINED_WITHIN = 3 * _HOUR  # a fault that flickers is one segment
_STUCK_KNOWN = 12 * _HOUR  # the reach tells a run's length up to here
_SLOW = 6 * _HOUR  # values further apart than this are judged by the day
_MISSING_INTERVALS, _MISSING_LEAST = 2.5, _HOUR
_UNKNOWN_INTERVAL_S = 900.0
_NEVER, _ALWAYS = np.datetime64("-9999-01-01", "us"), np.datetime64("9999-01-01", "us")
_TEXT = "<U12"  # the longest of KINDS
_MEDIUM, _HIGH = 2.0, 4.0


@dataclass(frozen=True)
class Segments:
    """Stretches of unusual behaviour, none across a UTC midnight; sorted by series, start and kind.

    Parameters
    ----------
    series : int32[n]
    day : datetime64[D][n]
        The UTC day that the segment lies in.
    start, end : datetime64[us][n]
        Half-open. A fault over midnight ends one segment and starts the next at 00:00 exactly.
    kind : str[n]
        One of `KINDS`.
    score : float64[n]
        At least 1, and 1 is the limit of the usual: how many times the limit a value or shift is away, and for durations one more
        for each doubling of the limit.
    severity : str[n]
        low (score below 2), medium (below 4), high.
    expected_low, expected_high : float64[n]
        What would have been usual where it was worst, in the series' unit; NaN for missing data.
    observed : float64[n]
        The worst value (outside_band), the value it stuck at, the mean of the day (level_shift); NaN for missing data.
    is_open : bool[n]
        It reaches the end of what is known of its day.
    """

    series: Int32Array
    day: TimeArray
    start: TimeArray
    end: TimeArray
    kind: NDArray[np.str_]
    score: FloatArray
    severity: NDArray[np.str_]
    expected_low: FloatArray
    expected_high: FloatArray
    observed: FloatArray
    is_open: BoolArray

    def __len__(self) -> int:
        return len(self.series)


def find_segments(
    observations: Observations, bands: Callable[[np.datetime64], Bands | None], intervals: Mapping[int, float], days: TimeArray, as_of: np.datetime64
) -> Segments:
    """Find what is unusual on some UTC days.

    Parameters
    ----------
    observations : Observations
        Of the days with the margin of `ANOMALY_REACH`, or more. NaN counts as not there. Flags are not looked at: a value that a
        quality test called bad is unusual all the same.
    bands : callable
        The bands for a UTC day, those of the last cut-off before it (`bands.latest_before`); None where there are none. A series without
        a band is judged for missing data only.
    intervals : mapping of series to seconds
        How often each series is expected to report. A series that is not named, or reports less than once a day, is not judged for
        missing data.
    days : datetime64[D][d]
        The days to judge.
    as_of : datetime64
        How far the clock has come: data cannot be missing after it.

    Returns
    -------
    Segments
        Of the four `KINDS`:

        - outside_band: values outside the seasonal band, further from their neighbours than the series usually is, or after a jump that
          stays and is larger than usual; less than three hours apart is one segment.
        - missing_data: nothing for more than 2.5 intervals and more than an hour; for a series slower than six hours, a whole day without
          a value. A day with nothing after a day with nothing is missing as long as the series is in the bands of that day, that is
          until it has been silent for nine weeks or so; after that it is inactive, not missing.
        - stuck_sensor: one value for longer than the series usually stands still.
        - level_shift: from the second day in a row whose values lie, on the whole, further from the centre than usual: a leak, a drift.
    """
    days = np.unique(days.astype("datetime64[D]"))
    there = np.isfinite(observations.value)
    present = observations if there.all() else observations.take(there)
    points = _Points.judge(present, bands, intervals)
    found = [
        _outside_band(points),
        _stuck_sensor(points),
        _level_shift(points),
        _missing_data(present, bands, intervals, days, as_of.astype("datetime64[us]")),
    ]
    every = {name: np.concatenate([rows[name] for rows in found]) for name in found[0]}
    wanted = np.isin(every["day"], days)
    order = np.lexsort([every[name][wanted] for name in ("kind", "start", "series")])
    every = {name: rows[wanted][order] for name, rows in every.items()}
    severity = np.array(SEVERITIES)[(every["score"] >= _MEDIUM).astype(np.int8) + (every["score"] >= _HIGH)]
    return Segments(**every, severity=severity)


@dataclass(frozen=True)
class _Points:
    """Values with what their bands expect of them; the currency of the kinds. NaN for a value that no band judges."""

    observations: Observations
    day: TimeArray
    width: NDArray[np.timedelta64]
    bands: Bands
    row: NDArray[np.intp]
    low: FloatArray
    centre: FloatArray
    high: FloatArray
    spread: FloatArray

    @classmethod
    def judge(cls, present: Observations, bands: Callable[[np.datetime64], Bands | None], intervals: Mapping[int, float]) -> _Points:
        size, day = len(present), present.time.astype("datetime64[D]")
        starts = starts_of_runs(present.series)
        length, series = np.diff(np.append(starts, size)), present.series[starts]
        width = np.array([round(intervals.get(int(each), _UNKNOWN_INTERVAL_S) * 1e6) for each in series], dtype="timedelta64[us]")
        together, row_of = _together(bands, day, series)
        row = row_of[day.astype(np.int64) - (day.astype(np.int64).min() if size else 0), np.repeat(np.arange(len(series)), length)]
        judged = row >= 0
        expected = np.full((4, size), np.nan)
        if judged.all():
            expected = np.stack(together.limits(row, present.time))
        elif judged.any():
            expected[:, judged] = together.limits(row[judged], present.time[judged])
        return cls(present, day, np.repeat(width, length), together, row, *expected)

    def limit(self, name: str, at: NDArray[np.integer] | slice = slice(None)) -> FloatArray:
        """A limit of the bands (by the name of its array) for the points `at`."""
        row = self.row[at]
        if len(self.bands.series) == 0:
            return np.full(len(row), np.nan)
        return np.where(row >= 0, getattr(self.bands, name)[row], np.nan)

    def rows(self, kind: str, at: NDArray[np.integer], **columns: NDArray[np.generic]) -> _Rows:
        """Segment rows of a kind, of the series and day of the points `at`."""
        return _rows(kind, self.observations.series[at], self.day[at], **columns)

    def starts(self, at: NDArray[np.integer]) -> TimeArray:
        """From when a value stands: its time; its whole day in a slow series."""
        start: TimeArray = np.where(self.width[at] > _SLOW, self.day[at].astype("datetime64[us]"), self.observations.time[at])
        return start

    def ends(self, at: NDArray[np.integer]) -> TimeArray:
        """Until when a value stands: its interval, not beyond its day; the whole day in a slow series."""
        day_end = self.day[at].astype("datetime64[us]") + _DAY
        end: TimeArray = np.where(self.width[at] > _SLOW, day_end, np.minimum(self.observations.time[at] + self.width[at], day_end))
        return end

    def is_last_of_day(self, at: NDArray[np.integer]) -> BoolArray:
        """Whether the series has no later value on the day."""
        series, following = self.observations.series, np.minimum(at + 1, len(self.day) - 1)
        last: BoolArray = (at == following) | (series[at] != series[following]) | (self.day[at] != self.day[following])
        return last


def _together(bands: Callable[[np.datetime64], Bands | None], day: TimeArray, series: Int32Array) -> tuple[Bands, NDArray[np.intp]]:
    """All bands that judge some days as one, and the row in it [days from the first, series]; -1 where there is no band."""
    number = day.astype(np.int64)
    first = int(number.min()) if len(number) else 0
    held = np.bincount(number - first)
    row_of = np.full((len(held), len(series)), -1, dtype=np.intp)
    each_once: dict[int, tuple[Bands, int]] = {}
    size = 0
    for offset in np.flatnonzero(held):
        found = bands(np.datetime64(first + int(offset), "D"))
        if found is None:
            continue
        if id(found) not in each_once:
            each_once[id(found)] = (found, size)
            size += len(found.series)
        row = found.rows(series)
        row_of[offset] = np.where(row >= 0, row + each_once[id(found)][1], -1)
    return joined([found for found, _ in each_once.values()]), row_of


def _outside_band(points: _Points) -> _Rows:
    observations, value = points.observations, points.observations.value
    median, step = median_of_five(observations), step_size(observations)
    spike_limit, step_limit = points.limit("spike"), points.limit("step")
    with np.errstate(invalid="ignore", divide="ignore"):
        above = (value - points.centre) / (points.high - points.centre)
        below = (points.centre - value) / np.maximum(points.centre - points.low, points.spread)
        tests = np.stack([np.maximum(above, below), np.abs(value - median) / spike_limit, np.abs(step) / step_limit])
    tests[np.isnan(tests)] = 0.0
    tests[2, 1:][tests[0, :-1] > 1] = 0.0  # the way back into the band ends a fault, and is none
    score = tests.max(axis=0)
    at = np.flatnonzero(score > 1)
    day, time = points.day[at], observations.time[at]
    new = _begins(observations.series[at])
    new[1:] |= time[1:] - (time[:-1] + points.width[at[:-1]]) > _JOINED_WITHIN
    first = np.flatnonzero(new | _begins(day))
    last = _run_ends(first, len(at))
    goes_on = np.append(~new[first[1:]], np.zeros(min(len(first), 1), dtype=np.bool_))
    worst = at[_first_largest(score[at], first)]
    test = tests[:, worst].argmax(axis=0)
    before = value[worst] - step[worst]
    usual_low = np.stack([points.low[worst], median[worst] - spike_limit[worst], before - step_limit[worst]])
    usual_high = np.stack([points.high[worst], median[worst] + spike_limit[worst], before + step_limit[worst]])
    which = np.arange(len(worst))
    return points.rows(
        OUTSIDE_BAND,
        at[first],
        start=np.where(new[first], points.starts(at[first]), day[first].astype("datetime64[us]")),
        end=np.where(goes_on, day[first].astype("datetime64[us]") + _DAY, points.ends(at[last])),
        score=score[worst],
        expected_low=usual_low[test, which],
        expected_high=usual_high[test, which],
        observed=value[worst],
        is_open=goes_on | points.is_last_of_day(at[last]),
    )


def _stuck_sensor(points: _Points) -> _Rows:
    observations = points.observations
    first, last = unchanging_runs(observations)
    lasts = observations.time[last] - observations.time[first]
    long = lasts >= RUN_BREAKS
    first, last, lasts = first[long], last[long], np.minimum(lasts[long], _STUCK_KNOWN)
    length = last - first + 1
    run = np.repeat(np.arange(len(first)), length)
    at = np.arange(len(run)) + np.repeat(first - (np.cumsum(length) - length), length)
    piece = np.flatnonzero(_begins(run, points.day[at]))
    begin, finish, run = at[piece], at[_run_ends(piece, len(at))], run[piece]
    score = _doublings(lasts[run] / _SECOND, points.limit("stuck_s", begin))
    found = score >= 1
    begin, finish, run, score = begin[found], finish[found], run[found], score[found]
    goes_on = finish < last[run]
    day_start = points.day[begin].astype("datetime64[us]")
    return points.rows(
        STUCK_SENSOR,
        begin,
        start=np.where(begin > first[run], day_start, observations.time[begin]),
        end=np.where(goes_on, day_start + _DAY, points.ends(finish)),
        score=score,
        expected_low=points.low[begin],
        expected_high=points.high[begin],
        observed=observations.value[begin],
        is_open=goes_on | points.is_last_of_day(finish),
    )


def _level_shift(points: _Points) -> _Rows:
    observations, size = points.observations, len(points.observations)
    with np.errstate(invalid="ignore"):
        relative = (observations.value - points.centre) / points.spread
    new = _begins(observations.series, points.day)
    first = np.flatnonzero(new)
    cell = np.cumsum(new) - 1
    count = np.diff(np.append(first, size))
    shift = daily_shift(relative, cell, len(first), points.limit("per_day", first))
    follows = ~_begins(observations.series[first], points.day[first] - np.cumsum(np.ones(len(first), dtype="timedelta64[D]")))
    before = np.where(follows, np.roll(shift, 1), np.nan)
    with np.errstate(invalid="ignore"):
        above = np.minimum(shift, before) / points.limit("shift_high", first)
        below = np.minimum(-shift, -before) / points.limit("shift_low", first)
    score = np.maximum(above, below)
    found = np.flatnonzero(score > 1)
    begin, last = first[found], first[found] + count[found] - 1
    value, centre, spread = (np.bincount(cell, each, len(first))[found] / count[found] for each in (observations.value, points.centre, points.spread))
    return points.rows(
        LEVEL_SHIFT,
        begin,
        start=points.day[begin].astype("datetime64[us]"),
        end=points.ends(last),
        score=score[found],
        expected_low=centre - points.limit("shift_low", begin) * spread,
        expected_high=centre + points.limit("shift_high", begin) * spread,
        observed=value,
        is_open=np.ones(len(found), dtype=np.bool_),
    )


def _missing_data(
    present: Observations, bands: Callable[[np.datetime64], Bands | None], intervals: Mapping[int, float], days: TimeArray, as_of: np.datetime64
) -> _Rows:
    slices = dict(present.spans())
    due = np.array(sorted(series for series, seconds in intervals.items() if seconds <= _DAY / _SECOND), dtype=np.int32)
    _, row_of = _together(bands, days, due)
    in_bands = row_of[days.astype(np.int64) - (days.astype(np.int64).min() if len(days) else 0)] >= 0
    nothing = np.empty(0, dtype="datetime64[us]")
    found = [(np.empty(0, np.int32), days[:0], nothing, nothing, np.empty(0))]
    for number, series in enumerate(due.tolist()):
        time = present.time[slices.get(series, slice(0, 0))]
        day, start, end, allowed = _gaps(time, intervals[series], in_bands[:, number], days, as_of)
        found.append((np.full(len(day), series, dtype=np.int32), days[day], start, end, allowed))
    series_of, day_of, start, end, allowed = (np.concatenate(column) for column in zip(*found, strict=True))
    unknown = np.full(len(start), np.nan)
    return _rows(
        MISSING_DATA,
        series_of,
        day_of,
        start=start,
        end=end,
        score=np.maximum(_doublings((end - start) / _SECOND, allowed), 1.0),
        expected_low=unknown,
        expected_high=unknown,
        observed=unknown,
        is_open=end >= np.minimum(day_of.astype("datetime64[us]") + _DAY, as_of),
    )


def _gaps(
    time: TimeArray, interval_s: float, in_bands: BoolArray, days: TimeArray, as_of: np.datetime64
) -> tuple[NDArray[np.intp], TimeArray, TimeArray, FloatArray]:
    """Day (position in `days`), start, end and seconds allowed of each stretch of a day without the values that were due.

    What lies further away than the reach is taken as not known, although it may be at hand, so that the margin does not matter.
    """
    midnight = days.astype("datetime64[us]")
    padded = np.concatenate(([_NEVER], time, [_ALWAYS]))
    slow = interval_s > _SLOW / _SECOND
    allowed_s = _DAY / _SECOND if slow else max(_MISSING_INTERVALS * interval_s, _MISSING_LEAST / _SECOND)
    before = np.flatnonzero(np.diff(padded) > _micro(allowed_s))
    first = np.searchsorted(midnight + _DAY, padded[before], side="right")
    number = np.searchsorted(midnight, padded[before + 1], side="left") - first
    gap = np.repeat(before, np.maximum(number, 0))
    day = np.arange(len(gap)) - np.repeat(np.cumsum(np.maximum(number, 0)) - np.maximum(number, 0) - first, np.maximum(number, 0))
    opens, closes = midnight[day], midnight[day] + _DAY
    last, following = padded[gap], padded[gap + 1]
    was_heard = last >= opens - ANOMALY_REACH.looks_back
    is_heard = following < closes + ANOMALY_REACH.looks_ahead
    until = np.where(is_heard, following, np.minimum(as_of, closes + ANOMALY_REACH.looks_ahead))
    since = np.where(was_heard, last, opens - ANOMALY_REACH.looks_back)
    if slow:
        start, end = opens, closes
        due = (last < opens) & (following >= closes) & (closes <= as_of)
    else:
        start = np.where(was_heard, np.maximum(last + _micro(interval_s), opens), opens)
        end = np.minimum(np.where(is_heard, following, as_of), closes)
        due = (until - since > _micro(allowed_s)) & (start < end)
    due &= was_heard | in_bands[day]
    return day[due], start[due], end[due], np.full(int(due.sum()), allowed_s)


def _rows(kind: str, series: Int32Array, day: TimeArray, **columns: NDArray[np.generic]) -> _Rows:
    return {"series": series, "day": day, "kind": np.full(len(series), kind, dtype=_TEXT), **columns}


def _doublings(seconds: FloatArray, limit: FloatArray) -> FloatArray:
    """Score of a duration: 1 at its limit, one more for each doubling; NaN where there is no limit."""
    return 1.0 + np.log2(seconds / limit)


def _micro(seconds: float) -> np.timedelta64:
    return np.timedelta64(round(seconds * 1e6), "us")


def _first_largest(values: FloatArray, first: NDArray[np.intp]) -> NDArray[np.intp]:
    """Position of the first largest value in each run that starts at `first`."""
    if len(first) == 0:
        return first
    largest = np.repeat(np.maximum.reduceat(values, first), np.diff(np.append(first, len(values))))
    at = np.flatnonzero(values == largest)
    return at[np.searchsorted(at, first)]


def _begins(*keys: NDArray[np.generic]) -> BoolArray:
    """True where any of the keys differs from the one before, and at the first."""
    new = np.zeros(len(keys[0]), dtype=np.bool_)
    new[:1] = True
    for key in keys:
        new[1:] |= key[1:] != key[:-1]
    return new


def _run_ends(first: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Last position of each run that starts at `first` and ends before the next."""
    return np.append(first, size)[1:] - 1
