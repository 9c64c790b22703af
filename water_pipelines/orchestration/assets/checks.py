"""The outcome of the marts' tests by day. What is tested is said in `dbt_project`; the asset checks are in `checks/marts.py`."""

from water_pipelines.domain.reach import SAME_DAY
from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.partitions import by_day
from water_pipelines.orchestration.settle import Days, settled
from water_pipelines.storage.checks import stage_checks
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.marts import MARTS
from water_pipelines.storage.staging import Staged


@settled(
    key=["core", "check_result"],
    reads={table.name.replace(".", "/"): SAME_DAY for table in MARTS},
    partitions_def=by_day,
    group_name="marts",
    kinds={"dbt", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.check_result"),
)
def check_result(snapshot: Snapshot, days: Days) -> Staged:
    """How many rows of each mart fail each of its tests, by day; the failing rows themselves are in core.check_failure."""
    return stage_checks(snapshot, days)
