"""dbt's tests of the marts, as asset checks.

The tests run with every settle, over the days at hand, and leave their outcome by day in `core.check_result` and every failing row in
`core.check_failure`. A check here sums that up over all days, since a run over a range records its checks without a partition.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import checks
from water_pipelines.storage.checks import CheckSummary
from water_pipelines.storage.database import Database
from water_pipelines.storage.marts import MartDefinition, describe_marts

_marts = describe_marts()


def _checks_of(mart: MartDefinition) -> dg.AssetChecksDefinition:
    key = dg.AssetKey(mart.asset.split("/"))

    @dg.multi_asset_check(
        name=f"{mart.asset.replace('/', '_')}_tests",
        specs=[dg.AssetCheckSpec(test.name, asset=key, description=test.description) for test in mart.tests],
    )
    def tests(platform: dg.ResourceParam[Platform]) -> Iterator[dg.AssetCheckResult]:
        """What dbt's tests of a mart found, over all days."""
        found = {summary.check: summary for summary in _summaries(platform.database) if summary.asset == mart.asset}
        for test in mart.tests:
            yield dg.AssetCheckResult(asset_key=key, check_name=test.name, **_shown(found.get(test.name)))

    return tests


mart_checks = [_checks_of(mart) for mart in _marts if mart.tests]


def evaluations(database: Database) -> list[dg.AssetCheckEvaluation]:
    """The checks of all marts as they stand, for a settle to tell Dagster."""
    return [
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey(summary.asset.split("/")), check_name=summary.check, **_shown(summary))
        for summary in _summaries(database)
    ]


def _summaries(database: Database) -> list[CheckSummary]:
    with database.connection() as connection:
        return checks.summaries(connection)


def _shown(summary: CheckSummary | None) -> dict[str, Any]:
    if summary is None:
        return {"passed": True, "metadata": {"days": 0}, "description": "No day has been computed yet."}
    schema = dg.TableSchema([dg.TableColumn("day"), dg.TableColumn("failing rows", "int")])
    records = [dg.TableRecord({"day": str(day), "failing rows": rows}) for day, rows in summary.last_failing]
    return {
        "passed": summary.failing_days == 0,
        "severity": dg.AssetCheckSeverity.ERROR if summary.severity == "error" else dg.AssetCheckSeverity.WARN,
        "metadata": {"days": summary.days, "failing_days": summary.failing_days, "last_failing": dg.MetadataValue.table(records, schema)},
        "description": f"{summary.failing_days} of {summary.days} days have failing rows; core.check_failure holds all of them.",
    }
