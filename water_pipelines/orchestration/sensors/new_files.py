"""Watches the inbox, and the landed area for what listeners put there."""

import dagster as dg

from water_pipelines.orchestration.jobs import load_job
from water_pipelines.orchestration.operations.landing import is_waiting
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.sensors.busy import unfinished


@dg.sensor(job=load_job, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def new_files(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult | dg.SkipReason:
    """Ask for a load when the inbox holds files that are complete, or that did not change since the last tick, or when landed files wait."""
    if not is_waiting(platform):
        return dg.SkipReason("The inbox is empty, and all that landed is loaded.")
    if unfinished(context.instance, load_job.name):
        return dg.SkipReason("A load is queued or running; it takes what is there.")
    return dg.SensorResult(run_requests=[dg.RunRequest()])
