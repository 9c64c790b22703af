"""Cursors: where a page ends, and the change at which its list is read, as text that clients hand back unread."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import orjson

Key = str | int


class BadCursor(ValueError):
    """A cursor that this API did not make, or that belongs to another state or list."""


@dataclass(frozen=True)
class Cursor:
    """The key after which the next page begins; `change` pins the list to one state, so that its pages fit together.

    >>> Cursor.read(str(Cursor("STATION_9", 42)))
    Cursor(key='STATION_9', change=42)
    """

    key: Key
    change: int | None

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(orjson.dumps([self.key, self.change])).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor that a text stands for; `BadCursor` where it stands for none."""
        try:
            key, change = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, binascii.Error) as error:
            raise BadCursor(_ADVICE) from error
        if isinstance(key, bool) or not isinstance(key, str | int) or isinstance(change, bool) or not isinstance(change, int | None):
            raise BadCursor(_ADVICE)
        return cls(key, change)


_ADVICE = "the cursor is none that this list gave; take `next` of its last answer as it is, or leave it out to begin"
