"""Columns in bulk: PostgreSQL gathers each column into one array, numpy takes it over as it comes.

No value becomes a Python object on its way, so ten thousand points cost about what their scan costs. For what is few, use
`Reading.rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import adapters, sql
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

from water_pipelines.storage.served.reading import Reading

Columns = dict[str, NDArray[Any]]
"""Columns of equal length; the first is `time`."""

_EPOCH = np.datetime64("2000-01-01", "us")
_HEADER = 20  # dimensions, nulls, type, length, lower bound: int32 each


class _ArrayLoader(Loader):
    """Takes over a one-dimensional array in binary form; nulls are not expected in it."""

    format = Format.BINARY
    kind = ">i2"

    def load(self, data: Buffer) -> NDArray[Any]:
        body = np.frombuffer(data, dtype=[("length", ">i4"), ("value", self.kind)], offset=_HEADER if len(data) > _HEADER else len(data))
        return body["value"].astype(np.dtype(self.kind).newbyteorder("="))


class _Int4Loader(_ArrayLoader):
    kind = ">i4"


class _Int8Loader(_ArrayLoader):
    kind = ">i8"


class _Float4Loader(_ArrayLoader):
    kind = ">f4"


class _Float8Loader(_ArrayLoader):
    kind = ">f8"


class _BoolLoader(_ArrayLoader):
    kind = "?"


class _TimeLoader(_ArrayLoader):
    kind = ">i8"

    def load(self, data: Buffer) -> NDArray[Any]:
        return _EPOCH + super().load(data).astype("timedelta64[us]")


_LOADERS = {
    adapters.types[name].array_oid: loader
    for name, loader in {
        "int2": _ArrayLoader,
        "int4": _Int4Loader,
        "int8": _Int8Loader,
        "float4": _Float4Loader,
        "float8": _Float8Loader,
        "bool": _BoolLoader,
        "timestamptz": _TimeLoader,
    }.items()
}


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
    with reading.connection.cursor(binary=True) as cursor:
        for oid, loader in _LOADERS.items():
            cursor.adapters.register_loader(oid, loader)
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
