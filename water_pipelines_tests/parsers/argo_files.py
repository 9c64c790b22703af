"""Argo files made for tests: as small as they may be, in any format of NetCDF, with anything left out or spoilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np

NAN = float("nan")
Container = Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"]


def profile_file(
    path: Path,
    casts: Sequence[Mapping[str, Any]],
    *,
    data_type: str = "Argo profile",
    container: Container = "NETCDF3_CLASSIC",
    without: Sequence[str] = (),
    levels: int | None = None,
) -> bytes:
    """A profile file, one mapping a cast.

    Keys of a cast: PRES and other parameters as lists (NaN for the fill value), ``<PARAM>_QC`` as a text of digits, ``<PARAM>_ADJUSTED`` likewise,
    and the variables of the cast (`PLATFORM_NUMBER`, `CYCLE_NUMBER`, `DIRECTION`, `JULD` in days, `DATA_MODE`, ...). `without` names variables
    that are left out.
    """
    parameters = list(
        dict.fromkeys(
            name
            for cast in casts
            for name, value in cast.items()
            if isinstance(value, list) and not name.endswith(("_ADJUSTED", "_ERROR", "HISTORY"))
        )
    )
    count = levels if levels is not None else max(len(cast[name]) for cast in casts for name in parameters if name in cast)
    with netCDF4.Dataset(path, "w", format=container) as file:
        for name, length in {"N_PROF": len(casts), "N_PARAM": len(parameters), "N_LEVELS": count, "N_HISTORY": None}.items():
            file.createDimension(name, length)
        for length in (2, 4, 8, 16, 32, 64, 256):
            file.createDimension(f"STRING{length}", length)
        file.createDimension("DATE_TIME", 14)
        writer = _Writer(file, without)
        writer.text("DATA_TYPE", ("STRING32",), data_type)
        writer.text("DATE_UPDATE", ("DATE_TIME",), "20200102030405")
        writer.text("REFERENCE_DATE_TIME", ("DATE_TIME",), "19500101000000")
        texts = {"PLATFORM_NUMBER": (8, "6900001"), "DATA_CENTRE": (2, "IF"), "VERTICAL_SAMPLING_SCHEME": (256, "Primary sampling: discrete []")}
        for name, (length, default) in texts.items():
            writer.text(name, ("N_PROF", f"STRING{length}"), [cast.get(name, default) for cast in casts])
        for name, default in {"DIRECTION": "A", "DATA_MODE": "R", "JULD_QC": "1", "POSITION_QC": "1"}.items():
            writer.text(name, ("N_PROF",), [cast.get(name, default) for cast in casts])
        writer.number("CYCLE_NUMBER", "i4", ("N_PROF",), 99999, [cast.get("CYCLE_NUMBER", 1) for cast in casts])
        for name, usual in {"JULD": 25567.5, "JULD_LOCATION": 25567.5, "LATITUDE": 45.0, "LONGITUDE": -30.0}.items():
            fill = 999999.0 if name.startswith("JULD") else 99999.0
            writer.number(name, "f8", ("N_PROF",), fill, [cast.get(name, usual) for cast in casts])
        width = max((len(name) for name in parameters), default=1)
        file.createDimension("NAME", width)
        writer.text("STATION_PARAMETERS", ("N_PROF", "N_PARAM", "NAME"), [[name if name in cast else "" for name in parameters] for cast in casts])
        if any("PARAMETER_DATA_MODE" in cast for cast in casts):
            writer.text(
                "PARAMETER_DATA_MODE", ("N_PROF", "N_PARAM"), [list(str(cast["PARAMETER_DATA_MODE"]).ljust(len(parameters))) for cast in casts]
            )
        for name in parameters:
            for suffix in ("", "_ADJUSTED", "_ADJUSTED_ERROR"):
                rows = [_padded(cast.get(name + suffix, []), count) for cast in casts]
                writer.number(name + suffix, "f4", ("N_PROF", "N_LEVELS"), 99999.0, rows)
            for suffix in ("_QC", "_ADJUSTED_QC"):
                flags = [str(cast.get(name + suffix, "")).ljust(count)[:count] for cast in casts]
                writer.text(name + suffix, ("N_PROF", "N_LEVELS"), [list(row) for row in flags])
        _write_history(writer, casts)
    return path.read_bytes()


def _padded(values: list[float], count: int) -> list[float]:
    return [*values, *[NAN] * (count - len(values))]


def _write_history(writer: _Writer, casts: Sequence[Mapping[str, Any]]) -> None:
    """`HISTORY` of a cast: (action, hexadecimal sum, date, institution, software, release) a record."""
    records = max(len(cast.get("HISTORY", ())) for cast in casts)
    for place, (name, length) in enumerate({"ACTION": 4, "QCTEST": 16, "DATE": 14, "INSTITUTION": 4, "SOFTWARE": 4, "SOFTWARE_RELEASE": 4}.items()):
        rows = [[_record(cast, record, place) for cast in casts] for record in range(records)]
        writer.text(f"HISTORY_{name}", ("N_HISTORY", "N_PROF", "DATE_TIME" if length == 14 else f"STRING{length}"), rows)


def _record(cast: Mapping[str, Any], record: int, place: int) -> str:
    history = cast.get("HISTORY", ())
    return str(history[record][place]) if record < len(history) else ""


class _Writer:
    """Variables of a file that is being written."""

    def __init__(self, file: netCDF4.Dataset, without: Sequence[str]) -> None:
        self._file = file
        self._without = without

    def text(self, name: str, dimensions: tuple[str, ...], value: Any) -> None:
        """Characters; NULs within a text are kept."""
        if name in self._without:
            return
        variable = self._file.createVariable(name, "S1", dimensions, fill_value=b" ")
        single = all(not each.startswith(("STRING", "DATE_TIME", "NAME")) for each in dimensions)
        length = 1 if single else len(self._file.dimensions[dimensions[-1]])
        flat = np.array(value, dtype=object).ravel()
        if flat.size:
            raw = b"".join(str(each).encode().ljust(length)[:length] for each in flat)
            variable[...] = np.frombuffer(raw, "S1").reshape(*np.shape(value), *(() if single else (length,)))

    def number(self, name: str, kind: str, dimensions: tuple[str, ...], fill: float, value: Any) -> None:
        """Numbers; NaN becomes the fill value."""
        if name in self._without:
            return
        variable = self._file.createVariable(name, kind, dimensions, fill_value=fill)
        variable.units = {"PRES": "decibar", "TEMP": "degree_Celsius", "PSAL": "psu"}.get(name, "")
        array = np.array(value, float)
        if array.size:
            variable[...] = np.where(np.isnan(array), fill, array).astype(kind)


def as_netcdf4(data: bytes, path: Path, *, otherwise: bool = False) -> bytes:
    """A NetCDF-4 copy of a classic file, value by value.

    Or `otherwise`: texts and flags as NC_STRING, numbers as big-endian doubles in small chunks.
    """
    container: Literal["NETCDF4", "NETCDF4_CLASSIC"] = "NETCDF4" if otherwise else "NETCDF4_CLASSIC"
    with netCDF4.Dataset("classic.nc", memory=data) as old, netCDF4.Dataset(path, "w", format=container) as new:
        old.set_auto_maskandscale(False)
        old.set_auto_chartostring(False)
        for name, dimension in old.dimensions.items():
            new.createDimension(name, None if dimension.isunlimited() else len(dimension))
        for name, variable in old.variables.items():
            if otherwise and variable.dtype.kind == "S":
                _copy_as_text(new, name, variable)
                continue
            attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
            kind: dict[str, Any] = {"datatype": variable.dtype, "zlib": variable.ndim > 0}
            if otherwise and variable.dtype.kind == "f":
                kind |= {"datatype": np.dtype(">f8"), "endian": "big", "chunksizes": [min(each, 5) or 1 for each in variable.shape] or None}
            fill = attributes.pop("_FillValue", None)
            copy = new.createVariable(name, dimensions=variable.dimensions, fill_value=fill, **kind)
            copy.setncatts(attributes)
            copy.set_auto_maskandscale(False)
            copy.set_auto_chartostring(False)
            if variable.size:
                copy[...] = variable[...]
    return path.read_bytes()


def _copy_as_text(new: netCDF4.Dataset, name: str, variable: Any) -> None:
    dimensions = variable.dimensions
    is_long = bool(dimensions) and dimensions[-1].startswith(("STRING", "DATE_TIME"))
    copy = new.createVariable(name, str, dimensions[:-1] if is_long else dimensions)
    if variable.size:
        texts = netCDF4.chartostring(variable[...]) if is_long else np.char.decode(variable[...])
        if copy.ndim:
            copy[...] = np.asarray(texts, object)
        else:
            copy[0] = str(texts)
