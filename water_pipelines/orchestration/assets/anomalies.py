"""Anomalies: observations and trained bands in, segments of unusual behaviour out.

Add an asset here when it finds unusual behaviour in `core/observation`. The detectors are in `domain/anomalies.py`, the SQL in
`storage/anomalies.py`, the training in `operations/training.py`; none of it belongs here.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np

from water_pipelines.domain.anomalies import ANOMALY_REACH, Segments, find_segments
from water_pipelines.domain.bands import WINDOW, Bands, latest_before
from water_pipelines.domain.cutoffs import WEEK, cutoffs_of, last_cutoff
from water_pipelines.domain.reach import DAY, Reach, affected_days, margin
from water_pipelines.domain.series import Int32Array, TimeArray
from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.operations.models import Opened, open_bands
from water_pipelines.orchestration.operations.training import train
from water_pipelines.orchestration.partitions import by_day
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import IN_ORDER, Days, Dependency, settled
from water_pipelines.storage import anomalies, observations, series, ticks
from water_pipelines.storage.database import Connection, Snapshot
from water_pipelines.storage.staging import Staged

_LEARNT = Reach(WINDOW + WEEK, np.timedelta64(0, "us"))
_DESCRIBED = ANOMALY_REACH | _LEARNT


class _Opens(Protocol):
    def __call__(self, connection: Connection, cutoffs: TimeArray) -> Mapping[np.datetime64, Opened[Bands]]: ...


def _train_bands(platform: Platform, days: Days) -> tuple[dict[str, Any], bool]:
    """Train what is missing of the bands that the days, and the evenings before them, are judged by, and of those that learn from the days.

    A series may have enough days for a later band only now.
    """
    midnights = days.astype("datetime64[us]")
    trained = train(platform, "band", cutoffs_of(np.concatenate([affected_days(midnights, midnights, _LEARNT), days - DAY])))
    return {"opens": partial(open_bands, platform)}, trained > 0


@settled(
    key=["core", "anomaly"],
    reads={
        "core/observation": ANOMALY_REACH,
        # what is missing is judged by the interval, for as long as the series is in the bands
        "core/series": Dependency(_DESCRIBED, only=ticks.reached),
        # bands learn from flagged values, so flags come first; but a band is a fact, which a later flag does not change, and the load
        # of a band marks the days that were judged without it
        "core/observation_flag": IN_ORDER,
        "core/model_version": IN_ORDER,
    },
    partitions_def=by_day,
    prepare=_train_bands,
    follows_clock=ANOMALY_REACH,
    group_name="anomalies",
    kinds={"python", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.anomaly"),
)
def anomaly(snapshot: Snapshot, days: Days, opens: _Opens) -> Staged:
    """Segments of a day outside the band of their series, missing, stuck or shifted, with score, severity and the band.

    A day is judged by the bands of the last Monday before it, which are trained on the first settle that needs them, and as of the last
    tick (of the last observation, while there is no tick). `core.anomaly_event` joins the segments that touch at midnight.
    """
    bands = opens(snapshot.connection, cutoffs_of(np.concatenate([days - DAY, days, days + DAY])))
    found, _ = observations.read_loaded(snapshot, margin(days, ANOMALY_REACH))
    intervals = {each.series_id: each.interval_s for each in series.read_all(snapshot.connection) if each.interval_s}
    now = ticks.as_of(snapshot.connection)
    as_of = now if now is not None else np.datetime64("NaT", "us")
    segments = find_segments(found, latest_before(each.model for each in bands.values()), intervals, days, as_of)
    return Staged([anomalies.stage_segments(snapshot, segments, _judged_by(segments, bands))])


def _judged_by(segments: Segments, bands: Mapping[np.datetime64, Opened[Bands]]) -> Int32Array:
    """The number of the band that each segment was judged by; 0 where there was none."""
    numbers = np.zeros(len(segments), dtype=np.int32)
    for cutoff, opened in bands.items():
        rows = opened.model.rows(segments.series)
        judged = (rows >= 0) & np.array([last_cutoff(day) == cutoff for day in segments.day], dtype=np.bool_)
        numbers[judged] = opened.model_id[rows[judged]]
    return numbers
