"""Measure: the first load of a long history, and when Dagster knows of it.

Not a race. A file of several series of decades is dropped; the figures are the seconds from the start of the load until its values are stored,
until flags and metrics and then every derived table are served, and until Dagster was told of each computed day of each asset, through its own
PostgreSQL storage.
"""

import argparse
import os
import time
from collections.abc import Sequence

import dagster as dg
import numpy as np
from _race import arena, show, show_machine

os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")  # as `water up` sets it

from dagster._core.test_utils import instance_for_test

from water_pipelines import definitions  # noqa: F401  # registers every asset
from water_pipelines.orchestration.operations.inbox import empty_inbox, start_clock
from water_pipelines.orchestration.operations.telling import telling
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import report, settle
from water_pipelines.storage.computed import Unlogged
from water_pipelines.storage.database import utc


def drop(platform: Platform, years: int, series: int, minutes: int) -> np.datetime64:
    """Put the history into the inbox; gives its last time."""
    first = np.datetime64("1975-01-01T00:00:00")
    times = first + np.arange(years * 365 * 1440 // minutes) * np.timedelta64(minutes, "m")
    texts = np.datetime_as_string(times)
    values = np.round(2 + np.sin(np.arange(len(times)) / 97.0), 3).astype(str)
    lines = (f"{at}Z,GAUGE_{number},water_level,m,{value}\n" for number in range(series) for at, value in zip(texts, values, strict=True))
    platform.store.put("inbox/history.csv", ("time,station,property,unit,value\n" + "".join(lines)).encode())
    return times[-1]


def main() -> None:
    """Drop, load, settle, tell, and say when each was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=50)
    parser.add_argument("--series", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=60)
    given = parser.parse_args()
    show_machine()
    marks: dict[str, float] = {}  # of an asset, when its last units were computed
    told: dict[str, int] = {}

    @dg.op(out=dg.Out(dg.Nothing))
    def load_settle_tell(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
        with platform.during(context.run.run_id) as working:
            empty_inbox(working)
            marks["stored"] = time.perf_counter()
            settle(working, None, lambda asset, units: marks.update({asset: time.perf_counter()}))
            marks["served"] = time.perf_counter()
            tell = telling(context, working)

            def counted(units: Sequence[Unlogged]) -> None:
                tell(units)
                for unit in units:
                    told[unit.asset] = told.get(unit.asset, 0) + 1

            report(working, counted)
            marks["told"] = time.perf_counter()

    @dg.job(executor_def=dg.in_process_executor)
    def measured_job() -> None:
        load_settle_tell()

    with arena() as field:
        platform = field.platform("history", with_marts=True)
        last = drop(platform, given.years, given.series, given.minutes)
        start_clock(platform, utc(last + np.timedelta64(1, "D")))
        storage = {"postgres": {"postgres_url": field.url("history_dagster")}}
        with instance_for_test(overrides={"storage": storage}) as instance:
            started = time.perf_counter()
            assert measured_job.execute_in_process(instance=instance, resources={"platform": platform}).success
        units = sum(told.values())
        assert told["core/observation"] == given.years * 365, f"told of {told}"
        show(
            f"{given.years} years of {given.series} series, every {given.minutes} minutes",
            ["", "s since the start", ""],
            [
                ["stored", f"{marks['stored'] - started:,.1f}", f"{given.years * 365 * 1440 // given.minutes * given.series:,} values"],
                ["flags and metrics served", f"{marks['mart/data_quality_daily'] - started:,.1f}", ""],
                ["everything served", f"{marks['served'] - started:,.1f}", "anomalies, forecasts and scores, too"],
                [
                    "all told",
                    f"{marks['told'] - started:,.1f}",
                    f"{units:,} units of {len(told)} assets, {units / (marks['told'] - marks['served']):,.0f}/s",
                ],
            ],
        )


if __name__ == "__main__":
    main()
