"""The changes feed: what happened to the values of series, and to their flags, change by change."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from water_pipelines.storage.claims import series_uuid
from water_pipelines.storage.served.reading import Reading, require_made

_LAST = """
select max(n) as last, count(*) as found from (
    select n from core.series_change where n > %(since)s and n <= %(upto)s order by n limit %(limit)s
) as first
"""

_CHANGES = """
select c.n as change, ch.recorded_at, c.kind, coalesce(s.natural_id, t.natural_id) as series, c.start_at, c.end_at, c.rows
from core.series_change as c
join core.change as ch using (n)
left join core.series as s using (series_id)
left join core.tombstone as t on t.series_id = c.series_id
where c.n > %(since)s and c.n <= %(upto)s
order by c.n, series, c.kind, c.start_at
"""


def page(reading: Reading, since: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """What the changes after `since` did, in their order; and the last change told, where there are more.

    A change is told as a whole, so a page may hold more than `limit` entries: those of one change.

    Raises
    ------
    UnknownChange
        `since` was not made yet: it was given by a database that was restored from an earlier state, or rebuilt, since.
    """
    require_made(reading, since)
    known = {"since": since, "upto": reading.number}
    last = _last(reading, known, limit)
    found = reading.rows(sql.SQL(_CHANGES), {**known, "upto": reading.number if last is None else last})
    return [_item(each) for each in found], last


def _last(reading: Reading, known: dict[str, int], limit: int) -> int | None:
    """The last change that a page tells of; none where it tells of all."""
    first = reading.row(sql.SQL(_LAST), {**known, "limit": limit + 1})
    assert first is not None
    if first["found"] <= limit:
        return None
    before = reading.row(sql.SQL(_LAST), {**known, "upto": first["last"] - 1, "limit": limit})
    assert before is not None
    return int(first["last"] if before["last"] is None else before["last"])


def _item(entry: dict[str, Any]) -> dict[str, Any]:
    natural_id = entry.pop("series")
    return {**entry, "series": {"id": series_uuid(natural_id), "natural_id": natural_id}}
