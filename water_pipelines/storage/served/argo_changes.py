"""The changes feed of Argo: what each change did to the casts of floats, and to their flags; found by the changes between which rows hold."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from water_pipelines.storage.served.reading import Reading, require_made

_CHANGES = """
with asked as (
    select n, recorded_at from core.change where n > %(since)s and n <= %(upto)s and kind in ('argo', 'withdraw', 'core/argo_flag')
    order by n limit %(limit)s
), span as (
    select min(n) as low, max(n) as high from asked
), version as (
    select c.profile_id, c.wmo, c.cycle, c.since from span join core.argo_profile as c on c.since between low and high
    union select h.profile_id, h.wmo, h.cycle, h.since from span join history.argo_profile as h on h.since between low and high and h.since < h.until
), event as (
    select since as n, wmo, cycle, profile_id, case when exists (
        select from history.argo_profile as h where h.wmo = v.wmo and h.profile_id = v.profile_id and h.until = v.since and h.since < h.until
    ) then 'changed' else 'added' end as kind
    from version as v
    union select h.until, h.wmo, h.cycle, h.profile_id, 'withdrawn' from span join history.argo_profile as h on h.until between low and high
    where not exists (select from version as v where v.profile_id = h.profile_id and v.since = h.until)
    union select f.n, f.wmo, p.cycle, f.profile_id, 'flagged' from (
        select since as n, wmo, profile_id from span join core.argo_evaluation on since between low and high
        union select since, wmo, profile_id from span join history.argo_evaluation on since between low and high
        union select since, wmo, profile_id from span join core.argo_flag on since between low and high
        union select since, wmo, profile_id from span join history.argo_flag on since between low and high
        union select until, wmo, profile_id from span join history.argo_flag on until between low and high
    ) as f cross join lateral (
        select cycle from core.argo_profile where profile_id = f.profile_id
        union select cycle from history.argo_profile where wmo = f.wmo and profile_id = f.profile_id
    ) as p
)
select n as change, a.recorded_at, e.kind, e.wmo, count(*) as casts, min(e.cycle) as first_cycle, max(e.cycle) as last_cycle
from asked as a join event as e using (n) group by n, a.recorded_at, e.kind, e.wmo order by n, e.wmo, e.kind
"""

_NEXT = """
select max(n) as last, count(*) as found from (
    select n from core.change where n > %(since)s and n <= %(upto)s and kind in ('argo', 'withdraw', 'core/argo_flag') order by n limit %(limit)s
) as first
"""


def page(reading: Reading, since: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """What the first `limit` changes after `since` did, in their order; and the last change told, where there are more.

    Raises
    ------
    UnknownChange
        `since` was not made yet: it was given by a database that was restored from an earlier state, or rebuilt, since.
    """
    require_made(reading, since)
    asked = {"since": since, "upto": reading.number, "limit": limit}
    found = reading.row(sql.SQL(_NEXT), {**asked, "limit": limit + 1})
    assert found is not None
    rows = reading.rows(sql.SQL(_CHANGES), asked)
    if found["found"] <= limit:
        return rows, None
    last = reading.row(sql.SQL(_NEXT), asked)
    assert last is not None
    return rows, int(last["last"])
