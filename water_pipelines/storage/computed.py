"""What was computed: for each asset and unit the change it read and the change it made, the run and the code. The lineage of derived rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from water_pipelines.storage.database import Connection, Database


class Unlogged(NamedTuple):
    """A computed unit of which Dagster has not been told yet."""

    asset: str
    unit: str
    read: int
    made: int
    rows: int


def lock(connection: Connection, asset: str) -> None:
    """Let one writer of an asset's table through at a time, until the end of the transaction."""
    connection.execute("select pg_advisory_xact_lock(hashtext('computed'), hashtext(%s))", (asset,))


def units_read_after(connection: Connection, asset: str, read: int) -> set[str]:
    """Units that were computed from a later state of the data than `read`: an older result must not replace theirs."""
    return {row[0] for row in connection.execute("select unit from core.computed where asset = %s and read > %s", (asset, read))}


def note(
    database: Database,
    connection: Connection,
    asset: str,
    rows: Mapping[str, int],
    read: int,
    made: int | None,
    rule_set_id: int | None,
    model: str | None,
) -> None:
    """Note units as computed; where nothing was written (`made` is none) the change that last made them stays."""
    connection.execute(
        """
        insert into core.computed (asset, unit, read, made, run, code_version, rule_set_id, model, rows)
        select %(asset)s, unit, %(read)s, coalesce(%(made)s, 0), %(run)s, %(code)s, %(rules)s, %(model)s, rows
        from unnest(%(units)s::text[], %(rows)s::bigint[]) as t(unit, rows)
        on conflict (asset, unit) do update set
            read = excluded.read, made = coalesce(%(made)s, core.computed.made), run = excluded.run, code_version = excluded.code_version,
            rule_set_id = excluded.rule_set_id, model = excluded.model, rows = excluded.rows, computed_at = clock_timestamp(), logged_at = null
        """,
        {
            "asset": asset,
            "units": list(rows),
            "rows": list(rows.values()),
            "read": read,
            "made": made,
            "run": database.run,
            "code": database.code_version,
            "rules": rule_set_id,
            "model": model,
        },
    )


def not_logged(connection: Connection, limit: int) -> list[Unlogged]:
    """Units whose materialisation is still to be logged, asset by asset."""
    query = "select asset, unit, read, made, rows from core.computed where logged_at is null order by asset, unit limit %s"
    return [Unlogged(*row) for row in connection.execute(query, (limit,))]


def logged(connection: Connection, units: Sequence[Unlogged]) -> None:
    """Note that Dagster knows of these units, unless they are computed again meanwhile: nobody is waited for, and so nobody locked against."""
    connection.execute(
        """
        with free as (
            select c.asset, c.unit from core.computed as c join unnest(%s::text[], %s::text[], %s::bigint[]) as t(asset, unit, read)
            on c.asset = t.asset and c.unit = t.unit and c.read = t.read
            for update of c skip locked
        )
        update core.computed as c set logged_at = clock_timestamp() from free where c.asset = free.asset and c.unit = free.unit
        """,
        ([u.asset for u in units], [u.unit for u in units], [u.read for u in units]),
    )
