"""Which runs are alive: each holds an advisory lock for as long as its process lives, so that a dead one is noticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from water_pipelines.storage.database import Database

_RUNS = 5_601_005


@contextmanager
def alive(database: Database, run_id: str) -> Iterator[None]:
    """Hold the lock of a run; the server lets go of it when the process dies."""
    with database.connection() as connection:
        connection.execute("select pg_advisory_lock_shared(%s, hashtext(%s))", (_RUNS, run_id))
        connection.commit()
        try:
            yield
        finally:
            connection.rollback()
            connection.execute("select pg_advisory_unlock_shared(%s, hashtext(%s))", (_RUNS, run_id))
            connection.commit()


def dead(database: Database, run_ids: Sequence[str]) -> list[str]:
    """Those of some runs that nobody holds."""
    with database.connection() as connection:
        held = connection.execute("select objid::bigint from pg_locks where locktype = 'advisory' and classid = %s and granted", (_RUNS,)).fetchall()
        locks = {int(number) for (number,) in held}
        return [
            run_id
            for run_id, lock in connection.execute("select id, hashtext(id)::bigint & 4294967295 from unnest(%s::text[]) as id", (list(run_ids),))
            if lock not in locks
        ]
