"""Write points: each statement that writes to the platform's tables, each commit of such a transaction, each change in the store.

A process under test counts them by wrapping the driver and its own store; nothing in the platform knows. Keep out: what is killed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from water_pipelines.clients.object_store import LocalStore

Strike = Callable[[int, bool, str], None]
"""Called with the number of a point (from 1), whether the write is done, and what it is."""

_WRITES = re.compile(
    r"\b(insert\s+into|update|delete\s+from|copy)\s+\"?(raw|core|mart|history)\"?\.(?!\"?settle_window)|\bcore\.(next_change|mark_stale)\(",
    re.IGNORECASE,
)
_STORE = ("put", "move_into", "delete")


class _Points:
    def __init__(self, strike: Strike) -> None:
        self.number = 0
        self.dirty: set[int] = set()
        self._strike = strike

    @contextmanager
    def around(self, what: str) -> Iterator[None]:
        self.number += 1
        number = self.number
        self._strike(number, False, what)
        yield
        self._strike(number, True, what)


def watch(strike: Strike) -> None:
    """Count and announce every write of this process from now on; it is meant for a process that ends."""
    points = _Points(strike)
    execute, executemany, copy, commit = psycopg.Cursor.execute, psycopg.Cursor.executemany, psycopg.Cursor.copy, psycopg.Connection.commit

    def text_of(cursor: psycopg.Cursor[Any], query: Any) -> str:
        if isinstance(query, sql.Composable):
            return query.as_string(cursor)
        return query.decode() if isinstance(query, bytes) else str(query)

    def written(cursor: psycopg.Cursor[Any], query: Any) -> str | None:
        text = text_of(cursor, query)
        if not _WRITES.search(text):
            return None
        points.dirty.add(id(cursor.connection))
        return " ".join(text.split())[:100]

    def watched_execute(self: psycopg.Cursor[Any], query: Any, *args: Any, **kwargs: Any) -> Any:
        what = written(self, query)
        if what is None:
            return execute(self, query, *args, **kwargs)
        with points.around(what):
            return execute(self, query, *args, **kwargs)

    def watched_executemany(self: psycopg.Cursor[Any], query: Any, *args: Any, **kwargs: Any) -> Any:
        what = written(self, query)
        if what is None:
            return executemany(self, query, *args, **kwargs)
        with points.around(what):
            return executemany(self, query, *args, **kwargs)

    @contextmanager
    def watched_copy(self: psycopg.Cursor[Any], statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        what = written(self, statement)
        if what is None:
            with copy(self, statement, *args, **kwargs) as stream:
                yield stream
            return
        with points.around(what), copy(self, statement, *args, **kwargs) as stream:
            yield stream

    def watched_commit(self: psycopg.Connection[Any]) -> None:
        if id(self) not in points.dirty:
            commit(self)
            return
        points.dirty.discard(id(self))
        with points.around("commit"):
            commit(self)

    changed: Mapping[type, Mapping[str, Callable[..., Any]]] = {
        psycopg.Cursor: {"execute": watched_execute, "executemany": watched_executemany, "copy": watched_copy},
        psycopg.Connection: {"commit": watched_commit},
        LocalStore: {name: _watched_store(points, name) for name in _STORE},
    }
    for kind, methods in changed.items():
        for name, method in methods.items():
            setattr(kind, name, method)


def _watched_store(points: _Points, name: str) -> Callable[..., Any]:
    method = getattr(LocalStore, name)

    def watched(self: LocalStore, key: str, *args: Any, **kwargs: Any) -> Any:
        with points.around(f"store.{name} {key}"):
            return method(self, key, *args, **kwargs)

    return watched
