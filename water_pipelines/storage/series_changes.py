"""The changes feed: what each change did to the values of a series, or to the flags they are served with, by stretches of days."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.series import Int64Array, series_days_of
from water_pipelines.storage.database import Connection

ADDED, CHANGED, WITHDRAWN, FLAGGED, DELETED = "added", "changed", "withdrawn", "flagged", "deleted"


def note(connection: Connection, change: int, kind: str, codes: Int64Array, rows: NDArray[np.int64]) -> None:
    """Note what a change did, one row a series and stretch of days without a gap; call it with the clock held.

    Parameters
    ----------
    codes : sorted distinct codes of (series, day), see `series_day_codes`.
    rows : how many values each of these holds that the change did this to; series-days with none are left out.
    """
    codes, rows = codes[rows > 0], rows[rows > 0]
    if len(codes) == 0:
        return
    starts = np.flatnonzero(np.append(True, np.diff(codes) != 1))
    series, first = series_days_of(codes[starts])
    _, last = series_days_of(codes[np.append(starts[1:], len(codes)) - 1])
    connection.execute(
        "insert into core.series_change (n, series_id, kind, start_at, end_at, rows)"
        " select %s, series_id, %s, first::timestamp at time zone 'UTC', (last + 1)::timestamp at time zone 'UTC', rows"
        " from unnest(%s::int[], %s::date[], %s::date[], %s::bigint[]) as t(series_id, first, last, rows)",
        (change, kind, series.tolist(), first.tolist(), last.tolist(), np.add.reduceat(rows, starts).tolist()),
    )


def counts(connection: Connection, change: int) -> dict[str, int]:
    """How many values a change added, changed, withdrew, flagged or deleted."""
    return dict(connection.execute("select kind, sum(rows)::bigint from core.series_change where n = %s group by kind", (change,)).fetchall())
