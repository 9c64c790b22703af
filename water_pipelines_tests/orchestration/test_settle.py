"""Settling: exactly what is stale is computed, whoever else is at work, and Dagster is told the truth."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from water_pipelines.domain.reach import DAY
from water_pipelines.orchestration.operations.inbox import empty_inbox, start_clock
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import SETTLED, Days, compute_units, in_order, report, settle
from water_pipelines.storage import computed, staging, stale
from water_pipelines.storage.computed import Unlogged
from water_pipelines.storage.database import Snapshot

FLAG = "core/observation_flag"
START = np.datetime64("2026-03-02T00:00", "us")


def drop(platform: Platform, name: str, rows: Sequence[tuple[np.datetime64, float]], station: str = "GAUGE") -> None:
    """Put a file of water levels into the inbox."""
    lines = "".join(f"{time}Z,{station},water_level,m,{value}\n" for time, value in rows)
    platform.store.put(f"inbox/{name}", f"time,station,property,unit,value\n{lines}".encode())


def load(platform: Platform, name: str, rows: Sequence[tuple[np.datetime64, float]], station: str = "GAUGE") -> None:
    """Land and load a file of water levels, on a platform whose clock stands at the end of that month."""
    start_clock(platform, datetime(2026, 4, 1, tzinfo=UTC))
    drop(platform, name, rows, station)
    empty_inbox(platform)


def level(days: float, *, first: np.datetime64 = START, value: float = 1.0) -> list[tuple[np.datetime64, float]]:
    """A slowly rising level every half hour."""
    return [(first + n * np.timedelta64(30, "m"), value + 0.001 * n) for n in range(round(days * 48))]


def everything_again(platform: Platform) -> dict[str, int]:
    """Compute every day that holds observations again, in every asset, with a margin of empty days; gives the rows that had to be written."""
    with platform.database.connection() as connection:
        days = np.array([row[0] for row in connection.execute("select distinct day from raw.load_day order by 1")], dtype="datetime64[D]")
    around = np.unique(np.concatenate([days + n * DAY for n in range(-2, 3)]))
    with platform.database.connection() as connection:
        units = {each.key: each.every(connection, around) for each in in_order()}
    written = {asset: sum(compute_units(platform, asset, those).written.values()) for asset, those in units.items()}
    return {asset: rows for asset, rows in written.items() if rows}


def told(platform: Platform) -> list[Unlogged]:
    """Settle, and give what Dagster was told."""
    units: list[Unlogged] = []
    settle(platform, units.extend)
    return units


def test_scattered_days_are_computed_and_no_day_in_between(platform: Platform) -> None:
    """Three days in twenty years, at noon: flags are computed for those days and, by the reach of 23 h, for the days after them."""
    days = ["2006-05-01", "2015-01-01", "2026-03-02"]
    load(platform, "scattered.csv", [(np.datetime64(f"{day}T12:00", "us"), 1.0) for day in days])
    units = sorted(unit.unit for unit in told(platform) if unit.asset == FLAG)
    assert units == ["2006-05-01", "2006-05-02", "2015-01-01", "2015-01-02", "2026-03-02", "2026-03-03"]


def test_a_kill_between_commit_and_event_loses_no_materialisation(platform: Platform) -> None:
    """Dagster cannot be told: the days stay noted as untold, and the next settle tells the very same ones."""
    load(platform, "level.csv", level(2))

    def killed(_: Sequence[Unlogged]) -> None:
        raise ConnectionError("killed")

    with pytest.raises(ConnectionError):
        settle(platform, killed)
    with platform.database.connection() as connection:
        before = set(computed.not_logged(connection, 1000))
    units = told(platform)
    assert before <= set(units)
    assert {unit.asset for unit in units} >= {FLAG, "core/observation", "raw/load_day"}
    assert told(platform) == []


def test_what_was_computed_from_an_older_state_never_replaces_what_was_computed_from_a_newer_one(platform: Platform) -> None:
    """A settle reads, a correction is loaded and settled beside it, and only then the first one writes: its day is dropped."""
    load(platform, "level.csv", level(1))
    told(platform)
    asset, day = SETTLED[FLAG], np.array(["2026-03-02"], dtype="datetime64[D]")

    def overtaken(snapshot: Snapshot, days: Days) -> staging.Staged:
        staged = asset.compute(snapshot, days)
        load(platform, "corrected.csv", [(START + np.timedelta64(10, "h"), 500.0)])
        told(platform)
        return staged

    applied = staging.settle(platform.database, FLAG, day, overtaken, [])
    assert (applied.units, applied.dropped, applied.change) == ([], ["2026-03-02"], None)
    assert everything_again(platform) == {}


def test_a_load_beside_a_settle_leaves_its_day_stale(platform: Platform) -> None:
    """A value that is loaded while its day is computed is not lost: the day is still stale afterwards, and the next settle takes it."""
    load(platform, "level.csv", level(1))
    asset, day = SETTLED[FLAG], np.array(["2026-03-02"], dtype="datetime64[D]")

    def beside(snapshot: Snapshot, days: Days) -> staging.Staged:
        staged = asset.compute(snapshot, days)
        load(platform, "late.csv", [(START + np.timedelta64(10, "h"), 500.0)])
        return staged

    staging.settle(platform.database, FLAG, day, beside, [])
    with platform.database.connection() as connection:
        assert "2026-03-02" in stale.units(connection, FLAG)
    told(platform)
    assert everything_again(platform) == {}


def test_loads_and_settles_at_once_end_as_if_one_after_the_other(platform: Platform) -> None:
    """Two loaders of overlapping files and two settlers in threads: afterwards nothing is stale and computing everything again writes nothing."""
    for number in range(6):
        drop(platform, f"overlap{number}.csv", level(2, first=START + number * np.timedelta64(12, "h"), value=1.0 + number / 10))
    failures: list[BaseException] = []

    def work(what: object) -> None:
        try:
            for _ in range(3):
                empty_inbox(platform) if what == "load" else settle(platform, lambda units: None)
        except Exception as error:  # noqa: BLE001  # asserted below: no thread may fail
            failures.append(error)

    threads = [threading.Thread(target=work, args=(what,)) for what in ("load", "load", "settle", "settle")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    empty_inbox(platform)
    told(platform)
    with platform.database.connection() as connection:
        assert stale.counts(connection) == {}
    assert everything_again(platform) == {}


@example([-368, -126, 103], 1.0)
@given(st.lists(st.integers(-4 * 96, 7 * 96), min_size=1, max_size=4, unique=True), st.sampled_from([1.0, 500.0]))
@settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_late_value_anywhere_is_settled_as_a_clean_rebuild_would(platform: Platform, steps: list[int], value: float) -> None:
    """Late values at any quarter of an hour, beside full and beside empty days: after the settle, computing everything again writes nothing."""
    load(platform, "full.csv", level(2))
    load(platform, "sparse.csv", level(0.2, first=START + np.timedelta64(4, "D")))
    told(platform)
    load(platform, f"late{'_'.join(map(str, steps))}_{value}.csv", [(START + step * np.timedelta64(15, "m"), value) for step in steps])
    told(platform)
    assert everything_again(platform) == {}


def test_a_report_that_is_repeated_tells_nothing_new(platform: Platform) -> None:
    """What Dagster knows is not told again."""
    load(platform, "level.csv", level(1))
    told(platform)
    units: list[Unlogged] = []
    report(platform, units.extend)
    assert units == []


def test_what_arrives_while_dagster_is_told_goes_first_and_the_rest_is_told_later(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is dropped during the first of many batches: telling ends with that batch, and a settle after the load tells what is left."""
    monkeypatch.setattr("water_pipelines.orchestration.settle._LOGGED_AT_ONCE", 4)
    load(platform, "level.csv", level(5))
    batches: list[Sequence[Unlogged]] = []

    def tell(units: Sequence[Unlogged]) -> None:
        if not batches:
            drop(platform, "late.csv", level(1, first=START + 10 * DAY))
        batches.append(units)

    settle(platform, tell)
    assert len(batches) == 1
    empty_inbox(platform)
    settle(platform, tell)
    with platform.database.connection() as connection:
        assert computed.not_logged(connection, 1) == []
    assert len(batches) > 5
