"""A cast as NetCDF: what libraries of the field expect of files of the archive."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray

from water_pipelines.api.netcdf import profile_netcdf
from water_pipelines.domain.argo.casts import NO_QC, Casts
from water_pipelines.parsers.argo import read_argo
from water_pipelines.storage.served.argo import Levels

AT = datetime(2020, 1, 11, 12, tzinfo=UTC)
SAID: dict[str, Any] = {
    "project_name": "Argo",
    "pi_name": "Søren",
    "platform_type": "APEX",
    "float_serial_no": "1",
    "wmo_inst_type": "846",
    "positioning_system": "GPS",
    "config_mission_number": -1,
    "modes": {"PRES": "R", "TEMP": "R", "DOXY": "A"},
}
PROFILE: dict[str, Any] = {
    "id": "6900001_001", "wmo": 6900001, "cycle": 1, "direction": "A", "product": "core", "data_centre": "IF", "data_mode": "R", "rules": "ours",
    "vertical_sampling_scheme": "Primary sampling", "parameters": ["PRES", "TEMP", "DOXY"], "at": AT, "at_qc": 1, "located_at": None,
    "latitude": 45.0, "longitude": None, "position_qc": None, "updated_at": AT, "core_said": SAID, "bgc_said": None,
}  # fmt: skip


def exported(path: Path) -> Path:
    """A cast of two levels, the second without TEMP, in a file."""
    columns = {
        "raw": np.array([5.0, 10.0], np.float32),
        "adjusted": np.array([np.nan, np.nan], np.float32),
        "error": np.array([np.nan, np.nan], np.float32),
        "qc": np.array([1, 4]),
        "adjusted_qc": np.array([-1, -1]),
        "flag": np.array([1, 4]),
        "failed": np.array([0, 1 << 6]),
    }
    temperature = columns | {"raw": np.array([20.0, np.nan], np.float32), "qc": np.array([1, 9])}
    units = {"PRES": "decibar", "TEMP": "degree_Celsius", "DOXY": "micromole/kg"}
    levels = Levels(np.array([0, 1]), {"PRES": columns, "TEMP": temperature, "DOXY": columns}, units, {})
    path.write_bytes(profile_netcdf(PROFILE, levels))
    return path


def test_characters_are_filled_with_blanks_and_numbers_with_those_of_the_archive(tmp_path: Path) -> None:
    """By the fill value of a variable argopy knows texts and flags; what is missing is no cycle, mission, place or value."""
    with netCDF4.Dataset(exported(tmp_path / "a.nc")) as file:
        file.set_auto_mask(False)
        file.set_auto_chartostring(False)
        fills = {name: each.getncattr("_FillValue") for name, each in file.variables.items() if not name.endswith(("_FLAG", "_FAILED"))}
        assert {fills[name] for name, each in file.variables.items() if each.dtype.kind == "S"} == {b" "}
        assert {fills[name] for name in ("JULD", "JULD_LOCATION")} == {999999.0}
        assert {float(fill) for name, fill in fills.items() if not isinstance(fill, bytes) and not name.startswith("JULD")} == {99999.0}
        assert file["STATION_PARAMETERS"].dimensions == ("N_PROF", "N_PARAM", "STRING64")
        assert file["TEMP_QC"][:].tolist() == [[b"1", b"9"]]
        assert (file["CONFIG_MISSION_NUMBER"][0], file["LONGITUDE"][0], file["TEMP"][0, 1]) == (99999, 99999.0, 99999.0)


def test_labelled_arrays_carry_times_units_and_names(tmp_path: Path) -> None:
    """As xarray opens the file, and as this platform reads it again."""
    path = exported(tmp_path / "a.nc")
    with xarray.open_dataset(path) as opened:
        assert opened["JULD"].values[0] == np.datetime64("2020-01-11T12:00")
        assert opened["JULD"].attrs["standard_name"] == "time"
        assert opened["TEMP"].attrs == {"units": "degree_Celsius", "standard_name": "sea_water_temperature"}
        assert opened["TEMP_QC"].attrs["conventions"] == "Argo reference table 2"
        assert opened["TEMP_WATER_FLAG"].values.tolist() == [[1, 9]]
        assert opened["TEMP_WATER_FLAG"].attrs["flag_values"].tolist() == [1, 2, 3, 4, 9]
        assert opened["TEMP_WATER_FAILED"].values.tolist() == [[0, 64]]
        np.testing.assert_array_equal(opened["TEMP"].values, np.array([[20.0, np.nan]], np.float32))
    (casts,) = read_argo(io.BytesIO(path.read_bytes()))
    assert isinstance(casts, Casts)
    assert (casts.cycle.tolist(), casts.config_mission_number.tolist(), casts.position_qc.tolist()) == ([1], [-1], [NO_QC])
    assert casts.parameters["DOXY"].mode.tolist() == ["A"]
    assert casts.parameters["TEMP"].qc.tolist() == [1, 9]
