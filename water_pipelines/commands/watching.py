"""Watching dropped files on their way through every stage, until all that they lead to is served.

Add a stage to `STAGES` when the sample must have it. Keep out: starting the platform, and how progress is printed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from water_pipelines.clients.object_store import ObjectStore
from water_pipelines.commands.asking import Api, NotReachable
from water_pipelines.commands.drop import Dropped
from water_pipelines.parsers.inbox import INBOX

STAGES = {
    "core/observation_flag": "quality flags",
    "mart/metric_30min": "30-minute metrics",
    "mart/metric_hourly": "hourly metrics",
    "mart/metric_daily": "daily metrics",
    "mart/network_30min": "network metrics",
    "mart/data_quality_daily": "data quality",
    "core/anomaly": "anomalies",
    "core/model_version": "trained models",
    "core/forecast": "forecasts",
    "core/forecast_score": "forecast scores",
}
"""The derived stages that the sample leads to, by asset, as people call them."""

_SETTLED_FOR_S = 20.0  # a stage whose work begins after the others may be empty for this long


@dataclass(frozen=True)
class Stage:
    """One stage of the way: how much it holds, how much is still to be done, and when it last changed."""

    name: str
    rows: int
    waiting: int
    latest: str | None


@dataclass
class Progress:
    """How far the dropped files are.

    Attributes
    ----------
    stages : tuple of Stage
    is_settled : bool
        Whether nothing waits: no file in the inbox or in the ledger, no stale day.
    missing : list of str
        Stages without any row.
    refused : list of dict
        Jobs of dropped files that failed or were set aside, as the API tells them.
    moved_at : float
        Monotonic time of the last change of anything.
    tick_at : str or None
        The half-hour as of which clock-dependent rows are computed (ISO 8601); none before the first load starts the clock.
    """

    stages: tuple[Stage, ...] = ()
    is_settled: bool = False
    missing: list[str] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    moved_at: float = field(default_factory=time.monotonic)
    settled_at: float | None = None
    tick_at: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether every stage has rows; or nothing was left to do for long enough that the empty ones stay empty."""
        if not self.is_settled or self.settled_at is None:
            return False
        return not self.missing or time.monotonic() - self.settled_at > _SETTLED_FOR_S


class Watch:
    """Follows dropped files; call `look` now and then.

    Parameters
    ----------
    api : Api
    store : ObjectStore
        Where the inbox is.
    dropped : sequence of Dropped
    """

    def __init__(self, api: Api, store: ObjectStore, dropped: Sequence[Dropped]) -> None:
        self._api = api
        self._store = store
        self._dropped = {each.key for each in dropped}
        self._in_inbox = sorted(self._dropped)
        self._seen: object = None
        self.progress = Progress()

    def look(self) -> Progress:
        """Ask how far everything is; while the API does not answer, nothing has changed."""
        self._in_inbox = [key for key in self._in_inbox if self._store.exists(key)]
        try:
            status = self._api.get("/api/v1/status")
            refused = [job for state in ("failed", "quarantined") if status["files"][state] for job in self._jobs(state)]
        except NotReachable:
            return self.progress
        now, before = time.monotonic(), self.progress
        seen = (len(self._in_inbox), status["change"], status["files"], status["stages"])
        waiting = status["files"]["pending"] + status["files"]["running"]
        stale = sum(stage["stale_units"] for stage in status["stages"])
        stages = self._stages(status, waiting)
        is_settled = not self._in_inbox and not waiting and not stale
        self.progress = Progress(
            stages=tuple(stages),
            is_settled=is_settled,
            missing=[stage.name for stage in stages if not stage.rows],
            refused=refused,
            moved_at=now if seen != self._seen else before.moved_at,
            settled_at=None if not is_settled else before.settled_at if before.settled_at is not None and seen == self._seen else now,
            tick_at=status["tick_at"],
        )
        self._seen = seen
        return self.progress

    def partly_loaded(self) -> list[dict[str, Any]]:
        """Jobs of dropped files of which rows were refused and the rest is loaded; none while the API does not answer."""
        try:
            return [job for job in self._jobs("succeeded") if job["rejected"]]
        except NotReachable:
            return []

    def _jobs(self, state: str) -> list[dict[str, Any]]:
        jobs = self._api.items("/api/v1/datasets/jobs", status=state)
        return [job for job in jobs if INBOX + "/".join(filter(None, (job["prefix"], job["name"]))) in self._dropped]

    def _stages(self, status: dict[str, Any], waiting: int) -> list[Stage]:
        by_asset = {stage["asset"]: stage for stage in status["stages"]}
        files = status["files"]
        done = [
            Stage("landed files", files["succeeded"], len(self._in_inbox) + waiting, None),
            Stage("stations", status["stations"], 0, None),
            Stage("series", status["series"], 0, None),
            Stage("observations", status["observations"], 0, status["changed_at"]),
        ]
        for asset, name in STAGES.items():
            found = by_asset.get(asset, {"rows": 0, "stale_units": 0, "computed_at": None})
            done.append(Stage(name, found["rows"], found["stale_units"], found["computed_at"]))
        return done
