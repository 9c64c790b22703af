"""Fixtures of the live sources' tests: a platform, and a SensorThings server of the session that each test finds empty."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from water_pipelines.storage.server import DatabaseServer
from water_pipelines_tests.live.servers import DjangoServer, django_server
from water_pipelines_tests.orchestration.conftest import platform, rebuilt

__all__ = ["platform", "rebuilt"]


@pytest.fixture(scope="session")
def django_of_session(server: DatabaseServer, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DjangoServer, str]]:
    """A SensorThings server on a database of its own, which starts for seconds."""
    name = f"{template_database}_sensorthings"
    server.ensure_database(name)
    folder: Path = tmp_path_factory.mktemp("django")
    with django_server(server.url(name), folder) as running:
        yield running, server.url(name)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def django(django_of_session: tuple[DjangoServer, str]) -> DjangoServer:
    """A running SensorThings server that holds nothing."""
    running, url = django_of_session
    with psycopg.connect(url) as connection:
        rows = connection.execute("select tablename from pg_tables where schemaname = 'public' and tablename <> 'django_migrations'")
        names = sql.SQL(", ").join(sql.Identifier(name) for (name,) in rows.fetchall())
        connection.execute(sql.SQL("truncate {} cascade").format(names))
    running.start()
    return running
