"""The rows of every table as text, out of one snapshot and into an empty database: what a backup of the database is.

Tables are taken from the catalogue, so that none is forgotten; tables that are partitioned go partition by partition. The text is that of
PostgreSQL's COPY, which every version reads, so that a dump fits any server on which the same migrations ran. Keep out: files and stores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from water_pipelines.storage.database import Connection
from water_pipelines.storage.partitions import make_partitions

SCHEMAS = ("raw", "core", "mart", "history")

_TABLES = """
select n.nspname || '.' || c.relname, array_agg(a.attname::text order by a.attnum), c.relispartition
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
where n.nspname = any(%(schemas)s) and c.relkind = 'r' and c.relpersistence = 'p'
    -- what dbt made in a database is of that database alone
    and (n.nspname, c.relname) <> ('mart', 'definition')
    -- what an extension brings, and columns of its types, follow from the rest and are not there on every server
    and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e')
    and not exists (select from pg_depend where classid = 'pg_type'::regclass and objid = a.atttypid and deptype = 'e')
group by n.nspname, c.relname, c.relispartition order by 1
"""
_SEQUENCES = "select schemaname || '.' || sequencename, last_value from pg_sequences where schemaname = any(%s) and last_value is not null order by 1"
_FOREIGN_KEYS = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
where contype = 'f' and conparentid = 0 and connamespace = any(%s::regnamespace[]) order by 1, 2
"""
_YEAR = re.compile(r"_(\d{4})$")


class WrongTable(Exception):
    """A dump does not fit this database: a table or column is missing, or another number of rows came out than went in."""


@dataclass(frozen=True)
class Table:
    """A table, or a partition of one, with the columns that are stored."""

    name: str
    columns: tuple[str, ...]
    is_partition: bool

    @property
    def year(self) -> int | None:
        """The year of a yearly partition."""
        found = _YEAR.search(self.name) if self.is_partition else None
        return int(found[1]) if found else None

    @property
    def identifier(self) -> sql.Identifier:
        """Its name in a statement."""
        return sql.Identifier(*self.name.split("."))

    def copied(self, direction: sql.SQL) -> sql.Composed:
        """The statement that copies its rows out or in."""
        return sql.SQL("copy {} ({}) {}").format(self.identifier, sql.SQL(", ").join(map(sql.Identifier, self.columns)), direction)


def tables(connection: Connection) -> list[Table]:
    """All tables of the platform, but for those whose rows are never kept."""
    return [Table(name, tuple(columns), part) for name, columns, part in connection.execute(_TABLES, {"schemas": list(SCHEMAS)})]


def holds_rows(connection: Connection, table: Table) -> bool:
    """Whether a table has any row."""
    row = connection.execute(sql.SQL("select exists (select from {})").format(table.identifier)).fetchone()
    return row is not None and bool(row[0])


def sequences(connection: Connection) -> dict[str, int]:
    """The last number that each sequence gave; asked after the tables were read, it is at least as high as any number in them."""
    return dict(connection.execute(_SEQUENCES, (list(SCHEMAS),)).fetchall())


def stored_bytes(connection: Connection) -> int:
    """What the tables take on the disk of the server, with their indexes."""
    query = (
        "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class as c where c.relkind = 'r'"
        " and c.relnamespace = any(%s::regnamespace[])"
    )
    row = connection.execute(query, (list(SCHEMAS),)).fetchone()
    return int(row[0]) if row else 0


def rows_of(connection: Connection, table: Table) -> Iterator[bytes]:
    """The rows of a table, as text, in blocks."""
    _speak_plainly(connection)
    with connection.cursor() as cursor, cursor.copy(table.copied(sql.SQL("to stdout"))) as copy:
        for block in copy:
            yield bytes(block)


def is_empty(connection: Connection) -> bool:
    """Whether a migrated database holds nothing that landed: everything in it follows from what did."""
    row = connection.execute("select not exists (select from raw.source_file)").fetchone()
    return row is not None and bool(row[0])


def fill(connection: Connection, rows: Iterable[tuple[Table, int, Iterator[bytes]]], numbers: Mapping[str, int], years: Sequence[int]) -> None:
    """Replace what a migrated database that is empty holds by dumped tables, within the transaction at hand.

    Parameters
    ----------
    rows : each table with its number of rows and their text; tables that had none are left out.
    numbers : the last number of each sequence.
    years : of the yearly partitions that the tables need.

    Raises
    ------
    WrongTable
        Nothing must be committed then.
    """
    if years:
        make_partitions(connection, min(years), max(years))
    _speak_plainly(connection)
    known = {table.name: table for table in tables(connection)}
    keys = connection.execute(_FOREIGN_KEYS, (list(SCHEMAS),)).fetchall()
    for table, name, _ in keys:
        # checked once at the end, for all rows together, and in no order of the tables
        connection.execute(sql.SQL("alter table {} drop constraint {}").format(_quoted(table), sql.Identifier(name)))
    connection.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(table.identifier for table in known.values())))
    for dumped, expected, blocks in rows:
        table_here = known.get(dumped.name)
        if table_here is None or not set(dumped.columns) <= set(table_here.columns):
            missing = sorted(set(dumped.columns) - set(table_here.columns)) if table_here else []
            raise WrongTable(f"the schema of this release has no {dumped.name}{f' with {missing}' if missing else ''}")
        try:
            with connection.cursor() as cursor:
                with cursor.copy(dumped.copied(sql.SQL("from stdin"))) as copy:
                    for block in blocks:
                        copy.write(block)
                if cursor.rowcount != expected:
                    raise WrongTable(f"{dumped.name} has {cursor.rowcount:,} rows where {expected:,} were dumped")
        except psycopg.DataError as error:
            raise WrongTable(f"{dumped.name} does not fit: {error}") from error
    for table, name, definition in keys:
        connection.execute(sql.SQL("alter table {} add constraint {} {}").format(_quoted(table), sql.Identifier(name), sql.SQL(definition)))
    for sequence, last in numbers.items():
        connection.execute("select setval(%s::regclass, %s)", (sequence, last))


def clear(connection: Connection) -> None:
    """Drop the schema of a database that is empty, so that another revision of it can be made."""
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.SQL(", ").join(map(sql.Identifier, SCHEMAS))))
    connection.execute("drop table if exists public.alembic_version")


def forget_dagster(connection: Connection) -> None:
    """Let Dagster be told again of everything that was computed: another Dagster does not know of it."""
    connection.execute("update core.computed set logged_at = null")


def _speak_plainly(connection: Connection) -> None:
    """Texts that mean the same on every server, whatever its settings."""
    for name, value in (("timezone", "UTC"), ("datestyle", "ISO, YMD"), ("intervalstyle", "postgres"), ("extra_float_digits", "1")):
        connection.execute("select set_config(%s, %s, true)", (name, value))


def _quoted(table: str) -> sql.SQL:
    """As the catalogue gives it, which is quoted where it must be."""
    return sql.SQL(table)
