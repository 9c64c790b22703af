"""Reading `core.observation`: values with their flags, in bulk, for what is computed from them.

The writing is in `loads.py` (values) and `flags.py` (flags).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import LiteralString

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.flags import GOOD, MISSING, NOT_EVALUATED
from water_pipelines.domain.series import Int64Array, Observations
from water_pipelines.storage.database import Snapshot, Window, as_times, window_values

_VALUES = """
select o.series_id, o.time, o.value, o.load_id from {windows} as w(start_at, end_at) cross join core.series as s
cross join lateral (
    select * from core.observation as o where o.series_id = s.series_id and o.time >= w.start_at and o.time < w.end_at offset 0
) as o
"""

_FLAGS = """
select f.series_id, f.time, f.flag from {windows} as w(start_at, end_at) cross join core.series as s
cross join lateral (
    select * from core.observation_flag as f where f.series_id = s.series_id and f.time >= w.start_at and f.time < w.end_at offset 0
) as f
"""

_EVALUATIONS = """
select e.series_id, e.day::timestamptz as time, e.read from {windows} as w(start_at, end_at)
join core.evaluation as e on e.day >= (w.start_at at time zone 'UTC')::date and e.day < w.end_at at time zone 'UTC'
"""

FLAG = """
coalesce(
    f.flag,
    case
        when o.value = 'NaN' then 9
        when (select l.change from raw.load as l where l.load_id = o.load_id) <= e.read then 1
        else 2
    end
)
"""
"""The flag that is served of a value `o`, given its row `f` of `core.observation_flag` and its day's row `e` of `core.evaluation`, if any."""


def read_loaded(snapshot: Snapshot, windows: Sequence[Window]) -> tuple[Observations, Int64Array]:
    """The values of all series within half-open windows, sorted by series and time, each with the change by which it was loaded."""
    table = _table(snapshot, _VALUES, windows)
    loads = table["load_id"].to_numpy()
    names, position = np.unique(loads, return_inverse=True)
    changes = dict(snapshot.rows("select load_id, change from raw.load where load_id = any(%s)", (names.tolist(),)))
    observations = Observations(table["series_id"].to_numpy(), as_times(table["time"]), table["value"].to_numpy())
    return observations, np.array([changes[name] for name in names.tolist()], dtype=np.int64)[position]


def read_flagged(snapshot: Snapshot, windows: Sequence[Window]) -> Observations:
    """The values of all series within half-open windows with the flags that are served (see `FLAG`)."""
    observations, loaded = read_loaded(snapshot, windows)
    flags, evaluations = _table(snapshot, _FLAGS, windows), _table(snapshot, _EVALUATIONS, windows)
    read = np.full(len(observations), -1, dtype=np.int64)
    for row, values in _matches(evaluations, observations.series, observations.time.astype("datetime64[D]").astype("datetime64[us]")):
        read[values] = evaluations["read"].to_numpy()[row]
    flag = np.where(loaded <= read, GOOD, NOT_EVALUATED).astype(np.int8)
    flag[np.isnan(observations.value)] = MISSING
    for row, values in _matches(flags, observations.series, observations.time):
        flag[values] = flags["flag"].to_numpy()[row]
    return Observations(observations.series, observations.time, observations.value, flag)


def _table(snapshot: Snapshot, query: LiteralString, windows: Sequence[Window]) -> pa.Table:
    table = snapshot.arrow(sql.SQL(query).format(windows=window_values(windows)))
    series, time = table["series_id"].to_numpy(), as_times(table["time"])
    is_sorted = np.all((series[1:] > series[:-1]) | ((series[1:] == series[:-1]) & (time[1:] >= time[:-1])))
    return table if is_sorted else table.take(np.lexsort((time, series)))


def _matches(among: pa.Table, series: NDArray[np.int32], time: NDArray[np.datetime64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows of a table sorted by (series, time), and the positions of the sorted keys that they match: pairs of equal length, series by series."""
    rows_series, rows_time = among["series_id"].to_numpy(), as_times(among["time"])
    for number in np.unique(rows_series):
        row, end = np.searchsorted(rows_series, number, "left"), np.searchsorted(rows_series, number, "right")
        first, last = np.searchsorted(series, number, "left"), np.searchsorted(series, number, "right")
        position = np.minimum(np.searchsorted(rows_time[row:end], time[first:last]), end - row - 1)
        found = np.flatnonzero(rows_time[row:end][position] == time[first:last])
        yield row + position[found], first + found
