"""Fixtures of the live sources' tests: a platform, and a SensorThings server on a database of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from water_pipelines_tests.live.servers import DjangoServer, django_server
from water_pipelines_tests.orchestration.conftest import platform

__all__ = ["platform"]


@pytest.fixture
def django(empty_database_url: str, tmp_path: Path) -> Iterator[DjangoServer]:
    """A running SensorThings server that holds nothing yet."""
    with django_server(empty_database_url, tmp_path) as server:
        yield server
