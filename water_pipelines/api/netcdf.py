"""An Argo cast as a NetCDF file of the archive's own layout, with our flags beside those of the data centre.

`xarray.open_dataset(path, engine="argo")`, argopy and this platform itself read it. The same cast gives the same bytes. Keep out: reading the cast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from water_pipelines.storage.served.argo import Levels

if TYPE_CHECKING:
    from xarray import Variable

MEDIA_TYPE = "application/x-netcdf"
_FILL = np.float32(99999.0)
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
        "REFERENCE_DATE_TIME": _text("19500101000000", 14, "DATE_TIME"),
        "DATE_UPDATE": _text(_compact(profile["updated_at"]), 14, "DATE_TIME"),
        "PLATFORM_NUMBER": _texts([str(profile["wmo"])], 8),
        "PROJECT_NAME": _texts([said["project_name"]], 64),
        "PI_NAME": _texts([said["pi_name"]], 64),
        "STATION_PARAMETERS": _texts([names], 64 if max(map(len, names), default=0) > 16 else 16, ("N_PROF", "N_PARAM")),
        "CYCLE_NUMBER": _of_cast(np.array([profile["cycle"]], dtype=np.int32)),
        "DIRECTION": _characters(profile["direction"], "N_PROF"),
        "DATA_CENTRE": _texts([profile["data_centre"]], 2),
        "DATA_MODE": _characters(profile["data_mode"] or " ", "N_PROF"),
        "PARAMETER_DATA_MODE": _characters("".join(_modes(profile).get(name, " ") for name in names), "N_PARAM", ("N_PROF",)),
        "PLATFORM_TYPE": _texts([said["platform_type"]], 32),
        "FLOAT_SERIAL_NO": _texts([said["float_serial_no"]], 32),
        "WMO_INST_TYPE": _texts([said["wmo_inst_type"]], 4),
        "VERTICAL_SAMPLING_SCHEME": _texts([profile["vertical_sampling_scheme"]], 256),
        "CONFIG_MISSION_NUMBER": _of_cast(np.array([said["config_mission_number"]], dtype=np.int32)),
        "POSITIONING_SYSTEM": _texts([said["positioning_system"]], 8),
        "JULD": _time(profile["at"]),
        "JULD_QC": _characters(_qc(_code(profile["at_qc"])), "N_PROF"),
        "JULD_LOCATION": _time(profile["located_at"]),
        "LATITUDE": _place(profile["latitude"], "degree_north"),
        "LONGITUDE": _place(profile["longitude"], "degree_east"),
        "POSITION_QC": _characters(_qc(_code(profile["position_qc"])), "N_PROF"),
    }
    for name in names:
        of, unit = _filled(levels.parameters[name]), {"units": levels.units.get(name, "")}
        for suffix, column in (("", "raw"), ("_ADJUSTED", "adjusted"), ("_ADJUSTED_ERROR", "error")):
            variables[f"{name}{suffix}"] = _of_levels(of[column].astype(np.float32), unit, _FILL)
        for suffix, column in (("_QC", "qc"), ("_ADJUSTED_QC", "adjusted_qc")):
            variables[f"{name}{suffix}"] = _characters(_qc(of[column]), "N_LEVELS", ("N_PROF",))
        flags = {"long_name": "flag of this platform's real-time tests, 1 good to 4 bad", "comment": str(profile["rules"] or "not evaluated yet")}
        if profile["rules"] is not None:
            variables[f"{name}_WATER_FLAG"] = _of_levels(of["flag"].astype(np.int8), flags)
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


def _text(text: str, width: int, name: str | None = None) -> Variable:
    return _variable((), np.array(_padded(text, width), dtype=f"S{width}"), char_dim_name=name or f"STRING{width}")


def _texts(texts: Any, width: int, dimensions: tuple[str, ...] = ("N_PROF",)) -> Variable:
    flat = np.array(texts, dtype=object)
    padded = np.array([_padded(str(each), width) for each in flat.ravel()], dtype=f"S{width}").reshape(flat.shape)
    return _variable(dimensions, padded, char_dim_name=f"STRING{width}")


def _characters(text: str, name: str, dimensions: tuple[str, ...] = ()) -> Variable:
    """A character for each place along a dimension, which xarray takes for one text along it."""
    array = np.array(text.encode("ascii", "replace"), dtype=f"S{len(text)}")
    return _variable(dimensions, array.reshape((1,) * len(dimensions)), char_dim_name=name)


def _padded(text: str, width: int) -> bytes:
    return text.encode("ascii", "replace")[:width].ljust(width)


def _of_cast(values: Any) -> Variable:
    return _variable(("N_PROF",), values)


def _of_levels(values: Any, attributes: Mapping[str, Any], fill: Any = None) -> Variable:
    return _variable(("N_PROF", "N_LEVELS"), values[None, :], attributes, _FillValue=fill)


def _code(qc: int | None) -> Any:
    return np.array([-1 if qc is None else qc])


def _qc(codes: Any) -> str:
    return "".join(" " if code < 0 else str(code) for code in codes.tolist())


def _time(at: Any) -> Variable:
    days = np.nan if at is None else float((np.datetime64(at.replace(tzinfo=None), "us") - _REFERENCE) / np.timedelta64(1, "us")) / _DAY
    attributes = {"units": "days since 1950-01-01 00:00:00 UTC", "calendar": "standard"}
    return _variable(("N_PROF",), np.array([days]), attributes, _FillValue=999999.0)


def _place(degrees: float | None, unit: str) -> Variable:
    return _variable(("N_PROF",), np.array([np.nan if degrees is None else degrees]), {"units": unit}, _FillValue=99999.0)


def _compact(at: Any) -> str:
    return "" if at is None else f"{at:%Y%m%d%H%M%S}"
