"""Jobs that need somebody: what `water status` names."""

from water_pipelines.storage import source_files
from water_pipelines.storage.database import Database
from water_pipelines.storage.served import jobs, status
from water_pipelines.storage.served.reading import reading
from water_pipelines_tests.builders import World


def test_what_failed_was_set_aside_or_is_at_work_is_named(database_url: str) -> None:
    """The latest first, with attempts and reason; not what was loaded, waits, or was withdrawn."""
    world = World(Database(database_url, code_version="test"))
    world.drop("loaded.csv")
    failed, poison, gone, working = (world.announce(f"{name}.csv") for name in ("failed", "poison", "gone", "working"))
    world.announce("waiting.csv")
    for file, state_ in ((failed, "failed"), (poison, "quarantined"), (gone, "failed")):
        source_files.refuse(world.database, file.arrival, status=state_, error=f"{file.name} is {state_}")
    with world.database.connection() as connection:
        source_files.withdraw(connection, [gone.arrival], change=1)
    with source_files.loading(world.database, working.arrival), reading(world.database) as state:
        found = jobs.needing_attention(state, 10)
        assert len(jobs.needing_attention(state, 2)) == 2
        assert status.read(state)["files"] == {"pending": 1, "running": 1, "succeeded": 1, "failed": 1, "quarantined": 1}
    assert [(each["name"], each["status"], each["attempts"], each["error"]) for each in found] == [
        ("working.csv", "running", 1, None),
        ("poison.csv", "quarantined", 0, "poison.csv is quarantined"),
        ("failed.csv", "failed", 0, "failed.csv is failed"),
    ]


def test_a_file_that_is_loaded_but_for_some_rows_is_named_with_their_number(database_url: str) -> None:
    """Until it is withdrawn; the latest first."""
    world = World(Database(database_url, code_version="test"))
    world.drop("whole.csv")
    for rows, name in ((1, "a.csv"), (2, "b.csv")):
        world.drop(name, rejected=[(3, ",3", "the time is empty")] * rows)
    with reading(world.database) as state:
        assert [(each["name"], each["rejected"]) for each in jobs.partly_loaded(state, 10)] == [("b.csv", 2), ("a.csv", 1)]
        assert len(jobs.partly_loaded(state, 1)) == 1
