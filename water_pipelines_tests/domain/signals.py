"""Small made-up series for the tests of bands, anomalies and forecasts: a demand with a daily and weekly rhythm and some noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from water_pipelines.domain.series import FloatArray, Observations, TimeArray

MONDAY = np.datetime64("2024-01-01T00:00", "us")


def times(days: float, step_minutes: int = 15, start: np.datetime64 = MONDAY) -> TimeArray:
    """A regular UTC grid from a Monday on."""
    return start + np.arange(round(days * 1440 / step_minutes)) * np.timedelta64(step_minutes * 60_000_000, "us")


def demand(time: TimeArray, rng: np.random.Generator, *, level: float = 20.0, noise: float = 0.4) -> FloatArray:
    """`level` units on average, 6 more by day than by night, 2 less on Saturday and Sunday."""
    hour = (time - time.astype("datetime64[D]")) / np.timedelta64(1, "h")
    weekend = (time.astype("datetime64[D]").astype(np.int64) + 3) % 7 >= 5
    values: FloatArray = level - 3 * np.cos(2 * np.pi * (hour - 4) / 24) - 2 * weekend + rng.normal(0, noise, len(time))
    return values


def observations(time: TimeArray, values: Sequence[FloatArray]) -> Observations:
    """Series 1, 2, ... on one grid; NaN stays."""
    series = np.repeat(np.arange(1, len(values) + 1, dtype=np.int32), len(time))
    return Observations(series, np.tile(time, len(values)), np.concatenate(values))
