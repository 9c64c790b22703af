"""Argo files: every kind is read as whole arrays, the same in NetCDF-3 and NetCDF-4, and what cannot be read says which variable is wrong."""

from __future__ import annotations

import io
import random
import struct
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from water_pipelines.domain.argo.casts import NO_QC, Casts, FileKind, FloatMeta, SurfaceFixes, TechnicalValues, concatenate
from water_pipelines.parsers.argo import read_argo
from water_pipelines.parsers.argo_netcdf import open_arrays
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.recognise import describe
from water_pipelines_tests.parsers.argo_files import NAN, Container, as_netcdf4, profile_file
from water_pipelines_tests.shared_data import shared

FLOATS = "argo/argopy-data/dac"
ONE_CAST = {"PRES": [5.0, 10.0, 20.0], "TEMP": [20.0, 19.0, 18.0], "PSAL": [35.0, 35.1, 35.2], "PRES_QC": "111", "TEMP_QC": "114"}


def casts_of(data: bytes) -> Casts:
    return concatenate([each for each in read_argo(io.BytesIO(data)) if isinstance(each, Casts)])


def real_files() -> list[Path]:
    return sorted(shared("argo").rglob("*.nc"))


def test_every_array_of_every_real_file_is_what_netcdf4_reads() -> None:
    """The reader of classic files gives the bytes that the reference library gives, for all variables of all kinds of files."""
    compared = 0
    for path in real_files():
        data = path.read_bytes()
        ours = open_arrays(io.BytesIO(data))
        with netCDF4.Dataset("m.nc", memory=data) as theirs:
            theirs.set_auto_maskandscale(False)
            theirs.set_auto_chartostring(False)
            assert dict(ours.dimensions) == {name: len(each) for name, each in theirs.dimensions.items()}
            assert list(ours.variables) == list(theirs.variables)
            for name in random.Random(compared).sample(sorted(ours.variables), min(12, len(ours.variables))):
                expected = theirs.variables[name][...]
                assert np.array_equal(ours.read(name), np.asarray(expected), equal_nan=expected.dtype.kind == "f"), (path.name, name)
                compared += 1
    assert compared > 1_000


def test_a_netcdf4_copy_reads_the_same(tmp_path: Path) -> None:
    """BGC, synthetic, multi-cast, descending and 1997 files: levels, flags, modes and recorded tests do not depend on the container."""
    names = ["coriolis/6903247/profiles/BR6903247_398.nc", "coriolis/6903247/profiles/SR6903247_398D.nc", "coriolis/1900857/profiles/D1900857_078.nc"]
    for name in [*names, "aoml/13857/profiles/R13857_140.nc", "coriolis/6903247/profiles/R6903247_022D.nc"]:
        data = shared(f"{FLOATS}/{name}").read_bytes()
        classic = casts_of(data)
        for otherwise in (False, True):
            copied = casts_of(as_netcdf4(data, tmp_path / "copy.nc", otherwise=otherwise))
            assert list(classic.parameters) == list(copied.parameters)
            np.testing.assert_array_equal(classic.first, copied.first)
            np.testing.assert_array_equal(classic.tests.failed, copied.tests.failed)
            np.testing.assert_array_equal(classic.platform_number, copied.platform_number)
            for parameter, ours in classic.parameters.items():
                for column in ("raw", "qc", "adjusted", "adjusted_qc", "adjusted_error", "mode"):
                    theirs = getattr(copied.parameters[parameter], column)
                    np.testing.assert_array_equal(getattr(ours, column), theirs, f"{name} {parameter} {column}")


def test_letters_may_be_small_and_a_direction_is_up_or_down(tmp_path: Path) -> None:
    """Some data centres write them so; another letter is named with its variable."""
    casts = casts_of(profile_file(tmp_path / "a.nc", [{**ONE_CAST, "DIRECTION": "d", "DATA_MODE": "a"}]))
    assert (casts.direction.tolist(), casts.data_mode.tolist(), casts.parameters["TEMP"].mode.tolist()) == (["D"], ["A"], ["A"])
    with pytest.raises(UnreadableFile, match=r"DIRECTION .*'X'"):
        casts_of(profile_file(tmp_path / "b.nc", [{**ONE_CAST, "DIRECTION": "X"}]))


@pytest.mark.parametrize(("name", "kind"), [("BR6903247_398", FileKind.BGC), ("SR6903247_001", FileKind.SYNTHETIC), ("R6903247_398", FileKind.CORE)])
def test_what_does_not_say_its_kind_shows_it(tmp_path: Path, name: str, kind: FileKind) -> None:
    """Without DATA_TYPE: BGC files have a mode a parameter and no adjusted pressure, synthetic ones have both."""
    data = shared(f"{FLOATS}/coriolis/6903247/profiles/{name}.nc").read_bytes()
    assert set(casts_of(data.replace(b"DATA_TYPE", b"DATA_KIND")).kind.tolist()) == {kind.value}


def test_all_kinds_of_real_files_are_read() -> None:
    """Core, BGC and synthetic casts, floats, technical values and surface fixes: 144 files, none refused."""
    found: dict[str, int] = {}
    for path in real_files():
        for content in read_argo(io.BytesIO(path.read_bytes())):
            kind = content.kind[0] if isinstance(content, Casts) else type(content).__name__
            found[str(kind)] = found.get(str(kind), 0) + 1
    assert set(found) == {FileKind.CORE, FileKind.BGC, FileKind.SYNTHETIC, "FloatMeta", "TechnicalValues", "SurfaceFixes"}
    assert sum(found.values()) == len(real_files())


def test_a_bgc_file_keeps_the_modes_of_its_parameters() -> None:
    """BR6903247_398: four casts, of which the third measured oxygen in adjusted mode; counts and phases are not kept as parameters."""
    casts = casts_of(shared(f"{FLOATS}/coriolis/6903247/profiles/BR6903247_398.nc").read_bytes())
    assert casts.kind.tolist() == ["bgc"] * 4
    assert casts.data_mode.tolist() == ["R", "R", "A", "R"]
    assert set(casts.parameters) == {"PRES", "TEMP_DOXY", "DOXY", "NITRATE"}
    assert casts.parameters["DOXY"].mode.tolist() == ["", "", "A", ""]
    assert casts.parameters["DOXY"].units == "micromole/kg"
    measured = casts.cast_of_level == 2
    assert np.isfinite(casts.parameters["DOXY"].adjusted[measured]).all()
    assert np.isnan(casts.parameters["DOXY"].raw[~measured]).all()


def test_recorded_tests_are_the_latest_hexadecimal_ones() -> None:
    """A float of Coriolis and one of INCOIS, whose delayed file keeps what was recorded in real time."""
    casts = casts_of(shared(f"{FLOATS}/incois/2902269/profiles/D2902269_006.nc").read_bytes())
    assert (int(casts.tests.performed[0]), int(casts.tests.failed[0])) == (0xD7B7E, 0x5B40)
    assert (casts.tests.institution[0], str(casts.tests.at[0])[:10]) == ("IN", "2019-03-27")
    casts = casts_of(shared(f"{FLOATS}/coriolis/1900857/profiles/D1900857_078.nc").read_bytes())
    assert casts.tests.failed.tolist() == [0x06000, 0x06000]


def test_a_float_has_launch_sensors_and_missions() -> None:
    """The meta file of 6903247: what the configured profile pressure of each mission is."""
    (meta,) = read_argo(io.BytesIO(shared(f"{FLOATS}/coriolis/6903247/6903247_meta.nc").read_bytes()))
    assert isinstance(meta, FloatMeta)
    assert (meta.platform_number, meta.data_centre) == ("6903247", "IF")
    assert "CTD_PRES" in {sensor.name for sensor in meta.sensors}
    assert {"PRES", "TEMP", "PSAL", "DOXY", "NITRATE"} <= {parameter.name for parameter in meta.parameters}
    missions = np.array([*sorted(meta.missions)[:2], -1], np.int32)
    assert np.isfinite(meta.configured("CONFIG_ProfilePressure_dbar", missions)).any()
    assert np.isnan(meta.configured("CONFIG_NoSuchThing_dbar", missions)).all()


def test_surface_fixes_have_times_and_places() -> None:
    """The delayed trajectory of 5900446 says that it is delayed; all fixes have a place on Earth."""
    (delayed,) = read_argo(io.BytesIO(shared(f"{FLOATS}/aoml/5900446/5900446_Dtraj.nc").read_bytes()))
    (timely,) = read_argo(io.BytesIO(shared(f"{FLOATS}/aoml/5900446/5900446_Rtraj.nc").read_bytes()))
    assert isinstance(delayed, SurfaceFixes)
    assert isinstance(timely, SurfaceFixes)
    assert (delayed.is_delayed, timely.is_delayed) == (True, False)
    assert len(delayed.at) > 1_000
    assert np.abs(delayed.latitude).max() <= 90


def test_technical_values_are_by_cycle() -> None:
    (technical,) = read_argo(io.BytesIO(shared(f"{FLOATS}/csiro/5900865/5900865_tech.nc").read_bytes()))
    assert isinstance(technical, TechnicalValues)
    assert technical.platform_number == "5900865"
    assert len(technical.name) == len(technical.value) == len(technical.cycle) > 1_000


def test_mixed_casts_of_one_file(tmp_path: Path) -> None:
    """Two casts with other parameters and modes, levels that end early, a level that is missing within, and a cast without any."""
    casts = casts_of(
        profile_file(
            tmp_path / "a.nc",
            [
                {
                    "PRES": [5.0, 10.0, NAN, 20.0],
                    "TEMP": [1.0, NAN, NAN, 2.0],
                    "TEMP_QC": "19 1",
                    "DATA_MODE": "A",
                    "TEMP_ADJUSTED": [1.5, NAN, NAN, 2.5],
                },
                {"PRES": [1.0], "PSAL": [35.0], "DIRECTION": "D", "JULD": NAN, "LATITUDE": NAN, "LONGITUDE": NAN, "POSITION_QC": "9"},
                {"PRES": [], "TEMP": []},
            ],
        )
    )
    assert casts.counts.tolist() == [4, 1, 0]
    assert casts.level.tolist() == [0, 1, 2, 3, 0]
    assert casts.parameters["TEMP"].mode.tolist() == ["A", "", "R"]
    assert casts.parameters["PSAL"].mode.tolist() == ["", "R", ""]
    assert casts.parameters["TEMP"].qc.tolist() == [1, 9, NO_QC, 1, NO_QC]
    assert np.isnat(casts.juld[1])
    assert np.isnan(casts.latitude[1])
    values, qc = casts.parameters["TEMP"].best(casts.cast_of_level)
    np.testing.assert_array_equal(values, np.array([1.5, NAN, NAN, 2.5, NAN], np.float32))
    assert qc[0] == NO_QC


def test_no_salinity_and_nuls_in_strings(tmp_path: Path) -> None:
    """A float without a conductivity cell has no PSAL; NULs do not reach the texts."""
    cast = {"PRES": [1.0], "TEMP": [2.0], "PLATFORM_NUMBER": "13857\0\0", "VERTICAL_SAMPLING_SCHEME": "Primary\0 sampling: \0"}
    casts = casts_of(profile_file(tmp_path / "a.nc", [cast]))
    assert list(casts.parameters) == ["PRES", "TEMP"]
    assert casts.platform_number.tolist() == ["13857"]
    assert casts.vertical_sampling_scheme.tolist() == ["Primary  sampling:"]


def test_many_files_are_one_set_of_arrays(tmp_path: Path) -> None:
    """Parameters are the union; a cast is taken out again as it was."""
    one = casts_of(profile_file(tmp_path / "a.nc", [ONE_CAST]))
    other = casts_of(profile_file(tmp_path / "b.nc", [{"PRES": [7.0, 8.0], "DOXY": [200.0, 201.0]}]))
    both = concatenate([one, other, one])
    assert both.first.tolist() == [0, 3, 5, 8]
    assert np.isnan(both.parameters["DOXY"].raw[:3]).all()
    assert both.parameters["DOXY"].raw[3:5].tolist() == [200.0, 201.0]
    assert both.parameters["TEMP"].qc[3:5].tolist() == [NO_QC, NO_QC]
    again = both.take(np.array([2, 1]))
    assert again.parameters["PRES"].raw.tolist() == [5.0, 10.0, 20.0, 7.0, 8.0]
    assert again.first.tolist() == [0, 3, 5]


@pytest.mark.parametrize("name", ["JULD", "LATITUDE", "LONGITUDE", "PLATFORM_NUMBER", "PRES", "DATA_TYPE"])
@pytest.mark.parametrize("container", ["NETCDF3_CLASSIC", "NETCDF4"])
def test_a_missing_variable_is_named(tmp_path: Path, name: str, container: Container) -> None:
    data = profile_file(tmp_path / "a.nc", [ONE_CAST], without=[name, "PLATFORM_NUMBER"] if name == "DATA_TYPE" else [name], container=container)
    with pytest.raises(UnreadableFile, match=name):
        casts_of(data)


def test_a_file_without_levels_is_refused(tmp_path: Path) -> None:
    data = profile_file(tmp_path / "a.nc", [{"PRES": [], "TEMP": []}], levels=0, container="NETCDF4")
    with pytest.raises(UnreadableFile, match="N_LEVELS"):
        casts_of(data)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    """From the first byte to the last: never an exception of another kind, never a cast made of what is not there."""
    containers: tuple[Container, ...] = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4")
    for container in containers:
        data = profile_file(
            tmp_path / "a.nc", [{**ONE_CAST, "HISTORY": [("QCF$", "40", "20200101000000", "IF", "COQC", "4.4")]}], container=container
        )
        whole = casts_of(data)
        assert whole.tests.failed.tolist() == [64]
        for length in [*range(0, 200, 9), *random.Random(7).sample(range(200, len(data) - 3), 25)]:
            with pytest.raises(UnreadableFile):
                casts_of(data[:length])


def test_a_truncated_real_file_names_the_variable() -> None:
    data = shared(f"{FLOATS}/meds/4901079/profiles/D4901079_001.nc").read_bytes()
    with pytest.raises(UnreadableFile, match=r"variable [A-Z_]+ \(.*\) ends at byte"):
        casts_of(data[: len(data) * 4 // 5])


def test_spoilt_bytes_never_break_the_reader(tmp_path: Path) -> None:
    """Four hundred files with a byte or a word of the header replaced are read or refused, in bounded memory."""
    chance = random.Random(11)
    data = profile_file(tmp_path / "a.nc", [ONE_CAST])
    refused = 0
    for _ in range(400):
        spoilt = bytearray(data)
        at = chance.randrange(4, 6_000)
        spoilt[at : at + 4] = chance.choice([bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", chance.randbytes(4)])
        try:
            casts_of(bytes(spoilt))
        except UnreadableFile:
            refused += 1
    assert 50 < refused < 400


def test_absurd_dimensions_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    """N_LEVELS of two thousand millions in a file of a few kilobytes."""
    data = profile_file(tmp_path / "a.nc", [ONE_CAST])
    at = data.index(b"N_LEVELS") + 8
    assert struct.unpack(">I", data[at : at + 4]) == (3,)
    with pytest.raises(UnreadableFile, match="N_LEVELS = 2,147,483,647"):
        casts_of(data[:at] + struct.pack(">I", 2**31 - 1) + data[at + 4 :])
    with netCDF4.Dataset(tmp_path / "b.nc", "w") as file:
        file.createDimension("N_PROF", 1)
        file.createDimension("N_LEVELS", 2_000_000_000)
        file.createVariable("PRES", "f4", ("N_PROF", "N_LEVELS"), chunksizes=(1, 1000))
    with pytest.raises(UnreadableFile, match=r"PRES .*N_LEVELS = 2,000,000,000"):
        casts_of((tmp_path / "b.nc").read_bytes())


class TestOddFiles:
    """Valid NetCDF with variables that Argo's format does not know as they are: refused by name, or read as missing; never taken for measurements."""

    @pytest.mark.parametrize(
        ("name", "kind", "dimensions"),
        [
            ("STATION_PARAMETERS", "S1", ()),
            ("STATION_PARAMETERS", "f4", ("N_PROF", "N_PARAM", "NAME")),
            ("PARAMETER_DATA_MODE", "S1", ("N_PROF",)),
            ("HISTORY_DATE", "S1", ()),
            ("JULD", "S1", ("N_PROF",)),
            ("LATITUDE", "f8", ("N_PROF", "N_PARAM")),
            ("TEMP", "i2", ("N_PROF", "N_LEVELS")),
            ("PSAL", "f4", ("N_LEVELS", "N_PROF")),
            ("TEMP_QC", "i1", ("N_PROF", "N_LEVELS")),
            ("TEMP_QC", "pairs", ("N_PROF", "N_LEVELS")),
            ("LATITUDE", "lists", ("N_PROF",)),
        ],
    )
    def test_a_variable_of_another_kind_or_shape_is_named(self, tmp_path: Path, name: str, kind: str, dimensions: tuple[str, ...]) -> None:
        """Numbers for characters, other dimensions, lists and pairs in place of numbers."""
        path = tmp_path / "a.nc"
        recorded = {**ONE_CAST, "HISTORY": [("QCF$", "40", "20200101000000", "IF", "COQC", "4.4")]}
        profile_file(path, [recorded], container="NETCDF4", without=[name])
        with netCDF4.Dataset(path, "a") as file:
            own: dict[str, Any] = {
                "pairs": partial(file.createCompoundType, np.dtype([("a", "i4"), ("b", "i4")]), "pairs"),
                "lists": partial(file.createVLType, "i4", "lists"),
            }
            file.createVariable(name, own[kind]() if kind in own else kind, dimensions)
        with pytest.raises(UnreadableFile, match=name):
            casts_of(path.read_bytes())

    @pytest.mark.parametrize("container", ["NETCDF3_CLASSIC", "NETCDF4"])
    def test_packed_numbers_are_refused(self, tmp_path: Path, container: Container) -> None:
        """Positions that were packed into integers would lie elsewhere."""
        path = tmp_path / "a.nc"
        profile_file(path, [ONE_CAST], container=container)
        with netCDF4.Dataset(path, "a") as file:
            file.variables["LATITUDE"].scale_factor = 0.01
        with pytest.raises(UnreadableFile, match=r"LATITUDE .*packed"):
            casts_of(path.read_bytes())

    @pytest.mark.parametrize("fill", [0.0, NAN, 9.96921e36])
    def test_what_the_archive_fills_with_is_missing_whatever_the_variable_says(self, tmp_path: Path, fill: float) -> None:
        """Another fill value is missing, too, and so are those of Argo, of NetCDF itself, and what is no number."""
        path = tmp_path / "a.nc"
        profile_file(path, [{"PRES": [1.0, 2.0, 3.0, 4.0, 5.0], "PSAL": [35.0] * 5}], container="NETCDF4")
        with netCDF4.Dataset(path, "a") as file:
            file.createVariable("TEMP", "f4", ("N_PROF", "N_LEVELS"), fill_value=fill)
            file.variables["TEMP"].set_auto_mask(False)
            file.variables["TEMP"][:] = [[fill, 99999.0, 9.96921e36, np.inf, 7.5]]
        values = casts_of(path.read_bytes()).parameters["TEMP"].raw
        assert np.isnan(values).tolist() == [True, True, True, True, False]

    def test_a_fill_value_that_is_a_text_says_nothing(self, tmp_path: Path) -> None:
        """A classic file may give an attribute any type."""
        data = profile_file(tmp_path / "a.nc", [{"PRES": [1.0, NAN]}])
        words = b"_FillValue\0\0" + struct.pack(">II", 5, 1)
        at = data.index(words, data.index(struct.pack(">I", 4) + b"PRES"))
        spoilt = data[: at + 12] + struct.pack(">II", 2, 4) + b"none" + data[at + 24 :]
        assert casts_of(spoilt).counts.tolist() == [1]


def test_another_netcdf_file_is_refused(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("time", 3)
        file.createVariable("time", "f8", ("time",))[:] = [1.0, 2.0, 3.0]
    with pytest.raises(UnreadableFile, match="not of the Argo archive"):
        casts_of((tmp_path / "a.nc").read_bytes())


def test_the_registry_knows_argo_files(tmp_path: Path) -> None:
    data = profile_file(tmp_path / "a.nc", [ONE_CAST])
    assert describe(io.BytesIO(data), Mapping()).kind == "argo"
    with pytest.raises(UnreadableFile, match="web page"):
        describe(io.BytesIO(b"<!DOCTYPE html><html><title>502</title></html>"), Mapping())


def test_synthetic_files_state_a_mode_for_each_parameter(tmp_path: Path) -> None:
    """A Sprof file has many casts and no mode of the cast: it is D where all parameters are, A where one is adjusted."""
    rows = [
        {"PRES": [1.0], "TEMP": [2.0], "DOXY": [200.0], "PARAMETER_DATA_MODE": modes, "CYCLE_NUMBER": place}
        for place, modes in enumerate(["DDD", "RRA", "RRR"])
    ]
    casts = casts_of(profile_file(tmp_path / "a.nc", rows, data_type="Argo synthetic profile", without=["DATA_MODE"]))
    assert casts.data_mode.tolist() == ["D", "A", "R"]
    assert casts.parameters["DOXY"].mode.tolist() == ["D", "A", "R"]
    assert casts.kind.tolist() == ["synthetic"] * 3


def test_a_large_file_comes_in_pieces(tmp_path: Path) -> None:
    """Three casts of 400,000 levels: two pieces, which are what the file says once they are joined."""
    data = profile_file(tmp_path / "a.nc", [{"PRES": [1.0, 2.0], "CYCLE_NUMBER": cycle} for cycle in (1, 2, 3)], levels=400_000, container="NETCDF4")
    pieces = [each for each in read_argo(io.BytesIO(data)) if isinstance(each, Casts)]
    assert [len(each) for each in pieces] == [2, 1]
    whole = concatenate(pieces)
    assert whole.cycle.tolist() == [1, 2, 3]
    assert whole.cast.tolist() == [0, 1, 2]
    assert whole.parameters["PRES"].raw.tolist() == [1.0, 2.0] * 3


def test_what_states_no_mode_is_of_real_time(tmp_path: Path) -> None:
    """Neither a mode of the cast nor one of its parameters; and no list of parameters at all."""
    casts = casts_of(profile_file(tmp_path / "a.nc", [ONE_CAST], without=["DATA_MODE"]))
    assert (casts.data_mode[0], casts.parameters["TEMP"].mode[0]) == ("R", "R")
    casts = casts_of(profile_file(tmp_path / "b.nc", [ONE_CAST], without=["DATA_MODE", "STATION_PARAMETERS"]))
    assert casts.parameters["PSAL"].mode[0] == "R"


def test_configurations_of_older_formats_say_nothing_of_missions(tmp_path: Path) -> None:
    """A configuration of one value a parameter, as before format 3: the float is read, its missions are not made up."""
    with netCDF4.Dataset(tmp_path / "meta.nc", "w", format="NETCDF3_CLASSIC") as file:
        for name, length in {"STRING16": 16, "N_CONFIG_PARAM": 1, "N_MISSIONS": 2}.items():
            file.createDimension(name, length)
        for name, said in {"DATA_TYPE": "Argo meta-data", "PLATFORM_NUMBER": "6900001", "PLATFORM_MODEL": "APEX"}.items():
            file.createVariable(name, "S1", ("STRING16",))[:] = np.frombuffer(said.ljust(16).encode(), "S1")
        file.createVariable("CONFIG_PARAMETER_NAME", "S1", ("N_CONFIG_PARAM", "STRING16"))[:] = np.frombuffer(b"CONFIG_Something", "S1").reshape(
            1, 16
        )
        file.createVariable("CONFIG_PARAMETER_VALUE", "f8", ("N_CONFIG_PARAM",))[:] = [7.0]
        file.createVariable("CONFIG_MISSION_NUMBER", "i4", ("N_MISSIONS",))[:] = [1, 2]
    (meta,) = read_argo(io.BytesIO((tmp_path / "meta.nc").read_bytes()))
    assert isinstance(meta, FloatMeta)
    assert (meta.platform_number, meta.platform_type, meta.missions) == ("6900001", "APEX", {1: {}, 2: {}})
    assert np.isnat(meta.launch_at)
