"""A value beside its neighbours in time: the median of five, steps, and runs of one unchanging value.

Bands learn from these what is usual, anomalies judge by them; both must see them the same way. Nothing here looks further than a
fixed stretch, so that a result does not depend on where the data was cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.series import FloatArray, Observations

NEIGHBOURS_WITHIN = np.timedelta64(6, "h").astype("timedelta64[us]")
"""Values that span more are no neighbours."""

RUN_BREAKS = np.timedelta64(3, "h").astype("timedelta64[us]")
"""A pause longer than this ends a run: nobody knows what the sensor would have shown."""


def median_of_five(observations: Observations) -> FloatArray:
    """The median of each value, the two before it and the two after it in its series.

    Parameters
    ----------
    observations : Observations
        n values without NaN.

    Returns
    -------
    float64[n]
        NaN where there are no such neighbours, or the five span more than six hours.
    """
    series, time, value = observations.series, observations.time, observations.value
    result = np.full(len(value), np.nan)
    if len(value) < 5:
        return result
    a, b, c, d, e = (value[i : len(value) - 4 + i] for i in range(5))
    # Sorting network for the middle of five (Devillard): contiguous minima and maxima are ten times faster than a partition.
    a, b = np.minimum(a, b), np.maximum(a, b)
    d, e = np.minimum(d, e), np.maximum(d, e)
    a, d = np.minimum(a, d), np.maximum(a, d)
    b, e = np.minimum(b, e), np.maximum(b, e)
    b, c = np.minimum(b, c), np.maximum(b, c)
    c = np.minimum(c, d)
    middle = np.maximum(b, c)
    near = (series[4:] == series[:-4]) & (time[4:] - time[:-4] <= NEIGHBOURS_WITHIN)
    result[2:-2] = np.where(near, middle, np.nan)
    return result


def step_size(observations: Observations) -> FloatArray:
    """How far both a value and the next one lie above (or below) the two values before: a jump that stays, not a spike.

    Parameters
    ----------
    observations : Observations
        n values without NaN.

    Returns
    -------
    float64[n]
        Signed, in the series' unit; 0 where the four overlap, NaN where there are no such neighbours or they span more than six hours.
    """
    series, time, value = observations.series, observations.time, observations.value
    result = np.full(len(value), np.nan)
    if len(value) < 4:
        return result
    low, high = np.minimum(value[1:], value[:-1]), np.maximum(value[1:], value[:-1])
    up, down = low[2:] - high[:-2], low[:-2] - high[2:]
    near = (series[3:] == series[:-3]) & (time[3:] - time[:-3] <= NEIGHBOURS_WITHIN)
    result[2:-1] = np.where(near, np.maximum(up, 0) - np.maximum(down, 0), np.nan)
    return result


def unchanging_runs(
    observations: Observations,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last position of every run of equal values in a series, without a pause of more than three hours.

    Parameters
    ----------
    observations : Observations
        Values without NaN. A single value is a run of its own.
    """
    series, time, value = observations.series, observations.time, observations.value
    if len(value) == 0:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    breaks = (value[1:] != value[:-1]) | (series[1:] != series[:-1]) | (time[1:] - time[:-1] > RUN_BREAKS)
    edges = np.flatnonzero(breaks)
    return np.concatenate(([0], edges + 1)), np.append(edges, len(value) - 1)
