"""Expected bands: what a series usually does at this hour on this kind of day, and how far it strays from that.

Fitted for all series at once at a weekly cut-off, from good values before it. Add here what is learned from the past of a
series to judge its next week. What to conclude from a value outside its band belongs to `domain/anomalies.py`.

A band is a seasonal profile (local hour x workday, Saturday, Sunday; medians) on a level that follows the series as fast as paid
off in its own past. Its limits are not a number of standard deviations: every limit is the largest weekly extreme of eight weeks that were
each predicted from the days before them, but at most twice the second largest, times a margin. An order statistic of weekly extremes holds
its rate of false alarms whatever the distribution, for a flashy river as for a smooth tank, and one bad week does not widen it much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.cutoffs import WEEK, last_cutoff
from water_pipelines.domain.known import mean_of_known, median_of_known
from water_pipelines.domain.neighbours import median_of_five, step_size, unchanging_runs
from water_pipelines.domain.npz import from_npz, to_npz
from water_pipelines.domain.series import BoolArray, FloatArray, Int32Array, Int64Array, Observations, TimeArray
from water_pipelines.domain.zones import Zones, local_clock, zone_names

WINDOW = np.timedelta64(84, "D").astype("timedelta64[us]")
"""How far back from its cut-off a band looks."""

STUCK_LEAST = np.timedelta64(3, "h").astype("timedelta64[us]")
STUCK_MOST = np.timedelta64(12, "h").astype("timedelta64[us]")
"""A series that may stand still for longer than the most is not judged to be stuck."""

_WEEKS = 8  # calibrating weeks, the last of the window; those before them start the level
_DAYS = 84 + 2  # local days that the window touches
_LEVEL_DAYS = (28, 7, 3)  # slowest first
_FASTER_MUST_GAIN = 0.8  # share of the error: a fast level swallows the leak that it should show
_LEAST_DAYS = 21
_LEAST_DAYS_OF_A_WEEK = 3
_BAND_MARGIN, _BAND_LEAST = 2.6, 4.0
_SHIFT_MARGIN, _SHIFT_LEAST = 2.4, 0.8
_BESIDE_MARGIN, _BESIDE_LEAST = 2.4, 0.5
_HEAVY = 2.0
_STUCK_MARGIN, _STUCK_VALUES = 3.0, 8
_FEW_WEEKS_MARGIN = 1.3  # below five calibrating weeks, where there is no second largest to trust
_ROOT_MEAN = 0.822  # E sqrt|x| of a standard normal: (E sqrt|x| / 0.822)^2 is a spread that outliers hardly move
_FEW_MOVES = 20
_CLIP = 4.0  # one wild value must not make a day's mean
_SHARE_OF_A_DAY = 0.75
_DAY = np.timedelta64(86_400_000_000, "us")


@dataclass(frozen=True)
class Bands:
    """What is expected of each series in the week after a cut-off.

    Only series with enough data are in it. All arrays are aligned with `series`.

    Parameters
    ----------
    cutoff : datetime64[us]
        Monday 00:00 UTC; nothing at or after it was used.
    series : int32[s]
        Ascending.
    zone : str[s]
        IANA zone whose clock the profile follows.
    centre : float64[s, 3, 24]
        Expected value by kind of day (workday, Saturday, Sunday) and local hour, in the series' unit.
    spread : float64[s, 24]
        Robust standard deviation around it by local hour, > 0.
    count : int32[s, 3, 24]
        How many hours with values each bin rests on; 0 where it was filled from other bins.
    low, high : float64[s]
        Limits of the band in units of `spread`, > 0.
    floor : float64[s]
        The band does not go below it: 0 where no value was negative, else -inf.
    spike : float64[s]
        Largest usual distance of a value from the median of itself and four neighbours, in the series' unit; NaN: not judged.
    step : float64[s]
        Largest usual jump that stays, in the series' unit; NaN: not judged.
    shift_low, shift_high : float64[s]
        Largest usual mean distance of two days in a row from the centre, in units of `spread`.
    stuck_s : float64[s]
        Seconds of one unchanging value that are unusual; NaN: not judged, for the series often stands still.
    per_day : float64[s]
        Typical number of values a day.
    within_hour_s : float64[s]
        Mean second of the hour of its values: where in the hour the bins are centred.
    """

    cutoff: np.datetime64
    series: Int32Array
    zone: NDArray[np.str_]
    centre: FloatArray
    spread: FloatArray
    count: Int32Array
    low: FloatArray
    high: FloatArray
    floor: FloatArray
    spike: FloatArray
    step: FloatArray
    shift_low: FloatArray
    shift_high: FloatArray
    stuck_s: FloatArray
    per_day: FloatArray
    within_hour_s: FloatArray

    def expected(self, series: Int32Array, time: TimeArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Low, centre and high of the band at each (series, time), in the series' unit; NaN for a series without a band.

        Parameters
        ----------
        series : int32[n]
        time : datetime64[us][n]
            UTC.
        """
        row = self.rows(series)
        has = row >= 0
        low, centre, high = (np.full(len(series), np.nan) for _ in range(3))
        low[has], centre[has], high[has], _ = self.limits(row[has], time[has])
        return low, centre, high

    def rows(self, series: Int32Array) -> NDArray[np.intp]:
        """The row of each series in the arrays, -1 where it has no band."""
        if len(self.series) == 0:
            return np.full(len(series), -1, dtype=np.intp)
        row = np.minimum(np.searchsorted(self.series, series), len(self.series) - 1)
        return np.where(self.series[row] == series, row, -1)

    def limits(self, row: NDArray[np.intp], time: TimeArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Low, centre, high and spread for rows of these arrays at UTC times."""
        clock = local_clock(time, row, self.zone)
        before, after, weight = _between_bins(clock.second, self.within_hour_s[row])
        centre = _interpolated(self.centre, (row * 3 + _kind_of_day(clock.day)) * 24, before, after, weight)
        spread = _interpolated(self.spread, row * 24, before, after, weight)
        return (np.maximum(centre - self.low[row] * spread, self.floor[row]), centre, centre + self.high[row] * spread, spread)

    def to_bytes(self) -> bytes:
        """An ``.npz`` without pickle; the same bands give the same bytes."""
        return to_npz({field.name: np.asarray(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Bands:
        """The bands that `to_bytes` wrote; ValueError when the bytes are something else."""
        arrays = from_npz(data)
        wrong = set(arrays) ^ {field.name for field in fields(cls)}
        if wrong:
            raise ValueError(f"these arrays are no bands ({', '.join(sorted(wrong))}): fit the bands again from their cut-off")
        return cls(**{**arrays, "cutoff": arrays["cutoff"][()]})  # type: ignore[arg-type]


def latest_before(bands: Iterable[Bands]) -> Callable[[np.datetime64], Bands | None]:
    """Look up, for a UTC day, the bands of its cut-off: the last Monday 00:00 at or before the day; None where there are none."""
    by_cutoff = {each.cutoff.astype("datetime64[us]"): each for each in bands}
    return lambda day: by_cutoff.get(last_cutoff(day))


def joined(bands: Sequence[Bands]) -> Bands:
    """Several bands as one with their rows below each other, for looking up by row (`Bands.limits`); NaT for its cut-off."""
    if not bands:
        return fit_bands(Observations(np.empty(0, np.int32), np.empty(0, "datetime64[us]"), np.empty(0)), np.datetime64("1970-01-05"))
    rows = {field.name: np.concatenate([getattr(each, field.name) for each in bands]) for field in fields(Bands)[1:]}
    return Bands(np.datetime64("NaT", "us"), **rows)


def fit_bands(observations: Observations, cutoff: np.datetime64, zones: Zones | None = None) -> Bands:
    """Learn the bands of all series from the twelve weeks before a cut-off.

    Parameters
    ----------
    observations : Observations
        May hold more than the window. Values flagged 1 (good) or 2 (nothing speaks against them) are used, all when there are no flags.
    cutoff : datetime64
        Monday 00:00 UTC; only values strictly before it count.
    zones : mapping of series to IANA zone, optional
        Whose clock a series follows; UTC where it is not named.

    Returns
    -------
    Bands
        Without the series that have fewer than three weeks of days, fewer than two weeks to calibrate on, or no variation at all.

    Notes
    -----
    The spread of an hour is ``(mean(sqrt|e|) / 0.822)**2`` of the errors e of week-ahead predictions: as a standard deviation for
    normal errors, but a day of wild values moves it little.
    """
    cutoff = cutoff.astype("datetime64[us]")
    past = observations.take(usable(observations) & (observations.time >= cutoff - WINDOW) & (observations.time < cutoff))
    series, row = np.unique(past.series, return_inverse=True)
    size = len(series)
    zone = zone_names(series, zones)
    clock = local_clock(past.time, row, zone)
    week = (past.time - cutoff) // WEEK.astype("timedelta64[us]") + _WEEKS

    first_day = int(cutoff.astype("datetime64[D]").astype(np.int64)) - _DAYS + 1
    hour = clock.second // 3600
    cell = (row * _DAYS + clock.day - first_day) * 24 + hour
    in_hour = np.bincount(cell, minlength=size * _DAYS * 24).reshape(size, _DAYS, 24)
    with np.errstate(invalid="ignore"):
        hourly = np.bincount(cell, past.value, size * _DAYS * 24).reshape(size, _DAYS, 24) / in_hour
    kind = _kind_of_day(np.arange(first_day, first_day + _DAYS))
    profile, count = _profile(hourly, kind)
    daily = _full_days(hourly - profile[:, kind])
    level = _levels(daily)

    within_hour_s = np.bincount(row, clock.second % 3600, size) / np.bincount(row, minlength=size)
    before, after, weight = _between_bins(clock.second, within_hour_s[row])
    centre = _interpolated(profile, (row * 3 + _kind_of_day(clock.day)) * 24, before, after, weight) + level[row, np.maximum(week, 0)]
    error = np.where(week >= 0, past.value - centre, np.nan)
    spread = _spread(error, row * 24 + hour, size)
    with np.errstate(invalid="ignore", divide="ignore"):  # a series that never moved has no spread, and no band
        relative = error / _interpolated(spread, row * 24, before, after, weight)

    per_day = median_of_known(np.where(in_hour.any(axis=2), in_hour.sum(axis=2), np.nan))
    full = _full_weeks(row, week, size)
    low = _limit(_weekly_largest(-relative, row, week, full), _BAND_MARGIN)
    high = _limit(_weekly_largest(relative, row, week, full), _BAND_MARGIN)
    shift_low, shift_high = _shift_limits(relative, row, (past.time - cutoff) // _DAY, per_day)
    lowest = np.full(size, np.inf)
    np.minimum.at(lowest, row, past.value)
    least_beside = _BESIDE_LEAST * spread.mean(axis=1)
    bands = {
        "series": series.astype(np.int32),
        "zone": zone,
        "centre": profile + level[:, -1, None, None],
        "spread": spread,
        "count": count.astype(np.int32),
        "low": np.maximum(low, _BAND_LEAST),
        "high": np.maximum(high, _BAND_LEAST),
        "floor": np.where(lowest >= 0, 0.0, -np.inf),
        "spike": np.maximum(_limit(_weekly_largest(np.abs(past.value - median_of_five(past)), row, week, full), _BESIDE_MARGIN), least_beside),
        "step": np.maximum(_limit(_weekly_largest(np.abs(step_size(past)), row, week, full), _BESIDE_MARGIN), least_beside),
        "shift_low": shift_low,
        "shift_high": shift_high,
        "stuck_s": _stuck_limit(past, row, week, full, per_day),
        "per_day": per_day,
        "within_hour_s": within_hour_s,
    }
    enough = (np.isfinite(daily).sum(axis=1) >= _LEAST_DAYS) & np.isfinite(level[:, -1] + low + high) & (spread.min(axis=1) > 0)
    return Bands(cutoff, **{name: array[enough] for name, array in bands.items()})


def usable(observations: Observations) -> BoolArray:
    """Values to learn from: there, and flagged 1 or 2 (or not flagged at all)."""
    there = np.isfinite(observations.value)
    return there if observations.flag is None else there & (observations.flag <= 2)


def daily_shift(relative: FloatArray, cell: NDArray[np.integer], size: int, per_day: FloatArray) -> FloatArray:
    """Mean distance from the centre in each cell, in spreads; NaN where a cell holds less than three quarters of a usual day.

    Parameters
    ----------
    relative : float64[n]
        Distances in spreads; NaN is not counted. A single one counts for four at most.
    cell : int[n]
        Which of `size` cells (a series and a day) each belongs to.
    per_day : float64[size]
        How many values a usual day holds.
    """
    there = np.isfinite(relative)
    number = np.bincount(cell[there], minlength=size)
    total = np.bincount(cell[there], np.clip(relative[there], -_CLIP, _CLIP), size)
    full = (number > 0) & (number >= _SHARE_OF_A_DAY * per_day)
    return np.where(full, total / np.maximum(number, 1), np.nan)


def _kind_of_day(day: Int64Array) -> Int64Array:
    """0 workday, 1 Saturday, 2 Sunday, for days since 1970-01-01 (a Thursday)."""
    return np.maximum((day + 3) % 7 - 4, 0)


def _between_bins(second: Int64Array, within_hour_s: FloatArray) -> tuple[Int64Array, Int64Array, FloatArray]:
    """The hours on both sides of a second of the day, and the weight of the later one; bins are centred where the values are."""
    hours = (second - within_hour_s) * (1 / 3600)
    below = np.floor(hours)
    before = below.astype(np.int64)
    return (np.where(before < 0, 23, before), np.where(before == 23, 0, before + 1), hours - below)


def _interpolated(table: FloatArray, start: NDArray[np.integer], before: Int64Array, after: Int64Array, weight: FloatArray) -> FloatArray:
    bins = table.reshape(-1)
    first = bins[start + before]
    between: FloatArray = first + weight * (bins[start + after] - first)
    return between


def _full_days(hourly: FloatArray) -> FloatArray:
    """The median hour of each day [s, days]; NaN for a day with less than three quarters of the series' usual hours."""
    hours = np.isfinite(hourly).sum(axis=2)
    usual = median_of_known(np.where(hours > 0, hours, np.nan))
    return np.where(hours >= _SHARE_OF_A_DAY * usual[:, None], median_of_known(hourly), np.nan)


def _profile(hourly: FloatArray, kind: Int64Array) -> tuple[FloatArray, Int64Array]:
    """Seasonal profile [s, 3, 24] around the running week, and the number of hours in each bin."""
    padded = np.pad(_full_days(hourly), ((0, 0), (3, 3)), constant_values=np.nan)
    around = median_of_known(np.lib.stride_tricks.sliding_window_view(padded, 7, axis=1))
    swing = np.moveaxis(hourly - around[..., None], 1, 2)
    profile = np.stack([median_of_known(swing[..., kind == each]) for each in range(3)], axis=1)
    count = np.stack([np.isfinite(swing[..., kind == each]).sum(axis=2) for each in range(3)], axis=1)
    every_day = np.nan_to_num(_carried_on(median_of_known(swing)))
    return np.where(count >= 3, profile, every_day[:, None]), np.where(count >= 3, count, 0)


def _carried_on(bins: FloatArray) -> FloatArray:
    """Bins [s, 24] with every empty one taking the last one before it, around the clock."""
    twice = np.concatenate([bins, bins], axis=1)
    last = np.maximum.accumulate(np.where(np.isfinite(twice), np.arange(48), 0), axis=1)
    return np.take_along_axis(twice, last, axis=1)[:, 24:]


def _levels(daily: FloatArray) -> FloatArray:
    """The level [s, 9] known at the start of each calibrating week and at the cut-off, followed as fast as paid off in those weeks."""
    ends = _DAYS - 1 - 7 * np.arange(_WEEKS, -1, -1)
    ahead = np.stack([daily[:, end : end + 7] for end in ends[:-1]], axis=1)
    best, least = np.full((len(daily), _WEEKS + 1), np.nan), np.full(len(daily), np.inf)
    for days in _LEVEL_DAYS:
        level = np.stack([median_of_known(daily[:, end - days : end]) for end in ends], axis=1)
        error = mean_of_known(np.abs(ahead - level[:, :-1, None]).reshape(len(daily), _WEEKS * 7))
        better = error < _FASTER_MUST_GAIN * least
        least = np.where(better, error, least)
        best = np.where(better[:, None], level, best)
    slow = np.stack([median_of_known(daily[:, :end]) for end in ends], axis=1)
    return np.where(np.isfinite(best), best, slow)


def _spread(error: FloatArray, bin_of: NDArray[np.integer], size: int) -> FloatArray:
    """Robust spread [s, 24] of errors by series and hour, smooth around the clock, never under a third of the series' own.

    An hour with few errors that are not zero (rain) says little about itself and leans on the series' own.
    """
    there = np.isfinite(error)
    number, moved, roots = (
        np.bincount(bin_of[there], weights, size * 24).reshape(size, 24)
        for weights in (np.ones(int(there.sum())), error[there] != 0, np.sqrt(np.abs(error[there])))
    )
    with np.errstate(invalid="ignore"):
        overall = (roots.sum(axis=1) / number.sum(axis=1) / _ROOT_MEAN)[:, None] ** 2
        smooth_roots, smooth_number = (2 * each + np.roll(each, 1, axis=1) + np.roll(each, -1, axis=1) for each in (roots, number))
        by_hour = (smooth_roots / smooth_number / _ROOT_MEAN) ** 2
    own = np.where(np.isfinite(by_hour), moved / (moved + _FEW_MOVES), 0.0)
    spread: FloatArray = np.maximum(own * np.where(own > 0, by_hour, 0.0) + (1 - own) * overall, overall / 3)
    return spread


def _full_weeks(row: NDArray[np.integer], week: Int64Array, size: int) -> BoolArray:
    """Which calibrating weeks [s, weeks] of a series hold at least three sevenths of its fullest."""
    inside = week >= 0
    number = np.bincount(row[inside] * _WEEKS + week[inside], minlength=size * _WEEKS).reshape(size, _WEEKS)
    full: BoolArray = (number > 0) & (7 * number >= _LEAST_DAYS_OF_A_WEEK * number.max(axis=1, initial=0)[:, None])
    return full


def _weekly_largest(values: FloatArray, row: NDArray[np.integer], week: Int64Array, full: BoolArray) -> FloatArray:
    """Largest value [s, weeks] in each full calibrating week; NaN where there is none."""
    there = np.isfinite(values) & (week >= 0)
    largest = np.full(full.size, -np.inf)
    np.maximum.at(largest, row[there] * _WEEKS + week[there], values[there])
    return np.where(full & np.isfinite(largest.reshape(full.shape)), largest.reshape(full.shape), np.nan)


def _limit(weekly: FloatArray, margin: float) -> FloatArray:
    """The largest week times the margin, but not more than twice that of the second largest; somewhat more of fewer than five; NaN of one.

    Where the largest is far above the second the tail is heavy (rain, floods) and needs the room; a fault that nobody flagged does not get more.
    """
    number = np.isfinite(weekly).sum(axis=1)
    ordered = -np.sort(-weekly, axis=1)
    largest = np.minimum(ordered[:, 0], _HEAVY * ordered[:, 1]) * margin
    return np.where(number >= 5, largest, largest * _FEW_WEEKS_MARGIN)


def _shift_limits(relative: FloatArray, row: NDArray[np.integer], day: Int64Array, per_day: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Largest usual shift down and up that lasts for two UTC days in a row; `day` counts from the cut-off (-1 is the last)."""
    size, days = len(per_day), _WEEKS * 7
    inside = day >= -days
    cell = row[inside] * days + day[inside] + days
    shift = daily_shift(relative[inside], cell, size * days, np.repeat(per_day, days)).reshape(size, days)
    before = np.concatenate([np.full((size, 1), np.nan), shift[:, :-1]], axis=1)
    limits = []
    for sign in (-1, 1):
        lasting = np.minimum(sign * shift, sign * before).reshape(size, _WEEKS, 7)
        full = np.isfinite(lasting).sum(axis=2) >= _LEAST_DAYS_OF_A_WEEK
        weekly = np.where(full, np.where(np.isfinite(lasting), lasting, -np.inf).max(axis=2, initial=-np.inf), np.nan)
        limits.append(np.maximum(_limit(weekly, _SHIFT_MARGIN), _SHIFT_LEAST))
    return limits[0], limits[1]


def _stuck_limit(past: Observations, row: NDArray[np.integer], week: Int64Array, full: BoolArray, per_day: FloatArray) -> FloatArray:
    """Seconds: thrice the longest run of a usual week, at least three hours and eight values; NaN above the most that is judged."""
    first, last = unchanging_runs(past)
    longest = _weekly_largest((past.time[last] - past.time[first]) / np.timedelta64(1, "s"), row[first], week[first], full)
    least = np.maximum(STUCK_LEAST / np.timedelta64(1, "s"), _STUCK_VALUES * 86_400 / per_day)
    limit = np.maximum(_STUCK_MARGIN * median_of_known(longest), least)
    return np.where(limit <= STUCK_MOST / np.timedelta64(1, "s"), limit, np.nan)
