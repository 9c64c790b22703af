"""An independent model of what is affected: from the rows that changed in each table to the units that have to be computed.

It is written from the architecture, not from the code: which table is read by which asset and how far is said here once more, and the
rows that changed are taken from the tables and their history. Keep out: anything that `domain/reach.py` or `settle.py` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from water_pipelines.storage.database import Connection

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_NONE = timedelta(0)

ASSETS = (
    "core/observation_flag",
    "mart/metric_30min",
    "mart/metric_hourly",
    "mart/metric_daily",
    "mart/network_30min",
    "mart/data_quality_daily",
    "core/check_result",
    "core/forecast_score",
)
"""What is computed exactly where something changed. Anomalies may be judged again where a band was trained; facts are issued once."""

_TIMES = {
    "core.observation_flag": "time",
    "core.evaluation": "day",
    "mart.metric_30min": "start_at",
    "mart.metric_hourly": "start_at",
    "mart.metric_daily": "start_at",
    "mart.network_30min": "start_at",
    "mart.data_quality_daily": "day",
}
_READS_SAME_DAY = {
    "mart/metric_30min": ("core.observation", "core.observation_flag", "core.evaluation"),
    "mart/metric_hourly": ("mart.metric_30min",),
    "mart/metric_daily": ("mart.metric_hourly",),
    "mart/network_30min": ("mart.metric_30min",),
    "mart/data_quality_daily": ("core.observation", "core.observation_flag", "core.evaluation", "mart.metric_daily"),
    "core/check_result": ("mart.metric_30min", "mart.metric_hourly", "mart.metric_daily", "mart.network_30min", "mart.data_quality_daily"),
}
_READS_SERIES = ("core/observation_flag", *(asset for asset in _READS_SAME_DAY if asset != "core/check_result"))
_READS_CLOCK = ("mart/metric_30min", "mart/metric_hourly", "mart/metric_daily", "mart/data_quality_daily")

_OBSERVATIONS = """
select o.time from core.observation as o join raw.load as l using (load_id) where l.change > %(after)s and l.change <= %(until)s
union select o.time from history.observation as o join raw.load as l using (load_id) where l.change > %(after)s and l.change <= %(until)s
union select time from history.observation where until > %(after)s and until <= %(until)s
"""
_ROWS = """
select {at} from {table} where since > %(after)s and since <= %(until)s
union select {at} from history.{name} where since > %(after)s and since <= %(until)s or until > %(after)s and until <= %(until)s
"""
_DESCRIBED = """
select distinct d.day from (
    select series_id, until from history.series
    union select s.series_id, h.until from history.station as h join core.series as s using (station_id)
) as h
join raw.load_day as d using (series_id) join raw.load as l using (load_id)
where h.until > %(after)s and h.until <= %(until)s and l.change <= h.until
"""
_RULES = """
select distinct d.day from core.rule_set as r join raw.load as l on l.change <= r.since join raw.load_day as d using (load_id)
where r.since > %(after)s and r.since <= %(until)s
"""
_TICKS = """
select coalesce(b.tick_at, least(d.first_at, t.tick_at)), case when b.tick_at is null then greatest(d.end_at, t.tick_at) else t.tick_at end
from core.tick as t,
    lateral (select max(tick_at) as tick_at from core.tick where since < t.since) as b,
    lateral ( -- without a tick, what was stored said as of when all of it is judged
        select min(day)::timestamp at time zone 'UTC' as first_at, max(day)::timestamp at time zone 'UTC' + interval '86399.999999 s' as end_at
        from raw.load_day join raw.load using (load_id) where change < t.since
    ) as d
where t.since > %(after)s and t.since <= %(until)s
"""
_ISSUED = "select distinct (issued_at at time zone 'UTC')::date, bool_or(since > %(after)s and since <= %(until)s) from core.forecast group by 1"
_BANDS = "select distinct cutoff_at from core.model_version where kind = 'band' and since > %(after)s and since <= %(until)s"


class Affected:
    """The units that changes (after, until] affect.

    Parameters
    ----------
    gap, flat, has_spike : the largest gap limit and flat line of the rules that were in force at any time of these changes, and whether
        a spike test looks ahead.
    """

    def __init__(self, connection: Connection, after: int, until: int, *, gap: timedelta, flat: timedelta, has_spike: bool) -> None:
        self._connection = connection
        self._window = {"after": after, "until": until}
        self._flags = (gap + flat, gap if has_spike else _NONE)

    def units(self, asset: str) -> set[str]:
        """The units of an asset that must be computed, and no other may be."""
        if asset == "core/observation_flag":
            found = _around(self._observations(), *self._flags) | self._days(_RULES)
        elif asset == "core/forecast_score":
            return {str(day) for day in self._scored()}
        else:
            found = {day for table in _READS_SAME_DAY[asset] for day in _around(self._changed(table), _NONE, _NONE)}
        if asset in _READS_SERIES:
            found |= self._days(_DESCRIBED)
        if asset in _READS_CLOCK:
            found |= _stretches(self._ticks(), _NONE, _NONE)
        return {str(day) for day in found}

    def anomalies(self) -> tuple[set[str], set[str]]:
        """Days that must be judged, and those that may be, because bands for them were trained meanwhile."""
        look_back, look_ahead = 24 * _HOUR, 15 * _HOUR
        must = _around(self._observations(), look_back, look_ahead) | _stretches(self._ticks(), look_back, look_ahead)
        described = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in self._days(_DESCRIBED)]
        wholly = [(start, start + _DAY - timedelta(microseconds=1)) for start in described]
        trained = [(row[0] - _DAY, row[0] + 7 * _DAY) for row in self._rows(_BANDS)]
        may = must | _stretches(wholly, look_back + 91 * _DAY, look_ahead) | _stretches(trained, _NONE, _NONE)
        before = self._before()
        must |= {day for day in _stretches(wholly, look_back, look_ahead) | _stretches(trained, _NONE, _NONE) if before and day <= before}
        return {str(day) for day in must}, {str(day) for day in may}

    def _before(self) -> date | None:
        """The day that the clock had reached before these changes."""
        rows = self._rows("select max(tick_at), null from core.tick where since <= %(after)s and %(until)s > 0")
        return rows[0][0].astimezone(UTC).date() if rows[0][0] else None

    def _scored(self) -> set[date]:
        hourly = _around(self._changed("mart.metric_hourly"), 6 * _DAY, _NONE, is_day=True)
        return {day for day, is_new in self._rows(_ISSUED) if is_new or day in hourly}

    def _changed(self, table: str) -> list[datetime]:
        if table == "core.observation":
            return self._observations()
        schema_name = table.partition(".")[2]
        at = _TIMES[table]
        shown = f"{at}::timestamp at time zone 'UTC'" if at == "day" else at
        return [row[0] for row in self._rows(_ROWS.format(at=shown, table=table, name=schema_name))]

    def _observations(self) -> list[datetime]:
        return [row[0] for row in self._rows(_OBSERVATIONS)]

    def _ticks(self) -> list[tuple[datetime, datetime]]:
        return [(min(last, at), at) for last, at in self._rows(_TICKS)]

    def _days(self, query: str) -> set[date]:
        return {row[0] for row in self._rows(query)}

    def _rows(self, query: str) -> list[tuple[datetime, datetime]]:
        return self._connection.execute(query.encode(), self._window).fetchall()


def _around(times: Iterable[datetime], look_back: timedelta, look_ahead: timedelta, *, is_day: bool = False) -> set[date]:
    """Days of which an output reads one of some times; with `is_day` an output is a whole day that looks `look_back` days on."""
    if is_day:
        return {(time.astimezone(UTC) - n * _DAY).date() for time in times for n in range(look_back.days + 1)}
    return _stretches(((time, time) for time in times), look_back, look_ahead)


def _stretches(stretches: Iterable[tuple[datetime, datetime]], look_back: timedelta, look_ahead: timedelta) -> set[date]:
    """Days of which an output reads a time within one of some stretches, both ends included."""
    found: set[date] = set()
    for first, last in stretches:
        begin, end = (first.astimezone(UTC) - look_ahead).date(), (last.astimezone(UTC) + look_back).date()
        found.update(begin + n * _DAY for n in range((end - begin).days + 1))
    return found


def missing_numbers(connection: Connection) -> list[int]:
    """Change numbers that were left out: the clock gives each number once, to a change that was committed."""
    numbers = [row[0] for row in connection.execute("select n from core.change order by n")]
    return [n for before, after in pairwise(numbers) for n in range(before + 1, after)]
