"""Loads that ended early: which are begun again, when, and when they are given up."""

from datetime import timedelta

import psycopg
import pytest

from water_pipelines.storage import retries, source_files
from water_pipelines.storage.database import Database
from water_pipelines_tests.builders import World


@pytest.fixture
def world(database_url: str) -> World:
    return World(Database(database_url, code_version="test", run="run-7"))


def left(world: World, name: str, *, status: str, attempts: int, ago: timedelta = timedelta(0)) -> int:
    """A file whose load ended so, so long ago."""
    arrival = world.announce(name).arrival
    with psycopg.connect(world.database.url) as connection:
        connection.execute(
            "update raw.source_file set status = %s, attempts = %s, run = 'run-7', error = 'lost the store', finished_at = clock_timestamp() - %s"
            " where arrival = %s",
            (status, attempts, ago, arrival),
        )
    return arrival


def test_a_load_whose_process_died_is_begun_again_and_after_its_last_attempt_left_failed(world: World) -> None:
    """Of two loads that nobody holds, the one in its first attempt waits again, the one in its third of three is failed and says why."""
    first, last = left(world, "first.csv", status="running", attempts=1), left(world, "last.csv", status="running", attempts=3)
    with world.database.connection() as connection:
        assert retries.are_due(connection, 3)
    assert retries.begin_again(world.database, 3) == retries.Retried([first], [last])
    assert source_files.get(world.database, first).status == "pending"
    file = source_files.get(world.database, last)
    assert (file.status, file.finished_at is not None) == ("failed", True)
    assert file.error == (
        f"its load was cut off 3 times: the process died (killed, or out of memory), last in run run-7. Mend what kills it, then `water retry {last}`"
    )


def test_a_load_that_is_at_work_is_left_alone(world: World) -> None:
    """A file that a process holds is neither begun again nor given up, however often it was begun."""
    held = world.announce("held.csv")
    with source_files.loading(world.database, held.arrival):
        with world.database.connection() as connection:
            assert not retries.are_due(connection, 1)
        assert retries.begin_again(world.database, 1) == retries.Retried([], [])
        assert source_files.get(world.database, held.arrival).status == "running"


@pytest.mark.parametrize(
    ("attempts", "minutes", "again"), [(1, 0.5, False), (1, 1.5, True), (3, 3.5, False), (3, 4.5, True), (4, 600, True), (5, 600, False)]
)
def test_a_failed_load_rests_longer_after_each_attempt(world: World, attempts: int, minutes: float, again: bool) -> None:
    """One minute after the first attempt, four after the third; after the fifth of five it stays failed with its reason."""
    arrival = left(world, "failed.csv", status="failed", attempts=attempts, ago=timedelta(minutes=minutes))
    with world.database.connection() as connection:
        assert retries.are_due(connection, 5) == again
    assert retries.begin_again(world.database, 5).again == ([arrival] if again else [])
    file = source_files.get(world.database, arrival)
    assert (file.status, file.error) == ("pending" if again else "failed", "lost the store")


def test_a_file_that_is_at_fault_is_not_tried_again(world: World) -> None:
    """A quarantined file waits for somebody who mends it; a withdrawn one for nobody."""
    left(world, "poison.csv", status="quarantined", attempts=1, ago=timedelta(days=1))
    withdrawn = left(world, "gone.csv", status="failed", attempts=1, ago=timedelta(days=1))
    with world.database.connection() as connection:
        source_files.withdraw(connection, [withdrawn], change=1)
        connection.commit()
        assert not retries.are_due(connection, 5)
    assert retries.begin_again(world.database, 5) == retries.Retried([], [])
