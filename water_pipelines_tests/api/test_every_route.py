"""What must hold for every route alike; a new route is covered by adding it to `QUERIES`."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from openapi_spec_validator import validate

from water_pipelines.api import schemas
from water_pipelines.api.access import access
from water_pipelines.storage import history
from water_pipelines.storage.claims import series_uuid, station_uuid
from water_pipelines_tests.api.scenes import DAY, FLOW, GAUGE, NODE, WITH_ARGO
from water_pipelines_tests.argo_world import FLOAT
from water_pipelines_tests.builders import World

V1 = "/api/v1"
VALUES: dict[str, tuple[type[schemas.Shape], list[str]]] = {
    f"{V1}/water-data/stations": (schemas.StationPage, ["", "?limit=1", "?network=north", "?zone=DMA-1", "?property=flow", "?kind=x"]),
    f"{V1}/water-data/stations/{{station_id}}": (schemas.StationDetail, [f"/{NODE}", "/GAUGE_7", f"/{station_uuid(NODE)}"]),
    f"{V1}/time-series/metadata": (schemas.SeriesPage, ["", "?limit=1", f"?station={NODE}", "?property=flow", "?network=north"]),
    f"{V1}/time-series/data": (
        schemas.Values,
        [
            f"?series_id={FLOW}",
            f"?series_id={series_uuid(FLOW)}&limit=2",
            f"?series_id={FLOW}&flags=1,9",
            f"?series_id={FLOW}&rows=true",
            f"?series_id={FLOW}&include=qualifier,failed,not_run",
            f"?series_id={FLOW}&include=failed&rows=true",
            f"?series_id={GAUGE}&start={DAY}T00:10&end={DAY}T00:30",
        ],
    ),
    f"{V1}/time-series/aggregate": (
        schemas.Aggregate,
        [f"?series_id={FLOW}&interval={name}" for name in ("30min", "hourly", "daily")] + [f"?series_id={FLOW}&rows=true&interval=30min&limit=1"],
    ),
    f"{V1}/nodes": (schemas.StationPage, ["", "?network=north"]),
    f"{V1}/nodes/{{node_id}}/metrics": (schemas.NodeMetrics, [f"/{NODE}/metrics"]),
    f"{V1}/nodes/{{node_id}}/history": (schemas.NodeHistory, [f"/{NODE}/history", f"/{station_uuid(NODE)}/history?interval=30min&limit=1"]),
    f"{V1}/facilities": (schemas.FacilityPage, ["", "?limit=1", "?network=north&zone=DMA-1"]),
    f"{V1}/facilities/{{facility_id}}": (schemas.FacilityDetail, [f"/{NODE}", f"/{station_uuid(NODE)}"]),
    f"{V1}/facilities/{{facility_id}}/sensors": (schemas.Sensors, [f"/{NODE}/sensors"]),
    f"{V1}/sensors/{{sensor_id}}/records": (
        schemas.SensorRecords,
        [f"/{FLOW}/records", f"/{series_uuid(FLOW)}/records?limit=2", f"/{FLOW}/records?start={DAY}T00:10&end={DAY}T00:50"],
    ),
    f"{V1}/predictions/{{node_id}}": (schemas.Predictions, [f"/{NODE}", f"/{NODE}?property=flow&issued_at={DAY}T05:00Z"]),
    f"{V1}/quality/{{node_id}}": (schemas.Quality, [f"/{NODE}", f"/{NODE}?start={DAY}"]),
    f"{V1}/anomalies": (
        schemas.AnomalyPage,
        ["", "?limit=1", f"?series={FLOW}&severity=high", f"?station={NODE}&status=open", "?kind=stuck", f"?start={DAY}&end=2026-03-02"],
    ),
    f"{V1}/changes": (schemas.ChangePage, ["", "?since=2"]),
    f"{V1}/lineage": (
        schemas.Lineage,
        [
            f"?series_id={FLOW}&time={DAY}T00:45:00Z",
            f"?series_id={FLOW}&time={DAY}T00:45&of=flag",
        ],
    ),
    f"{V1}/dashboard/summary": (schemas.Summary, [""]),
    f"{V1}/argo/floats": (
        schemas.ArgoFloatPage,
        ["", "?limit=1", "?bbox=-40,40,-20,50", "?bbox=170,-60,-20,50&parameter=PSAL", "?data_centre=IF", "?start=2020-01-01&end=2020-02-01"],
    ),
    f"{V1}/argo/floats/{{wmo}}": (schemas.ArgoFloatDetail, [f"/{FLOAT}"]),
    f"{V1}/argo/floats/{{wmo}}/profiles": (schemas.ArgoProfilePage, [f"/{FLOAT}/profiles", f"/{FLOAT}/profiles?limit=1&start=2020-01-01"]),
    f"{V1}/argo/floats/{{wmo}}/track": (schemas.ArgoTrack, [f"/{FLOAT}/track", f"/{FLOAT}/track?source=profile"]),
    f"{V1}/argo/profiles/{{profile_id}}": (schemas.ArgoProfileDetail, [f"/{FLOAT}_001"]),
    f"{V1}/argo/changes": (schemas.ArgoChangePage, ["", "?since=2", "?limit=1"]),
    f"{V1}/argo/search": (schemas.ArgoProfilePage, ["", "?limit=1", "?bbox=-40,40,-20,50&depth_min=50&parameter=TEMP", "?depth_max=20"]),
}
PRESENT: dict[str, tuple[type[schemas.Shape], list[str]]] = {
    "/health": (schemas.Health, [""]),
    f"{V1}/status": (schemas.PlatformStatus, [""]),
    f"{V1}/datasets": (schemas.DatasetPage, ["", "?limit=1", "?status=succeeded&kind=data", f"?prefix=&start={DAY}&end=2026-03-02"]),
    f"{V1}/datasets/jobs": (schemas.JobPage, ["", "?limit=1", "?status=succeeded&kind=data"]),
    f"{V1}/processing-jobs": (schemas.ProcessingJobPage, ["", "?limit=1", "?asset=core/anomaly", "?status=succeeded"]),
}


OF_A_FILE = {
    f"{V1}/datasets/{{dataset_id}}": "is held against its shape for each file",
    f"{V1}/datasets/{{dataset_id}}/rejected": "is held against its shape for each file",
    f"{V1}/datasets/jobs/{{job_id}}": "is held against its shape for each file",
    f"{V1}/datasets/{{dataset_id}}/file": "gives bytes as they landed, which no change alters; see test_datasets.py",
    "/ready": "tells of the daemon; see test_status.py",
}
"""Routes that are not asked here with fixed queries, and why."""


def played(world: World) -> World:
    """The world after all scenes."""
    for scene in WITH_ARGO:
        scene(world)
    return world


def urls(queries: dict[str, tuple[type[schemas.Shape], list[str]]]) -> Iterator[tuple[type[schemas.Shape], str]]:
    for path, (shape, variants) in queries.items():
        yield from ((shape, path.partition("/{")[0] + variant) for variant in variants)


def with_as_of(url: str, change: int) -> str:
    return f"{url}{'&' if '?' in url else '?'}as_of={change}"


def routes_of(app: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = app.openapi()["paths"]
    return found


def test_every_route_is_asked_here(app: FastAPI) -> None:
    """No route is forgotten by the tests of this file."""
    assert set(routes_of(app)) == {*VALUES, *PRESENT, *OF_A_FILE}


def test_as_of_gives_the_same_bytes_for_ever(world: World, client: httpx.Client) -> None:
    """The body of as_of=n is the body that was served at change n, byte for byte, on every route, whatever changes later."""
    served: dict[int, dict[str, bytes]] = {}
    for scene in WITH_ARGO:
        scene(world)
        served[world.change] = {url: client.get(url).content for _, url in urls(VALUES)}
    for change, bodies in served.items():
        for url, body in bodies.items():
            assert client.get(with_as_of(url, change)).content == body, (change, url)
    never_changed = [url for _, url in urls(VALUES) if len({bodies[url] for bodies in served.values()}) == 1]
    assert never_changed == [f"{V1}/water-data/stations?kind=x"]


def test_every_answer_has_the_shape_that_is_documented(world: World, client: httpx.Client) -> None:
    """Nothing is served that the OpenAPI document does not declare, and nothing that it requires is missing."""
    played(world)
    for shape, url in [*urls(VALUES), *urls(PRESENT)]:
        answer = client.get(url)
        assert answer.status_code == 200, (url, answer.text)
        shape.model_validate_json(answer.content)
    for job in client.get(f"{V1}/datasets/jobs").json()["items"]:
        schemas.JobDetail.model_validate_json(client.get(f"{V1}/datasets/jobs/{job['id']}").content)
        schemas.DatasetDetail.model_validate_json(client.get(f"{V1}/datasets/{job['id']}").content)
        schemas.RejectedPage.model_validate_json(client.get(f"{V1}/datasets/{job['id']}/rejected").content)


def test_every_value_is_validated_by_its_change_number(world: World, client: httpx.Client) -> None:
    """An answer that is kept costs nothing until a change is made: the same ETag gives 304, the next change a new body."""
    played(world)
    tags = {}
    for _, url in urls(VALUES):
        answer = client.get(url)
        assert answer.headers["Water-Change"] == str(world.change)
        tags[url] = answer.headers["ETag"]
        again = client.get(url, headers={"If-None-Match": f'"other", {tags[url]}'})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tags[url]), url
    world.tick("2026-03-10T00:00")
    for url, tag in tags.items():
        assert client.get(url, headers={"If-None-Match": tag}).status_code == 200, url


@pytest.mark.parametrize(("as_of", "reason"), [("99999", "has not been made yet"), ("2999-01-01T00:00:00Z", "lies in the future")])
def test_a_state_that_does_not_exist_is_refused(world: World, client: httpx.Client, as_of: str, reason: str) -> None:
    """A change number or a time that is yet to come is a 400 on every route of values, which says so."""
    played(world)
    for _, url in urls(VALUES):
        answer = client.get(f"{url}{'&' if '?' in url else '?'}as_of={as_of}")
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), url
        assert reason in answer.json()["detail"]


def test_a_state_before_the_history_is_gone(world: World, client: httpx.Client) -> None:
    """Before the horizon every route of values answers 410 and names the first change that can be read, which can be read."""
    played(world)
    first = world.change - 2
    history.expire(world.database, first)
    for _, url in urls(VALUES):
        answer = client.get(with_as_of(url, first - 1))
        assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json"), url
        assert f"the first change that can be read is {first}, recorded at " in answer.json()["detail"]
        assert client.get(with_as_of(url, first)).status_code == 200, url
    assert client.get(f"{V1}/water-data/stations?as_of=1999-01-01").status_code == 410


def test_a_time_stands_for_the_last_change_up_to_it(world: World, client: httpx.Client) -> None:
    """as_of a time reads as of the last change that was recorded by then; before the first change there is nothing."""
    WITH_ARGO[0](world)
    change = world.change
    with psycopg.connect(world.database.url, options="-c timezone=UTC") as connection:
        row = connection.execute("select recorded_at from core.change where n = %s", (change,)).fetchone()
        assert row is not None
    WITH_ARGO[1](world)
    url = f"{V1}/time-series/data?series_id={FLOW}"
    assert client.get(url, params={"series_id": FLOW, "as_of": row[0].isoformat()}).json()["change"] == change
    assert client.get(f"{V1}/water-data/stations?as_of=1999-01-01").json() == {"items": [], "next": None}


def test_access_is_asked_on_every_route_of_data(app: FastAPI, world: World, client: httpx.Client) -> None:
    """Whoever is refused by the access dependency is refused everywhere but where the platform tells that it is alive."""
    played(world)

    async def nobody() -> None:
        raise HTTPException(403, "nobody may read")

    app.dependency_overrides[access] = nobody
    asked = [url for _, url in [*urls(VALUES), *urls(PRESENT)] if url != "/health"]
    asked += [path.format(dataset_id=UUID(int=0), job_id=UUID(int=0)) for path in OF_A_FILE if path != "/ready"]
    assert {client.get(url).status_code for url in asked} == {403}


def test_the_openapi_document_is_valid_and_has_an_example_of_every_answer(app: FastAPI) -> None:
    """Every endpoint shows an example, which is of the shape that it declares (one gives a file's bytes, which have none), and only reads."""
    document = json.loads(json.dumps(app.openapi()))
    validate(document)
    for path, operations in document["paths"].items():
        assert set(operations) == {"get"}, path
        assert operations["get"]["summary"]
        assert operations["get"]["description"]
        if path.endswith("/file"):
            continue
        content = operations["get"]["responses"]["200"]["content"]["application/json"]
        shape = getattr(schemas, content["schema"]["$ref"].rpartition("/")[2])
        shape.model_validate_json(json.dumps(content["example"]))
    schemas.ProblemDetails.model_validate(schemas.PROBLEM_EXAMPLE)


def test_nothing_is_written_through_the_api(app: FastAPI) -> None:
    """There is no route that takes anything but GET (and HEAD)."""
    assert {method for route in app.routes if isinstance(route, APIRoute) for method in route.methods or ()} <= {"GET", "HEAD"}
