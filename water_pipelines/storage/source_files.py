"""The ledger of landed files: one row a file, from its arrival number to the end of its load."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import Any
from uuid import UUID, uuid5

from psycopg.rows import class_row

from water_pipelines.storage.database import Connection, Database

JOBS = UUID("6f0f9c0e-6d0a-5c0e-9a53-0b5f8f6f7f01")
_ONE_LANDER = 5_601_002
LOADING = 5_601_003
_COLUMNS = (
    "arrival, job_id, key, name, prefix, sha256, bytes, kind, mapping_version, mapping, arrived_at, landed_at, status, error, attempts, rows,"
    " rejected, run, started_at, finished_at, withdrawn_at, superseded_by"
)


@dataclass(frozen=True)
class SourceFile:
    """A landed file. Its identity is content hash, prefix, mapping version and kind; its order is the arrival number."""

    arrival: int
    job_id: UUID
    key: str
    name: str
    prefix: str
    sha256: str
    bytes: int
    kind: str
    mapping_version: str
    mapping: str
    arrived_at: datetime
    landed_at: datetime | None
    status: str
    error: str | None
    attempts: int
    rows: int | None
    rejected: int | None
    run: str | None
    started_at: datetime | None
    finished_at: datetime | None
    withdrawn_at: int | None
    superseded_by: int | None


def job_id(sha256: str, prefix: str, mapping_version: str, kind: str) -> UUID:
    """The id by which a file's job is known outside: the same file under the same mapping always has the same.

    >>> job_id("ab", "river", "none", "data") == job_id("ab", "river", "none", "data")
    True
    """
    return uuid5(JOBS, f"{sha256}\n{prefix}\n{mapping_version}\n{kind}")


@contextmanager
def landing(database: Database) -> Iterator[int]:
    """Let one process at a time land a file; gives the next arrival number."""
    with database.connection() as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (_ONE_LANDER,))
        row = connection.execute("select coalesce(max(arrival), 0) + 1 from raw.source_file").fetchone()
        assert row is not None
        yield int(row[0])


def announce(
    database: Database,
    *,
    arrival: int,
    sha256: str,
    size: int,
    name: str,
    prefix: str,
    kind: str,
    mapping_version: str,
    mapping: str,
    arrived_at: datetime,
) -> SourceFile:
    """Fix the arrival number of a file before its landing is sealed; a file that is known already keeps the one it has.

    Call it within `landing`, with the number that it gave. A file whose landing was cut off comes back with `landed_at` none and is
    landed again under its number.
    """
    with database.connection() as connection:
        known = _find(connection, "sha256 = %s and prefix = %s and mapping_version = %s and kind = %s", (sha256, prefix, mapping_version, kind))
        if known:
            return known[0]
        connection.execute(
            "insert into raw.source_file (arrival, job_id, key, name, prefix, sha256, bytes, kind, mapping_version, mapping, arrived_at)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                arrival,
                job_id(sha256, prefix, mapping_version, kind),
                landed_key(arrived_at, arrival, sha256),
                name,
                prefix,
                sha256,
                size,
                kind,
                mapping_version,
                mapping,
                arrived_at,
            ),
        )
        return _find(connection, "arrival = %s", (arrival,))[0]


@dataclass(frozen=True)
class Announced:
    """What is to be known of a file before its landing is sealed; its bytes lie under `number` already."""

    number: int
    sha256: str
    bytes: int
    name: str
    prefix: str
    kind: str
    mapping_version: str
    mapping: str
    arrived_at: datetime


@dataclass(frozen=True)
class Lander:
    """The one process that lands files. If its connection is lost, so is its turn, and nothing more can be announced in it."""

    first: int
    """The next arrival number; all from here on are free."""
    _connection: Connection

    def announce(self, files: Sequence[Announced]) -> list[SourceFile]:
        """The ledger rows of some files, in their order, all made durable at once; a file that is known keeps its number.

        A file whose landing was cut off comes back with `landed_at` none and is landed again under its number.
        """
        rows = [
            (
                each.number,
                job_id(each.sha256, each.prefix, each.mapping_version, each.kind),
                landed_key(each.arrived_at, each.number, each.sha256),
                each.name,
                each.prefix,
                each.sha256,
                each.bytes,
                each.kind,
                each.mapping_version,
                each.mapping,
                each.arrived_at,
            )
            for each in files
        ]
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "insert into raw.source_file (arrival, job_id, key, name, prefix, sha256, bytes, kind, mapping_version, mapping, arrived_at)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (sha256, prefix, mapping_version, kind) do nothing",
                rows,
            )
        found = {each.job_id: each for each in _find(self._connection, "job_id = any(%s)", ([row[1] for row in rows],))}
        self._connection.commit()
        return [found[row[1]] for row in rows]

    def landed(self, arrivals: Sequence[int]) -> None:
        """Note that the bytes of files and the facts beside them are durable."""
        self._connection.execute("update raw.source_file set landed_at = clock_timestamp() where arrival = any(%s)", (list(arrivals),))
        self._connection.commit()


@contextmanager
def lander(database: Database) -> Iterator[Lander]:
    """Let one process at a time land a batch of files."""
    with database.connection() as connection:
        connection.execute("select pg_advisory_lock(%s)", (_ONE_LANDER,))
        try:
            row = connection.execute("select coalesce(max(arrival), 0) + 1 from raw.source_file").fetchone()
            assert row is not None
            connection.commit()
            yield Lander(int(row[0]), connection)
        finally:
            if not connection.closed:
                connection.rollback()
                connection.execute("select pg_advisory_unlock(%s)", (_ONE_LANDER,))


def landed_key(arrived_at: datetime, arrival: int, sha256: str) -> str:
    """Where a file's bytes lie for ever: by day of arrival, in the order of arrival."""
    return f"landed/{arrived_at:%Y-%m-%d}/{arrival:012d}-{sha256}"


def landed(database: Database, arrival: int) -> None:
    """Note that the bytes of a file and the facts beside them are durable."""
    with database.connection() as connection:
        connection.execute("update raw.source_file set landed_at = clock_timestamp() where arrival = %s", (arrival,))


def cut_off(database: Database) -> list[SourceFile]:
    """Files whose landing was announced and never sealed. Called within `landing`, it finds only those whose lander is gone."""
    with database.connection() as connection:
        return _find(connection, "landed_at is null order by arrival", ())


def forget(database: Database, arrival: int) -> None:
    """Forget a file that never landed."""
    with database.connection() as connection:
        connection.execute("delete from raw.source_file where arrival = %s and landed_at is null", (arrival,))


def last(database: Database) -> SourceFile | None:
    """The file of the highest arrival number; none in an empty ledger."""
    with database.connection() as connection:
        found = _find(connection, "true order by arrival desc limit 1", ())
    return found[0] if found else None


def unknown(database: Database, keys: Sequence[str]) -> list[str]:
    """Those of some keys that no file of the ledger has, in order."""
    with database.connection() as connection:
        found = connection.execute(
            "select t.key from unnest(%s::text[]) as t(key) where not exists (select from raw.source_file as f where f.key = t.key) order by 1",
            (list(keys),),
        ).fetchall()
    return [key for (key,) in found]


def keys_by_arrival(connection: Connection) -> dict[int, tuple[str, bool]]:
    """Arrival number -> where the file lies, and whether its landing is known to be complete."""
    rows = connection.execute("select arrival, key, landed_at is not null from raw.source_file order by arrival")
    return {arrival: (key, is_landed) for arrival, key, is_landed in rows}


def all_landed(connection: Connection) -> list[SourceFile]:
    """Every file whose bytes and facts are durable, in the order of arrival."""
    return _find(connection, "landed_at is not null order by arrival", ())


def get(database: Database, arrival: int) -> SourceFile:
    """The ledger row of an arrival; `KeyError` where there is none."""
    with database.connection() as connection:
        found = _find(connection, "arrival = %s", (arrival,))
    if not found:
        raise KeyError(f"no file has the arrival number {arrival}")
    return found[0]


def to_load(database: Database) -> list[SourceFile]:
    """Landed files that wait for their load, in the order of arrival; a load whose process died waits too."""
    with database.connection() as connection:
        return _find(connection, "landed_at is not null and withdrawn_at is null and status in ('pending', 'running') order by arrival", ())


def are_waiting(database: Database) -> bool:
    """Whether landed files wait for a load that was never begun."""
    with database.connection() as connection:
        row = connection.execute(
            "select exists (select from raw.source_file where status = 'pending' and landed_at is not null and withdrawn_at is null)"
        ).fetchone()
    return row is not None and bool(row[0])


@contextmanager
def loading(database: Database, arrival: int) -> Iterator[SourceFile | None]:
    """Hold a file while it is loaded; yields none where another process holds it or it needs no load any more."""
    with database.connection() as connection:
        held = connection.execute("select pg_try_advisory_lock(%s, %s::int)", (LOADING, arrival)).fetchone()
        if held != (True,):
            connection.commit()
            yield None
            return
        try:
            found = _find(connection, "arrival = %s and withdrawn_at is null and status in ('pending', 'running')", (arrival,))
            if found:
                connection.execute(
                    "update raw.source_file set status = 'running', attempts = attempts + 1, started_at = clock_timestamp(), finished_at = null,"
                    " run = %s, error = null, progress = null where arrival = %s",
                    (database.run, arrival),
                )
            connection.commit()
            yield found[0] if found else None
        finally:
            connection.rollback()
            connection.execute("select pg_advisory_unlock(%s, %s::int)", (LOADING, arrival))
            connection.commit()


@contextmanager
def loading_many(database: Database, arrivals: Sequence[int]) -> Iterator[list[SourceFile]]:
    """Hold several files while they are loaded; gives those that nobody else holds and that still need a load, in the order of arrival."""
    with database.connection() as connection:
        held = [
            row[0]
            for row in connection.execute("select a, pg_try_advisory_lock(%s, a::int) from unnest(%s::bigint[]) as a", (LOADING, list(arrivals)))
            if row[1]
        ]
        connection.commit()
        try:
            files = _find(
                connection, "arrival = any(%s) and withdrawn_at is null and status in ('pending', 'running') order by arrival", (list(held),)
            )
            connection.execute(
                "update raw.source_file set status = 'running', attempts = attempts + 1, started_at = clock_timestamp(), finished_at = null,"
                " run = %s, error = null, progress = null where arrival = any(%s)",
                (database.run, [each.arrival for each in files]),
            )
            connection.commit()
            yield files
        finally:
            connection.rollback()
            connection.execute("select pg_advisory_unlock(%s, a::int) from unnest(%s::bigint[]) as a", (LOADING, held))
            connection.commit()


def note_progress(database: Database, arrival: int, share: float) -> None:
    """Note how much of a file its load has read, in a transaction of its own."""
    with database.connection() as connection:
        connection.execute("update raw.source_file set progress = %s where arrival = %s and status = 'running'", (share, arrival))


def succeed(connection: Connection, arrival: int, *, rows: int, rejected: int) -> None:
    """Note a load as done, in the load's own transaction."""
    connection.execute(
        "update raw.source_file set status = 'succeeded', error = null, rows = %s, rejected = %s, progress = null, finished_at = clock_timestamp()"
        " where arrival = %s",
        (rows, rejected, arrival),
    )


def succeed_all(connection: Connection, arrivals: Sequence[int], *, rows: Sequence[int], rejected: Sequence[int]) -> None:
    """Note several loads as done, in the transaction that they share."""
    connection.execute(
        "update raw.source_file as f set status = 'succeeded', error = null, rows = t.rows, rejected = t.rejected, progress = null,"
        " finished_at = clock_timestamp() from unnest(%s::bigint[], %s::bigint[], %s::bigint[]) as t(arrival, rows, rejected)"
        " where f.arrival = t.arrival",
        (list(arrivals), list(rows), list(rejected)),
    )


def supersede(connection: Connection, arrivals: Sequence[int], *, by: int, change: int) -> None:
    """Note that files gave way to the same bytes under a newer mapping; those that were not loaded yet never will be."""
    if not arrivals:
        return
    connection.execute(
        "update raw.source_file set superseded_by = %s, withdrawn_at = %s,"
        " status = case when status in ('pending', 'running') then 'quarantined' else status end,"
        " error = coalesce(error, case when status in ('pending', 'running') then 'the same bytes were loaded under a newer mapping; they stand' end)"
        " where arrival = any(%s)",
        (by, change, list(arrivals)),
    )


def hold(connection: Connection, arrivals: Sequence[int]) -> None:
    """Wait for loads of these files to end, and keep others from beginning until the end of the transaction.

    The latest is held first: a load holds its own file, in another session where the server sees no deadlock, and then waits for
    earlier ones only, so that nobody waits for a later file while it holds an earlier one.
    """
    for arrival in sorted(arrivals, reverse=True):
        connection.execute("select pg_advisory_xact_lock(%s, %s::int)", (LOADING, arrival))


def withdraw(connection: Connection, arrivals: Sequence[int], *, change: int) -> None:
    """Note that an operator took files out."""
    connection.execute("update raw.source_file set withdrawn_at = %s where arrival = any(%s)", (change, list(arrivals)))


def reinstate(connection: Connection, arrivals: Sequence[int]) -> None:
    """Let files that an operator took out be loaded again."""
    connection.execute("update raw.source_file set withdrawn_at = null, status = 'pending' where arrival = any(%s)", (list(arrivals),))


def latest_named(database: Database, prefix: str, name: str) -> SourceFile | None:
    """The data file that landed last under a name."""
    with database.connection() as connection:
        found = _find(
            connection, "prefix = %s and name = %s and kind = 'data' and landed_at is not null order by arrival desc limit 1", (prefix, name)
        )
    return found[0] if found else None


def is_loaded(connection: Connection, arrival: int) -> bool:
    """Whether the values of a file are in the store."""
    return bool(_find(connection, "arrival = %s and status = 'succeeded' and withdrawn_at is null", (arrival,)))


def loaded_data(database: Database, prefix: str | None, first: date | None, last: date | None) -> list[SourceFile]:
    """Loaded data files below a folder of the inbox, of days of arrival (UTC, both included), in the order of arrival."""
    with database.connection() as connection:
        return _find(
            connection,
            "kind = 'data' and status = 'succeeded' and withdrawn_at is null"
            " and (%(prefix)s::text is null or prefix = %(prefix)s or starts_with(prefix, %(prefix)s || '/'))"
            " and arrived_on between coalesce(%(first)s::date, '-infinity') and coalesce(%(last)s::date, 'infinity') order by arrival",
            {"prefix": prefix, "first": first, "last": last},
        )


def retry(database: Database, arrivals: Sequence[int]) -> None:
    """Let files that failed or were quarantined be loaded again."""
    with database.connection() as connection:
        connection.execute(
            "update raw.source_file set status = 'pending', attempts = 0 where arrival = any(%s) and status in ('failed', 'quarantined')",
            (list(arrivals),),
        )


def named(database: Database, name: str) -> list[SourceFile]:
    """The files that an arrival number, a job's id, or a SHA-256 (or at least 8 digits of its beginning) names, in the order of arrival."""
    with database.connection() as connection:
        return _find(
            connection,
            "job_id::text = %(name)s or arrival::text = %(name)s or length(%(name)s) >= 8 and starts_with(sha256, lower(%(name)s)) order by arrival",
            {"name": name},
        )


def of_status(database: Database, statuses: Sequence[str]) -> list[SourceFile]:
    """The files whose load ended so, in the order of arrival."""
    with database.connection() as connection:
        return _find(connection, "status = any(%s) and withdrawn_at is null order by arrival", (list(statuses),))


def refuse(database: Database, arrival: int, *, status: str, error: str, rejected: Collection[tuple[int, str, str]] = ()) -> None:
    """Note why a file was not loaded: 'quarantined' where the file is at fault, 'failed' where a retry may help."""
    with database.connection() as connection:
        connection.execute(
            "update raw.source_file set status = %s, error = %s, rows = 0, rejected = %s, progress = null, finished_at = clock_timestamp()"
            " where arrival = %s",
            (status, error, len(rejected), arrival),
        )
        keep_rejected(connection, arrival, rejected)


def keep_rejected(connection: Connection, arrival: int, rejected: Iterable[tuple[int, str, str]]) -> None:
    """Keep the rows of a file that were refused: row number, text, reason. They replace those of an earlier attempt."""
    keep_all_rejected(connection, {arrival: rejected})


def keep_all_rejected(connection: Connection, rejected: Mapping[int, Iterable[tuple[int, str, str]]]) -> None:
    """The same of several files, by arrival."""
    connection.execute("delete from raw.rejected_row where arrival = any(%s)", (list(rejected),))
    rows = ((arrival, position, row) for arrival, each in rejected.items() for position, row in enumerate(each))
    if (first := next(rows, None)) is None:
        return
    with connection.cursor().copy("copy raw.rejected_row (arrival, position, source_row, text, reason) from stdin") as copy:
        for arrival, position, (row, text, reason) in chain([first], rows):
            copy.write_row((arrival, position, row, text.replace("\0", "\N{REPLACEMENT CHARACTER}"), reason))


def earlier_mappings(connection: Connection, file: SourceFile) -> list[SourceFile]:
    """The same bytes under the same prefix that were loaded by an earlier arrival, under another mapping: this file supersedes them."""
    return _find(
        connection,
        "sha256 = %s and prefix = %s and kind = %s and arrival < %s and superseded_by is null and withdrawn_at is null order by arrival",
        (file.sha256, file.prefix, file.kind, file.arrival),
    )


def with_other_mappings(database: Database, arrivals: Sequence[int]) -> set[int]:
    """Those of some files whose bytes landed under the same prefix more than once: under another mapping, of which only one can stand."""
    with database.connection() as connection:
        found = connection.execute(
            "select arrival from raw.source_file as f where arrival = any(%s) and exists (select from raw.source_file as o"
            " where o.sha256 = f.sha256 and o.prefix = f.prefix and o.kind = f.kind and o.arrival <> f.arrival)",
            (list(arrivals),),
        ).fetchall()
    return {arrival for (arrival,) in found}


def later_mapping(database: Database, file: SourceFile) -> SourceFile | None:
    """The same bytes, loaded by a later arrival under another mapping."""
    with database.connection() as connection:
        found = _find(
            connection,
            "sha256 = %s and prefix = %s and kind = %s and arrival > %s and status = 'succeeded' order by arrival desc limit 1",
            (file.sha256, file.prefix, file.kind, file.arrival),
        )
    return found[0] if found else None


def keep_mapping(connection: Connection, file: SourceFile, version: str, text: str) -> None:
    """Put the mapping that a file holds in force for its folder."""
    connection.execute(
        "insert into raw.mapping (arrival, prefix, version, text) values (%s, %s, %s, %s) on conflict do nothing",
        (file.arrival, file.prefix, version, text),
    )


def mapping_of(database: Database, prefix: str) -> tuple[str, str] | None:
    """(version, text) of the mapping in force for a prefix: the latest one of the nearest folder."""
    found = mappings_above(database, prefix)
    return found[max(found, key=len)] if found else None


def mappings_above(database: Database, prefix: str) -> dict[str, tuple[str, str]]:
    """(version, text) of the latest mapping of each folder that holds a prefix, by folder."""
    folders = [prefix.rsplit("/", n)[0] for n in range(prefix.count("/") + 1)] + [""]
    with database.connection() as connection:
        found = connection.execute(
            "select distinct on (prefix) prefix, version, text from raw.mapping where prefix = any(%s) order by prefix, arrival desc", (folders,)
        ).fetchall()
    return {folder: (version, text) for folder, version, text in found}


def _find(connection: Connection, condition: str, parameters: Sequence[Any] | Mapping[str, Any]) -> list[SourceFile]:
    with connection.cursor(row_factory=class_row(SourceFile)) as cursor:
        return cursor.execute(f"select {_COLUMNS} from raw.source_file where {condition}", parameters).fetchall()


def counts_by_status(connection: Connection, days: Sequence[str]) -> dict[str, int]:
    """How many files arrived on some days (UTC), by status."""
    return dict(
        connection.execute(
            "select status, count(*) from raw.source_file where arrived_on = any(%s::date[]) group by status", (list(days),)
        ).fetchall()
    )


def statuses(connection: Connection) -> dict[str, int]:
    """How many files there are, by status."""
    return dict(connection.execute("select status, count(*) from raw.source_file group by status order by status").fetchall())


def refused_rows(connection: Connection, days: Sequence[str], limit: int) -> list[tuple[str, int, str, str]]:
    """(file, row, text, reason) of rows that were refused in files that arrived on some days, the latest files first."""
    query = (
        "select name, source_row, text, reason from raw.rejected_row join raw.source_file using (arrival)"
        " where arrived_on = any(%s::date[]) order by arrival desc, position limit %s"
    )
    return connection.execute(query, (list(days), limit)).fetchall()
