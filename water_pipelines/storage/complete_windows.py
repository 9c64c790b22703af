"""Windows that files give completely: what arrived before such a file, lies within its window and is not given by it, counts as withdrawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.series import Int32Array, Int64Array, TimeArray, series_day_codes
from water_pipelines.storage.copy import copy_rows
from water_pipelines.storage.database import Connection

Said = tuple[str, datetime, datetime]
"""Natural id of a series, from when on, and up to when (not included), both aware."""

_SERIES_DAYS = """
select distinct d.series_id, d.day from unnest(%s::int[], %s::timestamp[], %s::timestamp[]) as w(series_id, start_at, end_at)
join raw.load_day as d on d.series_id = w.series_id and d.day between w.start_at::date and (w.end_at - interval '1 microsecond')::date
"""


@dataclass(frozen=True)
class Windows:
    """Windows by the file that gives them.

    Parameters
    ----------
    arrival : int64[n]
    series : int32[n], numbers of series.
    start, end : datetime64[us][n], UTC; the end is not included.
    """

    arrival: Int64Array
    series: Int32Array
    start: TimeArray
    end: TimeArray

    def __len__(self) -> int:
        return len(self.series)

    def of(self, arrival: int) -> list[tuple[int, np.datetime64, np.datetime64]]:
        """Series, start and end of the windows of one file."""
        its = self.arrival == arrival
        return list(zip(self.series[its].tolist(), self.start[its], self.end[its], strict=True))

    @classmethod
    def among(cls, rows: Sequence[tuple[Any, ...]]) -> Windows:
        """Rows of arrival, series, start and end."""
        arrival, series, start, end = zip(*rows, strict=True) if rows else ((), (), (), ())
        instants = (np.array(column, dtype="datetime64[us]") for column in (start, end))
        return cls(np.array(arrival, dtype=np.int64), np.array(series, dtype=np.int32), *instants)


def forget(connection: Connection, arrivals: Sequence[int]) -> Windows:
    """Take back the windows of files; gives them."""
    query = "delete from raw.complete_window where arrival = any(%s) returning arrival, series_id, start_at::timestamp, end_at::timestamp"
    return Windows.among(connection.execute(query, (list(arrivals),)).fetchall())


def record(connection: Connection, arrival: int, said: Sequence[Said], series_ids: Mapping[str, int]) -> Windows:
    """Write the windows of a file, and give them; those of a series that was deleted are left out."""
    # of those that begin together the longest holds
    ends = {(series_ids[name], _utc(start)): _utc(end) for name, start, end in sorted(said) if name in series_ids}
    rows = [(arrival, number, start, end) for (number, start), end in ends.items()]
    copy_rows(connection, sql.Identifier("raw", "complete_window"), ("arrival", "series_id", "start_at", "end_at"), rows)
    return Windows.among(rows)


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def of_series(connection: Connection, series: Int32Array, first: np.datetime64, last: np.datetime64) -> Windows:
    """The windows of some series that reach into the days from the first to the last, in the order of arrival."""
    query = (
        "select arrival, series_id, start_at::timestamp, end_at::timestamp from raw.complete_window"
        " where series_id = any(%s) and start_at < %s::date + 1 and end_at > %s::date order by arrival, series_id, start_at"
    )
    return Windows.among(connection.execute(query, (np.unique(series).tolist(), str(last), str(first))).fetchall())


def series_days(connection: Connection, windows: Windows) -> NDArray[np.int64]:
    """The days within windows on which any file gave values of their series, as sorted codes of series and day."""
    found = []
    if len(windows):
        found = connection.execute(_SERIES_DAYS, (windows.series.tolist(), windows.start.tolist(), windows.end.tolist())).fetchall()
    if not found:
        return np.empty(0, dtype=np.int64)
    series, days = (np.array(column) for column in zip(*found, strict=True))
    return np.unique(series_day_codes(series.astype(np.int32), days.astype("datetime64[D]")))
