"""Real-time tests of dates and positions, over all casts at once: arrays over casts in, masks of the casts that fail out.

Add a test of a date or a position here, as one pure function that cites the manual's number, and a line in `run`. How a land mask is read belongs to
`parsers/argo_land.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.argo.casts import StringArray
from water_pipelines.domain.series import BoolArray, FloatArray, Int32Array, TimeArray

FIRST_DAY = np.datetime64("1997-01-01", "us")
MOST_SPEED = 3.0
"""Test 5, m/s."""
ACCURACY = 3_000.0
"""Metres that two fixes may be apart without any speed: Argos fixes are that uncertain at worst."""


@dataclass(frozen=True)
class LandMask:
    """Land and sea on a regular grid from 90 N, 180 W, as the places where one follows the other.

    Parameters
    ----------
    variant : str
        What is stored beside the flags: the mask's name, version and rule.
    rows, columns : int
        Of the grid.
    changes : int32[k]
        Ascending cell numbers, row after row from the north, at which land turns to sea or sea to land; the first cell is sea before any.
    """

    variant: str
    rows: int
    columns: int
    changes: NDArray[np.int32]

    def is_land(self, latitude: FloatArray, longitude: FloatArray) -> BoolArray:
        """bool[c]: whether most of the nine cells around a position are land; never where it is missing or impossible."""
        known = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 360)
        row = np.floor((90 - np.where(known, latitude, 0.0)) / 180 * self.rows).astype(np.int64)
        column = np.floor((np.where(known, longitude, 0.0) + 180) / 360 * self.columns).astype(np.int64)
        land = np.zeros(len(latitude), np.int64)
        for north in (-1, 0, 1):
            for east in (-1, 0, 1):
                cell = np.clip(row + north, 0, self.rows - 1) * self.columns + (column + east) % self.columns
                land += np.searchsorted(self.changes, cell, side="right") & 1
        is_land: BoolArray = known & (land >= 5)
        return is_land


def unknown_platform(platform: StringArray) -> BoolArray:
    """Test 1: no WMO number of a float, which has five or seven digits."""
    length = np.char.str_len(platform)
    known: BoolArray = np.char.isdigit(platform) & ((length == 5) | (length == 7))
    return ~known


def impossible_date(date: TimeArray, now: np.datetime64 | TimeArray) -> BoolArray:
    """Test 2: before 1997 or in the future; missing dates do not fail."""
    return ~np.isnat(date) & ((date < FIRST_DAY) | (date > now))


def impossible_location(latitude: FloatArray, longitude: FloatArray) -> BoolArray:
    """Test 3: beyond 90 degrees of latitude or 180 of longitude; missing positions do not fail."""
    return (np.abs(latitude) > 90) | (np.abs(longitude) > 180)


def impossible_speed(
    platform: StringArray, cycle: Int32Array, date: TimeArray, latitude: FloatArray, longitude: FloatArray, usable: BoolArray
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Test 5: faster than 3 m/s from one cast of a float to the next, which no current is.

    Parameters
    ----------
    usable : bool[c]
        Casts whose date and position are known and possible, and measured rather than interpolated.

    Returns
    -------
    judged : bool[c]
        Casts that have a cast before or after them.
    suspect : bool[c]
        Both ends of a step that is too fast, where it cannot be told which of them is wrong: position 3.
    bad : bool[c]
        Casts that are too far from both their neighbours, which are not too far from one another: position 4.
    """
    judged, suspect, bad = (np.zeros(len(platform), np.bool_) for _ in range(3))
    where = np.flatnonzero(usable)
    order = where[np.lexsort((cycle[where], date[where], platform[where]))]
    # casts of one cycle share their position: one of them stands for all
    shared = np.zeros(len(order), np.bool_)
    shared[1:] = (
        (platform[order][1:] == platform[order][:-1])
        & (latitude[order][1:] == latitude[order][:-1])
        & (longitude[order][1:] == longitude[order][:-1])
    )
    group = np.cumsum(~shared) - 1
    one = order[~shared]
    if len(one) < 2:
        return judged, suspect, bad
    same = platform[one][1:] == platform[one][:-1]
    fast = same & _is_fast(one[:-1], one[1:], date, latitude, longitude)
    culprit, doubtful, seen = (np.zeros(len(one), np.bool_) for _ in range(3))
    seen[:-1] |= same
    seen[1:] |= same
    culprit[1:-1] = fast[:-1] & fast[1:] & ~_is_fast(one[:-2], one[2:], date, latitude, longitude)
    unexplained = fast & ~culprit[:-1] & ~culprit[1:]
    doubtful[:-1] |= unexplained
    doubtful[1:] |= unexplained
    judged[order], suspect[order], bad[order] = seen[group], doubtful[group], culprit[group]
    return judged, suspect, bad


def _is_fast(one: NDArray[np.int64], other: NDArray[np.int64], date: TimeArray, latitude: FloatArray, longitude: FloatArray) -> BoolArray:
    seconds = np.abs((date[other] - date[one]).astype(np.int64)) / 1e6
    return np.maximum(0.0, distance(latitude[one], longitude[one], latitude[other], longitude[other]) - ACCURACY) > MOST_SPEED * seconds


def distance(latitude: FloatArray, longitude: FloatArray, other_latitude: FloatArray, other_longitude: FloatArray) -> FloatArray:
    """Metres along a great circle of a sphere.

    >>> round(float(distance(np.array([0.0]), np.array([179.5]), np.array([0.0]), np.array([-179.5]))[0]) / 1000)
    111
    """
    one, other = np.radians(latitude), np.radians(other_latitude)
    half = np.sin((other - one) / 2) ** 2 + np.cos(one) * np.cos(other) * np.sin(np.radians(other_longitude - longitude) / 2) ** 2
    metres: FloatArray = 2 * 6_371_000.0 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))
    return metres
