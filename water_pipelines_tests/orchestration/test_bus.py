"""Facilities on a real AMQP 1.0 broker: what they send is stored and flagged, and what cannot be used ends in the dead-letter queue."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest

from water_pipelines.clients.amqp import AmqpSource, broker_of
from water_pipelines.clients.messages import SourceUnavailable
from water_pipelines.orchestration.operations.acts import OF_FILES, do
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import settle
from water_pipelines.storage.served import sensors, series
from water_pipelines.storage.served.reading import reading
from water_pipelines_tests.orchestration.brokers import PATIENCE_S, listening, loaded, rows, sender, url_of, wait_until

DAY = "2026-03-01"
SETUP = {
    "schema": "facility-setup/1",
    "facility": "WTP-4",
    "kind": "treatment_plant",
    "place": {"latitude": 52.1, "longitude": 5.2},
    "sensors": [{"sensor": "L1", "property": "water_level", "unit": "m", "interval_s": 60}],
}
FLAGS = """
select to_char(time at time zone 'UTC', 'HH24:MI'), flag from core.observation_flag join core.series using (series_id)
where natural_id = 'WTP-4/L1' order by time
"""


@pytest.fixture
def amqp_url() -> str:
    pytest.importorskip("proton", reason="python-qpid-proton is not installed: make amqp")
    return url_of("WATER_TEST_AMQP_URL", "AMQP 1.0 broker")


@pytest.fixture
def queue() -> str:
    """A queue of this test's own."""
    return f"facilities-{secrets.token_hex(4)}"


@pytest.fixture
def quick(platform: Platform) -> Platform:
    """A platform whose listeners do not gather for long."""
    return replace(platform, settings=platform.settings.model_copy(update={"listen_batch_seconds": 0.5}))


def source_of(url: str, *queues: str) -> AmqpSource:
    return AmqpSource(broker_of(url), queues)


def records(*minutes: int, sensor: str = "L1", value: float | None = None) -> bytes:
    said = [{"sensor": sensor, "time": f"{DAY}T00:{minute:02d}:00Z", "value": minute / 1000 if value is None else value} for minute in minutes]
    return orjson.dumps({"schema": "data-collection/1", "facility": "WTP-4", "records": said})


def switch(verb: str, minute: int) -> bytes:
    said = {"schema": f"sensor-{verb}/1", "facility": "WTP-4", "sensor": "L1", "time": f"{DAY}T00:{minute:02d}:00Z", "reason": verb}
    return orjson.dumps(said)


def dumped(message: Mapping[str, Any]) -> bytes:
    return orjson.dumps(message)


def heard_all(platform: Platform, url: str, queue: str, bodies: list[bytes]) -> None:
    """Send messages and let a listener land them."""
    with sender(url, queue) as facility, listening(platform, source_of(url, queue)) as heard:
        facility.send_all(bodies)
        wait_until(lambda: heard.messages >= len(bodies), "all are heard")


def test_a_facility_its_sensors_and_their_values_are_stored(quick: Platform, amqp_url: str, queue: str) -> None:
    """Data may come before the set-up; a second set-up updates what it states, and leaves the rest."""
    heard_all(
        quick, amqp_url, queue, [records(0, 1), dumped(SETUP), dumped({"schema": "facility-setup/1", "facility": "WTP-4", "name": "Riverside"})]
    )
    assert loaded(quick) == {"WTP-4/L1": [(f"{DAY}T00:00:00", 0.0), (f"{DAY}T00:01:00", 0.001)]}
    assert rows(quick, "select natural_id, name, kind, latitude, properties ? 'is_facility' from core.station") == [
        ("WTP-4", "Riverside", "treatment_plant", 52.1, True)
    ]
    assert rows(quick, "select property, unit, kind, interval_s from core.series") == [("water_level", "m", "sensor", 60.0)]
    heard_all(quick, amqp_url, queue, [dumped({**SETUP, "sensors": [{"sensor": "L1", "property": "water_level", "unit": "cm"}]})])
    empty_inbox(quick)
    assert rows(quick, "select property, unit, interval_s from core.series") == [("water_level", "cm", 60.0)]
    assert rows(quick, "select name from core.station") == [("Riverside",)]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_values_of_a_sensor_that_was_off_are_kept_and_suspect(quick: Platform, amqp_url: str, queue: str, order: tuple[int, ...]) -> None:
    """The time of a value decides, whatever the order in which the messages come: those from the deactivation to the activation are suspect."""
    messages = [records(*range(10)), switch("deactivation", 3), switch("activation", 6), dumped(SETUP)]
    for number in order:
        heard_all(quick, amqp_url, queue, [messages[number]])
        empty_inbox(quick)
    settle(quick, lambda units: None)
    assert len(loaded(quick)["WTP-4/L1"]) == 10
    flagged = dict(rows(quick, FLAGS))
    assert {minute: flagged.get(f"00:{minute:02d}", 1) for minute in range(10)} == {
        minute: 3 if 3 <= minute < 6 else flagged.get("00:00", 1) for minute in range(10)
    }
    assert flagged.get("00:00", 1) in (1, 2)


def test_a_state_that_is_announced_counts_when_it_is_reached(quick: Platform, amqp_url: str, queue: str) -> None:
    """A sensor is what was said last of the time until now; a deactivation of next year changes nothing yet."""
    announced = orjson.loads(switch("deactivation", 0)) | {"time": "2999-01-01T00:00:00Z"}
    heard_all(quick, amqp_url, queue, [dumped(SETUP), switch("activation", 1), dumped(announced)])
    empty_inbox(quick)
    with reading(quick.database) as state:
        (sensor,) = sensors.with_states(state, [series.find(state, "WTP-4/L1")])
    assert (sensor["state"], sensor["state_at"], sensor["state_reason"]) == ("active", datetime(2026, 3, 1, 0, 1, tzinfo=UTC), "activation")


def test_a_deactivation_that_is_withdrawn_flags_nothing(quick: Platform, amqp_url: str, queue: str) -> None:
    """What a file said of a sensor goes with the file, and the flags follow."""
    heard_all(quick, amqp_url, queue, [records(*range(5))])
    heard_all(quick, amqp_url, queue, [switch("deactivation", 2)])
    empty_inbox(quick)
    settle(quick, lambda units: None)
    assert [minute for minute, flag in rows(quick, FLAGS) if flag == 3] == ["00:02", "00:03", "00:04"]
    ((arrival,),) = rows(quick, "select arrival from core.sensor_state")
    do(quick, OF_FILES["withdraw"](quick, [str(arrival)], reason="mistaken", at=datetime.now(UTC)))
    settle(quick, lambda units: None)
    assert [minute for minute, flag in rows(quick, FLAGS) if flag == 3] == []
    assert rows(quick, "select count(*) from history.sensor_state") == [(1,)]
    assert np.all([value >= 0 for _, value in loaded(quick)["WTP-4/L1"]])


def test_poison_goes_to_the_dead_letter_queue(quick: Platform, amqp_url: str, queue: str) -> None:
    """A message that can never be used is rejected, and set aside here with the reason; the others are accepted."""
    marked = f"poison {queue}".encode()
    heard_all(quick, amqp_url, queue, [records(0), marked, dumped({"schema": "facility-setup/1"})])
    assert len(loaded(quick)["WTP-4/L1"]) == 1
    reasons = [reason for (reason,) in rows(quick, "select reason from raw.rejected_row order by position")]
    assert len(reasons) == 2
    assert "nothing is known of the topic" in reasons[0]
    assert "'facility' is a required property" in reasons[1]
    dead = source_of(amqp_url, "DLQ")
    dead.open()
    try:
        found: list[bytes] = []

        def is_there() -> bool:
            taken = dead.take(0.2)
            found.extend(each.body for each in taken)
            dead.accept(taken)
            return marked in found

        wait_until(is_there, "the message is in the dead-letter queue")
    finally:
        dead.close()


def test_bad_values_do_not_take_the_good_ones_with_them(quick: Platform, amqp_url: str, queue: str) -> None:
    """However many values of a batch are refused, whatever the limit for files is: the others are stored, and the refused noted."""
    said = [{"sensor": "L1", "time": f"{DAY}T00:00:0{n}Z" if n == 0 else f"{DAY}T00:00:0{n}", "value": 1} for n in range(5)]
    heard_all(quick, amqp_url, queue, [orjson.dumps({"schema": "data-collection/1", "facility": "WTP-4", "records": said})])
    assert len(loaded(quick)["WTP-4/L1"]) == 1
    assert rows(quick, "select status, rows, rejected from raw.source_file where kind = 'data'") == [("succeeded", 1, 4)]


def test_what_was_not_settled_comes_again(quick: Platform, amqp_url: str, queue: str) -> None:
    """A consumer that goes away without settling leaves everything in the queue, in order."""
    bodies = [records(minute) for minute in range(20)]
    with sender(amqp_url, queue) as facility:
        facility.send_all(bodies)
    taken: list[bytes] = []
    for _ in range(2):
        source = source_of(amqp_url, queue)
        source.open()
        taken.clear()
        while len(taken) < 20:
            more = source.take(PATIENCE_S)
            assert more, "all are delivered"
            taken += [each.body for each in more]
        source.close()
        assert taken == bodies
    with listening(quick, source_of(amqp_url, queue)) as heard:
        wait_until(lambda: heard.messages >= 20, "all are heard")
    assert len(loaded(quick)["WTP-4/L1"]) == 20


@pytest.mark.parametrize("url", ["http://host", "amqp://", "amqp://host:port", "Endpoint"])
def test_an_address_that_is_none_is_told_at_once(url: str) -> None:
    """The message names the variable and shows how it is written."""
    with pytest.raises(SourceUnavailable, match="WATER_AMQP_URL is no address"):
        broker_of(url)
