"""Ids as people write them: everything is addressed by its UUID or by its natural id."""

from __future__ import annotations

from uuid import UUID


def as_uuid(text: str | None) -> UUID | None:
    """The UUID that a text is, if it is one.

    >>> as_uuid("STATION_123") is None
    True
    """
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
