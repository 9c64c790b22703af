"""Sensors that are switched on and off: which of their values came from a sensor that was off, and what that does to a flag.

Time decides, not delivery: the state of a sensor at a time is the last one that was said to hold from then or earlier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.flags import GOOD, NOT_EVALUATED, SUSPECT
from water_pipelines.domain.quality import Flags
from water_pipelines.domain.series import Observations


@dataclass(frozen=True)
class States:
    """When sensors were switched, sorted by series and time, each time once: series int32[n], at datetime64[us] (UTC), is_active bool[n]."""

    series: NDArray[np.int32]
    at: NDArray[np.datetime64]
    is_active: NDArray[np.bool_]


def is_inactive(series: NDArray[np.int32], time: NDArray[np.datetime64], states: States) -> NDArray[np.bool_]:
    """Whether the sensor of each value was off at its time; one of which nothing was said is on.

    Parameters
    ----------
    series, time : of the values, sorted by series.

    >>> at = np.array(["2026-03-01T06:00", "2026-03-01T12:00"], dtype="datetime64[us]")
    >>> states = States(np.array([7, 7], dtype=np.int32), at, np.array([False, True]))
    >>> is_inactive(np.array([7, 7, 7, 8], dtype=np.int32), at[[0, 0, 1, 0]] - np.array([1, 0, 0, 0], dtype="timedelta64[us]"), states)
    array([False,  True, False, False])
    """
    found = np.zeros(len(series), dtype=np.bool_)
    numbers, starts = np.unique(states.series, return_index=True)
    ends = np.append(starts[1:], len(states.series))[: len(starts)]
    for number, start, end in zip(numbers, starts, ends, strict=True):
        rows = slice(*np.searchsorted(series, [number, number + 1]))
        last = np.searchsorted(states.at[start:end], time[rows], side="right") - 1
        found[rows] = (last >= 0) & ~states.is_active[start:end][np.maximum(last, 0)]
    return found


def with_states(flags: Flags, observations: Observations, states: States) -> Flags:
    """The flags of values, where a value of a sensor that was off is suspect at best: it is kept, and counts as no good value."""
    was_off = is_inactive(observations.series, observations.time, states)
    return replace(flags, flag=np.where(was_off & np.isin(flags.flag, (GOOD, NOT_EVALUATED)), SUSPECT, flags.flag).astype(flags.flag.dtype))
