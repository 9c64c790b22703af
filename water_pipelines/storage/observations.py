"""Reading `core.observation`: values with their flags, in bulk, for what is computed from them.

The writing is in `loads.py` (values) and `flags.py` (flags).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, LiteralString, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.flags import GOOD, MISSING, NOT_EVALUATED
from water_pipelines.domain.series import Int64Array, Observations, starts_of_runs
from water_pipelines.storage.arrays import array_cursor
from water_pipelines.storage.database import Snapshot, Window, window_values

_BY_SERIES = """
select s.series_id, t.* from core.series as s cross join lateral (
    select {gathered} from {windows} as w(start_at, end_at) cross join lateral ({rows} offset 0) as r
) as t where t.times is not null order by s.series_id
"""

_VALUES = "select * from core.observation as r where r.series_id = s.series_id and r.time >= w.start_at and r.time < w.end_at"

_FLAGS = "select * from core.observation_flag as r where r.series_id = s.series_id and r.time >= w.start_at and r.time < w.end_at"

_EVALUATIONS = """
select e.day::timestamptz as time, e.read from core.evaluation as e
where e.series_id = s.series_id and e.day >= (w.start_at at time zone 'UTC')::date and e.day < w.end_at at time zone 'UTC'
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
    found = _gather(snapshot, _VALUES, {"value": np.float64, "load_id": np.int32}, windows)
    loads = found.columns["load_id"]
    starts = starts_of_runs(loads)
    names, position = np.unique(loads[starts], return_inverse=True)
    known = dict(snapshot.rows("select load_id, change from raw.load where load_id = any(%s)", (names.tolist(),)))
    changes = np.array([known[name] for name in names.tolist()], dtype=np.int64)[position]
    loaded = np.repeat(changes, np.diff(np.append(starts, len(loads))))
    return Observations(found.series, found.time, found.columns["value"]), loaded


def read_flagged(snapshot: Snapshot, windows: Sequence[Window]) -> Observations:
    """The values of all series within half-open windows with the flags that are served (see `FLAG`)."""
    observations, loaded = read_loaded(snapshot, windows)
    flags = _gather(snapshot, _FLAGS, {"flag": np.int16}, windows)
    evaluations = _gather(snapshot, _EVALUATIONS, {"read": np.int64}, windows)
    read = np.full(len(observations), -1, dtype=np.int64)
    for row, values in _matches(evaluations, observations.series, observations.time.astype("datetime64[D]").astype("datetime64[us]")):
        read[values] = evaluations.columns["read"][row]
    flag = np.where(loaded <= read, GOOD, NOT_EVALUATED).astype(np.int8)
    flag[np.isnan(observations.value)] = MISSING
    for row, values in _matches(flags, observations.series, observations.time):
        flag[values] = flags.columns["flag"][row]
    return Observations(observations.series, observations.time, observations.value, flag)


class _Found(NamedTuple):
    """Rows sorted by (series, time): int32[n], datetime64[us][n], and column -> array[n]."""

    series: NDArray[np.int32]
    time: NDArray[np.datetime64]
    columns: dict[str, NDArray[Any]]


def _gather(snapshot: Snapshot, rows: LiteralString, columns: Mapping[str, type[np.generic]], windows: Sequence[Window]) -> _Found:
    """The rows that a query gives of each series `s` and window `w`; series by series, which bounds the arrays that the server gathers."""
    gathered = sql.SQL(", ").join(
        [
            sql.SQL("array_agg(r.time) as times"),
            *(sql.SQL("array_agg({}) as {}").format(sql.Identifier("r", name), sql.Identifier(name)) for name in columns),
        ]
    )
    query = sql.SQL(_BY_SERIES).format(gathered=gathered, windows=window_values(windows), rows=sql.SQL(rows))
    with array_cursor(snapshot.connection) as cursor:
        parts = cursor.execute(query).fetchall()
    numbers = np.array([part[0] for part in parts], dtype=np.int32)
    series = np.repeat(numbers, [len(part[1]) for part in parts])
    kinds = [np.dtype("datetime64[us]"), *map(np.dtype, columns.values())]
    time, *values = (np.concatenate([np.empty(0, dtype=kind), *(part[i] for part in parts)]) for i, kind in enumerate(kinds, start=1))
    found = _Found(series, time, dict(zip(columns, values, strict=True)))
    if np.all((series[1:] > series[:-1]) | (time[1:] >= time[:-1])):
        return found
    order = np.lexsort((time, series))
    return _Found(series[order], time[order], {name: column[order] for name, column in found.columns.items()})


def _matches(among: _Found, series: NDArray[np.int32], time: NDArray[np.datetime64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows of a table sorted by (series, time), and the positions of the sorted keys that they match: pairs of equal length, series by series."""
    for number in among.series[starts_of_runs(among.series)]:
        row, end = np.searchsorted(among.series, number, "left"), np.searchsorted(among.series, number, "right")
        first, last = np.searchsorted(series, number, "left"), np.searchsorted(series, number, "right")
        position = np.minimum(np.searchsorted(among.time[row:end], time[first:last]), end - row - 1)
        found = np.flatnonzero(among.time[row:end][position] == time[first:last])
        yield row + position[found], first + found
