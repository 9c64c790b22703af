"""Forecasts: hourly series in, quantiles by issue time and lead out; and the seasonal baseline that every model has to beat.

Add here what all forecasters share: the hourly grid, the local clock, the shape of a forecast. A trained model is in
`domain/models.py`, its marks in `domain/scores.py`.

The hour of a value is the hour that begins at its time. A forecast issued at 00:00 knows the hours that began before 00:00; lead 1 is the hour that
begins at 00:00, lead 168 the last of the week.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.series import BoolArray, FloatArray, Int32Array, Int64Array, TimeArray
from water_pipelines.domain.zones import Zones, utc_offset, zone_names

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
LEADS = 168

HISTORY = np.timedelta64(56 * 24, "h")
"""A forecast of whatever kind looks no further back than this from its issue time; training looks at all that it is given."""

LEAST_KNOWN = np.timedelta64(24 + 168 - 2, "h")
"""No forecast is without an hour this far back: 24 errors against hours of a week before, and a change of the clocks."""

HOUR = np.timedelta64(1, "h")
_WEEK = 168
_EAST, _WEST = 15, 13  # hours that a local clock may be ahead of or behind UTC, with one to spare
_BASELINE_WEEKS = 4


@dataclass(frozen=True)
class Hourly:
    """Hourly values of several series on one grid.

    Parameters
    ----------
    series : int32[s]
        Ascending.
    start : datetime64[h]
        The first hour, UTC.
    value : float64[s, h]
        In the series' unit; NaN missing.
    """

    series: Int32Array
    start: np.datetime64
    value: FloatArray

    @property
    def end(self) -> np.datetime64:
        """The hour after the last."""
        end: np.datetime64 = self.start.astype("datetime64[h]") + self.value.shape[1] * HOUR
        return end

    def window(self, start: np.datetime64, end: np.datetime64) -> Hourly:
        """Exactly the hours of [start, end); NaN where there were none."""
        begin = _hours(start.astype("datetime64[h]") - self.start.astype("datetime64[h]"))
        size = _hours(end.astype("datetime64[h]") - start.astype("datetime64[h]"))
        value = np.full((len(self.series), max(size, 0)), np.nan)
        first, last = max(begin, 0), min(begin + size, self.value.shape[1])
        if first < last:
            value[:, first - begin : last - begin] = self.value[:, first:last]
        return Hourly(self.series, start.astype("datetime64[h]"), value)


@dataclass(frozen=True)
class Forecast:
    """Quantiles of the hours to come.

    Parameters
    ----------
    series : int32[n]
        Ascending, leads ascending within a series.
    issue : datetime64[h]
        Nothing that began at or after it was known.
    lead_h : int16[n]
        1 to 168.
    time : datetime64[h][n]
        The hour that is forecast: issue + lead_h - 1.
    quantile : float64[n, 7]
        At `QUANTILES`, not crossing, in the series' unit. There are no rows for a series of which too little is known.
    """

    series: Int32Array
    issue: np.datetime64
    lead_h: NDArray[np.int16]
    time: TimeArray
    quantile: FloatArray

    def __len__(self) -> int:
        return len(self.series)

    @classmethod
    def of_leads(cls, series: Int32Array, issue: np.datetime64, quantile: FloatArray) -> Forecast:
        """From quantiles [s, 168, 7]; leads with a NaN are left out."""
        row, lead = np.nonzero(np.isfinite(quantile).all(axis=2))
        return cls(series[row], issue, (lead + 1).astype(np.int16), issue + lead * HOUR, quantile[row, lead])


@dataclass(frozen=True)
class LocalHours:
    """Hourly values on local clocks, so that "the same hour last week" is a fixed distance whatever the season did to the clock.

    The hour that spring skips is NaN, of the two that autumn doubles the later one is kept. A zone that is off by part of an hour is taken
    as off by the whole hours in it.

    Parameters
    ----------
    value : float64[s, c]
        A row of local hours; cell `at(...)` holds the hour that begins at a UTC time.
    start : datetime64[h]
        The UTC time of the first value.
    offset : int64[s, h]
        Local minus UTC in hours, for the given hours and a week more.
    """

    value: FloatArray
    start: np.datetime64
    offset: Int64Array

    @classmethod
    def of(cls, hourly: Hourly, zone: NDArray[np.str_]) -> LocalHours:
        """Lay hourly values on the clocks of their zones, with room for a week after them."""
        start, hours = hourly.start.astype("datetime64[h]"), hourly.value.shape[1]
        ahead = start + np.arange(hours + _WEEK) * HOUR
        offset = np.zeros((len(zone), len(ahead)), dtype=np.int64)
        for name in set(zone.tolist()):
            offset[zone == name] = utc_offset(ahead, name) // 3600
        value = np.full((len(zone), len(ahead) + _EAST + _WEST), np.nan)
        known = np.isfinite(hourly.value)
        row, hour = np.nonzero(known)
        value[row, hour + offset[row, hour] + _WEST] = hourly.value[known]
        return cls(value, start, offset)

    def at(self, hour: Int64Array) -> Int64Array:
        """The cells [s, ...] of some hours after `start`."""
        return self.offset[:, hour] + hour + _WEST

    def clock(self, cell: Int64Array) -> Int64Array:
        """The local hour of the day of cells."""
        first = int(self.start.astype("datetime64[h]").astype(np.int64))
        return (first + cell - _WEST) % 24


def shifted(value: FloatArray, cells: int) -> FloatArray:
    """Each row `cells` later: what lies there is what was `cells` before; NaN where nothing was."""
    moved = np.full_like(value, np.nan)
    if cells < value.shape[1]:
        moved[:, cells:] = value[:, : value.shape[1] - cells]
    return moved


def not_negative(value: FloatArray) -> BoolArray:
    """Series [s] that never were below zero."""
    never: BoolArray = np.logical_not(np.any(value < 0, axis=1))
    return never


def baseline(hourly: Hourly, issue: np.datetime64, zones: Zones | None = None) -> Forecast:
    """The same hour of last week, with the interval that it would have had in the past weeks.

    Parameters
    ----------
    hourly : Hourly
        The hours before `issue`, `HISTORY` of them or more; later ones are not looked at.
    issue : datetime64
        UTC, a full hour.
    zones : mapping of series to IANA zone, optional
        Whose clock counts; UTC where it is not named.

    Returns
    -------
    Forecast
        A missing hour of last week is taken from two, three or four weeks ago; where these are missing too, there is no forecast for it. The
        quantiles are those of the errors that this would have made in the hours of the last seven weeks, around a centre at the value itself;
        a series with fewer than 24 such errors has no forecast.
    """
    issue = issue.astype("datetime64[h]")
    known = hourly.window(issue - HISTORY, issue)
    hours = known.value.shape[1]
    local = LocalHours.of(known, zone_names(known.series, zones))
    last = np.full_like(local.value, np.nan)
    for weeks in range(_BASELINE_WEEKS, 0, -1):
        before = shifted(local.value, weeks * _WEEK)
        last = np.where(np.isfinite(before), before, last)
    error = np.sort(local.value - last, axis=1)
    spread = quantiles_of_sorted(error, 24)
    spread -= spread[:, [QUANTILES.index(0.5)]]
    centre = np.take_along_axis(last, local.at(np.arange(hours, hours + LEADS)), axis=1)
    quantile = centre[:, :, None] + spread[:, None, :]
    floor = np.where(not_negative(known.value), 0.0, -np.inf)
    return Forecast.of_leads(known.series, issue, np.maximum(quantile, floor[:, None, None]))


def quantiles_of_sorted(ordered: FloatArray, least: int, level: FloatArray | None = None) -> FloatArray:
    """Quantiles [s, q] of ascending values [s, n] with NaN last, widened for finite samples; NaN of fewer than `least` values.

    The quantile p of n values lies at rank p (n + 1), as split conformal prediction has it, so that few values promise less. `level` is the
    same for all series [q], its own for each [s, q], or `QUANTILES`.
    """
    level = np.array(QUANTILES) if level is None else level
    if ordered.shape[1] == 0:
        return np.full((len(ordered), level.shape[-1]), np.nan)
    number = np.isfinite(ordered).sum(axis=1)[:, None]
    top = np.maximum(number - 1, 0)
    rank = np.clip(level * (number + 1) - 1, 0, top)
    below = np.floor(rank).astype(np.int64)
    low = np.take_along_axis(ordered, below, axis=1)
    high = np.take_along_axis(ordered, np.minimum(below + 1, top), axis=1)
    return np.where(number >= least, low + (rank - below) * (high - low), np.nan)


def _hours(span: np.timedelta64) -> int:
    return int(span / HOUR)
