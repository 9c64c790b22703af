"""Work on many objects of a store at once: disks and servers do several in the time of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_HANDS = 8
_BATCH = 1_000

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(do: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """What `do` gives for each item, in their order; whoever stops asking, or is interrupted, waits only for what is under way.

    >>> list(at_once(abs, [-1, 2]))
    [1, 2]
    """
    hands = ThreadPoolExecutor(_HANDS)
    try:
        for begin in range(0, len(items), _BATCH):
            yield from hands.map(do, items[begin : begin + _BATCH])
    finally:
        hands.shutdown(cancel_futures=True)
