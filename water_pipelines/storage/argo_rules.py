"""What the flags of Argo casts go by beside the casts: the versions of the tests that are in force, and the grey list.

Both come as files that land; the latest arrival is in force. Keep out: what a test does with them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from psycopg import sql

from water_pipelines.domain.argo.casts import GreyList
from water_pipelines.storage import stale
from water_pipelines.storage.copy import copy_rows
from water_pipelines.storage.database import Connection

FLAG = "core/argo_flag"

_COLUMNS = ("arrival", "position", "wmo", "parameter", "start_on", "end_on", "flag", "comment", "data_centre")
_NOTHING = (None, "", None, None, 0, "", "")
_DECIDES = 5  # the float, the parameter, the days and the flag: a list that words a comment otherwise changes no flag

_Entry = tuple[Any, ...]


class ArgoRules(NamedTuple):
    """A stored choice of versions."""

    version: str
    settings: dict[str, Any]


def in_force(connection: Connection) -> ArgoRules | None:
    """The choice in force; none where no file made one, and the defaults hold."""
    row = connection.execute("select version, settings from core.argo_rule_set order by arrival desc limit 1").fetchone()
    return ArgoRules(*row) if row else None


def put_in_force(connection: Connection, arrival: int, version: str, settings: dict[str, Any]) -> None:
    """Put the choice of a landed file in force, unless a later file's is; the flags of all floats are stale. Call it with the clock held."""
    connection.execute(
        "insert into core.argo_rule_set (arrival, version, settings, since) values (%s, %s, %s, core.this_change())",
        (arrival, version, json.dumps(settings)),
    )
    stale.mark(connection, FLAG, [str(wmo) for wmo in floats(connection)])


def count(connection: Connection) -> int:
    """How many choices were ever made."""
    row = connection.execute("select count(*) from core.argo_rule_set").fetchone()
    assert row is not None
    return int(row[0])


def floats(connection: Connection) -> list[int]:
    """The floats that have casts."""
    return [
        row[0] for row in connection.execute("select wmo from core.argo_float as f where exists (select from core.argo_profile where wmo = f.wmo)")
    ]


def keep_grey_list(connection: Connection, arrival: int, grey: GreyList) -> set[int]:
    """Keep a grey list; gives the floats that are judged otherwise by the list that is in force then."""
    before = _read_grey_rows(connection)
    rows = [row for row in zip(*_columns(grey), strict=True) if row[0] is not None] or [_NOTHING]
    copy_rows(connection, sql.Identifier("core", "argo_grey_list"), _COLUMNS, [(arrival, position, *row) for position, row in enumerate(rows)])
    return _judged_otherwise(connection, before)


def drop_grey_lists(connection: Connection, arrivals: Sequence[int]) -> set[int]:
    """Forget some grey lists; gives the floats that are judged otherwise by the list that is in force then."""
    before = _read_grey_rows(connection)
    connection.execute("delete from core.argo_grey_list where arrival = any(%s)", (list(arrivals),))
    return _judged_otherwise(connection, before)


def _judged_otherwise(connection: Connection, before: list[_Entry] | None) -> set[int]:
    """The floats whose entries differ; all, where test 15 can be performed at last, or can no more."""
    now = _read_grey_rows(connection)
    if before is None or now is None:
        return set() if before is now else set(floats(connection))
    return {wmo for wmo, *_ in {each[:_DECIDES] for each in before} ^ {each[:_DECIDES] for each in now}}


def _read_grey_rows(connection: Connection) -> list[_Entry] | None:
    """(float, parameter, first day, last day, flag, comment, data centre) of the list in force; none where there is no list."""
    rows = connection.execute(
        "select wmo, parameter, start_on, end_on, flag, comment, data_centre from core.argo_grey_list"
        " where arrival = (select max(arrival) from core.argo_grey_list) order by position"
    ).fetchall()
    return [row for row in rows if row[0] is not None] if rows else None


def read_grey_list(connection: Connection) -> GreyList | None:
    """The list in force; none where none was dropped."""
    rows = _read_grey_rows(connection)
    if rows is None:
        return None
    wmo, parameter, start, end, flag, comment, centre = zip(*rows, strict=True) if rows else ((),) * 7
    return GreyList(
        platform_number=np.array([str(each) for each in wmo], dtype=np.str_),
        parameter=np.array(parameter, dtype=np.str_),
        start=np.array(start, dtype="datetime64[D]"),
        end=np.array(end, dtype="datetime64[D]"),
        flag=np.array(flag, dtype=np.uint8),
        comment=np.array(comment, dtype=np.str_),
        data_centre=np.array(centre, dtype=np.str_),
    )


def _text(text: str) -> str:
    return text.replace("\0", "")


def _columns(grey: GreyList) -> list[list[Any]]:
    return [
        [int(wmo) if wmo.isdecimal() else None for wmo in grey.platform_number.tolist()],
        [_text(each) for each in grey.parameter.tolist()],
        [str(day) for day in grey.start.astype("datetime64[D]")],
        [None if np.isnat(day) else str(day) for day in grey.end.astype("datetime64[D]")],
        grey.flag.tolist(),
        [_text(each) for each in grey.comment.tolist()],
        [_text(each) for each in grey.data_centre.tolist()],
    ]
