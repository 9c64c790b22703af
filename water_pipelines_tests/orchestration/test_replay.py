"""Replay and rebuild: what is read again from the landed bytes comes to what the present parsers say, and nothing else is touched."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.acts import CannotAct
from water_pipelines.orchestration.operations.inbox import empty_inbox, start_clock
from water_pipelines.orchestration.operations.landing import LedgerBehind, land_inbox
from water_pipelines.orchestration.operations.rebuild import CannotRebuild, plan, rebuild
from water_pipelines.orchestration.operations.replay import Part, replay
from water_pipelines.orchestration.operations.ticks import tick
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import settle
from water_pipelines.parsers import recognise
from water_pipelines_tests.exactness import state
from water_pipelines_tests.exactness.parser import Withdrawals
from water_pipelines_tests.orchestration.histories import rows
from water_pipelines_tests.orchestration.test_acts import AT, VALUES, arrival_of, drop, level, settled
from water_pipelines_tests.orchestration.test_jobs import run

_KILLED = """
import os, signal, sys
from pathlib import Path
import water_pipelines.definitions
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database

url, store, home, word = sys.argv[1:]

def said(text):
    if word in text:
        os.kill(os.getpid(), signal.SIGKILL)

rebuild(Platform(Settings(_env_file=None, home=Path(home)), Database(url, code_version="test", run="child"), LocalStore(Path(store))), said)
"""


@pytest.fixture
def three(platform: Platform) -> Platform:
    """A level of two days, a correction in a folder of its own, another station, and a file that is refused."""
    start_clock(platform, AT)
    drop(platform, "level.csv", level(2))
    drop(platform, "late/corrected.csv", {40: 7.0, 41: 7.5, 200: 3.0})
    drop(platform, "other.csv", level(1, 5.0), station="OTHER")
    platform.store.put("inbox/broken.bin", bytes(range(256)))
    empty_inbox(platform)
    settle(platform, lambda units: None)
    return platform


class Half(Withdrawals):
    """A parser of a later release that takes the corrections for withdrawals: it reads other rows from the same bytes."""

    def recognises(self, head: object) -> bool:
        return b"7.5" in head.start  # type: ignore[attr-defined]

    def parse(self, stream, mapping, file):  # type: ignore[no-untyped-def]
        lines = [line.split(",") for line in stream.read().decode().splitlines()[1:]]
        text = "#withdrawals\n" + "".join(f"{line[0]},{line[1]},{line[2]}\n" for line in lines[:1])
        import io

        yield from super().parse(io.BytesIO(text.encode()), mapping, file)


@pytest.fixture
def upgraded() -> Iterator[None]:
    """A release whose parsers read one of the files otherwise."""
    before = recognise.PARSERS
    recognise.PARSERS = (Half(), *before)
    yield
    recognise.PARSERS = before


def test_replaying_what_the_parsers_read_as_before_writes_nothing(three: Platform) -> None:
    """By file, folder, day of arrival and event day: no change is made."""
    before = rows(three, "select max(n) from core.change")
    today = date.fromisoformat(str(rows(three, "select max(arrived_on)::text from raw.source_file")[0][0]))
    for part, number in (
        (Part(files=[arrival_of(three, "level.csv")]), 1),
        (Part(prefix="late"), 1),
        (Part(arrived=(today, today)), 3),
        (Part(days=(date(2026, 3, 2), date(2026, 3, 3))), 0),
    ):
        done = replay(three, part, apply=True)
        assert (done.files, done.added + done.changed + done.gone, done.differing, done.refused) == (number, 0, [], [])
    assert rows(three, "select max(n) from core.change") == before


def test_an_upgraded_parser_reaches_everything_derived_from_the_file(three: Platform, rebuilt: Platform, upgraded: None) -> None:
    """A correction is read as a withdrawal: told first, then done, settled, and equal to a rebuild by the same parsers."""
    before = rows(three, VALUES)
    asked = replay(three, Part(prefix="late"), apply=False)
    assert rows(three, VALUES) == before
    assert (asked.added, asked.changed, asked.gone) == (0, 1, 2)
    done = replay(three, Part(prefix="late"), apply=True)
    assert (done.added, done.changed, done.gone) == (0, 1, 2)
    assert [file.name for file in done.differing] == ["corrected.csv"]
    settled(three)
    again = replace(rebuilt, store=three.store)
    rebuild(again)
    assert state.differences(three, again) == {}
    assert replay(three, Part(prefix="late"), apply=True).differing == []


def test_what_was_lost_comes_back_by_event_days(three: Platform) -> None:
    """Rows of a day are deleted behind the platform's back: the day is derived again from all its files."""
    before = rows(three, VALUES)
    with three.database.connection() as connection:
        connection.execute("select set_config('water.change', '99', true)")
        connection.execute("delete from core.observation where time < '2026-03-02T12:00Z'")
    done = replay(three, Part(days=(date(2026, 3, 2), date(2026, 3, 2))), apply=True)
    assert (done.days, done.added) == (1, 96)
    assert [row[:3] for row in rows(three, VALUES)] == [row[:3] for row in before]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Part(), "name what is to be replayed"),
        (Part(files=["99"]), "no file has"),
        (Part(files=["1"]), "is not data but tick"),
        (Part(prefix="nowhere"), "no file that is loaded is meant"),
        (Part(days=(date(2020, 1, 1), date(2020, 1, 2))), "no file gave values"),
        (Part(prefix="late", days=(date(2026, 3, 2), date(2026, 3, 2))), "event days go alone"),
    ],
)
def test_what_cannot_be_replayed_is_named(three: Platform, part: Part, said: str) -> None:
    """Nothing is done, and the message says why."""
    with pytest.raises(CannotAct, match=said):
        replay(three, part, apply=True)


def test_replays_and_retries_are_launched_in_the_ui(three: Platform) -> None:
    """A replay tells, then writes; a file that was set aside is tried again, and its attempts count."""
    with dg.DagsterInstance.ephemeral() as instance:
        with three.database.connection() as connection:
            connection.execute("select set_config('water.change', '99', true)")
            connection.execute("delete from core.observation where time < '2026-03-02T12:00Z'")
        config = {"days": "2026-03-02..2026-03-03"}
        run(three, "replay_job", instance, {"ops": {"replay_and_settle": {"config": config}}})
        assert rows(three, "select count(*) from core.observation where time < '2026-03-02T12:00Z'") == [(0,)]
        run(three, "replay_job", instance, {"ops": {"replay_and_settle": {"config": {**config, "apply": True}}}})
        assert rows(three, "select count(*) from core.observation where time < '2026-03-02T12:00Z'") == [(96,)]
        run(three, "retry_job", instance, {"ops": {"retry_and_settle": {"config": {"quarantined": True}}}})
    assert rows(three, "select status, attempts from raw.source_file where name = 'broken.bin'") == [("quarantined", 1)]


@pytest.mark.parametrize("word", ["3 of 7 files loaded", "mart/metric_30min"])
def test_a_rebuild_that_is_killed_goes_on_where_it_stood(three: Platform, rebuilt: Platform, tmp_path: Path, word: str) -> None:
    """Killed while it loads, and while it computes: the next one ends in equal tables, and lands nothing."""
    acts.do(three, acts.withdrawal(three, [arrival_of(three, "corrected.csv")], reason="", at=AT))
    acts.do(three, acts.deletion(three, stations=["OTHER"], reason="", at=AT))
    settle(three, lambda units: None)
    assert isinstance(three.store, LocalStore)
    landed = list(three.store.list("landed/"))
    arguments = [rebuilt.database.url, str(three.store.root), str(tmp_path / "child"), word]
    assert subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False).returncode == -signal.SIGKILL
    again = replace(rebuilt, store=three.store)
    left = plan(again.store, again.database)
    assert left.announced == []
    done = rebuild(again)
    assert done.files == {"quarantined": 1, "succeeded": 6}
    assert state.differences(three, again) == {}
    assert list(three.store.list("landed/")) == landed


def test_nothing_lands_before_a_landing_zone_that_the_database_does_not_know_is_announced(three: Platform, rebuilt: Platform) -> None:
    """An empty database, and one that was put back from before the last file: the landed objects stay, and a rebuild brings both up to them."""
    again = replace(rebuilt, store=three.store)
    landed = list(three.store.list("landed/"))
    three.store.put("inbox/new.csv", b"time,station,property,unit,value\n2026-03-02T00:00:00Z,NEW,flow,m3/h,1\n")
    with pytest.raises(LedgerBehind, match="water rebuild"):
        list(land_inbox(again))
    with pytest.raises(LedgerBehind, match="water rebuild"):
        tick(again, AT)
    assert list(three.store.list("landed/")) == landed
    rebuild(again)
    with again.database.connection() as connection:
        connection.execute("delete from raw.source_file where name = 'broken.bin'")
    with pytest.raises(LedgerBehind, match="water rebuild"):
        list(land_inbox(again))
    assert list(three.store.list("landed/")) == landed
    rebuild(again)
    assert empty_inbox(again) == 1


def test_a_database_of_another_landing_zone_is_refused_and_damage_is_told(three: Platform, rebuilt: Platform, tmp_path: Path) -> None:
    """Files that the landing zone does not hold, facts that contradict their place; damaged bytes fail alone, with the reason."""
    elsewhere = LocalStore(tmp_path / "elsewhere")
    with pytest.raises(CannotRebuild, match="the database of another landing zone"):
        plan(elsewhere, three.database)
    key = str(rows(three, "select key from raw.source_file where name = 'other.csv'")[0][0])
    three.store.put(key, b"time,station,property,unit,value\n")
    again = replace(rebuilt, store=three.store)
    assert rebuild(again).files == {"failed": 1, "quarantined": 1, "succeeded": 3}
    ((error,),) = rows(again, "select error from raw.source_file where status = 'failed'")
    assert "it is damaged" in str(error)
    facts = three.store.read(f"{key}.json")
    three.store.put(f"{key}.json", facts.replace(b'"arrival":4', b'"arrival":44'))
    with pytest.raises(CannotRebuild, match="put back what landed there"):
        plan(three.store, None)
