"""Service Bus, as far as it can be held against anything here: a small AMQP server that asks for tokens as its documentation says.

It was not run against the real service.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import pytest

from water_pipelines.clients.messages import Broker, Delivery, SourceUnavailable
from water_pipelines.clients.service_bus import ConnectionString, ServiceBusSource, shared_access_token

TEXT = "Endpoint=sb://demo.servicebus.windows.net/;SharedAccessKeyName=listen;SharedAccessKey=c2VjcmV0IGtleQ==;EntityPath=facilities"
PATIENCE_S = 120


def test_a_connection_string_is_read_as_the_portal_shows_it() -> None:
    """Keys hold equals signs; the queue may be left out; names are in any case."""
    assert ConnectionString.is_one(TEXT)
    assert ConnectionString.of(TEXT) == ConnectionString("demo.servicebus.windows.net", "listen", "c2VjcmV0IGtleQ==", "facilities")
    assert ConnectionString.of(TEXT.replace(";EntityPath=facilities", "").lower().replace("c2vjcmv0igtlzq==", "a")).entity is None
    assert "c2VjcmV0" not in repr(ConnectionString.of(TEXT))


@pytest.mark.parametrize("part", ["Endpoint", "SharedAccessKeyName", "SharedAccessKey"])
def test_a_connection_string_that_lacks_a_part_is_refused(part: str) -> None:
    """The message names the part and never shows the key."""
    text = ";".join(each for each in TEXT.split(";") if not each.startswith(f"{part}="))
    with pytest.raises(SourceUnavailable, match=part) as refused:
        ConnectionString.of(text)
    assert "c2VjcmV0" not in str(refused.value)


def is_signed(token: str, audience: str) -> bool:
    """Whether a token is what the documentation of shared access signatures says, worked out on its own."""
    said = parse_qs(token.removeprefix("SharedAccessSignature "), strict_parsing=True)
    raw = dict(part.split("=", 1) for part in token.removeprefix("SharedAccessSignature ").split("&"))
    wanted = hmac.new(b"c2VjcmV0IGtleQ==", f"{raw['sr']}\n{raw['se']}".encode(), hashlib.sha256).digest()
    return said["sr"] == [audience] and said["skn"] == ["listen"] and base64.b64decode(unquote_plus(raw["sig"])) == wanted


def test_a_token_is_signed_as_documented() -> None:
    """HMAC-SHA256 of the encoded audience and the expiry, by the key as it is written."""
    audience, token = shared_access_token(ConnectionString.of(TEXT), "facilities", 1772323200)
    assert audience == "sb://demo.servicebus.windows.net/facilities"
    assert is_signed(token, audience)
    assert not is_signed(token.replace("1772323200", "1772323201"), audience)


class Bus:
    """A server with one queue, which gives messages only to connections that put a valid token first."""

    def __init__(self, *, answers: int = 202) -> None:
        from proton.handlers import MessagingHandler
        from proton.reactor import Container

        self.port = 0
        self.tokens: list[str] = []
        self.outcomes: list[tuple[bytes, Any, str, Any]] = []
        self.was_early = False
        self._answers = answers
        self._is_let = False
        self._replies: Any = None
        self._waiting = [b"good", b"bad"]
        bus = self

        class Handler(MessagingHandler):  # type: ignore[misc]
            def on_start(self, event: Any) -> None:
                acceptor = event.container.listen("127.0.0.1:0")
                bus.port = acceptor._selectable._delegate.getsockname()[1]

            def on_link_opening(self, event: Any) -> None:
                link = event.link
                link.source.address, link.target.address = link.remote_source.address, link.remote_target.address
                if link.is_sender and link.remote_source.address == "$cbs":
                    bus._replies = link
                elif link.is_sender:
                    bus.was_early = bus.was_early or not bus._is_let

            def on_message(self, event: Any) -> None:
                from proton import Message

                said = event.message.properties
                bus._is_let = (
                    said["operation"] == "put-token"
                    and said["type"] == "servicebus.windows.net:sastoken"
                    and is_signed(event.message.body, said["name"])
                )
                bus.tokens.append(event.message.body)
                answer = {"status-code": bus._answers, "status-description": "Accepted" if bus._answers == 202 else "Unauthorized"}
                bus._replies.send(Message(properties=answer, correlation_id=event.message.id))

            def on_sendable(self, event: Any) -> None:
                from proton import Message

                while event.sender != bus._replies and bus._waiting and event.sender.credit and bus._is_let:
                    event.sender.send(Message(body=bus._waiting.pop(0)), tag=f"t{len(bus._waiting)}")

            def on_settled(self, event: Any) -> None:
                if event.link == bus._replies:
                    return
                outcome = event.delivery.remote
                condition = outcome.condition
                body = b"good" if event.delivery.tag == "t1" else b"bad"
                said = (condition.name, condition.info) if condition else ("", None)
                bus.outcomes.append((body, event.delivery.remote_state, str(said[0]), said[1]))

        self._container = Container(Handler(auto_accept=True))
        self._thread = threading.Thread(target=self._container.run, daemon=True)
        self._thread.start()
        until(lambda: self.port != 0)

    def stop(self) -> None:
        self._container.stop()
        self._thread.join(PATIENCE_S)


def until(is_so: Any) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


@pytest.fixture
def bus() -> Iterator[Bus]:
    pytest.importorskip("proton", reason="python-qpid-proton is not installed: make amqp")
    server = Bus()
    yield server
    server.stop()


def source_of(bus: Bus, **options: Any) -> ServiceBusSource:
    return ServiceBusSource(ConnectionString.of(TEXT), [], peer=Broker("127.0.0.1", bus.port, is_tls=False), **options)


def test_a_queue_is_read_after_its_token_was_put(bus: Bus) -> None:
    """The token comes first, messages afterwards; a rejected one tells why in the way that Service Bus shows."""
    from proton import Delivery as Outcome

    source = source_of(bus)
    source.open()
    try:
        taken: list[Delivery] = []

        def have_both() -> bool:
            taken.extend(source.take(0.2))
            return len(taken) >= 2

        until(have_both)
        source.accept(taken[:1])
        source.reject([(taken[1], "no schema")])
        until(lambda: len(bus.outcomes) == 2)
    finally:
        source.close()
    assert [each.body for each in taken] == [b"good", b"bad"]
    assert not bus.was_early
    (good, bad) = sorted(bus.outcomes, key=lambda each: each[0], reverse=True)
    assert good[:3] == (b"good", Outcome.ACCEPTED, "")
    assert bad[:3] == (b"bad", Outcome.REJECTED, "com.microsoft:dead-letter")
    assert dict(bad[3])["DeadLetterErrorDescription"] == "no schema"


def test_tokens_are_put_again_before_they_expire(bus: Bus) -> None:
    """A connection that lives longer than its token is not cut off."""
    source = source_of(bus, renew_after_s=0.2)
    source.open()
    try:
        until(lambda: len(bus.tokens) >= 3)
    finally:
        source.close()
    assert all(is_signed(token, "sb://demo.servicebus.windows.net/facilities") for token in bus.tokens)


def test_a_token_that_is_refused_is_told_and_tried_again() -> None:
    """No message is read; what the service says is logged, and the next connection puts a token again."""
    pytest.importorskip("proton", reason="python-qpid-proton is not installed: make amqp")
    server = Bus(answers=401)
    source = source_of(server)
    source.open()
    try:
        until(lambda: len(server.tokens) >= 2)
        assert source.take(0) == []
    finally:
        source.close()
        server.stop()
    assert not server.was_early
