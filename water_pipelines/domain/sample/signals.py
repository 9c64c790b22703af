"""How the water behaves: rain, a river that carries it downstream, and people who draw water by the clock.

Every function takes the UTC times of a regular grid and a random generator and answers one value a time, in the unit of its series. What
goes wrong with the sensors is in `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from water_pipelines.domain.sample.places import DISTRICTS, GAUGES, ZONE
from water_pipelines.domain.series import BoolArray, FloatArray, TimeArray
from water_pipelines.domain.zones import utc_offset

HOUR = np.timedelta64(1, "h")
HOLIDAYS = {(1, 1), (5, 1), (10, 3), (12, 25), (12, 26)}  # month, day


@dataclass(frozen=True)
class District:
    """Mean inflow in L/s, its weekday and weekend shapes over 24 local hours, static pressure in bar, and the loss at mean inflow."""

    inflow: float
    weekday: tuple[float, ...]
    weekend: tuple[float, ...]
    pressure: float
    loss: float


_HOME = (0.42, 0.36, 0.33, 0.32, 0.36, 0.62, 1.15, 1.55, 1.45, 1.2, 1.1, 1.1, 1.15, 1.1, 1.0, 1.0, 1.1, 1.3, 1.5, 1.5, 1.3, 1.1, 0.85, 0.58)
_LATE = (0.5, 0.42, 0.36, 0.33, 0.33, 0.38, 0.55, 0.85, 1.25, 1.55, 1.6, 1.5, 1.4, 1.25, 1.1, 1.05, 1.1, 1.25, 1.4, 1.4, 1.25, 1.1, 0.9, 0.68)
_WORK = (0.4, 0.36, 0.34, 0.35, 0.45, 0.8, 1.2, 1.45, 1.55, 1.55, 1.5, 1.45, 1.4, 1.45, 1.4, 1.3, 1.2, 1.1, 1.05, 1.0, 0.9, 0.75, 0.6, 0.48)
_IDLE = (0.4, 0.36, 0.33, 0.32, 0.34, 0.4, 0.52, 0.7, 0.85, 0.95, 1.0, 1.0, 0.95, 0.9, 0.85, 0.8, 0.82, 0.9, 0.95, 0.95, 0.85, 0.75, 0.62, 0.5)
TOWN = {
    "NORTH": District(28.0, _HOME, _LATE, 5.2, 0.35),
    "EAST": District(18.0, _HOME, _LATE, 4.6, 0.30),
    "SOUTH": District(45.0, _WORK, _IDLE, 5.6, 0.45),
}


def signals(time: TimeArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    """The undisturbed values of all series by natural id.

    Parameters
    ----------
    time : datetime64[us][n]
        Regular, UTC.
    rng : numpy.random.Generator
    """
    step_h = float((time[1] - time[0]) / HOUR)
    town_rain, hill_rain = _rain(len(time), step_h, rng)
    air = _air_temperature(time, step_h, town_rain, rng)
    values = {
        "RAIN_TOWN/rainfall": _tipped(town_rain),
        "RAIN_HILL/rainfall": _tipped(hill_rain),
        "RAIN_TOWN/air_temperature": air + rng.normal(0, 0.1, len(time)),
    }
    values |= _river(hill_rain, town_rain, air, step_h, rng)
    values |= _network(time, step_h, air, town_rain, rng)
    return values


def _rain(n: int, step_h: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Rain in mm a step in the town and, a little earlier and more of it, on the hill: storms of hours, a few days apart."""
    town, hill = np.zeros(n), np.zeros(n)
    hours = 0.0
    while (hours := hours + rng.exponential(70.0)) < n * step_h:
        length = int(np.ceil(rng.gamma(2.0, 3.0) / step_h)) + 1
        begin = int(hours / step_h)
        storm = np.sin(np.linspace(0, np.pi, length + 2)[1:-1]) * rng.gamma(1.2, 1.0, length)
        storm *= rng.gamma(1.1, 9.0) / storm.sum()
        for rain, shift, share in ((hill, 0, 1.3), (town, round(0.5 / step_h), 1.0)):
            fallen = storm * rng.gamma(8.0, share / 8.0, length)
            at = np.arange(begin + shift, begin + shift + length)
            np.add.at(rain, at[at < n], fallen[at < n])
    return town, hill


def _tipped(rain: FloatArray) -> FloatArray:
    """What a tipping bucket of 0.2 mm counts."""
    tips: FloatArray = np.diff(np.floor(np.cumsum(rain) / 0.2), prepend=0.0)
    return tips * 0.2


def _air_temperature(time: TimeArray, step_h: float, rain: FloatArray, rng: np.random.Generator) -> FloatArray:
    year, hour = _share_of_year(time), _local_hour(time)
    warmth = -np.cos(2 * np.pi * (year - 0.055))  # coldest on 20 January
    daily = (3.5 + 1.8 * warmth) * np.cos(2 * np.pi * (hour - 15) / 24)
    spells: FloatArray = autoregressive(len(time), 60 / step_h, 2.8, rng)
    cooled = 6 * np.minimum(reservoir(rain, 6 / step_h) / step_h, 0.4)
    temperature: FloatArray = 9.5 + 9.0 * warmth + daily + spells - cooled
    return temperature


def _river(hill: FloatArray, town: FloatArray, air: FloatArray, step_h: float, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Three gauges: rain runs off faster on wet ground, the wave grows, flattens and comes later downstream."""
    wetness = reservoir(hill, 24 * 12 / step_h, start=float(hill.mean())) / max(float(hill.mean()), 1e-9)
    runoff = hill / step_h * np.clip(0.18 + 0.14 * wetness, 0.1, 0.7)
    quick = reservoir(reservoir(runoff, 4 / step_h), 7 / step_h)
    base = 1.6 + 2.4 * reservoir(runoff, 24 * 25 / step_h, start=float(runoff.mean())) / max(float(runoff.mean()), 1e-9)
    flow = base + 16 * quick
    values = {}
    side = reservoir(reservoir(town / step_h * 0.25, 3 / step_h), 6 / step_h)
    for gauge, travel_h, growth, width in zip(GAUGES, (0.0, 4.0, 6.0), (1.0, 1.5, 1.4), (6.0, 8.5, 11.0), strict=True):
        lag = round(travel_h / step_h)
        flow = growth * np.concatenate((np.full(lag, flow[0]), flow[: len(flow) - lag]))
        flow = reservoir(flow, travel_h / 2 / step_h, start=float(flow[0])) + (8 * side if lag else 0)
        values[f"{gauge}/discharge"] = flow * (1 + rng.normal(0, 0.006, len(flow)) + autoregressive(len(flow), 12 / step_h, 0.006, rng))
        values[f"{gauge}/water_level"] = 0.25 + (flow / width) ** 0.6 * 0.62 + rng.normal(0, 0.0025, len(flow))
        warmth = reservoir(air, (30 + 8 * travel_h) / step_h, start=float(air[: round(240 / step_h)].mean()))
        mixed = 0.82 * warmth + 0.10 * air + 1.2
        values[f"{gauge}/water_temperature"] = np.logaddexp(mixed * 4, 0) / 4 + rng.normal(0, 0.03, len(flow))  # never below freezing
    diluted = 520 - 62 * np.log(flow / np.median(flow))
    values["ALDER_LOWER/conductivity"] = diluted + autoregressive(len(flow), 40 / step_h, 9, rng) + rng.normal(0, 0.8, len(flow))
    return values


def _network(time: TimeArray, step_h: float, air: FloatArray, rain: FloatArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    n = len(time)
    hour, idle = _local_hour(time), _is_day_off(time)
    day_warmth = reservoir(air, 24 / step_h, start=float(air[0]))
    wet = np.minimum(reservoir(rain, 12 / step_h) / step_h, 0.5)
    weather = 1 + 0.018 * np.maximum(day_warmth - 17, 0) - 0.08 * wet * (day_warmth > 12)
    season = 1 + 0.03 * np.cos(2 * np.pi * (_share_of_year(time) - 0.55))
    values = {}
    works = np.zeros(n)
    for district in DISTRICTS:
        town = TOWN[district]
        shape = np.where(idle, _over_the_day(hour, town.weekend), _over_the_day(hour, town.weekday))
        habits = 1 + autoregressive(n, 72 / step_h, 0.02, rng) + autoregressive(n, 2 / step_h, 0.035, rng)
        flow = town.inflow * shape * season * weather * habits
        works += flow
        values[f"DMA_{district}/flow"] = flow * (1 + rng.normal(0, 0.012, n))
        pressure = town.pressure - town.loss * (flow / town.inflow) ** 1.85 + autoregressive(n, 8 / step_h, 0.025, rng)
        values[f"LOGGER_{district}/pressure"] = pressure + rng.normal(0, 0.012, n)
    values["WORKS/flow"] = works * 1.03 * (1 + rng.normal(0, 0.006, n))  # 3 % feeds the hospital and is metered nowhere else
    return values


def _share_of_year(time: TimeArray) -> FloatArray:
    share: FloatArray = (time - time.astype("datetime64[Y]")) / np.timedelta64(36525 * 864, "s")
    return share


def _local_hour(time: TimeArray) -> FloatArray:
    seconds = time.astype("datetime64[s]").astype(np.int64) + utc_offset(time, ZONE)
    return seconds % 86400 / 3600.0


def _is_day_off(time: TimeArray) -> BoolArray:
    seconds = time.astype("datetime64[s]").astype(np.int64) + utc_offset(time, ZONE)
    days, day_of_row = np.unique(seconds // 86400, return_inverse=True)
    calendar = [day.item() for day in days.astype("datetime64[D]")]
    off = np.array([day.weekday() >= 5 or (day.month, day.day) in HOLIDAYS for day in calendar])
    return off[day_of_row]


def _over_the_day(hour: FloatArray, shape: tuple[float, ...]) -> FloatArray:
    """The 24 hourly factors, each in the middle of its hour, joined by lines."""
    return np.interp(hour, np.arange(25) + 0.5, (*shape, shape[0]), left=(shape[0] + shape[-1]) / 2)


def autoregressive(n: int, memory: float, deviation: float, rng: np.random.Generator) -> FloatArray:
    """Noise that remembers itself for about `memory` steps (AR(1)), with this standard deviation."""
    keep = float(np.exp(-1 / memory))
    shocks = rng.normal(0, deviation * np.sqrt(1 - keep**2), n)
    shocks[0] = rng.normal(0, deviation)
    return np.array(list(accumulate(shocks.tolist(), lambda level, shock: keep * level + shock)))


def reservoir(inflow: FloatArray, memory: float, start: float = 0.0) -> FloatArray:
    """Outflow of a linear reservoir that empties with a time constant of `memory` steps; as much flows out as in."""
    if memory <= 0:
        return inflow
    keep = float(np.exp(-1 / memory))
    outflow: FloatArray = np.array(list(accumulate(((1 - keep) * inflow).tolist(), lambda level, flow: keep * level + flow, initial=start)))
    return outflow[1:]
