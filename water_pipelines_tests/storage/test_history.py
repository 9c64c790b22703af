"""Retention of the history: what goes, what stays, and what can be told afterwards."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.history import expire_history
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage import history
from water_pipelines.storage.database import Database
from water_pipelines.storage.served import observations
from water_pipelines.storage.served.reading import Forgotten, reading
from water_pipelines_tests.builders import World, every

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def world(database_url: str) -> World:
    """A value that was 1 at change 1, 2 at change 2, 3 at change 3; a day apart, the third one ten days ago."""
    world = World(Database(database_url, code_version="test"))
    with psycopg.connect(database_url) as connection:
        connection.execute("delete from core.change")
        connection.execute("update core.clock set n = 0")
    for days, value in ((12, 1.0), (11, 2.0), (10, 3.0)):
        change = world.drop(f"{value}.csv", every(15, "2026-03-01T00:00", [value])).change
        with psycopg.connect(database_url) as connection:
            connection.execute("update core.change set recorded_at = %s where n = %s", (NOW - timedelta(days=days), change))
    return world


def value_at(world: World, change: int) -> list[float]:
    """What was served at a change."""
    with reading(world.database, change) as state:
        values: list[float] = observations.read(state, world.number_of("STATION_1/stage"), None, None, 10)[0]["value"].tolist()
        return values


def test_what_only_earlier_states_need_is_deleted(world: World) -> None:
    """At the second change's horizon the value 1 is gone and the value 2 is kept: the states from then on are what they were."""
    with world.database.connection() as connection:
        assert history.superseded(connection, 2) == {"observation": 1}
    assert history.expire(world.database, 2) == {"observation": 1}
    assert [value_at(world, change) for change in (2, 3)] == [[2.0], [3.0]]
    with pytest.raises(Forgotten, match=r"the first change that can be read is 2, recorded at 2026-05-21T00:00:00Z"):
        value_at(world, 1)


def test_the_horizon_never_moves_back(world: World) -> None:
    """Expiring at an earlier change afterwards removes nothing and opens no state that is gone."""
    history.expire(world.database, 3)
    assert history.expire(world.database, 1) == {}
    with world.database.connection() as connection:
        assert history.horizon(connection) == 3


def test_a_reading_that_began_before_the_horizon_moved_reads_on(world: World) -> None:
    """A state that is being read stays whole while what it needs is deleted."""
    with reading(world.database, 1) as state:
        history.expire(world.database, 3)
        assert observations.read(state, world.number_of("STATION_1/stage"), None, None, 10)[0]["value"].tolist() == [1.0]


@pytest.mark.parametrize(("days", "horizon", "rows"), [(None, None, {}), (11, 2, {"observation": 1}), (5, 3, {"observation": 2}), (400, 0, {})])
def test_the_setting_says_how_far_back(world: World, tmp_path: Path, days: int | None, horizon: int | None, rows: dict[str, int]) -> None:
    """With 11 days the state of 11 days ago is the first that is kept; asked first, nothing is done; without the setting all is kept."""
    platform = Platform(Settings(_env_file=None, history_days=days), world.database, LocalStore(tmp_path))
    asked = expire_history(platform, NOW, apply=False)
    assert len({value_at(world, change)[0] for change in (1, 2, 3)}) == 3
    done = expire_history(platform, NOW, apply=True)
    assert asked == done
    assert (done.horizon if done else None, done.rows if done else {}) == (horizon, rows)
