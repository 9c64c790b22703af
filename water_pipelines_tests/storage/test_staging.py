"""Staging: of what a computation found, only the difference is written, and nothing of a day that is not its own to write."""

from collections.abc import Iterator

import pytest

from water_pipelines.storage import computed
from water_pipelines.storage.database import Database
from water_pipelines.storage.flags import EVALUATION_TABLE
from water_pipelines_tests.builders import World, every

DAYS = ["2026-03-01", "2026-03-02"]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    database = Database(database_url, code_version="test")
    made = World(database)
    made.drop("a.csv", every(60, f"{DAYS[0]}T00:00", [1.0] * 48))
    yield made
    database.close()


def evaluated(world: World, *days: str, tests_run: int = 31) -> list[dict[str, object]]:
    """A row of evaluation on each of some days."""
    number = world.number_of("STATION_1/stage")
    return [{"series_id": number, "day": day, "rule_set_id": 1, "tests_run": tests_run, "tests_not_run": 0, "read": 1} for day in days]


def stored(world: World) -> dict[str, int]:
    """The tests that were run, by day."""
    with world.database.connection() as connection:
        return dict(connection.execute("select day::text, tests_run from core.evaluation order by day").fetchall())


@pytest.mark.parametrize("holds", [False, True])
def test_a_day_computed_from_a_later_state_is_left_alone(world: World, holds: bool) -> None:
    """Of two days, the second was computed from a later state: only the first is written and counted, whether or not the table held anything."""
    if holds:
        world.put(EVALUATION_TABLE, DAYS[:1], evaluated(world, DAYS[0], tests_run=1))
    with world.database.connection() as connection:
        computed.note(world.database, connection, "core/evaluation", {DAYS[1]: 0}, world.change + 1, None, None, None)
    applied = world.put(EVALUATION_TABLE, DAYS, evaluated(world, *DAYS))
    assert (applied.units, applied.dropped, applied.written) == (DAYS[:1], DAYS[1:], {"core.evaluation": 1})
    assert stored(world) == {DAYS[0]: 31}
    with world.database.connection() as connection:
        assert connection.execute("select unit, rows from core.computed where asset = 'core/evaluation' order by unit").fetchall() == [
            (DAYS[0], 1),
            (DAYS[1], 0),
        ]


def test_one_stored_row_is_enough_to_look_for_the_difference(world: World) -> None:
    """Where one of two days is stored already, as it is to be, only the other is written; again, nothing is."""
    world.put(EVALUATION_TABLE, DAYS[1:], evaluated(world, DAYS[1]))
    assert world.put(EVALUATION_TABLE, DAYS, evaluated(world, *DAYS)).written == {"core.evaluation": 1}
    assert world.put(EVALUATION_TABLE, DAYS, evaluated(world, *DAYS)).change is None
    assert stored(world) == dict.fromkeys(DAYS, 31)
