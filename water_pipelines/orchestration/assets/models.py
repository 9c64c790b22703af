"""Trained models, and which forecaster is served.

Add an asset here when it trains, or judges what was trained. Training is in `operations/training.py`, deciding in
`operations/deciding.py`; what a model computes is in `domain/bands.py` and `domain/models.py`.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from water_pipelines.domain.cutoffs import WEEK, cutoffs_of, last_cutoff
from water_pipelines.domain.reach import DAY, SAME_DAY
from water_pipelines.domain.series import TimeArray
from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.operations.deciding import decidable, decide
from water_pipelines.orchestration.operations.training import LEARNERS, train
from water_pipelines.orchestration.partitions import by_cutoff
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import Days, Dependency, settled
from water_pipelines.storage import champions, models
from water_pipelines.storage.database import Snapshot, utc
from water_pipelines.storage.staging import Staged


@dg.asset(
    key=["core", "model_version"],
    deps=[["core", "observation_flag"], ["mart", "metric_hourly"]],
    partitions_def=by_cutoff,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="models",
    kinds={"python", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.model_version"),
)
def model_version(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[Any]:
    """Models of a Monday 00:00 UTC: seasonal bands and ridge forecasts of each observed property, learned from what came before.

    A cut-off is trained once for each series; materialising it again trains only series that came since. Settling trains the cut-offs
    that its days need by itself, and the schedule `weekly_retraining` the newest.
    """
    cutoffs = np.array(sorted(context.partition_keys), dtype="datetime64[us]")
    with platform.during(context.run.run_id) as working:
        trained = {kind: train(working, kind, cutoffs) for kind in LEARNERS}
        with working.database.connection() as connection:
            counts = models.counts(connection, [utc(cutoff) for cutoff in cutoffs])
    return dg.MaterializeResult(metadata={**{f"{kind}_trained": number for kind, number in trained.items()}, "models": sum(counts.values())})


def _first_monday_after_the_week(first: TimeArray, last: TimeArray) -> Sequence[str]:
    """The first cut-off at which the scores of issue days are complete."""
    sunday_after = (last + 2 * WEEK - DAY).astype("datetime64[D]")
    return [str(monday) for monday in cutoffs_of(sunday_after).astype("datetime64[D]")]


def _new_mondays(first: TimeArray, last: TimeArray) -> Sequence[str]:
    """The cut-offs that the clock passed."""
    mondays = np.arange(last_cutoff(first.min()), last.max() + 1, WEEK.astype("timedelta64[us]"))
    return [str(monday.astype("datetime64[D]")) for monday in mondays if monday > first.min() or first.min() == last.max()]


def _decide(platform: Platform, mondays: Days) -> tuple[dict[str, Any], bool]:
    """Take the decisions that are due on some Mondays."""
    return {}, decide(platform, np.intersect1d(mondays, cutoffs_of(mondays).astype("datetime64[D]"))) > 0


@settled(
    key=["core", "champion"],
    reads={"core/forecast_score": Dependency(SAME_DAY, units=_first_monday_after_the_week, only=decidable)},
    partitions_def=by_cutoff,
    prepare=_decide,
    follows_clock=Dependency(SAME_DAY, units=_new_mondays, only=decidable),
    group_name="models",
    kinds={"python", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.champion"),
)
def champion(snapshot: Snapshot, mondays: Days) -> Staged:
    """From a Monday on, whose forecast of a series is served: the baseline's, or the trained model's where it was better in the weeks before.

    Decisions are facts and never taken again; a series without any is served the baseline.
    """
    return Staged([], counted=champions.counts(snapshot.connection, mondays.astype(str).tolist()))
