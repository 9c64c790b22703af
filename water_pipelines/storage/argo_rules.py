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
    """Keep a grey list; gives the floats whose entries differ from those of the list that was in force, where it comes to be in force itself."""
    latest = connection.execute("select max(arrival) from core.argo_grey_list").fetchone()
    before = _entries(connection)
    rows = [row for row in zip(*_columns(grey), strict=True) if row[0] is not None]
    copy_rows(connection, sql.Identifier("core", "argo_grey_list"), _COLUMNS, [(arrival, position, *row) for position, row in enumerate(rows)])
    if latest is not None and latest[0] is not None and latest[0] > arrival:
        return set()
    return {each[0] for each in before ^ _entries(connection)}


def drop_grey_lists(connection: Connection, arrivals: Sequence[int]) -> set[int]:
    """Forget some grey lists; gives the floats whose entries differ in the list that is in force now."""
    before = _entries(connection)
    connection.execute("delete from core.argo_grey_list where arrival = any(%s)", (list(arrivals),))
    return {each[0] for each in before ^ _entries(connection)}


def _entries(connection: Connection) -> set[tuple[Any, ...]]:
    return {(wmo, parameter, start, end, flag) for wmo, parameter, start, end, flag, *_ in read_grey_rows(connection)}


def read_grey_rows(connection: Connection) -> list[tuple[Any, ...]]:
    """(float, parameter, first day, last day, flag, comment, data centre) of the list in force."""
    return connection.execute(
        "select wmo, parameter, start_on, end_on, flag, comment, data_centre from core.argo_grey_list"
        " where arrival = (select max(arrival) from core.argo_grey_list) order by position"
    ).fetchall()


def read_grey_list(connection: Connection) -> GreyList | None:
    """The list in force; none where none was dropped."""
    rows = read_grey_rows(connection)
    if not rows:
        return None
    wmo, parameter, start, end, flag, comment, centre = zip(*rows, strict=True)
    return GreyList(
        platform_number=np.array([str(each) for each in wmo]),
        parameter=np.array(parameter),
        start=np.array(start, dtype="datetime64[D]"),
        end=np.array(end, dtype="datetime64[D]"),
        flag=np.array(flag, dtype=np.uint8),
        comment=np.array(comment),
        data_centre=np.array(centre),
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
