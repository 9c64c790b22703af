"""Listening to a real MQTT broker: everything lands, once it is durable it is settled, and nothing that can happen twice changes anything."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from water_pipelines.clients.messages import Broker, Delivery, SourceUnavailable
from water_pipelines.clients.mqtt import MqttSource, broker_of
from water_pipelines.orchestration.operations import landing
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import source_files
from water_pipelines_tests.orchestration.brokers import configure, listening, loaded, publisher, rows, url_of, wait_until

FILES = "select prefix, status, rows, rejected, error from raw.source_file where kind = 'data' order by arrival"


@pytest.fixture
def mqtt_url() -> str:
    return url_of("WATER_TEST_MQTT_URL", "MQTT broker")


@pytest.fixture
def quick(platform: Platform) -> Platform:
    """A platform whose listeners do not gather for long."""
    return replace(platform, settings=platform.settings.model_copy(update={"listen_batch_seconds": 0.5}))


@pytest.fixture
def room() -> str:
    """Topics of this test's own."""
    return f"t{secrets.token_hex(4)}"


def observed(minute: int, value: Any = 1.0) -> bytes:
    return orjson.dumps({"time": f"2026-03-01T{minute // 60:02d}:{minute % 60:02d}:00Z", "value": value})


def source_of(url: str, room: str, version: str = "5", client_id: str = "") -> MqttSource:
    return MqttSource(url, [f"{room}/#"], client_id=client_id or f"test-{room}", version=version)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_is_published_while_nobody_listens_arrives(quick: Platform, mqtt_url: str, room: str, version: str) -> None:
    """The broker keeps the session: what came before, during and between two listeners is stored, each once."""
    configure(quick, "mqtt", f"messages: [{{topic: '{room}/{{station}}/{{property}}', unit: m}}]")
    with publisher(mqtt_url) as device:
        with listening(quick, source_of(mqtt_url, room, version)) as first:
            device.publish_until(f"{room}/S/hello", observed(0), lambda: first.messages)
        device.publish_all((f"{room}/S/stage", observed(minute, minute)) for minute in range(100))
        with listening(quick, source_of(mqtt_url, room, version)) as heard:
            device.publish_all((f"{room}/S/stage", observed(minute, minute)) for minute in range(100, 200))
            wait_until(lambda: heard.messages >= 200, "all are received")
    found = loaded(quick)
    assert [value for _, value in found["S/stage"]] == list(range(200))
    assert {status for _, status, *_ in rows(quick, FILES)} == {"succeeded"}


def test_what_cannot_be_used_is_set_aside_with_the_reason(quick: Platform, mqtt_url: str, room: str) -> None:
    """Poison does not hold up what came with it, and can be loaded once a mapping tells how."""
    configure(quick, "mqtt", f"messages: [{{topic: '{room}/{{station}}/{{property}}'}}]")
    with publisher(mqtt_url) as device, listening(quick, source_of(mqtt_url, room)) as heard:
        device.publish_until(f"{room}/S/hello", observed(0), lambda: heard.messages)
        device.publish_all([(f"{room}/S/stage", observed(1)), (f"{room}/S/stage", b"\xff"), (f"{room}/else", observed(2, 7))])
        wait_until(lambda: heard.refused == 2, "two messages are refused")
    assert loaded(quick)["S/stage"] == [("2026-03-01T00:01:00", 1.0)]
    refused = [row for row in rows(quick, FILES) if row[1] == "quarantined"]
    assert sum(rejected for _, _, _, rejected, _ in refused) == 2
    reasons = {reason for (reason,) in rows(quick, "select reason from raw.rejected_row")}
    assert any("nothing is known of the topic" in reason for reason in reasons)
    assert any("no JSON" in reason for reason in reasons)


class Replayed:
    """A source that delivers what it was given, whatever was settled before."""

    name = "mqtt"

    def __init__(self, deliveries: list[Delivery]) -> None:
        self._waiting = deliveries
        self.accepted: list[Delivery] = []

    def open(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """There is nothing to close."""

    def take(self, timeout_s: float) -> list[Delivery]:
        taken, self._waiting = self._waiting, []
        return taken

    def accept(self, deliveries: Any) -> None:
        self.accepted += deliveries

    def reject(self, deliveries: Any) -> None:
        self.accepted += [each for each, _ in deliveries]


def deliveries(quick: Platform, mqtt_url: str, room: str, bodies: list[bytes]) -> list[Delivery]:
    """Messages as a real broker delivers them."""
    source = source_of(mqtt_url, room, client_id=f"capture-{secrets.token_hex(4)}")
    source.open()
    try:
        taken: list[Delivery] = []
        with publisher(mqtt_url) as device:
            device.publish_until(f"{room}/S/hello", observed(0), lambda: source.take(0.2))
            device.publish_all((f"{room}/S/stage", body) for body in bodies)

            def have_all() -> bool:
                taken.extend(each for each in source.take(0.2) if each.address.endswith("/stage"))
                return len(taken) >= len(bodies)

            wait_until(have_all, "all are delivered")
        return taken
    finally:
        source.close()


def test_redelivery_changes_nothing(quick: Platform, mqtt_url: str, room: str) -> None:
    """The same messages in another batch are counted as unchanged, and the same batch is not even loaded; values keep the load that they came by."""
    configure(quick, "mqtt", f"messages: [{{topic: '{room}/{{station}}/{{property}}'}}]")
    sent = deliveries(quick, mqtt_url, room, [observed(minute, minute) for minute in range(50)])
    for part in (sent, sent[20:], sent):
        source = Replayed(list(part))
        with listening(quick, source):
            wait_until(lambda s=source, p=part: len(s.accepted) == len(p), "the batch is settled")  # type: ignore[misc]
        empty_inbox(quick)
    assert rows(quick, "select count(*), count(distinct load_id), sum(value) from core.observation") == [(50, 1, 1225.0)]
    assert rows(quick, "select count(*) from history.observation") == [(0,)]
    assert rows(quick, "select sum(new), sum(changed), sum(unchanged) from raw.load_day") == [(50, 0, 30)]


@pytest.mark.parametrize("step", ["put", "announce", "seal", "landed"])
def test_a_landing_that_is_cut_off_is_swept_away(quick: Platform, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is cut off, what is redelivered lands whole, and nothing is left that waits for ever."""

    class Cut(Exception):
        pass

    def cut(*_: Any, **__: Any) -> None:
        raise Cut

    owner, name = {
        "put": (quick.store, "put"),
        "announce": (source_files.Lander, "announce"),
        "seal": (landing, "_seal"),
        "landed": (source_files.Lander, "landed"),
    }[step]
    at = datetime.now(UTC)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, cut)
        with pytest.raises(Cut):
            landing.land_received(quick, b"first", name="a.ndjson", prefix="mqtt", arrived_at=at)
    landing.land_received(quick, b"again", name="b.ndjson", prefix="mqtt", arrived_at=at)
    list(landing.land_inbox(quick))
    keys = {key for (key,) in rows(quick, "select key from raw.source_file where prefix = 'mqtt' and landed_at is not null")}
    assert len(keys) == 1
    assert {each.key for each in quick.store.list("landed/")} == keys | {f"{key}.json" for key in keys}


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:port", "host:1883"])
def test_an_address_that_is_none_is_told_at_once(url: str) -> None:
    """The message names the variable and shows how it is written."""
    with pytest.raises(SourceUnavailable, match="WATER_MQTT_URL is no address"):
        MqttSource(url, ["#"], client_id="x")


def test_credentials_may_hold_any_character() -> None:
    """They are written as in every URL."""
    assert broker_of("mqtts://us%40er:p%2Fw@host") == Broker("host", 8883, True, "us@er", "p/w")
