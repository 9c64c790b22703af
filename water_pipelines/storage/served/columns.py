"""Columns of an ordered query in bulk, and pages of them.

Ten thousand points cost about what their scan costs (see `storage/arrays.py`). For what is few, use `Reading.rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.storage.arrays import array_cursor
from water_pipelines.storage.served.reading import Reading

Columns = dict[str, NDArray[Any]]
"""Columns of equal length; the first is `time`."""


def read_columns(reading: Reading, query: sql.Composable, names: Mapping[str, str], parameters: Mapping[str, Any]) -> Columns:
    """The columns of an ordered query as arrays.

    Parameters
    ----------
    query : gives the rows in their order.
    names : column -> an expression over the query's columns, without nulls: a missing float is 'NaN', a missing integer a number of its own.

    Returns
    -------
    Column -> array[n]: datetime64[us] (UTC), float64, float32, int16, int32, int64 or bool.
    """
    gathered = sql.SQL(", ").join(sql.SQL("coalesce(array_agg({}), '{{}}')").format(sql.SQL(expression)) for expression in names.values())
    with array_cursor(reading.connection) as cursor:
        row = cursor.execute(sql.SQL("select {} from ({}) as t").format(gathered, query), parameters).fetchone()
    assert row is not None
    return dict(zip(names, row, strict=True))


def page_of(parts: Sequence[Columns], limit: int) -> tuple[list[Columns], datetime | None]:
    """Cut several series, of which up to `limit` + 1 rows each were read by `time`, at one time, so that none has more than `limit` rows.

    Returns
    -------
    The parts, and the time at which the next page starts; none where nothing was cut.
    """
    cuts = [part["time"][limit] for part in parts if len(part["time"]) > limit]
    if not cuts:
        return list(parts), None
    cut = min(cuts)
    return [{name: column[: np.searchsorted(part["time"], cut)] for name, column in part.items()} for part in parts], as_datetime(cut)


def as_datetime(time: np.datetime64) -> datetime:
    """A UTC time as the standard library has it."""
    moment: datetime = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


def midnight(day: date) -> datetime:
    """The start of a day (UTC)."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
