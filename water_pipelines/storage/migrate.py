"""Bring a database to the present state: migrations (the same everywhere), yearly partitions, and rules to judge by."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from water_pipelines.domain.rules import default_rules
from water_pipelines.storage import rule_sets
from water_pipelines.storage.database import Database
from water_pipelines.storage.partitions import extend_partitions

_ONE_AT_A_TIME = 5_601_001
_MIGRATIONS = str(Path(__file__).parent / "migrations")


def has_revision(revision: str) -> bool:
    """Whether this release has a revision of the schema; it has none of a newer release."""
    return any(each.revision == revision for each in ScriptDirectory(_MIGRATIONS).walk_revisions())


def revision(url: str) -> str | None:
    """The revision of the schema in a database; none where there is no schema, or no such database."""
    try:
        with psycopg.connect(url) as connection:
            row = connection.execute("select to_regclass('public.alembic_version')").fetchone()
            found = connection.execute("select version_num from public.alembic_version").fetchone() if row and row[0] else None
    except psycopg.OperationalError as error:
        if "does not exist" in str(error):
            return None
        raise
    return found[0] if found else None


def migrate(url: str, *, first_day: date = date(1950, 1, 1), code_version: str = "unknown", to: str = "head") -> None:
    """Apply what is missing; safe to call again and from several processes at once.

    Parameters
    ----------
    url : str
        A libpq URL (`postgresql://...`) of an existing database.
    first_day : date
        The first day for which observations are accepted; the first yearly partition is its year's.
    code_version : str
        Recorded with the change that puts the project's own rules in force.
    to : str
        The revision to stop at, for data of an earlier release.
    """
    with psycopg.connect(url, options="-c timezone=UTC", autocommit=True) as guard:
        guard.execute("select pg_advisory_lock(%s)", (_ONE_AT_A_TIME,))
        engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", _MIGRATIONS)
            config.attributes["connection"] = connection
            command.upgrade(config, to)
        database = Database(url, code_version=code_version, run="migrate")
        extend_partitions(database, first_day)
        rule_sets.use_defaults(database, default_rules().version)
        database.close()
