"""Where a served value comes from: the bytes, the load, the run and the code; and, of a derived value, the rules, the model and the files behind it.

Add a kind of derived value to `DERIVED`. Keep out: how values are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg import sql

from water_pipelines.domain.flags import GOOD, MISSING, NOT_EVALUATED, names_of
from water_pipelines.storage.served.reading import NothingFound, Reading

_SOURCE: LiteralString = """
f.job_id as dataset, f.arrival, f.name, f.prefix, f.key as object, f.sha256, f.arrived_at, f.mapping_version
"""

_LOADED = (
    "select o.value, q.text as qualifier, o.source_row as row, l.reason, l.parser, l.parser_version, l.change, "
    + _SOURCE
    + """
from {observations} as o join raw.load as l using (load_id) join raw.source_file as f using (arrival)
left join core.qualifier as q using (qualifier_id)
where o.series_id = %(series)s and o.time = %(time)s
"""
)

_SUPERSEDED = (
    "select h.value, q.text as qualifier, h.source_row as row, l.reason, l.parser, l.parser_version, l.change, h.until, "
    + _SOURCE
    + """
from history.observation as h join raw.load as l using (load_id) join raw.source_file as f using (arrival)
left join core.qualifier as q using (qualifier_id)
where h.series_id = %(series)s and h.time = %(time)s and h.until <= %(upto)s order by h.until desc, l.change desc
"""
)

_FLAG = """
select f.flag, f.failed, f.not_run, f.since from {flags} as f where f.series_id = %(series)s and f.time = %(time)s
"""

_EVALUATION = """
select e.rule_set_id, e.read, e.since from {evaluations} as e where e.series_id = %(series)s and e.day = (%(time)s at time zone 'UTC')::date
"""

_RULES = """
select r.version, r.since as change, f.job_id as dataset, f.key as object, f.sha256
from core.rule_set as r left join raw.source_file as f using (arrival) where r.rule_set_id = %(rules)s
"""

_MODEL = """
select m.uuid as id, m.kind, m.scope, m.cutoff_at, m.version, m.read, m.since as change, f.job_id as dataset, m.object_key as object, m.sha256
from core.model_version as m join raw.source_file as f using (arrival) where m.model_id = %(model)s
"""

_INPUTS = (
    "select "
    + _SOURCE
    + """, count(*) as values, min(o.time) as first_at, max(o.time) as last_at
from {observations} as o join raw.load as l using (load_id) join raw.source_file as f using (arrival)
where o.series_id = %(series)s and o.time >= %(start)s and o.time < %(end)s group by f.arrival order by f.arrival
"""
)

_CHANGE = "select n as change, recorded_at, kind, run, code_version from core.change where n = %(change)s"

_METRIC = """
select m.*, m.start_at + interval '{length}' as end_at from {table} as m
where m.series_id = %(series)s and m.start_at = date_bin('{length}', %(time)s, '2000-01-01 00:00+00')
"""

_ANOMALY = """
select a.*, a.day::timestamp at time zone 'UTC' as unit_start, (a.day + 1)::timestamp at time zone 'UTC' as unit_end from {table} as a
where a.series_id = %(series)s and a.day = (%(time)s at time zone 'UTC')::date and a.start_at <= %(time)s and a.end_at >= %(time)s
order by a.score desc, a.kind limit 1
"""

_FORECAST = """
select f.* from {forecasts} as f
left join lateral (
    select c.champion from {champions} as c
    where c.scope_series_id = f.series_id and c.kind = 'forecast' and c.from_at <= f.issued_at order by c.from_at desc limit 1
) as c on true
where f.series_id = %(series)s and f.target_at = %(time)s
    and f.issued_at >= %(time)s::timestamptz - interval '8 days' and f.issued_at <= %(time)s
order by f.issued_at desc, f.model = coalesce(c.champion, 'seasonal') desc limit 1
"""


@dataclass(frozen=True)
class Metric:
    """A mart of buckets of a fixed length."""

    table: str
    length: LiteralString


METRICS = {
    "metric_30min": Metric("mart.metric_30min", "30 min"),
    "metric_hourly": Metric("mart.metric_hourly", "1 hour"),
    "metric_daily": Metric("mart.metric_daily", "1 day"),
}
DERIVED = ("flag", *METRICS, "anomaly", "forecast")
"""What can be explained beside observations."""

_NOT_SERVED = ("series_id", "since", "model_id", "rule_set_id", "unit_start", "unit_end")


def explain(reading: Reading, series: dict[str, Any], time: datetime, of: str) -> dict[str, Any]:
    """Where a value of a series comes from, as of the change that is read.

    Parameters
    ----------
    series : as `series.find` gives it.
    time : of the observation or its flag; within the bucket of a metric or the segment of an anomaly; the target of a forecast.
    of : 'observation', or one of `DERIVED`.

    Raises
    ------
    NothingFound
        Nothing of the kind is served for that time.
    """
    known = {"series": series["series_id"], "time": time, "upto": reading.number}
    if of == "observation":
        return _observation(reading, known)
    if of == "flag":
        return _flag(reading, known)
    if of in METRICS:
        return _metric(reading, known, METRICS[of])
    return _anomaly(reading, known) if of == "anomaly" else _forecast(reading, known)


def _observation(reading: Reading, known: dict[str, Any]) -> dict[str, Any]:
    found = _one(reading, sql.SQL(_LOADED).format(observations=reading.observations), known, "value")
    change, value = found.pop("change"), {"value": found.pop("value"), "qualifier": found.pop("qualifier")}
    superseded = []
    for each in reading.rows(sql.SQL(_SUPERSEDED), known):
        until, made, old = each.pop("until"), each.pop("change"), {name: each.pop(name) for name in ("value", "qualifier")}
        superseded.append({**old, "made": _change(reading, made), "until": _change(reading, until), "source": each})
    return {"value": value, "made": _change(reading, change), "source": found, "superseded": superseded}


def _flag(reading: Reading, known: dict[str, Any]) -> dict[str, Any]:
    loaded = _one(reading, sql.SQL(_LOADED).format(observations=reading.observations), known, "value")
    row = reading.row(sql.SQL(_FLAG).format(flags=reading.table("core.observation_flag")), known)
    judged = reading.row(sql.SQL(_EVALUATION).format(evaluations=reading.table("core.evaluation")), known)
    if row is None:
        is_judged = judged is not None and loaded["change"] <= judged["read"]
        flag = MISSING if loaded["value"] != loaded["value"] else GOOD if is_judged else NOT_EVALUATED
        row = {"flag": flag, "failed": 0, "not_run": 0, "since": judged["since"] if judged else loaded["change"]}
    value = {"flag": row["flag"], "failed": names_of(row["failed"]), "not_run": names_of(row["not_run"])}
    start = known["time"].replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "value": value,
        "made": _change(reading, row["since"]),
        "rules": _rules(reading, judged["rule_set_id"] if judged else None),
        "inputs": _inputs(reading, known, start, None),
    }


def _metric(reading: Reading, known: dict[str, Any], metric: Metric) -> dict[str, Any]:
    query = sql.SQL(_METRIC).format(table=reading.table(metric.table), length=sql.SQL(metric.length))
    found = _one(reading, query, known, "metric")
    judged = reading.row(sql.SQL(_EVALUATION).format(evaluations=reading.table("core.evaluation")), known)
    return {
        "value": _served(found),
        "made": _change(reading, found["since"]),
        "rules": _rules(reading, judged["rule_set_id"] if judged else None),
        "inputs": _inputs(reading, known, found["start_at"], found["end_at"]),
    }


def _anomaly(reading: Reading, known: dict[str, Any]) -> dict[str, Any]:
    found = _one(reading, sql.SQL(_ANOMALY).format(table=reading.table("core.anomaly")), known, "anomaly")
    return {
        "value": _served(found),
        "made": _change(reading, found["since"]),
        "model": _model(reading, found["model_id"]),
        "inputs": _inputs(reading, known, found["unit_start"], found["unit_end"]),
    }


def _forecast(reading: Reading, known: dict[str, Any]) -> dict[str, Any]:
    query = sql.SQL(_FORECAST).format(forecasts=reading.table("core.forecast"), champions=reading.table("core.champion"))
    found = _one(reading, query, known, "forecast")
    return {"value": _served(found), "made": _change(reading, found["since"]), "model": _model(reading, found["model_id"])}


def _one(reading: Reading, query: sql.Composed, known: dict[str, Any], what: str) -> dict[str, Any]:
    found = reading.row(query, known)
    if found is None:
        raise NothingFound(f"no {what} of this series is served for {known['time'].isoformat()}; /api/v1/time-series/data tells the times of values")
    return found


def _served(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in (*_NOT_SERVED, "until")}


def _change(reading: Reading, change: int) -> dict[str, Any]:
    found = reading.row(sql.SQL(_CHANGE), {"change": change})
    assert found is not None
    return found


def _rules(reading: Reading, rule_set_id: int | None) -> dict[str, Any] | None:
    return None if rule_set_id is None else reading.row(sql.SQL(_RULES), {"rules": rule_set_id})


def _model(reading: Reading, model_id: int | None) -> dict[str, Any] | None:
    return None if model_id is None else reading.row(sql.SQL(_MODEL), {"model": model_id})


def _inputs(reading: Reading, known: dict[str, Any], start: datetime, end: datetime | None) -> list[dict[str, Any]]:
    """The files that gave the values within a window, by default of a day."""
    window = {**known, "start": start, "end": end}
    query = sql.SQL(_INPUTS.replace("%(end)s", "coalesce(%(end)s::timestamptz, %(start)s::timestamptz + interval '1 day')"))
    return reading.rows(query.format(observations=reading.observations), window)
