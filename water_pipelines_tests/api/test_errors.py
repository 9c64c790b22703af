"""Errors are problem details with the id of their request, and tell what to do."""

from collections.abc import MutableMapping
from typing import Any

import httpx
from fastapi import FastAPI

from water_pipelines.api.app import create_app
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines_tests.api.conftest import Serve

V1 = "/api/v1"
PROBLEMS = [
    (f"{V1}/water-data/stations/NOWHERE", 404, "no station 'NOWHERE'"),
    (f"{V1}/time-series/data?series_id=NOTHING", 404, "no series 'NOTHING'"),
    (f"{V1}/datasets/jobs/00000000-0000-0000-0000-000000000000", 404, "no job"),
    (f"{V1}/time-series/data", 422, "series_id: Field required"),
    (f"{V1}/time-series/data?series_id=x&start=yesterday", 422, "start: 'yesterday' is no time; write ISO 8601"),
    (f"{V1}/time-series/data?series_id=x&flags=5", 422, "flags: "),
    (f"{V1}/water-data/stations?limit=0", 422, "limit: "),
    (f"{V1}/water-data/stations?as_of=-1", 422, "as_of: '-1' is no time"),
    (f"{V1}/water-data/stations?cursor=rubbish", 400, "none that this list gave"),
    ("/api/v1/nothing", 404, "Not Found"),
]


def test_an_error_is_a_problem_that_says_what_to_do(client: httpx.Client) -> None:
    """Each error has the media type, the status, the path and the request's id, and no body of another form."""
    for url, status, says in PROBLEMS:
        answer = client.get(url, headers={"X-Request-ID": "abc-1"})
        problem = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), url
        assert (problem["status"], problem["instance"], problem["request_id"]) == (status, url.partition("?")[0], "abc-1")
        assert says in problem["detail"]
        assert answer.headers["X-Request-ID"] == "abc-1"


def test_a_request_without_an_id_is_given_one(client: httpx.Client) -> None:
    """Ids are made up where the client gives none, or one that could forge a line of the log."""
    ids = {client.get("/health", headers=headers).headers["X-Request-ID"] for headers in ({}, {"X-Request-ID": "a b"}, {"X-Request-ID": "x" * 200})}
    assert len(ids) == 3
    assert all(len(request_id) == 32 for request_id in ids)


def test_writing_is_not_allowed(client: httpx.Client) -> None:
    """POST answers 405 as a problem that names what is allowed."""
    answer = client.post(f"{V1}/time-series/data")
    assert (answer.status_code, answer.json()["title"], answer.headers["Allow"]) == (405, "Method Not Allowed", "GET")


def test_an_unforeseen_error_tells_nothing_of_the_inside(app: FastAPI, client: httpx.Client) -> None:
    """A 500 carries the request's id, by which the cause is found in the log, and not the cause."""

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the password is hunter2")

    answer = client.get("/broken", headers={"X-Request-ID": "abc-2"})
    assert (answer.status_code, answer.json()["request_id"], answer.headers["X-Request-ID"]) == (500, "abc-2", "abc-2")
    assert "hunter2" not in answer.text


def test_a_cursor_of_another_list_is_refused(client: httpx.Client) -> None:
    """A cursor of jobs, which pins no change, begins no page of values; one of stations no page of jobs."""
    for url in (f"{V1}/water-data/stations?cursor=WzEsbnVsbF0", f"{V1}/datasets/jobs?cursor=WyJhIiwxXQ"):
        assert client.get(url).json()["type"] == "urn:water-pipelines:problem:bad-cursor"


def test_a_database_that_was_never_migrated_is_named_as_such(empty_database_url: str, serve: Serve) -> None:
    """Before `water migrate` every route of data answers 503 and says what to run."""
    with serve(create_app(Settings(_env_file=None), Database(empty_database_url, code_version="test"), lambda: empty_database_url)) as client:
        answer = client.get(f"{V1}/status")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "water migrate" in answer.json()["detail"]


def test_every_request_is_logged_with_its_id(client: httpx.Client, logged: list[MutableMapping[str, Any]]) -> None:
    """One line a request: id, path, status, and who read."""
    client.get(f"{V1}/water-data/stations/NOWHERE", headers={"X-Request-ID": "abc-3"})
    (line,) = (line for line in logged if line["event"] == "request")
    assert [line[name] for name in ("request_id", "path", "status", "reader")] == ["abc-3", f"{V1}/water-data/stations/NOWHERE", 404, "anyone"]
