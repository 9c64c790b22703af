"""The changes feed: a copy that knows nothing but the feed and the values' route holds what the platform serves."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.api.app import create_app
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.acts import CannotAct
from water_pipelines.orchestration.operations.inbox import empty_inbox, start_clock
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import settle
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines_tests.api.conftest import Serve

AT = datetime(2026, 4, 1, tzinfo=UTC)
START = datetime(2026, 3, 2, tzinfo=UTC)
STATIONS = ("A", "B", "C")
OPERATIONS = int(os.environ.get("WATER_TEST_MIRROR_OPERATIONS", "60"))
"""So many in every run of the tests; 1,000 were run by hand."""


class Mirror:
    """A copy of values and flags in a file of its own; what is told and how far it was told are written together, or not at all."""

    def __init__(self, path: Path, client: httpx.Client) -> None:
        self._client = client
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("create table if not exists value (series text, time text, value real, flag int, primary key (series, time))")
        self._file.execute("create table if not exists place (cursor int)")

    def close(self) -> None:
        self._file.close()

    def follow(self, limit: int = 7) -> bool:
        """Take one page of the feed; says whether nothing more had happened."""
        (cursor,) = self._file.execute("select coalesce(max(cursor), 0) from place").fetchone()
        page = self._client.get("/api/v1/changes", params={"since": cursor, "limit": limit}).raise_for_status().json()
        changes = [each["change"] for each in page["items"]]
        assert changes == sorted(changes)
        assert all(cursor < change <= page["cursor"] for change in changes)
        self._file.execute("begin")
        for entry in page["items"]:
            self._read(entry["series"]["natural_id"], entry["start_at"], entry["end_at"], page["cursor"])
        self._file.execute("delete from place")
        self._file.execute("insert into place values (?)", (page["cursor"],))
        self._file.execute("commit")
        return bool(page["complete"])

    def _read(self, series: str, start: str, end: str, as_of: int) -> None:
        asked: dict[str, str | int] = {"series_id": series, "start": start, "end": end, "as_of": as_of}
        answer = self._client.get("/api/v1/time-series/data", params=asked)
        self._file.execute("delete from value where series = ? and time >= ? and time < ?", (series, start, end))
        if answer.status_code == 404:
            return
        found = answer.raise_for_status().json()
        rows = zip([series] * len(found["time"]), found["time"], found["value"], found["flag"], strict=True)
        self._file.executemany("insert into value values (?, ?, ?, ?)", rows)

    def held(self) -> set[tuple[str, str, float, int]]:
        """What the copy holds."""
        return set(self._file.execute("select series, time, value, flag from value").fetchall())


def served(client: httpx.Client) -> set[tuple[str, str, float, int]]:
    """What the platform serves, all of it."""
    found = set()
    for series in client.get("/api/v1/time-series/metadata").json()["items"]:
        values = client.get("/api/v1/time-series/data", params={"series_id": series["natural_id"]}).json()
        found |= set(zip([series["natural_id"]] * len(values["time"]), values["time"], values["value"], values["flag"], strict=True))
    return found


def operate(platform: Platform, rng: random.Random, number: int) -> None:
    """One random thing that can happen: a file (new, late or corrected), a withdrawal, a reinstatement, a deletion, a settle."""
    kind = rng.choices(("file", "withdraw", "reinstate", "delete", "settle"), (60, 8, 6, 2, 24))[0]
    if kind == "settle":
        settle(platform, lambda units: None)
        return
    if kind == "file":
        station, first, length = rng.choice(STATIONS), rng.randrange(0, 60 * 24), rng.randrange(1, 30)
        rows = [(START + timedelta(hours=first + n), rng.choice((1.0, 2.0, 500.0, rng.random()))) for n in range(length)]
        lines = "".join(f"{time.isoformat()},{station},water_level,m,{value}\n" for time, value in rows)
        platform.store.put(f"inbox/{number}.csv", f"time,station,property,unit,value\n{lines}".encode())
        empty_inbox(platform)
        return
    try:
        if kind == "delete":
            fact = acts.deletion(platform, stations=[rng.choice(STATIONS)], reason="", at=AT + timedelta(seconds=number))
        else:
            with platform.database.connection() as connection:
                arrivals = [str(row[0]) for row in connection.execute("select arrival from raw.source_file where kind = 'data' order by arrival")]
            fact = acts.OF_FILES[kind](platform, [rng.choice(arrivals or ["1"])], reason="", at=AT + timedelta(seconds=number))
        acts.do(platform, fact)
    except CannotAct:
        pass  # nothing to act on, or another thread was first


def follow_for_ever(path: Path, address: str) -> None:
    """The process that is killed."""
    with httpx.Client(base_url=address) as client, closing(Mirror(path, client)) as mirror:
        while True:
            mirror.follow()


@pytest.fixture
def platform(database_url: str, store: LocalStore, tmp_path: Path) -> Iterator[Platform]:
    """A platform that holds nothing yet."""
    database = Database(database_url, code_version="test", run="test")
    yield Platform(Settings(_env_file=None, home=tmp_path / "home"), database, store)
    database.close()


def test_a_copy_kept_from_the_feed_alone_equals_what_is_served(platform: Platform, database_url: str, serve: Serve, tmp_path: Path) -> None:
    """Files, corrections, withdrawals, deletions and settles by two writers at once; the copy follows beside them and is killed in the middle."""
    start_clock(platform, AT)
    app = create_app(Settings(_env_file=None), platform.database, dagster_url=lambda: database_url)
    path, failures = tmp_path / "mirror.db", list[BaseException]()

    def write(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for number in range(OPERATIONS // 2):
                operate(platform, rng, number * 10 + seed)
        except Exception as error:  # noqa: BLE001  # asserted below
            failures.append(error)

    with serve(app) as client:
        follower = multiprocessing.get_context("spawn").Process(target=follow_for_ever, args=(path, str(client.base_url)))
        writers = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
        follower.start()
        for writer in writers:
            writer.start()
        while not path.exists() and follower.is_alive():
            time.sleep(0.05)
        writers[0].join()
        assert follower.pid is not None
        os.kill(follower.pid, signal.SIGKILL)
        follower.join()
        writers[1].join()
        assert failures == []
        empty_inbox(platform)
        settle(platform, lambda units: None)
        with closing(Mirror(path, client)) as mirror:
            while not mirror.follow():
                pass
            held = mirror.held()
        assert held == served(client)
        assert len(held) > 100


def test_a_page_never_parts_a_change_and_pages_join_without_gap(platform: Platform, database_url: str, serve: Serve) -> None:
    """Pages of one entry and one page of everything tell the same, and a change of two entries comes in one page."""
    start_clock(platform, AT)
    for name, day in (("one", "02"), ("two", "05")):
        rows = "".join(f"2026-03-{day}T0{n}:00Z,{station},level,m,{n}\n" for station in ("A", "B") for n in range(5))
        platform.store.put(f"inbox/{name}.csv", f"time,station,property,unit,value\n{rows}".encode())
        empty_inbox(platform)
    with serve(create_app(Settings(_env_file=None), platform.database, dagster_url=lambda: database_url)) as client:
        whole = client.get("/api/v1/changes").json()
        parts, cursor, sizes = [], 0, []
        while True:
            page = client.get("/api/v1/changes", params={"since": cursor, "limit": 1}).json()
            parts += page["items"]
            sizes.append(len(page["items"]))
            cursor = page["cursor"]
            if page["complete"]:
                break
        assert json.dumps(parts) == json.dumps(whole["items"])
        assert sizes[:2] == [2, 2]
        assert [entry["series"]["natural_id"] for entry in whole["items"][:2]] == ["A/level", "B/level"]
        assert client.get("/api/v1/changes", params={"since": cursor}).json() == {"items": [], "cursor": cursor, "complete": True}
        ahead = client.get("/api/v1/changes", params={"since": cursor + 1})
        assert ahead.status_code == 400
    assert ahead.json()["detail"].startswith(f"there is no change {cursor + 1} yet")
