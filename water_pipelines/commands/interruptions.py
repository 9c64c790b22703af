"""Ctrl-C and SIGTERM as a wish to stop, not as an exception anywhere: what is being ended is ended to its end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Somebody asked us to stop."""


class Interruptions:
    """Counts the wishes to stop. They raise only in a block that can be left at once, and where `check` is called."""

    def __init__(self) -> None:
        self.count = 0
        self._raises = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear SIGINT and SIGTERM in this block, and only there; main thread only."""
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """A block that a wish to stop leaves at once, by `Interrupted`."""
        self.check()
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def check(self) -> None:
        """Raise `Interrupted` when somebody asked."""
        if self.count:
            raise Interrupted("stopped on request")

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self._raises:
            self._raises = False
            raise Interrupted("stopped on request")
