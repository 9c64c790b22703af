"""The interval at which a series reports, found in its times where nobody declares it."""

from __future__ import annotations

import numpy as np

from water_pipelines.domain.series import TimeArray

_FEWEST = 10
_SHARE = 0.6


def usual_interval_s(time: TimeArray) -> float | None:
    """The interval that most neighbouring times keep, or none where there is no such interval.

    Parameters
    ----------
    time : datetime64[us][n]
        In any order, repeated times allowed.

    Returns
    -------
    Seconds, when at least ten steps are known and 60 % of them are equal; otherwise none.

    Examples
    --------
    >>> usual_interval_s(np.datetime64("2026-01-01", "us") + np.arange(20) * np.timedelta64(15, "m"))
    900.0
    """
    steps = np.diff(np.sort(time)).astype(np.int64)
    steps = steps[steps > 0]
    if len(steps) < _FEWEST:
        return None
    lengths, counts = np.unique(steps, return_counts=True)
    best = int(np.argmax(counts))
    return float(lengths[best]) / 1e6 if counts[best] >= _SHARE * len(steps) else None
