"""Real-time test 25, MEDD: levels far from a sliding median of the cast, in temperature or salinity and in density.

The test was made by D. Dobler (Ifremer, 2019) and entered the Argo quality control manual with version 3.3. It draws a line through the sliding
medians of a cast, leaves out steep levels while doing so, and flags what lies further from that line than a distance in the plane of value and
pressure. A change of the test belongs here; which levels it sees is decided in `run`.

All casts are worked on at once. Levels are taken in the order of their pressure, so that the window of each is a run of levels; the distance is
computed only where a level is far enough from its own median to be outside at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from water_pipelines.domain.series import BoolArray, FloatArray, Int64Array

_WINDOW_DEPTHS, _WINDOWS = (150.0, 500.0, 1000.0, 1500.0), (110.0, 180.0, 400.0, 500.0)
_GRADIENT_DEPTHS = (60.0, 150.0, 500.0, 1000.0, 2100.0)
_ZONES = (500.0, 1000.0, 1500.0)
_FEWEST = 6
_DEEP = 1950.0
_SCALE = 700.0
_EQUATORIAL = 10.0


@dataclass(frozen=True)
class _Limits:
    """What the test knows of a parameter, by depth: steepest good gradients per dbar, those that may change sign, the axis' span, distances."""

    steep: tuple[float, ...]
    turning: tuple[float, ...]
    span: tuple[float, float]
    distance: tuple[float, ...]


_TEMPERATURE = _Limits((5.0, 3.5, 0.5, 0.15, 0.05, 0.0004), (0.08, 0.08, 0.03, 0.01, 0.003, 0.0004), (4.0, 10.0), (0.15, 0.15, 0.1, 0.1))
_SALINITY = _Limits((1.0, 1.0, 0.08, 0.02, 0.004, 0.0002), (0.01, 0.01, 0.005, 0.0001, 0.0002, 0.0002), (1.0, 5.0), (0.08, 0.08, 0.07, 0.07))
_DENSITY = _Limits((1.5, 0.07, 0.07, 0.005, 0.005, 0.0004), (0.006, 0.006, 0.001, 0.0004, 0.0004, 0.0004), (1.0, 6.0), (0.08, 0.08, 0.04, 0.04))
_ALONE, _ALONE_EQUATORIAL = (0.22, 0.22, 0.15, 0.1), (0.6, 0.18, 0.15, 0.1)


def median_outliers(
    pressure: FloatArray, temperature: FloatArray, salinity: FloatArray, density: FloatArray, cast: Int64Array
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Outliers of temperature and of salinity where density is known.

    Parameters
    ----------
    pressure, temperature, salinity, density : float64[n]
        Finite, density being potential density at the surface; levels of a cast follow one another.
    cast : int64[n]
        Ascending.

    Returns
    -------
    temperature, salinity : bool[n]
        What is an outlier in the parameter and in density.
    judged : bool[n]
        Levels of casts that have at least six: others are not judged.
    """
    order = np.lexsort((pressure, cast))
    cast_sorted, pressure_sorted = cast[order], pressure[order]
    judged_sorted = _counts(cast_sorted) >= _FEWEST
    chosen = order[judged_sorted]
    own, depth = cast_sorted[judged_sorted], pressure_sorted[judged_sorted]
    warm, salty, judged = (np.zeros(len(cast), np.bool_) for _ in range(3))
    judged[chosen] = True
    if not len(chosen):
        return warm, salty, judged
    in_temperature = _outliers(temperature[chosen], depth, own, _TEMPERATURE, is_temperature=True)
    in_salinity = _outliers(salinity[chosen], depth, own, _SALINITY)
    suspects = np.isin(own, own[in_temperature | in_salinity])
    in_density = np.zeros(len(chosen), np.bool_)
    if suspects.any():
        in_density[suspects] = _outliers(density[chosen][suspects], depth[suspects], own[suspects], _DENSITY, is_density=True)
    warm[chosen], salty[chosen] = in_temperature & in_density, in_salinity & in_density
    return warm, salty, judged


def temperature_outliers(pressure: FloatArray, temperature: FloatArray, cast: Int64Array, latitude: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Outliers of temperature where there is no salinity, with wider limits; latitude is float64[n]. Gives them and the levels that were judged."""
    found, judged = np.zeros(len(cast), np.bool_), np.zeros(len(cast), np.bool_)
    for near, distance in ((True, _ALONE_EQUATORIAL), (False, _ALONE)):
        where = np.flatnonzero((np.abs(latitude) <= _EQUATORIAL) == near)
        where = where[np.lexsort((pressure[where], cast[where]))]
        where = where[_counts(cast[where]) >= _FEWEST]
        if len(where):
            limits = _Limits(_TEMPERATURE.steep, _TEMPERATURE.turning, _TEMPERATURE.span, distance)
            judged[where] = True
            found[where] = _outliers(temperature[where], pressure[where], cast[where], limits, is_temperature=True)
    return found, judged


def _counts(cast: Int64Array) -> Int64Array:
    """int64[n]: how many levels the cast of each level has."""
    _, place, count = np.unique(cast, return_inverse=True, return_counts=True)
    counts: Int64Array = count[place].astype(np.int64)
    return counts


def _outliers(
    value: FloatArray, depth: FloatArray, cast: Int64Array, limits: _Limits, *, is_temperature: bool = False, is_density: bool = False
) -> BoolArray:
    """One parameter of casts with at least six levels each, by pressure."""
    n = len(value)
    starts = np.flatnonzero(np.diff(cast, prepend=cast[0] - 1))
    ends = np.append(starts[1:], n)
    number = np.repeat(np.arange(len(starts)), ends - starts)
    is_first, is_last = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    is_first[starts], is_last[ends - 1] = True, True
    gradient = _gradients(value, depth, starts)
    layer = np.searchsorted(_GRADIENT_DEPTHS, depth, side="right")
    steepest, turning = np.array(limits.steep)[layer], np.array(limits.turning)[layer]
    out = _left_out(gradient, steepest, turning, is_first, is_last, is_temperature=is_temperature, is_density=is_density)
    median = _line(value, depth, number, starts, ends, gradient, steepest, out, is_first, is_last, is_temperature=is_temperature)
    span = np.clip(np.maximum.reduceat(median, starts) - np.minimum.reduceat(median, starts), *limits.span)
    zone = np.searchsorted(_ZONES, depth, side="right")
    reach = np.array(limits.distance)[zone] * span[number]
    suspects = np.flatnonzero(np.abs(value - median) > reach)
    found = np.zeros(n, np.bool_)
    height = depth * span[number] / _SCALE
    for place in suspects.tolist():
        own = slice(starts[number[place]], ends[number[place]])
        found[place] = _is_outside(value[place], height[place], median[own], height[own], reach[place])
    return found


def _gradients(value: FloatArray, depth: FloatArray, starts: Int64Array) -> FloatArray:
    """Change per dbar from the level above; between levels that are close in both it is 0, and the first level has that of the second."""
    change, step = np.diff(value, prepend=value[0]), np.diff(depth, prepend=depth[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        gradient = change / step
    gradient[(np.abs(change) < 0.01) & (np.abs(step) < 5)] = 0.0
    gradient[starts] = gradient[starts + 1]
    return gradient


def _left_out(
    gradient: FloatArray,
    steepest: FloatArray,
    turning: FloatArray,
    is_first: BoolArray,
    is_last: BoolArray,
    *,
    is_temperature: bool,
    is_density: bool,
) -> BoolArray:
    """Levels that the median does without: steep ones, and steep ones beside a change of sign."""
    out = np.zeros(len(gradient), np.bool_)
    large = np.abs(gradient) > turning
    out[:-1] = large[:-1] & large[1:] & (np.sign(gradient[:-1]) == -np.sign(gradient[1:])) & (gradient[:-1] != 0)
    out &= ~is_first & ~is_last
    first = np.flatnonzero(is_first)
    out[first] = out[first + 1]
    if is_density:
        out |= gradient < -0.001
    if is_temperature:
        out |= gradient > 0.5
    return out | (np.abs(gradient) > steepest)


def _line(
    value: FloatArray,
    depth: FloatArray,
    number: Int64Array,
    starts: Int64Array,
    ends: Int64Array,
    gradient: FloatArray,
    steepest: FloatArray,
    out: BoolArray,
    is_first: BoolArray,
    is_last: BoolArray,
    *,
    is_temperature: bool,
) -> FloatArray:
    """The sliding median of each level: the value itself where too few levels lie around, that of the last good level where it was left out."""
    n = len(value)
    kept = np.flatnonzero(~out)
    half = np.ceil(np.interp(depth, _WINDOW_DEPTHS, _WINDOWS) / 2) + 1
    offset = number * 1e6  # so that a search stays within the cast
    key, kept_key = depth + offset, (depth + offset)[kept]
    low, high = np.searchsorted(kept_key, key - half, side="right"), np.searchsorted(kept_key, key + half, side="left")
    left, right = np.searchsorted(kept_key, key, side="left"), np.searchsorted(kept_key, key, side="right")
    above, below = left - low, high - right
    even = np.minimum(above, below)
    balanced = even > 0
    begin, end = np.where(balanced, left - even, low), np.where(balanced, right + even, high)
    above, below = np.where(balanced, even, above), np.where(balanced, even, below)
    median = _medians(value, kept, begin, end)
    neighbour_out = np.zeros(n, np.bool_)
    neighbour_out[1:] = out[:-1]
    onto = ~is_first & ~out & ~neighbour_out & (below <= 1)
    neighbour_out[:-1], neighbour_out[-1] = out[1:], False
    warming = gradient > 0.1 if is_temperature else np.zeros(n, np.bool_)
    onto |= ~is_last & ~out & ~neighbour_out & ((above == 0) | ((above == 1) & (below == 1))) & ~warming
    _deepest(value, depth, number, starts, steepest, out, median, onto)
    median[onto] = value[onto]
    last = np.where(out, -1, np.arange(n))
    has_kept = np.flatnonzero(np.add.reduceat((~out).astype(np.int64), starts))
    if len(kept):
        last[starts[has_kept]] = kept[np.searchsorted(kept, starts[has_kept])]
    none = np.setdiff1d(np.arange(len(starts)), has_kept)
    last[starts[none]] = starts[none]
    return median[np.where(out, np.maximum.accumulate(last), np.arange(n))]


def _deepest(
    value: FloatArray,
    depth: FloatArray,
    number: Int64Array,
    starts: Int64Array,
    steepest: FloatArray,
    out: BoolArray,
    median: FloatArray,
    onto: BoolArray,
) -> None:
    """Below 1950 dbar the median is the value, unless that is too far from the deepest value above."""
    deep = np.flatnonzero((depth >= _DEEP) & ~out)
    if not len(deep):
        return
    anchors = np.searchsorted(depth + number * 1e6, np.arange(len(starts)) * 1e6 + _DEEP, side="left") - 1
    anchor = anchors[number[deep]]
    has = anchor >= starts[number[deep]]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(has, (value[deep] - value[np.maximum(anchor, 0)]) / (depth[deep] - depth[np.maximum(anchor, 0)]), 0.0)
    far = has & (np.abs(slope) > steepest[deep])
    median[deep[far]] = median[anchor[far]]
    onto[deep[far]], onto[deep[~far]] = False, True


def _medians(value: FloatArray, kept: Int64Array, begin: Int64Array, end: Int64Array) -> FloatArray:
    """Median over runs of the kept levels; of an even number the lower side counts once more; of none it is the value itself."""
    median = value.copy()
    length = end - begin
    values = value[kept]
    for each in np.unique(length[length > 0]).tolist():
        where = np.flatnonzero(length == each)
        for piece in np.array_split(where, max(1, len(where) * each // 4_000_000)):
            window = values[begin[piece][:, np.newaxis] + np.arange(each)]
            if each % 2 == 0:
                window = np.concatenate((window[:, :1], window), axis=1)
            middle = window.shape[1] // 2
            median[piece] = np.partition(window, middle, axis=1)[:, middle]
    return median


def _is_outside(value: float, height: float, line: FloatArray, heights: FloatArray, reach: float) -> bool:
    """Whether a value lies further than `reach` from all points of a line, at its own height; long pieces of the line are divided."""
    begin = max(0, int(np.searchsorted(heights, height - reach, side="left")) - 1)
    end = min(len(line), int(np.searchsorted(heights, height + reach, side="right")) + 1)
    x, y = line[begin:end], heights[begin:end]
    if len(x) > 1:
        pieces = np.maximum(np.floor(np.hypot(np.diff(x), np.diff(y)) / reach - 0.2).astype(np.int64), 0) + 1
        piece = np.repeat(np.arange(len(pieces)), pieces)
        share = (np.arange(len(piece)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[piece]
        x = np.append(x[piece] + share * np.diff(x)[piece], x[-1])
        y = np.append(y[piece] + share * np.diff(y)[piece], y[-1])
    squared = reach**2 - (height - y) ** 2
    near = squared >= 0
    width = np.sqrt(squared[near])
    return bool(value > (x[near] + width).max() or value < (x[near] - width).min())
