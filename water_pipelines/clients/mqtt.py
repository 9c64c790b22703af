"""MQTT: messages of some topics with QoS 1, in a session that the broker keeps while we are away.

A message is acknowledged when the listener says so, never when it comes in. Add here what holds for every MQTT broker.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from water_pipelines.clients.messages import Broker, Delivery, received

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1, 30
_KEEPALIVE_S = 30
_SESSION_S = 0xFFFF_FFFF  # it does not expire

log = logging.getLogger(__name__)


def broker_of(url: str) -> Broker:
    """The broker of `mqtt://user:password@host:port`, or of mqtts; `SourceUnavailable` where it is no such address."""
    return Broker.of(
        url,
        _PORTS,
        "WATER_MQTT_URL is no address of a broker; write mqtt://user:password@host:1883, or mqtts:// for TLS",
    )


class MqttSource:
    """Messages of topics.

    Parameters
    ----------
    url : `mqtt://user:password@host:port`, or mqtts.
    topics : filters, with `+` and `#`.
    client_id : names the session; two clients with the same one put each other out.
    version : '5' or '3.1.1'.
    unsettled : at most so many messages are on their way to us at once, where the broker heeds it (MQTT 5).
    """

    name = "mqtt"

    def __init__(self, url: str, topics: Sequence[str], *, client_id: str, version: str = "5", unsettled: int = 5_000) -> None:
        self._broker = broker_of(url)
        self._topics = list(topics)
        self._is_v5 = version == "5"
        self._unsettled = unsettled
        self._session = 0
        self._received: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._client = self._made(client_id)

    def open(self) -> None:
        """Begin to connect, in a thread of its own."""
        options: dict[str, Any] = {}
        if self._is_v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own
            properties.SessionExpiryInterval = _SESSION_S
            properties.ReceiveMaximum = min(self._unsettled, 0xFFFF)
            options = {"clean_start": False, "properties": properties}
        self._client.connect_async(self._broker.host, self._broker.port, _KEEPALIVE_S, **options)
        self._client.loop_start()

    def close(self) -> None:
        """Disconnect; the broker keeps the session and what was not acknowledged."""
        self._client.disconnect()
        self._client.loop_stop()

    def take(self, timeout_s: float) -> list[Delivery]:
        """What was received."""
        return received(self._received, timeout_s)

    def accept(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge. What came in an earlier connection is not: its number may stand for another message by now, and it comes again."""
        for each in deliveries:
            session, message_id, qos = each.token
            if session == self._session and qos:
                self._client.ack(message_id, qos)

    def reject(self, deliveries: Sequence[tuple[Delivery, str]]) -> None:
        """Acknowledge: MQTT has no other way to be rid of a message."""
        self.accept([each for each, _ in deliveries])

    def _made(self, client_id: str) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._is_v5 else False,
            protocol=paho.MQTTv5 if self._is_v5 else paho.MQTTv311,
            manual_ack=True,
        )
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.is_tls:
            client.tls_set()
        client.reconnect_delay_set(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: paho.Client, _: Any, flags: paho.ConnectFlags, reason: ReasonCode, __: Properties | None) -> None:
        if reason.is_failure:
            log.error("the MQTT broker %s:%s refuses us: %s", self._broker.host, self._broker.port, reason)
            return
        log.info("connected to the MQTT broker %s:%s; session %s", self._broker.host, self._broker.port, "kept" if flags.session_present else "new")
        if self._is_v5:
            # what is retained was delivered when it was new
            client.subscribe([(topic, SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)) for topic in self._topics])
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(self, _: paho.Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Properties | None) -> None:
        for topic, reason in zip(self._topics, reasons, strict=True):
            if reason.is_failure:
                log.error("the MQTT broker refuses the topic %s: %s", topic, reason)

    def _on_disconnect(self, _: paho.Client, __: Any, ___: paho.DisconnectFlags, reason: ReasonCode, ____: Properties | None) -> None:
        self._session += 1
        if reason.is_failure:
            log.warning("the connection to the MQTT broker is lost (%s); connecting again", reason)

    def _on_connect_fail(self, _: paho.Client, __: Any) -> None:
        log.warning("the MQTT broker %s:%s does not answer; trying again", self._broker.host, self._broker.port)

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        token = (self._session, message.mid, message.qos)
        said = {"qos": message.qos, "retain": message.retain}
        self._received.put(Delivery(message.topic, bytes(message.payload), datetime.now(UTC), token, said))
