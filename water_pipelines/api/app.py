"""The API: `uvicorn --factory water_pipelines.api.app:create_app`.

Add a route by adding its module to `ROUTERS`. Keep out whatever a route or `respond` can do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.gzip import GZipMiddleware

from water_pipelines import logs
from water_pipelines.api.errors import handle_errors
from water_pipelines.api.files import store_of
from water_pipelines.api.requests import RequestIds
from water_pipelines.api.routes import (
    anomalies,
    argo,
    changes,
    dashboard,
    datasets,
    facilities,
    lineage,
    nodes,
    predictions,
    processing,
    quality,
    stations,
    status,
    time_series,
)
from water_pipelines.api.schemas import with_examples
from water_pipelines.clients.object_store import ObjectStore
from water_pipelines.domain.reporting import ReportingLimits
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines.storage.server import server_for

ROUTERS: tuple[APIRouter, ...] = tuple(
    module.router
    for module in (
        status,
        stations,
        time_series,
        nodes,
        facilities,
        predictions,
        quality,
        anomalies,
        argo,
        changes,
        lineage,
        datasets,
        processing,
        dashboard,
    )
)

_DESCRIPTION = """
Water data with its flags, metrics, anomalies and forecasts. Read only: what is to be put in is a file dropped into the inbox.

* Windows are half-open, `[start, end)`, and in UTC.
* Lists answer `{"items": [...], "next": cursor or null}`; hand `next` back as `cursor`.
* Every answer with values names its change number, also in the header `Water-Change`. `as_of=` that number, or a time, reads the same
  state again; `ETag` with `If-None-Match` costs nothing while nothing has changed.
* Errors are problem details (RFC 9457).
"""


def create_app(
    settings: Settings | None = None,
    database: Database | None = None,
    dagster_url: Callable[[], str] | None = None,
    store: ObjectStore | None = None,
) -> FastAPI:
    """The application.

    Parameters
    ----------
    settings : by default from the environment, in which case this process' logs are configured too.
    database : by default the one that the settings name, closed when the application ends.
    dagster_url : gives the libpq URL of Dagster's database; by default as the settings name it.
    store : by default the one that the settings name.
    """
    if settings is None:
        settings = Settings()
        logs.configure(settings, process="api")
    own_database = database is None
    database = database or Database(_server_url(settings, settings.database), code_version=settings.code_version)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if own_database:
            database.close()

    app = FastAPIOffline(title="water_pipelines", version=settings.code_version, description=_DESCRIPTION, lifespan=lifespan)
    generate = app.openapi
    app.openapi = lambda: with_examples(generate())  # type: ignore[method-assign]  # the way that FastAPI's manual gives
    app.state.database = database
    app.state.store = store_of(settings) if store is None else lambda: store
    app.state.dagster_url = dagster_url or _dagster_url(settings)
    app.state.reporting_limits = ReportingLimits(settings.station_late_after, settings.station_silent_after, settings.station_inactive_after)
    for router in ROUTERS:
        app.include_router(router)
    handle_errors(app)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=3)
    app.add_middleware(RequestIds)
    return app


def _server_url(settings: Settings, name: str) -> str:
    url = settings.database_url.get_secret_value() if settings.database_url else None
    return server_for(settings.home, settings.db_port, url).url(name)


def _dagster_url(settings: Settings) -> Callable[[], str]:
    if settings.dagster_database_url is not None:
        return settings.dagster_database_url.get_secret_value
    return lambda: _server_url(settings, settings.dagster_database)
