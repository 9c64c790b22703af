"""What goes wrong in the sample world: sensors that spike, stick, drift, shift, leave the range and fall silent, and a pipe that leaks.

Add a kind as a line of `PLAN` and a case of `_disturbed`. Where a fault begins is drawn from the seed, so that nothing can be tuned to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from water_pipelines.domain.series import FloatArray, TimeArray


@dataclass(frozen=True)
class Injected:
    """Something done to the world.

    Parameters
    ----------
    kind : str
        spike, stuck, drift, shift, out_of_range, dropout, leak; late and corrected for what files did.
    series : str
        Natural id.
    start, end : datetime64[us]
        First and last time touched, both included.
    magnitude : float
        In the unit of the series: the height of a spike or shift, a drift or leak at its end, the value of a sensor that left its range
        or sticks; for a corrected file the factor that was wrong. NaN for a dropout and a late file.
    """

    kind: str
    series: str
    start: np.datetime64
    end: np.datetime64
    magnitude: float


@dataclass(frozen=True)
class Planned:
    """A fault to come: how many hours it lasts (0 is a single value), and its size."""

    kind: str
    series: str
    hours: float
    size: float


PLAN = (
    Planned("spike", "ALDER_UPPER/water_level", 0, 2.6),
    Planned("spike", "ALDER_MIDDLE/water_level", 0, -1.4),
    Planned("spike", "ALDER_LOWER/discharge", 0, 140.0),
    Planned("spike", "ALDER_MIDDLE/water_temperature", 0, 11.0),
    Planned("spike", "ALDER_LOWER/conductivity", 0, -330.0),
    Planned("spike", "DMA_NORTH/flow", 0, 75.0),
    Planned("spike", "DMA_SOUTH/flow", 0, 120.0),
    Planned("spike", "LOGGER_NORTH/pressure", 0, 3.2),
    Planned("stuck", "ALDER_LOWER/water_level", 60, 0.0),
    Planned("stuck", "ALDER_UPPER/water_temperature", 48, 0.0),
    Planned("stuck", "DMA_SOUTH/flow", 30, 0.0),
    Planned("drift", "ALDER_LOWER/water_temperature", 14 * 24, 7.0),
    Planned("shift", "LOGGER_SOUTH/pressure", 5 * 24, -1.1),
    Planned("shift", "ALDER_MIDDLE/water_level", 4 * 24, 1.6),
    Planned("out_of_range", "ALDER_UPPER/water_temperature", 1, 85.0),
    Planned("out_of_range", "LOGGER_NORTH/pressure", 2, 65.5),
    Planned("out_of_range", "RAIN_TOWN/rainfall", 0, 204.6),
    Planned("dropout", "ALDER_UPPER/discharge", 40, np.nan),
    Planned("dropout", "ALDER_UPPER/water_level", 40, np.nan),
    Planned("dropout", "RAIN_HILL/rainfall", 18, np.nan),
    Planned("dropout", "DMA_NORTH/flow", 9, np.nan),
    Planned("dropout", "LOGGER_EAST/pressure", 26, np.nan),
)

LEAK_FLOW, LEAK_PRESSURE = "DMA_EAST/flow", "LOGGER_EAST/pressure"
_LEAK_BEFORE_END = np.timedelta64(12, "D")
_LEAK_GROWS = np.timedelta64(5, "D")
_LEAK_SIZE = 4.0  # L/s, on a night flow of about 6
_LEAK_DROP = 0.28  # bar
_APART = np.timedelta64(4, "D")


def leaking(time: TimeArray, values: dict[str, FloatArray]) -> list[Injected]:
    """Open a leak in District East, twelve days (or a third of a shorter world) before the end: it grows for five days and is there to stay.

    `values` are changed in place: inflow of the district and of the works up, pressure down. It is water, and no fault of a sensor.
    """
    span = time[-1] - time[0]
    start = time[np.searchsorted(time, time[-1] - min(_LEAK_BEFORE_END, span // 3))]
    grown = np.clip((time - start) / min(_LEAK_GROWS, span // 6), 0, 1)
    values[LEAK_FLOW] = values[LEAK_FLOW] + _LEAK_SIZE * grown
    values["WORKS/flow"] = values["WORKS/flow"] + _LEAK_SIZE * grown
    values[LEAK_PRESSURE] = values[LEAK_PRESSURE] - _LEAK_DROP * grown
    return [Injected("leak", LEAK_FLOW, start, time[-1], _LEAK_SIZE), Injected("leak", LEAK_PRESSURE, start, time[-1], -_LEAK_DROP)]


def faulty(
    time: TimeArray, values: dict[str, FloatArray], taken: Iterable[Injected], rng: np.random.Generator
) -> tuple[dict[str, FloatArray], list[Injected]]:
    """The values as the sensors report them, and the faults. NaN where nothing was reported.

    Parameters
    ----------
    time : datetime64[us][n]
    values : mapping of natural id to float64[n]
        Left as they are.
    taken : iterable of Injected
        Stretches to keep away from. Faults of a series lie days apart; one that finds no room in a short world is left out.
    rng : numpy.random.Generator
    """
    reported = {name: value.copy() for name, value in values.items()}
    faults: list[Injected] = []
    step = time[1] - time[0]
    for planned in PLAN:
        lasts = np.timedelta64(round(planned.hours * 3_600_000_000), "us")
        rows = int(lasts // step) + 1
        # the first third is left clean for whoever learns from it
        candidates = rng.integers(len(time) // 3, max(len(time) - rows - 8, len(time) // 3 + 1), 40)
        for first in candidates.tolist():
            last = first + rows - 1
            if last >= len(time):
                continue
            fault = Injected(planned.kind, planned.series, time[first], time[last], planned.size)
            if all(
                fault.start > other.end + _APART or fault.end < other.start - _APART for other in (*taken, *faults) if other.series == fault.series
            ):
                where = slice(first, last + 1)
                disturbed = _disturbed(planned, reported[planned.series][where])
                reported[planned.series][where] = disturbed
                faults.append(fault if planned.kind != "stuck" else Injected("stuck", fault.series, fault.start, fault.end, float(disturbed[0])))
                break
    return reported, faults


def _disturbed(planned: Planned, value: FloatArray) -> FloatArray:
    match planned.kind:
        case "spike" | "shift":
            return value + planned.size
        case "drift":
            return value + planned.size * np.linspace(0, 1, len(value))
        case "stuck":
            return np.full(len(value), value[0])
        case "out_of_range" | "dropout":
            return np.full(len(value), planned.size)
        case _:
            raise ValueError(f"no such kind of fault: {planned.kind}")
