"""The API as it is run: a real server on a port of its own, beside a database of the test's own."""

import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from water_pipelines.api.app import create_app
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines_tests.builders import World

_HEARTBEATS = """
create table if not exists daemon_heartbeats (
    id bigserial primary key, daemon_type varchar(255) not null unique, daemon_id varchar(255), timestamp timestamp not null, body text
)
"""
_BEAT = """
insert into daemon_heartbeats (daemon_type, timestamp) values ('SENSOR', clock_timestamp() at time zone 'UTC' - make_interval(secs => %s))
on conflict (daemon_type) do update set timestamp = excluded.timestamp
"""

Serve = Callable[[FastAPI], AbstractContextManager[httpx.Client]]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, code_version="test")
    yield database
    database.close()


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged during the test."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        yield lines


@pytest.fixture
def app(database: Database, database_url: str, store: LocalStore, logged: list[MutableMapping[str, Any]]) -> FastAPI:
    """The application; Dagster's heartbeats are read from the test's own database."""
    return create_app(Settings(_env_file=None), database, dagster_url=lambda: database_url, store=store)


@pytest.fixture
def serve() -> Serve:
    """Runs an application as long as its client is open."""
    return _serve


@contextmanager
def _serve(app: FastAPI) -> Iterator[httpx.Client]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(app: FastAPI, serve: Serve) -> Iterator[httpx.Client]:
    """A client of the running application."""
    with serve(app) as client:
        yield client


@pytest.fixture
def heartbeat(database_url: str) -> Callable[[float], None]:
    """Let Dagster's daemon have given a sign of life so many seconds ago, in the table as dagster-postgres makes it."""

    def beat(age_s: float) -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute(_HEARTBEATS)
            connection.execute(_BEAT, (age_s,))

    return beat
