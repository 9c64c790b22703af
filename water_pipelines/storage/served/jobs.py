"""Jobs: the files that landed, one job each, from their arrival to the end of their load.

The ledger of files tells what goes on at present and moves without a change number, so jobs are not read as of a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from water_pipelines.storage.served.identity import as_uuid
from water_pipelines.storage.served.reading import NothingFound, Reading

_JOBS = """
select f.arrival, f.job_id as id, f.name, f.prefix, f.kind, f.status, f.progress, f.error, f.bytes, f.sha256, f.mapping_version,
    f.attempts, f.rows, f.rejected, f.run, f.arrived_at, f.landed_at, f.started_at,
    f.finished_at, f.withdrawn_at as withdrawn_at_change, by.job_id as superseded_by
from raw.source_file as f left join raw.source_file as by on by.arrival = f.superseded_by
"""

_LOADS = """
select l.change, l.reason, l.parser, l.parser_version, l.run, count(d.*) as series_days, count(distinct d.series_id) as series,
    min(d.day) as first_day, max(d.day) as last_day, coalesce(sum(d.new), 0)::bigint as new, coalesce(sum(d.changed), 0)::bigint as changed,
    coalesce(sum(d.unchanged), 0)::bigint as unchanged
from raw.load as l left join raw.load_day as d using (load_id) where l.arrival = %(arrival)s and l.reason = 'load'
group by l.load_id order by l.load_id
"""

_REJECTED = """
select position, source_row, text, reason from raw.rejected_row where arrival = %(arrival)s and position > %(after)s order by position limit %(limit)s
"""


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are asked for; none means any."""

    status: str | None = None
    kind: str | None = None
    prefix: str | None = None
    name: str | None = None


def page(reading: Reading, wanted: JobFilter, before: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Jobs, the latest arrival first, before one of them; and where to go on."""
    query = sql.SQL(
        _JOBS + "where (%(before)s::bigint is null or f.arrival < %(before)s) and (%(status)s::text is null or f.status = %(status)s)"
        " and (%(kind)s::text is null or f.kind = %(kind)s) and (%(prefix)s::text is null or f.prefix = %(prefix)s)"
        " and (%(name)s::text is null or f.name = %(name)s) order by f.arrival desc limit %(limit)s"
    )
    found = reading.rows(
        query,
        {"before": before, "status": wanted.status, "kind": wanted.kind, "prefix": wanted.prefix, "name": wanted.name, "limit": limit + 1},
    )
    return found[:limit], found[limit - 1]["arrival"] if len(found) > limit else None


def find(reading: Reading, job_id: str) -> dict[str, Any]:
    """A job with what its loads did.

    Raises
    ------
    NothingFound
        There is none of that id.
    """
    found = reading.row(sql.SQL(_JOBS + "where f.job_id = %(id)s"), {"id": as_uuid(job_id)})
    if found is None:
        raise NothingFound(f"there is no job {job_id!r}; /api/v1/datasets/jobs lists them")
    return {**found, "loads": reading.rows(sql.SQL(_LOADS), {"arrival": found["arrival"]})}


def needing_attention(reading: Reading, limit: int) -> list[dict[str, Any]]:
    """Jobs that failed or were quarantined and that nobody withdrew or superseded, and those at work, the latest arrival first."""
    query = _JOBS + "where f.status in ('failed', 'quarantined', 'running') and f.withdrawn_at is null order by f.arrival desc limit %(limit)s"
    return reading.rows(sql.SQL(query), {"limit": limit})


def partly_loaded(reading: Reading, limit: int) -> list[dict[str, Any]]:
    """Jobs of files of which rows were refused and the rest is loaded, the latest arrival first."""
    query = _JOBS + "where f.status = 'succeeded' and f.rejected > 0 and f.withdrawn_at is null order by f.arrival desc limit %(limit)s"
    return reading.rows(sql.SQL(query), {"limit": limit})


def rejected_rows(reading: Reading, arrival: int, after: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """The refused rows of a file in their order, after a position; and where to go on."""
    found = reading.rows(sql.SQL(_REJECTED), {"arrival": arrival, "after": -1 if after is None else after, "limit": limit + 1})
    return found[:limit], found[limit - 1]["position"] if len(found) > limit else None
