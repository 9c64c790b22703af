"""Argo files for tests of the store, the platform and the API: small casts of made-up floats, and what is stored of them by natural key.

The files themselves are made by `parsers/argo_files.py`. Keep out: assertions.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard

from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines_tests.orchestration.histories import rows
from water_pipelines_tests.parsers.argo_files import profile_file

FLOAT = "6900001"
_DAY_OF_2020 = 25567.0  # 2020-01-01, in days since 1950


def cast(cycle: int, *, wmo: str = FLOAT, warmer: float = 0.0, levels: int = 12, **more: Any) -> dict[str, Any]:
    """A cast of 10 dbar steps whose water cools and gets saltier with depth; each cycle ten days and a little way after the one before."""
    steps = range(levels)
    return {
        "PLATFORM_NUMBER": wmo,
        "CYCLE_NUMBER": cycle,
        "JULD": _DAY_OF_2020 + 10 * cycle,
        "JULD_LOCATION": _DAY_OF_2020 + 10 * cycle,
        "LATITUDE": 45.0 + 0.1 * cycle,
        "LONGITUDE": -30.0 - 0.1 * cycle,
        "PRES": [10.0 * step + 5 for step in steps],
        "TEMP": [15.0 - 0.2 * step + warmer + 0.05 * cycle for step in steps],
        "PSAL": [35.0 + 0.02 * step + 0.05 * cycle for step in steps],
        **{f"{name}_QC": "1" * levels for name in ("PRES", "TEMP", "PSAL")},
        **more,
    }


def delayed(cycle: int, **more: Any) -> dict[str, Any]:
    """The same cast in delayed mode, with adjusted values."""
    real_time = cast(cycle, **more)
    adjusted = {f"{name}_ADJUSTED": [value + 0.001 for value in real_time[name]] for name in ("PRES", "TEMP", "PSAL")}
    return {**real_time, **adjusted, **{f"{name}_ADJUSTED_QC": real_time[f"{name}_QC"] for name in ("PRES", "TEMP", "PSAL")}, "DATA_MODE": "D"}


def oxygen(cycle: int, *, wmo: str = FLOAT, levels: int = 12, mode: str = "R") -> dict[str, Any]:
    """The BGC cast beside it."""
    of = cast(cycle, wmo=wmo, levels=levels)
    kept = {name: value for name, value in of.items() if not name.startswith(("TEMP", "PSAL"))}
    return {**kept, "DOXY": [250.0 - step for step in range(levels)], "DOXY_QC": "3" * levels, "DATA_MODE": mode}


def netcdf(casts: Sequence[Mapping[str, Any]], **how: Any) -> bytes:
    """A profile file."""
    with tempfile.TemporaryDirectory() as folder:
        return profile_file(Path(folder) / "made.nc", casts, **how)


def bgc(casts: Sequence[Mapping[str, Any]]) -> bytes:
    """A BGC file."""
    return netcdf(casts, data_type="B-Argo profile")


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip of files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def archived(suffix: str, members: Mapping[str, bytes], again: str | None = None) -> bytes:
    """A zip, or a tar, packed or not, by its suffix; `again` names a member that it has twice."""
    twice = [*members.items(), *([(again, b"again")] if again else [])]
    packed = io.BytesIO()
    if suffix == ".zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings(action="ignore"):
            for name, data in twice:
                archive.writestr(name, data)
        return packed.getvalue()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in twice:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    whole = packed.getvalue()
    return gzip.compress(whole) if suffix == ".tar.gz" else zstandard.compress(whole) if suffix == ".tar.zst" else whole


def load(platform: Platform, files: Mapping[str, bytes]) -> None:
    """Drop files one after the other, and load them."""
    for name, data in files.items():
        platform.store.put(f"inbox/argo/{name}", data)
        empty_inbox(platform)


def load_at_once(platform: Platform, files: Mapping[str, bytes]) -> None:
    """Drop files, and load them together."""
    for name, data in files.items():
        platform.store.put(f"inbox/argo/{name}", data)
    empty_inbox(platform)


STORED = {
    "floats": "select wmo, platform_type, data_centre, properties - 'technical' from core.argo_float order by 1",
    "profiles": """
        select natural_id, at, latitude, longitude, data_mode, parameters, levels, core_arrival is null, bgc_arrival is null, core_said::text
        from core.argo_profile order by 1
    """,
    "levels": """
        select p.natural_id, l.level, l.pres, l.pres_adjusted, l.temp, l.temp_adjusted, l.temp_error, l.psal, l.psal_adjusted, l.pres_qc, l.temp_qc,
            l.temp_adjusted_qc, l.psal_qc, l.arrival = p.core_arrival
        from core.argo_level as l left join core.argo_profile as p using (profile_id) order by 1, 2
    """,
    "bgc": """
        select p.natural_id, q.name, l.level, l.value, l.adjusted, l.error, l.qc, l.adjusted_qc
        from core.argo_bgc_level as l join core.argo_parameter as q using (parameter_id) left join core.argo_profile as p using (profile_id)
        order by 1, 2, 3
    """,
    "positions": """
        select wmo, source, cycle, direction, number, at, latitude, longitude, qc from core.argo_position order by 1, 2, 3, 4, 5
    """,
    "flags": """
        select p.natural_id, q.name, g.level, g.flag, g.failed from core.argo_flag as g join core.argo_profile as p using (profile_id)
        join core.argo_parameter as q using (parameter_id) order by 1, 2, 3
    """,
    "evaluations": """
        select p.natural_id, e.run, e.failed, e.rules from core.argo_evaluation as e join core.argo_profile as p using (profile_id) order by 1
    """,
}
"""What must be equal, by natural key, whatever the order of loading."""


def stored(platform: Platform) -> dict[str, list[str]]:
    """All that is stored of Argo, as text, so that missing numbers are equal."""
    return {name: [repr(row) for row in rows(platform, query)] for name, query in STORED.items()}
