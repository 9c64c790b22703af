"""Local clock time of UTC arrays: people draw water by the clock on the wall, so profiles and calendars need it.

Add here what turns UTC arrays into local ones. Reading local times out of files belongs to the parsers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.series import Int32Array, Int64Array, TimeArray

_DAY_S = 86_400

Zones = Mapping[int, str]
"""IANA time zone by series number; a series that is not named keeps UTC."""


def zone_names(series: Int32Array, zones: Zones | None) -> NDArray[np.str_]:
    """The zone name of each series as a string array; 'UTC' where none is declared."""
    known = zones or {}
    return np.array([known.get(int(number), "UTC") for number in series], dtype=np.str_)


def utc_offset(time: TimeArray, zone: str) -> Int64Array:
    """Seconds to add to UTC to get the local clock.

    Parameters
    ----------
    time : datetime64[n]
        UTC, any order, no NaT.
    zone : str
        IANA name such as ``Europe/Rome``.

    Raises
    ------
    zoneinfo.ZoneInfoNotFoundError
        When there is no such zone.

    >>> utc_offset(np.array(["2022-03-27T00:59:59", "2022-03-27T01:00:00"], "datetime64[s]"), "Europe/Rome").tolist()
    [3600, 7200]
    """
    if zone == "UTC" or len(time) == 0:
        return np.zeros(len(time), dtype=np.int64)
    seconds = time.astype("datetime64[s]").astype(np.int64)
    years = time[[int(seconds.argmin()), int(seconds.argmax())]].astype("datetime64[Y]").astype(np.int64) + 1970
    changes = [change for year in range(int(years[0]), int(years[1]) + 1) for change in _changes(zone, year)]
    starts = np.array([start for start, _ in changes], dtype=np.int64)
    offsets = np.array([offset for _, offset in changes], dtype=np.int64)
    return offsets[np.searchsorted(starts, seconds, side="right") - 1]


@lru_cache(maxsize=4096)
def _changes(zone: str, year: int) -> list[tuple[int, int]]:
    """(UTC second, offset from then on) for a year: its first second and each change of the clock in it."""
    rules = ZoneInfo(zone)

    def offset(second: int) -> int:
        shift = datetime.fromtimestamp(second, tz=UTC).astimezone(rules).utcoffset()
        assert shift is not None  # an aware time always has one
        return int(shift.total_seconds())

    first = int(np.datetime64(f"{year:04d}", "s").astype(np.int64))
    last = int(np.datetime64(f"{year + 1:04d}", "s").astype(np.int64)) if year < 9998 else first
    changes = [(first, offset(first))]
    for day in range(first, last, _DAY_S):
        before, after = day, day + _DAY_S
        if offset(before) == offset(after):
            continue
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if offset(middle) == offset(day) else (before, middle)
        changes.append((after, offset(after)))
    return changes


@dataclass(frozen=True)
class LocalClock:
    """Local time of points: seconds since the local midnight, and the local day since 1970-01-01."""

    second: Int64Array
    day: Int64Array

    @property
    def weekday(self) -> Int64Array:
        """0 is Monday."""
        return (self.day + 3) % 7


def local_clock(time: TimeArray, group: NDArray[np.integer], zone: NDArray[np.str_]) -> LocalClock:
    """The local clock of points whose zone is ``zone[group]``.

    Parameters
    ----------
    time : datetime64[n]
        UTC.
    group : int[n]
        Position in `zone`.
    zone : str[k]
    """
    seconds = time.astype("datetime64[s]").astype(np.int64)
    names, code = np.unique(zone, return_inverse=True)
    for number, name in enumerate(names.tolist()):
        if name != "UTC":
            here = slice(None) if len(names) == 1 else code[group] == number
            seconds[here] += utc_offset(time[here], name)
    day = seconds // _DAY_S
    return LocalClock(seconds - day * _DAY_S, day)
