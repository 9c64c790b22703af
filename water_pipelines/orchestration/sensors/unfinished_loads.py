"""Watches for files that landed and were never loaded to the end: their run died, or failed for a reason that may pass."""

import dagster as dg

from water_pipelines.orchestration.jobs import load_job
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.sensors.busy import unfinished
from water_pipelines.storage import retries


@dg.sensor(job=load_job, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def unfinished_loads(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult | dg.SkipReason:
    """Ask for a load when files wait for one, or are due to be tried again, and no load is queued or working."""
    with platform.database.connection() as connection:
        are_due = retries.are_due(connection, platform.settings.load_attempts)
    if not are_due:
        return dg.SkipReason("No file waits to be loaded again.")
    if unfinished(context.instance, load_job.name):
        return dg.SkipReason("A load is queued or running; it takes what waits.")
    return dg.SensorResult(run_requests=[dg.RunRequest()])
