"""Deciding on champions: each Monday, whether the trained model is served of a series in place of the baseline; landed as a fact.

Only what was wholly true by then counts: issues whose week had passed. A decision is never taken again, and none is taken for a time
before the last one, so that the champion at any past instant stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from water_pipelines.domain.scores import LEAST_ISSUES, beats_baseline
from water_pipelines.domain.series import TimeArray
from water_pipelines.orchestration.operations.facts import land_fact
from water_pipelines.orchestration.operations.loading import load_file, load_files
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.facts import ChampionFact, Decision
from water_pipelines.settings import Settings
from water_pipelines.storage import champions, forecasts, models, series, source_files, ticks
from water_pipelines.storage.database import Connection, Snapshot, utc

_WEEK = np.timedelta64(7, "D")
_WEEKS = Settings().hindcast_weeks


def decide(platform: Platform, mondays: TimeArray) -> int:
    """Decide at some cut-offs, in order, what can be decided; gives the number of objects landed."""
    landed = 0
    with platform.database.connection() as guard:
        models.one_trainer(guard)
        load_files(platform, (file for file in source_files.to_load(platform.database) if file.kind == "champion"))
        for monday in np.unique(mondays):
            with platform.database.snapshot() as snapshot:
                fact = _decided(snapshot, monday, _WEEKS)
            if fact is None:
                continue
            file = land_fact(platform, fact, "champion", f"champion-{monday}.json")
            if load_file(platform, file.arrival) is None:
                raise RuntimeError(
                    f"the decisions {file.name} were taken and could not be loaded: see job {file.job_id}, mend its cause and retry it"
                )
            landed += 1
    return landed


def decidable(connection: Connection, mondays: Sequence[str]) -> Sequence[str]:
    """Those of some Mondays that the clock has reached and before which there are scores; the tick that reaches one asks again."""
    now = ticks.as_of(connection)
    reached = [monday for monday in mondays if now is not None and np.datetime64(monday) <= now]
    return forecasts.scored_before(connection, reached, _WEEKS)


def _decided(snapshot: Snapshot, monday: np.datetime64, weeks: int) -> ChampionFact | None:
    now = ticks.as_of(snapshot.connection)
    if now is None or monday > now:
        return None
    at = monday.astype("datetime64[us]")
    scores = forecasts.read_scores(snapshot, monday - (weeks + 1) * _WEEK, monday - _WEEK + 1)
    decided = champions.latest(snapshot.connection)
    names = {each.series_id: each.natural_id for each in series.read_all(snapshot.connection)}
    trained = models.by_series(snapshot.connection, "ridge", at)
    ridge, seasonal = scores[champions.MODEL], scores[champions.BASELINE]
    decisions = []
    for number, is_better in sorted(beats_baseline(ridge, seasonal).items()):
        shown = len(np.unique(ridge.issue[ridge.series == number]))
        if shown < LEAST_ISSUES or (number in decided and decided[number][0] >= at):
            continue
        reason = f"ridge {'beat' if is_better else 'did not beat'} the baseline in both mean absolute error and CRPS over {shown} issues"
        decisions.append(
            Decision(names[number], champions.MODEL, trained.get(number), reason)
            if is_better
            else Decision(names[number], champions.BASELINE, None, reason)
        )
    return ChampionFact(champions.FORECAST, utc(at), snapshot.number, decisions) if decisions else None
