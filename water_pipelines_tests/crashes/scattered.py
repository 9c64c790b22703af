"""The proof that Dagster shows what was computed: a file that touches many scattered days, loaded and settled by runs that are killed.

`python -m water_pipelines_tests.crashes.scattered [--days 1000] [--kills 4] [--seed 1]` kills the run's process at random writes and events,
starts the next run, and at last asks Dagster's GraphQL for the partitions of every asset.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from water_pipelines.definitions import defs
from water_pipelines.orchestration.io import NoPickles
from water_pipelines.orchestration.settle import SETTLED
from water_pipelines.storage import computed, stale
from water_pipelines_tests.crashes.harness import forked
from water_pipelines_tests.crashes.points import watch
from water_pipelines_tests.exactness.reach import ASSETS, Affected
from water_pipelines_tests.worlds import World, Worlds

_FIRST, _YEARS = date(2005, 1, 1), 20
_WRITES, _EVENTS_A_DAY = 150, 9  # a kill comes at one of so many writes, or of so many events that Dagster is told
_SHOWN = """query Q($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {
    assetPartitionStatuses {... on TimePartitionStatuses {ranges {startKey endKey status}}}}}}"""
_STORAGE = "storage: {postgres: {postgres_url: {env: WATER_SCATTERED_URL}}}\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m water_pipelines_tests.crashes.scattered", description=__doc__)
    parser.add_argument("--days", type=int, default=1000, help="scattered days in 20 years (1000)")
    parser.add_argument("--kills", type=int, default=4, help="runs that are killed (4)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "200")
    rng, began, killed = random.Random(given.seed), time.monotonic(), 0
    worlds = Worlds(is_durable=False, first_day=_FIRST)
    try:
        world = worlds.new()
        worlds.server.ensure_database("scattered_dagster")
        os.environ["WATER_SCATTERED_URL"] = worlds.server.url("scattered_dagster")
        (world.folder / "dagster.yaml").write_text(_STORAGE)
        days = sorted(_FIRST + timedelta(days=n) for n in rng.sample(range(_YEARS * 365), given.days))
        for _ in range(given.kills):
            at = (rng.randrange(1, _WRITES), None) if rng.random() < 0.5 else (None, rng.randrange(1, _EVENTS_A_DAY * given.days))
            killed += forked(lambda at=at: _run(world, days, *at)) == -signal.SIGKILL  # type: ignore[misc]  # bound at once
        if forked(lambda: _run(world, days)) != 0 or forked(lambda: _compare(world, days, given.kills + 1)) != 0:
            return 1
        sys.stdout.write(f"{given.days} days, {killed} of {given.kills} runs killed: Dagster shows what was computed; "
                         f"{time.monotonic() - began:.0f} s\n")  # fmt: skip
    finally:
        worlds.close()
    return 0


def _run(world: World, days: list[date], write: int | None = None, event: int | None = None) -> None:
    """One run of `load_job`, which is killed before its n-th write or at its n-th event."""

    def killed_at(number: int, is_done: bool, what: str) -> None:
        if number == write and not is_done:
            os.kill(os.getpid(), signal.SIGKILL)

    with world.opened() as platform, _instance(world) as instance:
        key = "inbox/scattered.csv"
        with platform.database.connection() as connection:
            is_dropped = platform.store.exists(key) or connection.execute("select from raw.source_file where kind = 'data'").fetchall()
        if not is_dropped:
            rows = "".join(f"{day}T12:00:00Z,GAUGE,water_level,m,{1 + n % 10 / 100}\n" for n, day in enumerate(days))
            platform.store.put(key, f"time,station,property,unit,value\n{rows}".encode())
        watch(killed_at)
        _count_events(lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == event else None)
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        resources = {"platform": platform, "io_manager": NoPickles()}
        defs.get_job_def("load_job").execute_in_process(instance=instance, resources=resources, run_config=quiet)


def _count_events(strike: Callable[[int], None]) -> None:
    report, told = dg.DagsterInstance.report_dagster_event, 0

    def counted(self: dg.DagsterInstance, *arguments: Any, **named: Any) -> Any:
        nonlocal told
        told += 1
        strike(told)
        return report(self, *arguments, **named)

    dg.DagsterInstance.report_dagster_event = counted  # type: ignore[assignment, method-assign]  # in a process that ends


def _compare(world: World, days: list[date], runs: int) -> None:
    """See that exactly the days that the file affects were computed, by few runs, and that Dagster shows them and no other."""
    with world.opened() as platform, platform.database.connection() as connection, _instance(world) as instance:
        assert stale.counts(connection) == {}
        assert not computed.not_logged(connection, 1)
        units: dict[str, set[str]] = {}
        for asset, unit in connection.execute("select asset, unit from core.computed where asset not like 'raw/%'").fetchall():
            units.setdefault(asset, set()).add(unit)
        (until,), (by,) = (connection.execute(query).fetchone() or (0,) for query in ("select n from core.clock", _RUNS))
        assert by <= runs, f"{by} runs computed it"
        assert units["core/observation"] == {str(day) for day in days}
        affected = Affected(connection, 0, until, gap=timedelta(hours=3), flat=timedelta(hours=20), has_spike=True)
        for asset in ASSETS:
            expected = affected.units(asset)
            assert units.get(asset, set()) == expected, f"{asset}: {sorted(units.get(asset, set()) ^ expected)[:5]}"
        today = str(datetime.now(UTC).date())  # Dagster has no partition of a day to come, which may be judged already
        units = {asset: {unit for unit in days_of if unit <= today} for asset, days_of in units.items()}
        shown = _shown(instance, ["core/observation", *(asset for asset, each in SETTLED.items() if each.numbered is None)])
        for asset in shown:
            assert shown[asset] == units.get(asset, set()), f"{asset}: Dagster shows {sorted(shown[asset] ^ units.get(asset, set()))[:5]} otherwise"


_RUNS = "select count(distinct run) from core.computed"


def _shown(instance: dg.DagsterInstance, assets: list[str]) -> dict[str, set[str]]:
    """The partitions that Dagster's GraphQL says are materialised."""
    from dagster._core.test_utils import in_process_test_workspace
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster_graphql.test.utils import execute_dagster_graphql

    found: dict[str, set[str]] = {}
    with in_process_test_workspace(instance, LoadableTargetOrigin(module_name="water_pipelines.definitions")) as context:
        for asset in assets:
            answer = execute_dagster_graphql(context, _SHOWN, {"key": {"path": asset.split("/")}})
            assert not answer.errors, answer.errors
            ranges = answer.data["assetNodeOrError"]["assetPartitionStatuses"]["ranges"]
            found[asset] = {
                str(date.fromisoformat(each["startKey"]) + timedelta(days=n))
                for each in ranges
                if each["status"] == "MATERIALIZED"
                for n in range((date.fromisoformat(each["endKey"]) - date.fromisoformat(each["startKey"])).days + 1)
            }
    return found


def _instance(world: World) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(world.folder))


if __name__ == "__main__":
    sys.exit(main())
