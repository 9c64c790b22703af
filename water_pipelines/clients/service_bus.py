"""Azure Service Bus: what it asks for beyond AMQP 1.0. All that is particular to it stands here.

A connection is anonymous to AMQP; the right to each queue is proved by a token that is put to the node `$cbs`, and again before it expires.
Messages are locked while they are with us. A lock that runs out before the batch has landed costs a second delivery, and nothing else, so locks
are not renewed; queues with sessions are not read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlsplit

from water_pipelines.clients.amqp import AmqpSource
from water_pipelines.clients.messages import Broker, SourceUnavailable

_LIFETIME_S = 3600
_RENEW_AFTER_S = 2700
_NODE = "$cbs"
_ANSWERS_TO = "water-cbs"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConnectionString:
    """What the portal shows: `Endpoint=sb://NAME.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=...[;EntityPath=queue]`."""

    host: str
    key_name: str
    key: str = field(repr=False)
    entity: str | None = None

    @staticmethod
    def is_one(text: str) -> bool:
        """Whether a text is meant as a connection string."""
        return text.strip().lower().startswith("endpoint=")

    @staticmethod
    def of(text: str) -> ConnectionString:
        """Read a connection string.

        Raises
        ------
        SourceUnavailable
            A part is missing; the key is not shown.
        """
        parts = {name.strip().lower(): value.strip() for name, sign, value in (part.partition("=") for part in text.split(";")) if sign}
        host = urlsplit(parts.get("endpoint", "")).hostname
        missing = [name for name in ("SharedAccessKeyName", "SharedAccessKey") if not parts.get(name.lower())]
        if not host or missing:
            raise SourceUnavailable(f"the connection string in WATER_AMQP_URL lacks {' and '.join(missing) or 'Endpoint=sb://...'}; copy it whole")
        return ConnectionString(host, parts["sharedaccesskeyname"], parts["sharedaccesskey"], parts.get("entitypath") or None)


def shared_access_token(connection: ConnectionString, entity: str, expires_at: int) -> tuple[str, str]:
    """The audience of a queue, and the token that gives the right to it until a time (seconds since 1970).

    >>> shared_access_token(ConnectionString("n.example", "reader", "c2VjcmV0"), "q", 1772323200)[1].partition("&sig")[0]
    'SharedAccessSignature sr=sb%3A%2F%2Fn.example%2Fq'
    """
    audience = f"sb://{connection.host}/{entity}"
    signed = f"{quote_plus(audience)}\n{expires_at}"
    signature = base64.b64encode(hmac.new(connection.key.encode(), signed.encode(), hashlib.sha256).digest()).decode()
    token = f"SharedAccessSignature sr={quote_plus(audience)}&sig={quote_plus(signature)}&se={expires_at}&skn={quote_plus(connection.key_name)}"
    return audience, token


class ServiceBusSource(AmqpSource):
    """Queues of a Service Bus.

    Parameters
    ----------
    connection : whose key signs the tokens.
    addresses : names of queues, unless the connection string names one.
    peer : where it answers, when not at its own host with TLS.
    """

    def __init__(
        self, connection: ConnectionString, addresses: Sequence[str], *, peer: Broker | None = None, renew_after_s: float = _RENEW_AFTER_S
    ) -> None:
        super().__init__(peer or Broker(connection.host, 5671, is_tls=True), [connection.entity] if connection.entity else addresses)
        self._of_bus = connection
        self._renew_after_s = renew_after_s
        self._sender: Any = None
        self._renewal: Any = None
        self._receive_when_let: Callable[[], None] | None = None
        self._awaited: set[str] = set()

    def begin(self, event: Any, receive: Callable[[], None]) -> None:
        """Put a token for each queue; the queues are read when all are accepted."""
        self._receive_when_let, self._awaited = receive, set(self.addresses)
        event.container.create_receiver(event.connection, _NODE, target=_ANSWERS_TO, name="water-cbs-answers").flow(len(self.addresses))
        self._sender = event.container.create_sender(event.connection, _NODE, name="water-cbs")

    def condition(self, reason: str) -> tuple[str, str, dict[str, str] | None]:
        """As Service Bus wants it: the reason is then shown beside the message in the dead-letter queue."""
        return "com.microsoft:dead-letter", reason, {"DeadLetterReason": "refused", "DeadLetterErrorDescription": reason}

    def handlers(self) -> dict[str, Callable[[Any], None]]:
        """The answers of `$cbs`."""
        return {"on_sendable": self._on_sendable, "on_message": self._on_any_message}

    def end(self) -> None:
        """No tokens are put any more."""
        if self._renewal is not None:
            self._renewal.cancel()
        self._sender = self._renewal = None

    def _on_sendable(self, event: Any) -> None:
        if event.sender == self._sender and self._renewal is None:
            self._put_tokens(event.container)

    def _put_tokens(self, container: Any) -> None:
        from proton import Message

        expires_at = int(time.time() + _LIFETIME_S)
        for address in self.addresses:
            audience, token = shared_access_token(self._of_bus, address, expires_at)
            said = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience}
            self._sender.send(Message(body=token, properties=said, reply_to=_ANSWERS_TO, id=address))
        self._renewal = container.schedule(self._renew_after_s, _Renewal(lambda: self._put_tokens(container)))

    def _on_any_message(self, event: Any) -> None:
        if event.receiver.source.address != _NODE:
            self._on_message(event)
            return
        from proton import Delivery as Outcome

        event.delivery.update(Outcome.ACCEPTED)
        event.delivery.settle()
        event.receiver.flow(1)
        said = event.message.properties or {}
        code = said.get("status-code")
        if code not in (200, 202):
            log.error("Service Bus refuses the token for %s: %s %s", event.message.correlation_id, code, said.get("status-description", ""))
            self.drop(event.connection)
            return
        self._awaited.discard(str(event.message.correlation_id))
        if not self._awaited and self._receive_when_let is not None:
            receive, self._receive_when_let = self._receive_when_let, None
            receive()


class _Renewal:
    """What a timer of the connection calls."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew

    def on_timer_task(self, event: Any) -> None:
        """It is time."""
        self._renew()
