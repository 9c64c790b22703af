"""Training: what no model of a cut-off covers yet is learned from the data before it, and landed as a fact.

A cut-off is trained once for each series. Late data never changes a model: the next cut-off learns from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Generic, TypeVar

import numpy as np

from water_pipelines.domain import bands as banding
from water_pipelines.domain import models as forecasting
from water_pipelines.domain.bands import Bands, fit_bands
from water_pipelines.domain.cutoffs import last_cutoff
from water_pipelines.domain.forecasts import HISTORY, Hourly
from water_pipelines.domain.models import ForecastModel
from water_pipelines.domain.reach import Reach, margin
from water_pipelines.domain.series import Int32Array, Observations, TimeArray
from water_pipelines.domain.zones import Zones
from water_pipelines.orchestration.operations.facts import land_fact
from water_pipelines.orchestration.operations.loading import load_file, load_files
from water_pipelines.orchestration.operations.models import taken
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.facts import ModelFact, Trained
from water_pipelines.storage import forecasts, models, observations, series, source_files, stale, ticks
from water_pipelines.storage.database import Snapshot, instant
from water_pipelines.storage.models import Lacking
from water_pipelines.storage.series import Series

Data = TypeVar("Data")

_OBJECT_BYTES, _OBJECT_MODELS = 1 << 20, 100
_EVER_DAYS = 100_000
_DAY = np.timedelta64(1, "D")
_BAND_REACH = Reach(banding.WINDOW, np.timedelta64(0, "us"))
_BAND_DAYS = 21  # with fewer days with data than this, no band is learned
_RIDGE_DAYS = int(HISTORY / _DAY) + 28


@dataclass(frozen=True)
class Learner(Generic[Data]):
    """How a kind of model is trained: what of the past it looks at, the least that it can learn from, and three functions.

    `read(snapshot, cutoffs, first_day)` reads the data of all series once for many cut-offs; `of(data, series)` takes some series of it,
    and `fit(data, cutoff, zones)` learns. A pooled kind learns from all series of a scope together, even for one of them; the others learn
    from each series by itself, and so are fitted to all scopes at once.
    """

    window_days: int
    least_days: int
    is_pooled: bool
    read: Callable[[Snapshot, TimeArray, np.datetime64], Data]
    of: Callable[[Data, Int32Array], Data]
    fit: Callable[[Data, np.datetime64, Zones], Bands | ForecastModel]


def _read_good(snapshot: Snapshot, cutoffs: TimeArray, first_day: np.datetime64) -> Observations:
    return observations.read_flagged(snapshot, margin(cutoffs.astype("datetime64[D]"), _BAND_REACH))


def _read_hourly(snapshot: Snapshot, cutoffs: TimeArray, first_day: np.datetime64) -> Hourly:
    return forecasts.read_hourly(snapshot, [(first_day, cutoffs.max())])


def _of_observations(data: Observations, numbers: Int32Array) -> Observations:
    return data.take(np.isin(data.series, numbers))


def _of_hourly(data: Hourly, numbers: Int32Array) -> Hourly:
    kept = np.isin(data.series, numbers)
    return Hourly(data.series[kept], data.start, data.value[kept])


LEARNERS: Mapping[str, Learner[Any]] = {
    "band": Learner(int(banding.WINDOW / _DAY), _BAND_DAYS, False, _read_good, _of_observations, fit_bands),
    "ridge": Learner(_EVER_DAYS, _RIDGE_DAYS, True, _read_hourly, _of_hourly, forecasting.train),
}
"""Kind of model -> how it is trained."""


def train(platform: Platform, kind: str, cutoffs: TimeArray) -> int:
    """Train what is missing of a kind at some cut-offs, and land and load it; gives the number of models.

    Parameters
    ----------
    cutoffs : datetime64[us][c], Mondays 00:00 UTC; those that the clock has not reached are left out.
    """
    total = 0
    with platform.database.connection() as guard:
        models.one_trainer(guard)
        load_files(platform, (file for file in source_files.to_load(platform.database) if file.kind == "model"))
        with platform.database.snapshot() as snapshot:
            lacking = _lacking(snapshot, kind, np.unique(cutoffs))
            if not lacking:
                return 0
            lesson = _Lesson.of(platform, snapshot, kind, lacking)
        for trained in _together(lesson.learn(cutoff_at, list(missing)) for cutoff_at, missing in groupby(lacking, key=lambda each: each.cutoff_at)):
            between = "-".join(dict.fromkeys(f"{each.cutoff_at:%Y%m%d}" for each in (trained[0], trained[-1])))
            file = land_fact(platform, ModelFact(kind, lesson.read, trained), "model", f"{kind}-{between}.npz")
            if load_file(platform, file.arrival) is None:
                raise RuntimeError(f"the models {file.name} were trained and could not be loaded: see job {file.job_id}, mend its cause and retry it")
            total += len(trained)
    return total


def _together(of_cutoffs: Iterable[list[Trained]]) -> Iterator[list[Trained]]:
    """The models of as many cut-offs as land as one object, in their order: a history of decades has thousands of small ones."""
    some: list[Trained] = []
    for trained in of_cutoffs:
        some += trained
        if sum(len(each.model) for each in some) >= _OBJECT_BYTES or len(some) >= _OBJECT_MODELS:
            yield some
            some = []
    if some:
        yield some


def retrain(platform: Platform) -> dict[str, int]:
    """Train every kind at the newest cut-off, and let it be decided who is champion from then on; gives the number of models by kind."""
    with platform.database.connection() as connection:
        now = ticks.as_of(connection)
    if now is None:
        return {}
    cutoff = last_cutoff(now)
    trained = {kind: train(platform, kind, np.array([cutoff])) for kind in LEARNERS}
    with platform.database.connection() as connection:
        platform.database.take_number(connection, "retraining")
        stale.mark(connection, "core/champion", [str(cutoff.astype("datetime64[D]"))])
    return trained


def _lacking(snapshot: Snapshot, kind: str, cutoffs: TimeArray) -> list[Lacking]:
    learner, now = LEARNERS[kind], ticks.as_of(snapshot.connection)
    reached = cutoffs[cutoffs <= now] if now is not None else cutoffs[:0]
    return models.lacking(snapshot.connection, kind, reached, learner.window_days, learner.least_days) if len(reached) else []


@dataclass(frozen=True)
class _Lesson:
    """The data that all cut-offs are trained with, and what is known of the series."""

    learner: Learner[Any]
    data: Any
    read: int
    series: Mapping[int, Series]
    versions: Mapping[tuple[datetime, str], int]

    @classmethod
    def of(cls, platform: Platform, snapshot: Snapshot, kind: str, lacking: Sequence[Lacking]) -> _Lesson:
        """Read once what all cut-offs need."""
        cutoffs = np.unique(np.array([instant(each.cutoff_at) for each in lacking]))
        data = LEARNERS[kind].read(snapshot, cutoffs, np.datetime64(platform.settings.first_day, "us"))
        known = {each.series_id: each for each in series.read_all(snapshot.connection)}
        return cls(LEARNERS[kind], data, snapshot.number, known, models.last_versions(snapshot.connection, kind, cutoffs))

    def learn(self, cutoff_at: datetime, missing: Sequence[Lacking]) -> list[Trained]:
        """Models of a cut-off for the scopes of the missing series, for these series only."""
        together = None if self.learner.is_pooled else self._fit(cutoff_at, [each.series_id for each in missing])
        trained = []
        for scope, of_scope in groupby(missing, key=lambda each: each.scope):
            asked = np.array([each.series_id for each in of_scope], dtype=np.int32)
            model: Any = together or self._fit(cutoff_at, [each.series_id for each in self.series.values() if each.observed_property == scope])
            kept = taken(model, np.isin(model.series, asked))
            version = self.versions.get((cutoff_at, scope), 0) + 1
            trained.append(
                Trained(cutoff_at, scope, version, self._names(kept.series), self._names(np.setdiff1d(asked, kept.series)), kept.to_bytes())
            )
        return trained

    def _fit(self, cutoff_at: datetime, numbers: Sequence[int]) -> Bands | ForecastModel:
        zones = {number: each.time_zone for number, each in self.series.items() if each.time_zone}
        return self.learner.fit(self.learner.of(self.data, np.unique(np.array(numbers, dtype=np.int32))), instant(cutoff_at), zones)

    def _names(self, numbers: Int32Array) -> list[str]:
        return [self.series[number].natural_id for number in numbers.tolist()]
