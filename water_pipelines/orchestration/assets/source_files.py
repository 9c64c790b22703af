"""The ledgers of what arrived: landed files, and what each load did to each series and day.

Loading is an operation (`operations/loading.py`), requested by the sensor `new_files`. Materialising a day of arrival here loads
what arrived on it and is not loaded yet.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.operations.loading import load_files
from water_pipelines.orchestration.partitions import by_arrival_day
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import source_files as ledger

_SHOWN = 50


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["raw", "source_file"],
            description="Every file that landed: arrival number, hash, kind, mapping, and what became of its load.",
            group_name="landing",
            kinds={"postgres"},
            owners=["team:platform"],
            metadata=column_schema("raw.source_file"),
        ),
        dg.AssetSpec(
            ["raw", "load_day"],
            deps=[["raw", "source_file"]],
            description="For each load, series and day: values that were new, changed and unchanged, and rows that were rejected.",
            group_name="landing",
            kinds={"postgres"},
            owners=["team:platform"],
            metadata=column_schema("raw.load_day"),
        ),
    ],
    partitions_def=by_arrival_day,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def source_file(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[dg.MaterializeResult[Any]]:
    """Load what arrived on the days asked for and waits for its load."""
    days = sorted(context.partition_keys)
    with platform.during(context.run.run_id) as working:
        load_files(working, (file for file in ledger.to_load(working.database) if str(file.arrived_at.date()) in days))
        with working.database.connection() as connection:
            counts, refused = ledger.counts_by_status(connection, days), ledger.refused_rows(connection, days, _SHOWN)
    table = dg.MetadataValue.table(
        [dg.TableRecord({"file": name, "row": row, "text": text, "reason": reason}) for name, row, text, reason in refused],
        schema=dg.TableSchema([dg.TableColumn("file"), dg.TableColumn("row", "int"), dg.TableColumn("text"), dg.TableColumn("reason")]),
    )
    yield dg.MaterializeResult(asset_key=["raw", "source_file"], metadata={**counts, "rejected_rows": table})
    yield dg.MaterializeResult(asset_key=["raw", "load_day"])
