"""Whether the platform is there: the schema is this version's, and Dagster's daemon has given a sign of life."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psycopg

from water_pipelines.storage.served.reading import Reading


@cache
def expected_revision() -> str:
    """The migration that this version of the code was written for: the last of the numbered files (Alembic itself loads for seconds)."""
    return max(path.name.partition("_")[0] for path in (Path(__file__).parents[1] / "migrations" / "versions").glob("[0-9]*_*.py"))


def revision(reading: Reading) -> str | None:
    """The last migration that the database has seen."""
    row = reading.connection.execute("select version_num from public.alembic_version").fetchone()
    return str(row[0]) if row else None


def heartbeat_age_s(dagster_url: str) -> float | None:
    """Seconds since the youngest heartbeat of Dagster's daemon; none where it never ran, or its database does not answer."""
    try:
        with psycopg.connect(dagster_url, connect_timeout=5) as connection:
            row = connection.execute("select max(timestamp) from daemon_heartbeats").fetchone()
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return None
    if row is None or row[0] is None:
        return None
    at: datetime = row[0]
    return (datetime.now(UTC) - at.replace(tzinfo=UTC)).total_seconds()  # Dagster writes UTC without a zone
