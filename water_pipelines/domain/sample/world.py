"""The sample world put together: the water, what the sensors made of it, and what arrived in which order.

Add here what belongs to all signals or all files alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from water_pipelines.domain.sample.faults import Injected, faulty, leaking
from water_pipelines.domain.sample.files import SampleFile, render
from water_pipelines.domain.sample.places import MEASURED, RULES, STATIONS, SampleSeries, SampleStation
from water_pipelines.domain.sample.signals import signals
from water_pipelines.domain.series import FloatArray, Observations, TimeArray

__all__ = ["Injected", "SampleFile", "SampleSeries", "SampleStation", "World", "make_world"]


@dataclass(frozen=True)
class World:
    """A river and a water network with everything that is known about them.

    Parameters
    ----------
    stations : tuple of SampleStation
    series : tuple of SampleSeries
        `number` is the series number in all observations here.
    clean : Observations
        What happened, the leak included, as a perfect sensor of the same resolution would report it.
    first : Observations
        What the first deliveries say: with faults of sensors, with holes, and with values that are corrected later.
    delivered : Observations
        What holds after all files: holes filled, corrections applied, faults of sensors still in it.
    truth : tuple of Injected
        All that was done to it.
    rules_yaml : str
        Quality rules for its stations, to lie over the default rules.
    """

    stations: tuple[SampleStation, ...]
    series: tuple[SampleSeries, ...]
    clean: Observations
    first: Observations
    delivered: Observations
    truth: tuple[Injected, ...]
    rules_yaml: str

    def files(self) -> list[SampleFile]:
        """The deliveries in their order: stations, first files, late files, corrections."""
        return render(self.stations, self.series, self.first, self.delivered, self.truth)


def make_world(end: np.datetime64, *, seed: int = 20, days: int = 365, interval_minutes: int = 15) -> World:
    """Make the world that ends now.

    Parameters
    ----------
    end : datetime64
        UTC; the last value lies at or before it, on the grid of the interval.
    seed : int
        The same seed and end give the same world, byte by byte.
    days : int
        At least 10. The faults need room: a world of less than about 100 days has only some of them.
    interval_minutes : int

    Raises
    ------
    ValueError
        If `days` is below 10 or the interval does not divide an hour.

    Examples
    --------
    >>> world = make_world(np.datetime64("2026-03-01T10:07"), days=20)
    >>> len(world.series), str(world.clean.time[-1])
    (20, '2026-03-01T10:00:00.000000')
    """
    if days < 10 or interval_minutes <= 0 or 60 % interval_minutes:
        raise ValueError(f"a sample world needs at least 10 days and an interval that divides an hour, not {days} days at {interval_minutes} minutes")
    rng = np.random.default_rng(seed)
    step = np.timedelta64(interval_minutes * 60_000_000, "us")
    rows = days * 1440 // interval_minutes
    last = np.datetime64(int(end.astype("datetime64[us]").astype(np.int64) // step.astype(np.int64) * step.astype(np.int64)), "us")
    time = last - step * np.arange(rows - 1, -1, -1)

    series = tuple(SampleSeries(number, *measured, interval=step) for number, measured in enumerate(MEASURED))
    water = signals(time, rng)
    truth = leaking(time, water)
    water = {one.natural_id: np.round(water[one.natural_id], one.decimals) for one in series}
    reported, faults = faulty(time, water, truth, rng)
    reported = {one.natural_id: np.round(reported[one.natural_id], one.decimals) for one in series}
    truth += faults
    first, changes = _first_deliveries(time, reported, truth, {one.natural_id: one.decimals for one in series}, rng)
    return World(
        STATIONS,
        series,
        clean=_observations(time, series, water),
        first=_observations(time, series, first),
        delivered=_observations(time, series, reported),
        truth=tuple(sorted([*truth, *changes], key=lambda one: (one.start, one.series))),
        rules_yaml=RULES,
    )


_LATE = (("ALDER_LOWER/water_level", 60), ("ALDER_LOWER/discharge", 60), ("RAIN_TOWN/rainfall", 31), ("LOGGER_NORTH/pressure", 20))
_CORRECTED = (("ALDER_UPPER/discharge", 6 * 24, 1.35), ("DMA_NORTH/flow", 3 * 24, 0.62))


def _first_deliveries(
    time: TimeArray, reported: dict[str, FloatArray], truth: list[Injected], decimals: dict[str, int], rng: np.random.Generator
) -> tuple[dict[str, FloatArray], list[Injected]]:
    """The values before late and corrected files: holes that are filled later, and values by a wrong factor."""
    first = {name: value.copy() for name, value in reported.items()}
    changes: list[Injected] = []
    step = time[1] - time[0]
    wanted = [("late", name, hours, np.nan) for name, hours in _LATE] + [("corrected", *correction) for correction in _CORRECTED]
    for kind, name, hours, factor in wanted:
        rows = int(np.timedelta64(hours, "h") // step)
        for begin in rng.integers(len(time) // 4, max(len(time) - rows - 1, len(time) // 4 + 1), 40).tolist():
            end = min(begin + rows, len(time)) - 1
            change = Injected(kind, name, time[begin], time[end], factor)
            if all(change.start > other.end or change.end < other.start for other in (*truth, *changes) if other.series == name):
                first[name][begin : end + 1] = np.round(first[name][begin : end + 1] * factor, decimals[name])
                changes.append(change)
                break
    return first, changes


def _observations(time: TimeArray, series: tuple[SampleSeries, ...], values: dict[str, FloatArray]) -> Observations:
    """All series, without the times at which nothing was reported."""
    value = np.concatenate([values[one.natural_id] for one in series]) + 0.0  # no negative zeros
    everything = Observations(np.repeat(np.array([one.number for one in series], np.int32), len(time)), np.tile(time, len(series)), value)
    return everything.take(np.isfinite(value))
