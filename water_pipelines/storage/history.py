"""How far back the past can be told: what was superseded before the horizon is removed, and states before it are refused.

Keep out: how long history is kept, and reading it (`served/reading.py`).
"""

from __future__ import annotations

from datetime import datetime

from psycopg import sql

from water_pipelines.storage.database import Connection, Database

_BLOCKS = 2_000  # 16 MB of a table in one transaction: no long locks, and a kill loses little

_TABLES = "select c.relname from pg_class as c where c.relnamespace = 'history'::regnamespace and c.relkind = 'r' order by 1"

_SIZES = "select pg_relation_size(%s::regclass) / current_setting('block_size')::bigint"


def horizon(connection: Connection) -> int:
    """The first change whose state can be read."""
    row = connection.execute("select n from core.history_horizon").fetchone()
    assert row is not None
    return int(row[0])


def change_at(connection: Connection, time: datetime) -> int:
    """The last change recorded up to a time; 0 before the first."""
    row = connection.execute("select n from core.change where recorded_at <= %s order by recorded_at desc, n desc limit 1", (time,)).fetchone()
    return int(row[0]) if row else 0


def superseded(connection: Connection, before: int) -> dict[str, int]:
    """How many rows of each table gave way at or before a change: nobody who reads that change's state, or a later one, needs them."""
    counts = {}
    for table in _tables(connection):
        row = connection.execute(sql.SQL("select count(*) from {} where until <= %s").format(sql.Identifier("history", table)), (before,)).fetchone()
        assert row is not None
        counts[table] = int(row[0])
    return {table: count for table, count in counts.items() if count}


def expire(database: Database, before: int) -> dict[str, int]:
    """Let the states before a change go: from now on they are refused, and the rows that only they need are deleted; gives the rows by table.

    The horizon moves first, so that no state is ever read of which a part is gone; a run that dies is finished by the next one. It never
    moves back.
    """
    with database.connection() as connection:
        connection.execute("update core.history_horizon set n = %s where n < %s", (before, before))
        connection.commit()
        reached = horizon(connection)
        tables = _tables(connection)
        connection.commit()
        counts = {table: sum(_deleted(connection, table, reached)) for table in tables}
    return {table: count for table, count in counts.items() if count}


def _deleted(connection: Connection, table: str, horizon: int) -> list[int]:
    """Delete by stretches of blocks, each in its own transaction: the table is read once, and needs no index on `until`."""
    name = sql.Identifier("history", table)
    row = connection.execute(_SIZES, (f"history.{table}",)).fetchone()
    assert row is not None
    statement = sql.SQL(
        "delete from {} where ctid >= format('(%%s,0)', %s::bigint)::tid and ctid < format('(%%s,0)', %s::bigint)::tid and until <= %s"
    )
    counts = []
    for block in range(0, int(row[0]), _BLOCKS):
        counts.append(connection.execute(statement.format(name), (block, block + _BLOCKS, horizon)).rowcount)
        connection.commit()
    return counts


def _tables(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute(_TABLES)]
