"""Casts of Argo floats as arrays: what the parser gives, the tests take and the store keeps.

Add a field here when a file states it and something downstream needs it. How a file is read belongs to `parsers/argo.py`, what the tests find
to `flags`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.series import BoolArray, FloatArray, Int32Array, Int64Array, TimeArray

StringArray = NDArray[np.str_]
QcArray = NDArray[np.uint8]
LevelArray = NDArray[np.float32] | NDArray[np.float64]
BitsArray = NDArray[np.uint64]

NO_QC = 255
"""The quality flag of a value that has none: the file leaves it blank, or the cast lacks the parameter. Argo's own flags are 0 to 9."""

CORE_PARAMETERS = ("PRES", "TEMP", "PSAL")


class FileKind(StrEnum):
    """What a file of the Argo archive holds."""

    CORE = "core"
    BGC = "bgc"
    SYNTHETIC = "synthetic"
    META = "meta"
    TECHNICAL = "technical"
    TRAJECTORY = "trajectory"
    GREY_LIST = "grey list"


@dataclass(frozen=True)
class Parameter:
    """One parameter at all levels of all casts; where a cast lacks the parameter its levels are NaN and `NO_QC`.

    Parameters
    ----------
    units : str
        As the file writes them.
    raw, adjusted, adjusted_error : float32[n] or float64[n]
        NaN where missing.
    qc, adjusted_qc : uint8[n]
        The data centre's flags, 0 to 9, or `NO_QC`.
    mode : str[c]
        R, A or D for each cast; empty where the cast lacks the parameter.
    """

    units: str
    raw: LevelArray
    qc: QcArray
    adjusted: LevelArray
    adjusted_qc: QcArray
    adjusted_error: LevelArray
    mode: StringArray

    def best(self, cast_of_level: Int64Array) -> tuple[LevelArray, QcArray]:
        """Values and flags to use: adjusted ones where the mode of the cast is A or D, raw ones elsewhere."""
        adjusted = np.isin(self.mode, ("A", "D"))[cast_of_level]
        return np.where(adjusted, self.adjusted, self.raw), np.where(adjusted, self.adjusted_qc, self.qc)


@dataclass(frozen=True)
class RecordedTests:
    """What HISTORY_QCTEST says of each cast: the latest record of the tests that the data centre performed, and of those that failed.

    Parameters
    ----------
    performed, failed : uint64[c]
        Sums of 2^n over the tests n; bit 0 is no test.
    has_performed, has_failed : bool[c]
        Whether there is such a record.
    at : datetime64[us][c]
        Date of the record of failures, or of the performed ones where there is none of failures; NaT where the file leaves it out.
    institution, software, release : str[c]
        As the file writes them.
    """

    performed: BitsArray
    failed: BitsArray
    has_performed: BoolArray
    has_failed: BoolArray
    at: TimeArray
    institution: StringArray
    software: StringArray
    release: StringArray

    @classmethod
    def none(cls, casts: int) -> RecordedTests:
        """No record for any cast."""
        bits, has, words = np.zeros(casts, np.uint64), np.zeros(casts, np.bool_), np.zeros(casts, "U4")
        return cls(bits, bits.copy(), has, has.copy(), np.full(casts, "NaT", "datetime64[us]"), words, words.copy(), words.copy())

    def take(self, where: NDArray[np.generic] | slice) -> RecordedTests:
        """The records of the casts at a mask, a slice or positions."""
        return RecordedTests(*(getattr(self, each.name)[where] for each in fields(RecordedTests)))


@dataclass(frozen=True)
class Casts:
    """Casts of one file or of many: arrays over c casts, and over the n levels of all of them, cast after cast in the order of the file.

    Parameters
    ----------
    platform_number : str[c]
        WMO number.
    cycle : int32[c]
        -1 where missing.
    direction : str[c]
        A ascending, D descending.
    cast : int32[c]
        Index along N_PROF within the file.
    juld, juld_location : datetime64[us][c]
        UTC; NaT where missing.
    latitude, longitude : float64[c]
        NaN where missing.
    juld_qc, position_qc : uint8[c]
        0 to 9, or `NO_QC`.
    data_mode : str[c]
        R, A or D. Synthetic files have no mode of the cast: there it is the one of its parameters, D only where all are.
    config_mission_number : int32[c]
        -1 where missing.
    updated_at : datetime64[us][c]
        DATE_UPDATE of the file.
    kind : str[c]
        `FileKind` of the file.
    first : int64[c + 1]
        The levels of cast i are `first[i]:first[i + 1]`. The place of a level within its cast is its index along N_LEVELS; levels after the
        last one that holds anything are left out.
    parameters : mapping of str to Parameter
        By name: PRES, those for which the archive has adjusted values, and the temperature of oxygen sensors. Other intermediate ones (counts,
        phases, standard deviations) are left out.
    profile_qc : mapping of str to str[c]
        PROFILE_<PARAM>_QC: the share of good levels, A (all) to F (none); empty where not stated.
    tests : RecordedTests
    """

    platform_number: StringArray
    cycle: Int32Array
    direction: StringArray
    cast: Int32Array
    juld: TimeArray
    juld_qc: QcArray
    juld_location: TimeArray
    latitude: FloatArray
    longitude: FloatArray
    position_qc: QcArray
    data_mode: StringArray
    data_centre: StringArray
    vertical_sampling_scheme: StringArray
    config_mission_number: Int32Array
    project_name: StringArray
    pi_name: StringArray
    platform_type: StringArray
    wmo_inst_type: StringArray
    float_serial_no: StringArray
    positioning_system: StringArray
    updated_at: TimeArray
    kind: StringArray
    first: Int64Array
    parameters: Mapping[str, Parameter]
    profile_qc: Mapping[str, StringArray]
    tests: RecordedTests

    def __len__(self) -> int:
        return len(self.cycle)

    @property
    def levels(self) -> int:
        """How many levels all casts have together."""
        return int(self.first[-1])

    @property
    def counts(self) -> Int64Array:
        """int64[c]: how many levels each cast has."""
        return np.diff(self.first)

    @property
    def cast_of_level(self) -> Int64Array:
        """int64[n]: the cast that each level belongs to, as an index into the arrays over casts."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.counts)

    @property
    def level(self) -> Int32Array:
        """int32[n]: the index of each level within its cast."""
        return (np.arange(self.levels) - np.repeat(self.first[:-1], self.counts)).astype(np.int32)

    def take(self, where: NDArray[np.generic] | slice) -> Casts:
        """The casts at a mask, a slice or positions, with their levels, in that order."""
        chosen = np.arange(len(self))[where]
        first = np.concatenate(([0], np.cumsum(self.counts[chosen])))
        source = np.arange(first[-1]) + np.repeat(self.first[chosen] - first[:-1], np.diff(first))
        parameters = {
            name: Parameter(each.units, mode=each.mode[chosen], **{column: getattr(each, column)[source] for column in _LEVEL_COLUMNS})
            for name, each in self.parameters.items()
        }
        plain = {name: getattr(self, name)[chosen] for name in _CAST_COLUMNS}
        return Casts(
            **plain,
            first=first,
            parameters=parameters,
            profile_qc={name: qc[chosen] for name, qc in self.profile_qc.items()},
            tests=self.tests.take(chosen),
        )


_LEVEL_COLUMNS = ("raw", "qc", "adjusted", "adjusted_qc", "adjusted_error")
_CAST_COLUMNS = tuple(each.name for each in fields(Casts) if each.name not in ("first", "parameters", "profile_qc", "tests"))


def concatenate(files: Sequence[Casts]) -> Casts:
    """The casts of many files as one, in their order. Parameters are the union; units are those of the first file that states them."""
    if not files:
        raise ValueError("there is nothing to concatenate")
    if len(files) == 1:
        return files[0]
    counts = [len(each) for each in files]
    levels = [each.levels for each in files]
    offsets = np.concatenate(([0], np.cumsum(levels)))
    first = np.concatenate([each.first[:-1] + offset for each, offset in zip(files, offsets[:-1], strict=True)] + [offsets[-1:]])
    plain = {name: np.concatenate([getattr(each, name) for each in files]) for name in _CAST_COLUMNS}
    names = list(dict.fromkeys(name for each in files for name in each.parameters))
    qc_names = list(dict.fromkeys(name for each in files for name in each.profile_qc))
    return Casts(
        **plain,
        first=first,
        parameters={name: _join([each.parameters.get(name) for each in files], counts, levels) for name in names},
        profile_qc={
            name: np.concatenate([each.profile_qc.get(name, np.zeros(count, "U1")) for each, count in zip(files, counts, strict=True)])
            for name in qc_names
        },
        tests=RecordedTests(*(np.concatenate([getattr(each.tests, column.name) for each in files]) for column in fields(RecordedTests))),
    )


def _join(parts: Sequence[Parameter | None], counts: Sequence[int], levels: Sequence[int]) -> Parameter:
    """One parameter of many files; the files without it are filled."""
    present = [part for part in parts if part is not None]
    columns = {}
    for column in _LEVEL_COLUMNS:
        kind = np.result_type(*{getattr(part, column).dtype for part in present})
        none = NO_QC if kind == np.uint8 else np.nan
        columns[column] = np.concatenate(
            [np.full(n, none, kind) if part is None else getattr(part, column) for part, n in zip(parts, levels, strict=True)]
        )
    mode = np.concatenate([np.zeros(c, "U1") if part is None else part.mode for part, c in zip(parts, counts, strict=True)])
    return Parameter(next((part.units for part in present if part.units), ""), **columns, mode=mode)


@dataclass(frozen=True)
class Sensor:
    """A sensor of a float, in the words of the file."""

    name: str
    maker: str
    model: str
    serial_no: str


@dataclass(frozen=True)
class MeasuredParameter:
    """A parameter that a float measures; accuracy and resolution as the file writes them."""

    name: str
    sensor: str
    units: str
    accuracy: str
    resolution: str


@dataclass(frozen=True)
class FloatMeta:
    """What a meta file says of a float; texts are empty and numbers NaN where it does not.

    Parameters
    ----------
    platform_number : str
        WMO number.
    launch_at, start_at, end_mission_at, updated_at : datetime64[us]
        UTC, or NaT.
    launch_latitude, launch_longitude : float
        Degrees.
    launch_qc : int
        0 to 9, or `NO_QC`.
    sensors : tuple of Sensor
    parameters : tuple of MeasuredParameter
    launch_configuration : mapping of str to float
        By parameter name (``CONFIG_ProfilePressure_dbar``), NaN where unknown.
    missions : mapping of int to mapping of str to float
        The configuration that each mission states, by mission number.
    """

    platform_number: str
    platform_family: str
    platform_type: str
    platform_maker: str
    float_serial_no: str
    firmware_version: str
    wmo_inst_type: str
    data_centre: str
    project_name: str
    pi_name: str
    float_owner: str
    operating_institution: str
    positioning_systems: tuple[str, ...]
    transmission_systems: tuple[str, ...]
    deployment_platform: str
    deployment_cruise_id: str
    launch_at: np.datetime64
    launch_latitude: float
    launch_longitude: float
    launch_qc: int
    start_at: np.datetime64
    end_mission_at: np.datetime64
    end_mission_status: str
    updated_at: np.datetime64
    sensors: tuple[Sensor, ...]
    parameters: tuple[MeasuredParameter, ...]
    launch_configuration: Mapping[str, float]
    missions: Mapping[int, Mapping[str, float]]

    def configured(self, name: str, missions: Int32Array) -> FloatArray:
        """A configuration parameter for each mission number: the mission's own value, else the one at launch, else NaN.

        Examples
        --------
        ``meta.configured("CONFIG_ProfilePressure_dbar", casts.config_mission_number)`` is what test 19 compares with.
        """
        at_launch = self.launch_configuration.get(name, np.nan)
        values = []
        for mission in missions.tolist():
            stated = self.missions.get(mission, {}).get(name, np.nan)
            values.append(at_launch if np.isnan(stated) else stated)
        return np.array(values, dtype=np.float64)


@dataclass(frozen=True)
class TechnicalValues:
    """What a technical file says, a value a row: int32[k] cycle (-1 where missing), str[k] name and value."""

    platform_number: str
    data_centre: str
    updated_at: np.datetime64
    cycle: Int32Array
    name: StringArray
    value: StringArray


@dataclass(frozen=True)
class SurfaceFixes:
    """Positions at the surface from a trajectory file, in the order of the file.

    Parameters
    ----------
    platform_number, data_centre : str
    is_delayed : bool
        Whether it is a Dtraj file, whose fixes replace those of the Rtraj one.
    cycle : int32[k]
        -1 where missing.
    at : datetime64[us][k]
        UTC; the adjusted time where there is one; NaT where missing.
    latitude, longitude : float64[k]
    position_qc, at_qc : uint8[k]
        0 to 9, or `NO_QC`.
    accuracy : str[k]
        Argos classes (0 to 3, A, B, Z) or G for GPS, I for Iridium.
    measurement_code : int32[k]
        703 is a surface fix.
    """

    platform_number: str
    data_centre: str
    is_delayed: bool
    updated_at: np.datetime64
    cycle: Int32Array
    at: TimeArray
    at_qc: QcArray
    latitude: FloatArray
    longitude: FloatArray
    position_qc: QcArray
    accuracy: StringArray
    measurement_code: Int32Array


@dataclass(frozen=True)
class GreyList:
    """Parameters of floats that the data centres distrust from a day on, a row each.

    Parameters
    ----------
    platform_number, parameter : str[k]
    start, end : datetime64[D][k]
        Both days belong to it; NaT of `end` where it still holds.
    flag : uint8[k]
        3 or 4, as the list says.
    comment, data_centre : str[k]
    """

    platform_number: StringArray
    parameter: StringArray
    start: TimeArray
    end: TimeArray
    flag: QcArray
    comment: StringArray
    data_centre: StringArray
