"""Errors as RFC 9457 problem details: one table from exception to status.

Add a line to `PROBLEMS` when storage learns a new error. Everything else that goes wrong is a 500, whose cause is logged, not told.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from water_pipelines.api.cursors import BadCursor
from water_pipelines.clients.object_store import ObjectMissing, StoreUnavailable
from water_pipelines.storage.served.reading import Forgotten, NothingFound, Unavailable, UnknownChange

MEDIA_TYPE = "application/problem+json"
_TYPES = "urn:water-pipelines:problem:"
_log = structlog.get_logger(__name__)


class Problem(NamedTuple):
    """What an exception is to a client."""

    status: HTTPStatus
    name: str
    title: str


PROBLEMS: dict[type[Exception], Problem] = {
    NothingFound: Problem(HTTPStatus.NOT_FOUND, "not-found", "Nothing of that id"),
    UnknownChange: Problem(HTTPStatus.BAD_REQUEST, "unknown-change", "No such state"),
    Forgotten: Problem(HTTPStatus.GONE, "forgotten", "This state can no longer be told"),
    BadCursor: Problem(HTTPStatus.BAD_REQUEST, "bad-cursor", "Not a cursor of this list"),
    RequestValidationError: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "The request is not valid"),
    ObjectMissing: Problem(HTTPStatus.NOT_FOUND, "file-missing", "The store has lost this file"),
    StoreUnavailable: Problem(HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable", "The object store cannot be read at present"),
    Unavailable: Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "The database cannot be read at present"),
}
_UNEXPECTED = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Something went wrong on the server")


def handle_errors(app: FastAPI) -> None:
    """Answer every error of an application with problem details."""
    for kind in PROBLEMS:
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _known(request: Request, error: Exception) -> Response:
    problem = next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)
    if isinstance(error, RequestValidationError):
        errors = [
            {"in": each["loc"][0], "name": ".".join(map(str, each["loc"][1:])), "message": each["msg"].removeprefix("Value error, ")}
            for each in error.errors()
        ]
        return _respond(request, problem, "; ".join(f"{each['name']}: {each['message']}" for each in errors), errors=errors)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("unavailable", error=str(error))
    headers = {"Retry-After": "5"} if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return _respond(request, problem, str(error), headers=headers)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    name = status.phrase.lower().replace(" ", "-")
    return _respond(request, Problem(status, name, status.phrase), str(error.detail), headers=dict(error.headers or {}))


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("request failed", exc_info=error, request_id=_request_id(request), path=request.url.path)
    return _respond(request, _UNEXPECTED, "the error was logged under the request id")


def _respond(request: Request, problem: Problem, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> Response:
    body = {
        "type": _TYPES + problem.name,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": request.url.path,
        "request_id": _request_id(request),
        **more,
    }
    return Response(
        orjson.dumps(body),
        status_code=int(problem.status),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "X-Request-ID": _request_id(request), **(headers or {})},
    )


def _request_id(request: Request) -> str:
    return str(request.state.request_id)
