"""Forecasts as they were issued, and how good they were.

Add an asset here when it forecasts or scores. The models are in `domain/models.py`, the scores in `domain/scores.py`, what is due and how
it lands in `operations/issuing.py`.
"""

from typing import Any

import numpy as np

from water_pipelines.domain.reach import SAME_DAY, Reach, margin
from water_pipelines.domain.scores import joined, score
from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.operations.issuing import ISSUED_FROM, due_among, issue
from water_pipelines.orchestration.partitions import by_day
from water_pipelines.orchestration.plots import forecast_fan
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import IN_ORDER, Days, Dependency, settled
from water_pipelines.storage import forecasts
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.staging import Staged, windows_of

_TRUTH = Reach(np.timedelta64(0, "us"), np.timedelta64(6, "D"))
"""An issue day is scored with its own hours and those of the six days after it: 168 leads from 00:00."""


def _issue(platform: Platform, days: Days) -> tuple[dict[str, Any], bool]:
    return {}, issue(platform, days) > 0


def _fan(snapshot: Snapshot, days: Days) -> dict[str, Any]:
    return {"forecast": forecast_fan(snapshot, days)}


@settled(
    key=["core", "forecast"],
    # a day that too little was known for becomes due when the history before it is completed, or when its series goes on after it
    reads={"mart/metric_hourly": Dependency(ISSUED_FROM, only=due_among), "core/model_version": IN_ORDER},
    partitions_def=by_day,
    prepare=_issue,
    follows_clock=Dependency(SAME_DAY, only=due_among),
    metadata_of=_fan,
    group_name="forecasts",
    kinds={"python", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.forecast"),
)
def forecast(snapshot: Snapshot, days: Days) -> Staged:
    """Quantiles of the hourly means of the week from 00:00 UTC of an issue day on, by the seasonal baseline and the trained model.

    The day's first tick makes its forecast due. New hourly values make due the days of the last weeks (WATER_HINDCAST_WEEKS) before the
    end of their series that were never issued: these are hindcasts, made from the values before each issue day, one object a week. What
    was issued is a fact and never issued again, whatever arrives later.
    """
    return Staged([], counted=forecasts.counts(snapshot.connection, days.astype(str).tolist()))


@settled(
    key=["core", "forecast_score"],
    reads={"core/forecast": SAME_DAY, "mart/metric_hourly": Dependency(_TRUTH, only=forecasts.issued_among)},
    partitions_def=by_day,
    group_name="forecasts",
    kinds={"python", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.forecast_score"),
)
def forecast_score(snapshot: Snapshot, days: Days) -> Staged:
    """Errors, quantile loss, coverage and width of the 90 % interval of an issue, by lead; they follow the truth as it arrives and is corrected."""
    issued = forecasts.read_issued(snapshot, windows_of(days))
    known = np.array([at.astype("datetime64[D]") for at in issued], dtype="datetime64[D]")
    truth = forecasts.read_hourly(snapshot, margin(known, _TRUTH))
    scores = {
        model: [
            score(said[model], truth, said.get(forecasts.BASELINE) if model != forecasts.BASELINE else None)
            for said in issued.values()
            if model in said
        ]
        for model in forecasts.MODELS
    }
    return Staged([forecasts.stage_scores(snapshot, {model: joined(every) for model, every in scores.items() if every})])
