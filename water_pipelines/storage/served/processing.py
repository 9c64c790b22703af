"""Processing jobs: the run behind each partition of each asset, and the partitions that wait for one.

They are read as they are at present: what is stale moves with every change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from water_pipelines.storage.served.reading import Reading

_JOBS = """
select j.asset, j.partition, j.status, j.run, j.rows, j.read, j.made, j.changed_at, j.computed_at, j.logged_at, j.code_version
from core.processing_jobs as j
where (%(asset)s::text is null or j.asset = %(asset)s) and (%(status)s::text is null or j.status = %(status)s)
    and (%(run)s::text is null or j.run = %(run)s) and (j.asset, j.partition) > (%(after_asset)s::text, %(after_partition)s::text)
order by j.asset, j.partition limit %(limit)s
"""


@dataclass(frozen=True)
class ProcessingFilter:
    """Which processing jobs are asked for; none means any."""

    asset: str | None = None
    status: str | None = None
    run: str | None = None


def page(reading: Reading, wanted: ProcessingFilter, after: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """Processing jobs by asset and partition, after one of them; and where to go on."""
    asset, _, partition = (after or "").partition("\n")
    found = reading.rows(sql.SQL(_JOBS), {**vars(wanted), "after_asset": asset, "after_partition": partition, "limit": limit + 1})
    last = found[limit - 1] if len(found) > limit else None
    return found[:limit], f"{last['asset']}\n{last['partition']}" if last else None
