"""Builders for the tests of live sources: servers that a platform follows, and what it holds of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import yaml

from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.pulling import Pulled, pull, servers_of
from water_pipelines.orchestration.resources import Platform

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
"""When pulls happen, unless a test says otherwise."""


def follow(platform: Platform, *servers: dict[str, Any], folder: str = "") -> None:
    """Drop a servers file and load it."""
    text = yaml.safe_dump({"servers": list(servers)})
    platform.store.put("/".join(filter(None, ("inbox", folder, "sensorthings.yaml"))), text.encode())
    assert empty_inbox(platform) == 1


def pulled(platform: Platform, name: str = "agency", at: datetime = NOW) -> Pulled:
    """Pull a server that must answer."""
    done = pull(platform, servers_of(platform)[name], now=lambda: at, patience_s=30)
    assert done is not None
    assert done.error is None, done.error
    return done


def values(platform: Platform, series: str) -> list[tuple[str, float]]:
    """What the store holds of a series: (time, value) in the order of time."""
    query = "select o.time, o.value from core.observation as o join core.series as s using (series_id) where s.natural_id = %s order by 1"
    with platform.database.connection() as connection:
        found = connection.execute(query, (series,)).fetchall()
    return [(time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip("."), value) for time, value in found]


def series_of(platform: Platform) -> list[str]:
    """The natural ids of all series."""
    with platform.database.connection() as connection:
        return [row[0] for row in connection.execute("select natural_id from core.series order by 1")]


def landed(platform: Platform) -> int:
    """How many pages have landed."""
    with platform.database.connection() as connection:
        row = connection.execute("select count(*) from raw.sensorthings_page").fetchone()
    assert row is not None
    return int(row[0])
