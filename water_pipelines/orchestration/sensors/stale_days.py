"""Watches the ledger of what is stale."""

import dagster as dg

from water_pipelines.orchestration.jobs import load_job, sensorthings_job, settle_job, tick_job
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.sensors.busy import unfinished
from water_pipelines.storage import computed, stale


@dg.sensor(job=settle_job, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def stale_days(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult | dg.SkipReason:
    """Ask for a settle when something is stale or not reported yet, and no run that settles is queued or working."""
    with platform.database.connection() as connection:
        counts = stale.counts(connection)
        unlogged = computed.not_logged(connection, 1)
    if not counts and not unlogged:
        return dg.SkipReason("Nothing is stale.")
    if unfinished(context.instance, settle_job.name, load_job.name, tick_job.name, sensorthings_job.name):
        return dg.SkipReason(f"A run that settles is queued or running. Stale: {counts}")
    return dg.SensorResult(run_requests=[dg.RunRequest()])
