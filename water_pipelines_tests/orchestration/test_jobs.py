"""Jobs and assets as Dagster runs them: what a run leaves in the event log is what was computed."""

from __future__ import annotations

from typing import Any

import dagster as dg
import numpy as np

from water_pipelines.definitions import defs
from water_pipelines.orchestration.io import NoPickles
from water_pipelines.orchestration.resources import Platform
from water_pipelines_tests.orchestration.test_settle import drop, everything_again, level

FLAG = dg.AssetKey(["core", "observation_flag"])


def run(platform: Platform, job: str, instance: dg.DagsterInstance, config: dict[str, Any] | None = None) -> None:
    resources = {"platform": platform, "io_manager": NoPickles()}
    result = defs.get_job_def(job).execute_in_process(instance=instance, resources=resources, run_config=config)
    assert result.success


def test_a_load_job_lands_loads_settles_and_tells_exactly_the_days_it_computed(platform: Platform) -> None:
    """Two scattered days in the inbox: the partitions that Dagster knows are those in core.computed, asset by asset."""
    drop(platform, "first.csv", level(0.5))
    drop(platform, "second.csv", level(0.5, first=np.datetime64("2026-04-10T00:00", "us")))
    with dg.DagsterInstance.ephemeral() as instance:
        run(platform, "load_job", instance)
        with platform.database.connection() as connection:
            noted = connection.execute("select asset, array_agg(unit order by unit) from core.computed group by asset").fetchall()
        for asset, units in noted:
            assert sorted(instance.get_materialized_partitions(dg.AssetKey(asset.split("/")))) == units


def test_an_act_is_only_told_until_it_is_to_be_applied_and_then_settled(platform: Platform) -> None:
    """A file is withdrawn by a launched job: first nothing changes, then its values are gone and nothing is left to compute."""
    drop(platform, "level.csv", level(1))

    def stored() -> int:
        with platform.database.connection() as connection:
            return len(connection.execute("select from core.observation").fetchall())

    with dg.DagsterInstance.ephemeral() as instance:
        run(platform, "load_job", instance)
        with platform.database.connection() as connection:
            (job,) = connection.execute("select job_id::text from raw.source_file where name = 'level.csv'").fetchone() or ("",)
        config = {"act": "withdraw", "files": [job], "reason": "wrong gauge"}
        run(platform, "act_job", instance, {"ops": {"act_and_settle": {"config": config}}})
        assert stored() == 48
        run(platform, "act_job", instance, {"ops": {"act_and_settle": {"config": {**config, "apply": True}}}})
    assert stored() == 0
    assert everything_again(platform) == {}


def test_materialising_days_from_the_ui_computes_them_by_the_same_function(platform: Platform) -> None:
    """A range of three days: each is computed, and computing everything again afterwards writes nothing."""
    drop(platform, "level.csv", level(3))
    with dg.DagsterInstance.ephemeral() as instance:
        run(platform, "load_job", instance)
        with platform.database.connection() as connection:
            connection.execute("update core.clock set n = n + 1")
            connection.execute("select set_config('water.change', (select n from core.clock)::text, false)")
            connection.execute("delete from core.evaluation")
        result = dg.materialize(
            [defs.get_assets_def(FLAG)],
            instance=instance,
            resources={"platform": platform, "io_manager": NoPickles()},
            tags={"dagster/asset_partition_range_start": "2026-03-02", "dagster/asset_partition_range_end": "2026-03-04"},
        )
        assert result.success
        (materialisation, *_) = result.asset_materializations_for_node("core__observation_flag")
        assert materialisation.metadata["days"].value == 3
        assert "hydrograph" in materialisation.metadata
    assert everything_again(platform) == {}


def test_a_tick_makes_no_trouble_where_nothing_has_arrived(platform: Platform) -> None:
    """The half-hour's job runs on an empty platform."""
    with dg.DagsterInstance.ephemeral() as instance:
        run(platform, "tick_job", instance)
    with platform.database.connection() as connection:
        assert connection.execute("select count(*) from core.tick").fetchone() == (1,)


def test_replaying_a_day_from_the_ui_restores_what_was_lost(platform: Platform) -> None:
    """Rows of a day are deleted behind the platform's back; materialising core/observation derives them again from the landed bytes."""
    drop(platform, "level.csv", level(2))
    with dg.DagsterInstance.ephemeral() as instance:
        run(platform, "load_job", instance)
        with platform.database.connection() as connection:
            connection.execute("select set_config('water.change', '99', true)")
            connection.execute("delete from core.observation where time < '2026-03-03'")
        result = dg.materialize(
            [defs.get_assets_def(["core", "observation"])],
            instance=instance,
            resources={"platform": platform, "io_manager": NoPickles()},
            partition_key="2026-03-02",
        )
    assert result.success
    with platform.database.connection() as connection:
        assert connection.execute("select count(*), count(*) filter (where load_id > 1) from core.observation").fetchone() == (96, 48)
