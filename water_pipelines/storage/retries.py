"""Loads that ended early: those whose process died and those that failed for reasons that may pass, to be begun again, a bounded number of times.

A file that is at fault itself is quarantined and waits for somebody; it is no business of this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from water_pipelines.storage.database import Connection, Database
from water_pipelines.storage.source_files import LOADING

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
"""A failed load rests for the first pause, twice as long after each further attempt, up to the longest."""

_ENDED_EARLY = """
select arrival, status = 'running' as died, attempts >= %(attempts)s as is_last from raw.source_file
where landed_at is not null and withdrawn_at is null and (
    status = 'running'
    or status = 'failed' and attempts < %(attempts)s
    and finished_at + least(%(longest)s::interval, %(first)s::interval * 2 ^ (attempts - 1)) <= clock_timestamp()
)
"""

_FREE = "select e.* from ended as e where not exists ({holders})"

_HOLDERS = """
select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
    and classid = %(loading)s and objid = e.arrival and objsubid = 2 and granted
"""

_FIND = f"with ended as ({_ENDED_EARLY}) {_FREE.format(holders=_HOLDERS)}"

_AGAIN = f"""
with found as materialized ({_FIND}),
taken as materialized (select f.* from found as f where pg_try_advisory_xact_lock(%(loading)s, f.arrival::int))
update raw.source_file as s set
    status = case when t.died and t.is_last then 'failed' else 'pending' end,
    error = case
        when not t.died then s.error
        when t.is_last then format('its load was cut off %%s times: the process died (killed, or out of memory), last in run %%s.', s.attempts, s.run)
            || ' Mend what kills it, then `water retry ' || s.arrival || '`'
        else format('its load was cut off: the process of run %%s died; it is begun again', s.run)
    end,
    finished_at = case when t.died then clock_timestamp() else s.finished_at end
from taken as t where s.arrival = t.arrival and s.status in ('running', 'failed')
returning s.arrival, s.status
"""


@dataclass(frozen=True)
class Retried:
    """Arrivals that wait for their load again, and those that were given up because their loads died too often."""

    again: list[int]
    given_up: list[int]


def are_due(connection: Connection, attempts: int) -> bool:
    """Whether loads that ended early are to be begun again, or whether files wait that no run was ever begun for.

    Parameters
    ----------
    attempts : a load is begun at most so often.
    """
    waiting = "select from raw.source_file where landed_at is not null and withdrawn_at is null and status = 'pending'"
    row = connection.execute(f"select exists ({_FIND}) or exists ({waiting})", _parameters(attempts)).fetchone()
    return row is not None and bool(row[0])


def begin_again(database: Database, attempts: int) -> Retried:
    """Let loads that ended early wait for a run again; those that died in their last attempt are left failed, with the reason."""
    with database.connection() as connection:
        found = connection.execute(_AGAIN, _parameters(attempts)).fetchall()
    return Retried(
        sorted(arrival for arrival, status in found if status == "pending"), sorted(arrival for arrival, status in found if status == "failed")
    )


def _parameters(attempts: int) -> dict[str, object]:
    return {"attempts": attempts, "first": FIRST_PAUSE, "longest": LONGEST_PAUSE, "loading": LOADING}
