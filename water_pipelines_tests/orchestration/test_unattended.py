"""What the platform mends and tidies by itself: loads that ended early, and history that is older than is kept."""

from __future__ import annotations

import time
from dataclasses import replace

import dagster as dg
import numpy as np
import pytest

from water_pipelines.orchestration.jobs import sensorthings_job
from water_pipelines.orchestration.operations.landing import land_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.sensors import dead_runs
from water_pipelines.orchestration.sensors.busy import unfinished
from water_pipelines.orchestration.sensors.unfinished_loads import unfinished_loads
from water_pipelines.storage import history, runs
from water_pipelines_tests.orchestration.histories import START, load, rows
from water_pipelines_tests.orchestration.test_jobs import run

FILES = "select name, status, error, attempts from raw.source_file where kind = 'data' order by arrival"


def watched(platform: Platform, instance: dg.DagsterInstance) -> object:
    """What the sensor says."""
    with dg.build_sensor_context(instance=instance, resources={"platform": platform}) as context:
        return unfinished_loads(context)


def test_a_load_that_was_cut_off_is_begun_again_by_itself(platform: Platform) -> None:
    """One load died, another failed long ago, a third died in its last attempt: a run is asked for, which loads two and gives the third up."""
    for name in ("died", "failed", "poison"):
        platform.store.put(f"inbox/{name}.csv", f"time,station,property,unit,value\n{START}Z,{name},flow,m3/h,1\n".encode())
    assert sum(map(len, land_inbox(platform))) == 3
    with platform.database.connection() as connection:
        connection.execute("update raw.source_file set attempts = 1")
        connection.execute("update raw.source_file set status = 'running', run = 'gone' where name in ('died.csv', 'poison.csv')")
        connection.execute("update raw.source_file set attempts = 5 where name = 'poison.csv'")
        connection.execute("update raw.source_file set status = 'failed', finished_at = now() - interval '1 day' where name = 'failed.csv'")
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(watched(platform, instance), dg.SensorResult)
        run(platform, "load_job", instance)
        assert isinstance(watched(platform, instance), dg.SkipReason)
    found = {str(name): (status, error, attempts) for name, status, error, attempts in rows(platform, FILES)}
    assert (found["died.csv"], found["failed.csv"]) == (("succeeded", None, 2), ("succeeded", None, 2))
    assert (found["poison.csv"][0], "cut off 5 times" in str(found["poison.csv"][1])) == ("failed", True)


def test_a_run_that_was_being_started_when_the_platform_died_is_failed_at_once(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two runs from before this code server, the one that nobody holds is failed; of its own, none that is still being started."""
    with dg.instance_for_test() as instance:
        lost, held = (instance.create_run_for_job(sensorthings_job, status=dg.DagsterRunStatus.STARTING) for _ in range(2))
        context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
        with runs.alive(platform.database, held.run_id), context:
            dead_runs.dead_runs(context)
            assert unfinished(instance, sensorthings_job.name)
            monkeypatch.setattr(dead_runs, "_born_at", time.time() + 1)
            dead_runs.dead_runs(context)
            statuses = [found.status for run in (lost, held) if (found := instance.get_run_by_id(run.run_id)) is not None]
    assert statuses == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTING]


def test_history_is_removed_only_when_asked_to(platform: Platform) -> None:
    """A value was corrected a month ago, ten days are kept: launched by hand the job tells of one row, applied it removes it."""
    for name, value in (("first", 1.0), ("second", 2.0)):
        load(platform, f"{name}.csv", "GAUGE", np.array([START]), np.array([value]))
    with platform.database.connection() as connection:
        connection.execute("update core.change set recorded_at = recorded_at - interval '30 days'")
    kept = replace(platform, settings=platform.settings.model_copy(update={"history_days": 10}))
    count = "select count(*) from history.observation"
    with dg.DagsterInstance.ephemeral() as instance:
        run(kept, "expire_history_job", instance)
        assert rows(platform, count) == [(1,)]
        apply = {"ops": {"remove_superseded": {"config": {"apply": True}}}}
        run(platform, "expire_history_job", instance, apply)
        assert rows(platform, count) == [(1,)], "without the setting history is kept for ever"
        run(kept, "expire_history_job", instance, apply)
    assert rows(platform, count) == [(0,)]
    with platform.database.connection() as connection:
        assert [(history.horizon(connection),)] == connection.execute("select max(n) from core.change where kind = 'load'").fetchall()
