"""How a platform is, asked without starting anything: its processes, its database, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from water_pipelines.commands import databases
from water_pipelines.commands.home import Home
from water_pipelines.settings import Settings
from water_pipelines.storage.served import jobs, status
from water_pipelines.storage.served.reading import Unavailable, reading
from water_pipelines.storage.server import EmbeddedServer, ServerError

_JOBS_SHOWN, _PARTLY_SHOWN = 20, 5


@dataclass(frozen=True)
class Condition:
    """How a platform is.

    Attributes
    ----------
    is_running, is_ready : bool
        Whether a `water` process looks after it; whether everything has answered.
    programs : dict
        Process number by program; None where the program does not run.
    holds : dict, optional
        What `/api/v1/status` says; None where the database cannot be read, and `reason` says why.
    jobs : list of dict
        Files that somebody should look at, or that are being loaded: what `/api/v1/datasets/jobs` says of them, the latest first.
    partly_loaded : list of dict
        The latest files of which rows were refused and the rest is loaded, told in the same way.
    """

    home: str
    is_running: bool
    is_ready: bool
    supervisor: int | None
    programs: dict[str, int | None]
    addresses: dict[str, str]
    database: str
    holds: dict[str, Any] | None
    jobs: list[dict[str, Any]]
    partly_loaded: list[dict[str, Any]]
    reason: str | None


def condition_of(settings: Settings) -> Condition:
    """Look at the platform of a home."""
    home = Home(settings.home)
    record = home.record() if settings.home.is_dir() else None
    is_running = record is not None and home.is_held()
    server = databases.server_of(settings)
    holds, waiting, partly, reason = _holds(settings, server)
    return Condition(
        home=str(settings.home),
        is_running=is_running,
        is_ready=is_running and record is not None and record.is_ready,
        supervisor=record.supervisor.pid if record is not None and is_running else None,
        programs={name: process.pid if process.is_alive() else None for name, process in record.sessions.items()} if record else {},
        addresses=dict(record.addresses) if record is not None and is_running else {},
        database=_told(server),
        holds=holds,
        jobs=waiting,
        partly_loaded=partly,
        reason=reason,
    )


def _holds(settings: Settings, server: databases.Server) -> tuple[dict[str, Any] | None, list[dict[str, Any]], list[dict[str, Any]], str | None]:
    if not databases.is_running(server):
        return None, [], [], "the embedded PostgreSQL does not run"
    try:
        database = databases.database_of(settings, server)
        try:
            with reading(database) as state:
                return status.read(state), jobs.needing_attention(state, _JOBS_SHOWN), jobs.partly_loaded(state, _PARTLY_SHOWN), None
        finally:
            database.close()
    except (ServerError, Unavailable) as error:
        return None, [], [], str(error)


def _told(server: databases.Server) -> str:
    if not isinstance(server, EmbeddedServer):
        return "external (WATER_DATABASE_URL)"
    found = server.status()
    return f"embedded, process {found.pid}, port {found.port}" if found.running else "embedded, not running"
