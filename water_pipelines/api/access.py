"""Who asks, and what they may read: the one place where access is decided.

Every route of data reaches the database through a `Responder`, and a `Responder` is only made with an `Access`. For now everyone may
read everything; whatever narrows that is decided in `access` and kept in `Access`, and no route changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request


@dataclass(frozen=True)
class Access:
    """A reader, by the name under which requests are logged."""

    reader: str


ANYONE = Access("anyone")


async def access(request: Request) -> Access:
    """Admit a request; raise an error of `errors.PROBLEMS` to refuse it."""
    request.state.reader = ANYONE.reader
    return ANYONE
