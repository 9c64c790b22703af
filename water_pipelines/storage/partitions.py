"""Yearly partitions of every table that is partitioned by time; made by `migrate` and by a schedule, never within a load."""

from __future__ import annotations

from datetime import UTC, date, datetime

from psycopg import sql

from water_pipelines.storage.database import Connection, Database

_YEARS_AHEAD = 2

_MISSING = """
with parent as (
    select c.oid, n.nspname as schema, c.relname as name
    from pg_partitioned_table p join pg_class c on c.oid = p.partrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('core', 'mart')
)
select parent.schema, parent.name, year
from parent cross join generate_series(%s::int, %s::int) as year
where to_regclass(format('%%I.%%I', parent.schema, parent.name || '_' || year)) is null
order by parent.name, year
"""


def extend_partitions(database: Database, first_day: date) -> int:
    """Make the partitions that are missing from the first year to two years ahead, and say how many."""
    with database.connection() as connection:
        return make_partitions(connection, first_day.year, datetime.now(UTC).year + _YEARS_AHEAD)


def make_partitions(connection: Connection, first_year: int, last_year: int) -> int:
    """Make the yearly partitions that are missing, and say how many.

    A partition is made beside its parent and then attached: making it in place would lock out every reader of the parent.
    """
    missing = connection.execute(_MISSING, (first_year, last_year)).fetchall()
    for schema, name, year in missing:
        parent, leaf = sql.Identifier(schema, name), leaf_of(f"{schema}.{name}", year)
        connection.execute(sql.SQL("create table {} (like {} including defaults including constraints including indexes)").format(leaf, parent))
        connection.execute(
            sql.SQL("alter table {} attach partition {} for values from ({}) to ({})").format(
                parent, leaf, f"{year}-01-01T00:00:00+00", f"{year + 1}-01-01T00:00:00+00"
            )
        )
    return len(missing)


def leaf_of(table: str, year: int) -> sql.Identifier:
    """The partition of a `schema.name` that holds a year (UTC)."""
    schema, name = table.split(".")
    return sql.Identifier(schema, f"{name}_{year}")
