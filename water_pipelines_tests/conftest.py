"""Fixtures of the whole suite: one PostgreSQL server a session, a migrated database and an object store a test.

`WATER_TEST_DATABASE_URL` runs the same suite against a PostgreSQL of your own, whose user must be allowed to create databases.
"""

import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.storage.server import DatabaseServer, EmbeddedServer, ExternalServer

FIRST_DAY = date(2000, 1, 1)
"""Of the databases that tests are given: the partitions of 50 years more would be copied with each, and looked at by every plan."""

_SESSION = f"water_test_{secrets.token_hex(4)}"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[DatabaseServer]:
    """A running server, shared by the session: embedded, or the one at `WATER_TEST_DATABASE_URL`."""
    if url := os.environ.get("WATER_TEST_DATABASE_URL"):
        external = ExternalServer(url)
        external.ensure_running()
        yield external
        return
    home = Path(tempfile.mkdtemp(prefix="water-test-"))
    home.chmod(0o755)  # else root's server would keep its data below /var/lib
    embedded = EmbeddedServer(home)
    try:
        embedded.ensure_running()
        with psycopg.connect(embedded.url(), autocommit=True) as connection:
            # these databases live for one session; what must be durable is tested on servers of its own
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(sql.SQL("alter system set {} = off").format(sql.Identifier(name)))
            connection.execute("select pg_reload_conf()")
        yield embedded
    finally:
        embedded.stop("immediate")
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def template_database(server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a migrated database that is copied for each test; nobody may stay connected to it."""
    from water_pipelines.storage.marts import define_marts
    from water_pipelines.storage.migrate import migrate

    name = f"{_SESSION}_template"
    server.ensure_database(name)
    migrate(server.url(name), first_day=FIRST_DAY)
    define_marts(server.url(name), tmp_path_factory.mktemp("dbt"))
    yield name
    _drop(server, name)


@pytest.fixture
def database_url(server: DatabaseServer, template_database: str) -> Iterator[str]:
    """libpq URL of a migrated database of this test's own; dropped afterwards, with whoever is still connected."""
    name = f"{_SESSION}_{next(_numbers)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(sql.Identifier(name), sql.Identifier(template_database))
        )
    yield server.url(name)
    _drop(server, name)


@pytest.fixture
def empty_database_url(server: DatabaseServer) -> Iterator[str]:
    """libpq URL of a database without any table of ours, for migrations and for Dagster's storage."""
    name = f"{_SESSION}_{next(_numbers)}"
    server.ensure_database(name)
    yield server.url(name)
    _drop(server, name)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty object store in a folder of this test's own."""
    return LocalStore(tmp_path / "store")


def _drop(server: DatabaseServer, name: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
