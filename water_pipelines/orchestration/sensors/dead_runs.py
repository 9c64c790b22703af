"""Watches for runs whose process has died, which the default launcher does not notice."""

import time

import dagster as dg

from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.sensors.busy import started
from water_pipelines.storage import runs

_GRACE_S = 60


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING, jobs=[])
def dead_runs(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SkipReason:
    """Fail started runs that nobody holds; the retry policy starts them again."""
    old = [run_id for run_id in started(context.instance) if _age_s(context.instance, run_id) > _GRACE_S]
    dead = runs.dead(platform.database, old)
    for run_id in dead:
        run = context.instance.get_run_by_id(run_id)
        if run is not None and run.status is dg.DagsterRunStatus.STARTED:
            context.instance.report_run_failed(run, "Its process has died: nobody holds the run's lock. It is retried.")
    return dg.SkipReason(f"{len(dead)} dead runs were failed." if dead else "All started runs are alive.")


def _age_s(instance: dg.DagsterInstance, run_id: str) -> float:
    record = instance.get_run_record_by_id(run_id)
    return time.time() - record.start_time if record is not None and record.start_time is not None else 0.0
