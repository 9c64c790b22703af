"""What is known of SensorThings servers: their configuration, landed pages and cursors, names of Things and Datastreams, and how polls go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

import numpy as np
from numpy.typing import NDArray

from water_pipelines.storage.arrays import array_cursor
from water_pipelines.storage.database import Connection, Database
from water_pipelines.storage.source_files import SourceFile

_PULLING = 5_601_007
GAP_GRACE = timedelta(seconds=30)
"""How long an id that is missing between others may still come: the transaction that took it may not have been committed."""


def put_servers(connection: Connection, file: SourceFile, servers: Mapping[str, Mapping[str, Any]], intervals_s: Mapping[str, float]) -> list[str]:
    """Let the servers of a file take the place of those of the file before it; gives the names that belong to another folder, which stay there."""
    connection.execute("delete from raw.sensorthings_server where prefix = %s", (file.prefix,))
    refused = []
    for name, said in servers.items():
        done = connection.execute(
            "insert into raw.sensorthings_server (server, arrival, prefix, said) values (%s, %s, %s, %s) on conflict (server) do nothing",
            (name, file.arrival, file.prefix, json.dumps(said)),
        )
        if not done.rowcount:
            refused.append(name)
            continue
        connection.execute(
            "insert into raw.sensorthings_poll (server, interval_s) values (%s, %s) on conflict (server) do update"
            " set interval_s = excluded.interval_s, entities_at = null, due_at = null",
            (name, intervals_s[name]),
        )
    return refused


def servers(connection: Connection) -> dict[str, dict[str, Any]]:
    """The configuration of each server that is followed."""
    return dict(connection.execute("select server, said from raw.sensorthings_server order by server").fetchall())


def due(connection: Connection) -> list[str]:
    """The servers whose next poll is due."""
    query = (
        "select server from raw.sensorthings_server join raw.sensorthings_poll using (server)"
        " where coalesce(due_at <= clock_timestamp(), true) order by due_at nulls first, server"
    )
    return [row[0] for row in connection.execute(query)]


def next_due_s(connection: Connection) -> float | None:
    """Seconds until the next poll is due; none where no server is followed."""
    row = connection.execute(
        "select extract(epoch from min(coalesce(due_at, clock_timestamp())) - clock_timestamp())"
        " from raw.sensorthings_server join raw.sensorthings_poll using (server)"
    ).fetchone()
    return float(row[0]) if row is not None and row[0] is not None else None


@contextmanager
def turn(database: Database, server: str) -> Iterator[bool]:
    """Let one process at a time pull a server; yields whether it is ours."""
    with database.connection() as connection:
        row = connection.execute("select pg_try_advisory_lock(%s, hashtext(%s))", (_PULLING, server)).fetchone()
        connection.commit()
        is_ours = row == (True,)
        try:
            yield is_ours
        finally:
            if is_ours and not connection.closed:
                connection.rollback()
                connection.execute("select pg_advisory_unlock(%s, hashtext(%s))", (_PULLING, server))
                connection.commit()


@dataclass(frozen=True)
class Poll:
    """What the last polls of a server left: the form of questions that it understands, and when the slower ones were last asked."""

    form: str | None
    failures: int
    entities_at: datetime | None
    reconciled_at: datetime | None
    reached_at: datetime | None


def poll(connection: Connection, server: str) -> Poll:
    """How the polls of a server go."""
    row = connection.execute(
        "select form, failures, entities_at, reconciled_at, reached_at from raw.sensorthings_poll where server = %s", (server,)
    ).fetchone()
    return Poll(*row) if row is not None else Poll(None, 0, None, None, None)


def note_poll(connection: Connection, server: str, *, form: str | None, due_in_s: float, requests: int) -> None:
    """Note a poll that went well."""
    connection.execute(
        "update raw.sensorthings_poll set tried_at = clock_timestamp(), reached_at = clock_timestamp(), failures = 0, error = null, form = %s,"
        " requests = %s, due_at = clock_timestamp() + make_interval(secs => %s) where server = %s",
        (form, requests, due_in_s, server),
    )


def note_failure(connection: Connection, server: str, error: str, *, due_in_s: float, forget_form: bool) -> None:
    """Note a poll that failed, and why."""
    connection.execute(
        "update raw.sensorthings_poll set tried_at = clock_timestamp(), failures = failures + 1, error = %s,"
        " form = case when %s then null else form end, due_at = clock_timestamp() + make_interval(secs => %s) where server = %s",
        (error, forget_form, due_in_s, server),
    )


def note_entities(connection: Connection, server: str, at: datetime) -> None:
    """Note that all entities of a server were listed."""
    connection.execute("update raw.sensorthings_poll set entities_at = %s where server = %s", (at, server))


def note_reconciled(connection: Connection, server: str, at: datetime, *, before: datetime | None) -> None:
    """Note that the past of a server was compared with what is stored; unless a page that is loaded late asked for it again meanwhile.

    Parameters
    ----------
    before : when it was compared the time before.
    """
    query = "update raw.sensorthings_poll set reconciled_at = %s where server = %s and reconciled_at is not distinct from %s"
    connection.execute(query, (at, server, before))


def waiting(connection: Connection, server: str) -> list[int]:
    """The pages of observations of a server that landed and are not loaded yet, or failed to."""
    query = (
        "select arrival from raw.sensorthings_page join raw.source_file using (arrival) where server = %s and what <> 'entities'"
        " and status in ('pending', 'running', 'failed') and withdrawn_at is null order by arrival"
    )
    return [row[0] for row in connection.execute(query, (server,))]


def compare_again_from(connection: Connection, arrival: int) -> None:
    """Let the past of a server be compared again from when a page arrived, where it was compared before the page was loaded."""
    connection.execute(
        "update raw.sensorthings_poll as p set reconciled_at = f.arrived_at from raw.sensorthings_page as g join raw.source_file as f using (arrival)"
        " where g.arrival = %s and p.server = g.server and p.reconciled_at > f.arrived_at",
        (arrival,),
    )


def note_page(
    connection: Connection,
    arrival: int,
    *,
    server: str,
    what: str,
    url: str,
    after: Mapping[str, Any] | None,
    upto: Mapping[str, Any] | None,
    gaps: Sequence[int],
) -> None:
    """Note a page that has landed; again changes nothing."""
    connection.execute(
        "insert into raw.sensorthings_page (arrival, server, what, url, after, upto, gaps) values (%s, %s, %s, %s, %s, %s, %s)"
        " on conflict (arrival) do nothing",
        (arrival, server, what, url, *(None if each is None else json.dumps(dict(each)) for each in (after, upto)), list(gaps)),
    )


def pages_of(connection: Connection, days: Sequence[str]) -> dict[str, int]:
    """How many pages of each server arrived on some days (UTC)."""
    query = "select server, count(*) from raw.sensorthings_page join raw.source_file using (arrival) where arrived_on = any(%s::date[]) group by 1"
    return dict(connection.execute(query, (list(days),)).fetchall())


def cursor(connection: Connection, server: str) -> dict[str, Any] | None:
    """Up to where everything of a server has landed; held back before an id that is missing and may still come."""
    row = connection.execute(
        "select upto from raw.sensorthings_page where server = %s and what = 'observations' and upto is not null order by arrival desc limit 1",
        (server,),
    ).fetchone()
    if row is None:
        return None
    missing = connection.execute(
        "select min(id) from (select id, min(arrived_at) as seen_at from raw.sensorthings_page join raw.source_file using (arrival),"
        " unnest(gaps) as id where server = %s and what = 'observations' and arrived_at > clock_timestamp() - interval '1 hour' group by id) as g"
        " where seen_at > clock_timestamp() - %s",
        (server, GAP_GRACE),
    ).fetchone()
    found: dict[str, Any] = dict(row[0])
    if missing is not None and missing[0] is not None and isinstance(found.get("id"), int):
        found["id"] = min(found["id"], missing[0] - 1)
    return found


def last_arrival(connection: Connection, server: str) -> int | None:
    """The arrival of the last page of a server."""
    row = connection.execute("select max(arrival) from raw.sensorthings_page where server = %s", (server,)).fetchone()
    return row[0] if row is not None else None


def stations(connection: Connection, server: str) -> dict[str, str]:
    """What the Things of a server are called here."""
    return dict(connection.execute("select thing, natural_id from raw.sensorthings_station where server = %s", (server,)).fetchall())


@dataclass(frozen=True)
class Named:
    """A component of a Datastream as it is called here."""

    natural_id: str
    station: str
    property: str
    unit: str | None
    is_followed: bool
    is_filled: bool


def series(connection: Connection, server: str) -> dict[str, list[Named]]:
    """What the Datastreams of a server are called here, by key; the components of each in order."""
    found: dict[str, list[Named]] = {}
    for datastream, *row in connection.execute(
        "select datastream, natural_id, station, property, unit, is_followed, is_filled from raw.sensorthings_series where server = %s"
        " order by datastream, component",
        (server,),
    ):
        found.setdefault(datastream, []).append(Named(*row))
    return found


def taken_names(connection: Connection, server: str) -> set[str]:
    """Names of series that belong to a Datastream of a server already."""
    return {row[0] for row in connection.execute("select natural_id from raw.sensorthings_series where server = %s", (server,))}


def keep_stations(connection: Connection, server: str, named: Mapping[str, str]) -> None:
    """Keep what Things are called; one that has a name keeps it."""
    with connection.cursor() as cursor_:
        cursor_.executemany(
            "insert into raw.sensorthings_station (server, thing, natural_id) values (%s, %s, %s) on conflict do nothing",
            [(server, thing, natural_id) for thing, natural_id in named.items()],
        )


_INSERT_SERIES: LiteralString = """
insert into raw.sensorthings_series (server, datastream, component, natural_id, station, property, unit, is_followed, is_filled)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (server, datastream, component)
"""
_UPDATE_SERIES: LiteralString = """
do update set property = excluded.property, unit = excluded.unit, is_followed = excluded.is_followed, is_filled = excluded.is_filled
"""


def keep_series(connection: Connection, server: str, named: Mapping[str, Sequence[Named]], *, replace: bool = True) -> None:
    """Keep what Datastreams are called and whether they are followed; one that has a name keeps it."""
    with connection.cursor() as cursor_:
        cursor_.executemany(
            _INSERT_SERIES + (_UPDATE_SERIES if replace else "do nothing"),
            [
                (server, key, number, each.natural_id, each.station, each.property, each.unit, each.is_followed, each.is_filled)
                for key, components in named.items()
                for number, each in enumerate(components)
            ],
        )


def note_filled(connection: Connection, server: str, datastream: str) -> None:
    """Note that the past of a Datastream was pulled."""
    connection.execute("update raw.sensorthings_series set is_filled = true where server = %s and datastream = %s", (server, datastream))


@dataclass(frozen=True)
class Stored:
    """What is stored of some series within a window, sorted by series and time.

    Parameters
    ----------
    series : int64[n], positions in the names that were asked for.
    micros : int64[n], since 1970.
    value : float64[n]
    qualifier : object[n], text or none.
    is_theirs : bool[n], whether a page of the server brought it.
    change : int64[n], that stored it.
    """

    series: NDArray[np.int64]
    micros: NDArray[np.int64]
    value: NDArray[np.float64]
    qualifier: NDArray[Any]
    is_theirs: NDArray[np.bool_]
    change: NDArray[np.int64]

    def code(self, begin: int, until: int) -> NDArray[np.int64]:
        """One number for series and time, within a window."""
        return code_of(self.series, self.micros, begin, until)


def code_of(series: NDArray[np.int64], micros: NDArray[np.int64], begin: int, until: int) -> NDArray[np.int64]:
    """One number for each series and time of a half-open window, in their order."""
    coded: NDArray[np.int64] = series * np.int64(until - begin) + (micros - begin)
    return coded


_STORED: LiteralString = """
select n.position - 1, array_agg(o.time order by o.time), array_agg(o.value order by o.time), array_agg(q.text order by o.time),
    array_agg(f.prefix = %(prefix)s order by o.time), array_agg(l.change order by o.time)
from unnest(%(names)s::text[]) with ordinality as n(natural_id, position)
join core.series as s using (natural_id)
cross join lateral (select * from core.observation where series_id = s.series_id and time >= %(start)s and time < %(end)s offset 0) as o
join raw.load as l using (load_id) join raw.source_file as f using (arrival)
left join core.qualifier as q on q.qualifier_id = o.qualifier_id and o.qualifier_id <> 0
group by n.position order by n.position
"""


def stored(connection: Connection, prefix: str, names: Sequence[str], start: datetime, end: datetime) -> Stored:
    """What is stored of some series within a half-open window."""
    with array_cursor(connection) as cursor_:
        parts = cursor_.execute(_STORED, {"prefix": prefix, "names": list(names), "start": start, "end": end}).fetchall()
    empty = Stored(*(np.empty(0, dtype=kind) for kind in (np.int64, np.int64, np.float64, object, np.bool_, np.int64)))
    if not parts:
        return empty
    return Stored(
        np.repeat(np.array([part[0] for part in parts], dtype=np.int64), [len(part[1]) for part in parts]),
        np.concatenate([np.asarray(part[1], dtype="datetime64[us]").astype(np.int64) for part in parts]),
        np.concatenate([np.asarray(part[2], dtype=np.float64) for part in parts]),
        np.concatenate([np.asarray(part[3], dtype=object) for part in parts]),
        np.concatenate([np.asarray(part[4], dtype=np.bool_) for part in parts]),
        np.concatenate([np.asarray(part[5], dtype=np.int64) for part in parts]),
    )


Word = tuple[int, int, str, str | None]
"""Position of a series in the names that were asked for, microseconds since 1970, the value as text, and its qualifier."""

_TAKEN_BACK: LiteralString = """
select n.position - 1, h.time::timestamp, h.value, q.text, said.withdrawn_at, (
    select max(ended.withdrawn_at) from raw.load as l join raw.source_file as ended using (arrival)
    where l.change = h.until and l.reason = 'load' and ended.prefix = %(prefix)s and ended.superseded_by is null
)
from unnest(%(names)s::text[]) with ordinality as n(natural_id, position)
join core.series as s using (natural_id)
join history.observation as h on h.series_id = s.series_id and h.time >= %(start)s and h.time < %(end)s
join raw.load as l using (load_id)
left join raw.source_file as said on said.arrival = l.arrival and said.prefix = %(prefix)s and said.superseded_by is null
left join core.qualifier as q on q.qualifier_id = h.qualifier_id and h.qualifier_id <> 0
"""


def taken_back(connection: Connection, prefix: str, names: Sequence[str], start: datetime, end: datetime) -> tuple[dict[Word, int], dict[Word, int]]:
    """What withdrawn pages said within a half-open window, and what they ended there; each with the change of the last such withdrawal."""
    said, ended = dict[Word, int](), dict[Word, int]()
    rows = connection.execute(_TAKEN_BACK, {"prefix": prefix, "names": list(names), "start": start, "end": end})
    for number, time, value, qualifier, *withdrawn_at in rows:
        word = (number, int(np.datetime64(time, "us").astype(np.int64)), repr(value), qualifier)
        for words, change in zip((said, ended), withdrawn_at, strict=True):
            if change is not None:
                words[word] = max(change, words.get(word, change))
    return said, ended
