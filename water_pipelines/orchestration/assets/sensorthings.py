"""SensorThings servers: the pages that are pulled from them, and what is written to them.

Pulling is an operation (`operations/pulling.py`), requested by the sensor `new_sensorthings_observations`. Materialising today here pulls
every server that is due once.
"""

from typing import Any

import dagster as dg

from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.operations.following import follow
from water_pipelines.orchestration.operations.pushing import push
from water_pipelines.orchestration.partitions import by_arrival_day
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import pushed
from water_pipelines.storage import sensorthings as ledger


@dg.asset(
    key=["raw", "sensorthings_page"],
    deps=[["raw", "source_file"]],
    partitions_def=by_arrival_day,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="landing",
    kinds={"postgres"},
    owners=["team:platform"],
    metadata=column_schema("raw.sensorthings_page"),
)
def sensorthings_page(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[Any]:
    """Pages pulled from SensorThings servers since their cursors, each landed before it is loaded."""
    with platform.during(context.run.run_id) as working:
        found = follow(working, for_s=0)
        with working.database.connection() as connection:
            pages = ledger.pages_of(connection, sorted(context.partition_keys))
    failed = {name: pulled.error for name, pulled in found.servers.items() if pulled.error}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(pages.values()),
            "pages_of": dict(pages),
            "values_changed": sum(pulled.changes for pulled in found.servers.values()),
            "servers_that_failed": failed,
        }
    )


@dg.asset(
    key=["raw", "sensorthings_pushed"],
    deps=[["core", "observation"], ["core", "forecast"]],
    group_name="landing",
    kinds={"postgres"},
    owners=["team:platform"],
    metadata=column_schema("raw.sensorthings_pushed"),
)
def sensorthings_pushed(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[Any]:
    """Forecasts and chosen series, written as Datastreams to the servers whose configuration asks for them; only what differs is written."""
    with platform.during(context.run.run_id) as working:
        found = push(working)
        with working.database.connection() as connection:
            totals = pushed.totals(connection)
    errors = {name: each.errors for name, each in found.items() if each.errors}
    if errors:
        raise dg.Failure("Not everything was written; what was is noted, and the rest is tried again.", metadata={"errors": errors})
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(totals.values()),
            "written_now": {name: each.created + each.changed for name, each in found.items()},
        }
    )
