"""All real-time tests of all casts at once: casts and rules in, flags out.

Add a line here for a new test, at the place that the manual's order of application gives it: later tests leave out what earlier ones found bad.
What a test does is in `positions`, `levels`, `previous` and `medd`, which version of it is applied in `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from water_pipelines.domain.argo import levels, positions, previous
from water_pipelines.domain.argo.casts import Casts, GreyList, Parameter
from water_pipelines.domain.argo.flags import BAD, GOOD, INTERPOLATED, MISSING, PROBABLY_BAD, PROBABLY_GOOD, CastFlags, ParameterFlags, RealTimeTest
from water_pipelines.domain.argo.rules import CURRENT, Rules
from water_pipelines.domain.series import BoolArray, FloatArray, Int64Array, TimeArray

_DEEP_TYPES = ("838", "849", "862", "864", "874")
"""WMO instrument types of floats that go below 2000 dbar: ARVOR-D, APEX-D, SOLO-D, NINJA-D, XUANWU."""
_DEEP = 2_000.0
_MEDIAN_PARAMETERS = ("NITRATE", "PH_IN_SITU_TOTAL")


@dataclass(frozen=True)
class Beside:
    """What the tests go by beside the casts themselves; a test that lacks what it needs is not performed.

    Parameters
    ----------
    now : datetime64[us], or datetime64[us][c]
        Later dates are impossible: when the files arrived, or when the tests are run.
    land : LandMask, optional
        For test 4.
    grey : GreyList, optional
        For test 15.
    profile_pressure : float64[c], optional
        CONFIG_ProfilePressure_dbar of the mission of each cast, for test 19; NaN where unknown.
    old_rbr : bool[c], optional
        Casts of floats with a CTD of RBR that was made before April 2021, for test 24.
    """

    now: np.datetime64 | TimeArray
    land: positions.LandMask | None = None
    grey: GreyList | None = None
    profile_pressure: FloatArray | None = None
    old_rbr: BoolArray | None = None

    def take(self, where: Int64Array) -> Beside:
        """The same for the casts at some positions."""
        now = self.now[where] if isinstance(self.now, np.ndarray) else self.now
        pressure = None if self.profile_pressure is None else self.profile_pressure[where]
        return replace(self, now=now, profile_pressure=pressure, old_rbr=None if self.old_rbr is None else self.old_rbr[where])


def flag_casts(casts: Casts, beside: Beside, rules: Rules = CURRENT) -> CastFlags:
    """Run all tests on the raw values, as they are run in real time.

    Parameters
    ----------
    casts : Casts
        All casts of the floats concerned, in any order: tests 5, 16 and 18 look at the casts before.
    beside : Beside
    rules : Rules
        Which version of each test.

    Notes
    -----
    A value's flag is the worst over its tests; what is missing is 9. Test 23 gives 2 to temperature, which is no failure of the cast but kept as one,
    as the data centres do. Positions that the data centre interpolated are 8 unless a test finds them worse.
    """
    run = _Run(casts, beside, rules)
    run.positions()
    run.listed()
    run.deepest()
    run.near_surface()
    run.ranges()
    run.pressures()
    run.neighbours()
    run.medd()
    run.rollovers()
    run.stuck()
    run.densities()
    run.previous()
    run.sensors()
    run.below_bad_pressure()
    return run.result()


class _Run:
    """The state of one run: flags so far, and the bits of failed and performed tests."""

    def __init__(self, casts: Casts, beside: Beside, rules: Rules) -> None:
        self.casts, self.beside, self.rules = casts, beside, rules
        self.cast = casts.cast_of_level
        self.names = list(casts.parameters)
        self.value: dict[str, FloatArray] = {name: each.raw.astype(np.float64) for name, each in casts.parameters.items()}
        self.present = {name: ~np.isnan(value) for name, value in self.value.items()}
        self.flag = {name: np.where(present, GOOD, MISSING).astype(np.uint8) for name, present in self.present.items()}
        self.failed = {name: np.zeros(casts.levels, np.int32) for name in self.names}
        self.performed = np.zeros(len(casts), np.int32)
        self.cast_failed = np.zeros(len(casts), np.int32)
        self.position_failed = np.zeros(len(casts), np.int32)
        self.juld_failed = np.zeros(len(casts), np.int32)
        self.is_near_surface = np.char.startswith(casts.vertical_sampling_scheme, "Near-surface sampling")
        named = casts.vertical_sampling_scheme != ""
        self.is_primary = np.where(named, np.char.startswith(casts.vertical_sampling_scheme, "Primary sampling"), casts.cast == 0)
        self.has = {name: _any_level(present, self.cast, len(casts)) for name, present in self.present.items()}

    def fail(self, test: RealTimeTest, name: str, mask: BoolArray, flag: int) -> None:
        """Levels of a parameter that failed a test, with the flag that it gives them."""
        where = np.flatnonzero(mask & self.present[name])
        if len(where):
            self.flag[name][where] = np.maximum(self.flag[name][where], flag)
            self.failed[name][where] |= test.bit
            self.cast_failed[self.cast[where]] |= test.bit

    def perform(self, test: RealTimeTest, chosen: BoolArray) -> None:
        """Casts for which a test could be run."""
        self.performed[chosen] |= test.bit

    def usable(self, *names: str) -> BoolArray:
        """Levels at which all of the parameters are present and none is bad so far."""
        usable = np.ones(self.casts.levels, np.bool_)
        for name in names:
            usable &= self.flag[name] <= PROBABLY_BAD
        return usable

    def positions(self) -> None:
        """Tests 1 to 5."""
        casts = self.casts
        known = ~np.isnan(casts.latitude) & ~np.isnan(casts.longitude)
        interpolated = casts.position_qc == INTERPOLATED
        self.perform(RealTimeTest.PLATFORM_IDENTIFICATION, np.ones(len(casts), np.bool_))
        self.cast_failed[positions.unknown_platform(casts.platform_number)] |= RealTimeTest.PLATFORM_IDENTIFICATION.bit
        self.perform(RealTimeTest.IMPOSSIBLE_DATE, ~np.isnat(casts.juld) | ~np.isnat(casts.juld_location))
        bad_date = positions.impossible_date(casts.juld, self.beside.now)
        self.juld = np.where(np.isnat(casts.juld), MISSING, np.where(bad_date, BAD, GOOD)).astype(np.uint8)
        self.juld_failed[bad_date] |= RealTimeTest.IMPOSSIBLE_DATE.bit
        self.position = np.where(known, np.where(interpolated, INTERPOLATED, GOOD), MISSING).astype(np.uint8)
        self._fail_position(RealTimeTest.IMPOSSIBLE_DATE, positions.impossible_date(casts.juld_location, self.beside.now) & known, BAD)
        self.perform(RealTimeTest.IMPOSSIBLE_LOCATION, known)
        impossible = positions.impossible_location(casts.latitude, casts.longitude)
        self._fail_position(RealTimeTest.IMPOSSIBLE_LOCATION, impossible, BAD)
        measured = known & ~interpolated & ~impossible
        if self.beside.land is not None:
            self.perform(RealTimeTest.POSITION_ON_LAND, measured)
            self._fail_position(RealTimeTest.POSITION_ON_LAND, measured & self.beside.land.is_land(casts.latitude, casts.longitude), BAD)
        date = np.where(np.isnat(casts.juld_location), casts.juld, casts.juld_location)
        dated = measured & ~np.isnat(date) & ~positions.impossible_date(date, self.beside.now)
        judged, suspect, bad = positions.impossible_speed(casts.platform_number, casts.cycle, date, casts.latitude, casts.longitude, dated)
        self.perform(RealTimeTest.IMPOSSIBLE_SPEED, judged)
        self._fail_position(RealTimeTest.IMPOSSIBLE_SPEED, suspect, PROBABLY_BAD)
        self._fail_position(RealTimeTest.IMPOSSIBLE_SPEED, bad, BAD)
        self.cast_failed |= self.juld_failed | self.position_failed

    def _fail_position(self, test: RealTimeTest, chosen: BoolArray, flag: int) -> None:
        worst = np.where(self.position[chosen] == INTERPOLATED, flag, np.maximum(self.position[chosen], flag))
        self.position[chosen] = worst.astype(np.uint8)
        self.position_failed[chosen] |= test.bit

    def listed(self) -> None:
        """Test 15."""
        grey = self.beside.grey
        if grey is None:
            return
        casts = self.casts
        self.perform(RealTimeTest.GREY_LIST, np.ones(len(casts), np.bool_))
        day = casts.juld.astype("datetime64[D]")
        for row in np.flatnonzero(np.isin(grey.platform_number, casts.platform_number)).tolist():
            name = str(grey.parameter[row])
            if name not in self.present or grey.flag[row] not in (PROBABLY_BAD, BAD):
                continue
            chosen = (casts.platform_number == grey.platform_number[row]) & (day >= grey.start[row])
            if not np.isnat(grey.end[row]):
                chosen &= day <= grey.end[row]
            self.fail(RealTimeTest.GREY_LIST, name, chosen[self.cast], int(grey.flag[row]))
        self._spread_bad_pressure()

    def deepest(self) -> None:
        """Test 19."""
        if self.beside.profile_pressure is None or "PRES" not in self.value:
            return
        limit = levels.deepest_good(self.beside.profile_pressure, self.rules.deepest_pressure)
        self.perform(RealTimeTest.DEEPEST_PRESSURE, ~np.isnan(limit) & self.has["PRES"])
        deep = self.value["PRES"] > limit[self.cast]
        for name in self.names:
            self.fail(RealTimeTest.DEEPEST_PRESSURE, name, deep, PROBABLY_BAD)

    def near_surface(self) -> None:
        """Tests 21 and 22, for casts whose vertical sampling scheme says that they were sampled near the surface."""
        casts = self.casts
        if not self.is_near_surface.any() or "PRES" not in self.value:
            return
        kinds = np.char.upper(casts.platform_type)
        is_apex = np.char.startswith(kinds, "APEX")
        pumped_until = is_apex | np.char.startswith(kinds, "NAVIS")
        unpumped = self.is_near_surface & ~is_apex
        if "PSAL" in self.value:
            self.perform(RealTimeTest.NEAR_SURFACE_SALINITY, unpumped & self.has["PSAL"])
            self.fail(RealTimeTest.NEAR_SURFACE_SALINITY, "PSAL", unpumped[self.cast], PROBABLY_BAD)
        argos = np.char.find(np.char.upper(casts.positioning_system), "ARGOS") >= 0
        least_step = np.where(pumped_until, np.where(is_apex & argos, 0.5, 0.0), np.nan)
        spot = np.char.find(casts.vertical_sampling_scheme, "discrete") >= 0
        test = RealTimeTest.NEAR_SURFACE_MIXED_AIR_WATER
        for temperature in [name for name in ("TEMP", "TEMP_DOXY", "TEMP_DOXY2") if name in self.value]:
            chosen = self.is_near_surface & self.has[temperature]
            self.perform(test, chosen)
            usable = self.present["PRES"] & self.present[temperature]
            mixed = levels.mixed_air_water(self.value["PRES"], usable, casts.first, chosen, least_step, np.where(spot, 0.5, 1.0))
            self.fail(test, temperature, mixed, PROBABLY_BAD)
            if temperature == "TEMP":
                breaking = mixed & pumped_until[self.cast]
                for name in {"PRES", "PSAL"} & set(self.names):
                    self.fail(test, name, breaking, PROBABLY_BAD)

    def ranges(self) -> None:
        """Tests 6 and 7."""
        test = RealTimeTest.GLOBAL_RANGE
        if "PRES" in self.value:
            self.perform(test, self.has["PRES"])
            bad, probably = levels.negative_pressure(self.value["PRES"])
            names = [name for name in ("PRES", "TEMP", "PSAL") if name in self.value] if self.rules.negative_pressure else ["PRES"]
            for name in names:
                self.fail(test, name, bad, BAD)
                if self.rules.negative_pressure:
                    self.fail(test, name, probably, PROBABLY_BAD)
        self._spread_bad_pressure()
        ranges = levels.GLOBAL_RANGE | ({"CHLA": levels.FIRST_CHLA_RANGE} if self.rules.first_chla else {})
        for name in ranges.keys() & set(self.names):
            self.perform(test, self.has[name])
            self.fail(test, name, levels.outside_range(self.value[name], *ranges[name]), BAD)
        casts = self.casts
        red = levels.in_boxes(casts.latitude, casts.longitude, levels.RED_SEA)
        mediterranean = levels.in_boxes(casts.latitude, casts.longitude, levels.MEDITERRANEAN)
        regions = (
            (red, {"TEMP": (self.rules.least_red_sea_temperature, 40.0), "PSAL": (2.0, 41.0)}),
            (mediterranean & ~red, {"TEMP": (10.0, 40.0), "PSAL": (2.0, 40.0)}),
        )
        for chosen, limits in regions:
            for name in limits.keys() & set(self.names):
                self.perform(RealTimeTest.REGIONAL_RANGE, chosen & self.has[name])
                outside = levels.outside_range(self.value[name], *limits[name])
                self.fail(RealTimeTest.REGIONAL_RANGE, name, outside & chosen[self.cast], BAD)

    def pressures(self) -> None:
        """Test 8."""
        if "PRES" not in self.value:
            return
        self.perform(RealTimeTest.PRESSURE_INCREASING, self.has["PRES"])
        failed = levels.not_increasing(
            self.value["PRES"], self.present["PRES"], self.casts.first, near_surface=self.is_near_surface, reversal=self.rules.reversal
        )
        self.fail(RealTimeTest.PRESSURE_INCREASING, "PRES", failed, BAD)
        self._spread_bad_pressure()

    def neighbours(self) -> None:
        """Tests 9 and 11."""
        if "PRES" not in self.value:
            return
        casts, pressure = self.casts, self.value["PRES"]
        for name in levels.SPIKE.keys() & set(self.names):
            shallow, deep = levels.SPIKE[name]
            self.perform(RealTimeTest.SPIKE, self.has[name] & self.has["PRES"])
            join = levels.joined(self.usable("PRES", name), self.cast)
            self.fail(RealTimeTest.SPIKE, name, levels.spikes(self.value[name], pressure, join, shallow=shallow, deep=deep), BAD)
        enclosed = levels.in_boxes(casts.latitude, casts.longitude, levels.RED_SEA + levels.MEDITERRANEAN)
        for name in [name for name in _MEDIAN_PARAMETERS if name in self.names]:
            limit = np.where(enclosed, 1.0, 5.0)[self.cast] if name == "NITRATE" else 0.04 * self.value[name]
            self.perform(RealTimeTest.SPIKE, self.has[name])
            self.fail(RealTimeTest.SPIKE, name, levels.far_from_median(self.value[name], self.usable(name), self.cast, limit), BAD)
        if self.rules.first_chla and "CHLA" in self.names:
            self.perform(RealTimeTest.SPIKE, self.has["CHLA"])
            self.fail(RealTimeTest.SPIKE, "CHLA", levels.far_below_median(self.value["CHLA"], self.usable("CHLA"), self.cast), BAD)
        gradients = levels.GRADIENT | (levels.GRADIENT_OF_CORE if self.rules.gradient_of_core else {})
        for name in gradients.keys() & set(self.names):
            shallow, deep = gradients[name]
            self.perform(RealTimeTest.GRADIENT, self.has[name] & self.has["PRES"])
            join = levels.joined(self.usable("PRES", name), self.cast)
            self.fail(RealTimeTest.GRADIENT, name, levels.gradients(self.value[name], pressure, join, shallow=shallow, deep=deep), BAD)

    def medd(self) -> None:
        """Test 25, for casts whose position is known."""
        if not self.rules.medd or not {"PRES", "TEMP"} <= set(self.names):
            return
        import gsw

        from water_pipelines.domain.argo.medd import median_outliers, temperature_outliers

        casts = self.casts
        placed = ~np.isnan(casts.latitude) & ~np.isnan(casts.longitude)
        possible = self.value["PRES"] <= previous.DEEPEST
        salty = self.has["PSAL"] if "PSAL" in self.names else np.zeros(len(casts), np.bool_)
        if salty.any():
            where = np.flatnonzero(possible & self.usable("PRES", "TEMP", "PSAL") & (placed & salty)[self.cast])
            pressure, temperature, salinity = (self.value[name][where] for name in ("PRES", "TEMP", "PSAL"))
            own = self.cast[where]
            absolute, conservative = levels.sea_water(pressure, temperature, salinity, casts.latitude[own], casts.longitude[own])
            warm, saline, judged = median_outliers(pressure, temperature, salinity, gsw.rho(absolute, conservative, 0.0), own)
            self._fail_at(RealTimeTest.MEDD, "TEMP", where[warm])
            self._fail_at(RealTimeTest.MEDD, "PSAL", where[saline])
            self.perform(RealTimeTest.MEDD, _any_level(judged, own, len(casts)))
        where = np.flatnonzero(possible & self.usable("PRES", "TEMP") & (placed & ~salty)[self.cast])
        own = self.cast[where]
        warm, judged = temperature_outliers(self.value["PRES"][where], self.value["TEMP"][where], own, casts.latitude[own])
        self._fail_at(RealTimeTest.MEDD, "TEMP", where[warm])
        self.perform(RealTimeTest.MEDD, _any_level(judged, own, len(casts)))

    def _fail_at(self, test: RealTimeTest, name: str, where: Int64Array) -> None:
        mask = np.zeros(self.casts.levels, np.bool_)
        mask[where] = True
        self.fail(test, name, mask, BAD)

    def rollovers(self) -> None:
        """Test 12."""
        for name in levels.ROLLOVER.keys() & set(self.names):
            self.perform(RealTimeTest.DIGIT_ROLLOVER, self.has[name])
            join = levels.joined(self.usable(name), self.cast)
            self.fail(RealTimeTest.DIGIT_ROLLOVER, name, levels.rollovers(self.value[name], join, levels.ROLLOVER[name]), BAD)

    def stuck(self) -> None:
        """Test 13."""
        judged = np.ones(len(self.casts), np.bool_) if self.rules.stuck_near_surface else ~self.is_near_surface
        for name in self.names:
            self.perform(RealTimeTest.STUCK_VALUE, self.has[name] & judged)
            chosen = levels.stuck(self.value[name], self.present[name], self.cast, len(self.casts)) & judged
            self.fail(RealTimeTest.STUCK_VALUE, name, chosen[self.cast], BAD)
        self._spread_bad_pressure()

    def densities(self) -> None:
        """Test 14."""
        if not {"PRES", "TEMP", "PSAL"} <= set(self.names):
            return
        casts = self.casts
        self.perform(RealTimeTest.DENSITY, self.has["PRES"] & self.has["TEMP"] & self.has["PSAL"] & ~self.is_near_surface)
        usable = self.usable("PRES", "TEMP", "PSAL") & ~self.is_near_surface[self.cast]
        failed = levels.inversions(
            self.value["PRES"],
            self.value["TEMP"],
            self.value["PSAL"],
            usable,
            self.cast,
            casts.latitude[self.cast],
            casts.longitude[self.cast],
        )
        self.fail(RealTimeTest.DENSITY, "TEMP", failed, BAD)
        self.fail(RealTimeTest.DENSITY, "PSAL", failed, BAD)

    def previous(self) -> None:
        """Tests 16 and 18, for primary casts: flags of the tests above decide what is good."""
        casts = self.casts
        if "PRES" not in self.value:
            return
        for name in [name for name in ("TEMP", "PSAL") if name in self.names]:
            good = (self.flag["PRES"] == GOOD) & (self.flag[name] == GOOD) & self.is_primary[self.cast]
            pressure, value = self.value["PRES"], self.value[name]
            mean = previous.deep_mean(value, pressure, good, self.cast, len(casts))
            other = previous.before(casts.platform_number, casts.direction, casts.cycle, ~np.isnan(mean))
            compared, drifted = previous.drifted(mean, np.where(self.is_primary, other, -1), previous.DRIFT[name])
            self.perform(RealTimeTest.GROSS_SENSOR_DRIFT, compared)
            profile = previous.binned(value, pressure, good, self.cast, len(casts))
            limits = (*previous.FROZEN[name][:2], self.rules.frozen_temperature) if name == "TEMP" else previous.FROZEN[name]
            other = previous.before(casts.platform_number, casts.direction, casts.cycle, np.logical_or.reduce(np.isfinite(profile), axis=1))
            matched, frozen = previous.frozen(profile, np.where(self.is_primary, other, -1), limits)
            self.perform(RealTimeTest.FROZEN_PROFILE, matched)
            self.fail(RealTimeTest.GROSS_SENSOR_DRIFT, name, drifted[self.cast], PROBABLY_BAD)
            self.fail(RealTimeTest.FROZEN_PROFILE, name, frozen[self.cast], BAD)

    def sensors(self) -> None:
        """Tests 24 and 23."""
        casts = self.casts
        if self.rules.rbr and self.beside.old_rbr is not None and "PSAL" in self.names:
            self.perform(RealTimeTest.RBR_CTD, self.beside.old_rbr & self.has["PSAL"])
            self.fail(RealTimeTest.RBR_CTD, "PSAL", self.beside.old_rbr[self.cast], PROBABLY_BAD)
        kinds = np.char.upper(casts.platform_type)
        is_deep = np.isin(casts.wmo_inst_type, _DEEP_TYPES) | np.char.endswith(kinds, "_D") | (np.char.find(kinds, "DEEP") >= 0)
        is_deep &= ~self.is_near_surface
        if "PRES" not in self.value or not is_deep.any():
            return
        self.perform(RealTimeTest.DEEP_FLOAT, is_deep & self.has["PRES"])
        below = (self.value["PRES"] > _DEEP) & is_deep[self.cast]
        for name in {"PRES", "TEMP"} & set(self.names):
            self.fail(RealTimeTest.DEEP_FLOAT, name, below, PROBABLY_GOOD)
        if "PSAL" in self.names:
            adjusted = self._is_adjusted(casts.parameters["PSAL"])
            self.fail(RealTimeTest.DEEP_FLOAT, "PSAL", below & ~adjusted, PROBABLY_BAD)
            self.fail(RealTimeTest.DEEP_FLOAT, "PSAL", below & adjusted, self.rules.deep_adjusted)

    def _is_adjusted(self, parameter: Parameter) -> BoolArray:
        return np.isin(parameter.mode, ("A", "D"))[self.cast]

    def below_bad_pressure(self) -> None:
        """What is measured at a pressure that a later test found bad."""
        self._spread_bad_pressure()

    def _spread_bad_pressure(self) -> None:
        if self.rules.bad_pressure and "PRES" in self.names:
            self.perform(RealTimeTest.BAD_PRESSURE, self.has["PRES"])
            bad = self.flag["PRES"] == BAD
            if bad.any():
                for name in self.names:
                    if name != "PRES":
                        self.fail(RealTimeTest.BAD_PRESSURE, name, bad, BAD)

    def result(self) -> CastFlags:
        """The flags as they stand."""
        return CastFlags(
            parameters={name: ParameterFlags(self.flag[name], self.failed[name]) for name in self.names},
            juld=self.juld,
            juld_failed=self.juld_failed,
            position=self.position,
            position_failed=self.position_failed,
            performed=self.performed,
            failed=self.cast_failed,
            rules=self.rules.name,
        )


def _any_level(mask: BoolArray, cast: Int64Array, casts: int) -> BoolArray:
    """bool[c]: whether the mask holds at any level of a cast."""
    found = np.zeros(casts, np.bool_)
    found[cast[mask]] = True
    return found
