"""A small water network in five scenes, each a few changes later than the one before; every route has something to tell of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from water_pipelines.parsers.argo import read_argo
from water_pipelines.storage import argo, source_files, staging
from water_pipelines.storage.argo import ArgoFile, Member
from water_pipelines.storage.argo_flags import EVALUATION as ARGO_EVALUATION
from water_pipelines.storage.argo_flags import FLAG as ARGO_FLAG
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.staging import Staged, Table, stage_query
from water_pipelines_tests.argo_world import FLOAT, bgc, cast, delayed, netcdf, oxygen
from water_pipelines_tests.builders import World, every, recordset

METRICS = {name: Table(f"mart.metric_{name}", ("series_id", "start_at"), "start_at") for name in ("30min", "hourly", "daily")}
NETWORK = Table("mart.network_30min", ("network", "zone", "property", "start_at"), "start_at")
QUALITY = Table("mart.data_quality_daily", ("series_id", "day"), "day")
ANOMALY = Table("core.anomaly", ("series_id", "day", "kind", "start_at"), "day")
FORECAST = Table("core.forecast", ("series_id", "issued_at", "model", "target_at"), "issued_at")
SCORE = Table("core.forecast_score", ("series_id", "issued_at", "model", "lead_bucket"), "issued_at")
FLAG = Table("core.observation_flag", ("series_id", "time"), "time")
EVALUATION = Table("core.evaluation", ("series_id", "day"), "day")

NODE = "north/pump 1"
FLOW = f"{NODE}/flow"
GAUGE = "GAUGE_7/stage"
DAY = "2026-03-01"
_NAN = float("nan")


def metric(world: World, series: str, start: str, **known: Any) -> dict[str, Any]:
    """A row of a metric mart."""
    return {
        "series_id": world.number_of(series),
        "start_at": f"{start}Z",
        "count": 2,
        "received": 2,
        "expected": 2,
        "mean": 11.0,
        "minimum": 10.0,
        "maximum": 12.0,
        "completeness": 1.0,
        "is_closed": True,
        **known,
    }


def quality(world: World, series: str, day: str, **known: Any) -> dict[str, Any]:
    """A row of the quality mart."""
    counts = dict.fromkeys(("suspect", "bad", "missing", "not_evaluated"), 0)
    tests = {f"{test}_failed": 0 for test in ("gross_range", "spike", "rate_of_change", "flat_line", "gap")}
    return {"series_id": world.number_of(series), "day": day, "received": 4, "good": 4, "longest_gap_s": 0.0, **counts, **tests, **known}


def anomaly(world: World, series: str, start: str, end: str, **known: Any) -> dict[str, Any]:
    """A segment of unusual behaviour."""
    return {
        "series_id": world.number_of(series),
        "day": start[:10],
        "kind": "above_band",
        "start_at": f"{start}Z",
        "end_at": f"{end}Z",
        "score": 2.0,
        "severity": "medium",
        "expected_low": 8.0,
        "expected_high": 13.0,
        "observed": 17.5,
        "is_open": False,
        **known,
    }


def forecast(world: World, series: str, target: str, median: float, model: str = "seasonal") -> dict[str, Any]:
    """An hour of a forecast issued at the day's midnight."""
    spread = {"q05": -2.0, "q10": -1.5, "q25": -0.5, "q50": 0.0, "q75": 0.5, "q90": 1.5, "q95": 2.0}
    return {
        "series_id": world.number_of(series),
        "issued_at": f"{DAY}T00:00:00Z",
        "target_at": f"{target}Z",
        "model": model,
        "kind": "issue",
        **{name: median + offset for name, offset in spread.items()},
    }


def arrive(world: World) -> None:
    """Two stations send their first hour; a value is missing, and a row of the file is refused."""
    world.drop(
        "north.csv",
        every(15, f"{DAY}T00:00", [10.0, 12.0, _NAN, 50.0], FLOW),
        series={FLOW: {"unit": "l/s", "station": NODE}},
        stations={NODE: {"name": "Pump 1", "network": "north", "zone": "DMA-1", "latitude": 52.1, "longitude": 5.2, "is_facility": True}},
        rejected=[(6, "2026-03-01 01:00,n/a", "n/a is no number"), (7, ",3", "the time is empty")],
    )
    world.drop("gauge.csv", every(15, f"{DAY}T00:00", [1.0, 1.5], GAUGE))
    world.tick(f"{DAY}T01:00")


def settle(world: World) -> None:
    """Flags, metrics, quality, anomalies and forecasts of the first hour."""
    flow = world.number_of(FLOW)
    world.insert("core.rule_set", version="1", text="")
    world.put(EVALUATION, [DAY], [{"series_id": flow, "day": DAY, "rule_set_id": 1, "tests_run": 31, "tests_not_run": 0, "read": world.change}])
    world.put(
        FLAG,
        [DAY],
        [
            {"series_id": flow, "time": f"{DAY}T00:30:00Z", "failed": 0, "not_run": 0, "flag": 9},
            {"series_id": flow, "time": f"{DAY}T00:45:00Z", "failed": 1, "not_run": 0, "flag": 4},
        ],
    )
    world.put(METRICS["30min"], [DAY], [metric(world, FLOW, f"{DAY}T00:00"), metric(world, FLOW, f"{DAY}T00:30", count=0, mean=None, expected=None)])
    world.put(METRICS["hourly"], [DAY], [metric(world, FLOW, f"{DAY}T00:00", expected=4, received=4)])
    world.put(METRICS["daily"], [DAY], [metric(world, FLOW, f"{DAY}T00:00", is_closed=False)])
    world.put(
        NETWORK,
        [DAY],
        [{"network": "north", "zone": "DMA-1", "property": "flow", "start_at": f"{DAY}T00:00:00Z", "unit": "l/s", "series": 1, "mean": 11.0}],
    )
    world.put(QUALITY, [DAY], [quality(world, FLOW, DAY, expected=4, good=2, bad=1, missing=1, gross_range_failed=1, rule_set_id=1)])
    world.put(ANOMALY, [DAY], [anomaly(world, FLOW, f"{DAY}T00:45", f"{DAY}T01:00", is_open=True)])
    world.put(FORECAST, [DAY], [forecast(world, FLOW, f"{DAY}T01:00", 11.0), forecast(world, FLOW, f"{DAY}T02:00", 12.0)])
    score = {"series_id": flow, "issued_at": f"{DAY}T00:00:00Z", "model": "seasonal", "lead_bucket": "1-6h", "lead_from_h": 1, "lead_to_h": 6}
    world.put(SCORE, [DAY], [{**score, "n": 1, "mae": 1.0, "pinball": 0.3, "coverage_90": 1.0, "width_90": 4.0}])


def correct(world: World) -> None:
    """A later file corrects the spike, declares the unit anew and brings a third station; the clock moves on."""
    world.drop(
        "north-corrected.csv",
        [*every(15, f"{DAY}T00:45", [11.5, 12.5], FLOW), *every(15, f"{DAY}T00:00", [3.1], "north/valve/pressure")],
        series={FLOW: {"unit": "L/s", "station": NODE}, "north/valve/pressure": {"unit": "bar"}},
        stations={NODE: {"name": "Pump 1 (rebuilt)"}, "north/valve": {"network": "north"}},
        states=[(FLOW, datetime(2026, 3, 1, 0, 45, tzinfo=UTC), False, "rebuilt")],
    )
    world.tick(f"{DAY}T02:00")


def settle_again(world: World) -> None:
    """What followed from the spike is gone; the night shows two other anomalies; another model is champion."""
    flow = world.number_of(FLOW)
    world.put(EVALUATION, [DAY], [{"series_id": flow, "day": DAY, "rule_set_id": 1, "tests_run": 31, "tests_not_run": 0, "read": world.change}])
    world.put(FLAG, [DAY], [{"series_id": flow, "time": f"{DAY}T00:30:00Z", "failed": 0, "not_run": 0, "flag": 9}])
    world.put(METRICS["30min"], [DAY], [metric(world, FLOW, f"{DAY}T00:00"), metric(world, FLOW, f"{DAY}T00:30", count=1, mean=11.5)])
    world.put(METRICS["hourly"], [DAY], [metric(world, FLOW, f"{DAY}T00:00", expected=4, received=4, mean=11.2)])
    world.put(METRICS["daily"], [DAY], [metric(world, FLOW, f"{DAY}T00:00", is_closed=True)])
    world.put(NETWORK, [DAY], [])
    world.put(QUALITY, [DAY], [quality(world, FLOW, DAY, expected=4, received=5, good=4, missing=1, rule_set_id=1)])
    world.put(
        ANOMALY,
        ["2026-02-27", "2026-02-28", DAY],
        [
            anomaly(world, FLOW, "2026-02-27T22:00", "2026-02-28T00:00"),
            anomaly(world, FLOW, "2026-02-28T00:00", "2026-02-28T03:00", score=4.0, severity="high"),
            anomaly(world, FLOW, f"{DAY}T00:15", f"{DAY}T00:30", kind="stuck", severity="low"),
        ],
    )
    world.insert("core.champion", scope_series_id=flow, kind="forecast", champion="ridge", from_at="2026-02-01T00:00:00Z", reason="it won")
    hours = [forecast(world, FLOW, f"{DAY}T01:00", 11.0), forecast(world, FLOW, f"{DAY}T02:00", 12.0)]
    world.put(FORECAST, [DAY], [*hours, forecast(world, FLOW, f"{DAY}T01:00", 11.4, "ridge")])


def wait(world: World) -> None:
    """Only the clock moves on."""
    world.tick("2026-03-09T00:00")


SCENES: tuple[Callable[[World], None], ...] = (arrive, settle, correct, settle_again, wait)


def played(world: World) -> World:
    """The world after all scenes."""
    for scene in SCENES:
        scene(world)
    return world


def argo_arrives(world: World, name: str, data: bytes) -> None:
    """Land and load an Argo file."""
    file = world.announce(name, content=name)
    members = [Member("", content) for content in read_argo(io.BytesIO(data))]
    with source_files.loading(world.database, file.arrival) as held:
        assert held is not None
        argo.load(world.database, [ArgoFile(held, lambda: members, [], "argo", "1")], [])


def argo_is_flagged(world: World, flags: list[dict[str, Any]], failed: int) -> None:
    """Apply flags as all that the float has, as settle does; every cast of it was evaluated."""

    def compute(snapshot: Snapshot, wmos: Any) -> Staged:
        casts = snapshot.rows("select profile_id from core.argo_profile where wmo = %s", (int(FLOAT),))
        said = {"wmo": int(FLOAT), "run": 1 << 9 | 1 << 6, "failed": failed, "rules": "test"}
        said |= {"recorded_run": said["run"], "recorded_failed": failed, "recorded_rules": "of then"}
        evaluated = [{**said, "profile_id": number} for (number,) in casts]
        rows = [{"wmo": int(FLOAT), "profile_id": casts[0][0], **flag} for flag in flags]
        return Staged([stage_query(snapshot, table, recordset(table, of)) for table, of in ((ARGO_FLAG, rows), (ARGO_EVALUATION, evaluated))])

    staging.settle(world.database, "core/argo_flag", np.array([int(FLOAT)]), compute, [])


def surface(world: World) -> None:
    """A float sends its first cast."""
    argo_arrives(world, "R6900001_001.nc", netcdf([cast(1)]))


def judge(world: World) -> None:
    """A temperature of it is a spike, and its position doubtful."""
    flags = [{"parameter_id": 2, "level": 3, "flag": 4, "failed": 1 << 9}, {"parameter_id": 5, "level": -1, "flag": 3, "failed": 1 << 5}]
    argo_is_flagged(world, flags, 1 << 9 | 1 << 5)


def replace(world: World) -> None:
    """The cast comes in delayed mode, with its oxygen, and two more come."""
    argo_arrives(world, "D6900001_001.nc", netcdf([delayed(1)]))
    argo_arrives(world, "6900001_prof.nc", netcdf([cast(2), cast(3)]))
    argo_arrives(world, "BR6900001_001.nc", bgc([oxygen(1)]))


def judge_again(world: World) -> None:
    """A salinity is out of range, and nothing else."""
    argo_is_flagged(world, [{"parameter_id": 3, "level": 2, "flag": 4, "failed": 1 << 6}], 1 << 6)


def with_argo(scene: Callable[[World], None], beside: Callable[[World], None]) -> Callable[[World], None]:
    """Two scenes as one."""

    def both(world: World) -> None:
        beside(world)
        scene(world)

    return both


WITH_ARGO = (*map(with_argo, SCENES, (surface, judge, replace, judge_again)), wait)
"""The scenes of the network, and beside them those of a float."""
