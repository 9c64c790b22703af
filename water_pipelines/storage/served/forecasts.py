"""Forecasts as they are served: of each issue the champion's quantiles, and the baseline's where the champion has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg import sql

from water_pipelines.storage.served.columns import Columns, read_columns
from water_pipelines.storage.served.reading import Reading

QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
_BASELINE = "seasonal"

_ISSUES = """
select s.series_id, i.issued_at, i.kind, coalesce(c.champion, %(baseline)s) as champion, c.reason
from unnest(%(ids)s::int[]) as s (series_id)
cross join lateral (
    select f.issued_at, f.kind from {forecasts} as f
    where f.series_id = s.series_id and f.issued_at <= coalesce(%(issued_at)s::timestamptz, 'infinity') order by f.issued_at desc limit 1
) as i
left join lateral (
    select c.champion, c.reason from {champions} as c
    where c.scope_series_id = s.series_id and c.kind = 'forecast' and c.from_at <= i.issued_at order by c.from_at desc limit 1
) as c on true
"""

_QUANTILES = """
select distinct on (f.target_at) f.* from {forecasts} as f
where f.series_id = %(series)s and f.issued_at = %(issued_at)s and f.model in (%(champion)s, %(baseline)s)
order by f.target_at, f.model = %(champion)s desc
"""

_SCORES = """
select distinct on (s.lead_from_h, s.lead_bucket)
    s.lead_bucket, s.lead_from_h, s.lead_to_h, s.issued_at, s.n, s.mae, s.pinball, s.coverage_90, s.width_90, s.skill
from {scores} as s where s.series_id = %(series)s and s.model = %(champion)s and s.issued_at <= %(issued_at)s
order by s.lead_from_h, s.lead_bucket, s.issued_at desc
"""

_RECENT = """
select count(distinct f.series_id) as series, max(f.issued_at) as issued_at from {forecasts} as f
where f.issued_at > %(first)s and f.issued_at <= %(last)s
"""


@dataclass(frozen=True)
class Forecast:
    """What is served of one series: its issue, `time` (targets, UTC) and quantiles in the series' unit, the model of each, and the last scores."""

    issued_at: datetime
    kind: str
    champion: str
    reason: str | None
    columns: Columns
    models: list[str]
    scores: list[dict[str, Any]]


def latest(reading: Reading, series_ids: Sequence[int], issued_at: datetime | None) -> dict[int, Forecast]:
    """The last forecast of each series that has one, issued up to a time; with the champion's last scores up to that issue."""
    forecasts = reading.table("core.forecast")
    query = sql.SQL(_ISSUES).format(forecasts=forecasts, champions=reading.table("core.champion"))
    issues = reading.rows(query, {"ids": list(series_ids), "issued_at": issued_at, "baseline": _BASELINE})
    return {issue["series_id"]: _forecast(reading, issue) for issue in issues}


def _forecast(reading: Reading, issue: dict[str, Any]) -> Forecast:
    champion = issue["champion"]
    asked = {"series": issue["series_id"], "issued_at": issue["issued_at"], "champion": champion, "baseline": _BASELINE}
    expressions = {"time": "target_at", **{name: name for name in QUANTILES}, "is_baseline": f"model = '{_BASELINE}'"}
    columns = read_columns(reading, sql.SQL(_QUANTILES).format(forecasts=reading.table("core.forecast")), expressions, asked)
    models = np.where(columns.pop("is_baseline"), _BASELINE, champion).tolist()
    scores = reading.rows(sql.SQL(_SCORES).format(scores=reading.table("core.forecast_score")), asked)
    return Forecast(issue["issued_at"], issue["kind"], champion, issue["reason"], columns, models, scores)


def recent(reading: Reading) -> dict[str, Any]:
    """Of how many series a forecast was issued in the week before the last tick, and when the last of them was."""
    tick = reading.tick()
    if tick is None:
        return {"series": 0, "issued_at": None}
    found = reading.row(sql.SQL(_RECENT).format(forecasts=reading.table("core.forecast")), {"first": tick - timedelta(days=7), "last": tick})
    assert found is not None
    return found
