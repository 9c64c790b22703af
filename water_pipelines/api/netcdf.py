"""An Argo cast as a NetCDF file of the archive's own layout, with our flags beside those of the data centre.

`xarray.open_dataset(path, engine="argo")`, argopy and this platform itself read it. The same cast gives the same bytes. Keep out: reading the cast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from water_pipelines.domain.argo.flags import BAD, GOOD, MISSING, PROBABLY_BAD, PROBABLY_GOOD
from water_pipelines.storage.served.argo import Levels

if TYPE_CHECKING:
    from xarray import Variable

MEDIA_TYPE = "application/x-netcdf"
_FILL = np.float32(99999.0)
_NO_NUMBER = np.int32(99999)
_BLANK = b" "
_STAMP = {"conventions": "YYYYMMDDHHMISS"}
_OUR_FLAGS = {
    "long_name": "flag of this platform's real-time tests, of the raw value",
    "flag_values": np.array([GOOD, PROBABLY_GOOD, PROBABLY_BAD, BAD, MISSING], dtype=np.int8),
    "flag_meanings": "good probably_good probably_bad bad missing",
}
_NAMED = {
    "PRES": {"standard_name": "sea_water_pressure", "axis": "Z"},
    "TEMP": {"standard_name": "sea_water_temperature"},
    "PSAL": {"standard_name": "sea_water_salinity"},
}
_REFERENCE = np.datetime64("1950-01-01", "us")
_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")


def profile_netcdf(profile: Mapping[str, Any], levels: Levels) -> bytes:
    """A cast as the bytes of a NetCDF-3 file with N_PROF = 1."""
    from xarray import Dataset  # with pandas, which most requests do without

    said = profile["core_said"] or profile["bgc_said"]
    names = list(profile["parameters"])
    variables: dict[str, Variable] = {
        "DATA_TYPE": _text("Argo synthetic profile" if profile["product"] == "synthetic" else "Argo profile", 32),
        "FORMAT_VERSION": _text("3.1", 4),
        "HANDBOOK_VERSION": _text("1.2", 4),
        "REFERENCE_DATE_TIME": _text("19500101000000", 14, "DATE_TIME", _STAMP),
        "DATE_UPDATE": _text(_compact(profile["updated_at"]), 14, "DATE_TIME", _STAMP),
        "PLATFORM_NUMBER": _texts([str(profile["wmo"])], 8, attributes={"conventions": "WMO float identifier : A9IIIII"}),
        "PROJECT_NAME": _texts([said["project_name"]], 64),
        "PI_NAME": _texts([said["pi_name"]], 64),
        "STATION_PARAMETERS": _texts([names], 64, ("N_PROF", "N_PARAM")),  # as files with modes of parameters have it
        "CYCLE_NUMBER": _number(profile["cycle"], "0...N, 0 : launch cycle (if exists), 1 : first complete cycle"),
        "DIRECTION": _characters(profile["direction"], "N_PROF"),
        "DATA_CENTRE": _texts([profile["data_centre"]], 2),
        "DATA_MODE": _characters(profile["data_mode"] or " ", "N_PROF"),
        "PARAMETER_DATA_MODE": _characters("".join(_modes(profile).get(name, " ") for name in names), "N_PARAM", ("N_PROF",)),
        "PLATFORM_TYPE": _texts([said["platform_type"]], 32),
        "FLOAT_SERIAL_NO": _texts([said["float_serial_no"]], 32),
        "WMO_INST_TYPE": _texts([said["wmo_inst_type"]], 4),
        "VERTICAL_SAMPLING_SCHEME": _texts([profile["vertical_sampling_scheme"]], 256),
        "CONFIG_MISSION_NUMBER": _number(said["config_mission_number"], "1...N, 1 : first complete mission"),
        "POSITIONING_SYSTEM": _texts([said["positioning_system"]], 8),
        "JULD": _time(profile["at"]),
        "JULD_QC": _flags(_code(profile["at_qc"]), "N_PROF"),
        "JULD_LOCATION": _time(profile["located_at"]),
        "LATITUDE": _place(profile["latitude"], {"standard_name": "latitude", "units": "degree_north", "axis": "Y"}),
        "LONGITUDE": _place(profile["longitude"], {"standard_name": "longitude", "units": "degree_east", "axis": "X"}),
        "POSITION_QC": _flags(_code(profile["position_qc"]), "N_PROF"),
    }
    for name in names:
        of, unit = _filled(levels.parameters[name]), {"units": levels.units.get(name, ""), **_NAMED.get(name, {})}
        for suffix, column in (("", "raw"), ("_ADJUSTED", "adjusted"), ("_ADJUSTED_ERROR", "error")):
            variables[f"{name}{suffix}"] = _of_levels(of[column].astype(np.float32), unit, _FILL)
        for suffix, column in (("_QC", "qc"), ("_ADJUSTED_QC", "adjusted_qc")):
            variables[f"{name}{suffix}"] = _flags(of[column], "N_LEVELS", ("N_PROF",))
        if profile["rules"] is not None:
            flags = np.where(np.isnan(of["raw"]), MISSING, of["flag"]).astype(np.int8)
            variables[f"{name}_WATER_FLAG"] = _of_levels(flags, {**_OUR_FLAGS, "comment": str(profile["rules"])})
            variables[f"{name}_WATER_FAILED"] = _of_levels(of["failed"].astype(np.int32), {"long_name": "sum of 2^n over the tests n that failed"})
    attributes = {"title": "Argo float vertical profile", "Conventions": "Argo-3.1 CF-1.6", "featureType": "trajectoryProfile", "id": profile["id"]}
    return bytes(Dataset(variables, attrs=attributes).to_netcdf(format="NETCDF3_CLASSIC", engine="scipy"))


def _filled(columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns of a parameter; an empty cast has one level at which everything is missing, as in the archive's files."""
    if len(columns["raw"]):
        return columns
    return {name: np.array([np.nan if column.dtype.kind == "f" else -1 if name.endswith("qc") else 0]) for name, column in columns.items()}


def _modes(profile: Mapping[str, Any]) -> dict[str, str]:
    modes: dict[str, str] = {}
    for part in ("bgc_said", "core_said"):
        modes |= (profile[part] or {}).get("modes", {})
    return modes


def _variable(dimensions: tuple[str, ...], values: Any, attributes: Mapping[str, Any] | None = None, **encoding: Any) -> Variable:
    from xarray import Variable

    return Variable(dimensions, values, attrs=dict(attributes or {}), encoding=encoding)


def _text(text: str, width: int, name: str | None = None, attributes: Mapping[str, str] | None = None) -> Variable:
    return _variable((), np.array(_padded(text, width), dtype=f"S{width}"), attributes, char_dim_name=name or f"STRING{width}", _FillValue=_BLANK)


def _texts(texts: Any, width: int, dimensions: tuple[str, ...] = ("N_PROF",), attributes: Mapping[str, str] | None = None) -> Variable:
    flat = np.array(texts, dtype=object)
    padded = np.array([_padded(str(each), width) for each in flat.ravel()], dtype=f"S{width}").reshape(flat.shape)
    return _variable(dimensions, padded, attributes, char_dim_name=f"STRING{width}", _FillValue=_BLANK)


def _characters(text: str, name: str, dimensions: tuple[str, ...] = (), attributes: Mapping[str, str] | None = None) -> Variable:
    """A character for each place along a dimension, which xarray takes for one text along it."""
    array = np.array(text.encode("ascii", "replace"), dtype=f"S{len(text)}")
    return _variable(dimensions, array.reshape((1,) * len(dimensions)), attributes, char_dim_name=name, _FillValue=_BLANK)


def _padded(text: str, width: int) -> bytes:
    return text.encode("ascii", "replace")[:width].ljust(width)


def _flags(codes: Any, name: str, dimensions: tuple[str, ...] = ()) -> Variable:
    return _characters(_qc(codes), name, dimensions, {"long_name": "quality flag", "conventions": "Argo reference table 2"})


def _number(value: int, conventions: str) -> Variable:
    """A whole number of the cast; less than 0 is missing."""
    values = np.array([value if value >= 0 else _NO_NUMBER], dtype=np.int32)
    return _variable(("N_PROF",), values, {"conventions": conventions}, _FillValue=_NO_NUMBER)


def _of_levels(values: Any, attributes: Mapping[str, Any], fill: Any = None) -> Variable:
    return _variable(("N_PROF", "N_LEVELS"), values[None, :], attributes, _FillValue=fill)


def _code(qc: int | None) -> Any:
    return np.array([-1 if qc is None else qc])


def _qc(codes: Any) -> str:
    return "".join(" " if code < 0 else str(code) for code in codes.tolist())


def _time(at: Any) -> Variable:
    days = np.nan if at is None else float((np.datetime64(at.replace(tzinfo=None), "us") - _REFERENCE) / np.timedelta64(1, "us")) / _DAY
    attributes = {"standard_name": "time", "axis": "T", "units": "days since 1950-01-01 00:00:00 UTC", "calendar": "standard"}
    return _variable(("N_PROF",), np.array([days]), attributes, _FillValue=999999.0)


def _place(degrees: float | None, attributes: Mapping[str, str]) -> Variable:
    return _variable(("N_PROF",), np.array([np.nan if degrees is None else degrees]), attributes, _FillValue=99999.0)


def _compact(at: Any) -> str:
    return "" if at is None else f"{at:%Y%m%d%H%M%S}"
