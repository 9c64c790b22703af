"""Bring a database to the present schema: migrations (the same everywhere) and yearly partitions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config

from water_pipelines.storage.partitions import make_partitions

_ONE_AT_A_TIME = 5_601_001
_YEARS_AHEAD = 2


def migrate(url: str, *, first_day: date = date(1950, 1, 1)) -> None:
    """Apply what is missing; safe to call again and from several processes at once.

    Parameters
    ----------
    url : str
        A libpq URL (`postgresql://...`) of an existing database.
    first_day : date
        The first day for which observations are accepted; the first yearly partition is its year's.
    """
    with psycopg.connect(url, options="-c timezone=UTC", autocommit=True) as guard:
        guard.execute("select pg_advisory_lock(%s)", (_ONE_AT_A_TIME,))
        engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        with guard.transaction():
            make_partitions(guard, first_day.year, datetime.now(UTC).year + _YEARS_AHEAD)
