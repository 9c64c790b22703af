"""Real-time tests of casts: each finds what it should, no more, in the version of its manual, and all at once is what one by one is."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from water_pipelines.domain.argo.casts import NO_QC, Casts, FloatMeta, GreyList, Parameter, RecordedTests, Sensor, concatenate
from water_pipelines.domain.argo.flags import RealTimeTest, names_of
from water_pipelines.domain.argo.levels import not_increasing
from water_pipelines.domain.argo.positions import LandMask
from water_pipelines.domain.argo.records import failed_then
from water_pipelines.domain.argo.rules import CURRENT, ERAS, named, rules_at
from water_pipelines.domain.argo.run import Beside, flag_casts
from water_pipelines.domain.argo.sensors import has_old_rbr
from water_pipelines.parsers.argo import read_argo
from water_pipelines_tests.domain.argo.by_hand import flag_by_hand
from water_pipelines_tests.shared_data import shared

NAN = float("nan")
NOW = np.datetime64("2025-06-01", "us")
BESIDE = Beside(NOW)
ORACLE = (6, 7, 8, 9, 11, 12, 13, 14, 16, 18, 25, 0)


def a_cast(values: dict[str, list[float]], **said: Any) -> Casts:
    """One cast in the North Atlantic in 2020, unless it is said otherwise."""
    n = max(len(each) for each in values.values())
    qc = np.full(n, NO_QC, np.uint8)
    missing = np.full(n, NAN, np.float32)
    mode = np.array([said.pop("mode", "R")])
    parameters = {name: Parameter("", np.array(each, np.float32), qc, missing, qc, missing, mode) for name, each in values.items()}
    texts = {"platform_number": "6900001", "direction": "A", "data_mode": "R", "data_centre": "IF", "kind": "core"}
    texts |= {"vertical_sampling_scheme": "Primary sampling: discrete []", "project_name": "", "pi_name": "", "platform_type": "ARVOR"}
    texts |= {"wmo_inst_type": "844", "float_serial_no": "", "positioning_system": "GPS"}
    numbers: dict[str, Any] = {"cycle": 1, "cast": 0, "config_mission_number": 1}
    columns: dict[str, Any] = {name: np.array([said.pop(name, text)]) for name, text in texts.items()}
    columns |= {name: np.array([said.pop(name, number)], np.int32) for name, number in numbers.items()}
    columns |= {name: np.array([said.pop(name, 1)], np.uint8) for name in ("juld_qc", "position_qc")}
    columns |= {name: np.array([said.pop(name, place)], np.float64) for name, place in (("latitude", 45.0), ("longitude", -30.0))}
    at = said.pop("at", "2020-01-01T12:00")
    columns |= {name: np.array([at], "datetime64[us]") for name in ("juld", "juld_location", "updated_at")}
    assert not said, said
    return Casts(**columns, first=np.array([0, n]), parameters=parameters, profile_qc={}, tests=RecordedTests.none(1))


def flags_of(values: dict[str, list[float]], name: str, *, rules: Any = CURRENT, **said: Any) -> list[int]:
    found: list[int] = flag_casts(a_cast(values, **said), BESIDE, rules).parameters[name].flag.tolist()
    return found


SMOOTH = {"PRES": [5.0, 10.0, 20.0, 30.0, 40.0], "TEMP": [15.0, 14.9, 14.8, 14.7, 14.6], "PSAL": [35.0, 35.01, 35.02, 35.03, 35.04]}


def test_a_good_cast_is_good() -> None:
    """Every value 1, nothing failed, and the tests that could be run are named."""
    flags = flag_casts(a_cast(SMOOTH), BESIDE)
    assert all(each.flag.tolist() == [1] * 5 for each in flags.parameters.values())
    assert (int(flags.failed[0]), int(flags.juld[0]), int(flags.position[0])) == (0, 1, 1)
    performed = names_of(int(flags.performed[0]))
    assert {"global_range", "pressure_increasing", "spike", "digit_rollover", "stuck_value", "density"} <= set(performed)
    assert not {"position_on_land", "grey_list", "deepest_pressure", "frozen_profile", "medd"} & set(performed)


def test_global_range_of_pressure_takes_the_others_with_it() -> None:
    """Under -5 dbar 4, to -2.4 dbar 3, since manual 3.3; before, pressure alone."""
    values = {"PRES": [-6.0, -3.0, -2.0], "TEMP": [10.0, 10.0, 10.1], "PSAL": [35.0, 35.0, 35.1]}
    assert flags_of(values, "PRES") == [4, 3, 1]
    assert flags_of(values, "TEMP") == [4, 3, 1]
    old = rules_at(np.datetime64("2015-01-01"))
    assert flags_of(values, "PRES", rules=old) == [4, 1, 1]
    assert flags_of(values, "TEMP", rules=old) == [1, 1, 1]


def test_the_limits_themselves_are_good() -> None:
    assert flags_of({"PRES": [1.0, 2.0, 3.0], "PSAL": [2.0, 41.0, 41.1]}, "PSAL") == [4, 4, 4]  # and a rollover
    assert flags_of({"PRES": [1.0, 200.0, 300.0], "DOXY": [-5.0, -5.5, 10.0]}, "DOXY") == [1, 4, 1]


@pytest.mark.parametrize(
    ("latitude", "longitude", "day", "flag"),
    [(20.0, 38.0, "2025-01-01", 1), (20.0, 38.0, "2018-01-01", 4), (36.0, 18.0, "2025-01-01", 1), (0.0, 0.0, "2025-01-01", 1)],
)
def test_regional_ranges(latitude: float, longitude: float, day: str, flag: int) -> None:
    """21.3 degC is cold for the Red Sea by the rule before manual 3.2 only; it is nothing elsewhere."""
    values = {"PRES": [1.0, 2.0], "TEMP": [21.3, 21.4]}
    found = flags_of(values, "TEMP", latitude=latitude, longitude=longitude, rules=rules_at(np.datetime64(day)))
    assert found == [flag, flag]


def test_pressure_increasing_before_and_after_2024() -> None:
    """A fall of 15 dbar is bad by the old rule only, and so is a pressure that stands still; what is measured there is bad by the new rule."""
    values = {"PRES": [10.0, 20.0, 30.0, 40.0, 50.0, 35.0, 60.0, 60.0, 30.0], "TEMP": [10.0, 9.9, 9.8, 9.7, 9.6, 9.5, 9.4, 9.3, 9.2]}
    old, new = rules_at(np.datetime64("2023-12-31")), rules_at(np.datetime64("2024-02-01"))
    assert flags_of(values, "PRES", rules=old) == [1, 1, 1, 1, 1, 4, 1, 4, 4]
    assert flags_of(values, "TEMP", rules=old) == [1] * 9
    assert flags_of(values, "PRES", rules=new) == [1, 1, 1, 1, 1, 1, 1, 1, 4]
    assert flags_of(values, "TEMP", rules=new)[-1] == 4


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60) | st.none(), max_size=12), min_size=1, max_size=4), st.sampled_from([0.0, 5.0, 20.0]), st.booleans())
def test_pressures_are_followed_from_the_middle(casts: list[list[int | None]], reversal: float, near: bool) -> None:
    """Whatever the pressures: the same levels as a walk from the middle outward finds."""
    pressure = np.array([NAN if each is None else float(each) for cast in casts for each in cast])
    first = np.concatenate(([0], np.cumsum([len(cast) for cast in casts])))
    near_surface = np.full(len(casts), near)
    found = not_increasing(pressure, ~np.isnan(pressure), first, near_surface=near_surface, reversal=reversal)
    expected = np.zeros(len(pressure), bool)
    for begin, end in pairwise(first.tolist()):
        present = [level for level in range(begin, end) if not np.isnan(pressure[level])]
        if len(present) < 2:
            continue
        start = len(present) - 1 if near else len(present) // 2 - 1
        for step, stop in ((-1, -1), (1, len(present))):
            good = pressure[present[start]]
            for place in range(start + step, stop, step):
                value = pressure[present[place]]
                if (value - good) * step <= -reversal:
                    expected[present[place]] = True
                else:
                    good = value
    assert found.tolist() == expected.tolist()


def test_a_spike_needs_both_neighbours_and_knows_its_depth() -> None:
    """7 degC at 20 dbar is a spike, and 3 degC at 600 dbar; a level that is missing or bad between breaks the comparison."""
    assert flags_of({"PRES": [10.0, 20.0, 30.0], "TEMP": [5.0, 12.0, 5.0]}, "TEMP") == [1, 4, 1]
    assert flags_of({"PRES": [590.0, 600.0, 610.0], "TEMP": [5.0, 8.0, 5.0]}, "TEMP") == [1, 4, 1]
    assert flags_of({"PRES": [490.0, 499.0, 510.0], "TEMP": [5.0, 8.0, 5.0]}, "TEMP") == [1, 1, 1]
    assert flags_of({"PRES": [10.0, 20.0, 25.0, 30.0], "TEMP": [5.0, 12.0, NAN, 5.0]}, "TEMP") == [1, 1, 9, 1]


def test_the_gradient_of_temperature_ended_in_2020() -> None:
    values = {"PRES": [10.0, 20.0, 30.0], "TEMP": [25.0, 15.5, 25.1]}
    assert "gradient" in names_of(int(flag_casts(a_cast({"PRES": [10.0, 20.0, 30.0], "DOXY": [200.0, 260.0, 200.0]}), BESIDE).performed[0]))
    assert not RealTimeTest.GRADIENT.bit & int(flag_casts(a_cast(values), BESIDE).failed[0])
    slope = {"PRES": [10.0, 20.0, 30.0], "PSAL": [30.0, 31.0, 35.5]}
    assert RealTimeTest.GRADIENT.bit & int(flag_casts(a_cast(slope), BESIDE, ERAS[0][1]).failed[0])


def test_nitrate_is_compared_with_a_median() -> None:
    """6 micromol/kg from its neighbours; in the Mediterranean 2 are enough."""
    values = {"PRES": [1.0, 2.0, 3.0, 4.0, 5.0], "NITRATE": [1.0, 1.0, 3.0, 1.0, 1.0]}
    assert flags_of(values, "NITRATE") == [1] * 5
    assert flags_of(values, "NITRATE", latitude=36.0, longitude=18.0) == [1, 1, 4, 1, 1]


def test_chlorophyll_of_before_2023_has_a_narrower_range_and_no_spikes_downwards() -> None:
    """Of twelve differences from the median of five the second lowest, -0.05, is the tenth percentile: -0.2 is below twice that, -0.1 is not."""
    value = [0.5] * 16
    value[4], value[9], value[12] = 0.45, 0.3, 2.0
    values = {"PRES": [float(level) for level in range(16)], "CHLA": value}
    first, now = ERAS[0][1], CURRENT
    assert flags_of(values, "CHLA", rules=first) == [4 if level == 9 else 1 for level in range(16)]
    assert flags_of(values, "CHLA", rules=now) == [1] * 16
    value[9], value[0], value[15] = 0.4, -0.15, 60.0
    assert flags_of(values, "CHLA", rules=first) == [4 if level in (0, 15) else 1 for level in range(16)]
    assert flags_of(values, "CHLA", rules=now) == [1] * 16


def test_a_rollover_flags_both_levels() -> None:
    assert flags_of({"PRES": [1.0, 2.0, 3.0], "TEMP": [20.0, 20.0, 8.0]}, "TEMP") == [1, 4, 4]


def test_stuck_values() -> None:
    """All values the same: bad; a single one, or near the surface: not; until 2016 there, too."""
    assert flags_of({"PRES": [1.0, 2.0], "TEMP": [4.0, 4.0]}, "TEMP") == [4, 4]
    assert flags_of({"PRES": [1.0], "TEMP": [4.0]}, "TEMP") == [1]
    near = {"vertical_sampling_scheme": "Near-surface sampling: averaged, unpumped []"}
    assert flags_of({"PRES": [1.5, 2.0], "TEMP": [4.0, 4.0]}, "TEMP", **near) == [1, 1]
    assert flags_of({"PRES": [1.5, 2.0], "TEMP": [4.0, 4.0]}, "TEMP", rules=ERAS[0][1], **near) == [4, 4]


def test_an_inversion_flags_temperature_and_salinity_of_both_levels() -> None:
    """0.1 in salinity is about 0.08 kg/m3; 0.02 is less than the limit. It works without a position."""
    values = {"PRES": [10.0, 20.0, 30.0], "TEMP": [10.0, 10.0, 9.9], "PSAL": [35.1, 35.0, 35.0]}
    for place in ({}, {"latitude": NAN, "longitude": NAN}):
        flags = flag_casts(a_cast(values, **place), BESIDE)
        assert flags.parameters["TEMP"].flag.tolist() == [4, 4, 1]
        assert flags.parameters["PSAL"].flag.tolist() == [4, 4, 1]
        assert flags.parameters["PRES"].flag.tolist() == [1, 1, 1]
    assert flags_of({**values, "PSAL": [35.02, 35.0, 35.0]}, "PSAL") == [1, 1, 1]


def test_the_grey_list_holds_from_its_first_day_on() -> None:
    listed = GreyList(
        platform_number=np.array(["6900001"]),
        parameter=np.array(["PSAL"]),
        start=np.array(["2020-01-02"], "datetime64[D]"),
        end=np.array(["NaT"], "datetime64[D]"),
        flag=np.array([3], np.uint8),
        comment=np.array([""]),
        data_centre=np.array(["IF"]),
    )
    beside = replace(BESIDE, grey=listed)
    assert flag_casts(a_cast(SMOOTH), beside).parameters["PSAL"].flag.tolist() == [1] * 5
    flags = flag_casts(a_cast(SMOOTH, at="2020-01-02T00:00"), beside)
    assert flags.parameters["PSAL"].flag.tolist() == [3] * 5
    assert names_of(int(flags.failed[0])) == ["grey_list"]


@pytest.mark.parametrize(("rule", "flag"), [("hundred", [1, 1, 3]), ("tenth", [1, 1, 1])])
def test_the_deepest_pressure(rule: str, flag: list[int]) -> None:
    """Configured 2000 dbar: 2150 is too deep since manual 3.6, before it was within a tenth."""
    values = {"PRES": [1000.0, 2050.0, 2150.0], "TEMP": [4.0, 3.0, 2.9]}
    beside = replace(BESIDE, profile_pressure=np.array([2000.0]))
    assert flag_casts(a_cast(values), beside, named("own", {"deepest_pressure": rule})).parameters["TEMP"].flag.tolist() == flag


def test_near_surface_casts() -> None:
    """Unpumped salinity is 3; temperature of averaged samples down to 1 dbar, of spot samples to 0.5; APEX where pressure stands still going up."""
    near = "Near-surface sampling: averaged, unpumped []"
    values = {"PRES": [0.4, 0.9, 2.0], "TEMP": [20.0, 19.9, 19.8], "PSAL": [35.0, 35.1, 35.2]}
    assert flags_of(values, "PSAL", vertical_sampling_scheme=near) == [3, 3, 3]
    assert flags_of(values, "TEMP", vertical_sampling_scheme=near) == [3, 3, 1]
    assert flags_of(values, "TEMP", vertical_sampling_scheme=near.replace("averaged", "discrete")) == [3, 1, 1]
    assert flags_of({**values, "TEMP_DOXY": [20.1, 20.0, NAN]}, "TEMP_DOXY", vertical_sampling_scheme=near) == [3, 3, 9]
    still = {"PRES": [0.2, 0.2, 1.0, 2.0], "TEMP": [20.0, 19.9, 19.8, 19.7], "PSAL": [35.0, 35.1, 35.2, 35.3]}
    assert flags_of(still, "TEMP", vertical_sampling_scheme=near, platform_type="APEX") == [3, 1, 1, 1]
    assert flags_of(still, "PSAL", vertical_sampling_scheme=near, platform_type="APEX") == [3, 1, 1, 1]


def test_deep_floats_and_old_conductivity_cells() -> None:
    values = {"PRES": [1000.0, 2500.0], "TEMP": [4.0, 2.0], "PSAL": [34.9, 34.91]}
    assert flags_of(values, "TEMP", platform_type="ARVOR_D") == [1, 2]
    assert flags_of(values, "PSAL", platform_type="ARVOR_D") == [1, 3]
    assert flags_of(values, "PSAL", platform_type="ARVOR_D", mode="A") == [1, 2]
    flags = flag_casts(a_cast(values), replace(BESIDE, old_rbr=np.array([True])))
    assert flags.parameters["PSAL"].flag.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("sensor", "launch", "first", "is_old"),
    [
        (("CTD_CNDC", "RBR", "RBR_ARGO3"), "2020-05-01", "NaT", True),
        (("CTD_CNDC", "UNKNOWN", "RBR_ARGO"), "2021-04-01", "2020-05-01", False),
        (("CTD_CNDC", "RBR", "RBR_ARGO3"), "NaT", "2020-05-01", True),
        (("CTD_CNDC", "RBR", "RBR_ARGO3"), "NaT", "NaT", False),
        (("OPTODE_DOXY", "RBR", "RBR_CODA_T.ODO"), "2020-05-01", "NaT", False),
        (("CTD_CNDC", "SBE", "SBE41CP"), "2020-05-01", "NaT", False),
    ],
)
def test_a_conductivity_cell_is_old_by_the_launch_of_its_float(sensor: tuple[str, str, str], launch: str, first: str, is_old: bool) -> None:
    """By the first cast where no launch is stated; an optode of RBR beside another CTD does not matter."""
    (meta,) = read_argo(io.BytesIO(shared("argo/argopy-data/dac/coriolis/6903247/6903247_meta.nc").read_bytes()))
    assert isinstance(meta, FloatMeta)
    of_rbr = replace(meta, sensors=(Sensor(*sensor, "1"),), launch_at=np.datetime64(launch, "us"))
    assert has_old_rbr(of_rbr, np.datetime64(first, "us")) == is_old


def test_a_second_oxygen_sensor_is_tested_as_the_first() -> None:
    """DOXY2 out of range, and a spike of it."""
    oxygen = [250.0, 700.0, 248.0, 247.0, 310.0, 245.0]
    values = {"PRES": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0], "DOXY2": oxygen}
    assert flags_of(values, "DOXY2") == flags_of({"PRES": values["PRES"], "DOXY": oxygen}, "DOXY") == [1, 4, 1, 1, 4, 1]


def test_dates_and_positions() -> None:
    """The future, 1996, 91 degrees north, nothing at all, and a position that the data centre interpolated."""
    assert int(flag_casts(a_cast(SMOOTH, at="2025-06-02T00:00"), BESIDE).juld[0]) == 4
    assert int(flag_casts(a_cast(SMOOTH, at="1996-12-31T00:00"), BESIDE).juld[0]) == 4
    assert int(flag_casts(a_cast(SMOOTH, latitude=91.0), BESIDE).position[0]) == 4
    assert int(flag_casts(a_cast(SMOOTH, latitude=NAN, longitude=NAN), BESIDE).position[0]) == 9
    assert int(flag_casts(a_cast(SMOOTH, position_qc=8), BESIDE).position[0]) == 8
    assert "platform_identification" in names_of(int(flag_casts(a_cast(SMOOTH, platform_number="12AB"), BESIDE).failed[0]))


def test_a_position_on_land() -> None:
    """A mask of ten-degree cells with land from 40 to 70 north and 0 to 30 east."""
    land = np.array([[row * 36 + 18, row * 36 + 21] for row in range(2, 5)], np.int32).ravel()
    beside = replace(BESIDE, land=LandMask("squares", 18, 36, land))
    assert int(flag_casts(a_cast(SMOOTH, latitude=55.0, longitude=15.0), beside).position[0]) == 4
    assert int(flag_casts(a_cast(SMOOTH, latitude=55.0, longitude=15.0, position_qc=8), beside).position[0]) == 8
    assert int(flag_casts(a_cast(SMOOTH, latitude=-55.0, longitude=15.0), beside).position[0]) == 1


def test_impossible_speed_finds_the_cast_that_jumped() -> None:
    """A fix 900 km away and back in ten days each is bad alone; two casts of one cycle share theirs; a last jump cannot be told: both 3."""
    days = ["2020-01-01", "2020-01-03", "2020-01-05", "2020-01-05", "2020-01-07"]
    places = [45.0, 45.1, 55.0, 55.0, 45.2]
    casts = [a_cast(SMOOTH, cycle=number, at=day, latitude=place) for number, (day, place) in enumerate(zip(days, places, strict=True))]
    assert flag_casts(concatenate(casts), BESIDE).position.tolist() == [1, 1, 4, 4, 1]
    assert flag_casts(concatenate(casts[1:4]), BESIDE).position.tolist() == [3, 3, 3]


def test_drift_and_frozen_profiles_look_at_the_last_good_cast_whatever_its_order() -> None:
    """Cycle 3 drifted by 0.6 against cycle 1, because cycle 2 is bad throughout; cycle 4 repeats cycle 3. Given in another order, the same."""
    depth = [float(each) for each in range(10, 1010, 10)]
    shape = np.linspace(20, 5, 100)
    salinity = np.linspace(35, 36, 100)
    bad = [50.0] * 100
    wave = 0.001 * np.sin(np.arange(100))
    casts = [
        a_cast({"PRES": depth, "TEMP": shape.tolist(), "PSAL": salinity.tolist()}, cycle=1, at="2020-01-01"),
        a_cast({"PRES": depth, "TEMP": (shape + 1).tolist(), "PSAL": bad}, cycle=2, at="2020-01-11"),
        a_cast({"PRES": depth, "TEMP": (shape + 2).tolist(), "PSAL": (salinity + 0.6).tolist()}, cycle=3, at="2020-01-21"),
        a_cast({"PRES": depth, "TEMP": (shape + 2 + wave).tolist(), "PSAL": (salinity + 0.6 + wave).tolist()}, cycle=4, at="2020-01-31"),
    ]
    flags = flag_casts(concatenate(casts), BESIDE)
    failed = [names_of(int(each)) for each in flags.failed]
    assert failed[0] == []
    assert failed[2] == ["gross_sensor_drift"]
    assert "frozen_profile" in failed[3]
    assert flags.parameters["PSAL"].flag[200:300].tolist() == [3] * 100
    turned = flag_casts(concatenate(casts[::-1]), BESIDE)
    assert [names_of(int(each)) for each in turned.failed[::-1]] == failed
    alone = flag_casts(concatenate(casts[2:3]), BESIDE)
    assert not RealTimeTest.GROSS_SENSOR_DRIFT.bit & int(alone.performed[0])


def test_an_empty_cast_and_a_missing_parameter_break_nothing() -> None:
    """No levels, and no salinity, beside a whole cast."""
    nothing = a_cast({"PRES": [NAN], "TEMP": [NAN]}, cycle=2)
    casts = concatenate([a_cast(SMOOTH), nothing.take(np.array([], np.int64)), nothing, a_cast({"PRES": [1.0], "TEMP": [14.8]}, cycle=3)])
    flags = flag_casts(casts, BESIDE)
    assert flags.parameters["PSAL"].flag.tolist() == [1] * 5 + [9, 9]
    assert flags.failed.tolist() == [0, 0, 0]


def test_all_at_once_is_what_a_loop_finds() -> None:
    """Real casts of eight floats, and the same with values spoilt: every flag and every failed test is that of a loop over casts and levels."""
    pieces = []
    for name in ("aoml/13857/13857_prof.nc", "csiro/5900865/5900865_prof.nc", "coriolis/6903247/profiles/SR6903247_200.nc"):
        pieces += [each for each in read_argo(io.BytesIO(shared(f"argo/argopy-data/dac/{name}").read_bytes())) if isinstance(each, Casts)]
    pieces += [
        each
        for path in ("meds/4901079/profiles/R4901079_184.nc", "incois/2902269/profiles/R2902269_006.nc")
        for each in read_argo(io.BytesIO(shared(f"argo/argopy-data/dac/{path}").read_bytes()))
        if isinstance(each, Casts)
    ]
    casts = concatenate([pieces[0].take(slice(0, 12)), pieces[1].take(slice(0, 12)), *pieces[2:]])
    chance = np.random.default_rng(5)
    spoilt = {}
    for name, each in casts.parameters.items():
        raw = each.raw.copy()
        where = chance.random(len(raw)) < 0.02
        raw[where] += chance.normal(0, {"PRES": 15, "TEMP": 4, "PSAL": 0.8}.get(name, 30), where.sum()).astype(raw.dtype)
        spoilt[name] = replace(each, raw=raw)
    for given_casts in (casts, replace(casts, parameters=spoilt)):
        flags = flag_casts(given_casts, BESIDE)
        bits = np.int32(sum(1 << number for number in ORACLE))
        found: dict[str, int] = {}
        for number, cast in enumerate(flag_by_hand(given_casts)):
            own = slice(int(casts.first[number]), int(casts.first[number + 1]))
            for name in {"PRES", "TEMP", "PSAL", "DOXY"} & set(cast.value):
                ours = flags.parameters[name].failed[own] & bits
                assert ours.tolist() == cast.failed[name], (number, name)
                for test in names_of(int(np.bitwise_or.reduce(ours, initial=0))):
                    found[test] = found.get(test, 0) + 1
    assert {"global_range", "spike", "digit_rollover", "density", "medd", "pressure_increasing", "bad_pressure"} <= set(found)


def test_flags_do_not_depend_on_which_casts_of_other_floats_are_beside() -> None:
    """One float alone, and among others."""
    paths = [shared(f"argo/argopy-data/dac/{name}") for name in ("csiro/5900865/5900865_prof.nc", "aoml/13857/13857_prof.nc")]
    one, other = (next(each for each in read_argo(io.BytesIO(path.read_bytes())) if isinstance(each, Casts)) for path in paths)
    alone, together = flag_casts(one, BESIDE), flag_casts(concatenate([other, one]), BESIDE)
    for name, each in alone.parameters.items():
        assert together.parameters[name].failed[-one.levels :].tolist() == each.failed.tolist()
    assert together.performed[-len(one) :].tolist() == alone.performed.tolist()


numbers = st.one_of(
    st.just(NAN), st.floats(-10, 45, width=32), st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 2100).map(float)
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.lists(numbers, min_size=1, max_size=14), st.integers(0, 3), st.sampled_from("AD"), st.booleans()), min_size=1, max_size=4),
    st.data(),
)
def test_no_value_whatever_breaks_the_tests(casts: list[tuple[list[float], int, str, bool]], data: st.DataObject) -> None:
    """Any finite numbers, and none: each present value gets a flag of 1 to 4, each missing one 9, and a failed test is a reason for every bad one."""
    made = []
    for pressure, cycle, direction, near in casts:
        values = {"PRES": pressure}
        for name in data.draw(st.lists(st.sampled_from(["TEMP", "PSAL", "DOXY", "NITRATE", "TEMP_DOXY"]), unique=True)):
            values[name] = data.draw(st.lists(numbers, min_size=len(pressure), max_size=len(pressure)))
        scheme = "Near-surface sampling: averaged []" if near else "Primary sampling: averaged []"
        made.append(
            a_cast(values, cycle=cycle, direction=direction, vertical_sampling_scheme=scheme, latitude=data.draw(st.sampled_from([45.0, 20.0, NAN])))
        )
    joined = concatenate(made)
    for _, rules in ERAS[:: len(ERAS) - 1]:
        flags = flag_casts(joined, replace(BESIDE, profile_pressure=np.full(len(joined), 1000.0)), rules)
        for name, each in flags.parameters.items():
            missing = np.isnan(joined.parameters[name].raw)
            assert (each.flag[missing] == 9).all()
            assert np.isin(each.flag[~missing], (1, 2, 3, 4)).all()
            assert ((each.flag > 1) == (each.failed != 0))[~missing].all()
            assert not each.failed[missing].any()
        assert not (flags.failed & ~flags.performed).any()


def test_rules_have_names_and_choices() -> None:
    assert named("manual 3.3 (2020)").medd
    assert named("mine", {"reversal": 0}).reversal == 0
    with pytest.raises(ValueError, match="no choice 'reverse'"):
        named("mine", {"reverse": 0})
    with pytest.raises(ValueError, match="another type"):
        named("mine", {"reversal": "20"})
    with pytest.raises(ValueError, match="no rules called"):
        named("manual 9")


def test_a_record_is_compared_by_the_rules_of_its_time() -> None:
    """The same fall of 15 dbar in a record of 2019 and in one of 2024; a cast without a record is not judged."""
    values = {"PRES": [10.0, 20.0, 30.0, 40.0, 50.0, 35.0, 60.0], "TEMP": [10.0, 9.9, 9.8, 9.7, 9.6, 9.5, 9.4]}
    casts = concatenate([a_cast(values, cycle=number) for number in range(3)])
    casts.tests.has_failed[:2] = True
    casts.tests.at[:2] = np.array(["2019-01-01", "2024-06-01"], "datetime64[us]")
    then = failed_then(casts, Beside(np.full(3, NOW), profile_pressure=np.full(3, 2000.0)))
    performed, failed = then.performed, then.failed
    assert [RealTimeTest.PRESSURE_INCREASING.bit & int(each) != 0 for each in failed] == [True, False, False]
    assert [RealTimeTest.DEEPEST_PRESSURE.bit & int(each) != 0 for each in performed] == [True, True, False]
