"""What every source of messages gives: deliveries, which are settled when what they say is durable.

Add a source as a module of its own that has the shape of `Source`. Keep out: what messages mean, and what becomes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


class SourceUnavailable(Exception):
    """A broker cannot be used as it is named; the message says why and what to do."""


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
