"""Publishing to real brokers, and what listeners made of it."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from water_pipelines.clients.messages import Source
from water_pipelines.clients.mqtt import broker_of
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.landing import land_bytes
from water_pipelines.orchestration.operations.listening import Heard, listen
from water_pipelines.orchestration.operations.loading import load_files
from water_pipelines.orchestration.resources import Platform

PATIENCE_S = 90


def url_of(variable: str, what: str) -> str:
    """The broker's address; skips the test where there is none."""
    url = os.environ.get(variable)
    if not url:
        pytest.skip(f"no {what}: set {variable} (`.ci/services` starts one)")
    return url


def wait_until(is_so: Callable[[], bool], what: str = "") -> None:
    """Wait, with patience; fails where it does not come about."""
    ends_at = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < ends_at, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.05)


class Publisher:
    """A device that publishes with QoS 1 and knows what the broker has taken."""

    def __init__(self, url: str) -> None:
        broker = broker_of(url)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"device-{secrets.token_hex(4)}", clean_session=False)
        self._client.username_pw_set(broker.user or "", broker.password)
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self.sent, self.taken = 0, 0
        self._client.on_publish = self._on_publish
        self._client.connect_async(broker.host, broker.port)
        self._client.loop_start()

    def _on_publish(self, *_: Any) -> None:
        self.taken += 1

    def publish(self, topic: str, body: bytes) -> None:
        """Send a message, again and again until the broker has taken it."""
        self._client.publish(topic, body, qos=1)
        self.sent += 1

    def publish_all(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Send messages, and wait until the broker has taken all."""
        for message in messages:
            self.publish(*message)
        wait_until(lambda: self.taken == self.sent, "the broker takes what is published")

    def publish_until(self, topic: str, body: bytes, is_heard: Callable[[], object]) -> None:
        """Send a message until somebody who is about to subscribe hears it."""

        def heard() -> bool:
            self.publish_all([(topic, body)])
            return bool(is_heard())

        wait_until(heard, "somebody subscribes")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def publisher(url: str) -> Iterator[Publisher]:
    """A device that is connected for as long as the block lasts."""
    device = Publisher(url)
    try:
        yield device
    finally:
        device.close()


class Sender:
    """A facility that sends durable messages to a queue and knows what the broker has taken; connects again until it has."""

    def __init__(self, url: str, queue: str) -> None:
        self._url, self._queue = url, queue
        self._connection: Any = None

    def send(self, body: bytes) -> None:
        """Send a message, again and again until the broker has taken it."""
        from proton import Message, ProtonException

        ends_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self._connection is None:
                    self._open()
                self._sender.send(Message(body=body, durable=True, content_type="application/json"), timeout=5)
                return
            except (ProtonException, OSError):
                self.close()
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.5)

    def send_all(self, bodies: Iterable[bytes]) -> None:
        """Send messages."""
        for body in bodies:
            self.send(body)

    def close(self) -> None:
        from proton import ProtonException

        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(ProtonException, OSError):
                connection.close()

    def _open(self) -> None:
        from proton.utils import BlockingConnection

        self._connection = BlockingConnection(self._url, allow_insecure_mechs=True, timeout=5)
        self._sender = self._connection.create_sender(self._queue, name=f"device-{secrets.token_hex(4)}")


@contextmanager
def sender(url: str, queue: str) -> Iterator[Sender]:
    """A facility that is connected for as long as the block lasts."""
    facility = Sender(url, queue)
    try:
        yield facility
    finally:
        facility.close()


@contextmanager
def listening(platform: Platform, source: Source) -> Iterator[Heard]:
    """A listener in a thread, which has ended at the end of the block."""
    stop, heard, failed = threading.Event(), Heard(), list[BaseException]()

    def run() -> None:
        try:
            listen(platform, source, stop, heard=heard)
        except BaseException as error:  # noqa: BLE001  # told to the test
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert not failed, failed


def configure(platform: Platform, prefix: str, mapping: str) -> None:
    """Put a mapping in force for a folder."""
    load_files(platform, [land_bytes(platform, mapping.encode(), kind="mapping", name="mapping.yaml", prefix=prefix)])


def loaded(platform: Platform) -> dict[str, list[tuple[str, float]]]:
    """Load what landed, and give all that is stored by series: (time, value)."""
    empty_inbox(platform)
    found: dict[str, list[tuple[str, float]]] = {}
    for series, at, value in rows(
        platform,
        "select natural_id, to_char(time at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS'), value from core.observation"
        " join core.series using (series_id) order by natural_id, time",
    ):
        found.setdefault(series, []).append((at, value))
    return found


def rows(platform: Platform, query: Any) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with platform.database.connection() as connection:
        return connection.execute(query).fetchall()
