"""How far an output looks: the reach of each edge of the graph, and what follows from it.

Add a named reach here when an asset reads a fixed stretch around the day it computes; a reach that follows from rules is computed from
them (`rules.RuleSet.reach`). What is computed within the reach does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.series import Int64Array, TimeArray

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Reach:
    """An output at time t reads the inputs in [t - looks_back, t + looks_ahead], both ends included.

    So an input at t affects the outputs in [t - looks_ahead, t + looks_back].

    Parameters
    ----------
    looks_back, looks_ahead : timedelta64[us]
        Not negative.
    """

    looks_back: np.timedelta64
    looks_ahead: np.timedelta64

    def __post_init__(self) -> None:
        for name in ("looks_back", "looks_ahead"):
            reach = np.timedelta64(getattr(self, name), "us")
            if not reach >= np.timedelta64(0, "us"):
                raise ValueError(f"{name} of a reach must not be negative or NaT, but is {reach}")
            object.__setattr__(self, name, reach)

    def __or__(self, other: Reach) -> Reach:
        """The smallest reach that covers both."""
        return Reach(max(self.looks_back, other.looks_back), max(self.looks_ahead, other.looks_ahead))


SAME_DAY = Reach(np.timedelta64(0, "us"), np.timedelta64(0, "us"))
"""The output at t, or of the day that holds t, reads nothing of any other day."""


def affected_days(first: TimeArray, last: TimeArray, reach: Reach) -> TimeArray:
    """The UTC days on which an output can differ because inputs changed.

    Parameters
    ----------
    first, last : datetime64[us][k]
        Stretches within which inputs changed, both ends included; in any order, they may overlap.
    reach : Reach
        Of the edge from those inputs to the outputs.

    Returns
    -------
    datetime64[D]
        Sorted, unique.

    Raises
    ------
    ValueError
        If a stretch ends before it begins, or has no time.

    Examples
    --------
    A value changed at 23:30. The test looks an hour back, so the values until 00:30 of the next day may be judged differently:

    >>> changed = np.array(["2024-03-01T23:30"], dtype="datetime64[us]")
    >>> affected_days(changed, changed, Reach(np.timedelta64(1, "h"), np.timedelta64(15, "m")))
    array(['2024-03-01', '2024-03-02'], dtype='datetime64[D]')
    """
    if not np.all(first <= last):
        raise ValueError("a stretch of changed inputs must have both times, and must not end before it begins")
    begin_days = _days_since_1970(first - reach.looks_ahead)
    end_days = _days_since_1970(last + reach.looks_back) + 1
    begins, ends = _merged(begin_days, end_days)
    lengths = ends - begins
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    days: TimeArray = (np.repeat(begins, lengths) + within).astype("datetime64[D]")
    return days


def margin(days: TimeArray, reach: Reach) -> list[tuple[np.datetime64, np.datetime64]]:
    """The windows of inputs that must be read to compute the outputs of some days.

    Parameters
    ----------
    days : datetime64[D][k]
        In any order.
    reach : Reach
        Of the edge from the inputs to the outputs.

    Returns
    -------
    list of (datetime64[us], datetime64[us])
        Half-open windows, sorted, disjoint, merged where they touch.

    Examples
    --------
    >>> [(str(a), str(b)) for a, b in margin(np.array(["2024-03-01"], dtype="datetime64[D]"), SAME_DAY)]
    [('2024-03-01T00:00:00.000000', '2024-03-02T00:00:00.000000')]
    """
    midnight = days.astype("datetime64[us]").astype(np.int64)
    begins, ends = _merged(midnight - reach.looks_back.astype(np.int64), midnight + (DAY + reach.looks_ahead).astype(np.int64))
    return list(zip(begins.astype("datetime64[us]"), ends.astype("datetime64[us]"), strict=True))


def _days_since_1970(times: NDArray[np.generic]) -> Int64Array:
    return times.astype("datetime64[D]").astype(np.int64)


def _merged(begins: Int64Array, ends: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Half-open windows, sorted and merged where they overlap or touch."""
    if len(begins) == 0:
        return begins, ends
    order = np.argsort(begins, kind="stable")
    begins, ends = begins[order], np.maximum.accumulate(ends[order])
    apart = begins[1:] > ends[:-1]
    return begins[np.append(True, apart)], ends[np.append(apart, True)]
