"""Writing to a real SensorThings server: once, again, after corrections, and when rows are refused."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from water_pipelines.clients.sensorthings import Access, SensorThings
from water_pipelines.orchestration.operations.pushing import push
from water_pipelines.orchestration.resources import Platform
from water_pipelines_tests.builders import World, every
from water_pipelines_tests.clients.test_sensorthings import Asked, say, serving
from water_pipelines_tests.live.following import follow, pulled, series_of
from water_pipelines_tests.live.servers import DjangoServer

STAGE = "STATION_1/stage"


@pytest.fixture
def world(platform: Platform) -> World:
    """Four values of a stage, a quarter of an hour apart, and a forecast of three hours."""
    world = World(platform.database)
    world.drop("levels.csv", every(15, "2026-03-01T00:00", [1.0, 1.5, 2.0, 2.5]))
    return world


def forecast(world: World, issued: str, medians: list[float]) -> None:
    """Issue a forecast of the stage by the baseline."""
    for hour, median in enumerate(medians):
        quantiles = {f"q{level:02d}": median for level in (5, 10, 25, 50, 75, 90, 95)}
        at = {"issued_at": f"{issued}T00:00Z", "target_at": f"{issued}T{hour:02d}:00Z"}
        world.insert("core.forecast", series_id=world.number_of(STAGE), model="seasonal", kind="issue", **at, **quantiles)


def target(django: DjangoServer) -> dict[str, object]:
    """The server, as a configuration asks to write to it."""
    return {"name": "agency", "url": django.url, "push": {"series": ["STATION_1/*"], "forecasts": ["*"]}}


def ids(django: DjangoServer) -> dict[str, str]:
    """The Datastreams of the server, by name."""
    with SensorThings(Access(django.url)) as client:
        return {each["name"]: each["@iot.id"] for each in client.one("Datastreams").document["value"]}


def test_a_push_may_be_repeated(platform: Platform, world: World, django: DjangoServer) -> None:
    """Values and forecast are written once; again, and after all memory of it is lost, nothing is written; what was pushed is not pulled."""
    forecast(world, "2026-03-02", [3.0, 3.25, 3.5])
    follow(platform, target(django))
    first = push(platform)["agency"]
    assert (first.created, first.errors) == (7, [])
    made = ids(django)
    assert set(made) == {STAGE, f"Forecast of {STAGE}"}
    assert [value for _, value in django.values(made[STAGE])] == [1.0, 1.5, 2.0, 2.5]
    assert [value for _, value in django.values(made[f"Forecast of {STAGE}"])] == [3.0, 3.25, 3.5]

    with platform.database.connection() as connection:
        connection.execute("truncate raw.sensorthings_pushed")
    again = push(platform)["agency"]
    assert (again.created, again.changed, again.deleted) == (0, 0, 0)
    assert (django.count("Datastreams"), django.count("Things"), django.count("Sensors"), django.count("Observations")) == (2, 1, 2, 7)
    pulled(platform)
    assert series_of(platform) == [STAGE]


def test_what_changed_is_written(platform: Platform, world: World, django: DjangoServer) -> None:
    """A corrected value is changed and a later one is added; a new issue stands beside the one before."""
    forecast(world, "2026-03-02", [3.0])
    follow(platform, target(django))
    push(platform)
    world.drop("correction.csv", [(STAGE, "2026-03-01T00:15:00", 1.75), (STAGE, "2026-03-01T01:00:00", 3.0)])
    forecast(world, "2026-03-03", [4.0])
    second = push(platform)["agency"]
    assert (second.created, second.changed, second.deleted) == (2, 1, 0)
    made = ids(django)
    assert [value for _, value in django.values(made[STAGE])] == [1.0, 1.75, 2.0, 2.5, 3.0]
    assert [value for _, value in django.values(made[f"Forecast of {STAGE}"])] == [3.0, 4.0]
    with platform.database.connection() as connection:  # what the platform no longer holds goes
        world.database.take_number(connection, "test")
        connection.execute("delete from core.observation where value = 2.5")
        connection.execute("update raw.sensorthings_pushed set change = 0 where subject = 'series'")
    assert push(platform)["agency"].deleted == 1


def test_an_error_within_a_201_is_noticed(platform: Platform, world: World) -> None:
    """A server that answers 201 with an error among the rows: it is told, nothing is noted as written, and the next push tries again."""
    posted: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if handler.command == "GET":
            say(handler, {"value": []})
        elif handler.path.endswith("CreateObservations"):
            posted.append(handler.path)
            rows = ["http://x/Observations(1)", "error phenomenonTime could not be parsed", "http://x/Observations(2)", "http://x/Observations(3)"]
            say(handler, rows, 201)
        else:
            say(handler, b"", 201, Location=f"{handler.path}(7)")

    with serving(answer) as url:
        follow(platform, {"name": "agency", "url": url, "push": {"series": [STAGE]}})
        for attempt in (1, 2):
            done = push(platform)["agency"]
            assert done.created == 3
            assert "1 of 4 rows were refused" in done.errors[0]
            assert len(posted) == attempt
    with platform.database.connection() as connection:
        assert connection.execute("select count(*) from raw.sensorthings_pushed").fetchone() == (0,)


@pytest.mark.parametrize(
    ("batch", "created"),
    [(None, 4), ({}, 4), ({"0": 201, "1": 201, "2": 400}, 2)],
    ids=["no batches", "batches of another form", "batches"],
)
def test_a_server_without_the_data_array_is_written_in_a_batch_or_row_by_row(
    platform: Platform, world: World, batch: dict[str, int] | None, created: int
) -> None:
    """CreateObservations is an extension; where it is missing, rows go in a batch, of which each part has its outcome, or by themselves."""
    posted: list[str] = []
    parts: list[dict[str, Any]] = []

    def answer(handler: Asked, number: int) -> None:
        if handler.command == "GET":
            say(handler, {"value": []})
        elif handler.path.endswith("CreateObservations"):
            say(handler, {}, 404)
        elif handler.path.endswith("$batch"):
            parts.extend(json.loads(handler.content)["requests"])
            told = [{"id": name, "status": status, "body": {"message": "why"}} for name, status in (batch or {}).items()]
            say(handler, {"responses": told} if told else {}, 404 if batch is None else 200)
        else:
            posted.append(handler.path)
            say(handler, b"", 201, Location=f"{handler.path}(7)")

    with serving(answer) as url:
        follow(platform, {"name": "agency", "url": url, "push": {"series": [STAGE]}})
        done = push(platform)["agency"]
    assert done.created == created
    assert posted.count("/Observations") == (0 if batch else 4)
    assert [(part["method"], part["url"], part["body"]["result"]) for part in parts] == [("post", "Observations", n / 2) for n in (2, 3, 4, 5)]
    if batch:
        assert "2 of 4 rows were refused" in done.errors[0]
        assert "error 400: why" in done.errors[0]
