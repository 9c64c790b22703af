"""Whether a job has a run that is not finished, so that a sensor asks for one at a time."""

import dagster as dg

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def unfinished(instance: dg.DagsterInstance, *jobs: str) -> bool:
    """Whether one of some jobs has a run that waits or works."""
    return any(instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNFINISHED), limit=1) for job in jobs)
