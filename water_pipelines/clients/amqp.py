"""AMQP 1.0: messages of some queues of any broker that speaks it, settled one by one.

The library needs a compiler, so it is an optional extra, imported when a source is opened. What only Azure Service Bus asks for is in
`service_bus.py`. Add here what holds for every AMQP broker.
"""

from __future__ import annotations

import logging
import queue
import ssl
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from water_pipelines.clients.messages import Broker, Delivery, SourceUnavailable, received

_PORTS = {"amqp": 5672, "amqps": 5671}
_HEARTBEAT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_CLOSES_WITHIN_S = 20.0
_PROTON = "python-qpid-proton"

log = logging.getLogger(__name__)


def broker_of(url: str) -> Broker:
    """The broker of `amqp://user:password@host:port`, or of amqps; `SourceUnavailable` where it is no such address."""
    return Broker.of(
        url,
        _PORTS,
        "WATER_AMQP_URL is no address of a broker; write amqp://user:password@host:5672, amqps:// for TLS, or a Service Bus connection string",
    )


class AmqpSource:
    """Messages of queues.

    Parameters
    ----------
    peer : the broker.
    addresses : names of its queues.
    unsettled : at most so many messages of a queue are on their way to us at once.
    """

    name = "bus"

    def __init__(self, peer: Broker, addresses: Sequence[str], *, unsettled: int = 2_000) -> None:
        self._peer = peer
        self.addresses = list(addresses)
        self._unsettled = unsettled
        self._received: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._injector: Any = None
        self._session = 0
        self._is_open = False

    def open(self) -> None:
        """Begin to connect, in a thread of its own.

        Raises
        ------
        SourceUnavailable
            The library is not installed.
        """
        try:
            import proton  # noqa: F401  # before the thread, whose errors nobody sees
        except ImportError as error:
            raise SourceUnavailable(
                f"WATER_AMQP_URL is set, but {_PROTON} is not installed; it needs a C compiler: run `pip install -r requirements-amqp.lock`,"
                " or `pip install 'water-pipelines[amqp]'`"
            ) from error
        self._thread = threading.Thread(target=self._run, name="amqp", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close the connection; the broker delivers again what was not settled."""
        self._closing.set()
        self._ask("close_asked")
        if self._thread is not None:
            self._thread.join(_CLOSES_WITHIN_S)

    def take(self, timeout_s: float) -> list[Delivery]:
        """What was received."""
        return received(self._received, timeout_s)

    def accept(self, deliveries: Sequence[Delivery]) -> None:
        """Settle as accepted. What came in an earlier connection cannot be settled any more, and comes again."""
        self._ask("settle_asked", [(each.token, None) for each in deliveries])

    def reject(self, deliveries: Sequence[tuple[Delivery, str]]) -> None:
        """Settle as rejected, with the reason: the broker puts them into its dead-letter queue."""
        self._ask("settle_asked", [(each.token, reason) for each, reason in deliveries])

    # What a broker with rules of its own does otherwise

    def begin(self, event: Any, receive: Callable[[], None]) -> None:
        """Do what must come first on a new connection, and then `receive`."""
        receive()

    def condition(self, reason: str) -> tuple[str, str, dict[str, str] | None]:
        """Name, description and details of a rejection."""
        return "water:refused", reason, None

    def handlers(self) -> dict[str, Callable[[Any], None]]:
        """What else is to be done, by the event's name."""
        return {}

    def end(self) -> None:
        """Let go of what belongs to a connection that ends."""

    # All below runs in the thread of the connection

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                self._connect_once()
            except Exception as error:  # noqa: BLE001  # whatever ends a connection, another is made
                log.warning("the connection to the AMQP broker failed: %s", error)
            if self._is_open:
                pause_s = _FIRST_PAUSE_S
            self._is_open = False
            with self._lock:
                self._session += 1
                self._injector = None
            if not self._closing.is_set():
                log.warning("the AMQP broker %s:%s is not connected; trying again", self._peer.host, self._peer.port)
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _connect_once(self) -> None:
        from proton.handlers import MessagingHandler
        from proton.reactor import Container, EventInjector

        handler = MessagingHandler(prefetch=0, auto_accept=False, auto_settle=False, peer_close_is_error=True)
        own = {
            "on_start": self._on_start,
            "on_connection_opened": self._on_connection_opened,
            "on_message": self._on_message,
            "on_settle_asked": self._on_settle_asked,
            "on_close_asked": self._on_close_asked,
            "on_transport_error": self._on_error,
            "on_connection_error": self._on_error,
            "on_link_error": self._on_error,
        }
        for name, act in {**own, **self.handlers()}.items():
            setattr(handler, name, act)
        container = Container(handler)
        injector = EventInjector()
        container.selectable(injector)
        with self._lock:
            self._injector = injector
        self._connection: Any = None
        container.run()

    def _ask(self, name: str, subject: Any = None) -> None:
        """Let the connection's thread do something; nobody is asked where there is no connection."""
        with self._lock:
            if self._injector is None:
                return
            from proton.reactor import ApplicationEvent

            self._injector.trigger(ApplicationEvent(name, subject=subject))

    def _on_start(self, event: Any) -> None:
        peer, options = self._peer, dict[str, Any]()
        if peer.is_tls:
            options["ssl_domain"] = _tls()
        if peer.user is not None:
            options |= {"user": peer.user, "password": peer.password, "allowed_mechs": "PLAIN", "allow_insecure_mechs": not peer.is_tls}
        else:
            options["allowed_mechs"] = "ANONYMOUS"
        address = f"{'amqps' if peer.is_tls else 'amqp'}://{peer.host}:{peer.port}"
        self._connection = event.container.connect(address, reconnect=False, heartbeat=_HEARTBEAT_S, **options)

    def _on_connection_opened(self, event: Any) -> None:
        self.begin(event, lambda: self._receive(event))

    def _receive(self, event: Any) -> None:
        self._is_open = True
        log.info("connected to the AMQP broker %s:%s", self._peer.host, self._peer.port)
        for address in self.addresses:
            event.container.create_receiver(event.connection, address, name=f"water-{address}").flow(self._unsettled)

    def _on_message(self, event: Any) -> None:
        message, delivery, receiver = event.message, event.delivery, event.receiver
        said = {"id": message.id, "content_type": message.content_type, "subject": message.subject, "group": message.group_id}
        properties = {name: str(value) for name, value in said.items() if value is not None} | _plain(message.properties or {})
        token = (self._session, delivery, receiver)
        self._received.put(Delivery(receiver.source.address or "", _bytes_of(message.body), datetime.now(UTC), token, properties))

    def _on_settle_asked(self, event: Any) -> None:
        from proton import Condition
        from proton import Delivery as Outcome

        for (session, delivery, receiver), reason in event.subject:
            if session != self._session:
                continue
            if reason is None:
                delivery.update(Outcome.ACCEPTED)
            else:
                delivery.local.condition = Condition(*self.condition(reason))
                delivery.update(Outcome.REJECTED)
            delivery.settle()
            receiver.flow(1)

    def _on_close_asked(self, event: Any) -> None:
        self.drop(self._connection)

    def _on_error(self, event: Any) -> None:
        for endpoint in (event.link, event.connection, event.transport):
            condition = getattr(endpoint, "remote_condition", None) or getattr(endpoint, "condition", None)
            if condition:
                log.warning("the AMQP broker says: %s %s", condition.name, condition.description or "")
                break
        self.drop(event.connection)

    def drop(self, connection: Any) -> None:
        """Close a connection, and let the container end, which runs for as long as it may be asked something."""
        if connection is not None:
            connection.close()
        self.end()
        with self._lock:
            injector, self._injector = self._injector, None
        if injector is not None:
            injector.close()


def _tls() -> Any:
    from proton import SSLDomain

    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    paths = ssl.get_default_verify_paths()
    domain.set_trusted_ca_db(paths.cafile or paths.capath or "")
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
    return domain


def _bytes_of(body: Any) -> bytes:
    """A body as it was sent: binary, text, or what AMQP's own types say, as JSON."""
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    if isinstance(body, str):
        return body.encode()
    return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS, default=_of_amqp)


def _of_amqp(value: Any) -> Any:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _plain(properties: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): value if isinstance(value, str | bool | int | float) else str(value) for name, value in properties.items()}
