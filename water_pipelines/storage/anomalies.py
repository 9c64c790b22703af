"""Anomalies: the segments of days. The view `core.anomaly_event` stitches them to events."""

from __future__ import annotations

import numpy as np
from psycopg import sql

from water_pipelines.domain.anomalies import Segments
from water_pipelines.domain.series import Int32Array, TimeArray
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.staging import StagedTable, Table, stage_query

TABLE = Table("core.anomaly", ("series_id", "day", "kind", "start_at"), "day")

_ROWS = """
select series_id, day, kind, start_at, end_at, score, severity, nullif(low, 'NaN') as expected_low, nullif(high, 'NaN') as expected_high,
    nullif(observed, 'NaN') as observed, is_open, nullif(model_id, 0) as model_id
from unnest(
    {series}::int[], {day}::date[], {kind}::text[], {start}::timestamptz[], {end}::timestamptz[], {score}::float8[], {severity}::text[],
    {low}::float8[], {high}::float8[], {observed}::float8[], {is_open}::bool[], {model}::int[]
) as t(series_id, day, kind, start_at, end_at, score, severity, low, high, observed, is_open, model_id)
"""


def stage_segments(snapshot: Snapshot, segments: Segments, model_id: Int32Array) -> StagedTable:
    """Stage segments; `model_id` [n] is the number of the band that each was judged by, 0 where there was none."""
    columns = {
        "series": segments.series.tolist(),
        "day": segments.day.astype(str).tolist(),
        "kind": segments.kind.tolist(),
        "start": _stamps(segments.start),
        "end": _stamps(segments.end),
        "score": segments.score.tolist(),
        "severity": segments.severity.tolist(),
        "low": segments.expected_low.tolist(),
        "high": segments.expected_high.tolist(),
        "observed": segments.observed.tolist(),
        "is_open": segments.is_open.tolist(),
        "model": model_id.tolist(),
    }
    return stage_query(snapshot, TABLE, sql.SQL(_ROWS).format(**{name: sql.Literal(values) for name, values in columns.items()}))


def _stamps(times: TimeArray) -> list[str]:
    return [f"{time}+00" for time in np.datetime_as_string(times.astype("datetime64[us]"))]
