"""Real-time tests that compare a cast with the one before it of the same float: tests 16 and 18.

Add a test here when it needs another cast of the float: whatever is here makes the float the unit that becomes stale. A cast is compared with the
latest one of a lower cycle that has good values, of the same direction; only primary casts are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.argo.casts import StringArray
from water_pipelines.domain.series import BoolArray, FloatArray, Int32Array, Int64Array

DRIFT = {"TEMP": 1.0, "PSAL": 0.5}
"""Test 16: largest good change of the mean of the deepest 100 dbar."""
FROZEN = {"TEMP": (0.001, 0.3, 0.02), "PSAL": (0.001, 0.3, 0.004)}
"""Test 18: a cast is frozen whose differences have a lower minimum, maximum and mean than these."""
BIN = 50.0
DEEPEST = 12_000.0
"""dbar: no sea is deeper, and what is said to be takes no part in bins."""


def before(platform: StringArray, direction: StringArray, cycle: Int32Array, has_values: BoolArray) -> Int64Array:
    """int64[c]: for each cast the latest one of the float and direction with a lower cycle that has values, or -1."""
    found = np.full(len(cycle), -1, np.int64)
    where = np.flatnonzero(has_values)
    if not len(where):
        return found
    floats = np.unique(np.char.add(platform, direction), return_inverse=True)[1].astype(np.int64)
    key = floats * (1 << 32) + cycle.astype(np.int64) + (1 << 20)
    order = where[np.argsort(key[where], kind="stable")]
    place = np.searchsorted(key[order], key, side="left") - 1
    candidate = order[np.maximum(place, 0)]
    same = (place >= 0) & (floats[candidate] == floats)
    found[same] = candidate[same]
    return found


def deep_mean(value: FloatArray, pressure: FloatArray, good: BoolArray, cast: Int64Array, casts: int) -> FloatArray:
    """float64[c]: mean over the deepest 100 dbar of the good levels; NaN where there are none."""
    deepest = np.full(casts, -np.inf)
    np.maximum.at(deepest, cast[good], pressure[good])
    deep = good & (pressure >= deepest[cast] - 100.0)
    count = np.bincount(cast[deep], minlength=casts)
    total = np.bincount(cast[deep], weights=value[deep], minlength=casts)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def binned(value: FloatArray, pressure: FloatArray, good: BoolArray, cast: Int64Array, casts: int) -> FloatArray:
    """float64[c, b]: means over bins of 50 dbar, the surface belonging to the first; bins that the cast does not fill to their end are NaN."""
    where = np.flatnonzero(good & (pressure <= DEEPEST))
    if not len(where):
        return np.full((casts, 1), np.nan)
    deepest = np.full(casts, 0.0)
    np.maximum.at(deepest, cast[where], pressure[where])
    bins = max(1, int(deepest.max() // BIN))
    place = np.maximum(np.ceil(pressure[where] / BIN).astype(np.int64) - 1, 0)
    inside = place < np.minimum(deepest // BIN, bins)[cast[where]]
    key = cast[where][inside] * bins + place[inside]
    count = np.bincount(key, minlength=casts * bins)
    total = np.bincount(key, weights=value[where][inside], minlength=casts * bins)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(casts, bins)


def drifted(mean: FloatArray, other: Int64Array, limit: float) -> tuple[BoolArray, BoolArray]:
    """Test 16: casts that were compared with one before, and those whose mean of the deepest 100 dbar is further from its than the limit."""
    compared = (other >= 0) & np.isfinite(mean)
    change = np.abs(mean - mean[np.maximum(other, 0)])
    compared &= np.isfinite(change)
    return compared, compared & (change > limit)


def frozen(profile: FloatArray, other: Int64Array, limits: tuple[float, float, float]) -> tuple[BoolArray, BoolArray]:
    """Test 18: casts that were compared with one before, and those that repeat it.

    Parameters
    ----------
    profile : float64[c, b]
        Means over bins, by `binned`.
    limits : (float, float, float)
        Of the least, the greatest and the mean absolute difference over the bins that both have.
    """
    compared = other >= 0
    difference: NDArray[np.float64] = np.abs(profile - profile[np.maximum(other, 0)])
    common = np.isfinite(difference) & compared[:, np.newaxis]
    count = common.sum(1)
    compared &= count > 0
    least = np.where(common, difference, np.inf).min(1)
    greatest = np.where(common, difference, -np.inf).max(1)
    mean = np.where(common, difference, 0.0).sum(1) / np.maximum(count, 1)
    return compared, compared & (least < limits[0]) & (greatest < limits[1]) & (mean < limits[2])
