"""Histories of demand for the tests of what learns: files dropped and loaded, and settled.

Keep out: assertions.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.loading import load_file
from water_pipelines.orchestration.operations.ticks import tick
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import SETTLED, compute_units, settle
from water_pipelines.storage import stale
from water_pipelines.storage.computed import Unlogged

START = np.datetime64("2026-01-05T00:00", "us")
"""A Monday."""

HOUR, DAY, WEEK = np.timedelta64(1, "h"), np.timedelta64(1, "D"), np.timedelta64(7, "D")


def demand(days: float, *, seed: int = 1, start: np.datetime64 = START) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Hourly flow: a day's shape, less on Sundays, and a deviation that fades within a day or so."""
    rng = np.random.default_rng(seed)
    time = start + np.arange(round(days * 24)) * HOUR
    hour, day = np.arange(len(time)) % 24, time.astype("datetime64[D]").astype(np.int64)
    deviation = np.zeros(len(time))
    for at in range(1, len(time)):
        deviation[at] = 0.97 * deviation[at - 1] + rng.normal(0, 0.6)
    value = 50 + 15 * np.sin((hour - 8) / 24 * 2 * np.pi) - 5 * ((day + 3) % 7 == 6) + deviation + rng.normal(0, 0.4, len(time))
    return time, np.round(value, 3)


def load(platform: Platform, name: str, station: str, time: NDArray[np.datetime64], value: NDArray[np.float64], property: str = "flow") -> None:
    """Drop a file of hourly values of a station, land and load it."""
    rows = "".join(f"{at}Z,{station},{property},m3/h,{each}\n" for at, each in zip(time.astype("datetime64[s]"), value, strict=True))
    platform.store.put(f"inbox/{name}", f"time,station,property,unit,value\n{rows}".encode())
    empty_inbox(platform)


def tick_at(platform: Platform, time: str) -> None:
    """Let the clock reach a time (UTC)."""
    file = tick(platform, datetime.fromisoformat(time).replace(tzinfo=UTC))
    load_file(platform, file.arrival)


def flagged(platform: Platform) -> None:
    """Flag what is not flagged, and nothing else."""
    with platform.database.connection() as connection:
        units = stale.units(connection, "core/observation_flag")
    compute_units(platform, "core/observation_flag", SETTLED["core/observation_flag"].units(units))


def settled(platform: Platform) -> dict[str, list[str]]:
    """Settle; gives the units by asset that were computed."""
    told: list[Unlogged] = []
    settle(platform, told.extend)
    units: dict[str, list[str]] = {}
    for each in told:
        units.setdefault(each.asset, []).append(each.unit)
    return units


def rows(platform: Platform, query: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    with platform.database.connection() as connection:
        return connection.execute(query).fetchall()


SCIENCE = {
    "anomalies": """
        select s.natural_id, a.day, a.kind, a.start_at, a.end_at, a.score, a.severity, a.expected_low, a.expected_high, a.observed, a.is_open, v.uuid
        from core.anomaly a join core.series s using (series_id) left join core.model_version v using (model_id) order by 1, 2, 3, 4
    """,
    "events": """
        select event_id, s.natural_id, e.kind, start_at, end_at, score, severity, status, segments
        from core.anomaly_event e join core.series s using (series_id) order by 1
    """,
    "models": """
        select v.uuid, v.kind, scope, cutoff_at, version, arrival, sha256, read, summary, array_agg(s.natural_id order by s.natural_id)
        from core.model_version v left join core.model_series using (model_id) left join core.series s using (series_id)
        group by v.model_id order by 1
    """,
    "forecasts": """
        select s.natural_id, f.model, f.issued_at, f.target_at, f.kind, v.uuid, q05, q10, q25, q50, q75, q90, q95
        from core.forecast f join core.series s using (series_id) left join core.model_version v using (model_id) order by 1, 2, 3, 4
    """,
    "scores": """
        select s.natural_id, model, issued_at, lead_bucket, n, mae, pinball, coverage_90, width_90, skill
        from core.forecast_score join core.series s using (series_id) order by 1, 2, 3, 4
    """,
    "champions": """
        select s.natural_id, c.kind, champion, v.uuid, from_at, reason from core.champion c
        join core.series s on s.series_id = c.scope_series_id left join core.model_version v using (model_id) order by 1, 5
    """,
}
"""What must be equal, by natural key, in a rebuilt database."""
