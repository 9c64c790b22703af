"""What was deleted for ever, and how it is deleted: a tombstone keeps what arrived before it from coming back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from water_pipelines.storage.claims import Claims, forget_descriptions
from water_pipelines.storage.database import Connection

_NUMBERED = """
select n.nspname, c.relname, a.attname from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attname in ('series_id', 'scope_series_id') and not a.attisdropped
where n.nspname in ('raw', 'core', 'mart', 'history') and c.relkind in ('r', 'p') and not c.relispartition
    and (n.nspname, c.relname) not in (('core', 'series'), ('core', 'series_change'), ('core', 'tombstone'))
order by n.nspname = 'history', n.nspname, c.relname
"""

_REFUSED_ROWS = """
delete from raw.rejected_row as r
where arrival = any(%(series)s) and not exists (select from raw.claim as c where c.arrival = r.arrival and c.subject = 'series')
    or arrival = any(%(station)s) and not exists (select from raw.claim as c where c.arrival = r.arrival)
"""
_FORGOTTEN_BY_MODELS = """
update core.model_version set summary = summary || jsonb_build_object('without', (
    select coalesce(jsonb_agg(name), '[]') from jsonb_array_elements_text(summary -> 'without') as name where name <> all(%(names)s)
))
where summary -> 'without' ?| %(names)s
"""


@dataclass(frozen=True)
class Buried:
    """Stations and series that an act deleted after some arrival."""

    stations: frozenset[str]
    series: frozenset[str]

    def takes_all(self, claims: Claims) -> bool:
        """Whether all series that a file speaks of were deleted; or all stations, where it speaks of no series."""
        left = self.left_of(claims)
        return not left.series if claims.series else bool(claims.stations) and not left.stations

    def left_of(self, claims: Claims) -> Claims:
        """What a file says of the others."""
        if not self.stations and not self.series:
            return claims
        return Claims(
            {name: said for name, said in claims.stations.items() if name not in self.stations},
            {name: said for name, said in claims.series.items() if name not in self.series and said["station"] not in self.stations},
        )


def above(connection: Connection, arrival: int) -> Buried:
    """What was deleted by acts that arrived after a file."""
    rows = connection.execute("select subject, natural_id from core.tombstone where arrival > %s", (arrival,)).fetchall()
    named = {subject: frozenset(name for of, name in rows if of == subject) for subject in ("station", "series")}
    return Buried(named["station"], named["series"])


def bury(connection: Connection, arrival: int, stations: Sequence[str], series: Mapping[str, int]) -> None:
    """Put up tombstones; call it with the clock held, before `delete`.

    Parameters
    ----------
    series : natural id -> number.
    """
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into core.tombstone (subject, natural_id, series_id, arrival, since) values (%s, %s, %s, %s, core.this_change())",
            [
                *(("station", name, None, arrival) for name in stations),
                *(("series", name, number, arrival) for name, number in series.items()),
            ],
        )


def delete(connection: Connection, stations: Sequence[str], series: Mapping[str, int]) -> dict[str, int]:
    """Delete stations and series with all that is stored and derived of them, and its history; gives the rows deleted by table.

    What is known of the changes to a series stays in the changes feed. Landed objects stay: they are never changed. Refused rows go with a
    file that spoke of nothing else. Call it with the clock held.
    """
    run = connection.execute
    run("select set_config('water.deletes', 'on', true)")
    numbers, counts = list(series.values()), dict[str, int]()

    def counted(table: str, done: Any) -> None:
        if done.rowcount:
            counts[table] = counts.get(table, 0) + done.rowcount

    failures = "delete from {}.check_failure where (row ->> 'series_id')::int = any(%s)"
    counted("core.check_failure", run(sql.SQL(failures).format(sql.Identifier("core")), (numbers,)))
    for schema, table, column in run(_NUMBERED).fetchall():
        statement = sql.SQL("delete from {} where {} = any(%s)").format(sql.Identifier(schema, table), sql.Identifier(column))
        counted(f"{schema}.{table}", run(statement, (numbers,)))
    named: dict[str, list[str]] = {"series": list(series), "station": list(stations)}
    spoke = {
        subject: [row[0] for row in run("select distinct arrival from raw.claim where subject = %s and natural_id = any(%s)", (subject, names))]
        for subject, names in named.items()
    }
    for subject, names in named.items():
        counted("raw.claim", run("delete from raw.claim where subject = %s and natural_id = any(%s)", (subject, names)))
        forget_descriptions(connection, subject, names)
        for schema in ("core", "history"):
            statement = sql.SQL("delete from {} where natural_id = any(%s)").format(sql.Identifier(schema, subject))
            counted(f"{schema}.{subject}", run(statement, (names,)))
    counted("raw.rejected_row", run(_REFUSED_ROWS, spoke))
    run(_FORGOTTEN_BY_MODELS, {"names": named["series"]})
    run("delete from history.model_version where until = core.this_change()")
    counted("history.check_failure", run(sql.SQL(failures).format(sql.Identifier("history")), (numbers,)))
    return counts
