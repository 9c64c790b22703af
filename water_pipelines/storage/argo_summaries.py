"""Summaries of Argo datasets, a row a dataset, and what they are written from. Keep out: the words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.storage.database import Connection, Snapshot
from water_pipelines.storage.staging import StagedTable, Table, stage_query

SUMMARY = Table("core.argo_summary", ("arrival",), "arrival")


class Written(NamedTuple):
    """A summary: the statistics, the words, and who wrote them."""

    statistics: Mapping[str, Any]
    text: str
    written_by: str


def datasets(connection: Connection) -> list[int]:
    """The arrivals that hold casts."""
    return [row[0] for row in connection.execute("select distinct arrival from raw.argo_cast order by 1")]


def levels_of(connection: Connection, arrivals: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many levels each dataset holds."""
    found: dict[int, int] = dict(
        connection.execute(
            "select arrival, sum(levels)::bigint from raw.argo_cast where arrival = any(%s) group by arrival", (arrivals.tolist(),)
        ).fetchall()
    )
    return np.array([found.get(arrival, 0) for arrival in arrivals.tolist()], dtype=np.int64)


def casts_of(snapshot: Snapshot, arrivals: Sequence[int]) -> tuple[dict[int, int], dict[int, list[int]]]:
    """Of each dataset how many casts it holds, and the numbers of those whose current version, or BGC part, came by it."""
    held: dict[int, int] = dict(
        snapshot.connection.execute("select arrival, count(*) from raw.argo_cast where arrival = any(%s) group by 1", (list(arrivals),)).fetchall()
    )
    current: dict[int, list[int]] = {}
    for arrival, profile_id in snapshot.rows(
        "select core_arrival, profile_id from core.argo_profile where core_arrival = any(%(arrivals)s)"
        " union select bgc_arrival, profile_id from core.argo_profile where bgc_arrival = any(%(arrivals)s) order by 1, 2",
        {"arrivals": list(arrivals)},
    ):
        current.setdefault(arrival, []).append(profile_id)
    return held, current


def stage_summaries(snapshot: Snapshot, summaries: Mapping[int, Written]) -> StagedTable:
    """Stage the summaries of some datasets."""
    rows = [{"arrival": arrival, **each._asdict()} for arrival, each in summaries.items()]
    return stage_query(
        snapshot,
        SUMMARY,
        sql.SQL("select arrival, statistics, text, written_by from json_populate_recordset(null::core.argo_summary, {}::json)").format(
            sql.Literal(json.dumps(rows))
        ),
    )
