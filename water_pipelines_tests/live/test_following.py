"""Following several servers: one that is dead hurts nobody, one that dies is taken up where it was, and a rebuild comes to the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from water_pipelines.clients.object_store import ObjectInfo, ObjectStore, StoreUnavailable
from water_pipelines.orchestration.operations import following
from water_pipelines.orchestration.operations.pulling import pull, servers_of
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import sensorthings
from water_pipelines.storage.served import status
from water_pipelines.storage.served.reading import reading
from water_pipelines_tests.clients.test_sensorthings import say, serving
from water_pipelines_tests.live.following import NOW, follow, landed, pulled, values
from water_pipelines_tests.live.servers import DjangoServer, free_port

ALL = "select s.natural_id, o.time, o.value from core.observation as o join core.series as s using (series_id) order by 1, 2"


def states(platform: Platform) -> dict[str, str]:
    """What the status says of each source."""
    with reading(platform.database) as state:
        return {each["name"]: each["state"] for each in status.read(state)["sources"]}


def test_a_dead_server_is_stale_and_blocks_nobody(platform: Platform, django: DjangoServer) -> None:
    """Of a dead and a living server, the living one is stored; the dead one is told in the status, with the reason, and asked less often."""
    mill = django.add_thing("MILL", "Water level")
    django.add(mill["Water level"], [("2026-10-31T12:00:00Z", 1.0)])
    dead = f"http://127.0.0.1:{free_port()}/v1.1"
    follow(platform, {"name": "dead", "url": dead, "interval": "1s"}, {"name": "agency", "url": django.url, "station_id": "name", "interval": "1h"})
    assert states(platform) == {"dead": "waiting", "agency": "waiting"}
    found = following.follow(platform, for_s=0)
    assert found.servers["agency"].changes == 1
    assert found.servers["dead"].error is not None
    assert states(platform) == {"dead": "unreached", "agency": "following"}
    assert values(platform, "MILL/water_level") == [("2026-10-31T12:00:00", 1.0)]

    with platform.database.connection() as connection:
        connection.execute("update raw.sensorthings_poll set reached_at = clock_timestamp() - interval '5 hours', due_at = null")
    django.stop()
    assert set(following.follow(platform, for_s=0).servers) == {"dead", "agency"}
    assert states(platform) == {"dead": "stale", "agency": "stale"}
    with platform.database.connection() as connection:
        assert sensorthings.due(connection) == []
        connection.execute("update raw.sensorthings_poll set due_at = null where server = 'agency'")
    django.start()
    following.follow(platform, for_s=0)
    assert states(platform)["agency"] == "following"


def test_a_secret_that_is_not_set_is_named(platform: Platform, django: DjangoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable; with it the server is asked."""
    follow(platform, {"name": "my-agency", "url": django.url, "authentication": "bearer"})
    server = servers_of(platform)["my-agency"]
    refused = pull(platform, server)
    assert refused is not None
    assert refused.error is not None
    assert "WATER_SENSORTHINGS_MY_AGENCY_TOKEN" in refused.error
    monkeypatch.setenv("WATER_SENSORTHINGS_MY_AGENCY_TOKEN", "hush")
    assert pulled(platform, "my-agency").error is None


class _FailsAfter:
    """A store that becomes unavailable after some objects were put."""

    def __init__(self, platform: Platform, puts: int) -> None:
        self._store, self._left = platform.store, puts

    def put(self, key: str, data: bytes, if_absent: bool = False) -> ObjectInfo:
        if self._left == 0:
            raise StoreUnavailable("the disk is gone", retryable=True)
        self._left -= 1
        return self._store.put(key, data, if_absent)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize("puts", [0, 3, 5])  # of things, datastreams and the observations: each the bytes and the facts beside them
def test_a_pull_that_dies_is_taken_up(platform: Platform, django: DjangoServer, puts: int) -> None:
    """Wherever a pull is cut off between two objects, the next one brings everything once, and lands no page twice."""
    mill = django.add_thing("MILL", "Water level")
    django.add(mill["Water level"], [("2026-10-31T12:00:00Z", 1.0), ("2026-10-31T12:15:00Z", 2.0)])
    follow(platform, {"name": "agency", "url": django.url, "station_id": "name"})
    server = servers_of(platform)["agency"]
    broken = replace(platform, store=cast(ObjectStore, _FailsAfter(platform, puts)))
    with pytest.raises(StoreUnavailable):
        pull(broken, server, now=lambda: NOW)
    pulled(platform)
    assert values(platform, "MILL/water_level") == [("2026-10-31T12:00:00", 1.0), ("2026-10-31T12:15:00", 2.0)]
    with platform.database.connection() as connection:
        keys = connection.execute("select count(*), count(distinct sha256) from raw.source_file where prefix = 'sensorthings/agency'").fetchone()
    assert keys is not None
    assert keys[0] == keys[1]


def test_a_rebuild_from_what_landed_comes_to_the_same(platform: Platform, rebuilt: Platform, django: DjangoServer) -> None:
    """Values, names and the cursor: the next poll of the rebuilt platform goes on where the first one was."""
    mill = django.add_thing("MILL", "Water level")
    first, second = django.add(mill["Water level"], [("2026-10-31T12:00:00Z", 1.0), ("2026-10-31T12:15:00Z", 2.0)])
    follow(platform, {"name": "agency", "url": django.url, "station_id": "name", "reconcile": {"window": "2d", "every": "1s"}})
    pulled(platform)
    django.correct(first, 5.0)
    django.delete(second)
    pulled(platform, at=datetime(2026, 11, 1, 13, tzinfo=UTC))
    assert values(platform, "MILL/water_level") == [("2026-10-31T12:00:00", 5.0)]
    rebuild(rebuilt)
    found = []
    for each in (platform, rebuilt):
        with each.database.connection() as connection:
            found.append((connection.execute(ALL).fetchall(), sensorthings.cursor(connection, "agency"), sensorthings.series(connection, "agency")))
    assert found[0] == found[1]
    assert landed(platform) == landed(rebuilt)


def test_a_server_that_answers_nonsense_hurts_nobody(platform: Platform, django: DjangoServer) -> None:
    """A page of another shape is set aside, an answer that is none is that server's error; the other server is stored."""
    mill = django.add_thing("MILL", "Water level")
    django.add(mill["Water level"], [("2026-10-31T12:00:00Z", 1.0)])
    root = {"value": [{"name": "Things"}, {"name": "Observations"}]}
    answers = [root, {"value": [{"@iot.id": 1, "Locations": [7]}]}, {"value": 5}]

    with serving(lambda handler, number: say(handler, answers[min(number, 2)])) as url:
        follow(platform, {"name": "odd", "url": url}, {"name": "agency", "url": django.url, "station_id": "name"})
        found = following.follow(platform, for_s=0).servers
    assert found["odd"].error is not None
    with platform.database.connection() as connection:
        assert connection.execute("select status from raw.source_file where prefix = 'sensorthings/odd'").fetchall() == [("quarantined",)]
    assert found["agency"].error is None
    assert values(platform, "MILL/water_level") == [("2026-10-31T12:00:00", 1.0)]
