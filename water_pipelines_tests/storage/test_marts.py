"""Marts: what the views that dbt defines leave in the tables, for the values, flags and ticks of a day."""

import math
from collections.abc import Iterator
from datetime import date

import numpy as np
import psycopg
import pytest

from water_pipelines.storage import marts, observations
from water_pipelines.storage.database import Database
from water_pipelines.storage.marts import DATA_QUALITY_DAILY, METRIC_30MIN, METRIC_DAILY, METRIC_HOURLY, NETWORK_30MIN
from water_pipelines.storage.staging import windows_of
from water_pipelines_tests.builders import every
from water_pipelines_tests.storage.marts_world import MartsWorld, described

DAY = "2026-03-01"


@pytest.fixture
def world(database_url: str) -> Iterator[MartsWorld]:
    database = Database(database_url, code_version="test")
    yield MartsWorld(database)
    database.close()


def test_good_values_make_the_statistics(world: MartsWorld) -> None:
    """Values 1, 3 and 8, of which 8 is a spike: the half-hours hold 2 of 2 and 0 of 1 good, the hour and the day mean 2."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0, 3.0, 8.0]))
    world.tick(f"{DAY}T01:00")
    world.judge([DAY], [("STATION_1/stage", f"{DAY}T00:30", 4, 2)])
    world.settle([DAY])
    columns = "count, mean, minimum, maximum, sum, standard_deviation, volume, expected, completeness, received, good_share, bad_share, is_closed"
    assert world.rows(METRIC_30MIN, columns) == [
        (2, 2.0, 1.0, 3.0, None, 1.0, None, 2, 1.0, 2, 1.0, 0.0, True),
        (0, None, None, None, None, None, None, 2, 0.5, 1, 0.0, 1.0, True),
    ]
    assert world.row(METRIC_HOURLY, columns) == (2, 2.0, 1.0, 3.0, None, 1.0, None, 4, 0.75, 3, 2 / 3, 1 / 3, True)
    assert world.row(METRIC_DAILY, columns) == (2, 2.0, 1.0, 3.0, None, 1.0, None, 4, 0.75, 3, 2 / 3, 1 / 3, False)
    assert world.row(DATA_QUALITY_DAILY, "day, expected, received, good, suspect, bad, spike_failed, gap_failed, longest_gap_s, rule_set_id") == (
        date(2026, 3, 1), 4, 3, 2, 0, 1, 1, 0, 1800.0, 1,
    )  # fmt: skip


def test_settling_again_changes_nothing(world: MartsWorld) -> None:
    """The same day settled twice makes no second change."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [0.1, 0.2, math.nan, 0.7] * 24))
    world.tick("2026-03-02T00:00")
    world.judge([DAY])
    assert all(applied.change for applied in world.settle([DAY])[:3])
    assert [applied.change for applied in world.settle([DAY])] == [None] * 5


def test_only_the_days_at_hand_are_computed(world: MartsWorld) -> None:
    """Settling two days that lie apart leaves the day between them without rows."""
    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        world.drop(f"{day}.csv", every(60, f"{day}T00:00", [1.0] * 24))
    world.settle(["2026-03-01", "2026-03-03"])
    assert world.rows(METRIC_DAILY, "start_at::date::text, received") == [("2026-03-01", 24), ("2026-03-03", 24)]


def test_a_value_that_came_after_the_evaluation_is_not_judged(world: MartsWorld) -> None:
    """A correction by a later load makes its value not evaluated, and leaves the other values of the half-hour good."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0, 3.0, 5.0, 7.0]))
    judged = world.change
    world.drop("b.csv", every(15, f"{DAY}T00:15", [30.0]))
    world.judge([DAY], read=judged)
    world.settle([DAY])
    assert world.rows(METRIC_30MIN, "count, mean, received, not_evaluated_share") == [(1, 1.0, 2, 0.5), (2, 6.0, 2, 0.0)]


def test_without_evaluation_nothing_is_good(world: MartsWorld) -> None:
    """Values of a day without a record of evaluation are counted as not evaluated, missing ones as missing."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0, math.nan]))
    world.settle([DAY])
    assert world.row(METRIC_30MIN, "count, mean, received, good_share, not_evaluated_share, missing_share") == (0, None, 2, 0.0, 0.5, 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_marts_say_what_the_flagged_values_say(world: MartsWorld, seed: int) -> None:
    """On irregular values of three days, with gaps, missing values, corrections, flags and days that were not evaluated, every bucket of
    every length has the counts and statistics that numpy finds in the values with their served flags.
    """
    random = np.random.default_rng(seed)
    days = ["2025-12-31", "2026-01-01", "2026-01-02"]
    start = np.datetime64("2025-12-31T00:00", "s")
    rows = []
    for series in ("A/level", "B/level"):
        kept = start + np.sort(random.choice(3 * 86400, 400, replace=False)).astype("timedelta64[s]")
        values = np.where(random.random(400) < 0.05, np.nan, 1000 + random.normal(size=400))
        rows += [(series, str(time), float(value)) for time, value in zip(kept, values)]
    world.drop("a.csv", rows)
    judged = world.change
    world.drop("b.csv", [(series, time, 999.0) for series, time, _ in rows[::17]])
    flags = [(series, time, int(random.choice([1, 2, 3, 4])), 2) for series, time, value in rows[::7] if value == value]
    world.judge(days[:2], [flag for flag in flags if flag[1] < days[2]], read=judged if seed else None)
    world.tick("2026-01-03T00:00")
    world.settle(days)

    with world.database.snapshot() as snapshot:
        found = observations.read_flagged(snapshot, windows_of(np.array(days, dtype="datetime64[D]")))
    for table, seconds in ((METRIC_30MIN, 1800), (METRIC_HOURLY, 3600), (METRIC_DAILY, 86400)):
        stored = {
            (series, start): rest
            for series, start, *rest in world.rows(
                table,
                "series_id, extract(epoch from start_at)::bigint, received, count, mean, minimum, maximum, standard_deviation,"
                " good_share, suspect_share, bad_share, missing_share, not_evaluated_share",
                "received > 0",
            )
        }
        begins = found.time.astype("datetime64[s]").astype(np.int64) // seconds * seconds
        expected = {}
        assert found.flag is not None
        for series, begin in set(zip(found.series.tolist(), begins.tolist())):
            here = (found.series == series) & (begins == begin)
            good = found.value[here & (found.flag == 1)]
            statistics = [good.mean(), good.min(), good.max(), good.std()] if len(good) else [None] * 4
            shares = [float(np.mean(found.flag[here] == flag)) for flag in (1, 3, 4, 9, 2)]
            expected[(series, begin)] = [int(here.sum()), len(good), *statistics, *shares]
        assert stored.keys() == expected.keys()
        for key, row in expected.items():
            is_known = [value is not None for value in row]
            assert [value is not None for value in stored[key]] == is_known
            assert [value for value in stored[key] if value is not None] == pytest.approx(
                [value for value in row if value is not None], rel=1e-9, abs=1e-7
            )


def test_an_expected_half_hour_without_values_has_a_row_until_the_last_tick(world: MartsWorld) -> None:
    """A series of 15 minutes that gave values at 00:00 and 02:00 has, as of 03:00, six half-hours, four of which are empty; later ones none."""
    world.drop("a.csv", [("S/level", f"{DAY}T00:00:00", 1.0), ("S/level", f"{DAY}T02:00:00", 1.0)])
    world.tick(f"{DAY}T03:00")
    world.judge([DAY])
    world.settle([DAY])
    assert world.rows(METRIC_30MIN, "to_char(start_at, 'HH24:MI'), received, expected, completeness") == [
        ("00:00", 1, 2, 0.5),
        ("00:30", 0, 2, 0.0),
        ("01:00", 0, 2, 0.0),
        ("01:30", 0, 2, 0.0),
        ("02:00", 1, 2, 0.5),
        ("02:30", 0, 2, 0.0),
    ]
    assert world.row(DATA_QUALITY_DAILY, "expected, received, longest_gap_s") == (12, 2, 7200.0)


def test_values_are_expected_at_the_phase_of_the_day(world: MartsWorld) -> None:
    """Hourly values at a quarter past expect one in each first half-hour, a daily one at nine expects one on the day."""
    world.drop(
        "a.csv",
        [*every(60, f"{DAY}T00:15", [1.0] * 24, "S/hourly"), ("S/daily", f"{DAY}T09:00:00", 1.0)],
        series={"S/hourly": described("m", 3600.0), "S/daily": described("m", 86400.0)},
    )
    world.tick("2026-03-02T00:00")
    world.settle([DAY])
    hourly, daily = (f"series_id = {world.number_of(name)}" for name in ("S/hourly", "S/daily"))
    assert world.rows(METRIC_30MIN, "extract(minute from start_at)::int, expected, received", hourly) == [(0, 1, 1)] * 24
    assert world.rows(METRIC_30MIN, "to_char(start_at, 'HH24:MI'), expected, completeness", daily) == [("09:00", 1, 1.0)]
    assert world.row(METRIC_DAILY, "expected, received, completeness", hourly) == (24, 24, 1.0)
    assert world.row(METRIC_DAILY, "expected, received, completeness, is_closed", daily) == (1, 1, 1.0, True)


def test_an_unknown_interval_expects_nothing(world: MartsWorld) -> None:
    """Without an interval there are rows only where values are, and completeness is not known."""
    world.drop("a.csv", every(120, f"{DAY}T00:00", [1.0, 2.0]), series={"STATION_1/stage": described("m", None)})
    world.tick("2026-03-02T00:00")
    world.settle([DAY])
    assert world.rows(METRIC_30MIN, "expected, completeness, received") == [(None, None, 1)] * 2


def test_a_value_beyond_the_tick_stands_in_an_open_bucket(world: MartsWorld) -> None:
    """As of 00:30 the second half-hour is open: it has its value, and nothing was expected of it yet; before any tick nothing is closed."""
    world.drop("a.csv", every(15, f"{DAY}T00:15", [1.0, 2.0]))
    world.settle([DAY], [METRIC_30MIN])
    assert world.rows(METRIC_30MIN, "received, expected, is_closed") == [(1, 0, False)] * 2
    world.tick(f"{DAY}T00:30")
    world.settle([DAY], [METRIC_30MIN])
    assert world.rows(METRIC_30MIN, "received, expected, completeness, is_closed") == [(1, 2, 0.5, True), (1, 0, None, False)]


def test_rainfall_is_summed_and_flow_is_made_a_volume(world: MartsWorld) -> None:
    """0.2 and 0.4 mm are 0.6 mm; 36 m3/h over an hour are 36 m3, whatever the spelling; an intensity has neither."""
    hour = f"{DAY}T00:00"
    world.drop(
        "a.csv",
        [
            *every(15, hour, [0.2, 0.4], "S/rainfall"),
            *every(15, hour, [36.0] * 4, "S/inflow"),
            *every(15, hour, [10.0] * 4, "S/outflow"),
            *every(15, hour, [6.0] * 4, "S/precipitation"),
        ],
        series={
            "S/rainfall": described("mm"),
            "S/inflow": described("m³/h"),
            "S/outflow": described("L / s"),
            "S/precipitation": described("mm/h"),
        },
    )
    world.judge([DAY])
    world.settle([DAY])
    found = {
        name: world.row(METRIC_DAILY, "sum, volume", f"series_id = {world.number_of(f'S/{name}')}") for name in ("rainfall", "inflow", "outflow")
    }
    assert found["rainfall"] == (pytest.approx(0.6), None)
    assert found["inflow"] == (None, pytest.approx(36.0))
    assert found["outflow"] == (None, pytest.approx(36.0))
    assert world.row(METRIC_DAILY, "sum, volume", f"series_id = {world.number_of('S/precipitation')}") == (None, None)


def test_a_network_adds_its_meters_up(world: MartsWorld) -> None:
    """Two meters of a zone with 10 and 20 L/s give 30 L/s and 54 m3 in half an hour; stations outside networks are left out."""
    half_hour = f"{DAY}T00:00"
    world.drop(
        "a.csv",
        [row for name, flow in (("A", 10.0), ("B", 20.0), ("C", 40.0)) for row in every(15, half_hour, [flow] * 2, f"{name}/flow")],
        series={name: described("L/s") for name in ("A/flow", "B/flow", "C/flow")},
        stations={"A": {"network": "town", "zone": "east"}, "B": {"network": "town", "zone": "east"}},
    )
    world.tick(f"{DAY}T00:30")
    world.judge([DAY])
    world.settle([DAY])
    assert world.row(NETWORK_30MIN, "network, zone, property, unit, series, mean, minimum, maximum, sum, volume, completeness") == (
        "town", "east", "flow", "L/s", 2, 15.0, 10.0, 20.0, 30.0, pytest.approx(54.0), 1.0,
    )  # fmt: skip


def test_meters_in_different_units_are_not_mixed(world: MartsWorld) -> None:
    """10 L/s and 36 m3/h make 36 m3 in half an hour, and no mean."""
    world.drop(
        "a.csv",
        every(15, f"{DAY}T00:00", [10.0] * 2, "A/flow") + every(15, f"{DAY}T00:00", [36.0] * 2, "B/flow"),
        series={"A/flow": described("L/s"), "B/flow": described("m3/h")},
        stations={"A": {"network": "town"}, "B": {"network": "town"}},
    )
    world.judge([DAY])
    world.settle([DAY])
    assert world.row(NETWORK_30MIN, "zone, unit, mean, sum, volume") == ("", None, None, None, pytest.approx(36.0))


def test_half_hours_that_lose_their_values_lose_their_rows(world: MartsWorld) -> None:
    """When a day's values are gone, settling it removes its rows and keeps them in the history."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0] * 96))
    world.judge([DAY])
    world.settle([DAY])
    with world.database.connection() as connection:
        world.database.take_number(connection, "test")
        connection.execute("delete from core.observation")
    world.settle([DAY])
    assert world.rows(METRIC_30MIN, "1") == world.rows(METRIC_DAILY, "1") == world.rows(DATA_QUALITY_DAILY, "1") == []
    with world.database.connection() as connection:
        assert connection.execute("select count(*) from history.metric_30min where received = 2").fetchone() == (48,)


def test_a_missing_view_names_the_command_that_makes_it(world: MartsWorld) -> None:
    """Settling before dbt has made the views says to migrate."""
    with world.database.connection() as connection:
        connection.execute("drop view mart.metric_daily_derived")
    with pytest.raises(marts.MartsUndefined, match=r"mart\.metric_daily_derived is missing; run `water migrate`"):
        world.settle([DAY], [METRIC_DAILY])


def test_the_windows_of_a_computation_are_never_committed(world: MartsWorld) -> None:
    """After settling, nobody sees a window: not even the next transaction of the same connection."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0]))
    world.settle([DAY])
    with psycopg.connect(world.database.url) as other:
        assert other.execute("select count(*) from core.settle_window").fetchone() == (0,)
        assert other.execute("select count(*) from mart.metric_30min_derived").fetchone() == (0,)
