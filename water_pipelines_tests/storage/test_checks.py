"""Checks: dbt's tests over the days at hand, with their outcome by day and every failing row."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from water_pipelines.domain.flags import Test
from water_pipelines.storage import checks
from water_pipelines.storage.checks import CheckResult
from water_pipelines.storage.database import Database
from water_pipelines.storage.marts import MARTS, METRIC_30MIN
from water_pipelines.storage.staging import Applied, settle
from water_pipelines_tests.builders import every
from water_pipelines_tests.storage.marts_world import MartsWorld

DAYS = ["2026-03-01", "2026-03-02"]
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture
def world(database_url: str) -> Iterator[MartsWorld]:
    """Two days of good values, but for 6 flat ones on the second, with their marts."""
    database = Database(database_url, code_version="test")
    world = MartsWorld(database)
    world.drop("a.csv", every(15, f"{DAYS[0]}T00:00", [float(i % 7) for i in range(192)]))
    world.tick("2026-03-03T00:00")
    world.judge(DAYS, [("STATION_1/stage", f"{DAYS[1]}T00:{minute}", 3, int(Test.FLAT_LINE)) for minute in ("00", "15", "30", "45")])
    world.settle(DAYS)
    yield world
    database.close()


def check(world: MartsWorld, days: list[str]) -> Applied:
    """Settle the checks of some days."""
    return settle(world.database, "core/check_result", np.array(days, dtype="datetime64[D]"), checks.stage_checks, [])


def failed(world: MartsWorld) -> list[CheckResult]:
    """The checks that fail on either day."""
    with world.database.connection() as connection:
        return [result for result in checks.read_results(connection, [FIRST, SECOND]) if result.failing]


def test_sound_marts_pass_every_check_on_every_day(world: MartsWorld) -> None:
    """27 checks of five marts pass on both days; passing is recorded too."""
    check(world, DAYS)
    with world.database.connection() as connection:
        results = checks.read_results(connection, [FIRST, SECOND])
    assert failed(world) == []
    assert len(results) == 2 * 27
    assert {result.asset for result in results} == {table.name.replace(".", "/") for table in MARTS}


def test_a_wrong_row_fails_on_its_day_and_is_kept(world: MartsWorld) -> None:
    """A mean above the maximum fails one check of one mart on one day, and the row is kept as it is."""
    with world.database.connection() as connection:
        world.database.take_number(connection, "test")
        connection.execute("update mart.metric_30min set mean = 99 where start_at = '2026-03-02T10:30Z'")
    check(world, DAYS)
    assert failed(world) == [CheckResult("mart/metric_30min", "mean_within_extremes", SECOND, "error", 1)]
    with world.database.connection() as connection:
        (row,) = checks.read_failures(connection, "mart/metric_30min", "mean_within_extremes", SECOND)
    assert (row["start_at"], row["mean"], row["count"]) == ("2026-03-02T10:30:00+00:00", 99, 2)


def test_a_half_hour_that_the_hours_do_not_know_is_found(world: MartsWorld) -> None:
    """Half-hours without their hour fail the check of the hours that they add up, for each hour of the day."""
    world.put(METRIC_30MIN, [DAYS[0]], [])
    check(world, DAYS)
    assert failed(world) == [CheckResult("mart/metric_hourly", "adds_up_from", FIRST, "error", 24)]
    with world.database.connection() as connection:
        rows = checks.read_failures(connection, "mart/metric_hourly", "adds_up_from", FIRST)
    assert [(row["received"], row["received_by_parts"]) for row in rows] == [(4, None)] * 24


def test_the_rules_are_summarised_by_day(world: MartsWorld) -> None:
    """5 of 96 flat values are more than 5 %: a warning on that day, with the series, the count and the share."""
    world.judge(DAYS, [("STATION_1/stage", f"{DAYS[1]}T0{i // 4}:{i % 4 * 15:02d}", 3, int(Test.FLAT_LINE)) for i in range(5)])
    world.settle(DAYS)
    check(world, DAYS)
    assert failed(world) == [CheckResult("mart/data_quality_daily", "flat_line", SECOND, "warn", 1)]
    with world.database.connection() as connection:
        (row,) = checks.read_failures(connection, "mart/data_quality_daily", "flat_line", SECOND)
    assert row == {"series_id": world.number_of("STATION_1/stage"), "day": "2026-03-02", "flat_line_failed": 5, "received": 96, "share": 5 / 96}


def test_checking_again_changes_nothing_and_a_repair_is_noted(world: MartsWorld) -> None:
    """A repeated check makes no change; after the row is right again the failure is gone from the table and kept in its history."""
    with world.database.connection() as connection:
        world.database.take_number(connection, "test")
        connection.execute("update mart.metric_daily set received = received + 1, count = 0 where start_at::date = '2026-03-01'")
    assert check(world, DAYS).written == {"core.check_result": 54, "core.check_failure": 2}
    assert {(result.check, result.failing) for result in failed(world)} == {("adds_up_from", 1), ("statistics_of_good_values", 1)}
    assert check(world, DAYS).change is None
    world.settle(DAYS)
    check(world, DAYS)
    assert failed(world) == []
    with world.database.connection() as connection:
        assert connection.execute("select count(*) from core.check_failure").fetchone() == (0,)
        assert connection.execute("select count(*) from history.check_failure").fetchone() == (2,)


def test_other_days_are_left_alone(world: MartsWorld) -> None:
    """Checking one day writes results of that day only."""
    check(world, [DAYS[1]])
    with world.database.connection() as connection:
        assert {result.day for result in checks.read_results(connection, [FIRST, SECOND])} == {SECOND}
        assert len(checks.read_results(connection, [SECOND], "mart/metric_daily")) == 6
