"""Values, metrics, forecasts and events as clients read them: numbers, windows, pages, forms."""

from typing import Any

import httpx
import numpy as np
import pytest

from water_pipelines.storage import observations
from water_pipelines_tests.api.scenes import DAY, EVALUATION, FLOW, GAUGE, NODE, arrive, correct, played, settle, settle_again
from water_pipelines_tests.builders import World, every

V1 = "/api/v1"
DATA = f"{V1}/time-series/data"


def test_values_come_by_column_with_flags_unit_and_change(client: httpx.Client, world: World) -> None:
    """A missing value is null with flag 9, a bad one 4, the others good; unit and change number stand beside them."""
    arrive(world)
    settle(world)
    body = client.get(DATA, params={"series_id": FLOW}).json()
    assert body["time"] == [f"{DAY}T00:{minute}:00Z" for minute in ("00", "15", "30", "45")]
    assert body["value"] == [10.0, 12.0, None, 50.0]
    assert body["flag"] == [1, 1, 9, 4]
    assert (body["series"]["unit"], body["change"], body["next"]) == ("l/s", world.change, None)


def test_values_are_not_evaluated_until_they_are(client: httpx.Client, world: World) -> None:
    """Before flags are settled a value is 2, a missing one 9; after a correction the corrected value alone is 2 until its day is evaluated again."""
    arrive(world)
    assert client.get(DATA, params={"series_id": FLOW}).json()["flag"] == [2, 2, 9, 2]
    settle(world)
    correct(world)
    body = client.get(DATA, params={"series_id": FLOW, "start": f"{DAY}T00:30"}).json()
    assert list(zip(body["value"], body["flag"], strict=True)) == [(None, 9), (11.5, 4), (12.5, 2)]
    settle_again(world)
    assert client.get(DATA, params={"series_id": FLOW, "start": f"{DAY}T00:30"}).json()["flag"] == [9, 1, 1]


def test_flags_are_those_that_the_assets_read(client: httpx.Client, world: World) -> None:
    """The API's flags are the ones of `observations.read_flagged`, value by value."""
    arrive(world)
    settle(world)
    correct(world)
    with world.database.snapshot() as snapshot:
        read = observations.read_flagged(snapshot, [(np.datetime64(DAY, "us"), np.datetime64("2026-03-02", "us"))])
    for series in (FLOW, GAUGE):
        body = client.get(DATA, params={"series_id": series}).json()
        mine = read.take(read.series == world.number_of(series))
        assert read.flag is not None
        assert mine.flag is not None
        assert body["flag"] == mine.flag.tolist()
        assert [np.datetime64(time.rstrip("Z")) for time in body["time"]] == mine.time.tolist()


def test_a_window_is_half_open_and_utc(client: httpx.Client, world: World) -> None:
    """The start is included, the end is not; an offset is honoured, a time without one is UTC."""
    arrive(world)
    for start, end in ((f"{DAY}T00:15", f"{DAY}T00:30"), (f"{DAY}T01:15+01:00", f"{DAY}T00:30Z")):
        body = client.get(DATA, params={"series_id": FLOW, "start": start, "end": end}).json()
        assert body["time"] == [f"{DAY}T00:15:00Z"]
        assert body["start"] == f"{DAY}T00:15:00Z"
    assert client.get(DATA, params={"series_id": FLOW, "start": f"{DAY}T00:30", "end": f"{DAY}T00:15"}).json()["time"] == []


@pytest.mark.parametrize(("flags", "values"), [("1", [10.0, 12.0]), ("4,9", [None, 50.0]), ("3", [])])
def test_values_are_chosen_by_flag(client: httpx.Client, world: World, flags: str, values: list[float | None]) -> None:
    """Only values with the flags that are asked for are served."""
    arrive(world)
    settle(world)
    assert client.get(DATA, params={"series_id": FLOW, "flags": flags}).json()["value"] == values


@pytest.mark.parametrize("more", [{}, {"flags": "1,4"}, {"flags": "9"}])
def test_pages_of_values_make_up_the_whole(client: httpx.Client, world: World, more: dict[str, str]) -> None:
    """A day by pages of 7 is the day at once, with any flags, and also when a change is made between two pages: the cursor pins the state."""
    rng = np.random.default_rng(1)
    values = np.where(rng.random(96) < 0.3, np.nan, np.arange(96.0))
    world.drop("day.csv", every(15, f"{DAY}T00:00", values.tolist(), GAUGE))
    world.insert("core.rule_set", version="1", text="")
    evaluated = {"series_id": world.number_of(GAUGE), "day": DAY, "rule_set_id": 1, "tests_run": 1, "tests_not_run": 0, "read": world.change}
    world.put(EVALUATION, [DAY], [evaluated])
    whole = client.get(DATA, params={"series_id": GAUGE, **more}).json()
    parts: list[dict[str, Any]] = []
    query: dict[str, Any] = {"series_id": GAUGE, "limit": 7, **more}
    while True:
        part = client.get(DATA, params=query).json()
        assert len(part["time"]) <= 7
        assert part["change"] == whole["change"]
        parts.append(part)
        if part["next"] is None:
            break
        query["cursor"] = part["next"]
        world.tick(f"{DAY}T{len(parts):02d}:00")
    for column in ("time", "value", "flag"):
        assert [entry for part in parts for entry in part[column]] == whole[column]


def test_rows_and_csv_tell_the_same_as_columns(client: httpx.Client, world: World) -> None:
    """`rows=true` is a list of objects, `format=csv` lines; a missing value is null there, empty here, and the cursor is a header."""
    arrive(world)
    settle(world)
    query: dict[str, Any] = {"series_id": FLOW, "start": f"{DAY}T00:15", "limit": 2}
    rows = client.get(DATA, params={**query, "rows": "true"}).json()
    assert rows["rows"] == [{"time": f"{DAY}T00:15:00Z", "value": 12.0, "flag": 1}, {"time": f"{DAY}T00:30:00Z", "value": None, "flag": 9}]
    csv = client.get(DATA, params={**query, "format": "csv"})
    assert csv.text == f"time,value,flag\r\n{DAY}T00:15:00Z,12.0,1\r\n{DAY}T00:30:00Z,,9\r\n"
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert csv.headers["Water-Next"] == rows["next"]
    empty = client.get(DATA, params={**query, "start": "2030-01-01", "format": "csv"})
    assert empty.text == "time,value,flag\r\n"


def test_what_the_source_said_and_which_tests_failed_stand_beside_values(client: httpx.Client, world: World) -> None:
    """The source's qualifiers as written; tests by name, none for a good value, null for one that no evaluation has read; the same in CSV."""
    arrive(world)
    world.drop("coded.csv", every(15, f"{DAY}T01:00", [9.0, 9.5], FLOW), qualifiers=['P, "e"', None])
    settle(world)
    world.drop("late.csv", every(15, f"{DAY}T01:30", [9.0], FLOW), qualifiers=["<"])
    query: dict[str, Any] = {"series_id": FLOW, "start": f"{DAY}T00:30", "include": "qualifier,failed,not_run"}
    body = client.get(DATA, params=query).json()
    assert body["qualifier"] == [None, None, 'P, "e"', None, "<"]
    assert body["failed"] == [[], ["gross_range"], [], [], None]
    assert body["not_run"] == [[], [], [], [], None]
    assert body["flag"] == [9, 4, 1, 1, 2]
    lines = client.get(DATA, params={**query, "start": f"{DAY}T00:45", "format": "csv"}).text.splitlines()
    assert lines == [
        "time,value,flag,qualifier,failed,not_run",
        f"{DAY}T00:45:00Z,50.0,4,,gross_range,",
        f'{DAY}T01:00:00Z,9.0,1,"P, ""e""",,',
        f"{DAY}T01:15:00Z,9.5,1,,,",
        f"{DAY}T01:30:00Z,9.0,2,<,,",
    ]
    rows = client.get(DATA, params={**query, "include": "failed", "rows": "true", "flags": "4"}).json()["rows"]
    assert rows == [{"time": f"{DAY}T00:45:00Z", "value": 50.0, "flag": 4, "failed": ["gross_range"]}]
    assert client.get(DATA, params={**query, "include": "everything"}).status_code == 422


def test_a_cursor_and_as_of_must_agree(client: httpx.Client, world: World) -> None:
    """A cursor belongs to one state; with as_of of another it is refused rather than read wrongly."""
    played(world)
    cursor = client.get(DATA, params={"series_id": FLOW, "limit": 1}).json()["next"]
    answer = client.get(DATA, params={"series_id": FLOW, "limit": 1, "cursor": cursor, "as_of": 1})
    assert (answer.status_code, "leave one of them out" in answer.json()["detail"]) == (400, True)


def test_aggregates_are_the_marts_rows(client: httpx.Client, world: World) -> None:
    """Half-hours as the mart holds them: null where nothing is known; cut at a window; by page; the same with `rows=true`."""
    arrive(world)
    settle(world)
    query = {"series_id": FLOW, "interval": "30min"}
    buckets = client.get(f"{V1}/time-series/aggregate", params=query).json()["buckets"]
    assert buckets["time"] == [f"{DAY}T00:00:00Z", f"{DAY}T00:30:00Z"]
    assert (buckets["mean"], buckets["count"], buckets["expected"], buckets["volume"]) == ([11.0, None], [2, 0], [2, None], [None, None])
    page = client.get(f"{V1}/time-series/aggregate", params={**query, "limit": 1}).json()
    rest = client.get(f"{V1}/time-series/aggregate", params={**query, "cursor": page["next"]}).json()
    assert (page["buckets"]["time"], rest["buckets"]["time"], rest["next"]) == ([f"{DAY}T00:00:00Z"], [f"{DAY}T00:30:00Z"], None)
    rows = client.get(f"{V1}/time-series/aggregate", params={**query, "rows": "true"}).json()["rows"]
    assert [list(row.values()) for row in rows] == [list(row) for row in zip(*buckets.values(), strict=True)]
    csv = client.get(f"{V1}/time-series/aggregate", params={**query, "format": "csv"}).text.splitlines()
    assert csv[2].startswith(f"{DAY}T00:30:00Z,0,2,,,")


def test_a_node_stands_as_its_series_do(client: httpx.Client, world: World) -> None:
    """Last value, status as of the tick, and the last closed bucket of each interval (a day that goes on is none)."""
    arrive(world)
    settle(world)
    body = client.get(f"{V1}/nodes/{NODE}/metrics").json()
    (series,) = body["series"]
    assert (body["status"], body["status_at"]) == ("online", f"{DAY}T01:00:00Z")
    assert series["last"] == {"time": f"{DAY}T00:45:00Z", "value": 50.0, "flag": 4}
    assert (series["metrics"]["30min"]["time"], series["metrics"]["hourly"]["mean"], series["metrics"]["daily"]) == (f"{DAY}T00:30:00Z", 11.0, None)


def test_a_property_may_hold_a_number_of_any_length(client: httpx.Client, world: World) -> None:
    """What a source says of its station is served, whatever it is: an integer beyond 64 bits as a floating-point number."""
    world.drop("a.csv", every(15, "2026-03-01T00:00", [1.0], "A/level"), stations={"A": {"serial": 10**30, "nested": [{"small": -(2**63)}]}})
    assert client.get(f"{V1}/water-data/stations/A").json()["properties"] == {"serial": 1e30, "nested": [{"small": -(2**63)}]}


def test_a_gauge_of_no_network_is_no_node(client: httpx.Client, world: World) -> None:
    """Nodes are the stations of water networks; another station is told to be none."""
    played(world)
    assert [node["natural_id"] for node in client.get(f"{V1}/nodes").json()["items"]] == [NODE, "north/valve"]
    answer = client.get(f"{V1}/nodes/GAUGE_7/metrics")
    assert (answer.status_code, "belongs to no water network" in answer.json()["detail"]) == (404, True)


def test_the_champions_forecast_is_served_with_its_scores(client: httpx.Client, world: World) -> None:
    """The baseline's hours before another model is champion; then the champion's, and the baseline's where the champion has none."""
    arrive(world)
    settle(world)
    (series,) = client.get(f"{V1}/predictions/{NODE}").json()["series"]
    assert (series["model"], series["q50"], series["q95"]) == (["seasonal", "seasonal"], [11.0, 12.0], [13.0, 14.0])
    assert series["scores"][0]["mae"] == 1.0
    settle_again(world)
    (series,) = client.get(f"{V1}/predictions/{NODE}").json()["series"]
    assert (series["champion"], series["model"], series["scores"]) == ("ridge", ["ridge", "seasonal"], [])
    assert np.allclose(series["q50"], [11.4, 12.0])
    assert client.get(f"{V1}/predictions/{NODE}?issued_at=2026-02-01").json()["series"] == []


def test_quality_is_told_by_day(client: httpx.Client, world: World) -> None:
    """The day's counts and failures by test, as the mart holds them."""
    arrive(world)
    settle(world)
    (series,) = client.get(f"{V1}/quality/{NODE}").json()["series"]
    days = series["days"]
    assert [days[name] for name in ("day", "expected", "good", "bad", "missing", "gross_range_failed")] == [[DAY], [4], [2], [1], [1], [1]]


def test_anomalies_are_events_across_midnight(client: httpx.Client, world: World) -> None:
    """Segments that touch at midnight are one event with the worst score; filters and pages choose among events."""
    played(world)
    events = client.get(f"{V1}/anomalies").json()["items"]
    assert [(event["kind"], event["start_at"], event["end_at"], event["score"]) for event in events] == [
        ("stuck", f"{DAY}T00:15:00Z", f"{DAY}T00:30:00Z", 2.0),
        ("above_band", "2026-02-27T22:00:00Z", "2026-02-28T03:00:00Z", 4.0),
    ]
    first = client.get(f"{V1}/anomalies?limit=1").json()
    second = client.get(f"{V1}/anomalies", params={"limit": 1, "cursor": first["next"]}).json()
    assert ([*first["items"], *second["items"]], second["next"]) == (events, None)
    for query, found in (("start=2026-02-28T02:00&end=2026-02-28T12:00", 1), ("severity=low", 1), (f"series={GAUGE}", 0), (f"start={DAY}T00:30", 0)):
        assert len(client.get(f"{V1}/anomalies?{query}").json()["items"]) == found, query


def test_the_summary_tells_how_the_whole_stands(client: httpx.Client, world: World) -> None:
    """Stations by status, the network's last half-hour, the day's quality, open anomalies and forecasts, all as of the tick."""
    arrive(world)
    settle(world)
    summary = client.get(f"{V1}/dashboard/summary").json()
    assert summary["stations"] == {"online": 1, "late": 1, "silent": 0, "inactive": 0, "unknown": 0}
    assert [(each["zone"], each["mean"]) for each in summary["networks"]] == [("DMA-1", 11.0)]
    assert [(day["day"], day["good"], day["bad"]) for day in summary["quality"]] == [(DAY, 2, 1)]
    assert summary["open_anomalies"] == {"low": 0, "medium": 1, "high": 0}
    assert summary["forecasts"] == {"series": 1, "issued_at": f"{DAY}T00:00:00Z"}
