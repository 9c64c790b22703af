"""Datasets: every file that landed, of whatever kind, with all that is known of it.

What goes on with a file is its job (`jobs.py`). Both are read as they are at present: the ledger of files moves without a change number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from water_pipelines.storage.served.identity import as_uuid
from water_pipelines.storage.served.reading import NothingFound, Reading

_SERIES_SHOWN = 100

_DATASETS = """
select f.arrival, f.job_id as id, f.name, f.prefix, f.kind, f.sha256, f.bytes, f.arrived_at, f.status, f.error, f.rows, f.rejected,
    f.mapping_version, f.withdrawn_at as withdrawn_at_change, by.job_id as superseded_by
from raw.source_file as f left join raw.source_file as by on by.arrival = f.superseded_by
"""

_PAGE = """
where (%(before)s::bigint is null or f.arrival < %(before)s) and (%(status)s::text is null or f.status = %(status)s)
    and (%(kind)s::text is null or f.kind = %(kind)s) and (%(prefix)s::text is null or f.prefix = %(prefix)s)
    and f.arrived_at >= coalesce(%(start)s::timestamptz, '-infinity') and f.arrived_at < coalesce(%(end)s::timestamptz, 'infinity')
order by f.arrival desc limit %(limit)s
"""

_FACTS = """
select f.mapping, f.landed_at, l.parser, l.parser_version from raw.source_file as f
left join lateral (select parser, parser_version from raw.load where arrival = f.arrival order by load_id desc limit 1) as l on true
where f.arrival = %(arrival)s
"""

_SERIES = """
select s.uuid as id, s.natural_id, t.first_day, t.last_day, t.new, t.changed, t.unchanged, t.rejected, count(*) over () as of_all from (
    select d.series_id, min(d.day) as first_day, max(d.day) as last_day, sum(d.new)::bigint as new, sum(d.changed)::bigint as changed,
        sum(d.unchanged)::bigint as unchanged, sum(d.rejected)::bigint as rejected
    from raw.load as l join raw.load_day as d using (load_id) where l.arrival = %(arrival)s group by d.series_id
) as t join core.series as s using (series_id) order by s.natural_id limit %(limit)s
"""

_FILE = "select key, name, bytes, sha256, arrived_at, landed_at from raw.source_file where job_id = %(id)s"


@dataclass(frozen=True)
class DatasetFilter:
    """Which datasets are asked for; none means any. They arrived within [start, end)."""

    status: str | None = None
    kind: str | None = None
    prefix: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class File:
    """The bytes of a dataset: where they lie in the object store, and what they were called when they came."""

    key: str
    name: str
    bytes: int
    sha256: str
    arrived_at: datetime


def page(reading: Reading, wanted: DatasetFilter, before: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Datasets, the latest arrival first, before one of them; and where to go on."""
    asked = {"before": before, "limit": limit + 1, **vars(wanted)}
    found = reading.rows(sql.SQL(_DATASETS + _PAGE), asked)
    return found[:limit], found[limit - 1]["arrival"] if len(found) > limit else None


def find(reading: Reading, dataset_id: str) -> dict[str, Any]:
    """A dataset with its mapping, its parser and the series that it touched (the first hundred, and how many there are).

    Raises
    ------
    NothingFound
        There is none of that id.
    """
    found = reading.row(sql.SQL(_DATASETS + "where f.job_id = %(id)s"), {"id": as_uuid(dataset_id)})
    if found is None:
        raise NothingFound(_NONE.format(dataset_id))
    facts = reading.row(sql.SQL(_FACTS), {"arrival": found["arrival"]})
    assert facts is not None
    series = reading.rows(sql.SQL(_SERIES), {"arrival": found["arrival"], "limit": _SERIES_SHOWN})
    return {**found, **facts, "series_count": max((each.pop("of_all") for each in series), default=0), "series": series}


def arrival_of(reading: Reading, dataset_id: str) -> int:
    """The arrival number of a dataset; `NothingFound` where there is none of that id."""
    found = reading.row(sql.SQL("select arrival from raw.source_file where job_id = %(id)s"), {"id": as_uuid(dataset_id)})
    if found is None:
        raise NothingFound(_NONE.format(dataset_id))
    return int(found["arrival"])


def file(reading: Reading, dataset_id: str) -> File:
    """Where the bytes of a dataset lie.

    Raises
    ------
    NothingFound
        There is no such dataset, or its bytes have not landed yet.
    """
    found = reading.row(sql.SQL(_FILE), {"id": as_uuid(dataset_id)})
    if found is None:
        raise NothingFound(_NONE.format(dataset_id))
    if found.pop("landed_at") is None:
        raise NothingFound(f"the bytes of dataset {dataset_id!r} are landing; ask again in a moment")
    return File(**found)


_NONE = "there is no dataset {!r}; /api/v1/datasets lists them"
