"""Watches for runs whose process has died, which the default launcher does not notice."""

import time

import dagster as dg
import psutil

from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import runs

_GRACE_S = 60
_LIVING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
_born_at = psutil.Process().create_time()
"""When this code server began. The default launcher's runs are its children, so that those from before it are gone with the one before."""


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING, jobs=[])
def dead_runs(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SkipReason:
    """Fail runs that are said to be starting or at work, should be held by now, and are not; the retry policy starts them again."""
    records = context.instance.get_run_records(dg.RunsFilter(statuses=_LIVING))
    dead = runs.dead(platform.database, [each.dagster_run.run_id for each in records if _should_be_held(context.instance, each)])
    for run_id in dead:
        run = context.instance.get_run_by_id(run_id)
        if run is not None and run.status in _LIVING:
            context.instance.report_run_failed(run, "Its process has died: nobody holds the run's lock. It is retried.")
    return dg.SkipReason(f"{len(dead)} dead runs were failed." if dead else "All runs are alive.")


def _should_be_held(instance: dg.DagsterInstance, run: dg.RunRecord) -> bool:
    if isinstance(instance.run_launcher, dg.DefaultRunLauncher) and run.update_timestamp.timestamp() < _born_at:
        return True
    return run.start_time is not None and time.time() - run.start_time > _GRACE_S
