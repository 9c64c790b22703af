"""Landed pages of SensorThings servers: observations and entities, form by form."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from water_pipelines.parsers.contract import WITHDRAW, UnreadableFile
from water_pipelines.parsers.sensorthings import MOST_WORDS, Head
from water_pipelines.parsers.servers import InvalidServers, read_servers
from water_pipelines.parsers.things import Component
from water_pipelines_tests.parsers.reading import Read, read

LEVEL = {"D:1": [Component("S1/level", "S1", "level", "m")]}


def page(document: Any, **head: Any) -> Read:
    """A landed page, read."""
    said = {"what": "observations", "url": "http://example.org", "series": LEVEL, **head}
    return read(Head("agency", **said).with_bodies([json.dumps(document).encode()]), name="agency-observations.json")


def rows(*results: Any, **more: Any) -> dict[str, Any]:
    """Observations a minute apart."""
    return {
        "value": [
            {"@iot.id": n, "phenomenonTime": f"2026-01-01T00:{n:02d}:00Z", "result": result, "Datastream": {"@iot.id": 1}, **more}
            for n, result in enumerate(results)
        ]
    }


def test_plain_rows_and_data_arrays_say_the_same() -> None:
    """Ids in quotes or bare, ids of components with or without a namespace."""
    cells = [[n, f"2026-01-01T00:{n:02d}:00Z", value] for n, value in enumerate((1.5, None))]
    for name, link in (("id", "http://x/Datastreams(1)"), ("@iot.id", "Datastreams('1')")):
        array = {"value": [{"Datastream@iot.navigationLink": link, "components": [name, "phenomenonTime", "result"], "dataArray": cells}]}
        found = page(array)
        assert found.times == page(rows(1.5, None)).times == ["2026-01-01T00:00:00", "2026-01-01T00:01:00"]
        assert found.values[0] == 1.5
        assert math.isnan(found.values[1])


def test_each_result_has_its_outcome() -> None:
    """See docs/sensorthings.md: numbers, truths, words; lists and objects are refused."""
    found = page(rows(1, "2.5", True, False, "FAULT", "1e400", [1], {"a": 1}))
    assert [None if math.isnan(value) else value for value in found.values] == [1.0, 2.5, 1.0, 0.0, None, None]
    assert [row["qualifier"] for row in found.rows] == [None, None, None, None, "FAULT", None]
    assert set(found.reasons) == {7, 8}


def test_free_text_does_not_fill_the_list_of_qualifiers() -> None:
    """Words are cut at 40 characters; after 100 different ones in a page the rest is only called text."""
    document = {"value": [dict(row, result=f"note {n} " + "x" * 60) for n, row in enumerate(rows(0)["value"] * (MOST_WORDS + 20))]}
    for n, row in enumerate(document["value"]):
        row["phenomenonTime"] = f"2026-01-{n // 24 + 1:02d}T{n % 24:02d}:00:00Z"
    words = {row["qualifier"] for row in page(document).rows}
    assert len(words) == MOST_WORDS + 1
    assert "text" in words
    assert all(len(word) <= 40 for word in words)


def test_each_time_has_its_outcome() -> None:
    """Offsets, fractions, intervals; the result time stands in; no time, no zone and the far future are refused with the reason."""
    times = [
        "2026-01-01T02:00:00.125+02:00",
        "2026-01-01T01:00:00Z/2026-01-01T02:00:00Z",
        None,
        "2026-01-01T03:00:00",
        "soon",
        "2036-01-01T00:00:00Z",
    ]
    value = [{"@iot.id": n, "phenomenonTime": time, "result": 1.0, "Datastream": {"@iot.id": 1}} for n, time in enumerate(times)]
    value[2]["resultTime"] = "2026-01-01T05:00:00Z"
    value.append({"@iot.id": 9, "phenomenonTime": None, "result": 1.0, "Datastream": {"@iot.id": 1}})
    found = page({"value": value})
    assert found.times == ["2026-01-01T00:00:00.125000", "2026-01-01T01:00:00", "2026-01-01T05:00:00"]
    assert page({"value": value}, interval_time="end").times[1] == "2026-01-01T02:00:00"
    assert sorted(found.reasons) == [4, 5, 6, 7]
    assert "WATER_FUTURE_TOLERANCE_MINUTES" in found.reasons[6]
    assert "neither" in found.reasons[7]


def test_the_servers_own_flags_are_qualifiers() -> None:
    """A word of the parameters, and the code within a result quality however deep it stands."""
    found = page(rows(1.0, parameters={"qualifier": "ICE", "other": 1}, resultQuality={"nameOfMeasure": "DQ", "DQ_Result": {"code": "4"}}))
    assert found.rows[0]["qualifier"] == "ICE:4"


def test_a_multidatastream_is_taken_apart() -> None:
    """A value in each series; a list of another length is refused as a whole."""
    parts = {"M:1": [Component("S1/a", "S1", "a", "m"), Component("S1/b", "S1", "b", None)]}
    value = [
        {"@iot.id": n, "phenomenonTime": f"2026-01-01T00:0{n}:00Z", "result": result, "MultiDatastream": {"@iot.id": 1}}
        for n, result in enumerate(([1.0, "2"], [3.0, None], [4.0]))
    ]
    found = page({"value": value}, series=parts)
    assert [(row["series"], row["value"]) for row in found.rows[:3]] == [("S1/a", 1.0), ("S1/b", 2.0), ("S1/a", 3.0)]
    assert math.isnan(found.values[3])
    assert set(found.reasons) == {3}


def test_others_are_not_followed() -> None:
    """Rows of a Datastream that the head does not name are passed over, not refused."""
    document = rows(1.0, 2.0)
    document["value"][0]["Datastream"] = {"@iot.id": 2}
    found = page(document)
    assert (found.values, found.rejected) == ([2.0], [])


def test_a_window_takes_what_differs_and_withdraws_what_is_gone() -> None:
    """Only the times that are named are put; others are withdrawn without a row of the server."""
    minute = 1_767_225_660_000_000
    found = page(rows(1.0, 2.0), what="window", taken={"S1/level": [minute]}, withdrawn={"S1/level": [minute + 60_000_000]})
    assert [(row["op"], row["time"].minute) for row in found.rows] == [(0, 1), (WITHDRAW, 2)]
    assert found.values[0] == 2.0


@pytest.mark.parametrize(
    "content",
    [
        b'{"sensorthings":{"server":"a"}}\n{}',
        b'{"sensorthings":{"server":"a","what":"observations","url":"u","bodies":[100]}}\n{}',
        b'{"sensorthings":{"server":"a","what":"observations","url":"u","bodies":[2]}}\n{}',
        b'{"sensorthings":{"server":"a","what":"entities","url":"u","bodies":[14]}}\n{"value": [{}]}',
    ],
)
def test_a_damaged_page_is_refused(content: bytes) -> None:
    """No head, cut off, no list, no entities: each is told, none is an error of the program."""
    with pytest.raises(UnreadableFile):
        read(content)


def test_entities_become_stations_and_series() -> None:
    """A place as a feature with a height, a polygon's middle, units by UCUM, and everything else kept."""
    place = {"location": {"type": "Feature", "geometry": {"type": "Point", "coordinates": [14.4, 50.05, 183.5]}}}
    area = {"location": {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 4], [0, 4], [0, 0]]]}}
    past = {"time": "2026-01-01T00:00:00Z", "Locations": [place]}
    things = {
        "value": [
            {"@iot.id": 1, "name": "Mill", "properties": {"owner": "us"}, "Locations": [place], "HistoricalLocations": [past]},
            {"@iot.id": 2, "name": "Pond", "Locations": [area]},
        ]
    }
    found = page(things, what="entities", series={}, stations={"1": "S1", "2": "S2"})
    mill, pond = (station.attributes for station in found.stations)
    assert (mill["longitude"], mill["latitude"], mill["elevation_m"]) == (14.4, 50.05, 183.5)
    assert mill["properties"] == {"owner": "us"}
    assert mill["historical_locations"][0]["time"] == "2026-01-01T00:00:00Z"
    assert (pond["longitude"], pond["latitude"]) == (1.0, 2.0)
    datastream = {
        "@iot.id": 1,
        "name": "level at the mill",
        "unitOfMeasurement": {"name": "metre", "symbol": "m", "definition": "ucum:m"},
        "Sensor": {"@iot.id": 3, "name": "probe", "@iot.selfLink": "http://x"},
        "ObservedProperty": {"@iot.id": 4, "name": "Level"},
        "properties": {"datum": "NAP", "interval_s": 900},
    }
    (series,) = page({"value": [datastream]}, what="entities").series
    assert series.natural_id == "S1/level"
    assert series.attributes["sensor"] == {"@iot.id": 3, "name": "probe"}
    assert series.attributes["properties"] == {"datum": "NAP", "interval_s": 900}
    assert series.attributes["interval_s"] == 900.0
    (unstated,) = page({"value": [{**datastream, "properties": {"interval_s": "often"}}]}, what="entities").series
    assert "interval_s" not in unstated.attributes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("servers: [{name: a, url: ftp://x}]", "https://"),
        ("servers: [{name: a, url: 'https://me:secret@x'}]", "WATER_SENSORTHINGS"),
        ("servers: [{name: A B, url: https://x}]", "name"),
        ("servers: [{name: a, url: https://x, authentication: basic}]", "username"),
        ("servers: [{name: a, url: https://x, authentication: oidc}]", "token_url"),
        ("servers: [{name: a, url: https://x, folow: all}]", "folow"),
        ("servers: [{name: a, url: https://x}, {name: a, url: https://y}]", "same name"),
        ("servers: [", "YAML"),
    ],
)
def test_a_servers_file_that_cannot_be_used_says_why(text: str, reason: str) -> None:
    """The key and what would be right; a password in a URL is not repeated."""
    with pytest.raises(InvalidServers, match=reason) as caught:
        read_servers(text)
    assert "secret" not in str(caught.value)
