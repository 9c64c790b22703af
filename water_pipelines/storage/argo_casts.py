"""Reading Argo casts in bulk, in their current versions: what the real-time tests, the plots and the exports take.

Keep out: writing them (`argo.py`), and what is served page by page (`served/argo.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.argo.casts import (
    CORE_PARAMETERS,
    NO_QC,
    Casts,
    FloatMeta,
    LevelArray,
    MeasuredParameter,
    Parameter,
    RecordedTests,
    Sensor,
)
from water_pipelines.domain.series import Int32Array, Int64Array
from water_pipelines.storage.database import Connection, Snapshot

_PROFILES = """
select profile_id, wmo, cycle, direction, product, cast_number, core_arrival, bgc_arrival, core_said, bgc_said from core.argo_profile
where {} order by wmo, product, cycle, direction desc, cast_number
"""
_TEXTS = ("data_centre", "vertical_sampling_scheme", "project_name", "pi_name", "platform_type", "wmo_inst_type", "positioning_system")
_CORE_COLUMNS = [f"{name.lower()}{of}" for name in CORE_PARAMETERS for of in ("", "_adjusted", "_error", "_qc", "_adjusted_qc")]


@dataclass(frozen=True)
class StoredCasts:
    """Casts with the numbers by which the store knows them: int32[c], in the order of the casts."""

    casts: Casts
    profile_id: Int32Array

    @property
    def wmo(self) -> Int32Array:
        """int32[c]: the float of each cast."""
        return self.casts.platform_number.astype(np.int32)


def read_casts(snapshot: Snapshot, wmos: Sequence[int]) -> StoredCasts | None:
    """All casts of some floats, float after float, each in the order of its cycles (descending casts first); none where there is no cast."""
    return _read(snapshot, sql.SQL("wmo = any({})").format(sql.Literal(list(wmos))))


def read_casts_of(snapshot: Snapshot, profile_ids: Sequence[int]) -> StoredCasts | None:
    """Some casts; none where there are none of them."""
    return _read(snapshot, sql.SQL("profile_id = any({})").format(sql.Literal(list(profile_ids))))


def _read(snapshot: Snapshot, condition: sql.Composable) -> StoredCasts | None:
    profiles = snapshot.connection.execute(sql.SQL(_PROFILES).format(condition)).fetchall()
    if not profiles:
        return None
    ids = np.array([row[0] for row in profiles], dtype=np.int32)
    within = sql.SQL("join core.argo_profile as p using (profile_id) where p.{}").format(condition)
    core = snapshot.arrow(
        sql.SQL("select l.profile_id, l.level, {} from core.argo_level as l {} and l.arrival = p.core_arrival").format(
            sql.SQL(", ").join(sql.Identifier("l", name) for name in _CORE_COLUMNS), within
        )
    )
    others = snapshot.arrow(
        sql.SQL(
            "select l.profile_id, l.parameter_id, l.level, l.value, l.adjusted, l.error, l.qc, l.adjusted_qc from core.argo_bgc_level as l {}"
            " and l.arrival in (p.core_arrival, p.bgc_arrival)"
        ).format(within)
    )
    said = [{**(row[9] or {}), **(row[8] or {})} for row in profiles]
    parts = [[part for part in (row[8], row[9]) if part] for row in profiles]
    counts = np.array([max(part["levels"] for part in of) for of in parts], dtype=np.int64)
    first = np.concatenate(([0], np.cumsum(counts)))
    place = _Places(ids, first)
    modes: dict[str, list[str]] = {}
    units: dict[str, str] = {}
    shares: dict[str, list[str]] = {}
    for position, of in enumerate(parts):
        for part in of[::-1]:
            for name, mode in part["modes"].items():
                modes.setdefault(name, [""] * len(profiles))[position] = mode
                units.setdefault(name, part["units"].get(name, ""))
            for name, share in part["profile_qc"].items():
                shares.setdefault(name, [""] * len(profiles))[position] = share
    parameters = _parameters(core, others, place, modes, units, dict(_names(snapshot.connection)))
    casts = Casts(
        platform_number=np.array([str(row[1]) for row in profiles]),
        cycle=np.array([row[2] for row in profiles], dtype=np.int32),
        direction=np.array([row[3] for row in profiles]),
        cast=np.array([row[5] for row in profiles], dtype=np.int32),
        juld=_times(said, "juld"),
        juld_qc=_flags(said, "juld_qc"),
        juld_location=_times(said, "juld_location"),
        latitude=_floats(said, "latitude"),
        longitude=_floats(said, "longitude"),
        position_qc=_flags(said, "position_qc"),
        data_mode=np.array([each["data_mode"] for each in said]),
        config_mission_number=np.array([each["config_mission_number"] for each in said], dtype=np.int32),
        updated_at=_times(said, "updated_at"),
        kind=np.array([each["kind"] for each in said]),
        float_serial_no=np.array([each["float_serial_no"] for each in said]),
        first=first,
        parameters=parameters,
        profile_qc={name: np.array(column) for name, column in shares.items()},
        tests=_tests([each.get("tests", {}) for each in said]),
        **{name: np.array([each[name] for each in said]) for name in _TEXTS},
    )
    return StoredCasts(casts, ids)


class _Places:
    """Where the levels of a cast stand among those of all."""

    def __init__(self, ids: Int32Array, first: Int64Array) -> None:
        self.order = np.argsort(ids)
        self.ids = ids[self.order]
        self.first = first
        self.total = int(first[-1])

    def empty(self, name: str) -> LevelArray:
        return np.full(self.total, np.nan, dtype=np.float32) if name in CORE_PARAMETERS else np.full(self.total, np.nan, dtype=np.float64)

    def of(self, profile_id: NDArray[Any], level: NDArray[Any]) -> Int64Array:
        cast = self.order[np.searchsorted(self.ids, profile_id)]
        places: Int64Array = self.first[cast] + level
        return places


def _parameters(
    core: pa.Table, others: pa.Table, place: _Places, modes: Mapping[str, list[str]], units: Mapping[str, str], names: Mapping[int, str]
) -> dict[str, Parameter]:
    at = place.of(core["profile_id"].to_numpy(), core["level"].to_numpy())
    found: dict[str, Parameter] = {}
    for name in (*CORE_PARAMETERS, *(name for name in modes if name not in CORE_PARAMETERS)):
        if name not in modes:
            continue
        found[name] = Parameter(
            units=units[name],
            raw=place.empty(name),
            qc=np.full(place.total, NO_QC, dtype=np.uint8),
            adjusted=place.empty(name),
            adjusted_qc=np.full(place.total, NO_QC, dtype=np.uint8),
            adjusted_error=place.empty(name),
            mode=np.array(modes[name]),
        )
        if name in CORE_PARAMETERS:
            low = name.lower()
            _put(found[name], at, *(core[f"{low}{of}"].to_numpy() for of in ("", "_adjusted", "_error", "_qc", "_adjusted_qc")))
    parameter = others["parameter_id"].to_numpy()
    at = place.of(others["profile_id"].to_numpy(), others["level"].to_numpy())
    columns = [others[name].to_numpy() for name in ("value", "adjusted", "error", "qc", "adjusted_qc")]
    for number in np.unique(parameter).tolist():
        name, rows = names[number], parameter == number
        if name in found:
            where = at[rows]
            if name in CORE_PARAMETERS:  # the pressure of a BGC file: only where its core file is not here
                rows = np.flatnonzero(rows)[np.isnan(found[name].raw[where])]
                where = at[rows]
            _put(found[name], where, *(column[rows] for column in columns))
    return found


def _put(parameter: Parameter, at: Int64Array, raw: Any, adjusted: Any, error: Any, qc: Any, adjusted_qc: Any) -> None:
    parameter.raw[at], parameter.adjusted[at], parameter.adjusted_error[at] = raw, adjusted, error
    parameter.qc[at], parameter.adjusted_qc[at] = np.where(qc < 0, NO_QC, qc), np.where(adjusted_qc < 0, NO_QC, adjusted_qc)


def _names(connection: Connection) -> list[tuple[int, str]]:
    return connection.execute("select parameter_id, name from core.argo_parameter").fetchall()


def parameter_numbers(connection: Connection) -> dict[str, int]:
    """Parameter -> the number by which the store knows it."""
    return {name: number for number, name in _names(connection)}


def _times(said: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.datetime64]:
    return np.array([(each[name] or "NaT").removesuffix("Z") for each in said], dtype="datetime64[us]")


def _flags(said: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.uint8]:
    return np.array([NO_QC if each[name] < 0 else each[name] for each in said], dtype=np.uint8)


def _floats(said: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([np.nan if each[name] is None else each[name] for each in said], dtype=np.float64)


def _tests(recorded: Sequence[Mapping[str, Any]]) -> RecordedTests:
    return RecordedTests(
        performed=np.array([each.get("performed", 0) for each in recorded], dtype=np.uint64),
        failed=np.array([each.get("failed", 0) for each in recorded], dtype=np.uint64),
        has_performed=np.array([each.get("has_performed", False) for each in recorded], dtype=np.bool_),
        has_failed=np.array([each.get("has_failed", False) for each in recorded], dtype=np.bool_),
        at=np.array([(each.get("at") or "NaT").removesuffix("Z") for each in recorded], dtype="datetime64[us]"),
        institution=np.array([each.get("institution", "") for each in recorded]),
        software=np.array([each.get("software", "") for each in recorded]),
        release=np.array([each.get("release", "") for each in recorded]),
    )


def arrived_at(connection: Connection, stored: StoredCasts) -> NDArray[np.datetime64]:
    """datetime64[us][c]: when the file of each cast arrived."""
    rows = connection.execute(
        "select p.profile_id, f.arrived_at::timestamp from core.argo_profile as p"
        " join raw.source_file as f on f.arrival = coalesce(p.core_arrival, p.bgc_arrival) where p.profile_id = any(%s)",
        (stored.profile_id.tolist(),),
    )
    known: dict[int, Any] = dict(rows.fetchall())
    return np.array([known[number] for number in stored.profile_id.tolist()], dtype="datetime64[us]")


def levels_of(connection: Connection, wmos: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many levels each float has."""
    found: dict[int, int] = dict(
        connection.execute("select wmo, sum(levels)::bigint from core.argo_profile where wmo = any(%s) group by wmo", (wmos.tolist(),)).fetchall()
    )
    return np.array([found.get(wmo, 0) for wmo in wmos.tolist()], dtype=np.int64)


def read_metas(connection: Connection, wmos: Sequence[int]) -> dict[str, FloatMeta]:
    """What the meta files say of some floats, by platform number."""
    rows = connection.execute("select wmo, properties -> 'meta' from core.argo_float where wmo = any(%s) and properties ? 'meta'", (list(wmos),))
    return {str(wmo): _meta(said) for wmo, said in rows}


def _meta(said: Mapping[str, Any]) -> FloatMeta:
    plain = dict(said)
    for name in ("launch_at", "start_at", "end_mission_at", "updated_at"):
        plain[name] = np.datetime64((plain[name] or "NaT").removesuffix("Z"), "us")
    for name in ("launch_latitude", "launch_longitude"):
        plain[name] = _number(plain[name])
    plain["sensors"] = tuple(Sensor(**each) for each in plain["sensors"])
    plain["parameters"] = tuple(MeasuredParameter(**each) for each in plain["parameters"])
    plain["launch_configuration"] = _configuration(plain["launch_configuration"])
    plain["missions"] = {int(number): _configuration(each) for number, each in plain["missions"].items()}
    for name in ("positioning_systems", "transmission_systems"):
        plain[name] = tuple(plain[name])
    return FloatMeta(**plain)


def _configuration(said: Mapping[str, Any]) -> dict[str, float]:
    return {name: _number(value) for name, value in said.items()}


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
