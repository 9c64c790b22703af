"""Operators' acts on the data: which files, stations and series they concern, and the ledger of what was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from water_pipelines.domain.series import TimeArray, series_day_codes
from water_pipelines.storage import claims, series_changes, tombstones
from water_pipelines.storage.database import Connection, Database
from water_pipelines.storage.loads import Readers
from water_pipelines.storage.staging import Edge, mark_readers


@dataclass(frozen=True)
class Doomed:
    """What a deletion takes: stations by natural id, and series with their numbers."""

    stations: list[str]
    series: dict[str, int]


def doomed(connection: Connection, *, stations: Sequence[str] = (), series: Sequence[str] = (), prefix: str | None = None) -> Doomed:
    """The stations and series that are meant, as the database holds them now.

    Parameters
    ----------
    stations, series : natural ids or UUIDs; a station takes its series with it.
    prefix : a folder of the inbox: the stations and series of which only files below it have spoken.
    """
    only_below = """
        select natural_id from raw.claim join raw.source_file using (arrival) where subject = %(subject)s
        group by natural_id having bool_and(prefix = %(prefix)s or starts_with(prefix, %(prefix)s || '/'))
    """
    named = {"station": list(stations), "series": list(series)}
    if prefix is not None:
        for subject, names in named.items():
            names += [row[0] for row in connection.execute(only_below, {"subject": subject, "prefix": prefix})]
    found = [
        row[0]
        for row in connection.execute(
            "select natural_id from core.station where natural_id = any(%(names)s) or uuid::text = any(%(names)s) order by 1",
            {"names": named["station"]},
        )
    ]
    numbers = connection.execute(
        "select s.natural_id, s.series_id from core.series as s join core.station as p using (station_id)"
        " where s.natural_id = any(%(names)s) or s.uuid::text = any(%(names)s) or p.natural_id = any(%(stations)s) order by 1",
        {"names": named["series"], "stations": found},
    )
    return Doomed(found, dict(numbers.fetchall()))


def delete(
    database: Database, connection: Connection, arrival: int | None, meant: Doomed, *, edges: Readers, series_edges: Sequence[Edge]
) -> tuple[int, dict[str, int]]:
    """Delete stations and series for ever; gives the change and the rows deleted by table.

    Parameters
    ----------
    connection : in a transaction, which the caller commits, or rolls back to have asked only.
    arrival : of the act; none when only asked.
    edges, series_edges : what reads the tables of which values are deleted, and `core/series`.
    """
    claims.hold(connection)
    numbers = list(meant.series.values())
    connection.execute("select from core.series where series_id = any(%s) order by series_id for update", (numbers,))
    change = database.take_number(connection, "delete")
    held = connection.execute(
        "select s.series_id, o.day, o.rows from unnest(%s::int[]) as s(series_id) cross join lateral (select (time at time zone 'UTC')::date as day,"
        " count(*) as rows from core.observation where series_id = s.series_id group by 1) as o order by 1, 2",
        (numbers,),
    ).fetchall()
    if held:
        series, days, rows = (np.array(column) for column in zip(*held, strict=True))
        codes = series_day_codes(series.astype(np.int32), days.astype("datetime64[D]"))
        series_changes.note(connection, change, series_changes.DELETED, codes, rows.astype(np.int64))
    touched = connection.execute("select distinct day from raw.load_day where series_id = any(%s) order by 1", (numbers,)).fetchall()
    if touched:
        first: TimeArray = np.array([day for (day,) in touched], dtype="datetime64[D]").astype("datetime64[us]")
        last: TimeArray = first + np.timedelta64(86_399_999_999, "us")
        for each in (edges(connection), series_edges):
            mark_readers(connection, each, first, last)
    if arrival is not None:
        tombstones.bury(connection, arrival, meant.stations, meant.series)
    return change, tombstones.delete(connection, meant.stations, meant.series)


def note(connection: Connection, arrival: int, act: str, subject: Mapping[str, Any], reason: str, counts: Mapping[str, int], change: int) -> None:
    """Note an act, and what it did."""
    connection.execute(
        "insert into raw.act (arrival, act, subject, reason, counts, change) values (%s, %s, %s, %s, %s, %s)",
        (arrival, act, json.dumps(dict(subject)), reason, json.dumps(dict(counts)), change),
    )


def counts(connection: Connection, arrival: int) -> dict[str, int]:
    """What an act did."""
    row = connection.execute("select counts from raw.act where arrival = %s", (arrival,)).fetchone()
    return dict(row[0]) if row else {}


def made_stale(connection: Connection, change: int) -> dict[str, int]:
    """How many units of each asset a change made stale, as far as they still are."""
    return dict(connection.execute("select asset, count(*) from core.stale where since = %s group by asset order by asset", (change,)).fetchall())
