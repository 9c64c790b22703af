"""Quality flags: what is not plainly good, and which tests were run for each series and day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.flags import GOOD
from water_pipelines.domain.quality import Evaluations, Flags
from water_pipelines.domain.series import Int64Array, Observations, series_day_codes
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.staging import StagedTable, Table, stage

FLAG_TABLE = Table("core.observation_flag", ("series_id", "time"), "time", flags=True)
EVALUATION_TABLE = Table("core.evaluation", ("series_id", "day"), "day", flags=True)


def stage_flags(snapshot: Snapshot, days: NDArray[np.datetime64], observations: Observations, flags: Flags) -> StagedTable:
    """Stage the flags of the given days; a value that is good and was put to every test asked for needs no row."""
    kept = np.flatnonzero((flags.flag != GOOD) | (flags.failed != 0) | (flags.not_run != 0))
    kept = kept[np.isin(observations.time[kept].astype("datetime64[D]"), days)]
    return stage(
        snapshot,
        FLAG_TABLE,
        {
            "time": ("timestamptz", observations.time[kept]),
            "series_id": ("int4", observations.series[kept]),
            "failed": ("int4", flags.failed[kept]),
            "not_run": ("int4", flags.not_run[kept]),
            "flag": ("int2", flags.flag[kept]),
        },
    )


def stage_evaluations(
    snapshot: Snapshot, days: NDArray[np.datetime64], observations: Observations, loaded: Int64Array, evaluations: Evaluations, rule_set_id: int
) -> StagedTable:
    """Stage which tests were run; `loaded` is the change by which each observation came, and the latest of a series and day is what was read."""
    starts = np.searchsorted(series_day_codes(observations.series, observations.time), series_day_codes(evaluations.series, evaluations.day))
    read = np.maximum.reduceat(loaded, starts) if len(starts) else np.empty(0, dtype=np.int64)
    kept = np.isin(evaluations.day, days)
    return stage(
        snapshot,
        EVALUATION_TABLE,
        {
            "series_id": ("int4", evaluations.series[kept]),
            "day": ("date", evaluations.day[kept]),
            "rule_set_id": ("int4", np.full(int(kept.sum()), rule_set_id)),
            "tests_run": ("int4", evaluations.run[kept]),
            "tests_not_run": ("int4", evaluations.not_run[kept]),
            "read": ("int8", read[kept]),
        },
    )
