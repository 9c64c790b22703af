"""One sequence: its acts through the real functions, four loaders and two settlers at once, and what must hold at each quiet point."""

from __future__ import annotations

import logging
import queue
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

import numpy as np

from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.landing import land_bytes, land_inbox
from water_pipelines.orchestration.operations.loading import load_files
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.operations.ticks import tick
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import compute_units, in_order, settle
from water_pipelines.storage import computed, source_files, stale
from water_pipelines.storage.computed import Unlogged
from water_pipelines_tests.exactness import reach, state
from water_pipelines_tests.exactness.acts import File, Round, TakenOut, Tick
from water_pipelines_tests.exactness.parser import registered
from water_pipelines_tests.worlds import World, Worlds

LOADERS, SETTLERS = 4, 2
_TOGETHER = 3
_DAY = np.timedelta64(1, "D")

_RECORD = """
create table public.computed_log (asset text not null, unit text not null, read bigint not null);
create function public.note_computed() returns trigger language plpgsql as $$
begin
    insert into public.computed_log values (new.asset, new.unit, new.read);
    return null;
end $$;
create trigger computed after insert or update of computed_at on core.computed for each row execute function public.note_computed();
"""
"""Every computation is noted by the database itself, whoever makes it."""


@dataclass
class Outcome:
    """What was found wrong in a sequence (nothing, if all is well), and how much was done."""

    problems: list[str] = field(default_factory=list)
    files: int = 0
    units: int = 0


def prove(worlds: Worlds, rounds: Sequence[Round], seed: int) -> Outcome:
    """Carry out a sequence in a world of its own and check what must hold."""
    outcome = Outcome()
    world, again = worlds.new(), worlds.new()
    try:
        with _unlogged(), registered(), world.opened("proof") as platform:
            with platform.database.connection() as connection:
                connection.execute(_RECORD)
            for number, each in enumerate(rounds):
                _round(world, platform, each, random.Random(seed * 1000 + number), outcome)
                if outcome.problems:
                    outcome.problems.insert(0, f"in round {number + 1}:")
                    return outcome
            _rebuilt(world, again, platform, outcome)
            _computed_again(platform, outcome)
    finally:
        worlds.drop(world)
        worlds.drop(again)
    return outcome


@contextmanager
def _unlogged() -> Iterator[None]:
    """Nothing is logged: refused files are expected, and what fails is found in the ledger."""
    logger = logging.getLogger("water_pipelines")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _round(world: World, platform: Platform, this: Round, rng: random.Random, outcome: Outcome) -> None:
    before = _number(platform)
    waiting = _land(platform, this, rng)
    outcome.files += len(waiting)
    told = _at_once(world, waiting, rng, outcome)
    _quiet(platform, told, outcome)
    if outcome.problems:
        return
    with platform.database.connection() as connection:
        log: dict[str, set[str]] = {}
        for asset, unit in connection.execute("delete from public.computed_log returning asset, unit").fetchall():
            log.setdefault(asset, set()).add(unit)
        until = _number(platform)
        outcome.units += sum(map(len, log.values()))
        outcome.problems += [f"change {n} is missing" for n in reach.missing_numbers(connection)]
        least, most = (
            reach.Affected(connection, before, until, gap=timedelta(hours=gap), flat=timedelta(hours=flat), has_spike=True)
            for gap, flat in zip(this.gaps_h, this.flats_h, strict=True)
        )
        for asset in reach.ASSETS:
            outcome.problems += _compare(asset, log.get(asset, set()), least.units(asset), most.units(asset))
        outcome.problems += _compare("core/anomaly", log.get("core/anomaly", set()), *least.anomalies())
        known = {(asset, unit) for asset, units in log.items() for unit in units}
        shown = {(unit.asset, unit.unit) for unit in told}
        if known != shown:
            outcome.problems.append(f"computed and never told {sorted(known - shown)[:5]}; told and never computed {sorted(shown - known)[:5]}")


def _compare(asset: str, did: set[str], must: set[str], may: set[str]) -> list[str]:
    found = []
    if must - did:
        found.append(f"{asset}: affected and not computed: {sorted(must - did)[:8]}")
    if did - may:
        found.append(f"{asset}: computed and not affected: {sorted(did - may)[:8]}")
    return found


def _land(platform: Platform, this: Round, rng: random.Random) -> list[int]:
    """Land everything of a round; gives the arrivals in an order in which they were not landed."""
    taken_out = [arrival for act in this.acts if isinstance(act, TakenOut) for arrival in _taken_out(platform, act.key)]
    for act in this.acts:
        if isinstance(act, File):
            if act.mapping:
                platform.store.put(f"{act.key}.mapping.yaml", act.mapping.encode())
            platform.store.put(act.key, act.data)
    landed = []
    for batch in land_inbox(platform):
        # a mapping is in force before the files of its folder are landed
        load_files(platform, (file for file in batch if file.kind == "mapping"))
        landed += [file.arrival for file in batch if file.kind != "mapping"]
    landed += [tick(platform, act.at).arrival for act in this.acts if isinstance(act, Tick)] + taken_out
    rng.shuffle(landed)
    return landed


def _taken_out(platform: Platform, key: str) -> list[int]:
    """Land the withdrawal of a file; gives its arrival, and none where the file gave way to a newer mapping and cannot be withdrawn."""
    file = source_files.latest_named(platform.database, "", key.removeprefix("inbox/"))
    assert file is not None
    if file.withdrawn_at is not None:
        return []
    fact = acts.withdrawal(platform, [str(file.arrival)], reason="", at=datetime(2026, 4, 1, tzinfo=UTC))
    return [land_bytes(platform, fact.to_bytes(), kind="act", name="withdraw.json", prefix="acts").arrival]


def _at_once(world: World, arrivals: Sequence[int], rng: random.Random, outcome: Outcome) -> list[Unlogged]:
    """Load and settle at once, each worker with connections of its own; gives what Dagster would have been told."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for arrival in arrivals:
        waiting.put(arrival)
    told: list[Unlogged] = []
    is_loaded = threading.Event()
    loaders = [threading.Thread(target=_worker, args=(world, lambda platform: _load(platform, waiting), outcome)) for _ in range(LOADERS)]
    settlers = [threading.Thread(target=_worker, args=(world, lambda platform: _settle(platform, is_loaded, told), outcome)) for _ in range(SETTLERS)]
    everyone = [*loaders, *settlers]
    rng.shuffle(everyone)
    for thread in everyone:
        thread.start()
    for thread in loaders:
        thread.join()
    is_loaded.set()
    for thread in settlers:
        thread.join()
    return told


def _worker(world: World, work: Callable[[Platform], None], outcome: Outcome) -> None:
    try:
        with world.opened(threading.current_thread().name) as platform:
            work(platform)
    except Exception as error:  # noqa: BLE001  # any failure of a worker is a finding
        outcome.problems.append(f"{type(error).__name__}: {error}")


def _load(platform: Platform, waiting: queue.SimpleQueue[int]) -> None:
    """Load some files at a time, so that those which only add are written together."""
    while some := list(islice(iter(partial(_next, waiting), None), _TOGETHER)):
        load_files(platform, [source_files.get(platform.database, arrival) for arrival in some])


def _next(waiting: queue.SimpleQueue[int]) -> int | None:
    try:
        return waiting.get_nowait()
    except queue.Empty:
        return None


def _settle(platform: Platform, is_loaded: threading.Event, told: list[Unlogged]) -> None:
    while not is_loaded.is_set():
        settle(platform, told.extend)


def _quiet(platform: Platform, told: list[Unlogged], outcome: Outcome) -> None:
    load_files(platform, source_files.to_load(platform.database))
    settle(platform, told.extend)
    with platform.database.connection() as connection:
        if left := stale.counts(connection):
            outcome.problems.append(f"still stale: {left}")
        if computed.not_logged(connection, 1):
            outcome.problems.append("not everything was told")
        outcome.problems += [
            f"arrival {arrival} ({name}) is {status}: {error}"
            for arrival, name, status, error in connection.execute(
                "select arrival, name, status, error from raw.source_file where status not in ('succeeded', 'quarantined')"
                " or status = 'quarantined' and name not like 'broken%' and error not like 'the same bytes were loaded under a newer mapping%'"
                # a folder's mapping may call two stations of a file the same
                " and error not like '%have different values at one time, and the column ''station''%'"
            )
        ]


def _rebuilt(world: World, again: World, platform: Platform, outcome: Outcome) -> None:
    """Load everything that landed into an empty database, in the order of arrival, and settle: the same must come out."""
    shutil.copytree(world.folder / "store", again.folder / "store", dirs_exist_ok=True)
    with again.opened("rebuild") as rebuilt:
        rebuild(rebuilt)
        outcome.problems += [f"rebuilt, {table} differs: {what}" for table, what in state.differences(platform, rebuilt).items()]


def _computed_again(platform: Platform, outcome: Outcome) -> None:
    """Compute every day again where it stands, with a margin of empty ones: nothing may have to be written.

    Facts are not made again: what would be issued or decided of days that nothing had touched is new.
    """
    with platform.database.connection() as connection:
        days = np.array([row[0] for row in connection.execute("select distinct day from raw.load_day order by 1")], dtype="datetime64[D]")
    around = np.unique(np.concatenate([days + n * _DAY for n in range(-2, 3)]))
    for each in in_order():
        if each.key in ("core/forecast", "core/champion"):
            continue
        with platform.database.connection() as connection:
            units = each.every(connection, around)
        written = {table: rows for table, rows in compute_units(platform, each.key, units).written.items() if rows}
        if written:
            outcome.problems.append(f"computed again, {each.key} writes {written}")


def _number(platform: Platform) -> int:
    with platform.database.snapshot() as snapshot:
        return snapshot.number
