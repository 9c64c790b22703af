"""Stations and series as files declare them: provisioned from what arrives, each the merge of all that was said of it.

A station or series is its claims merged in the order of arrival, so the outcome does not depend on the order of loading. What they come to is
kept in `raw.description`: whether a file brings news is told from it, however many files have said the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from psycopg import sql

from water_pipelines.domain.series import TimeArray
from water_pipelines.storage.copy import copy_rows
from water_pipelines.storage.database import Connection, Database
from water_pipelines.storage.staging import Edge, mark_readers

_STATIONS = UUID("6f0f9c0e-6d0a-5c0e-9a53-0b5f8f6f7f02")
_SERIES = UUID("6f0f9c0e-6d0a-5c0e-9a53-0b5f8f6f7f03")
_PROVISIONING = 5_601_004
_INFERRED = "inferred_interval_s"
_STATION_COLUMNS = ("name", "description", "kind", "network", "zone", "latitude", "longitude", "elevation_m", "time_zone")
SERIES_KINDS = ("sensor", "imported", "computed")
"""Read live from where it is measured; from files that were dropped; computed from other series by the platform."""
_SERIES_COLUMNS = ("property", "unit", "name", "kind", "interval_s", "feature_of_interest")


def station_uuid(natural_id: str) -> UUID:
    """The UUID of a station, derived from its natural id.

    >>> station_uuid("STATION_123") == station_uuid("STATION_123")
    True
    """
    return uuid5(_STATIONS, natural_id)


def series_uuid(natural_id: str) -> UUID:
    """The UUID of a series, derived from its natural id."""
    return uuid5(_SERIES, natural_id)


@dataclass(frozen=True)
class Claims:
    """What one file says: natural id -> attributes. The attributes of a series name its station by natural id."""

    stations: Mapping[str, Mapping[str, Any]]
    series: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Provision:
    """The numbers that series have or will have, those of them that were known before, and whether anything said is new."""

    series_ids: dict[str, int]
    known: dict[str, int]
    is_news: bool


def prepare(connection: Connection, said: Mapping[int, Claims]) -> Provision:
    """Number the series of files, given by arrival. Where these bring news, one provisioning transaction is let through at a time."""
    provision = _look(connection, said)
    if provision.is_news:
        hold(connection)
        provision = _look(connection, said)
    missing = sorted(_named(said)[1] - set(provision.series_ids))
    if missing:
        numbers = connection.execute(
            "select nextval(pg_get_serial_sequence('core.series', 'series_id')) from generate_series(1, %s)", (len(missing),)
        ).fetchall()
        provision.series_ids.update({natural_id: int(number) for natural_id, (number,) in zip(missing, numbers, strict=True)})
    return provision


def hold(connection: Connection) -> None:
    """Let one transaction at a time change what stations and series are."""
    connection.execute("select pg_advisory_xact_lock(%s)", (_PROVISIONING,))


def _look(connection: Connection, said: Mapping[int, Claims]) -> Provision:
    # whoever described a series numbered it in the same commit: what is no news by now is found to be known afterwards, not before
    is_news = any(_news(connection, said))
    known = series_ids(connection, list(_named(said)[1]))
    return Provision(dict(known), known, is_news)


def _named(said: Mapping[int, Claims]) -> tuple[set[str], set[str]]:
    """The stations and the series that files speak of."""
    return {name for each in said.values() for name in each.stations}, {name for each in said.values() for name in each.series}


def _news(connection: Connection, said: Mapping[int, Claims]) -> tuple[set[str], set[str]]:
    """The stations and the series that have to be merged again for what files say."""
    stations, series = _named(said)
    by_subject = (
        ("station", stations, ((arrival, each.stations) for arrival, each in said.items())),
        ("series", series, ((arrival, each.series) for arrival, each in said.items())),
    )
    found: list[set[str]] = []
    for subject, names, claimed in by_subject:
        query = "select natural_id, attributes, found_by from raw.description where subject = %s and natural_id = any(%s)"
        known = {name: (attributes, found_by) for name, attributes, found_by in connection.execute(query, (subject, list(names)))}
        found.append({name for arrival, each in claimed for name, attributes in each.items() if _is_news(arrival, attributes, known.get(name))})
    return found[0], found[1]


def _is_news(arrival: int, attributes: Mapping[str, Any], known: tuple[Mapping[str, Any], int | None] | None) -> bool:
    if known is None:
        return True
    described, found_by = known
    return not _covers(described, attributes) or (_INFERRED in attributes and found_by is not None and arrival < found_by)


def _covers(known: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    return all(known.get(key) == value or (key == _INFERRED and key in known) for key, value in _stated(said).items())


def _stated(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value is not None}


def record(connection: Connection, said: Mapping[int, Claims], provision: Provision, *, without: Sequence[int] = ()) -> list[int]:
    """Write what files say, drop what the arrivals `without` said, and make the stations and series that follow; call it with the clock held.

    Parameters
    ----------
    said : by arrival.

    Returns
    -------
    Numbers of the series that were known and are now described otherwise, themselves or their station.
    """
    dropped = connection.execute("delete from raw.claim where arrival = any(%s) returning subject, natural_id", ([*said, *without],)).fetchall()
    rows = [
        (arrival, subject, natural_id, json.dumps(_stated(attributes)))
        for arrival, each in said.items()
        for subject, claimed in (("station", each.stations), ("series", each.series))
        for natural_id, attributes in sorted(claimed.items())
    ]
    copy_rows(connection, sql.Identifier("raw", "claim"), ("arrival", "subject", "natural_id", "attributes"), rows)
    stations, series = _news(connection, said)  # now, since what was no news may have been taken back since it was looked at
    stations |= {name for subject, name in dropped if subject == "station"}
    series |= {name for subject, name in dropped if subject == "series"}
    return _rebuild(connection, sorted(stations), sorted(series), provision.series_ids) if stations or series else []


def merge_again(database: Database, edges: Sequence[Edge]) -> tuple[int, int]:
    """Merge the claims of all stations and series again, and write what differs; gives their numbers.

    Parameters
    ----------
    edges : what reads `core/series`.
    """
    with database.connection() as connection:
        hold(connection)
        named = {
            subject: [row[0] for row in connection.execute("select distinct natural_id from raw.claim where subject = %s order by 1", (subject,))]
            for subject in ("station", "series")
        }
        database.take_number(connection, "stations")
        mark_readers_of_series(connection, edges, _rebuild(connection, named["station"], named["series"], {}))
    return len(named["station"]), len(named["series"])


def mark_readers_of_series(connection: Connection, edges: Sequence[Edge], numbers: Sequence[int]) -> None:
    """Mark stale what reads the description of series, on every day that holds values of them; call it with the clock held."""
    if not numbers:
        return
    days = connection.execute("select distinct day from raw.load_day where series_id = any(%s) order by day", (list(numbers),)).fetchall()
    if days:
        first = np.array([day for (day,) in days], dtype="datetime64[D]").astype("datetime64[us]")
        last: TimeArray = first + (np.timedelta64(1, "D") - np.timedelta64(1, "us"))  # type: ignore[assignment]  # numpy's stubs call it a timedelta
        mark_readers(connection, edges, first, last)


def _rebuild(connection: Connection, stations: Sequence[str], series: Sequence[str], numbers: Mapping[str, int]) -> list[int]:
    """Merge the claims of stations and series again, in the order of arrival, and write what differs; gives the series that changed."""
    rows: list[tuple[Any, ...]] = [
        (
            natural_id,
            station_uuid(natural_id),
            said.get("name") or natural_id,
            *(said.get(name) for name in _STATION_COLUMNS[1:]),
            _rest(said, _STATION_COLUMNS),
        )
        for natural_id, said in _describe(connection, "station", stations).items()
    ]
    moved = _upsert(connection, "station", ("natural_id", "uuid", *_STATION_COLUMNS, "properties"), rows)
    merged = _describe(connection, "series", series)
    ids = {**series_ids(connection, list(merged)), **numbers}
    named = [said["station"] for said in merged.values()]
    stations_of: dict[str, int] = dict(
        connection.execute("select natural_id, station_id from core.station where natural_id = any(%s)", (named,)).fetchall()
    )
    rows = [
        (
            natural_id,
            series_uuid(natural_id),
            ids[natural_id],
            stations_of[said["station"]],
            said.get("property") or natural_id.rpartition("/")[2],
            said.get("unit"),
            said.get("name") or natural_id,
            _kind_of(said) or "imported",
            said.get("interval_s") or said.get(_INFERRED),
            said.get("feature_of_interest"),
            _rest(said, (*(name for name in _SERIES_COLUMNS if name != "kind" or _kind_of(said)), "station")),
        )
        for natural_id, said in merged.items()
    ]
    changed = _upsert(connection, "series", ("natural_id", "uuid", "series_id", "station_id", *_SERIES_COLUMNS, "properties"), rows)
    if not moved and not changed:
        return []
    query = "select series_id from core.series join core.station using (station_id) where station.natural_id = any(%s) or series.natural_id = any(%s)"
    return [row[0] for row in connection.execute(query, (moved, changed))]


def _describe(connection: Connection, subject: str, natural_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """All that was said of stations or series, merged in the order of arrival; an interval found in the data stays as it was first found.

    It is kept as their description; what nobody speaks of any more has none.
    """
    names = {"inferred": _INFERRED, "subject": subject, "names": list(natural_ids)}
    forget_descriptions(connection, subject, natural_ids)
    query = """
        insert into raw.description (subject, natural_id, attributes, found_by)
        select %(subject)s, natural_id,
            raw.merged(attributes order by arrival) || case when bool_or(attributes ? %(inferred)s::text) then jsonb_build_object(%(inferred)s::text,
                (array_agg(attributes -> %(inferred)s::text order by arrival) filter (where attributes ? %(inferred)s::text))[1]) else '{}' end,
            min(arrival) filter (where attributes ? %(inferred)s::text)
        from raw.claim where subject = %(subject)s and natural_id = any(%(names)s) group by natural_id order by natural_id
        returning natural_id, attributes
    """
    return dict(connection.execute(query, names).fetchall())


def forget_descriptions(connection: Connection, subject: str, natural_ids: Sequence[str]) -> None:
    """Forget what the claims of stations or series came to."""
    connection.execute("delete from raw.description where subject = %s and natural_id = any(%s)", (subject, list(natural_ids)))


def series_ids(connection: Connection, natural_ids: Sequence[str]) -> dict[str, int]:
    """The numbers of series by natural id; those that are not known are left out."""
    query = "select natural_id, series_id from core.series where natural_id = any(%s)"
    return dict(connection.execute(query, (list(natural_ids),)).fetchall())


def _kind_of(said: Mapping[str, Any]) -> str | None:
    """Where the values of a series come from, where its claims say so in our words; what else a source calls a kind is a property of it."""
    return said["kind"] if said.get("kind") in SERIES_KINDS else None


def _rest(said: Mapping[str, Any], columns: Sequence[str]) -> str:
    stated = dict(said.get("properties") or {})
    stated.update({key: value for key, value in said.items() if key not in columns and key != "properties"})
    return json.dumps(stated)


def _upsert(connection: Connection, noun: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Write what differs; gives the natural ids of rows that were there and changed."""
    values = [name for name in columns if name not in ("natural_id", "uuid", "series_id")]
    statement = sql.SQL(
        "insert into core.{noun} as t ({names}, since) values ({slots}, core.this_change())"
        " on conflict (natural_id) do update set {setting}, since = excluded.since where ({old}) is distinct from ({new})"
    ).format(
        noun=sql.Identifier(noun),
        names=sql.SQL(", ").join(map(sql.Identifier, columns)),
        slots=sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
        setting=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in values),
        old=sql.SQL(", ").join(sql.Identifier("t", name) for name in values),
        new=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in values),
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
    replaced = sql.SQL("select natural_id from history.{} where until = core.this_change()").format(sql.Identifier(noun))
    return [row[0] for row in connection.execute(replaced)]
