"""Columns in bulk: PostgreSQL gathers each column into one array (`array_agg`), numpy takes it over as it comes.

No value becomes a Python object on its way: half the work of a driver that reads row by row, on both sides. Add a type to `_LOADERS`
when a column of it is read so. Keep out: what is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor, adapters
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

from water_pipelines.storage.database import Connection

_EPOCH = np.datetime64("2000-01-01", "us")
_HEADER = 20  # dimensions, nulls, type, length, lower bound: int32 each


def array_cursor(connection: Connection) -> Cursor[Any]:
    """A cursor that gives arrays of int2, int4, int8, float4, float8, bool and timestamptz as numpy arrays.

    The arrays have one dimension and no nulls. Times are datetime64[us] (UTC).
    """
    cursor = connection.cursor(binary=True)
    for oid, loader in _LOADERS.items():
        cursor.adapters.register_loader(oid, loader)
    return cursor


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
