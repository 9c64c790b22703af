"""Reading `core.observation`: values with their flags, as they are now or as they were at a change.

The writing is in `loads.py` (values) and `flags.py` (flags).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from psycopg import sql

from water_pipelines.domain.series import Observations
from water_pipelines.storage.database import Snapshot, Window, as_times, window_values

_VALUES = """
select o.series_id, o.time, o.value from {windows} as w(start_at, end_at) cross join core.series as s
cross join lateral (
    select * from core.observation as o where o.series_id = s.series_id and o.time >= w.start_at and o.time < w.end_at order by o.time offset 0
) as o
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
"""The flag of a value `o`, given its row `f` of `core.observation_flag` and its day's row `e` of `core.evaluation`, either of which may be missing."""

_FLAGGED = f"""
select o.series_id, o.time, o.value, ({FLAG})::smallint as flag from {{windows}} as w(start_at, end_at) cross join core.series as s
cross join lateral (
    select * from core.observation as o where o.series_id = s.series_id and o.time >= w.start_at and o.time < w.end_at order by o.time offset 0
) as o
left join lateral (
    select * from core.observation_flag as f where f.series_id = o.series_id and f.time = o.time offset 0
) as f on true
left join core.evaluation as e on e.series_id = o.series_id and e.day = (o.time at time zone 'UTC')::date
"""


def read(snapshot: Snapshot, windows: Sequence[Window]) -> Observations:
    """The values of all series within half-open windows, sorted by series and time."""
    return _observations(snapshot, _VALUES, windows)


def read_flagged(snapshot: Snapshot, windows: Sequence[Window]) -> Observations:
    """The values of all series within half-open windows with the flags that are served: 2 where a value came after the last evaluation."""
    return _observations(snapshot, _FLAGGED, windows)


def _observations(snapshot: Snapshot, query: str, windows: Sequence[Window]) -> Observations:
    if not windows:
        return Observations(*(np.empty(0, dtype=kind) for kind in ("int32", "datetime64[us]", "float64")))
    table = snapshot.arrow(sql.SQL(query).format(windows=window_values(windows)))  # type: ignore[arg-type]  # queries are literals of this file
    series, time = table["series_id"].to_numpy(), as_times(table["time"])
    found = Observations(series, time, table["value"].to_numpy(), table["flag"].to_numpy().astype(np.int8) if "flag" in table.column_names else None)
    return found.take(np.lexsort((time, series)))
