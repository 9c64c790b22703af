"""Messages of brokers: what each kind of payload says, and what becomes of one that says nothing."""

from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any

import orjson
import pytest

from water_pipelines.parsers.mapping import InvalidMapping, Mapping
from water_pipelines.parsers.messages import Message, written
from water_pipelines_tests.parsers.reading import Read, read

FROST = "v1.1/Datastreams(1)/Observations"
DEVICES = """
messages:
  - {topic: "devices/{station}/{property}", unit: m, time_zone: Europe/Rome, missing: [-9999]}
  - topic: "loggers/{station}"
    header: [time, stage, temperature, "-"]
    separator: ";"
    columns: {stage: {unit: m}, temperature: {unit: "°C", property: water_temperature}}
  - {topic: "plain/#", station_column: dev, time: at, time_format: epoch_s}
  - topic: "FROST/v1.1/Datastreams(7)/Observations"
    station: MILL
    station_attributes: {name: Mill bridge}
    property: Water Level
    unit: m
"""


def sent(*messages: tuple[str, Any]) -> bytes:
    """A batch of messages; a body that is no bytes is sent as JSON."""
    at = datetime(2026, 10, 1, tzinfo=UTC)
    return written(Message(topic, body if isinstance(body, bytes) else orjson.dumps(body), at) for topic, body in messages)


def said(*messages: tuple[str, Any], mapping: str = DEVICES) -> Read:
    return read(sent(*messages), mapping, name="batch.ndjson", prefix="mqtt")


def observed(found: Read) -> list[tuple[str, str, float | None]]:
    times = (row["time"].replace(tzinfo=None).isoformat() for row in found.rows)
    return [(row["series"], time, None if isnan(row["value"]) else row["value"]) for row, time in zip(found.rows, times, strict=True)]


def test_what_a_sensorthings_server_publishes_is_one_observation() -> None:
    """The entity, and the message of the client that it was made of, say the same; the client's message without a time says nothing yet."""
    entity = {"@iot.id": 5, "phenomenonTime": "2026-03-01T00:00:00.500Z", "resultTime": None, "result": 1.25, "resultQuality": "good"}
    found = said(
        (FROST, {"result": 1.25, "phenomenonTime": "2026-03-01T01:00:00.500+01:00", "resultQuality": "good"}),
        (FROST, entity),
        (FROST, {"result": 1.25}),
        ("v1.0/Datastreams('a b')/Observations", {"@iot.id": "x", "phenomenonTime": "2026-03-01T00:00:00Z/2026-03-01T01:00:00Z", "result": None}),
    )
    same = ("mqtt/Datastreams(1)/result", "2026-03-01T00:00:00.500000", 1.25)
    assert observed(found) == [same, same, ("mqtt/Datastreams('a b')/result", "2026-03-01T00:00:00", None)]
    assert [row["qualifier"] for row in found.rows] == ["good", "good", None]
    assert found.reasons == {}


def test_words_of_a_sensorthings_server_are_qualifiers() -> None:
    """A text in place of a number is kept beside a missing value; flags come from parameters and quality; the result time stands in for a time."""
    at = {"@iot.id": 1, "phenomenonTime": "2026-03-01T00:00:00Z"}
    found = said(
        (FROST, {**at, "result": "FAULT", "resultQuality": {"DQ_Status": {}, "code": "bad"}}),
        (FROST, {**at, "result": 1, "parameters": {"flag": "A"}, "resultQuality": [{"code": "B"}]}),
        (FROST, {"@iot.id": 1, "resultTime": "2026-03-01T00:05:00Z", "result": "1e1"}),
        (FROST, {**at, "result": "NO\0NE"}),
    )
    assert [row["qualifier"] for row in found.rows] == ["FAULT:bad", "A:B", None, "NO\N{REPLACEMENT CHARACTER}NE"]
    assert observed(found)[2] == ("mqtt/Datastreams(1)/result", "2026-03-01T00:05:00", 10.0)


def test_a_multidatastream_is_a_series_a_value() -> None:
    """The values of a list are called by their place, or as the header of the mapping says; what is no list of as many is refused whole."""
    at = {"@iot.id": 1, "phenomenonTime": "2026-03-01T00:00:00Z"}
    mapping = 'messages: [{topic: "v1.1/MultiDatastreams(4)/Observations", station: MILL, header: [stage, "-", oxygen], columns: {stage: {unit: m}}}]'
    found = said(
        ("v1.1/MultiDatastreams(3)/Observations", {**at, "result": [1.5, None, "ICE", [2]]}),
        ("v1.1/MultiDatastreams(3)/Observations", {**at, "result": 7}),
        ("v1.1/MultiDatastreams(3)/Observations", {**at, "result": [[1], {}]}),
        ("v1.1/MultiDatastreams(4)/Observations", {**at, "result": [0.5, 9, "8.25"]}),
        ("v1.1/MultiDatastreams(4)/Observations", {**at, "result": [0.5, 9]}),
        mapping=mapping,
    )
    time = "2026-03-01T00:00:00"
    multi = "mqtt/MultiDatastreams(3)/result"
    assert observed(found) == [
        (f"{multi}_1", time, 1.5),
        (f"{multi}_2", time, None),
        (f"{multi}_3", time, None),
        ("MILL/stage", time, 0.5),
        ("MILL/oxygen", time, 8.25),
    ]
    assert [row["qualifier"] for row in found.rows] == [None, None, "ICE", None, None]
    assert sorted(found.reasons) == [2, 3, 4, 6]
    assert {each.natural_id: each.attributes.get("unit") for each in found.series}["MILL/stage"] == "m"


def test_qualifiers_without_end_do_not_fill_the_store() -> None:
    """Long words are cut, and a device that sends another word with each value is only noted as sending text."""
    at = "2026-03-01T00:00:00Z"
    found = said(*(("devices/S/x", {"time": at, "value": n, "quality": f"word {n} {'x' * 100}"}) for n in range(150)))
    words = [row["qualifier"] for row in found.rows]
    assert (len(set(words)), max(map(len, words)), words[-1]) == (101, 40, "text")


def test_a_mapping_names_what_a_datastream_measures() -> None:
    """Under a mapping the observations of a Datastream are a series of a station, as if they had come in any other way."""
    found = said(("FROST/v1.1/Datastreams(7)/Observations", {"@iot.id": 1, "phenomenonTime": "2026-03-01T00:00:00Z", "result": "2.5"}))
    assert observed(found) == [("MILL/water_level", "2026-03-01T00:00:00", 2.5)]
    assert found.series[0].attributes == {"property": "water_level", "unit": "m", "kind": "sensor"}
    assert found.stations[0].attributes == {"name": "Mill bridge"}


def test_devices_send_json_and_lines_of_values() -> None:
    """Station and property come from the topic, the mapping or the payload; several values of a payload are several series."""
    found = said(
        ("devices/S1/stage", {"time": "2026-03-01T01:00:00", "value": 1.5}),
        ("devices/S1/stage", {"ts": 1, "timestamp": "2026-03-01T00:15:00Z", "value": -9999}),
        ("loggers/L2", b"2026-03-01T00:00Z;0.5;11.25;x\n2026-03-01T00:10Z;;11.5;x\n"),
        ("plain/a/b", {"dev": "D 3", "at": 1772323200, "level": 3.5, "battery": {"voltage": 12.1}, "serial": "17"}),
        ("plain/c", [{"dev": "D4", "at": 1772323200.5, "flow": 1}, {"dev": "D4", "at": 1772323260, "flow": 2}]),
    )
    assert found.reasons == {}
    assert observed(found) == [
        ("S1/stage", "2026-03-01T00:00:00", 1.5),
        ("S1/stage", "2026-03-01T00:15:00", None),
        ("L2/stage", "2026-03-01T00:00:00", 0.5),
        ("L2/water_temperature", "2026-03-01T00:00:00", 11.25),
        ("L2/water_temperature", "2026-03-01T00:10:00", 11.5),
        ("D 3/level", "2026-03-01T00:00:00", 3.5),
        ("D 3/battery_voltage", "2026-03-01T00:00:00", 12.1),
        ("D4/flow", "2026-03-01T00:00:00.500000", 1.0),
        ("D4/flow", "2026-03-01T00:01:00", 2.0),
    ]
    assert found.source_rows == [2, 3, 4, 4, 4, 5, 5, 6, 6]
    assert {one.natural_id: one.attributes["unit"] for one in found.series if "unit" in one.attributes} == {
        "S1/stage": "m",
        "L2/stage": "m",
        "L2/water_temperature": "°C",
    }


@pytest.mark.parametrize(
    ("topic", "body", "reason"),
    [
        ("unknown/topic", {"value": 1}, "nothing is known of the topic 'unknown/topic'"),
        ("devices/S1/stage", b"\xff\xfe", "no JSON"),
        ("devices/S1/stage", b"{", "no JSON"),
        ("devices/S1/stage", [], "no record"),
        ("devices/S1/stage", {"value": 1}, "it has no time"),
        ("devices/S1/stage", b"1.5", "it has no time"),
        ("devices/S1/stage", {"time": "yesterday", "value": 1}, "'yesterday' cannot be read"),
        ("devices/S1/stage", {"time": True, "value": 1}, "the time True is none"),
        ("devices/S1/stage", {"time": 1e300, "value": 1}, "cannot be read"),
        ("devices/S1/stage", {"time": "2026-03-29T02:30:00", "value": 1}, "does not exist, or occurred twice, on the clocks of Europe/Rome"),
        ("devices/S1/stage", {"time": "2025-10-26T02:30:00", "value": 1}, "does not exist, or occurred twice"),
        ("devices/S1/stage", {"time": "1949-12-31T00:00:00Z", "value": 1}, "before the first day of the store"),
        ("devices/S1/stage", {"time": "2027-12-31T00:00:00Z", "value": 1}, "60 minutes after its arrival"),
        ("devices/S1/stage", {"time": "2026-03-01T00:00:00Z", "value": "low"}, "'low' is no number"),
        ("devices/S1/stage", {"time": "2026-03-01T00:00:00Z", "value": [1, 2]}, "a list, not a number"),
        ("devices/S1/stage", {"time": "2026-03-01T00:00:00Z", "value": "nan"}, "is no number"),
        ("devices/S1/stage", {"time": "2026-03-01T00:00:00Z"}, "it holds no value"),
        ("loggers/L2", b"2026-03-01T00:00Z;1\n", "a line has 2 cells"),
        ("loggers/L2", b"2026-03-01T00:00;1;2;3\n", "has no time zone"),
        ("loggers/L2", b" \n", "the message is empty"),
        ("plain/x", {"at": 1772323200, "level": 1}, "names the station"),
        (FROST, {"phenomenonTime": "2026-03-01T00:00:00Z", "result": {"a": 1}}, "an object, not a number"),
        (FROST, {"@iot.id": 1, "result": 1}, "it has no time"),
        (FROST, [1], "no JSON object"),
    ],
)
def test_a_message_that_says_nothing_is_refused_with_the_reason(topic: str, body: Any, reason: str) -> None:
    """It is told apart from the message beside it, which is taken."""
    found = said((topic, body), ("devices/S2/flow", {"time": "2026-03-01T00:00:00Z", "value": 7}))
    assert reason in found.reasons[2], found.reasons
    assert observed(found) == [("S2/flow", "2026-03-01T00:00:00", 7.0)]


def test_one_value_that_cannot_be_read_costs_only_itself() -> None:
    """The other values of the message are taken, and the one is noted."""
    found = said(("loggers/L2", b"2026-03-01T00:00Z;dry;11.5;x"))
    assert observed(found) == [("L2/water_temperature", "2026-03-01T00:00:00", 11.5)]
    assert found.reasons == {2: "'dry' is no number; if it stands for a missing value, say so in the mapping: missing"}


def test_bytes_that_are_no_text_survive_the_batch() -> None:
    """A binary message is kept as it was sent; a mapping for it may come later."""
    assert b'"body_base64":"/w=="' in sent(("a", b"\xff"))
    assert said(("a", b"\xff")).rejected[0].text == "a \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("pattern", ["a/{room}", "{station}/{station}", "a/#/b"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    """Levels in braces are station and property, and # is the last level."""
    with pytest.raises(InvalidMapping, match="topic"):
        Mapping.from_yaml(f'messages: [{{topic: "{pattern}"}}]')


def test_a_misspelt_key_of_a_topic_is_named() -> None:
    """As in every mapping, the nearest key is proposed."""
    with pytest.raises(InvalidMapping, match="did you mean 'station'"):
        Mapping.from_yaml('messages: [{topic: "a", staton: b}]')


def test_true_and_false_are_numbers() -> None:
    """A pump that runs is 1."""
    at = "2026-03-01T00:00:00Z"
    found = said(("devices/P/running", {"time": at, "value": True}), ("devices/P/broken", {"time": at, "value": False}))
    assert found.values == [1.0, 0.0]


def test_the_example_of_the_manual_is_a_mapping() -> None:
    """What `docs/live-sources.md` shows can be dropped as it is, and reads what it says it reads."""
    manual = (Path(__file__).resolve().parents[2] / "docs" / "live-sources.md").read_text(encoding="utf-8")
    example = manual.split("```yaml\n")[1].split("```")[0]
    uplink = {"device": {"id": "D1"}, "rx": {"at": 1772323200000}, "payload": {"level": 1.5, "battery": 3.6}}
    found = said(("lora/7/up", uplink), ("loggers/L", b"2026-03-01T00:00Z;0.52;11.2;x"), mapping=example)
    assert [series for series, _, _ in observed(found)] == ["D1/payload_level", "D1/payload_battery", "L/stage", "L/water_temperature"]
