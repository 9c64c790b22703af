"""Binary COPY from arrays: the fast way into PostgreSQL.

The rows of fixed-width columns are packed by numpy into PostgreSQL's binary format, so no value becomes a Python object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.storage.database import Connection

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_WIDTHS = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float4": ">f4", "float8": ">f8", "timestamptz": ">i8", "date": ">i4", "bool": ">i1"}
_ROWS_A_BLOCK = 65_536
_EPOCH_US = np.datetime64("2000-01-01", "us")
_EPOCH_DAY = np.datetime64("2000-01-01", "D")


def copy_arrays(connection: Connection, table: sql.Composable, columns: Mapping[str, tuple[str, NDArray[Any]]]) -> None:
    """Append rows to a table.

    Parameters
    ----------
    table : the table's (qualified) name.
    columns : name -> (type, array[n])
        Types are int2, int4, int8, float4, float8, bool, date (datetime64[D]) and timestamptz (datetime64[us], UTC). No nulls.
    """
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for name, (kind, _) in columns.items():
        fields += [(f"{name}#", ">i4"), (name, _WIDTHS[kind])]
    record = np.dtype(fields)
    length = len(next(iter(columns.values()))[1])
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with connection.cursor().copy(sql.SQL("copy {} ({}) from stdin (format binary)").format(table, names)) as copy:
        copy.write(_SIGNATURE)
        for begin in range(0, length, _ROWS_A_BLOCK):
            end = min(begin + _ROWS_A_BLOCK, length)
            block = np.empty(end - begin, dtype=record)
            block["count"] = len(columns)
            for name, (kind, array) in columns.items():
                block[f"{name}#"] = record[name].itemsize
                block[name] = _as_stored(kind, array[begin:end])
            copy.write(block.tobytes())
        copy.write(_END)


def _as_stored(kind: str, array: NDArray[Any]) -> NDArray[Any]:
    if kind == "timestamptz":
        return (array.astype("datetime64[us]") - _EPOCH_US).astype(np.int64)
    if kind == "date":
        return (array.astype("datetime64[D]") - _EPOCH_DAY).astype(np.int64)
    return array


def copy_rows(connection: Connection, table: sql.Composable, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Append rows with text, nulls or JSON, by COPY in text form; for what is few."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with connection.cursor().copy(sql.SQL("copy {} ({}) from stdin").format(table, names)) as copy:
        for row in rows:
            copy.write_row(row)
