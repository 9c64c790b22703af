"""Fixtures of the orchestration's tests: a platform on a database and a store of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines.storage.server import DatabaseServer


@pytest.fixture
def platform(database_url: str, store: LocalStore, tmp_path: Path) -> Iterator[Platform]:
    """A platform that holds nothing yet."""
    database = Database(database_url, code_version="test", run="test")
    yield Platform(Settings(home=tmp_path / "home"), database, store)
    database.close()


@pytest.fixture
def rebuilt(server: DatabaseServer, template_database: str, store: LocalStore, tmp_path: Path) -> Iterator[Platform]:
    """A second platform with an empty database: what a rebuild starts from."""
    name = f"{template_database}_rebuilt"
    copy_database(server, template_database, name)
    database = Database(server.url(name), code_version="test", run="rebuild")
    yield Platform(Settings(home=tmp_path / "rebuilt"), database, store)
    database.close()
    drop_database(server, name)


def copy_database(server: DatabaseServer, template: str, name: str) -> None:
    """A database as a copy of another one, to which nobody may be connected."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template {} strategy file_copy").format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(server: DatabaseServer, name: str) -> None:
    """Drop a database, with whoever is still connected."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
