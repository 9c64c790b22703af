"""Metrics of series by buckets of time, as the marts hold them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from psycopg import sql

from water_pipelines.storage.served.columns import Columns, page_of, read_columns
from water_pipelines.storage.served.reading import Reading

Interval = Literal["30min", "hourly", "daily"]
INTERVALS: tuple[Interval, ...] = ("30min", "hourly", "daily")

_FLOATS = (
    "mean",
    "minimum",
    "maximum",
    "sum",
    "standard_deviation",
    "volume",
    "completeness",
    "good_share",
    "suspect_share",
    "bad_share",
    "missing_share",
    "not_evaluated_share",
)
COLUMNS = ("count", "received", "expected", *_FLOATS, "is_closed")
"""What is known of a bucket beside its start. Floats are null where there is nothing to tell, `expected` where no interval is known."""

_EXPRESSIONS = {
    "time": "start_at",
    "count": "count",
    "received": "received",
    "expected": "coalesce(expected, -1)",
    **{name: f"coalesce({name}, 'NaN')" for name in _FLOATS},
    "is_closed": "is_closed",
}

_BUCKETS = """
select m.* from {metrics} as m where m.series_id = %(series)s and m.start_at >= %(start)s and m.start_at < %(end)s order by m.start_at limit %(limit)s
"""

_BOUNDS = (
    "select min(d.day)::timestamptz as first, max(d.day)::timestamptz + interval '1 day' as last from {days} as d where d.series_id = any(%(ids)s)"
)

_LATEST = """
select s.series_id, m.* from unnest(%(ids)s::int[]) as s (series_id)
cross join lateral (
    select {columns} from {metrics} as m
    where m.series_id = s.series_id and m.is_closed and m.start_at >= %(first)s and m.start_at < %(last)s order by m.start_at desc limit 1
) as m
"""


def read(
    reading: Reading, interval: Interval, series_ids: Sequence[int], start: datetime | None, end: datetime | None, limit: int
) -> tuple[list[Columns], datetime | None]:
    """The buckets that start within [start, end) of each of some series; and the time to go on from where a series has more than `limit`.

    Returns
    -------
    For each series `time` (the bucket's start) and `COLUMNS`; a missing float is NaN, a missing `expected` -1.
    """
    bounds = _bounds(reading, series_ids)
    query = sql.SQL(_BUCKETS).format(metrics=_mart(reading, interval))
    window = {"start": start or bounds["first"], "end": end or bounds["last"], "limit": limit + 1}
    return page_of([read_columns(reading, query, _EXPRESSIONS, {**window, "series": number}) for number in series_ids], limit)


def latest(reading: Reading, interval: Interval, series_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The last closed bucket of each series that has one: `time` and `COLUMNS`."""
    names = [sql.SQL("start_at as time"), *map(sql.Identifier, COLUMNS)]
    query = sql.SQL(_LATEST).format(metrics=_mart(reading, interval), columns=sql.SQL(", ").join(names))
    return {row.pop("series_id"): row for row in reading.rows(query, {"ids": list(series_ids), **_bounds(reading, series_ids)})}


def _mart(reading: Reading, interval: Interval) -> sql.Composable:
    return reading.table(f"mart.metric_{interval}")


def _bounds(reading: Reading, series_ids: Sequence[int]) -> dict[str, Any]:
    """The days that loads touched: outside them there are no metrics, and with them the planner leaves most partitions alone."""
    bounds = reading.row(sql.SQL(_BOUNDS).format(days=reading.loaded_days), {"ids": list(series_ids)})
    assert bounds is not None
    return bounds
