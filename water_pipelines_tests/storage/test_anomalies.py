"""The view that stitches segments to events: gaps and islands, exactly at midnight."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from water_pipelines.storage.anomalies import TABLE
from water_pipelines.storage.database import Database
from water_pipelines_tests.builders import World, every

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A series with an hour of data on the first day."""
    database = Database(database_url, code_version="test")
    filled = World(database)
    filled.drop("first.csv", every(15, f"{DAYS[0]}T00:00", [1.0, 1.0, 1.0, 1.0]))
    yield filled
    database.close()


def segment(
    start: str, end: str, *, kind: str = "outside_band", score: float = 1.5, severity: str = "low", is_open: bool = False
) -> dict[str, object]:
    """A segment of series 1, on the day that it starts on."""
    return {
        "series_id": 1,
        "day": start[:10],
        "kind": kind,
        "start_at": f"{start}Z",
        "end_at": f"{end}Z",
        "score": score,
        "severity": severity,
        "expected_high": score * 10,
        "is_open": is_open,
    }


def events(world: World, columns: str) -> list[tuple[object, ...]]:
    """Columns of the events, by start."""
    with world.database.connection() as connection:
        return connection.execute(f"select {columns} from core.anomaly_event order by start_at, kind").fetchall()


def test_segments_that_touch_at_midnight_are_one_event_and_a_second_apart_are_two(world: World) -> None:
    """Three days in a row are one event; one that starts a second after midnight is another one."""
    world.put(
        TABLE,
        DAYS,
        [
            segment("2026-03-01T22:00", "2026-03-02T00:00"),
            segment("2026-03-02T00:00", "2026-03-03T00:00"),
            segment("2026-03-03T00:00:01", "2026-03-03T04:00"),
        ],
    )
    assert events(world, "segments, extract(epoch from end_at - start_at)::int") == [(2, 26 * 3600), (1, 4 * 3600 - 1)]


def test_an_event_carries_what_was_worst_in_it(world: World) -> None:
    """Score, severity and band are those of the worst segment, here the middle one."""
    world.put(
        TABLE,
        DAYS,
        [
            segment("2026-03-01T22:00", "2026-03-02T00:00"),
            segment("2026-03-02T00:00", "2026-03-03T00:00", score=4.5, severity="high"),
            segment("2026-03-03T00:00", "2026-03-03T04:00", score=2.5, severity="medium"),
        ],
    )
    assert events(world, "score, severity, expected_high, segments") == [(4.5, "high", 45.0, 3)]


def test_kinds_are_stitched_apart(world: World) -> None:
    """A gap that ends where a burst begins is an event of its own."""
    world.put(TABLE, DAYS, [segment("2026-03-01T22:00", "2026-03-02T00:00"), segment("2026-03-02T00:00", "2026-03-02T04:00", kind="missing_data")])
    assert events(world, "kind, segments") == [("outside_band", 1), ("missing_data", 1)]


def test_an_open_segment_is_open_only_while_no_later_day_has_data(world: World) -> None:
    """Data of the next day would have continued it: without any it is open, with it closed. A segment that ended is closed at once."""
    world.put(TABLE, DAYS, [segment("2026-03-01T22:00", "2026-03-02T00:00", is_open=True), segment("2026-03-01T10:00", "2026-03-01T12:00")])
    assert events(world, "status") == [("closed",), ("open",)]
    world.drop("next.csv", every(15, f"{DAYS[1]}T00:00", [1.0]))
    assert events(world, "status") == [("closed",), ("closed",)]


def test_an_event_keeps_its_id_while_it_grows(world: World) -> None:
    """The id follows from the series, the kind and the start, so the next day's segment does not make it another event."""
    world.put(TABLE, DAYS, [segment("2026-03-01T22:00", "2026-03-02T00:00")])
    first = events(world, "event_id")
    world.put(TABLE, DAYS, [segment("2026-03-01T22:00", "2026-03-02T00:00"), segment("2026-03-02T00:00", "2026-03-02T04:00")])
    assert events(world, "event_id") == first
