"""Pulling a recorded FROST: its entities, its paging, and every odd form of time and result that it was seen to give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest

from water_pipelines.orchestration.operations.pulling import pull, servers_of
from water_pipelines.orchestration.resources import Platform
from water_pipelines_tests.live.following import follow, landed, pulled, series_of, values
from water_pipelines_tests.live.frost import FrostReplay, Recording, frost_replay
from water_pipelines_tests.shared_data import shared

NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)


@pytest.fixture
def frost() -> Iterator[FrostReplay]:
    """A running replay of the recorded FROST."""
    with frost_replay(Recording(shared("sensorthings/frost_recorded/exchanges.jsonl"))) as replay:
        yield replay


def followed(platform: Platform, frost: FrostReplay, **more: object) -> None:
    """Follow the replay, and pull it once."""
    server = {"name": "agency", "url": frost.url, "station_id": "properties.station_id", "reconcile": {"window": "60d", "every": "1h"}}
    follow(platform, {**server, **more})
    pulled(platform, at=NOW)


def test_a_whole_server_is_read(platform: Platform, frost: FrostReplay) -> None:
    """5 Things are stations, one of them without a place; every observation that has a value stands in the store once."""
    followed(platform, frost)
    with platform.database.connection() as connection:
        places = connection.execute("select natural_id, longitude, latitude from core.station order by 1").fetchall()
        stored = connection.execute("select count(*) from core.observation").fetchone()
        said = connection.execute("select properties from core.station where natural_id = 'STATION_100'").fetchone()
    assert len(places) == 5
    assert sum(place[1] is None for place in places) == 1
    assert ("STATION_100", 14.3867, 50.0194) in places
    assert said is not None
    assert said[0]["nested"] == {"a": [1, 2, {}]}
    keys = {
        (row.get("Datastream", {}).get("@iot.id"), row.get("MultiDatastream", {}).get("@iot.id"), row["phenomenonTime"], part)
        for row in frost.recording.observations.values()
        for part in range(2 if "MultiDatastream" in row else 1)
        if "MultiDatastream" in row or not isinstance(row["result"], list | dict)
    }
    assert stored == (len(keys),)
    assert "STATION_100/water_level" in series_of(platform)


def test_each_odd_form_has_its_outcome(platform: Platform, frost: FrostReplay) -> None:
    """Null is missing; numbers in strings are numbers; an interval stands at its start; lists and objects are refused with the reason."""
    followed(platform, frost)
    with platform.database.connection() as connection:
        (odd,) = connection.execute("select natural_id from core.series where properties ->> 'datastream' = '5'").fetchall()[0]
        refused = [reason for (reason,) in connection.execute("select reason from raw.rejected_row order by source_row")]
        words = connection.execute(
            "select q.text, o.value from core.observation as o join core.qualifier as q using (qualifier_id) where qualifier_id <> 0 order by 1"
        ).fetchall()
    found = dict(values(platform, odd))
    assert math.isnan(found.pop("2026-10-01T00:00:00"))
    assert found == {
        "2026-10-01T00:15:00": 12.5,
        "2026-10-01T00:30:00": 12.75,
        "2026-10-01T01:00:00": 13.0,
        "2026-10-01T01:15:00.123": 13.25,
        "2026-10-01T01:30:00": 1e308,
        "2026-10-01T01:45:00": 0.0,
        "2026-11-22T20:04:50.765": 13.5,
    }
    assert any("a list of 3 values" in reason for reason in refused)
    assert any("an object" in reason for reason in refused)
    assert {text for text, _ in words} == {"4", "ICE", "FAULT", "RUNNING"}
    assert all(math.isnan(value) for text, value in words if text in ("FAULT", "RUNNING"))


def test_what_the_database_cannot_hold_costs_nothing_else(platform: Platform, frost: FrostReplay) -> None:
    """A NUL in a name, in properties and in a text result, and an id of more than 64 bits: all else is stored, and the page is not refused."""
    frost.recording.things[1] |= {"name": "Mill\0", "properties": {"station_id": "STATION\0_100", "note": "\0"}}
    frost.recording.observations[3]["result"] = "IC\0E"
    followed(platform, frost)
    with platform.database.connection() as connection:
        assert connection.execute("select name, status from raw.source_file where status <> 'succeeded'").fetchall() == []
        words = connection.execute("select text from core.qualifier where text like 'IC%%E' order by 1").fetchall()
    assert set(words) == {("ICE",), ("IC\N{REPLACEMENT CHARACTER}E",)}
    assert "STATION\N{REPLACEMENT CHARACTER}_100/water_level" in series_of(platform)
    frost.recording.observations[2**70] = {**frost.recording.observations[5], "@iot.id": 2**70}
    ended = pull(platform, servers_of(platform)["agency"], now=lambda: NOW)
    assert ended is not None
    assert "cannot be understood" in str(ended.error)


def test_a_multidatastream_is_a_series_a_component(platform: Platform, frost: FrostReplay) -> None:
    """Two values every 15 minutes are two series, one of which has a missing value."""
    followed(platform, frost)
    oxygen = next(name for name in series_of(platform) if name.endswith("/dissolved_oxygen"))
    found = values(platform, oxygen)
    assert [math.isnan(value) for _, value in found] == [False, False, True, False, False]


def test_a_poll_is_one_request_and_finds_what_is_late(platform: Platform, frost: FrostReplay) -> None:
    """A late observation is found by its id; an id that was missing and comes later is not passed over."""
    followed(platform, frost)
    pulled(platform, at=NOW)
    before, asked = landed(platform), len(frost.asked)
    assert pulled(platform, at=NOW).changes == 0
    assert (landed(platform), len(frost.asked)) == (before, asked + 1)
    newest = max(frost.recording.observations)
    late = {"phenomenonTime": "2021-01-01T00:00:00Z", "resultTime": None, "result": 1.0, "Datastream": {"@iot.id": 1}}
    frost.recording.observations[newest + 2] = {**late, "@iot.id": newest + 2}
    assert pulled(platform, at=NOW).changes == 1
    frost.recording.observations[newest + 1] = {**late, "@iot.id": newest + 1, "phenomenonTime": "2021-01-02T00:00:00Z"}
    assert pulled(platform, at=NOW).changes == 1
    assert values(platform, "STATION_100/water_level")[:2] == [("2021-01-01T00:00:00", 1.0), ("2021-01-02T00:00:00", 1.0)]
    more = {newest + 2 + number: {**late, "phenomenonTime": (NOW - timedelta(seconds=number)).isoformat()} for number in range(1, 1_201)}
    slow = more.pop(newest + 900)  # of the first of two pages
    frost.recording.observations |= {number: {**row, "@iot.id": number} for number, row in more.items()}
    assert pulled(platform, at=NOW).changes == 1_199
    frost.recording.observations[newest + 900] = {**slow, "@iot.id": newest + 900}
    assert pulled(platform, at=NOW).changes == 1


def test_what_a_server_never_gives_at_once_is_pulled_bit_by_bit(platform: Platform, frost: FrostReplay) -> None:
    """A server that breaks off after 1,000 rows is asked for half as many ids after each pull that fails, until all is stored; then for the rest."""
    newest = max(frost.recording.observations)
    row = {"resultTime": None, "result": 1.0, "Datastream": {"@iot.id": 1}}
    for number in range(newest + 1, newest + 5_001):
        frost.recording.observations[number] = {**row, "@iot.id": number, "phenomenonTime": (NOW - timedelta(minutes=number)).isoformat()}
    follow(platform, {"name": "agency", "url": frost.url, "station_id": "properties.station_id"})
    frost.gives = 1_000
    ends = [pull(platform, servers_of(platform)["agency"], now=lambda: NOW) for _ in range(8)]
    assert all(each is not None and each.error is not None for each in ends[:2])
    assert ends[-1] is not None
    assert ends[-1].error is None
    assert len(values(platform, "STATION_100/water_level")) > 5_000


def test_the_past_is_made_equal(platform: Platform, frost: FrostReplay) -> None:
    """A correction and a deletion within the window reach the store, and nothing else changes; a second look changes nothing."""
    followed(platform, frost)
    frost.recording.observations[3]["result"] = 77.0
    del frost.recording.observations[4]
    assert pulled(platform, at=NOW + timedelta(hours=1)).changes == 2
    found = dict(values(platform, "STATION_100/water_level"))
    assert found["2026-10-01T00:30:00"] == 77.0
    assert "2026-10-01T00:45:00" not in found
    pages = landed(platform)
    assert pulled(platform, at=NOW + timedelta(hours=2)).changes == 0
    assert landed(platform) == pages


def test_what_is_followed_later_gets_its_past(platform: Platform, frost: FrostReplay) -> None:
    """Only one Thing is followed at first; all are listed. When all are followed, what went by is pulled, too."""
    followed(platform, frost, follow={"things": ["STATION_100"]})
    assert {name.partition("/")[0] for name in series_of(platform)} == {"STATION_100"}
    followed(platform, frost)
    with platform.database.connection() as connection:
        stations = connection.execute("select count(distinct station_id) from core.series join core.observation using (series_id)").fetchone()
    assert stations is not None
    assert stations[0] >= 3


@pytest.mark.parametrize("refused", [{"$resultFormat", "$select"}, {"$resultFormat", "$expand"}])
def test_what_a_server_cannot_do_is_done_without(platform: Platform, frost: FrostReplay, refused: set[str]) -> None:
    """Without data arrays and `$select`, or `$expand`, the same is stored, and a quiet poll still changes nothing."""
    frost.refuses = refused
    followed(platform, frost)
    held = {row["phenomenonTime"] for row in frost.recording.observations.values() if row.get("Datastream", {}).get("@iot.id") == 1}
    assert len(values(platform, "STATION_100/water_level")) == len(held)
    assert math.isnan(dict(values(platform, next(name for name in series_of(platform) if name.endswith("/dissolved_oxygen"))))["2026-10-01T00:30:00"])
    assert pulled(platform, at=NOW).changes == 0


def test_ids_that_do_not_grow_are_followed_by_time(platform: Platform, frost: FrostReplay) -> None:
    """String ids: what is new by phenomenon time or by result time is found; the rest is left to the comparison with the past."""
    for number, row in frost.recording.observations.items():
        row["@iot.id"] = f"o-{number}"
    followed(platform, frost)
    before = len(values(platform, "STATION_100/water_level"))
    newest = max(frost.recording.observations)
    new = {"resultTime": None, "result": 1.0, "Datastream": {"@iot.id": 1}}
    frost.recording.observations[newest + 1] = {**new, "@iot.id": "a-1", "phenomenonTime": "2026-11-22T20:30:00Z"}
    frost.recording.observations[newest + 2] = {
        **new,
        "@iot.id": "a-2",
        "phenomenonTime": "2021-01-01T00:00:00Z",
        "resultTime": "2026-11-22T20:31:00Z",
    }
    assert pulled(platform, at=NOW).changes == 2
    assert len(values(platform, "STATION_100/water_level")) == before + 2
    frost.recording.observations[newest + 3] = {**new, "@iot.id": "a-3", "phenomenonTime": "2026-10-15T00:00:01Z"}
    assert pulled(platform, at=NOW).changes == 0
    assert pulled(platform, at=NOW + timedelta(hours=1)).changes == 1


def test_an_empty_last_page_moves_the_cursor(platform: Platform, frost: FrostReplay) -> None:
    """Where the last page has nothing in it, the next poll asks for what is new all the same, and not for everything again."""
    frost.links_on = True
    followed(platform, frost)
    assert pulled(platform, at=NOW).requests == 1
    assert f"id gt {max(frost.recording.observations)}" in unquote(frost.asked[-1])


@pytest.mark.parametrize("grows", [True, False], ids=["growing ids", "random ids"])
def test_a_poll_of_many_datastreams_is_few_requests(platform: Platform, frost: FrostReplay, grows: bool) -> None:
    """300 Datastreams, of which 20 have news: one request finds all, whether ids grow or not; what came late and what is new, once."""

    def observe(datastream: int, time: str, arrived: str) -> None:
        identity: Any = 100_000 + len(frost.recording.observations) if grows else str(uuid4())
        row = {"@iot.id": identity, "phenomenonTime": time, "resultTime": arrived, "result": 1.0, "Datastream": {"@iot.id": datastream}}
        frost.recording.observations[identity] = row

    example = frost.recording.things[1]["Datastreams"][0]
    for thing in frost.recording.things.values():
        thing["Datastreams"] = []
    frost.recording.things[1]["Datastreams"] = [{**example, "@iot.id": number, "name": f"Datastream {number}"} for number in range(1, 301)]
    frost.recording.multi.clear()
    frost.recording.observations.clear()
    for number in range(1, 301):
        observe(number, "2026-11-22T20:00:00Z", "2026-11-22T20:00:00Z")
    followed(platform, frost)
    pulled(platform, at=NOW)
    for number in range(1, 21):
        observe(15 * number, "2026-11-22T21:00:00Z" if number % 2 else "2024-01-01T00:00:00Z", "2026-11-22T21:00:00Z")
    asked = len(frost.asked)
    news = pulled(platform, at=NOW + timedelta(minutes=1))
    assert (news.changes, news.requests, len(frost.asked)) == (20, 1, asked + 1)
    assert pulled(platform, at=NOW + timedelta(minutes=2)).changes == 0
