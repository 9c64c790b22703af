"""How the platform is: alive, ready, and how much it holds. These tell of now, so they name no change."""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from water_pipelines.api import schemas
from water_pipelines.api.respond import OfThePresent
from water_pipelines.storage.served import health, status
from water_pipelines.storage.served.reading import Unavailable, reading

router = APIRouter(tags=["status"])

FRESH_S = 120.0
"""A heartbeat of Dagster's daemon, which comes every 30 s, is fresh for this long."""


@router.get("/health", responses=schemas.answers(schemas.Health, statuses=()))
async def get_health(request: Request) -> Response:
    """The API answers; it does not ask anybody else."""
    return _now({"status": "ok", "version": request.app.version})


@router.get("/ready", responses={**schemas.answers(schemas.Ready, statuses=()), 503: {"model": schemas.Ready, "description": "Not ready, and why"}})
def get_ready(request: Request) -> Response:
    """200 once the database is migrated and the daemon's heartbeat is fresh; else 503, with what is waited for."""
    dagster_url: Callable[[], str] = request.app.state.dagster_url
    reasons, revision = [], None
    try:
        with reading(request.app.state.database) as state:
            revision = health.revision(state)
    except Unavailable as error:
        reasons.append(str(error))
    else:
        if revision != health.expected_revision():
            reasons.append(f"the database is at migration {revision}; run `water migrate`")
    age = health.heartbeat_age_s(dagster_url())
    if age is None:
        reasons.append("Dagster's daemon has never given a sign of life, or its database does not answer")
    elif age > FRESH_S:
        reasons.append(f"the last heartbeat of Dagster's daemon is {age:.0f} s old")
    body = {
        "status": "not ready" if reasons else "ready",
        "schema_revision": revision,
        "expected_revision": health.expected_revision(),
        "daemon_heartbeat_age_s": age,
        "reasons": reasons,
    }
    return _now(body, 503 if reasons else 200)


@router.get("/api/v1/status", responses=schemas.answers(schemas.PlatformStatus, statuses=(503,)))
def get_status(respond: OfThePresent) -> Response:
    """How many stations, series, observations and files by status there are, and what each stage has computed or has still to compute."""
    return respond(status.read)


def _now(body: dict[str, Any], status_code: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status_code, media_type="application/json", headers={"Cache-Control": "no-store"})
