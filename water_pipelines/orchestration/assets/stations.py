"""Stations and series: provisioned from what arrives, each the merge of all that files say of it.

They are written with the loads that bring the news; materialising one here merges all claims again.
"""

from typing import Any

import dagster as dg

from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import edges
from water_pipelines.storage import claims


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["core", "station"],
            deps=[["raw", "source_file"]],
            description="Stations (SensorThings Things; also called nodes or facilities), addressed by natural id or UUID.",
            group_name="stations",
            kinds={"postgres"},
            owners=["team:platform"],
            metadata=column_schema("core.station"),
        ),
        dg.AssetSpec(
            ["core", "series"],
            deps=[["core", "station"]],
            description="Series (SensorThings Datastreams): one observed property of a station in one unit, with its expected interval.",
            group_name="stations",
            kinds={"postgres"},
            owners=["team:platform"],
            metadata=column_schema("core.series"),
        ),
    ],
)
def station(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> tuple[dg.MaterializeResult[Any], dg.MaterializeResult[Any]]:
    """Merge what all files say of stations and series, in the order of arrival, and write what differs."""
    with platform.during(context.run.run_id) as working:
        with working.database.connection() as connection:
            readers = edges(connection, "core/series")
        stations, series = claims.merge_again(working.database, readers)
    return (
        dg.MaterializeResult(asset_key=["core", "station"], metadata={"dagster/row_count": stations}),
        dg.MaterializeResult(asset_key=["core", "series"], metadata={"dagster/row_count": series}),
    )
