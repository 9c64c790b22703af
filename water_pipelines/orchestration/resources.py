"""What runs need of the outside world, as plain objects: a plain object keeps its secrets out of the web server's snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from water_pipelines.clients.object_store import ObjectStore, store_from_settings
from water_pipelines.settings import Settings
from water_pipelines.storage import runs
from water_pipelines.storage.database import Database
from water_pipelines.storage.server import server_for


@dataclass(frozen=True)
class Platform:
    """The database, the object store and the settings that everything works with."""

    settings: Settings
    database: Database
    store: ObjectStore

    @contextmanager
    def during(self, run_id: str) -> Iterator[Platform]:
        """The platform on behalf of a run, which is seen to be alive for as long as this lasts."""
        database = self.database.on_behalf_of(run_id)
        try:
            with runs.alive(database, run_id):
                yield replace(self, database=database)
        finally:
            database.close()


def platform_of(settings: Settings) -> Platform:
    """The platform that the settings name; connects to nothing yet."""
    url = settings.database_url.get_secret_value() if settings.database_url else None
    server = server_for(settings.home, settings.db_port, url)
    return Platform(settings, Database(server.url(settings.database), code_version=settings.code_version), store_of(settings))


def store_of(settings: Settings) -> ObjectStore:
    """The object store that the settings name; the client of an S3 API is built by dagster-aws, with credentials from the environment."""
    if settings.store_root is not None:
        return store_from_settings(settings)
    from dagster_aws.s3 import S3Resource

    return store_from_settings(settings, S3Resource(endpoint_url=settings.s3_endpoint_url, region_name=settings.s3_region).get_client())
