"""Files of the Argo archive: profiles of all kinds, meta, technical and trajectory files, as whole arrays.

Add a kind of file here, or a variable that something downstream needs. The container belongs to `argo_netcdf`, what the arrays mean and how they
are judged to `domain/argo`. Argo's formats are described in the Argo user's manual (https://doi.org/10.13155/29825).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.argo.casts import (
    CORE_PARAMETERS,
    NO_QC,
    Casts,
    FileKind,
    FloatMeta,
    LevelArray,
    MeasuredParameter,
    Parameter,
    QcArray,
    RecordedTests,
    Sensor,
    StringArray,
    SurfaceFixes,
    TechnicalValues,
)
from water_pipelines.domain.series import FloatArray, Int32Array, TimeArray
from water_pipelines.parsers.argo_netcdf import CLASSIC, HDF5, Arrays, open_arrays
from water_pipelines.parsers.contract import Argo, Event, FileFacts, Head, UnreadableFile
from water_pipelines.parsers.mapping import Mapping

_PIECE_LEVELS = 1_000_000
_MOST_LEVELS = 1_000_000  # of one cast; a cast of 6,000 dbar at 0.1 dbar has 60,000
_FILL = 99999.0
_LARGEST = 1e30  # what NetCDF itself fills with lies beyond, as infinity does
_LIKE_TEMPERATURE = ("TEMP_DOXY", "TEMP_DOXY2")  # of oxygen sensors, without adjusted values, but tested as TEMP is
_MANDATORY = ("PLATFORM_NUMBER", "JULD", "LATITUDE", "LONGITUDE", "PRES")
_KINDS = (
    ("synthetic profile", FileKind.SYNTHETIC),
    ("merged profile", FileKind.SYNTHETIC),
    ("b-argo profile", FileKind.BGC),
    ("argo profile", FileKind.CORE),
    ("meta-data", FileKind.META),
    ("technical", FileKind.TECHNICAL),
    ("trajectory", FileKind.TRAJECTORY),
)


class ArgoFile:
    """NetCDF files of the Argo archive."""

    name = "argo"
    version = "1"
    kind = "argo"

    def recognises(self, head: Head) -> bool:
        """By the first bytes of NetCDF files of any version; whether it is one of Argo's is known when it is read."""
        return head.start.startswith((*CLASSIC, HDF5))

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Casts in pieces of about a million levels, or what is said of a float."""
        for content in read_argo(stream):
            yield Argo(content)


def read_argo(stream: BinaryIO) -> Iterator[Casts | FloatMeta | TechnicalValues | SurfaceFixes]:
    """What a NetCDF file of the Argo archive says.

    Raises
    ------
    UnreadableFile
        It is not NetCDF, not Argo's, cut off, or lacks what no Argo file may lack; the message names the variable or the dimension.
    """
    reader = _Reader(open_arrays(stream))
    match reader.kind():
        case FileKind.META:
            yield _read_meta(reader)
        case FileKind.TECHNICAL:
            yield _read_technical(reader)
        case FileKind.TRAJECTORY:
            yield _read_fixes(reader)
        case kind:
            yield from _read_casts(reader, kind)


_HEXADECIMAL = re.compile("[0-9A-Fa-f]{1,16}").fullmatch
_DIGITS = re.compile(r"\d{8}(\d\d){0,3}").fullmatch


class _Reader:
    """Variables of an Argo file in the types of the domain; what a file leaves out is empty or missing."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays

    def __contains__(self, name: str) -> bool:
        return name in self.arrays.variables

    def kind(self) -> FileKind:
        """What the file says that it is."""
        stated = self.text("DATA_TYPE")
        for words, kind in _KINDS:
            if words in stated.lower():
                return kind
        if stated == "" and "N_PROF" in self.arrays.dimensions and "PLATFORM_NUMBER" in self:
            is_core = "PARAMETER_DATA_MODE" not in self
            return FileKind.CORE if is_core else FileKind.SYNTHETIC if "PRES_ADJUSTED" in self else FileKind.BGC
        if stated:
            raise UnreadableFile(f"The file is NetCDF, but its variable DATA_TYPE says {stated[:60]!r}, which is no file of Argo that is known here.")
        raise UnreadableFile("The file is NetCDF, but not of the Argo archive: it has no variable DATA_TYPE. Export its series as CSV.")

    def require(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self:
                raise UnreadableFile(f"The Argo file has no variable {name}, without which its data have no place. Fetch it again from the archive.")

    def text(self, name: str) -> str:
        """A single text."""
        if name not in self:
            return ""
        return _clean(self.characters(name).tobytes())

    def texts(self, name: str, count: int, part: slice = slice(None)) -> StringArray:
        """A text a row."""
        if name not in self:
            return np.zeros(count, "U1")
        array = self.characters(name, part)
        width = array.shape[-1] if array.ndim > 1 else 1  # a single character a row has no dimension of its own
        if array.size != count * width:
            raise _misshapen(name)
        raw = array.tobytes()
        return np.array([_clean(raw[row * width : (row + 1) * width]) for row in range(count)] or [""], np.str_)[:count]

    def characters(self, name: str, part: slice = slice(None)) -> NDArray[Any]:
        """A variable of characters, with the length of its texts as the last dimension."""
        array = self.arrays.read(name, part)
        if array.dtype.kind != "S":
            raise UnreadableFile(f"The variable {name} of the Argo file should hold characters, but holds numbers.")
        return array

    def qc(self, name: str, shape: tuple[int, ...], part: slice = slice(None)) -> QcArray:
        """Flags 0 to 9."""
        if name not in self:
            return np.full(shape, NO_QC, np.uint8)
        array = self.characters(name, part)
        if array.shape == (*shape, 1):  # each flag is a text of its own
            array = array[..., 0]
        if array.shape != shape:
            raise _misshapen(name)
        return _QC[array.view(np.uint8)]

    def numbers(self, name: str, shape: tuple[int, ...], part: slice = slice(None)) -> LevelArray:
        """Numbers in the precision of the file, NaN where missing."""
        if name not in self:
            return np.full(shape, np.nan, np.float32)
        array = self.arrays.read(name, part)
        if array.dtype.kind not in "fiu":
            raise UnreadableFile(f"The variable {name} of the Argo file should hold numbers, but holds characters.")
        if array.shape != shape:
            raise _misshapen(name)
        attributes = self.arrays.variables[name].attributes
        if attributes.keys() & {"scale_factor", "add_offset"}:
            raise UnreadableFile(f"The variable {name} of the Argo file is packed (scale_factor, add_offset), as Argo's files never are. Unpack it.")
        values: LevelArray = array.astype(np.float32) if array.dtype.itemsize <= 4 and array.dtype.kind == "f" else array.astype(np.float64)
        missing = np.abs(values) > _LARGEST
        for fill in {self._fill(name), _FILL}:
            missing |= values == values.dtype.type(fill)
        values[missing] = np.nan
        return values

    def _fill(self, name: str) -> float:
        """What a variable says to stand for missing values; the archive's own, which always does, where it says nothing that is a number."""
        try:
            fill = float(self.arrays.variables[name].attributes.get("_FillValue", _FILL))
        except (TypeError, ValueError):
            return _FILL
        return fill if abs(fill) < _LARGEST else _FILL

    def doubles(self, name: str, shape: tuple[int, ...], part: slice = slice(None)) -> FloatArray:
        return self.numbers(name, shape, part).astype(np.float64)

    def integers(self, name: str, shape: tuple[int, ...], part: slice = slice(None)) -> Int32Array:
        """Numbers of cycles, missions and codes; -1 where missing."""
        values = self.doubles(name, shape, part)
        return np.where(np.abs(values) < 99999, values, -1).astype(np.int32)

    def times(self, name: str, shape: tuple[int, ...], part: slice = slice(None)) -> TimeArray:
        """Days since the reference date, to the millisecond; NaT where missing."""
        return _from_days(self.doubles(name, shape, part), self._reference)

    @cached_property
    def _reference(self) -> np.datetime64:
        stated = _stamp(self.text("REFERENCE_DATE_TIME"))
        return np.datetime64("1950-01-01", "us") if np.isnat(stated) else stated

    def scalar(self, name: str) -> float:
        if name not in self or self.arrays.variables[name].dtype.kind not in "fiu":
            return float("nan")
        array = self.arrays.read(name)
        value = float(array.ravel()[0]) if array.size else float("nan")
        return value if abs(value) < _LARGEST and value not in (self._fill(name), _FILL) else float("nan")

    def stamp(self, name: str) -> np.datetime64:
        return _stamp(self.text(name))


_QC = np.full(256, NO_QC, np.uint8)
_QC[ord("0") : ord("9") + 1] = range(10)


def _clean(raw: bytes) -> str:
    return raw.replace(b"\0", b" ").strip().decode("utf-8", "replace")


def _misshapen(name: str) -> UnreadableFile:
    return UnreadableFile(f"The variable {name} of the Argo file has other dimensions than Argo's format gives it. The file is damaged or forged.")


def _stamp(text: str) -> np.datetime64:
    """An Argo date of 14 digits (fewer where the file leaves the time out), or NaT."""
    digits = text[:14]
    if not _DIGITS(digits):
        return np.datetime64("NaT", "us")
    digits = digits.ljust(14, "0")
    try:
        stamp = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[8:10]}:{digits[10:12]}:{digits[12:]}"
        return np.datetime64(stamp, "us")
    except ValueError:  # a month or an hour that does not exist
        return np.datetime64("NaT", "us")


def _from_days(days: FloatArray, reference: np.datetime64) -> TimeArray:
    sane = np.isfinite(days) & (np.abs(days) < 200_000)  # five centuries
    milliseconds = np.round(np.where(sane, days, 0.0) * 86_400_000).astype("timedelta64[ms]")
    return np.where(sane, reference + milliseconds, np.datetime64("NaT", "us"))


def _read_casts(reader: _Reader, kind: FileKind) -> Iterator[Casts]:
    reader.require(_MANDATORY)
    dimensions = reader.arrays.dimensions
    for name in ("N_PROF", "N_LEVELS"):
        if dimensions.get(name, 0) == 0:
            raise UnreadableFile(
                f"The dimension {name} of the Argo file is 0 or missing: there are no levels in it. Fetch it again from the archive."
            )
    casts, levels = dimensions["N_PROF"], dimensions["N_LEVELS"]
    if levels > _MOST_LEVELS:
        raise UnreadableFile(f"The dimension N_LEVELS of the Argo file is {levels:,}: no cast has so many levels. The file is damaged or forged.")
    names = _parameter_names(reader)
    tests = _recorded_tests(reader, casts)
    step = max(1, _PIECE_LEVELS // levels)
    for start in range(0, casts, step):
        yield _read_piece(reader, kind, names, tests, slice(start, min(casts, start + step)))


def _parameter_names(reader: _Reader) -> list[str]:
    """PRES, and the parameters that have adjusted values or are tested as those are, in the order of the file."""
    variables = reader.arrays.variables
    found = []
    for name, each in variables.items():
        if (
            each.dimensions == ("N_PROF", "N_LEVELS")
            and each.dtype.kind == "f"
            and (name in (*CORE_PARAMETERS, *_LIKE_TEMPERATURE) or f"{name}_ADJUSTED" in variables)
        ):
            found.append(name)
    odd = [name for name in CORE_PARAMETERS if name in variables and name not in found]
    if odd:
        raise UnreadableFile(f"The variable {odd[0]} of the Argo file does not hold a number for each N_PROF and N_LEVELS. It is damaged or forged.")
    return found


def _read_piece(reader: _Reader, kind: FileKind, names: list[str], tests: RecordedTests, part: slice) -> Casts:
    count = part.stop - part.start
    shape = (count, reader.arrays.dimensions["N_LEVELS"])
    raw = {name: reader.numbers(name, shape, part) for name in names}
    held = ~np.isnan(raw["PRES"])
    for name in names[1:]:
        held |= ~np.isnan(raw[name])
    counts = np.where(held.any(1), shape[1] - np.argmax(held[:, ::-1], 1), 0)
    inside = np.arange(shape[1]) < counts[:, np.newaxis]
    platform = reader.texts("PLATFORM_NUMBER", count, part)
    if np.any(platform == ""):
        raise UnreadableFile("The variable PLATFORM_NUMBER of the Argo file is empty: nobody knows which float measured it.")
    modes = _modes(reader, names, count, part)
    parameters = {}
    for name in names:
        adjusted = f"{name}_ADJUSTED"
        parameters[name] = Parameter(
            units=str(reader.arrays.variables[name].attributes.get("units", "")),
            raw=raw.pop(name)[inside],
            qc=reader.qc(f"{name}_QC", shape, part)[inside],
            adjusted=reader.numbers(adjusted, shape, part)[inside],
            adjusted_qc=reader.qc(f"{adjusted}_QC", shape, part)[inside],
            adjusted_error=reader.numbers(f"{adjusted}_ERROR", shape, part)[inside],
            mode=modes[name],
        )
    return Casts(
        platform_number=platform,
        cycle=reader.integers("CYCLE_NUMBER", (count,), part),
        direction=_directions(reader, count, part),
        cast=np.arange(part.start, part.stop, dtype=np.int32),
        juld=reader.times("JULD", (count,), part),
        juld_qc=reader.qc("JULD_QC", (count,), part),
        juld_location=reader.times("JULD_LOCATION", (count,), part),
        latitude=reader.doubles("LATITUDE", (count,), part),
        longitude=reader.doubles("LONGITUDE", (count,), part),
        position_qc=reader.qc("POSITION_QC", (count,), part),
        data_mode=_letters(reader, "DATA_MODE", count, part, "") if "DATA_MODE" in reader else _mode_of_parameters(modes),
        data_centre=reader.texts("DATA_CENTRE", count, part),
        vertical_sampling_scheme=reader.texts("VERTICAL_SAMPLING_SCHEME", count, part),
        config_mission_number=reader.integers("CONFIG_MISSION_NUMBER", (count,), part),
        project_name=reader.texts("PROJECT_NAME", count, part),
        pi_name=reader.texts("PI_NAME", count, part),
        platform_type=reader.texts("PLATFORM_TYPE" if "PLATFORM_TYPE" in reader else "INST_REFERENCE", count, part),
        wmo_inst_type=reader.texts("WMO_INST_TYPE", count, part),
        float_serial_no=reader.texts("FLOAT_SERIAL_NO", count, part),
        positioning_system=reader.texts("POSITIONING_SYSTEM", count, part),
        updated_at=np.full(count, reader.stamp("DATE_UPDATE")),
        kind=np.full(count, kind.value),
        first=np.concatenate(([0], np.cumsum(counts))),
        parameters=parameters,
        profile_qc={name: reader.texts(f"PROFILE_{name}_QC", count, part) for name in names if f"PROFILE_{name}_QC" in reader},
        tests=tests.take(part),
    )


def _letters(reader: _Reader, name: str, count: int, part: slice, default: str) -> StringArray:
    letters = np.char.upper(reader.texts(name, count, part))
    return np.where(letters == "", default, letters)


def _directions(reader: _Reader, count: int, part: slice) -> StringArray:
    directions = _letters(reader, "DIRECTION", count, part, "A")
    wrong = directions[(directions != "A") & (directions != "D")]
    if len(wrong):
        raise UnreadableFile(f"The variable DIRECTION of the Argo file says {str(wrong[0])!r}; a cast is ascending (A) or descending (D).")
    return directions


def _modes(reader: _Reader, names: list[str], count: int, part: slice) -> dict[str, StringArray]:
    """The mode of each parameter in each cast, empty where the cast lacks it.

    Core files state one mode a cast, the others one a parameter; what neither states is of real time.
    """
    whole = _letters(reader, "DATA_MODE", count, part, "R")
    modes = {name: np.zeros(count, "U1") for name in names}
    if "STATION_PARAMETERS" not in reader:
        return dict.fromkeys(names, whole)
    stations = reader.characters("STATION_PARAMETERS", part)
    if stations.ndim != 3 or len(stations) != count:
        raise _misshapen("STATION_PARAMETERS")
    _, columns, width = stations.shape
    raw = stations.tobytes()
    own = reader.characters("PARAMETER_DATA_MODE", part).tobytes().decode("latin-1") if "PARAMETER_DATA_MODE" in reader else ""
    if own and len(own) != count * columns:
        raise _misshapen("PARAMETER_DATA_MODE")
    for row in range(count):
        for column in range(columns):
            place = row * columns + column
            name = _clean(raw[place * width : (place + 1) * width])
            if name in modes:
                mode = own[place].strip("\0 ") if own else ""
                modes[name][row] = mode or whole[row]
    return modes


def _mode_of_parameters(modes: dict[str, StringArray]) -> StringArray:
    stacked = np.stack(list(modes.values()))
    present = stacked != ""
    delayed = ((stacked == "D") | ~present).all(0) & present.any(0)
    return np.where(delayed, "D", np.where(np.isin(stacked, ("A", "D")).any(0), "A", np.where(present.any(0), "R", "")))


def _recorded_tests(reader: _Reader, casts: int) -> RecordedTests:
    """The latest records of performed and of failed tests of each cast."""
    found = RecordedTests.none(casts)
    if "HISTORY_QCTEST" not in reader or "HISTORY_ACTION" not in reader:
        return found
    actions = reader.arrays.read("HISTORY_ACTION")
    if actions.ndim != 3 or actions.shape[1] != casts or not actions.size:
        return found
    raw, width = actions.tobytes(), actions.shape[2]
    wanted = [place for place in range(actions.shape[0] * casts) if raw[place * width : place * width + 4] in (b"QCP$", b"QCF$")]
    steps = _words_at(reader, "HISTORY_STEP", wanted, casts)
    wanted = [place for place, step in zip(wanted, steps, strict=True) if step in ("ARGQ", "")]  # others note what people and analyses found
    columns = [
        _words_at(reader, f"HISTORY_{name}", wanted, casts) for name in ("ACTION", "QCTEST", "DATE", "INSTITUTION", "SOFTWARE", "SOFTWARE_RELEASE")
    ]
    dates = {True: np.full(casts, "NaT", "datetime64[us]"), False: np.full(casts, "NaT", "datetime64[us]")}
    for place, action, said, date, institution, software, release in zip(wanted, *columns, strict=True):
        if not _HEXADECIMAL(said):
            continue  # a step that names no test
        cast, is_failure, at = place % casts, action == "QCF$", _stamp(date)
        bits, has = (found.failed, found.has_failed) if is_failure else (found.performed, found.has_performed)
        if has[cast] and at < dates[is_failure][cast]:
            continue
        bits[cast], has[cast], dates[is_failure][cast] = int(said, 16), True, at
        if is_failure or not found.has_failed[cast]:
            found.at[cast], found.institution[cast], found.software[cast], found.release[cast] = at, institution, software, release
    return found


def _words_at(reader: _Reader, name: str, places: list[int], casts: int) -> list[str]:
    """The texts of a history variable at some records."""
    if name not in reader:
        return [""] * len(places)
    array = reader.characters(name)
    if array.ndim != 3 or array.shape[1] != casts:
        raise _misshapen(name)
    raw, width = array.tobytes(), array.shape[-1]
    return [_clean(raw[place * width : (place + 1) * width]) for place in places]


def _read_meta(reader: _Reader) -> FloatMeta:
    reader.require(("PLATFORM_NUMBER",))
    platform = _one_platform(reader)
    configured = reader.texts("CONFIG_PARAMETER_NAME", _length(reader, "CONFIG_PARAMETER_NAME"))
    missions = reader.integers("CONFIG_MISSION_NUMBER", (_length(reader, "CONFIG_MISSION_NUMBER"),))
    values = _configured(reader, (len(missions), len(configured)))
    at_launch = reader.texts("LAUNCH_CONFIG_PARAMETER_NAME", _length(reader, "LAUNCH_CONFIG_PARAMETER_NAME"))
    launch_values = reader.doubles("LAUNCH_CONFIG_PARAMETER_VALUE", (len(at_launch),))
    text = reader.text
    return FloatMeta(
        platform_number=platform,
        platform_family=text("PLATFORM_FAMILY"),
        platform_type=text("PLATFORM_TYPE") or text("PLATFORM_MODEL"),
        platform_maker=text("PLATFORM_MAKER"),
        float_serial_no=text("FLOAT_SERIAL_NO") or text("INST_REFERENCE"),
        firmware_version=text("FIRMWARE_VERSION"),
        wmo_inst_type=text("WMO_INST_TYPE"),
        data_centre=text("DATA_CENTRE"),
        project_name=text("PROJECT_NAME"),
        pi_name=text("PI_NAME"),
        float_owner=text("FLOAT_OWNER"),
        operating_institution=text("OPERATING_INSTITUTION"),
        positioning_systems=_column(reader, "POSITIONING_SYSTEM"),
        transmission_systems=_column(reader, "TRANS_SYSTEM"),
        deployment_platform=text("DEPLOYMENT_PLATFORM"),
        deployment_cruise_id=text("DEPLOYMENT_CRUISE_ID"),
        launch_at=reader.stamp("LAUNCH_DATE"),
        launch_latitude=reader.scalar("LAUNCH_LATITUDE"),
        launch_longitude=reader.scalar("LAUNCH_LONGITUDE"),
        launch_qc=int(_QC[ord(text("LAUNCH_QC")[:1] or " ") & 255]),
        start_at=reader.stamp("START_DATE"),
        end_mission_at=reader.stamp("END_MISSION_DATE"),
        end_mission_status=text("END_MISSION_STATUS"),
        updated_at=reader.stamp("DATE_UPDATE"),
        sensors=tuple(Sensor(*row) for row in _rows(reader, ("SENSOR", "SENSOR_MAKER", "SENSOR_MODEL", "SENSOR_SERIAL_NO"))),
        parameters=tuple(
            MeasuredParameter(*row)
            for row in _rows(reader, ("PARAMETER", "PARAMETER_SENSOR", "PARAMETER_UNITS", "PARAMETER_ACCURACY", "PARAMETER_RESOLUTION"))
        ),
        launch_configuration=dict(zip(at_launch.tolist(), launch_values.tolist(), strict=True)),
        missions={
            number: {name: value for name, value in zip(configured.tolist(), row, strict=True) if value == value}
            for number, row in zip(missions.tolist(), values.tolist(), strict=True)
        },
    )


def _configured(reader: _Reader, shape: tuple[int, int]) -> FloatArray:
    """The configuration of each mission; files before format 3 kept it in another shape, which says nothing of missions."""
    name = "CONFIG_PARAMETER_VALUE"
    if name in reader and reader.arrays.variables[name].shape != shape:
        return np.full(shape, np.nan)
    return reader.doubles(name, shape)


def _one_platform(reader: _Reader) -> str:
    platform = reader.text("PLATFORM_NUMBER")
    if not platform:
        raise UnreadableFile("The variable PLATFORM_NUMBER of the Argo file is empty: nobody knows which float it describes.")
    return platform


def _length(reader: _Reader, name: str) -> int:
    """How many rows a variable has."""
    return reader.arrays.variables[name].shape[0] if name in reader and reader.arrays.variables[name].shape else 0


def _column(reader: _Reader, name: str) -> tuple[str, ...]:
    """The texts of a list, or the only one of older files."""
    if name in reader and len(reader.arrays.variables[name].shape) < 2:
        return tuple(filter(None, (reader.text(name),)))
    return tuple(filter(None, reader.texts(name, _length(reader, name)).tolist()))


def _rows(reader: _Reader, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The texts of some variables of the same length, a row at a time, without rows that name nothing."""
    count = _length(reader, names[0])
    columns = [reader.texts(name, count).tolist() for name in names]
    return (row for row in zip(*columns, strict=True) if row[0])


def _read_technical(reader: _Reader) -> TechnicalValues:
    reader.require(("PLATFORM_NUMBER", "TECHNICAL_PARAMETER_NAME", "TECHNICAL_PARAMETER_VALUE"))
    count = _length(reader, "TECHNICAL_PARAMETER_NAME")
    return TechnicalValues(
        platform_number=_one_platform(reader),
        data_centre=reader.text("DATA_CENTRE"),
        updated_at=reader.stamp("DATE_UPDATE"),
        cycle=reader.integers("CYCLE_NUMBER", (count,)),
        name=reader.texts("TECHNICAL_PARAMETER_NAME", count),
        value=reader.texts("TECHNICAL_PARAMETER_VALUE", count),
    )


def _read_fixes(reader: _Reader) -> SurfaceFixes:
    reader.require(("PLATFORM_NUMBER", "JULD", "LATITUDE", "LONGITUDE"))
    shape = (_length(reader, "JULD"),)
    latitude, longitude = reader.doubles("LATITUDE", shape), reader.doubles("LONGITUDE", shape)
    stated, adjusted = reader.times("JULD", shape), reader.times("JULD_ADJUSTED", shape)
    is_adjusted = ~np.isnat(adjusted)
    fixed = ~np.isnan(latitude) & ~np.isnan(longitude)
    return SurfaceFixes(
        platform_number=_one_platform(reader),
        data_centre=reader.text("DATA_CENTRE"),
        is_delayed="D" in reader.text("DATA_MODE"),
        updated_at=reader.stamp("DATE_UPDATE"),
        cycle=reader.integers("CYCLE_NUMBER", shape)[fixed],
        at=np.where(is_adjusted, adjusted, stated)[fixed],
        at_qc=np.where(is_adjusted, reader.qc("JULD_ADJUSTED_QC", shape), reader.qc("JULD_QC", shape))[fixed],
        latitude=latitude[fixed],
        longitude=longitude[fixed],
        position_qc=reader.qc("POSITION_QC", shape)[fixed],
        accuracy=reader.texts("POSITION_ACCURACY", shape[0])[fixed],
        measurement_code=reader.integers("MEASUREMENT_CODE", shape)[fixed],
    )
