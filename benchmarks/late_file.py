"""Race: one late file that touches 3 days among 3 years, counted in rows rather than in seconds.

The rows that PostgreSQL read and wrote in the tables of observations, flags and 30-minute metrics are held against the share that
3 days have in computing all 3 years: rows read by computing every day again, and rows written by the first load and settle. The three
days are once adjacent and once scattered; days beside them are read, and computed where a test reaches over midnight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from _race import Arena, Readings, arena, arguments, load, quiet, ratio, show, show_machine

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.domain.reach import affected_days
from water_pipelines.orchestration import settle
from water_pipelines.orchestration.assets.observations import reach_of_rules
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage.stale import mark

_RACED = ("core/observation_flag", "mart/metric_30min")
_SERIES = 20
_FIRST = "2022-01-01"
_ADJACENT = ((0.5, 0), (0.5, 1), (0.5, 2))  # where in the years, and days after that
_SCATTERED = ((0.1, 0), (0.5, 0), (0.9, 0))
_NOON = np.timedelta64(12, "h")
_LAST = np.timedelta64(23 * 60 + 45, "m")
_GOAL = "<= 3"

_COUNTERS = """
select coalesce(sum(seq_tup_read), 0)::bigint
        + (select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes where schemaname in ('raw', 'core', 'mart', 'history')
            and relname ~ %(tables)s),
    coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
from pg_stat_user_tables where schemaname in ('raw', 'core', 'mart', 'history') and relname ~ %(tables)s
"""
_TABLES = "^(load_day|observation|observation_flag|evaluation|metric_30min)(_[0-9a-z]+)?$"


def counted(platform: Platform, work: Callable[[Platform], object]) -> tuple[int, int]:
    """Rows read (by scans of tables and of keys) and rows written while some work is done."""
    before = _counters(platform)
    with platform.during("race") as working:
        work(working)
    after = _counters(platform)
    return after[0] - before[0], after[1] - before[1]


def _counters(platform: Platform) -> tuple[int, int]:
    with quiet(platform) as connection:
        row = connection.execute(_COUNTERS, {"tables": _TABLES}).fetchone()
    assert row is not None
    return row


def without(readings: Readings, kept: np.ndarray) -> Readings:
    """The rows at a mask."""
    return Readings(readings.names, readings.series[kept], readings.time[kept], readings.value[kept])


def load_and_settle(readings: Readings, platform: Platform) -> None:
    """Load a file and settle what it made stale."""
    with platform.database.connection() as connection:
        readers = settle.edges(connection, "core/observation")
    load(platform, readings, edges=lambda _: readers)()
    settle.settle(platform, tell=lambda units: None)


def settle_everything(platform: Platform) -> None:
    """Compute every day that holds observations again."""
    with platform.database.connection() as connection:
        days = [str(row[0]) for row in connection.execute("select distinct day from raw.load_day order by 1")]
        platform.database.take_number(connection, "benchmark")
        for asset in settle.SETTLED:
            mark(connection, asset, days)
    settle.settle(platform, tell=lambda units: None)


def computed_since(platform: Platform, change: int) -> dict[str, set[str]]:
    """The days that each asset computed from states after a change."""
    with platform.during("look") as working, working.database.connection() as connection:
        rows = connection.execute(
            "select asset, unit from core.computed where read > %s and asset = any(%s) order by 1, 2", (change, list(settle.SETTLED))
        ).fetchall()
    return {asset: {unit for of, unit in rows if of == asset} for asset in settle.SETTLED}


def due_days(platform: Platform, late: Readings) -> tuple[int, set[str]]:
    """The last change, and the days on which values of a file can change anything by the rules in force."""
    with platform.during("look") as working, working.database.snapshot() as snapshot:
        reach = reach_of_rules(snapshot.connection)
        number = snapshot.number
    days = np.unique(late.time.astype("datetime64[D]"))
    return number, set(affected_days(days + _NOON, days + _LAST, reach).astype(str).tolist())


def race(field: Arena, rows: int, days: Sequence[str]) -> list[str]:
    """Load all years but for three afternoons, settle, settle everything again; then a file with the whole of those days arrives."""
    everything = Readings.make(rows, series=_SERIES, first=_FIRST)
    day = everything.time.astype("datetime64[D]")
    is_touched = np.isin(day, np.array(days, dtype="datetime64[D]"))
    early = without(everything, ~(is_touched & (everything.time - day >= _NOON)))
    late = without(everything, is_touched)
    platform = field.platform(f"late_{days[-1]}", with_marts=True)
    _, written_first = counted(platform, partial(load_and_settle, early))
    read_again, _ = counted(platform, settle_everything)
    change, due = due_days(platform, late)
    read, written = counted(platform, partial(load_and_settle, late))
    with platform.during("look") as working, working.database.connection() as connection:
        stored = connection.execute("select count(*) from core.observation").fetchone()
    assert stored == (len(everything),), f"{stored} of {len(everything)} values were stored"
    computed = computed_since(platform, change)
    share = len(days) / len(np.unique(day))
    return [
        f"{days[0]} to {days[-1]}",
        f"{read:,} of {read_again:,}",
        ratio(read / (read_again * share), _GOAL),
        f"{written:,} of {written_first:,}",
        ratio(written / (written_first * share), _GOAL),
        ", ".join(str(len(units)) for units in computed.values()),
        ", ".join(str(len(units - due)) for units in computed.values()),
    ]


def main() -> None:
    sizes = arguments(__doc__ or "", rows=[_SERIES * 96 * 1096], quick=[_SERIES * 96 * 1096 // 20])
    for key in settle.SETTLED.keys() - set(_RACED):
        del settle.SETTLED[key]
    show_machine()
    with arena() as field:
        for rows in sizes:
            total = rows // _SERIES // 96
            show(
                f"A late file with 3 of {total:,} days and {_SERIES} series: rows, and how they compare with the share of 3 days",
                ["touched", "read, of all", "x share", "written, of all", "x share", "days computed", "of these not within reach"],
                [race(field, rows, [str(np.datetime64(_FIRST) + int(total * at) + nth) for at, nth in days]) for days in (_ADJACENT, _SCATTERED)],
            )


if __name__ == "__main__":
    main()
