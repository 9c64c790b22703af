"""The marts, as dbt defines them: their rows are what the views of `dbt_project` say of the days at hand.

Add a mart by adding its model to `dbt_project`, its table to a migration and to `storage/marts.py`, and one line here that says what
it reads; a test holds that line against what dbt says the model reads. Arithmetic belongs in the model.
"""

from collections.abc import Mapping

import dagster as dg

from water_pipelines.domain.reach import SAME_DAY, Reach
from water_pipelines.orchestration.partitions import by_day
from water_pipelines.orchestration.settle import Days, settled
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.marts import DATA_QUALITY_DAILY, METRIC_30MIN, METRIC_DAILY, METRIC_HOURLY, NETWORK_30MIN, describe_marts, stage_mart
from water_pipelines.storage.staging import Staged, Table, windows_of

_described = {definition.asset: definition for definition in describe_marts()}


def _mart(table: Table, *reads: str, follows_clock: bool) -> dg.AssetsDefinition:
    key = table.name.split(".")
    said = _described["/".join(key)]
    columns = [dg.TableColumn(column.name, column.type, column.description) for column in said.columns]
    same_day: Mapping[str, Reach] = dict.fromkeys(reads, SAME_DAY)

    @settled(
        key=key,
        reads=same_day,
        partitions_def=by_day,
        follows_clock=follows_clock,
        description=said.description,
        group_name="marts",
        kinds={"dbt", "postgres"},
        owners=["team:platform"],
        metadata={"dagster/column_schema": dg.TableSchema(columns), "dagster/table_name": table.name},
    )
    def mart(snapshot: Snapshot, days: Days) -> Staged:
        return Staged([stage_mart(snapshot, table, windows_of(days))])

    return mart


metric_30min = _mart(METRIC_30MIN, "core/observation", "core/observation_flag", "core/series", follows_clock=True)
metric_hourly = _mart(METRIC_HOURLY, "mart/metric_30min", "core/series", follows_clock=True)
metric_daily = _mart(METRIC_DAILY, "mart/metric_hourly", "core/series", follows_clock=True)
network_30min = _mart(NETWORK_30MIN, "mart/metric_30min", "core/series", "core/station", follows_clock=False)
data_quality_daily = _mart(DATA_QUALITY_DAILY, "core/observation", "core/observation_flag", "mart/metric_daily", "core/series", follows_clock=True)
