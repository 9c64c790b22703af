"""The tests of values as a loop over casts and levels, as one would write them from the manual: the oracle of the vectorised ones, and their rival.

What is here is deliberately plain. It knows the rules of today, and the tests 6 to 9, 11 to 14, 16, 18 and 25 for PRES, TEMP, PSAL and DOXY.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from itertools import pairwise

import gsw
import numpy as np

from water_pipelines.domain.argo import levels
from water_pipelines.domain.argo.casts import Casts
from water_pipelines.domain.argo.flags import RealTimeTest

NAN = float("nan")
STEEP = {"TEMP": (5.0, 3.5, 0.5, 0.15, 0.05, 0.0004), "PSAL": (1.0, 1.0, 0.08, 0.02, 0.004, 0.0002), "DENS": (1.5, 0.07, 0.07, 0.005, 0.005, 0.0004)}
TURNING = {
    "TEMP": (0.08, 0.08, 0.03, 0.01, 0.003, 0.0004),
    "PSAL": (0.01, 0.01, 0.005, 0.0001, 0.0002, 0.0002),
    "DENS": (0.006, 0.006, 0.001, 0.0004, 0.0004, 0.0004),
}
SPAN = {"TEMP": (4.0, 10.0), "PSAL": (1.0, 5.0), "DENS": (1.0, 6.0)}
DISTANCE = {"TEMP": (0.15, 0.15, 0.1, 0.1), "PSAL": (0.08, 0.08, 0.07, 0.07), "DENS": (0.08, 0.08, 0.04, 0.04)}
DEPTHS = (60, 150, 500, 1000, 2100)


@dataclass
class Cast:
    """One cast: values by parameter, and what was found so far."""

    platform: str
    cycle: int
    direction: str
    primary: bool
    near_surface: bool
    latitude: float
    longitude: float
    value: dict[str, list[float]]
    flag: dict[str, list[int]] = field(default_factory=dict)
    failed: dict[str, list[int]] = field(default_factory=dict)

    def fail(self, test: RealTimeTest, name: str, level: int, flag: int) -> None:
        if name in self.value and not math.isnan(self.value[name][level]):
            self.flag[name][level] = max(self.flag[name][level], flag)
            self.failed[name][level] |= test.bit

    def good(self, name: str, level: int) -> bool:
        return self.flag[name][level] < 4


def flag_by_hand(casts: Casts) -> list[Cast]:
    """All casts, flagged one by one, level by level."""
    done: list[Cast] = []
    for number in range(len(casts)):
        own = slice(int(casts.first[number]), int(casts.first[number + 1]))
        scheme = str(casts.vertical_sampling_scheme[number])
        cast = Cast(
            str(casts.platform_number[number]),
            int(casts.cycle[number]),
            str(casts.direction[number]),
            scheme.startswith("Primary sampling") if scheme else casts.cast[number] == 0,
            scheme.startswith("Near-surface sampling"),
            float(casts.latitude[number]),
            float(casts.longitude[number]),
            {name: each.raw[own].astype(float).tolist() for name, each in casts.parameters.items() if each.mode[number]},
        )
        for name, values in cast.value.items():
            cast.flag[name] = [9 if math.isnan(value) else 1 for value in values]
            cast.failed[name] = [0] * len(values)
        ranges(cast)
        pressures(cast)
        bad_pressure(cast)
        neighbours(cast)
        medd(cast)
        rollovers(cast)
        stuck(cast)
        bad_pressure(cast)
        densities(cast)
        done.append(cast)
    by_float: dict[tuple[str, str], list[Cast]] = {}
    for cast in done:
        if cast.primary:
            by_float.setdefault((cast.platform, cast.direction), []).append(cast)
    for group in by_float.values():
        previous(sorted(group, key=lambda cast: cast.cycle))
    return done


def ranges(cast: Cast) -> None:
    test = RealTimeTest.GLOBAL_RANGE
    for level, pressure in enumerate(cast.value.get("PRES", [])):
        for name in ("PRES", "TEMP", "PSAL"):
            if pressure < -5:
                cast.fail(test, name, level, 4)
            elif pressure <= -2.4:
                cast.fail(test, name, level, 3)
    bad_pressure(cast)
    red = any(south <= cast.latitude <= north and west <= cast.longitude <= east for south, north, west, east in levels.RED_SEA)
    inner = any(south <= cast.latitude <= north and west <= cast.longitude <= east for south, north, west, east in levels.MEDITERRANEAN)
    for name, values in cast.value.items():
        limits = [(test, levels.GLOBAL_RANGE[name])] if name in levels.GLOBAL_RANGE else []
        if name in ("TEMP", "PSAL") and (red or inner):
            regional = {"TEMP": (21.0, 40.0), "PSAL": (2.0, 41.0)} if red else {"TEMP": (10.0, 40.0), "PSAL": (2.0, 40.0)}
            limits.append((RealTimeTest.REGIONAL_RANGE, regional[name]))
        for level, value in enumerate(values):
            for which, (least, greatest) in limits:
                if value < least or value > greatest:
                    cast.fail(which, name, level, 4)


def pressures(cast: Cast) -> None:
    present = [level for level, value in enumerate(cast.value.get("PRES", [])) if not math.isnan(value)]
    if len(present) < 2:
        return
    pressure = cast.value["PRES"]
    start = len(present) - 1 if cast.near_surface else len(present) // 2 - 1
    good = pressure[present[start]]
    for place in range(start - 1, -1, -1):
        if pressure[present[place]] >= good + 20:
            cast.fail(RealTimeTest.PRESSURE_INCREASING, "PRES", present[place], 4)
        else:
            good = pressure[present[place]]
    good = pressure[present[start]]
    for place in range(start + 1, len(present)):
        if pressure[present[place]] <= good - 20:
            cast.fail(RealTimeTest.PRESSURE_INCREASING, "PRES", present[place], 4)
        else:
            good = pressure[present[place]]


def bad_pressure(cast: Cast) -> None:
    for level, flag in enumerate(cast.flag.get("PRES", [])):
        if flag == 4:
            for name in cast.value:
                if name != "PRES":
                    cast.fail(RealTimeTest.BAD_PRESSURE, name, level, 4)


def neighbours(cast: Cast) -> None:
    pressure = cast.value.get("PRES", [])
    for test, limits in ((RealTimeTest.SPIKE, levels.SPIKE), (RealTimeTest.GRADIENT, levels.GRADIENT)):
        for name, (shallow, deep) in limits.items():
            values = cast.value.get(name, [])
            found = []
            for level in range(1, len(values) - 1):
                if all(cast.good("PRES", each) and cast.good(name, each) for each in (level - 1, level, level + 1)):
                    before, middle, after = values[level - 1 : level + 2]
                    size = abs(middle - (after + before) / 2)
                    if test == RealTimeTest.SPIKE:
                        size -= abs((after - before) / 2)
                    if size > (shallow if pressure[level] < 500 else deep):
                        found.append(level)
            for level in found:
                cast.fail(test, name, level, 4)


def rollovers(cast: Cast) -> None:
    for name, limit in levels.ROLLOVER.items():
        values = cast.value.get(name, [])
        found = []
        for level in range(len(values) - 1):
            if cast.good(name, level) and cast.good(name, level + 1) and abs(values[level + 1] - values[level]) > limit:
                found += [level, level + 1]
        for level in found:
            cast.fail(RealTimeTest.DIGIT_ROLLOVER, name, level, 4)


def stuck(cast: Cast) -> None:
    for name, values in cast.value.items():
        present = [value for value in values if not math.isnan(value)]
        if len(present) > 1 and len(set(present)) == 1 and not cast.near_surface:
            for level in range(len(values)):
                cast.fail(RealTimeTest.STUCK_VALUE, name, level, 4)


def densities(cast: Cast) -> None:
    if not {"PRES", "TEMP", "PSAL"} <= set(cast.value) or cast.near_surface:
        return
    usable = [level for level in range(len(cast.value["PRES"])) if all(cast.good(name, level) for name in ("PRES", "TEMP", "PSAL"))]
    found = []
    for upper, lower in pairwise(usable):
        between = (cast.value["PRES"][upper] + cast.value["PRES"][lower]) / 2
        if density(cast, upper, between) - density(cast, lower, between) >= 0.03:
            found += [upper, lower]
    for level in found:
        cast.fail(RealTimeTest.DENSITY, "TEMP", level, 4)
        cast.fail(RealTimeTest.DENSITY, "PSAL", level, 4)


def density(cast: Cast, level: int, reference: float) -> float:
    pressure = max(cast.value["PRES"][level], 0.0)
    salinity = cast.value["PSAL"][level]
    placed = not math.isnan(cast.latitude) and not math.isnan(cast.longitude)
    absolute = gsw.SA_from_SP(salinity, pressure, cast.longitude, cast.latitude) if placed else NAN
    if math.isnan(absolute):
        absolute = gsw.SR_from_SP(salinity)
    return float(gsw.rho(absolute, gsw.CT_from_t(absolute, cast.value["TEMP"][level], pressure), reference))


def medd(cast: Cast) -> None:
    if not {"PRES", "TEMP", "PSAL"} <= set(cast.value) or math.isnan(cast.latitude) or math.isnan(cast.longitude):
        return
    usable = [level for level in range(len(cast.value["PRES"])) if all(cast.good(name, level) for name in ("PRES", "TEMP", "PSAL"))]
    if len(usable) < 6:
        return
    usable.sort(key=lambda level: cast.value["PRES"][level])
    depth = [cast.value["PRES"][level] for level in usable]
    series = {name: [cast.value[name][level] for level in usable] for name in ("TEMP", "PSAL")}
    series["DENS"] = [density(cast, level, 0.0) for level in usable]
    outside = {name: far_from_line(name, values, depth) for name, values in series.items()}
    for place, level in enumerate(usable):
        for name in ("TEMP", "PSAL"):
            if outside[name][place] and outside["DENS"][place]:
                cast.fail(RealTimeTest.MEDD, name, level, 4)


def layer(depth: float, limits: tuple[float, ...]) -> float:
    return limits[sum(depth >= each for each in DEPTHS)]


def far_from_line(name: str, values: list[float], depth: list[float]) -> list[bool]:
    """Which values lie further from the line through the medians than the distance of their depth."""
    n = len(values)
    gradient = [0.0] * n
    for i in range(1, n):
        change, step = values[i] - values[i - 1], depth[i] - depth[i - 1]
        if not (abs(change) < 0.01 and abs(step) < 5):
            gradient[i] = change / step if step else math.copysign(math.inf, change)
    gradient[0] = gradient[1]
    out = [False] * n
    for i in range(1, n - 1):
        turning = abs(gradient[i]) > layer(depth[i], TURNING[name]) and abs(gradient[i + 1]) > layer(depth[i + 1], TURNING[name])
        out[i] = turning and gradient[i] * gradient[i + 1] < 0
    out[0] = out[1]
    for i in range(n):
        out[i] |= (name == "DENS" and gradient[i] < -0.001) or (name == "TEMP" and gradient[i] > 0.5)
        out[i] |= abs(gradient[i]) > layer(depth[i], STEEP[name])
    line = medians(name, values, depth, gradient, out)
    least, greatest = SPAN[name]
    span = min(max(max(line) - min(line), least), greatest)
    found = []
    for i in range(n):
        reach = DISTANCE[name][sum(depth[i] >= each for each in (500, 1000, 1500))] * span
        lower, upper = math.inf, -math.inf
        for x, y in points(line, [each * span / 700 for each in depth], reach):
            rest = reach**2 - (depth[i] * span / 700 - y) ** 2
            if rest >= 0:
                lower, upper = min(lower, x - math.sqrt(rest)), max(upper, x + math.sqrt(rest))
        found.append(values[i] > upper or values[i] < lower)
    return found


def points(line: list[float], height: list[float], reach: float) -> list[tuple[float, float]]:
    """The line, and points between where two of it are far from one another."""
    found = list(zip(line, height, strict=True))
    for i in range(len(line) - 1):
        width, rise = line[i + 1] - line[i], height[i + 1] - height[i]
        more = math.floor(math.hypot(width, rise) / reach - 0.2)
        found += [(line[i] + width * k / (more + 1), height[i] + rise * k / (more + 1)) for k in range(1, more + 1)]
    return found


def medians(name: str, values: list[float], depth: list[float], gradient: list[float], out: list[bool]) -> list[float]:
    """The line: a median over the levels around, as many above as below, that were not left out."""
    n, line, onto = len(values), list(values), [False] * len(values)
    for i in range(n):
        half = math.ceil(float(np.interp(depth[i], (150, 500, 1000, 1500), (110, 180, 400, 500))) / 2) + 1
        around = [j for j in range(n) if abs(depth[j] - depth[i]) < half and not out[j]]
        above, level = [j for j in around if depth[j] < depth[i]], [j for j in around if depth[j] == depth[i]]
        below = [j for j in around if depth[j] > depth[i]]
        fewest = min(len(above), len(below))
        if fewest:
            above, below = above[-fewest:], below[:fewest]
        window = above + level + below
        if not window:
            continue
        if len(window) % 2 == 0:
            window = [window[0], *window]
        line[i] = statistics.median(values[j] for j in window)
        if out[i]:
            continue
        warming = name == "TEMP" and gradient[i] > 0.1
        if i > 0 and not out[i - 1] and len(below) <= 1:
            onto[i] = True
        if i < n - 1 and not out[i + 1] and (not above or (len(above) == 1 and len(below) == 1)) and not warming:
            onto[i] = True
        if depth[i] >= 1950:
            anchors = [j for j in range(n) if depth[j] < 1950]
            far = False
            if anchors:
                slope = (values[i] - values[anchors[-1]]) / (depth[i] - depth[anchors[-1]])
                far = abs(slope) > layer(depth[i], STEEP[name])
            if far:
                line[i] = line[anchors[-1]]
            onto[i] = not far
    for i in range(n):
        if onto[i]:
            line[i] = values[i]
    first = next((i for i in range(n) if not out[i]), 0)
    last, finished = first, list(line)
    for i in range(n):
        if out[i]:
            finished[i] = line[last]
        else:
            last = i
    return finished


def previous(group: list[Cast]) -> None:
    """Tests 16 and 18 over the primary casts of a float and direction, in the order of their cycles."""
    for name, drift, limits in (("TEMP", 1.0, (0.001, 0.3, 0.02)), ("PSAL", 0.5, (0.001, 0.3, 0.004))):
        means, profiles, cycles = [], [], []
        for cast in group:
            good = [level for level in range(len(cast.value.get(name, []))) if cast.flag["PRES"][level] == 1 and cast.flag[name][level] == 1]
            pressure, values = cast.value.get("PRES", []), cast.value.get(name, [])
            deepest = max((pressure[level] for level in good), default=NAN)
            deep = [values[level] for level in good if pressure[level] >= deepest - 100]
            means.append(sum(deep) / len(deep) if deep else NAN)
            bins: dict[int, list[float]] = {}
            for level in good:
                number = max(math.ceil(pressure[level] / 50) - 1, 0)
                if number < deepest // 50:
                    bins.setdefault(number, []).append(values[level])
            profiles.append({number: sum(each) / len(each) for number, each in bins.items()})
            cycles.append(cast.cycle)
        for place, cast in enumerate(group):
            mean = last_before(cycles, [not math.isnan(each) for each in means], place)
            if mean >= 0 and abs(means[place] - means[mean]) > drift:
                fail_all(cast, RealTimeTest.GROSS_SENSOR_DRIFT, name, 3)
            other = last_before(cycles, [bool(each) for each in profiles], place)
            both = profiles[place].keys() & profiles[other].keys() if other >= 0 else set()
            differences = [abs(profiles[place][number] - profiles[other][number]) for number in both]
            if differences:
                found = (min(differences), max(differences), sum(differences) / len(differences))
                if all(each < limit for each, limit in zip(found, limits, strict=True)):
                    fail_all(cast, RealTimeTest.FROZEN_PROFILE, name, 4)


def last_before(cycles: list[int], has: list[bool], place: int) -> int:
    return max(
        (other for other in range(len(cycles)) if cycles[other] < cycles[place] and has[other]), key=lambda other: (cycles[other], other), default=-1
    )


def fail_all(cast: Cast, test: RealTimeTest, name: str, flag: int) -> None:
    for level in range(len(cast.value[name])):
        cast.fail(test, name, level, flag)
