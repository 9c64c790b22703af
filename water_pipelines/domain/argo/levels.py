"""Real-time tests of values, over all levels of all casts at once: arrays in, masks of the levels that fail out.

Add a test here as one pure function that cites the manual's number, and a line in `run`. Tests of dates and positions are in `positions`, those that
look at the cast before in `previous`, test 25 in `medd`.

What holds for all: level i belongs to cast `cast[i]`, casts follow one another, and NaN is missing. `usable` are the levels that a test may look at;
where the manual compares neighbours, these are adjacent levels of one cast with nothing unusable between them, as the decoder of Coriolis does it.
Values are float64; limits are in the units of the archive: dbar, degC, PSS-78, micromol/kg.
"""

from __future__ import annotations

import numpy as np

from water_pipelines.domain.series import BoolArray, FloatArray, Int64Array

GLOBAL_RANGE = {
    "TEMP": (-2.5, 40.0),
    "TEMP_DOXY": (-2.5, 40.0),
    "TEMP_DOXY2": (-2.5, 40.0),
    "PSAL": (2.0, 41.0),
    "DOXY": (-5.0, 600.0),
    "DOXY2": (-5.0, 600.0),
    "CHLA": (-0.2, 100.0),
    "PH_IN_SITU_TOTAL": (7.3, 8.5),
    "NITRATE": (-2.0, 50.0),
    "DOWN_IRRADIANCE380": (-1.0, 1.7),
    "DOWN_IRRADIANCE412": (-1.0, 2.9),
    "DOWN_IRRADIANCE443": (-1.0, 3.2),
    "DOWN_IRRADIANCE490": (-1.0, 3.4),
    "DOWN_IRRADIANCE665": (-1.0, 2.8),
    "DOWNWELLING_PAR": (-1.0, 4672.0),
}
"""Test 6: what is outside is bad; PRES has a rule of its own."""

FIRST_CHLA_RANGE = (-0.1, 50.0)
"""That of CHLA, mg/m3, until its manual of 2023."""

RED_SEA = ((25, 30, 30, 35), (15, 30, 35, 40), (15, 20, 40, 45), (12.55, 15, 40, 43), (13, 15, 43, 43.5))
MEDITERRANEAN = ((30, 40, -5, 40), (40, 45, 0, 25), (45, 50, 10, 15), (40, 41, 25, 30), (35.2, 36.6, -5.4, -5))
"""Test 7, boxes: south, north, west, east."""

SPIKE = {
    "TEMP": (6.0, 2.0),
    "TEMP_DOXY": (6.0, 2.0),
    "TEMP_DOXY2": (6.0, 2.0),
    "PSAL": (0.9, 0.3),
    "DOXY": (50.0, 25.0),
    "DOXY2": (50.0, 25.0),
}
"""Test 9: largest good spike above 500 dbar, and from there on."""

GRADIENT = {"DOXY": (50.0, 25.0), "DOXY2": (50.0, 25.0)}
GRADIENT_OF_CORE = {"TEMP": (9.0, 3.0), "PSAL": (1.5, 0.5)}
"""Test 11, likewise."""

ROLLOVER = {"TEMP": 10.0, "TEMP_DOXY": 10.0, "TEMP_DOXY2": 10.0, "PSAL": 5.0}
"""Test 12: largest good step between adjacent levels."""

INVERSION = 0.03
"""Test 14, kg/m3."""


def joined(usable: BoolArray, cast: Int64Array) -> BoolArray:
    """bool[n]: whether the level after this one is usable too and of the same cast, and this one is usable; False for the last level.

    >>> joined(np.array([True, True, False, True, True]), np.array([0, 0, 0, 0, 1])).tolist()
    [True, False, False, False, False]
    """
    both = np.zeros(len(usable), np.bool_)
    if len(usable) > 1:
        both[:-1] = usable[:-1] & usable[1:] & (cast[:-1] == cast[1:])
    return both


def in_boxes(latitude: FloatArray, longitude: FloatArray, boxes: tuple[tuple[float, ...], ...]) -> BoolArray:
    """bool[c]: whether a position is within one of the boxes, edges included; never where it is missing."""
    inside = np.zeros(len(latitude), np.bool_)
    for south, north, west, east in boxes:
        inside |= (latitude >= south) & (latitude <= north) & (longitude >= west) & (longitude <= east)
    return inside


def negative_pressure(pressure: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Test 6 for PRES: levels that are bad (under -5 dbar), and those that are probably bad (from there to -2.4)."""
    bad = pressure < -5.0
    return bad, (pressure <= -2.4) & ~bad


def outside_range(value: FloatArray, least: float, greatest: float) -> BoolArray:
    """Test 6 for other parameters, and test 7 within its regions; the limits themselves are good."""
    return (value < least) | (value > greatest)


def not_increasing(pressure: FloatArray, usable: BoolArray, first: Int64Array, *, near_surface: BoolArray, reversal: float) -> BoolArray:
    """Test 8: levels whose pressure falls back, seen from the middle of the cast outward.

    Parameters
    ----------
    pressure, usable : [n]
    first : int64[c + 1]
        Levels of each cast.
    near_surface : bool[c]
        These casts are followed from their deepest level up.
    reversal : float
        A level is bad that lies at least so much on the wrong side of the last good one on the way. Before 2024 it was 0: a constant pressure is
        bad, too. Since 2024 (manual 3.6) it is 20 dbar.
    """
    failed = np.zeros(len(pressure), np.bool_)
    where = np.flatnonzero(usable)
    cast = np.repeat(np.arange(len(first) - 1), np.diff(first))[where]
    values = pressure[where]
    suspects = np.unique(cast[:-1][(values[:-1] - values[1:] >= reversal) & (cast[:-1] == cast[1:])]) if len(where) else np.empty(0, np.int64)
    begins, ends = np.searchsorted(cast, suspects), np.searchsorted(cast, suspects, side="right")
    for number, begin, end in zip(suspects.tolist(), begins.tolist(), ends.tolist(), strict=True):
        own = values[begin:end]
        start = len(own) - 1 if near_surface[number] else len(own) // 2 - 1
        up, down = where[begin : begin + start + 1][::-1], where[begin + start : end]
        failed[up] |= _falls_back(-own[: start + 1][::-1], reversal)
        failed[down] |= _falls_back(own[start:], reversal)
    return failed


def _falls_back(way: FloatArray, reversal: float) -> BoolArray:
    """Which values lie at least `reversal` below the last one that did not, on the way from the first."""
    failed = np.zeros(len(way), np.bool_)
    if reversal == 0:
        failed[1:] = way[1:] <= np.maximum.accumulate(way)[:-1]
        return failed
    good = way[0]
    for place, value in enumerate(way.tolist()):
        if place and value <= good - reversal:
            failed[place] = True
        else:
            good = value
    return failed


def spikes(value: FloatArray, pressure: FloatArray, join: BoolArray, *, shallow: float, deep: float) -> BoolArray:
    """Test 9: |V2 - (V3 + V1)/2| - |(V3 - V1)/2| above the limit, which is another one from 500 dbar on.

    >>> spikes(np.array([10.0, 17.0, 10.0]), np.array([1.0, 2.0, 3.0]), np.array([True, True, False]), shallow=6, deep=2).tolist()
    [False, True, False]
    """
    return _middle(value, pressure, join, shallow, deep, spike=True)


def gradients(value: FloatArray, pressure: FloatArray, join: BoolArray, *, shallow: float, deep: float) -> BoolArray:
    """Test 11: |V2 - (V3 + V1)/2| above the limit; dropped for TEMP and PSAL in manual 3.3 (2020)."""
    return _middle(value, pressure, join, shallow, deep, spike=False)


def _middle(value: FloatArray, pressure: FloatArray, join: BoolArray, shallow: float, deep: float, *, spike: bool) -> BoolArray:
    failed = np.zeros(len(value), np.bool_)
    if len(value) > 2:
        before, middle, after = value[:-2], value[1:-1], value[2:]
        size = np.abs(middle - (after + before) / 2)
        if spike:
            size -= np.abs((after - before) / 2)
        failed[1:-1] = join[:-2] & join[1:-1] & (size > np.where(pressure[1:-1] < 500, shallow, deep))
    return failed


def far_from_median(value: FloatArray, usable: BoolArray, cast: Int64Array, limit: FloatArray) -> BoolArray:
    """Test 9 for NITRATE and PH_IN_SITU_TOTAL: further than the limit from the median of five adjacent levels.

    Parameters
    ----------
    limit : float64[n]
        For NITRATE 5, in the Mediterranean and the Red Sea 1; for pH 4 % of the value.
    """
    failed = np.zeros(len(value), np.bool_)
    where, difference = _from_median(value, usable, cast)
    failed[where] = np.abs(difference) > limit[where]
    return failed


def far_below_median(value: FloatArray, usable: BoolArray, cast: Int64Array) -> BoolArray:
    """Test 9 for CHLA until 2023: below the median of five adjacent levels by more than twice the tenth percentile of these differences.

    The percentile is that of the levels with nothing unusable between them. Spikes upwards are good: particles make them. Bio-Argo quality control
    manual for chlorophyll-A, 1.0 (2014), https://doi.org/10.13155/35385.
    """
    failed = np.zeros(len(value), np.bool_)
    where, difference = _from_median(value, usable, cast)
    if len(where):
        run = np.cumsum(np.diff(where, prepend=where[0]) > 1)
        counts = np.bincount(run)
        tenth = np.cumsum(counts) - counts + np.ceil(counts * 0.1).astype(np.int64) - 1
        failed[where] = difference < 2 * difference[np.lexsort((difference, run))][tenth][run]
    return failed


def _from_median(value: FloatArray, usable: BoolArray, cast: Int64Array) -> tuple[Int64Array, FloatArray]:
    """Places of the levels with two usable neighbours on both sides, and how far each lies from the median of the five."""
    if len(value) < 5:
        return np.empty(0, np.int64), np.empty(0)
    whole = np.lib.stride_tricks.sliding_window_view(usable, 5).all(1) & (cast[:-4] == cast[4:])
    where = np.flatnonzero(whole) + 2
    return where, value[where] - np.median(np.lib.stride_tricks.sliding_window_view(value, 5)[whole], axis=1)


def rollovers(value: FloatArray, join: BoolArray, limit: float) -> BoolArray:
    """Test 12: both levels of a step above the limit."""
    failed = np.zeros(len(value), np.bool_)
    step = join[:-1] & (np.abs(np.diff(value)) > limit)
    failed[:-1] |= step
    failed[1:] |= step
    return failed


def stuck(value: FloatArray, usable: BoolArray, cast: Int64Array, casts: int) -> BoolArray:
    """bool[c], test 13: all values of a cast are the same, and there are at least two."""
    failed = np.zeros(casts, np.bool_)
    where = np.flatnonzero(usable)
    if len(where):
        own, values = cast[where], value[where]
        starts = np.flatnonzero(np.diff(own, prepend=-1))
        counts = np.diff(np.append(starts, len(own)))
        failed[own[starts]] = (np.minimum.reduceat(values, starts) == np.maximum.reduceat(values, starts)) & (counts > 1)
    return failed


def inversions(
    pressure: FloatArray,
    temperature: FloatArray,
    salinity: FloatArray,
    usable: BoolArray,
    cast: Int64Array,
    latitude: FloatArray,
    longitude: FloatArray,
) -> BoolArray:
    """Test 14: both levels of a pair whose density, referenced to the pressure between them, falls by 0.03 kg/m3 or more downward.

    Parameters
    ----------
    usable : bool[n]
        Levels where all three are present and none is bad; those between are left out of the comparison.
    latitude, longitude : float64[n]
        Of the cast, for absolute salinity; where missing, the composition of standard sea water is taken.
    """
    failed = np.zeros(len(pressure), np.bool_)
    where = np.flatnonzero(usable)
    if len(where) < 2:
        return failed
    absolute, conservative = sea_water(pressure[where], temperature[where], salinity[where], latitude[where], longitude[where])
    import gsw

    between = (pressure[where][:-1] + pressure[where][1:]) / 2
    upper, lower = gsw.rho(absolute[:-1], conservative[:-1], between), gsw.rho(absolute[1:], conservative[1:], between)
    pair = (cast[where][:-1] == cast[where][1:]) & (upper - lower >= INVERSION)
    failed[where[:-1][pair]] = True
    failed[where[1:][pair]] = True
    return failed


def sea_water(
    pressure: FloatArray, temperature: FloatArray, salinity: FloatArray, latitude: FloatArray, longitude: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Absolute salinity in g/kg and conservative temperature in degC by TEOS-10, by `gsw`, which knows no negative pressures."""
    import gsw

    deep = np.clip(pressure, 0.0, 11_000.0)
    placed = np.isfinite(latitude) & np.isfinite(longitude) & (np.abs(latitude) <= 90)
    standard = gsw.SR_from_SP(salinity)
    absolute = np.where(placed, gsw.SA_from_SP(salinity, deep, np.where(placed, longitude, 0.0), np.where(placed, latitude, 0.0)), standard)
    absolute = np.where(np.isfinite(absolute), absolute, standard)
    return absolute, gsw.CT_from_t(absolute, temperature, deep)


def deepest_good(configured: FloatArray, rule: str) -> FloatArray:
    """float64[c], test 19: the greatest good pressure for a configured profile pressure; NaN where that is unknown.

    Parameters
    ----------
    rule : str
        ``hundred`` (manual 3.6): 100 dbar more from 1000 dbar on, else a share that falls linearly from 150 % at 10 dbar to 10 % at 1000. ``linear``
        (2019): that share, and 10 % from 1000 dbar on. ``tenth``: 10 % everywhere.

    Examples
    --------
    >>> deepest_good(np.array([2000.0, 1000.0, 10.0]), "hundred").tolist()
    [2100.0, 1100.0, 25.0]
    """
    tenth = configured * 1.1
    if rule == "tenth":
        return tenth
    share = 150 + (10 - 150) * (configured - 10) / (1000 - 10)
    return np.where(configured >= 1000, configured + 100 if rule == "hundred" else tenth, configured * (1 + share / 100))


def mixed_air_water(
    pressure: FloatArray, usable: BoolArray, first: Int64Array, chosen: BoolArray, least_step: FloatArray, limit: FloatArray
) -> BoolArray:
    """Test 22: levels of near-surface casts that were measured at the surface, partly in air.

    Parameters
    ----------
    chosen : bool[c]
        Near-surface casts.
    least_step : float64[c]
        APEX and NAVIS floats pump until they break the surface: going up from 5 dbar, the first level that is less than so much above the one
        below it, and all above, are flagged. NaN for other floats.
    limit : float64[c]
        For those: levels at this pressure or less are flagged, 0.5 dbar for spot samples and 1 for averaged ones.
    """
    failed = np.zeros(len(pressure), np.bool_)
    for number in np.flatnonzero(chosen).tolist():
        own = np.arange(first[number], first[number + 1])
        own = own[usable[own]]
        if np.isnan(least_step[number]):
            failed[own[pressure[own] <= limit[number]]] = True
            continue
        top = own[pressure[own] < 5]
        steps = np.diff(pressure[top])
        still = np.flatnonzero(steps <= 0 if least_step[number] == 0 else steps < least_step[number])
        if len(still):
            failed[top[: still[-1] + 1]] = True
    return failed
