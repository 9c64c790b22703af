"""Weekly cut-offs: the Mondays, 00:00 UTC, that bands and trained models are named by.

A model used for a day comes from the last cut-off at or before the start of that day, so that no value of the day is in it.
"""

from __future__ import annotations

import numpy as np

from water_pipelines.domain.series import TimeArray

WEEK = np.timedelta64(7, "D")
_A_MONDAY = np.datetime64("1970-01-05", "D")


def last_cutoff(time: np.datetime64) -> np.datetime64:
    """The last Monday 00:00 UTC at or before a time, as datetime64[us].

    >>> last_cutoff(np.datetime64("2024-05-15T12:00"))
    np.datetime64('2024-05-13T00:00:00.000000')
    """
    day = time.astype("datetime64[D]")
    monday: np.datetime64 = (day - (day - _A_MONDAY) % WEEK).astype("datetime64[us]")
    return monday


def cutoffs_between(start: np.datetime64, end: np.datetime64) -> TimeArray:
    """Every cut-off that the days of [start, end) use, ascending, datetime64[us].

    >>> cutoffs_between(np.datetime64("2024-05-15"), np.datetime64("2024-05-21")).astype("datetime64[D]").astype(str).tolist()
    ['2024-05-13', '2024-05-20']
    """
    return np.arange(last_cutoff(start), end.astype("datetime64[us]"), WEEK.astype("timedelta64[us]"))


def cutoffs_of(days: TimeArray) -> TimeArray:
    """The cut-offs that some UTC days use, each once, ascending, datetime64[us].

    >>> cutoffs_of(np.array(["2024-05-21", "2024-05-15", "2024-05-13"], "datetime64[D]")).astype("datetime64[D]").astype(str).tolist()
    ['2024-05-13', '2024-05-20']
    """
    day = days.astype("datetime64[D]")
    mondays: TimeArray = np.unique(day - (day - _A_MONDAY) % WEEK).astype("datetime64[us]")
    return mondays
