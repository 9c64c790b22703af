"""Fixtures of the orchestration's tests: a platform on a database and a store of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database


@pytest.fixture
def platform(database_url: str, store: LocalStore, tmp_path: Path) -> Iterator[Platform]:
    """A platform that holds nothing yet."""
    database = Database(database_url, code_version="test", run="test")
    yield Platform(Settings(home=tmp_path / "home"), database, store)
    database.close()
