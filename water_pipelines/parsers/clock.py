"""Clock on the wall to UTC, for whole arrays: gaps in spring, doubled hours in autumn.

Add here what is needed to turn local times into UTC. How a time is written belongs to `times`; UTC to local belongs to the domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.zones import utc_offset
from water_pipelines.parsers.mapping import offset_seconds

MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Instants:
    """What a local time can mean.

    Parameters
    ----------
    first, second : int64[n]
        Microseconds UTC of its first and second passing; they differ only where clocks were put back.
    exists : bool[n]
        False where clocks were put forward over it.
    """

    first: Int64Array
    second: Int64Array
    exists: BoolArray


def instants(local: Int64Array, zone: str) -> Instants:
    """The instants that local times name.

    Parameters
    ----------
    local : int64[n]
        Microseconds since 1970-01-01T00:00 on the local clock.
    zone : str
        IANA name or fixed offset.

    >>> found = instants(np.array(["2021-10-31T02:30"], "datetime64[us]").astype("int64"), "Europe/Rome")
    >>> [str(np.datetime64(int(found.first[0]), "us")), str(np.datetime64(int(found.second[0]), "us"))]
    ['2021-10-31T00:30:00.000000', '2021-10-31T01:30:00.000000']
    """
    fixed = offset_seconds(zone)
    if fixed is not None:
        utc = local - fixed * MICROSECONDS
        return Instants(utc, utc, np.ones(len(local), dtype=np.bool_))
    early = local - _offset(local - DAY, zone)
    late = local - _offset(local + DAY, zone)
    early_holds = early + _offset(early, zone) == local
    late_holds = late + _offset(late, zone) == local
    return Instants(np.where(early_holds, early, late), np.where(late_holds, late, early), early_holds | late_holds)


def _offset(utc: Int64Array, zone: str) -> Int64Array:
    return utc_offset(utc.view("datetime64[us]"), zone) * MICROSECONDS


@dataclass(frozen=True)
class Doubled:
    """How the rows of doubled hours were resolved: `utc` where `settled`; `waiting` rows have not met their partner yet; the rest cannot be told."""

    utc: Int64Array
    settled: BoolArray
    waiting: BoolArray


def resolve_doubled(found: Instants, local: Int64Array, series: NDArray[np.integer], backwards: BoolArray) -> Doubled:
    """Give the two rows of a doubled local time their instants, in the order of the file.

    Parameters
    ----------
    found : Instants of the n doubled rows
    local, series : int64[n], int[n]
        Rows of one series and local time belong together.
    backwards : bool[n]
        The series runs from new to old: winter time stands first.
    """
    order = np.lexsort((local, series))
    new = np.concatenate(([True], (np.diff(series[order]) != 0) | (np.diff(local[order]) != 0)))
    group = np.cumsum(new) - 1
    size = np.bincount(group)[group]
    is_second = ~new & (size == 2)
    utc = np.empty(len(local), dtype=np.int64)
    settled, waiting = np.zeros(len(local), dtype=np.bool_), np.zeros(len(local), dtype=np.bool_)
    later = is_second ^ backwards[order]
    utc[order] = np.where(later, found.second[order], found.first[order])
    settled[order] = size == 2
    waiting[order] = size == 1
    return Doubled(utc, settled, waiting)
