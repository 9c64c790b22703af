"""What a database holds, told by natural keys, so that two databases can be held against each other.

Numbers that only say who wrote what in which order (changes, loads, runs, internal ids, times of work) are left out or exchanged for
what they stand for. Keep out: what is expected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage.database import Connection

TABLES = (
    "raw.source_file",
    "raw.mapping",
    "raw.claim",
    "raw.description",
    "raw.complete_window",
    "raw.rejected_row",
    "raw.act",
    "core.tombstone",
    "core.station",
    "core.series",
    "core.observation",
    "core.rule_set",
    "core.tick",
    "core.observation_flag",
    "core.evaluation",
    "mart.metric_30min",
    "mart.metric_hourly",
    "mart.metric_daily",
    "mart.network_30min",
    "mart.data_quality_daily",
    "core.check_result",
    "core.check_failure",
    "core.anomaly",
    "core.model_version",
    "core.model_series",
    "core.champion",
    "core.forecast",
    "core.forecast_score",
    "raw.argo_cast",
    "raw.argo_said",
    "core.argo_grey_list",
    "core.argo_float",
    "core.argo_profile",
    "core.argo_level",
    "core.argo_bgc_level",
    "core.argo_position",
    "core.argo_flag",
    "core.argo_evaluation",
    "core.argo_summary",
)
"""Facts and ledgers of what landed, and every derived table."""

_STANDS_FOR = {
    "series_id": ("core.series", "series_id", "natural_id"),
    "scope_series_id": ("core.series", "series_id", "natural_id"),
    "station_id": ("core.station", "station_id", "natural_id"),
    "rule_set_id": ("core.rule_set", "rule_set_id", "version"),
    "model_id": ("core.model_version", "model_id", "uuid"),
    "load_id": ("raw.load", "load_id", "arrival"),
    "profile_id": ("core.argo_profile", "profile_id", "natural_id"),
    "parameter_id": ("core.argo_parameter", "parameter_id", "name"),
    "qualifier_id": ("core.qualifier", "qualifier_id", "text"),
}
_LEFT_OUT = {"since", "change", "run", "attempts", "started_at", "finished_at", "landed_at", "arrived_on", "progress", "error", "counts"}
_NUMBERS = {("core.evaluation", "read"), ("core.check_failure", "position")}
_WHETHER = {"withdrawn_at", "superseded_by"}  # by which of several newer mappings depends on which was loaded first
_ONLY = {
    "raw.rejected_row": "exists (select from raw.source_file where arrival = t.arrival and superseded_by is null)",
    # a file that was superseded before it was loaded never made the series that nobody else names
    "core.station": "exists (select from raw.claim where subject = 'station' and natural_id = t.natural_id)",
    "core.series": "exists (select from raw.claim where subject = 'series' and natural_id = t.natural_id)",
}
_OF_ITS_LOAD = {"status", "rows", "rejected"}  # whether a file was loaded before another superseded it depends on the order of loading

_COLUMNS = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attname"


def rows_of(connection: Connection, table: str, left_out: Collection[str] = ()) -> Counter[str]:
    """The rows of a table as text, each as often as it is there."""
    shown = []
    for (column,) in connection.execute(_COLUMNS, (table,)).fetchall():
        if column in _LEFT_OUT or column in left_out or (table, column) in _NUMBERS:
            continue
        if column in _STANDS_FOR:
            known, key, name = _STANDS_FOR[column]
            shown.append(f"'{column}', (select k.{name}::text from {known} as k where k.{key} = t.{column})")
        elif (table, column) == ("core.check_failure", "row"):
            shown.append("'row', (t.row - 'series_id') || jsonb_build_object('series', (select natural_id from core.series"
                         " where series_id = (t.row ->> 'series_id')::int))")  # fmt: skip
        elif table == "raw.source_file" and column in _OF_ITS_LOAD:
            shown.append(f"'{column}', case when t.superseded_by is null then t.{column}::text end")
        elif column in _WHETHER:
            shown.append(f"'{column}', t.{column} is not null")
        else:
            shown.append(f"'{column}', t.{column}::text")
    query = f"select jsonb_build_object({', '.join(shown)})::text from {table} as t where {_ONLY.get(table, 'true')}"
    return Counter(row[0] for row in connection.execute(query.encode()))


def differences(one: Platform, other: Platform, left_out: Collection[str] = ()) -> dict[str, str]:
    """Table -> what differs between two databases: how many rows on each side, and the first of them.

    Parameters
    ----------
    left_out : columns that are not compared, such as times of arrival of what landed twice.
    """
    found = {}
    with one.database.connection() as left, other.database.connection() as right:
        for table in TABLES:
            here, there = rows_of(left, table, left_out), rows_of(right, table, left_out)
            only_here, only_there = here - there, there - here
            if only_here or only_there:
                found[table] = f"{only_here.total()} here, {only_there.total()} there: {sorted(only_here)[:2]} and {sorted(only_there)[:2]}"
    return found
