"""The two databases of the platform, its own and Dagster's: made where they are missing, and brought to the present schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from water_pipelines.commands.home import Home
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines.storage.migrate import revision as schema_revision
from water_pipelines.storage.server import EmbeddedServer, ExternalServer, server_for

Server = EmbeddedServer | ExternalServer


def server_of(settings: Settings) -> Server:
    """The database server that the settings name; nothing is started."""
    return server_for(settings.home, settings.db_port, settings.database_url.get_secret_value() if settings.database_url else None)


def is_running(server: Server) -> bool:
    """Whether the server is there without being started: the embedded one is asked, another is taken to be."""
    return not isinstance(server, EmbeddedServer) or server.status().running


def database_of(settings: Settings, server: Server) -> Database:
    """The platform's database on a server that runs; to be closed by the caller.

    Raises
    ------
    ServerError
        A server of somebody else's does not answer.
    """
    if isinstance(server, ExternalServer):
        server.ensure_running()
    return Database(server.url(settings.database), code_version=settings.code_version)


def start(settings: Settings, server: Server) -> str:
    """Start the server unless it runs and make both databases; gives the URL of Dagster's.

    Raises
    ------
    ServerError
        The server cannot be used; the message says why and what to do.
    """
    server.ensure_running()
    server.ensure_database(settings.database)
    if settings.dagster_database_url is None:
        server.ensure_database(settings.dagster_database)
        return server.url(settings.dagster_database)
    dagster = ExternalServer(settings.dagster_database_url.get_secret_value())
    dagster.ensure_database(settings.dagster_database)
    return dagster.url()


def stop(server: Server) -> None:
    """Stop an embedded server; another is not ours to stop."""
    if isinstance(server, EmbeddedServer):
        server.stop()


@contextmanager
def at_rest(settings: Settings) -> Iterator[Server]:
    """The server of a home whose platform does not run, and that nobody can start within the block; an embedded server that ran goes on running.

    Raises
    ------
    AlreadyRunning
        The platform runs.
    """
    with Home(settings.home).held():
        server = server_of(settings)
        was_running = is_running(server)
        try:
            yield server
        finally:
            if not was_running:
                stop(server)


def revision(settings: Settings, server: Server) -> str | None:
    """The revision of the platform's schema; none where there is no database yet. An embedded server that holds data is started for it."""
    if isinstance(server, EmbeddedServer) and server.status().data_version is None:
        return None
    server.ensure_running()
    return schema_revision(server.url(settings.database))


def bring_up_to_date(settings: Settings, server: Server) -> None:
    """Migrate the platform's database and let dbt define the marts; Dagster's processes see to their own."""
    from water_pipelines.storage.marts import define_marts
    from water_pipelines.storage.migrate import migrate

    url = server.url(settings.database)
    migrate(url, first_day=settings.first_day, code_version=settings.code_version)
    define_marts(url, settings.home / "dbt")
