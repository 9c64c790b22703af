"""The champion ledger: whose forecast is served of a series, from which issue time on. Append-only, and exactly one at any instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from water_pipelines.storage.database import Connection, instant

FORECAST = "forecast"
BASELINE, MODEL = "seasonal", "ridge"

_THE_START = datetime(1900, 1, 1, tzinfo=UTC)


def start(connection: Connection, series_ids: Sequence[int]) -> None:
    """Let the baseline be the champion of series that have none, from the start; call it with the clock held."""
    connection.execute(
        "insert into core.champion (scope_series_id, kind, champion, model_id, from_at, reason, since)"
        " select series_id, %s, %s, null, %s, 'the baseline is champion until a model beats it', core.this_change()"
        " from unnest(%s::int[]) as series_id"
        " where not exists (select from core.champion as c where c.scope_series_id = series_id and c.kind = %s)",
        (FORECAST, BASELINE, _THE_START, list(series_ids), FORECAST),
    )


def append(connection: Connection, from_at: datetime, decisions: Sequence[tuple[int, str, int | None, str]]) -> int:
    """Append decisions (series, champion, model, reason) that hold from an issue time on, and say how many; call it with the clock held.

    A series for which something was decided from that time or a later one on keeps it: the past of the ledger does not change.
    """
    start(connection, [series_id for series_id, *_ in decisions])
    series_ids, champions, models, reasons = ([each[column] for each in decisions] for column in range(4))
    return connection.execute(
        "insert into core.champion (scope_series_id, kind, champion, model_id, from_at, reason, since)"
        " select d.series_id, %s, d.champion, d.model_id, %s, d.reason, core.this_change()"
        " from unnest(%s::int[], %s::text[], %s::int[], %s::text[]) as d(series_id, champion, model_id, reason)"
        " where not exists (select from core.champion as c where c.scope_series_id = d.series_id and c.kind = %s and c.from_at >= %s)",
        (FORECAST, from_at, series_ids, champions, models, reasons, FORECAST, from_at),
    ).rowcount


def latest(connection: Connection) -> dict[int, tuple[np.datetime64, str]]:
    """The issue time of the last decision on each series, and the champion since."""
    query = (
        "select distinct on (scope_series_id) scope_series_id, from_at, champion from core.champion where kind = %s"
        " order by scope_series_id, from_at desc"
    )
    return {series_id: (instant(at), champion) for series_id, at, champion in connection.execute(query, (FORECAST,))}


def champion_at(connection: Connection, series_id: int, at: datetime) -> str:
    """The champion of a series at an issue time."""
    row = connection.execute(
        "select champion from core.champion where scope_series_id = %s and kind = %s and from_at <= %s order by from_at desc limit 1",
        (series_id, FORECAST, at),
    ).fetchone()
    return str(row[0]) if row else BASELINE


def counts(connection: Connection, days: Sequence[str]) -> dict[str, int]:
    """How many decisions hold from each of some days on."""
    query = (
        "select (from_at at time zone 'UTC')::date::text, count(*) from core.champion"
        " where (from_at at time zone 'UTC')::date = any(%s::date[]) group by 1"
    )
    return dict(connection.execute(query, (list(days),)).fetchall())
