"""Watches for SensorThings servers whose next poll is due."""

import dagster as dg

from water_pipelines.orchestration.jobs import sensorthings_job
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.sensors.busy import unfinished
from water_pipelines.storage import sensorthings


@dg.sensor(job=sensorthings_job, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def new_sensorthings_observations(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run that follows the servers when one of them is due, and none does already."""
    with platform.database.connection() as connection:
        due = sensorthings.due(connection)
    if not due:
        return dg.SkipReason("No server is due.")
    if unfinished(context.instance, sensorthings_job.name):
        return dg.SkipReason("A run follows the servers already.")
    return dg.SensorResult(run_requests=[dg.RunRequest()])
