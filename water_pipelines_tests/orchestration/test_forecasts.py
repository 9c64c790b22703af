"""Forecasts: issued once and for ever, hindcast where the clock had passed, scored as the truth arrives, and all of it rebuilt from what landed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.assets.forecasts import forecast
from water_pipelines.orchestration.io import NoPickles
from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.issuing import due_among
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage import dump
from water_pipelines.storage.database import Database
from water_pipelines.storage.server import DatabaseServer
from water_pipelines_tests.exactness import state
from water_pipelines_tests.orchestration.conftest import copy_database, drop_database
from water_pipelines_tests.orchestration.histories import DAY, HOUR, SCIENCE, START, demand, load, rows, settled, tick_at
from water_pipelines_tests.orchestration.test_acts import AT

DAYS = 21 * 7 + 2.5
"""21 weeks and until Wednesday noon."""

TODAY = (START + 149 * DAY).astype("datetime64[D]")


@pytest.fixture(scope="module")
def finished(server: DatabaseServer, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Two districts, 21 weeks, settled as of Wednesday 12:00: the database and the store's folder, which each test copies."""
    name, home = f"{template_database}_demo", tmp_path_factory.mktemp("demo")
    copy_database(server, template_database, name)
    database = Database(server.url(name), code_version="test", run="test")
    platform = Platform(Settings(home=home), database, LocalStore(home / "store"))
    for seed, station in enumerate(("NORTH", "SOUTH")):
        load(platform, f"{station}.csv", station, *demand(DAYS, seed=seed))
    tick_at(platform, f"{TODAY}T12:00")
    settled(platform)
    database.close()
    yield name, home / "store"
    drop_database(server, name)


@pytest.fixture
def demo(server: DatabaseServer, finished: tuple[str, Path], tmp_path: Path) -> Iterator[Platform]:
    """A copy of the finished platform of a test's own."""
    name, store = f"{finished[0]}_copy", tmp_path / "store"
    copy_database(server, finished[0], name)
    shutil.copytree(finished[1], store)
    database = Database(server.url(name), code_version="test", run="test")
    yield Platform(Settings(home=tmp_path), database, LocalStore(store))
    database.close()
    drop_database(server, name)


def test_the_first_settle_issues_today_and_hindcasts_eight_weeks(demo: Platform) -> None:
    """Wednesday 00:00 is issued, the 55 days before it are hindcast; each by both models for 168 hours of two series."""
    found = rows(
        demo,
        "select kind, model, count(distinct issued_at), count(*), min(issued_at)::date::text, max(issued_at)::date::text"
        " from core.forecast group by 1, 2 order by 1, 2",
    )
    first = str(TODAY - 55)
    hindcast = (55, 55 * 168 * 2, first, str(TODAY - 1))
    issue = (1, 168 * 2, str(TODAY), str(TODAY))
    assert found == [("hindcast", "ridge", *hindcast), ("hindcast", "seasonal", *hindcast), ("issue", "ridge", *issue), ("issue", "seasonal", *issue)]
    assert rows(demo, "select count(*) from raw.source_file where kind = 'forecast' and name like 'hindcast%'") == [(9,)], "one object a week"


def test_hindcasts_use_models_of_the_last_cut_off_before_them(demo: Platform) -> None:
    """Every trained forecast rests on the model of its own week's Monday, so on nothing at or after its issue."""
    query = (
        "select distinct date_trunc('week', issued_at at time zone 'UTC') = cutoff_at at time zone 'UTC'"
        " from core.forecast join core.model_version using (model_id)"
    )
    assert rows(demo, query) == [(True,)]


def test_the_ridge_is_served_where_it_beat_the_baseline_and_says_so(demo: Platform) -> None:
    """Deviations that fade slowly are what the ridge knows and the baseline does not: both series have it as champion, and it is served."""
    served = rows(demo, f"select model, count(*) from core.served_forecast where issued_at = '{TODAY}T00:00Z' group by 1")
    assert served == [("ridge", 336)]
    last = rows(
        demo, "select distinct on (scope_series_id) champion, reason like 'ridge beat%' from core.champion order by scope_series_id, from_at desc"
    )
    assert last == [("ridge", True), ("ridge", True)]
    skill = rows(demo, "select avg(skill) > 0.2 from core.forecast_score where model = 'ridge' and lead_bucket = '1-6h'")
    assert skill == [(True,)]


def test_settling_again_does_nothing(demo: Platform) -> None:
    """Nothing is stale after a settle: no pass over the same days is due because of what the first one landed."""
    assert settled(demo) == {}


def test_what_was_issued_is_never_issued_again(demo: Platform) -> None:
    """A correction of last week's data, another tick and a materialisation from the UI leave every issued row as it was."""
    before = rows(demo, SCIENCE["forecasts"])
    time, value = demand(DAYS, seed=0)
    load(demo, "corrected.csv", "NORTH", time[-100:], value[-100:] + 3)
    tick_at(demo, f"{TODAY}T12:30")
    settled(demo)
    result = dg.materialize([forecast], resources={"platform": demo, "io_manager": NoPickles()}, partition_key=str(TODAY))
    assert rows(demo, SCIENCE["forecasts"]) == before
    assert str(result.asset_materializations_for_node("core__forecast")[0].metadata["forecast"].value).startswith("![plot](data:image/png")


def test_scores_follow_a_correction_and_the_first_score_stays_readable(demo: Platform) -> None:
    """A value of a day ten days ago changes: the seven issue days whose week holds it are scored again, the earlier score is in the history."""
    time, value = demand(DAYS, seed=0)
    day = TODAY - 10
    hour = np.array([day + 12 * HOUR])
    load(demo, "corrected.csv", "NORTH", hour, value[time == hour.astype("datetime64[us]")] + 8)
    units = settled(demo)
    assert units["core/forecast_score"] == [str(day - back) for back in range(6, -1, -1)]
    assert rows(demo, "select count(distinct issued_at) from history.forecast_score") == [(7,)]


def test_the_next_day_is_issued_by_its_first_tick(demo: Platform) -> None:
    """Thursday's first tick makes Thursday due, with the data that is there by then; its later ticks make nothing due."""
    tick_at(demo, f"{TODAY + 1}T00:00")
    assert settled(demo)["core/forecast"] == [str(TODAY + 1)]
    assert rows(demo, f"select distinct kind from core.forecast where issued_at = '{TODAY + 1}T00:00Z'") == [("issue",)]
    tick_at(demo, f"{TODAY + 1}T00:30")
    assert "core/forecast" not in settled(demo)


def test_an_outage_leaves_no_hole(demo: Platform) -> None:
    """Five days without a tick or data, then both: the days in between are hindcast, today is issued, each once."""
    time, value = demand(DAYS + 5, seed=0)
    known = len(demand(DAYS)[0])
    load(demo, "after.csv", "NORTH", time[known:], value[known:])
    tick_at(demo, f"{TODAY + 5}T12:00")
    settled(demo)
    query = f"select issued_at::date::text, kind from core.forecast where issued_at > '{TODAY}T00:00Z' and series_id = 1 group by 1, 2 order by 1"
    assert rows(demo, query) == [(str(TODAY + n), "hindcast") for n in range(1, 5)] + [(str(TODAY + 5), "issue")]


def test_a_series_that_goes_on_after_a_gap_is_hindcast_within_it(platform: Platform) -> None:
    """Three days without data lie before the hours that make them due; the first week's days cannot be forecast and are not due."""
    time, value = demand(30)
    day = ((time - START) / DAY).astype(int)
    for name, kept in (("before", day < 20), ("after", day >= 23)):
        load(platform, f"{name}.csv", "NORTH", time[kept], value[kept])
        settled(platform)
    issued = rows(platform, "select distinct (issued_at at time zone 'UTC')::date::text from core.forecast order by 1")
    assert issued == [(str((START + n * DAY).astype("datetime64[D]")),) for n in range(8, 30)]
    with platform.database.connection() as connection:
        assert due_among(connection, [str((START + n * DAY).astype("datetime64[D]")) for n in range(30)]) == []


def test_a_series_too_young_for_a_model_is_forecast_by_the_baseline(platform: Platform) -> None:
    """Five weeks are too few for the ridge: the baseline is issued, is champion, and is what is served."""
    load(platform, "young.csv", "YOUNG", *demand(35.5))
    settled(platform)
    assert rows(platform, "select distinct model from core.served_forecast") == [("seasonal",)]
    assert rows(platform, "select champion, from_at < '1950-01-01' from core.champion") == [("seasonal", True)]


def test_a_rebuild_from_what_landed_brings_everything_back(demo: Platform, rebuilt: Platform) -> None:
    """Anomalies, events, models, forecasts, scores and champions are equal by natural key, and the rebuild trains and issues nothing of its own."""
    time, value = demand(DAYS, seed=0)
    load(demo, "late.csv", "NORTH", time[1000:1010], value[1000:1010] + 60)
    settled(demo)
    ((files,),) = rows(demo, "select count(*) from raw.source_file")
    again = replace(rebuilt, store=demo.store)
    rebuild(again)
    for name, query in SCIENCE.items():
        assert rows(again, query) == rows(demo, query), f"{name} differ"
    assert rows(again, "select count(*) from raw.source_file where status = 'succeeded'") == [(files,)]


_KEPT = {
    "raw.act": "what was deleted, and why",
    "core.tombstone": "what keeps it from coming back",
    "raw.source_file": "the name of the file, which landed and stays",
    "core.series_change": "the feed tells of the deletion",
}
"""Tables in which a deleted series may still be named."""


def test_a_deleted_station_is_in_no_table_and_in_no_rebuild(demo: Platform, rebuilt: Platform) -> None:
    """Every table of the catalogue is searched for its number and its names, values and science alike; new data of it starts from nothing."""
    time, value = demand(DAYS, seed=1)
    lines = "".join(f"{at}Z,SOUTH,flow,m3/h,{each}\n" for at, each in zip(time[-2000:-1990].astype("datetime64[s]"), ["x", *value[:9]], strict=True))
    demo.store.put("inbox/bad.csv", f"time,station,property,unit,value\n{lines}".encode())
    silent = "".join(f"{at}Z,SOUTH,water_level,m,{'' if n else 1}\n" for n, at in enumerate(time[-960:].astype("datetime64[s]")))
    demo.store.put("inbox/silent.csv", f"time,station,property,unit,value\n{silent}".encode())  # models say that they learned nothing of it
    empty_inbox(demo)
    settled(demo)
    ids = {name: number for number, name in rows(demo, "select series_id, natural_id from core.series")}
    gone = [number for name, number in ids.items() if str(name).startswith("SOUTH/")]
    assert len(gone) == 2
    before = named(demo, gone)
    expected = ("raw.rejected_row", "core.forecast", "core.forecast_score", "core.model_series", "core.champion", "mart.data_quality_daily")
    assert {*expected, "core.model_version", "raw.claim"} <= set(before)
    fact = acts.deletion(demo, stations=["SOUTH"], reason="asked by its owner", at=AT)
    asked = acts.ask(demo, fact)
    assert named(demo, gone) == before
    assert acts.do(demo, fact).counts == asked.counts
    settled(demo)
    assert set(named(demo, gone)) <= set(_KEPT)
    assert rows(demo, "select distinct natural_id from core.forecast join core.series using (series_id)") == [("NORTH/flow",)]
    north, other = demand(DAYS, seed=0)
    load(demo, "late.csv", "NORTH", north[2000:2010], other[2000:2010] + 60)
    load(demo, "again.csv", "SOUTH", time[-200:], value[-200:] + 500)
    settled(demo)
    uses = "select count(*) from core.anomaly join core.series using (series_id) where natural_id like 'SOUTH%' and model_id is not null"
    assert rows(demo, uses) == [(0,)], "bands were learned from what is deleted"
    again = replace(rebuilt, store=demo.store)
    rebuild(again)
    assert state.differences(demo, again) == {}


def named(platform: Platform, numbers: list[Any]) -> dict[str, int]:
    """Table -> how many of its rows name the station SOUTH or have one of its numbers in any column, or key of JSON, that is called series_id."""
    found: dict[str, int] = {}
    pattern = r"\ySOUTH\y|series_id.: ({})\y".format("|".join(map(str, numbers)))
    with platform.database.connection() as connection:
        for table in dump.tables(connection):
            query = f"select count(*) from {table.name} as t where to_jsonb(t)::text ~ %s"
            (count,) = connection.execute(query.encode(), (pattern,)).fetchone() or (0,)
            if count:
                base = re.sub(r"_\d{4}$", "", table.name)
                found[base] = found.get(base, 0) + count
    return found
