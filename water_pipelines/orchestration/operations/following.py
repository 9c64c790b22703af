"""Following all configured servers side by side for a while: each is pulled when it is due, and none waits for another."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from water_pipelines.orchestration.operations.pulling import Pulled, pull, servers_of
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import sensorthings
from water_pipelines.storage.database import Database

_AT_ONCE = 8
_CONNECTIONS = 48
_LOOK_EVERY_S = 0.5
_SETTLE_EVERY_S = 15.0
STAY_WITHIN_S = 30.0
"""A run stays when the next poll is due so soon: starting another costs seconds."""


@dataclass
class Followed:
    """What was pulled, by server, and which servers did not answer."""

    servers: dict[str, Pulled] = field(default_factory=dict)

    def add(self, name: str, pulled: Pulled) -> None:
        """Add what one poll did."""
        known = self.servers.setdefault(name, Pulled())
        known.pages += pulled.pages
        known.rows += pulled.rows
        known.changes += pulled.changes
        known.requests += pulled.requests
        known.error = pulled.error


def follow(platform: Platform, *, for_s: float, settle: Callable[[], None] = lambda: None) -> Followed:
    """Pull every server that is due, again and again for so long as the next poll is near.

    Parameters
    ----------
    for_s : after this long nothing more is begun; 0 pulls each server that is due once.
    settle : called when something changed, and now and then for what others left.
    """
    found, until = Followed(), time.monotonic() + for_s
    database = Database(platform.database.url, code_version=platform.database.code_version, run=platform.database.run, max_connections=_CONNECTIONS)
    own = replace(platform, database=database)
    try:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pull") as hands:
            working: dict[Future[Pulled | None], str] = {}
            is_first, settle_at = True, time.monotonic() + _SETTLE_EVERY_S
            while True:
                if time.monotonic() >= settle_at:
                    settle()
                    settle_at = time.monotonic() + _SETTLE_EVERY_S
                is_open, is_first = is_first or time.monotonic() < until, False
                with database.connection() as connection:
                    due = sensorthings.due(connection) if is_open else []
                    next_s = sensorthings.next_due_s(connection)
                servers = servers_of(own) if due else {}
                for name in due:
                    if name not in working.values() and name in servers:
                        working[hands.submit(pull, own, servers[name])] = name
                if not working:
                    if settle_at == 0.0:
                        continue
                    if not is_open or next_s is None or next_s > STAY_WITHIN_S:
                        return found
                    time.sleep(min(max(next_s, _LOOK_EVERY_S), max(until - time.monotonic(), 0.0)))
                    continue
                done, _ = wait(working, timeout=_LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                if _collect(done, working, found):
                    settle_at = 0.0
    finally:
        database.close()


def _collect(done: set[Future[Pulled | None]], working: dict[Future[Pulled | None], str], found: Followed) -> bool:
    """Take what has ended; whether anything changed."""
    has_changed = False
    for each in done:
        name, pulled = working.pop(each), each.result()
        if pulled is not None:
            found.add(name, pulled)
            has_changed = has_changed or pulled.changes > 0
    return has_changed
