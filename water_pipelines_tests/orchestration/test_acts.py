"""Operators' acts: what is withdrawn leaves no trace in what is served, what is deleted never comes back, and asking changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.acts import CannotAct
from water_pipelines.orchestration.operations.inbox import empty_inbox, start_clock
from water_pipelines.orchestration.operations.loading import load_file
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import settle
from water_pipelines.storage import source_files, stale
from water_pipelines_tests.orchestration import histories
from water_pipelines_tests.orchestration.test_settle import everything_again

START = np.datetime64("2026-03-02T00:00", "us")
AT = datetime(2026, 4, 1, tzinfo=UTC)
VALUES = (
    "select s.natural_id, o.time::text, o.value, f.name from core.observation as o join core.series as s using (series_id)"
    " join raw.load as l using (load_id) join raw.source_file as f using (arrival) order by 1, 2"
)
SERVED = (
    "select s.natural_id, m.start_at::text, m.count, m.mean, m.good_share from mart.metric_hourly as m join core.series as s using (series_id)",
    "select s.natural_id, f.time::text, f.flag, f.failed from core.observation_flag as f join core.series as s using (series_id)",
    "select network, zone, property, start_at::text, series, mean from mart.network_30min",
)


def drop(platform: Platform, name: str, values: dict[int, float], *, station: str = "GAUGE", load: bool = True) -> None:
    """Drop a file of levels by quarter hours after the start, and load it."""
    lines = "".join(f"{START + step * np.timedelta64(15, 'm')}Z,{station},water_level,m,{value}\n" for step, value in values.items())
    platform.store.put(f"inbox/{name}", f"time,station,property,unit,value\n{lines}".encode())
    if load:
        empty_inbox(platform)


def settled(platform: Platform) -> None:
    """Settle, and see that computing everything again would write nothing."""
    settle(platform, lambda units: None)
    with platform.database.connection() as connection:
        assert stale.counts(connection) == {}
    assert everything_again(platform) == {}


def rows(platform: Platform) -> list[list[tuple[Any, ...]]]:
    """What is stored and derived, by natural keys."""
    return [sorted(histories.rows(platform, query)) for query in (VALUES, *SERVED)]


def level(days: float, value: float = 1.0) -> dict[int, float]:
    """A slowly rising level."""
    return {step: value + step / 1000 for step in range(round(days * 96))}


@pytest.fixture
def two_files(platform: Platform) -> Platform:
    """A level of two days, and a correction of some of its values with an hour beyond it."""
    start_clock(platform, AT)
    drop(platform, "level.csv", level(2))
    drop(platform, "corrected.csv", {40: 7.0, 41: 7.5, 200: 3.0})
    settled(platform)
    return platform


def test_withdrawing_a_file_leaves_what_the_others_say(two_files: Platform) -> None:
    """A correction of two values and one more is withdrawn: two values are the first file's again, one is gone, and everything derived follows."""
    platform = two_files
    fact = acts.withdrawal(platform, [arrival_of(platform, "corrected.csv")], reason="wrong gauge", at=AT)
    before = rows(platform)
    asked = acts.ask(platform, fact)
    assert rows(platform) == before
    assert asked.counts == {"files": 1, "values withdrawn": 1, "values replaced": 2, "values back": 0}
    done = acts.do(platform, fact)
    assert done.counts == asked.counts
    assert done.stale == asked.stale
    settled(platform)
    values = {row[1]: (row[2], row[3]) for row in histories.rows(platform, VALUES)}
    assert len(values) == 192
    assert values["2026-03-02 10:00:00+00"] == (1.04, "level.csv")
    assert {file for _, file in values.values()} == {"level.csv"}


def arrival_of(platform: Platform, name: str) -> str:
    """The arrival number of a file, as an operator writes it."""
    return str(histories.rows(platform, f"select arrival from raw.source_file where name = '{name}'")[0][0])


def test_a_withdrawn_file_stays_out_until_it_is_reinstated(two_files: Platform) -> None:
    """Dropped again it changes nothing; reinstated, everything is as before it was withdrawn, also beside a file that came meanwhile."""
    platform = two_files
    before = rows(platform)
    name = arrival_of(platform, "corrected.csv")
    acts.do(platform, acts.withdrawal(platform, [name], reason="", at=AT))
    without = rows(platform)[0]
    drop(platform, "corrected.csv", {40: 7.0, 41: 7.5, 200: 3.0})
    assert rows(platform)[0] == without
    with pytest.raises(CannotAct, match="withdrawn already"):
        acts.withdrawal(platform, [name], reason="", at=AT)
    acts.do(platform, acts.reinstatement(platform, [name], reason="", at=AT))
    settled(platform)
    assert rows(platform) == before


def test_a_file_that_is_withdrawn_before_it_was_loaded_is_never_loaded(platform: Platform) -> None:
    """It landed, the run died, an operator withdrew it: no later run loads it."""
    start_clock(platform, AT)
    drop(platform, "level.csv", level(1))
    arrival = int(arrival_of(platform, "level.csv"))
    drop(platform, "poison.csv", {3: 99.0})
    name = arrival_of(platform, "poison.csv")
    with platform.database.connection() as connection:
        connection.execute("update raw.source_file set status = 'pending' where arrival = %s", (int(name),))
    acts.do(platform, acts.withdrawal(platform, [name], reason="", at=AT))
    assert load_file(platform, int(name)) is None
    assert {file.arrival for file in source_files.to_load(platform.database)} == set()
    assert arrival < int(name)
    settled(platform)
    assert 99.0 not in [row[2] for row in histories.rows(platform, VALUES)]


def test_what_is_deleted_is_gone_from_every_table_and_never_comes_back(two_files: Platform) -> None:
    """One station of two: no table holds its number, the network's metric is of the other alone, and a file from before brings nothing back."""
    platform = two_files
    platform.store.put("inbox/stations.csv", b"station,latitude,longitude,network\nGAUGE,46.1,11.1,N\nOTHER,46.2,11.2,N\n")
    drop(platform, "other.csv", level(2, 5.0), station="OTHER")
    drop(platform, "late.csv", {50: 1.0}, station="OTHER", load=False)
    settled(platform)
    number = histories.rows(platform, "select series_id from core.series where natural_id like 'OTHER/%'")[0][0]
    assert max(int(str(row[4])) for row in histories.rows(platform, SERVED[2])) == 2
    fact = acts.deletion(platform, stations=["OTHER"], reason="asked by its owner", at=AT)
    asked = acts.ask(platform, fact)
    assert asked.counts["core.observation"] == 192
    assert len(histories.rows(platform, "select from core.station")) == 2
    done = acts.do(platform, fact)
    assert done.counts == asked.counts
    settled(platform)
    tables = histories.rows(
        platform,
        "select c.table_schema, c.table_name, c.column_name from information_schema.columns as c join information_schema.tables as t"
        " using (table_schema, table_name) where c.column_name in ('series_id', 'scope_series_id') and t.table_type = 'BASE TABLE'"
        " and table_schema in ('raw', 'core', 'mart', 'history') and table_name not in ('series_change', 'tombstone')",
    )
    assert len(tables) > 20
    for schema, table, column in tables:
        assert histories.rows(platform, f"select from {schema}.{table} where {column} = {number}") == [], table
    assert max(int(str(row[4])) for row in histories.rows(platform, SERVED[2])) == 1
    earlier = int(arrival_of(platform, "other.csv"))
    with platform.database.connection() as connection:
        connection.execute("update raw.source_file set status = 'pending' where arrival = %s", (earlier,))
    load_file(platform, earlier)
    assert histories.rows(platform, "select natural_id from core.series") == [("GAUGE/water_level",)]
    empty_inbox(platform)
    settled(platform)
    assert [row[:3] for row in histories.rows(platform, VALUES) if row[0] == "OTHER/water_level"] == [
        ("OTHER/water_level", "2026-03-02 12:30:00+00", 1.0)
    ]


def test_a_rebuild_from_what_landed_does_the_acts_again(two_files: Platform, rebuilt: Platform) -> None:
    """A withdrawal, a deletion and a reinstatement: a second database, filled from the landed objects alone, ends with the same rows."""
    platform = two_files
    drop(platform, "other.csv", level(1, 5.0), station="OTHER")
    drop(platform, "third.csv", level(1, 9.0), station="THIRD")
    for name in ("corrected.csv", "third.csv"):
        acts.do(platform, acts.withdrawal(platform, [arrival_of(platform, name)], reason="", at=AT))
    acts.do(platform, acts.deletion(platform, series=["OTHER/water_level"], reason="", at=AT))
    acts.do(platform, acts.reinstatement(platform, [arrival_of(platform, "third.csv")], reason="", at=AT))
    settled(platform)
    second = Platform(rebuilt.settings, rebuilt.database, platform.store)
    rebuild(second)
    assert rows(second) == rows(platform)


def test_the_feed_tells_what_each_change_did(two_files: Platform) -> None:
    """A file adds, a correction changes and adds, a withdrawal changes and withdraws, a deletion deletes: by series and whole days."""
    platform = two_files
    acts.do(platform, acts.withdrawal(platform, [arrival_of(platform, "corrected.csv")], reason="", at=AT))
    acts.do(platform, acts.deletion(platform, stations=["GAUGE"], reason="", at=AT))
    told = histories.rows(
        platform,
        "select kind, start_at::date::text, end_at::date::text, rows from core.series_change where kind <> 'flagged' order by n, kind, start_at",
    )
    assert told == [
        ("added", "2026-03-02", "2026-03-04", 192),
        ("added", "2026-03-04", "2026-03-05", 1),
        ("changed", "2026-03-02", "2026-03-03", 2),
        ("changed", "2026-03-02", "2026-03-03", 2),
        ("withdrawn", "2026-03-04", "2026-03-05", 1),
        ("deleted", "2026-03-02", "2026-03-04", 192),
    ]
