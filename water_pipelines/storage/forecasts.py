"""Forecasts as they were issued, the hourly values that they are made from and scored with, and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.forecasts import HISTORY, HOUR, LEAST_KNOWN, QUANTILES, Forecast, Hourly
from water_pipelines.domain.scores import Scores
from water_pipelines.domain.series import Int32Array, TimeArray
from water_pipelines.storage.copy import copy_arrays
from water_pipelines.storage.database import Connection, Snapshot, Window, as_times, timestamp, window_values
from water_pipelines.storage.staging import StagedTable, Table, stage_query

FORECAST_TABLE = Table("core.forecast", ("series_id", "issued_at", "model", "target_at"), "issued_at")
SCORE_TABLE = Table("core.forecast_score", ("series_id", "model", "issued_at", "lead_bucket"), "issued_at")

_QUANTILES = tuple(f"q{round(level * 100):02d}" for level in QUANTILES)
BASELINE = "seasonal"
MODELS = (BASELINE, "ridge")
"""The baseline, and what has to beat it."""

_HOURLY = """
select m.series_id, m.start_at, m.mean from {windows} as w(start_at, end_at) cross join core.series as s
cross join lateral (
    select * from mart.metric_hourly as m where m.series_id = s.series_id and m.start_at >= w.start_at and m.start_at < w.end_at offset 0
) as m where m.count > 0
"""

_WAITING = """
with ends as materialized (
    select s.series_id, (
        select m.start_at from mart.metric_hourly as m where m.series_id = s.series_id and m.count > 0 order by m.start_at desc limit 1
    ) as last_at
    from core.series as s
),
asked as materialized (
    select e.series_id, d.day
    from ends as e
    join unnest({days}::date[]) as d(day)
    on d.day = {today}::date and e.last_at > d.day - interval '28 days'
        or d.day <= e.last_at at time zone 'UTC' and d.day > e.last_at at time zone 'UTC' - {weeks} * interval '7 days'
)
select a.series_id, a.day from asked as a
where not exists (
    select from core.forecast as f
    where f.series_id = a.series_id and f.issued_at = a.day::timestamp at time zone 'UTC'
    and f.issued_at between {first}::timestamptz and {last}::timestamptz
)
and exists (
    select from mart.metric_hourly as m where m.series_id = a.series_id and m.count > 0
    and m.start_at >= a.day::timestamp at time zone 'UTC' - {history}::interval
    and m.start_at <= a.day::timestamp at time zone 'UTC' - {least}::interval
)
order by a.day, a.series_id
"""

_FORECASTS = """
select f.series_id, f.issued_at, f.model, f.target_at, f.q05, f.q10, f.q25, f.q50, f.q75, f.q90, f.q95
from {windows} as w(start_at, end_at) cross join core.series as s
cross join lateral (
    select * from core.forecast as f where f.series_id = s.series_id and f.issued_at >= w.start_at and f.issued_at < w.end_at offset 0
) as f order by f.issued_at, f.model, f.series_id, f.target_at
"""


_SCORES = """
select series_id, issued_at, model, format('%s-%sh', lead_from_h, lead_to_h) as lead_bucket, lead_from_h, lead_to_h, n, mae, crps / 2 as pinball,
    coverage as coverage_90, width as width_90, nullif(skill, 'NaN') as skill
from unnest(
    {series}::int[], {issue}::timestamptz[], {model}::text[], {first}::int2[], {last}::int2[], {n}::int[], {mae}::float8[], {crps}::float8[],
    {coverage}::float8[], {width}::float8[], {skill}::float8[]
) as t(series_id, issued_at, model, lead_from_h, lead_to_h, n, mae, crps, coverage, width, skill)
"""

_SCORED = """
select model, series_id, issued_at at time zone 'UTC', lead_from_h, lead_to_h, n, mae, 2 * pinball, coverage_90, width_90, coalesce(skill, 'NaN')
from core.forecast_score where issued_at >= %s::timestamptz and issued_at < %s::timestamptz
order by series_id, issued_at, lead_from_h
"""

_APPEND = """
insert into core.forecast (issued_at, target_at, series_id, model_id, model, kind, {quantiles}, since)
select i.issued_at, i.target_at, i.series_id, nullif(i.model_id, 0), ({models}::text[])[i.model + 1], {kind}, {quantiles}, core.this_change()
from incoming as i
join (
    select p.series_id, p.issued_at from (select distinct series_id, issued_at from incoming) as p
    where not exists (select from core.forecast as f where f.series_id = p.series_id and f.issued_at = p.issued_at)
) as new using (series_id, issued_at)
order by i.series_id, i.issued_at, i.model, i.target_at
"""


def read_hourly(snapshot: Snapshot, windows: Sequence[Window]) -> Hourly:
    """Hourly means of good values within half-open windows, on one grid from the first hour that has one; NaN where there is none."""
    if not windows:
        return Hourly(np.empty(0, np.int32), np.datetime64("1970-01-01", "h"), np.empty((0, 0)))
    table = snapshot.arrow(sql.SQL(_HOURLY).format(windows=window_values(windows)))
    time = as_times(table["start_at"]).astype("datetime64[h]")
    series, row = np.unique(table["series_id"].to_numpy(), return_inverse=True)
    start = time.min() if len(time) else windows[0][0].astype("datetime64[h]")
    hour = ((time - start) / HOUR).astype(np.int64)
    value = np.full((len(series), int(hour.max(initial=-1)) + 1), np.nan)
    value[row, hour] = table["mean"].to_numpy()
    return Hourly(series.astype(np.int32), start, value)


def waiting(connection: Connection, days: Sequence[str], today: str | None, weeks: int) -> list[tuple[int, np.datetime64]]:
    """(series, issue day) pairs that were never forecast and should be: of the present day, and of the last weeks of each series.

    Days of which too little is known for any forecast are left out, as far as an hour can tell.

    Parameters
    ----------
    days : the issue days asked about.
    today : the present day; a series without data for four weeks has no forecast of it.
    weeks : how far back from its last hour a series is forecast afterwards.
    """
    if not days:
        return []
    query = sql.SQL(_WAITING).format(
        days=list(days),
        today=today,
        weeks=weeks,
        first=f"{min(days)}T00:00Z",
        last=f"{max(days)}T00:00Z",
        history=HISTORY.item(),
        least=LEAST_KNOWN.item(),
    )
    return [(series_id, np.datetime64(day, "D")) for series_id, day in connection.execute(query)]


def issued_among(connection: Connection, days: Sequence[str]) -> list[str]:
    """Those of some days on which anything was issued."""
    return sorted(counts(connection, days))


def append(connection: Connection, rows: pa.Table, series_id: Int32Array, model: NDArray[np.int16], model_id: Int32Array, kind: str) -> int:
    """Append forecasts that have landed, and say how many rows; call it with the clock held.

    What was issued for a series and issue time before stays; a forecast is never issued again.

    Parameters
    ----------
    rows : a table with issued_at, target_at and the quantiles as q05 to q95.
    series_id : int32[n], the series of each row.
    model : int16[n], its place in `MODELS`.
    model_id : int32[n], the trained model of each row; 0 for none.
    """
    connection.execute(
        "create temporary table incoming on commit drop as select issued_at, target_at, series_id, model_id, 0::smallint as model,"
        " q05, q10, q25, q50, q75, q90, q95 from core.forecast with no data"
    )
    columns = {
        "issued_at": ("timestamptz", as_times(rows["issued_at"])),
        "target_at": ("timestamptz", as_times(rows["target_at"])),
        "series_id": ("int4", series_id),
        "model_id": ("int4", model_id),
        "model": ("int2", model),
        **{name: ("float4", rows[name].to_numpy()) for name in _QUANTILES},
    }
    copy_arrays(connection, sql.Identifier("incoming"), columns)
    connection.execute("analyze incoming")
    query = sql.SQL(_APPEND).format(quantiles=sql.SQL(", ").join(map(sql.Identifier, _QUANTILES)), models=sql.Literal(list(MODELS)), kind=kind)
    return connection.execute(query).rowcount


def counts(connection: Connection, days: Sequence[str]) -> dict[str, int]:
    """How many rows were issued on each of some issue days."""
    if not days:
        return {}
    query = (
        "select (issued_at at time zone 'UTC')::date::text, count(*) from core.forecast"
        " where issued_at >= %s::timestamptz and issued_at < %s::timestamptz + interval '1 day'"
        " and (issued_at at time zone 'UTC')::date = any(%s::date[]) group by 1"
    )
    return dict(connection.execute(query, (f"{min(days)}T00:00Z", f"{max(days)}T00:00Z", list(days))).fetchall())


def read_issued(snapshot: Snapshot, windows: Sequence[Window]) -> dict[np.datetime64, dict[str, Forecast]]:
    """Issue time -> model -> what it said, of the forecasts that were issued within half-open windows."""
    if not windows:
        return {}
    table = snapshot.arrow(sql.SQL(_FORECASTS).format(windows=window_values(windows)))
    if table.num_rows == 0:
        return {}
    issue, model = as_times(table["issued_at"]).astype("datetime64[h]"), np.array(table["model"].to_pylist(), dtype=np.str_)
    every = _forecast(table, issue)
    found: dict[np.datetime64, dict[str, Forecast]] = {}
    starts = np.flatnonzero(np.append(True, (issue[1:] != issue[:-1]) | (model[1:] != model[:-1])))
    for begin, end in zip(starts, np.append(starts[1:], len(issue)), strict=True):
        part = slice(begin, end)
        said = Forecast(every.series[part], issue[begin], every.lead_h[part], every.time[part], every.quantile[part])
        found.setdefault(issue[begin], {})[str(model[begin])] = said
    return found


def read_served(snapshot: Snapshot, issue: np.datetime64) -> Forecast | None:
    """What is served of an issue time, each series by its champion; none where nothing was issued."""
    table = snapshot.arrow(sql.SQL("select * from core.served_forecast where issued_at = {} order by series_id, target_at").format(timestamp(issue)))
    return _forecast(table, as_times(table["issued_at"]).astype("datetime64[h]")) if table.num_rows else None


def _forecast(table: pa.Table, issue: TimeArray) -> Forecast:
    time = as_times(table["target_at"]).astype("datetime64[h]")
    quantile = np.stack([table[name].to_numpy() for name in _QUANTILES], axis=1).astype(np.float64)
    lead_h = ((time - issue) / HOUR).astype(np.int16) + np.int16(1)
    first = issue[0] if len(issue) else np.datetime64("NaT", "h")
    return Forecast(table["series_id"].to_numpy(), first, lead_h, time, quantile)


def stage_scores(snapshot: Snapshot, scores: Mapping[str, Scores]) -> StagedTable:
    """Stage scores by model; a bucket without a single known hour has no row yet."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("model", "series", "issue", "first", "last", "n", "mae", "crps", "coverage", "width", "skill")
    }
    for model, every in scores.items():
        known = every.count > 0
        parts = {
            "model": np.full(int(known.sum()), model),
            "series": every.series[known],
            "issue": np.char.add(np.datetime_as_string(every.issue[known].astype("datetime64[us]")), "+00"),
            "first": every.lead_from_h[known],
            "last": every.lead_to_h[known],
            "n": every.count[known],
            "mae": every.mae[known],
            "crps": every.crps[known],
            "coverage": every.coverage[known],
            "width": every.width[known],
            "skill": every.skill[known],
        }
        for name, part in parts.items():
            columns[name] += part.tolist()
    return stage_query(snapshot, SCORE_TABLE, sql.SQL(_SCORES).format(**{name: sql.Literal(values) for name, values in columns.items()}))


def read_scores(snapshot: Snapshot, first: np.datetime64, end: np.datetime64) -> dict[str, Scores]:
    """The scores of each model's issues in [first, end)."""
    found = snapshot.rows(_SCORED, (timestamp(first), timestamp(end)))
    kinds = ("U8", "i4", "M8[h]", "i2", "i2", "i4", "f8", "f8", "f8", "f8", "f8")
    model, series, issue, from_h, to_h, n, *measures = (np.array([row[at] for row in found], dtype=kind) for at, kind in enumerate(kinds))
    missing = np.zeros(len(found), dtype=np.int32)
    return {name: Scores(*(each[model == name] for each in (series, issue, from_h, to_h, n, missing, *measures))) for name in MODELS}


def scored_before(connection: Connection, mondays: Sequence[str], weeks: int) -> list[str]:
    """Those of some cut-offs before which there are scores to decide by: of issues a week old by then, and no older than some weeks more."""
    query = (
        "select day::text from unnest(%s::date[]) as day where exists (select from core.forecast_score as s"
        " where s.issued_at >= (day - 7 * %s)::timestamp at time zone 'UTC' and s.issued_at <= (day - 7)::timestamp at time zone 'UTC') order by day"
    )
    return [row[0] for row in connection.execute(query, (list(mondays), weeks + 1))]
