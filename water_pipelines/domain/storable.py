"""JSON as PostgreSQL can hold it."""

from __future__ import annotations

import re

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def storable(json: bytes) -> bytes:
    r"""JSON whose strings hold no NUL: the sign for an unknown character stands in its place.

    >>> storable(rb'["a\u0000b", "no NUL: \\u0000"]')
    b'["a\\ufffdb", "no NUL: \\\\u0000"]'
    """
    return _NUL.sub(rb"\1\\ufffd", json) if rb"\u0000" in json else json
