"""Observations of many series at once, as sorted arrays: the currency of the domain.

Add a helper here when several nouns need it on the same arrays. Anything that knows a test, a model or a file belongs elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int8Array = NDArray[np.int8]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.datetime64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Observations:
    """Values of many series.

    Parameters
    ----------
    series : int32[n]
        Series numbers, ascending.
    time : datetime64[us][n]
        Phenomenon time (UTC), ascending and unique within a series.
    value : float64[n]
        In the series' unit; NaN where the source says that the value is missing.
    flag : int8[n], optional
        QARTOD flag: 1 good, 2 not evaluated, 3 suspect, 4 bad, 9 missing.
    """

    series: Int32Array
    time: TimeArray
    value: FloatArray
    flag: Int8Array | None = None

    def __len__(self) -> int:
        return len(self.series)

    def take(self, where: NDArray[np.generic] | slice) -> Observations:
        """The observations at a mask, a slice or positions, in that order."""
        return Observations(self.series[where], self.time[where], self.value[where], None if self.flag is None else self.flag[where])

    def spans(self) -> Iterator[tuple[int, slice]]:
        """Each series with the slice of its rows."""
        starts = starts_of_runs(self.series)
        for begin, end in zip(starts, np.append(starts, len(self.series))[1:], strict=True):
            yield int(self.series[begin]), slice(int(begin), int(end))


def series_day_codes(series: Int32Array, time: TimeArray) -> Int64Array:
    """Each (series, UTC day) as one number that sorts as the pair does; `series_days_of` takes it apart.

    >>> codes = series_day_codes(np.array([7], np.int32), np.array(["1969-12-31T23:00"], "datetime64[us]"))
    >>> series_days_of(codes)
    (array([7], dtype=int32), array(['1969-12-31'], dtype='datetime64[D]'))
    """
    return (series.astype(np.int64) << 32) + time.astype("datetime64[D]").astype(np.int64) + 2**31


def series_days_of(codes: Int64Array) -> tuple[Int32Array, TimeArray]:
    """The series and the days of codes."""
    return (codes >> 32).astype(np.int32), ((codes & 0xFFFFFFFF) - 2**31).astype("datetime64[D]")


def starts_of_runs(keys: NDArray[np.generic]) -> NDArray[np.intp]:
    """Positions at which a run of equal neighbours begins; empty for an empty array.

    >>> starts_of_runs(np.array([7, 7, 9]))
    array([0, 2])
    """
    if len(keys) == 0:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
