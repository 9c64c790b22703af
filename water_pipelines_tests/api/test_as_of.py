"""As of: what the platform answered stays readable, byte for byte, whatever the platform itself does to the data afterwards.

Every route is asked here: one that is added without an entry in `ASKED`, or a reason in `EXEMPT`, fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import orjson
import pytest
from fastapi import FastAPI

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.api.app import create_app
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.training import retrain
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.messages import Message, written
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines_tests import argo_world
from water_pipelines_tests.api.conftest import Serve
from water_pipelines_tests.argo_world import FLOAT
from water_pipelines_tests.orchestration.histories import DAY, HOUR, START, demand, load, rows, settled, tick_at

V1 = "/api/v1"
WEEKS = 13
TODAY = START + WEEKS * 7 * DAY + 2 * DAY
"""A Wednesday: the models' history and four weeks more have passed."""

WINDOW = f"start={TODAY - 10 * DAY}&end={TODAY + 10 * DAY}"
FLOW, LEVEL = "NORTH/flow", "SOUTH/water_level"

ASKED: dict[str, list[str]] = {
    f"{V1}/water-data/stations": ["", "?limit=1", "?network=upper", "?property=flow"],
    f"{V1}/water-data/stations/{{station_id}}": ["/NORTH", "/SOUTH"],
    f"{V1}/time-series/metadata": ["", "?station=NORTH"],
    f"{V1}/time-series/data": [
        f"?series_id={FLOW}&{WINDOW}",
        f"?series_id={LEVEL}&{WINDOW}",
        f"?series_id={FLOW}&{WINDOW}&include=qualifier,failed,not_run",
        f"?series_id={FLOW}&{WINDOW}&flags=3,4&format=csv",
    ],
    f"{V1}/time-series/aggregate": [f"?series_id={FLOW}&{WINDOW}&interval={name}" for name in ("30min", "hourly", "daily")],
    f"{V1}/nodes": ["", "?network=upper"],
    f"{V1}/nodes/{{node_id}}/metrics": ["/NORTH/metrics"],
    f"{V1}/nodes/{{node_id}}/history": [f"/NORTH/history?{WINDOW}"],
    f"{V1}/facilities": ["", "?limit=1&network=upper"],
    f"{V1}/facilities/{{facility_id}}": ["/NORTH"],
    f"{V1}/facilities/{{facility_id}}/sensors": ["/NORTH/sensors"],
    f"{V1}/sensors/{{sensor_id}}/records": [f"/{FLOW}/records?{WINDOW}"],
    f"{V1}/predictions/{{node_id}}": ["/NORTH", f"/NORTH?issued_at={TODAY - DAY}"],
    f"{V1}/quality/{{node_id}}": [f"/NORTH?{WINDOW}"],
    f"{V1}/anomalies": ["", "?limit=2", "?severity=high", "?status=open", f"?series={FLOW}"],
    f"{V1}/dashboard/summary": [""],
    f"{V1}/changes": ["", "?since=4"],
    f"{V1}/lineage": [
        f"?series_id={FLOW}&time={TODAY - 12 * HOUR}&of={what}" for what in ("observation", "flag", "metric_hourly", "metric_daily", "forecast")
    ],
}
ASKED |= {
    f"{V1}/argo/floats": ["", "?bbox=-40,40,-20,50&parameter=PSAL"],
    f"{V1}/argo/floats/{{wmo}}": [f"/{FLOAT}"],
    f"{V1}/argo/floats/{{wmo}}/profiles": [f"/{FLOAT}/profiles"],
    f"{V1}/argo/floats/{{wmo}}/track": [f"/{FLOAT}/track"],
    f"{V1}/argo/profiles/{{profile_id}}": [f"/{FLOAT}_001", f"/{FLOAT}_001?format=csv", f"/{FLOAT}_001?format=netcdf"],
    f"{V1}/argo/changes": ["", "?since=4"],
    f"{V1}/argo/search": ["?depth_min=50"],
}
EXEMPT = {
    "/health": "tells of now, without the database",
    "/ready": "tells of now",
    f"{V1}/status": "tells of now",
    f"{V1}/processing-jobs": "tells of now: what is stale moves with every change",
    f"{V1}/datasets": "the ledger of files tells of now: a load moves it before it makes a change",
    f"{V1}/datasets/{{dataset_id}}": "the same",
    f"{V1}/datasets/{{dataset_id}}/rejected": "the same",
    f"{V1}/datasets/{{dataset_id}}/file": "the bytes that landed never change",
    f"{V1}/datasets/jobs": "the same ledger",
    f"{V1}/datasets/jobs/{{job_id}}": "the same ledger",
}


def urls() -> Iterator[str]:
    for path, variants in ASKED.items():
        yield from (path.partition("/{")[0] + variant for variant in variants)


@pytest.fixture
def platform(database: Database, store: LocalStore, tmp_path: Path) -> Platform:
    """Thirteen weeks of a district's flow and of a level beside it, settled as of a Wednesday noon: flags, metrics, bands, ridges, forecasts."""
    platform = Platform(Settings(_env_file=None, home=tmp_path / "home", hindcast_weeks=1), database, store)
    store.put("inbox/net/mapping.yaml", b"station_attributes: {network: upper, zone: A, is_facility: true}\n")
    time, value = demand(WEEKS * 7 + 2.5)
    spiked = value.copy()
    spiked[-60:-54] += 60
    load(platform, "net/north.csv", "NORTH", time, spiked)
    load(platform, "south.csv", "SOUTH", time[-24 * 12 :], value[-24 * 12 :] / 100, "water_level")
    argo_world.load(platform, {"R6900001_001.nc": argo_world.netcdf([argo_world.cast(1, warmer=30.0)])})
    tick_at(platform, f"{TODAY.astype('datetime64[D]')}T12:00")
    settled(platform)
    return platform


def late(platform: Platform) -> None:
    """Values of a quarter of an hour arrive after those of the hours around them."""
    load(platform, "net/late.csv", "NORTH", np.array([TODAY - 2 * DAY + HOUR // 4]), np.array([51.5]))


def corrected(platform: Platform) -> None:
    """The spike is corrected, and another value is called missing."""
    time, value = demand(WEEKS * 7 + 2.5)
    load(platform, "net/corrected.csv", "NORTH", time[-60:-50], np.append(value[-60:-51], np.nan))


def switched(platform: Platform) -> None:
    """The facility says that the sensor was off for an hour of the night."""
    said = {"facility": "NORTH", "sensor": "flow"}
    off = {"schema": "sensor-deactivation/1", **said, "time": f"{TODAY - 12 * HOUR}Z", "reason": "cleaned"}
    on = {"schema": "sensor-activation/1", **said, "time": f"{TODAY - 11 * HOUR}Z"}
    messages = [Message("facilities", orjson.dumps(each), datetime(2026, 3, 1, tzinfo=UTC)) for each in (off, on)]
    platform.store.put("inbox/bus/batch.ndjson", written(messages))
    empty_inbox(platform)


def withdrawn(platform: Platform) -> None:
    """The correction is taken out: the spike is back."""
    acts.do(platform, acts.withdrawal(platform, [_arrival(platform, "corrected.csv")], reason="wrong day", at=datetime.now(UTC)))


def reinstated(platform: Platform) -> None:
    """And the correction is back."""
    acts.do(platform, acts.reinstatement(platform, [_arrival(platform, "corrected.csv")], reason="it was right", at=datetime.now(UTC)))


def judged_anew(platform: Platform) -> None:
    """Other rules: much of the day is suspect now."""
    platform.store.put("inbox/rules.yaml", b"properties:\n  flow:\n    unit: m3/h\n    gross_range: {suspect: [40, 60], fail: [30, 100]}\n")
    empty_inbox(platform)


def described_anew(platform: Platform) -> None:
    """The station moves to another zone, and its level is read live."""
    platform.store.put(
        "inbox/net/mapping.yaml", b"station_attributes: {network: upper, zone: B, name: North, is_facility: true}\nseries_kind: sensor\n"
    )
    load(platform, "net/more.csv", "NORTH", np.array([TODAY + 13 * HOUR]), np.array([50.25]))


def issued(platform: Platform) -> None:
    """The next day's truth arrives and its first tick passes: a new forecast, and scores of the earlier ones."""
    time, value = demand(WEEKS * 7 + 4)
    load(platform, "net/thursday.csv", "NORTH", time[-36:], value[-36:])
    tick_at(platform, f"{(TODAY + DAY).astype('datetime64[D]')}T12:00")


def trained(platform: Platform) -> None:
    """Monday comes: other models, and another decision whose forecasts are served."""
    tick_at(platform, f"{(TODAY + 5 * DAY).astype('datetime64[D]')}T01:00")
    settled(platform)
    retrain(platform)


def surfaced(platform: Platform) -> None:
    """The float comes up again, and its first cast in delayed mode replaces the one of real time."""
    argo_world.load_at_once(
        platform, {"D6900001_001.nc": argo_world.netcdf([argo_world.delayed(1)]), "R6900001_002.nc": argo_world.netcdf([argo_world.cast(2)])}
    )


ACTS: tuple[Callable[[Platform], None], ...] = (
    late,
    surfaced,
    corrected,
    switched,
    withdrawn,
    judged_anew,
    reinstated,
    described_anew,
    issued,
    trained,
)


def _arrival(platform: Platform, name: str) -> str:
    return str(rows(platform, f"select arrival from raw.source_file where name = '{name}'")[0][0])


def test_every_route_is_asked_as_of_or_says_why_not(app: FastAPI) -> None:
    """A route that is added later is asked here, or exempt for a reason."""
    assert set(app.openapi()["paths"]) == {*ASKED, *EXEMPT}


def test_what_was_answered_stays_readable(platform: Platform, serve: Serve, database_url: str) -> None:
    """After late values, corrections, withdrawals, new rules, stations, forecasts, scores and models, each earlier body comes back byte for byte.

    And each was another one at least once, so that the test sees what it is about.
    """
    app = create_app(platform.settings, platform.database, dagster_url=lambda: database_url, store=platform.store)
    with serve(app) as client:
        served = [_bodies(client)]
        for act in ACTS:
            act(platform)
            settled(platform)
            served.append(_bodies(client))
        for change, bodies in served:
            for url, body in bodies.items():
                again = client.get(f"{url}{'&' if '?' in url else '?'}as_of={change}")
                assert (again.status_code, again.content) == (200, body), (change, url)
    assert [url for url in urls() if len({bodies[url] for _, bodies in served}) == 1] == []


def _bodies(client: httpx.Client) -> tuple[int, dict[str, bytes]]:
    """What every route says now, and the change that it is the state of."""
    answers = {url: client.get(url) for url in urls()}
    assert {answer.status_code for answer in answers.values()} == {200}, [url for url, answer in answers.items() if answer.status_code != 200]
    (change,) = {int(answer.headers["Water-Change"]) for answer in answers.values()}
    return change, {url: answer.content for url, answer in answers.items()}
