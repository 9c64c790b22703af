"""Checks of the marts by day: dbt's data tests, run over the days at hand, with every failing row kept.

The tests are written in `dbt_project`, and dbt compiled them when it made the views (`marts.define_marts`): a check runs without dbt.
The outcome is a derived table like any other, asset `core/check_result`; add nothing here that judges values one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.storage import marts
from water_pipelines.storage.database import Connection, Snapshot
from water_pipelines.storage.staging import Staged, Table, present_rows, stage_query, windows_of

CHECK_RESULT = Table("core.check_result", ("asset", "check_name", "day"), "day")
CHECK_FAILURE = Table("core.check_failure", ("asset", "check_name", "day", "position"), "day")


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check on a day: how many rows fail it."""

    asset: str
    check: str
    day: date
    severity: str
    failing: int


def stage_checks(snapshot: Snapshot, days: NDArray[np.datetime64]) -> Staged:
    """Run the tests of all marts over UTC days, and stage their outcome by day with the failing rows.

    A check that fails no row of a day is a result too, where the day holds values of any series. Failing rows are numbered from 1
    within their check and day, in an order that depends on their content alone.

    Raises
    ------
    marts.MartsUndefined
        Where dbt has not compiled the tests yet.
    """
    found = marts.read_definitions(snapshot.connection)
    snapshot.set_windows(windows_of(days))
    snapshot.connection.execute("select set_config('jit', 'off', true)")
    failures = stage_query(snapshot, CHECK_FAILURE, sql.SQL(" union all ").join(_failing(mart, test) for mart in found for test in mart.tests))
    checks = [(mart.asset, test.name, test.severity) for mart in found for test in mart.tests]
    results = sql.SQL(
        "select c.*, d.day, coalesce(f.failing, 0) as failing"
        " from unnest({}::text[], {}::text[], {}::text[]) as c(asset, check_name, severity)"
        " cross join (select (start_at at time zone 'UTC')::date as day from ({}) as m union select day from {}) as d"
        " left join (select asset, check_name, day, count(*) as failing from {} group by 1, 2, 3) as f using (asset, check_name, day)"
    ).format(
        *(list(column) for column in zip(*checks, strict=True)),
        present_rows(marts.METRIC_DAILY, windows_of(days)),
        sql.Identifier(failures.name),
        sql.Identifier(failures.name),
    )
    return Staged([stage_query(snapshot, CHECK_RESULT, results), failures])


def read_results(connection: Connection, days: Sequence[date], asset: str | None = None) -> list[CheckResult]:
    """The outcome of checks on some days, of one asset or of all, in the order of asset, check and day."""
    query = (
        "select asset, check_name, day, severity, failing from core.check_result"
        " where day = any(%s::date[]) and (%s::text is null or asset = %s) order by asset, check_name, day"
    )
    return [CheckResult(*row) for row in connection.execute(query, (list(days), asset, asset))]


def read_failures(connection: Connection, asset: str, check: str, day: date) -> list[dict[str, Any]]:
    """All rows that fail a check on a day."""
    query = "select row from core.check_failure where asset = %s and check_name = %s and day = %s order by position"
    return [row[0] for row in connection.execute(query, (asset, check, day))]


def _failing(mart: marts.MartDefinition, test: marts.MartTest) -> sql.Composed:
    """The failing rows of a test, as rows of `core.check_failure`. A start of a bucket is a time of the UTC day, a day is itself."""
    return sql.SQL(
        "(select {asset}::text as asset, {check}::text as check_name, day,"
        " (row_number() over (partition by day order by row))::integer as position, row"
        " from (select ({at}::timestamptz at time zone 'UTC')::date as day, to_jsonb(t) as row from ({test}) as t offset 0) as t)"
    ).format(asset=mart.asset, check=test.name, at=sql.Identifier("t", mart.at), test=sql.SQL(test.sql))


@dataclass(frozen=True)
class CheckSummary:
    """A check over all days: on how many it ran, on how many rows fail it, and the last of these with their numbers of rows."""

    asset: str
    check: str
    severity: str
    days: int
    failing_days: int
    last_failing: tuple[tuple[date, int], ...]


def summaries(connection: Connection, shown: int = 30) -> list[CheckSummary]:
    """Every check over all days, in the order of asset and check."""
    query = """
        select asset, check_name, max(severity), count(*), count(*) filter (where failing > 0),
            coalesce((array_agg(day order by day desc) filter (where failing > 0))[:%(shown)s], '{}'),
            coalesce((array_agg(failing order by day desc) filter (where failing > 0))[:%(shown)s], '{}')
        from core.check_result group by asset, check_name order by asset, check_name
    """
    return [
        CheckSummary(asset, check, severity, days, failing, tuple(zip(last, rows, strict=True)))
        for asset, check, severity, days, failing, last, rows in connection.execute(query, {"shown": shown})
    ]
