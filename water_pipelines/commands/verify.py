"""Verifying a running platform from outside: stations, their series and data, and that these know each other.

Add a finding where something that users count on can be missing. Keep out: the database; what the API does not serve is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from water_pipelines.commands.asking import Api, NotReachable


@dataclass(frozen=True)
class Missing:
    """Something that should be served and is not: what it is missing to, and what."""

    subject: str
    what: str


@dataclass(frozen=True)
class Verified:
    """How much was looked at, and what is missing."""

    stations: int
    series: int
    observations: int
    missing: tuple[Missing, ...]


def verify(api: Api) -> Verified:
    """Look at everything that is served.

    Raises
    ------
    NotReachable
        The API does not answer.
    """
    status = api.get("/api/v1/status")
    missing = list(_platform(api, status))
    stations = {station["id"]: station for station in api.items("/api/v1/water-data/stations")}
    series = list(api.items("/api/v1/time-series/metadata"))
    if not stations:
        missing.append(Missing("platform", "no station is known; drop a file with `water drop`"))
    with_series = {each["station"]["id"] for each in series}
    missing += [Missing(f"station {station['natural_id']}", "has no series") for id, station in stations.items() if id not in with_series]
    missing += [Missing(f"station {station['natural_id']}", "has no position") for station in stations.values() if station["latitude"] is None]
    for each in series:
        subject = f"series {each['natural_id']}"
        if each["station"]["id"] not in stations:
            missing.append(Missing(subject, f"belongs to {each['station']['natural_id']}, which is not among the stations"))
        if each["first_at"] is None:
            missing.append(Missing(subject, "has no values"))
            continue
        values = api.get("/api/v1/time-series/data", series_id=each["id"], start=each["last_at"], limit=1)
        if not values["time"]:
            missing.append(Missing(subject, f"has a last value at {each['last_at']}, but none is served there"))
        elif values["flag"] == [2]:
            missing.append(Missing(subject, f"is not evaluated at {each['last_at']} yet"))
        if not api.get("/api/v1/time-series/aggregate", series_id=each["id"], interval="daily", limit=1)["buckets"]["time"]:
            missing.append(Missing(subject, "has no daily metrics"))
    return Verified(len(stations), len(series), status["observations"], tuple(missing))


def _platform(api: Api, status: dict[str, object]) -> Iterator[Missing]:
    try:
        api.get("/ready")
    except NotReachable as error:
        yield Missing("platform", str(error))
    files = status["files"]
    assert isinstance(files, dict)
    for state in ("failed", "quarantined"):
        if files[state]:
            yield Missing("files", f"{files[state]} {state}; /api/v1/datasets/jobs?status={state} says why")
    stages = status["stages"]
    assert isinstance(stages, list)
    for stage in stages:
        if stage["stale_units"]:
            yield Missing(f"stage {stage['asset']}", f"{stage['stale_units']} units are still to be computed")
