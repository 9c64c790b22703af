"""States of the database as readers see them, and values in bulk."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from psycopg import sql

from water_pipelines.storage.database import Database
from water_pipelines.storage.served import latest, observations, series
from water_pipelines.storage.served.columns import page_of, read_columns
from water_pipelines.storage.served.reading import Unavailable, UnknownChange, reading
from water_pipelines_tests.builders import World, every

DAY = "2026-03-01"
SERIES = "STATION_1/stage"


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    database = Database(database_url, code_version="test")
    yield World(database)
    database.close()


def test_a_reading_sees_one_state(world: World) -> None:
    """A load that commits while a reading is open is not seen in it, and is seen in the next."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0]))
    with reading(world.database) as state:
        world.drop("b.csv", every(15, f"{DAY}T01:00", [2.0]))
        ids = [world.number_of(SERIES)]
        assert latest.last_values(state, ids)[ids[0]]["value"] == 1.0
    with reading(world.database) as state:
        assert latest.last_values(state, ids)[ids[0]]["value"] == 2.0


def test_a_reading_leaves_the_connection_as_it_was(world: World) -> None:
    """The pool's connections can write again after a reading, also one that failed."""
    with reading(world.database):
        pass
    with pytest.raises(UnknownChange), reading(world.database, world.change + 1):
        pass
    assert world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0])).new == 1


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    """No server at all is told as such, not as a failure of a query."""
    database = Database("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1", code_version="test", max_connections=1)
    database._pool.timeout = 0.2
    with pytest.raises(Unavailable, match="does not answer"), reading(database):
        pass
    database.close()


def test_the_first_and_last_value_survive_what_became_empty(world: World) -> None:
    """Where a newer mapping takes all values of the outermost days away, the next days inward are found; as of before, the old ones."""
    rows = [*every(15, f"{DAY}T00:00", [1.0, 2.0]), *every(60, "2026-03-05T00:00", [3.0])]
    old = world.announce("a.csv", mapping_version="1")
    world.load(old, rows)
    before = world.change
    world.drop("b.csv", every(15, "2026-03-02T00:00", [7.0, 8.0]))
    world.load(world.announce("a.csv", mapping_version="2"), [])
    ids = [world.number_of(SERIES)]
    with reading(world.database) as state:
        assert latest.first_values(state, ids)[ids[0]] == {"time": datetime(2026, 3, 2, tzinfo=UTC), "value": 7.0, "flag": 2}
        assert latest.last_values(state, ids)[ids[0]]["value"] == 8.0
        assert observations.read(state, ids[0], None, None, 10)[0]["value"].tolist() == [7.0, 8.0]
    with reading(world.database, before) as state:
        assert latest.last_values(state, ids)[ids[0]] == {"time": datetime(2026, 3, 5, tzinfo=UTC), "value": 3.0, "flag": 2}
        assert observations.read(state, ids[0], None, None, 10)[0]["value"].tolist() == [1.0, 2.0, 3.0]


def test_a_series_is_found_by_either_id(world: World) -> None:
    """Natural id and UUID name the same series, whose description is as of the state that is read."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0]))
    before = world.change
    world.drop("b.csv", every(15, f"{DAY}T00:15", [1.0]), series={SERIES: {"unit": "ft"}})
    with reading(world.database) as state:
        found = series.find(state, SERIES)
        assert series.find(state, str(found["id"])) == found
        assert found["unit"] == "ft"
    with reading(world.database, before) as state:
        assert series.find(state, SERIES)["unit"] == "m"


def test_columns_of_every_type_arrive_as_arrays(world: World) -> None:
    """Each type of column keeps its kind, its values and its length, also when there is no row."""
    query = sql.SQL("select n, timestamptz '2026-03-01 00:00:00.000001+00' + n * interval '1 hour' as at from generate_series(1, %(n)s) as n")
    names = {
        "time": "at",
        "small": "n::smallint",
        "int": "n",
        "big": "n::bigint * 10000000000",
        "real": "n / 10.0::real",
        "double": "n / 10.0::float8",
        "odd": "mod(n, 2) = 1",
    }
    with reading(world.database) as state:
        some = read_columns(state, query, names, {"n": 2})
        none = read_columns(state, query, names, {"n": 0})
    assert some["time"].tolist() == np.array(["2026-03-01T01:00:00.000001", "2026-03-01T02:00:00.000001"], dtype="datetime64[us]").tolist()
    assert (some["small"].tolist(), some["int"].tolist(), some["big"].tolist()) == ([1, 2], [1, 2], [10**10, 2 * 10**10])
    assert (some["double"].tolist(), some["odd"].tolist()) == ([0.1, 0.2], [True, False])
    for name in names:
        assert (len(none[name]), none[name].dtype) == (0, some[name].dtype)


def test_a_page_ends_at_one_time_for_all_series() -> None:
    """The series with more rows decides where a page ends, so that no row is lost or told twice."""
    times = np.arange("2026-03-01", "2026-03-07", dtype="datetime64[D]").astype("datetime64[us]")
    parts, following = page_of([{"time": times[:4]}, {"time": times[::3]}], limit=3)
    assert following == datetime(2026, 3, 4, tzinfo=UTC)
    assert [len(part["time"]) for part in parts] == [3, 1]
