"""What every source of messages gives: deliveries, which are settled when what they say is durable.

Add a source as a module of its own that has the shape of `Source`. Keep out: what messages mean, and what becomes of them.
"""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit


class SourceUnavailable(Exception):
    """A broker cannot be used as it is named; the message says why and what to do."""


@dataclass(frozen=True)
class Broker:
    """Where a broker is, and who we are to it."""

    host: str
    port: int
    is_tls: bool
    user: str | None = None
    password: str | None = None

    @staticmethod
    def of(url: str, ports: Mapping[str, int], otherwise: str) -> Broker:
        """The broker of `scheme://user:password@host:port`; a scheme that ends in s stands for TLS.

        Parameters
        ----------
        ports : the schemes that are known, with their usual ports.
        otherwise : what to say where it is no such address.

        Raises
        ------
        SourceUnavailable
            It is no such address.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ports or not parts.hostname:
            raise SourceUnavailable(otherwise)
        user, password = (unquote(each) if each is not None else None for each in (parts.username, parts.password))
        return Broker(parts.hostname, port or ports[parts.scheme], parts.scheme.endswith("s"), user, password)


@dataclass(frozen=True)
class Delivery:
    """A message that was received and is not settled.

    Parameters
    ----------
    address : topic or queue.
    token : by which its source knows it.
    """

    address: str
    body: bytes
    received_at: datetime
    token: Any = field(repr=False)
    properties: dict[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """A broker's queue or topics. Connects again by itself, however often; constructors open nothing."""

    name: str
    """Also the folder below which what it sends lands."""

    def open(self) -> None:
        """Begin to receive."""
        ...

    def close(self) -> None:
        """Let go; what is not settled will be delivered again."""
        ...

    def take(self, timeout_s: float) -> list[Delivery]:
        """What was received since the last call; waits for a first one, but not longer than the timeout."""
        ...

    def accept(self, deliveries: Sequence[Delivery]) -> None:
        """Settle messages: the broker may forget them."""
        ...

    def reject(self, deliveries: Sequence[tuple[Delivery, str]]) -> None:
        """Settle messages that can never be used, each with the reason."""
        ...


def received(waiting: queue.SimpleQueue[Delivery], timeout_s: float) -> list[Delivery]:
    """All that waits in a queue; waits for a first one, but not longer than the timeout."""
    taken: list[Delivery] = []
    try:
        taken.append(waiting.get(timeout=timeout_s) if timeout_s > 0 else waiting.get_nowait())
        while True:
            taken.append(waiting.get_nowait())
    except queue.Empty:
        return taken
