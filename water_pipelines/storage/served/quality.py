"""Data quality of series by day, as the mart holds it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql

from water_pipelines.storage.served.columns import Columns, page_of, read_columns
from water_pipelines.storage.served.reading import Reading

_COUNTS = ("received", "good", "suspect", "bad", "missing", "not_evaluated")
_TESTS = ("gross_range_failed", "spike_failed", "rate_of_change_failed", "flat_line_failed", "gap_failed")
COLUMNS = ("expected", *_COUNTS, "completeness", *_TESTS, "longest_gap_s", "rule_set_id")
"""What is known of a series' day. `expected` and `completeness` are missing where no interval is known."""

_EXPRESSIONS = {
    "time": "day::timestamptz",
    "expected": "coalesce(expected, -1)",
    **{name: name for name in _COUNTS},
    "completeness": "coalesce(completeness, 'NaN')",
    **{name: name for name in _TESTS},
    "longest_gap_s": "coalesce(longest_gap_s, 'NaN')",
    "rule_set_id": "coalesce(rule_set_id, -1)",
}

_DAYS = """
select q.* from {quality} as q
where q.series_id = %(series)s and q.day >= coalesce(%(start)s::timestamptz, '-infinity') and q.day < coalesce(%(end)s::timestamptz, 'infinity')
order by q.day limit %(limit)s
"""

_TOTALS = """
select q.day, sum(q.expected)::bigint as expected, {sums} from {quality} as q where q.day >= %(first)s and q.day < %(last)s
group by q.day order by q.day
"""


def read(
    reading: Reading, series_ids: Sequence[int], start: datetime | None, end: datetime | None, limit: int
) -> tuple[list[Columns], datetime | None]:
    """The days (UTC) that begin within [start, end) of each of some series; and the time to go on from where a series has more than `limit`.

    Returns
    -------
    For each series `time` (the day's start) and `COLUMNS`; a missing float is NaN, a missing integer -1.
    """
    query = sql.SQL(_DAYS).format(quality=reading.table("mart.data_quality_daily"))
    window = {"start": start, "end": end, "limit": limit + 1}
    return page_of([read_columns(reading, query, _EXPRESSIONS, {**window, "series": number}) for number in series_ids], limit)


def totals(reading: Reading, days: int) -> list[dict[str, Any]]:
    """The counts of all series together, for each of the last days up to that of the last tick."""
    tick = reading.tick()
    if tick is None:
        return []
    sums = sql.SQL(", ").join(sql.SQL("sum(q.{0})::bigint as {0}").format(sql.Identifier(name)) for name in _COUNTS)
    query = sql.SQL(_TOTALS).format(quality=reading.table("mart.data_quality_daily"), sums=sums)
    last = tick.date() + timedelta(days=1)
    return reading.rows(query, {"first": last - timedelta(days=days), "last": last})
