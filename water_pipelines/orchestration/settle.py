"""Settling: computing exactly what is stale, in the order of the graph, by the same functions that the assets call.

An asset is declared by `settled`, in a file of `assets/`; nothing of a particular asset belongs here. What is computed and stored is
the truth, and Dagster is told afterwards: a kill in between loses nothing, since the next settle tells it too.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from typing import Any

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.reach import SAME_DAY, Reach
from water_pipelines.orchestration.operations.landing import is_waiting
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import computed, loads, staging, stale
from water_pipelines.storage.computed import Unlogged
from water_pipelines.storage.database import Connection
from water_pipelines.storage.staging import Applied, Edge, Staged, Units

log = logging.getLogger(__name__)

Days = NDArray[np.datetime64]
Numbers = NDArray[np.int64]
Compute = Callable[..., Staged]
Prepare = Callable[..., tuple[Mapping[str, Any], bool]]
ReachOf = Callable[[Connection], Reach]
UnitsOf = Callable[[Days, Days], Sequence[str]]

_OBSERVATIONS_AT_ONCE = 4_000_000
_LOGGED_AT_ONCE = 2_000
_PASSES = 20


@dataclass(frozen=True)
class Dependency:
    """How an asset reads another: its reach (or how to find it), and, where a unit is not simply a day within reach, how its units follow.

    `only` keeps, of those units, the ones that can have rows at all.
    """

    reach: Reach | ReachOf
    units: UnitsOf | None = None
    only: Callable[[Connection, Sequence[str]], Sequence[str]] | None = None

    def edge(self, asset: str, connection: Connection) -> Edge:
        """The edge to the asset that reads, with the reach as it is now."""
        reach = self.reach if isinstance(self.reach, Reach) else self.reach(connection)
        return Edge(asset, reach, self.units, self.only)


def _nothing(first: Days, last: Days) -> Sequence[str]:
    return []


IN_ORDER = Dependency(SAME_DAY, units=_nothing)
"""Reads what has to be settled first, but whose later changes change nothing: a fact that was made from it stands. What is stale waits until then."""


@dataclass(frozen=True)
class Numbered:
    """Units that are no days but numbers, such as those of floats: which there are, and how much each weighs in a computation.

    Dagster knows such an asset as one without partitions.
    """

    every: Callable[[Connection], Sequence[int]]
    weights: Callable[[Connection, Numbers], NDArray[np.int64]]
    at_once: int
    """The weight that one computation holds in memory."""


@dataclass(frozen=True)
class Settled:
    """A derived asset: its key (which is its table), what it reads, and the function `compute(snapshot, units)` that computes its units.

    Its units are days, unless they are `numbered`.

    `prepare` makes, before the days are computed, what must have landed as a fact by then, such as the models of past cut-offs. It
    gives what `compute` takes beside the snapshot, such as a reader of landed objects, as keyword arguments, and whether anything landed:
    then it is asked again, until nothing is left to be made.
    """

    key: str
    reads: Mapping[str, Dependency]
    compute: Compute
    prepare: Prepare | None = None
    follows_clock: Dependency | None = None
    numbered: Numbered | None = None

    def units(self, names: Sequence[str]) -> Units:
        """Units by their names in the ledgers, sorted."""
        if self.numbered:
            return np.sort(np.array(names, dtype=np.int64))
        return np.array(names, dtype="datetime64[D]")

    @property
    def first(self) -> list[str]:
        """The derived assets that have to be settled before this one is computed."""
        return [asset for asset, how in self.reads.items() if how is IN_ORDER and asset in SETTLED]

    def every(self, connection: Connection, days: Days) -> Units:
        """All units there are: some days, or of a numbered asset its own numbers."""
        return days if self.numbered is None else self.units([str(number) for number in self.numbered.every(connection)])


SETTLED: dict[str, Settled] = {}


def settled(
    *,
    key: Sequence[str],
    reads: Mapping[str, Dependency | Reach | ReachOf],
    partitions_def: dg.PartitionsDefinition[Any] | None = None,
    numbered: Numbered | None = None,
    prepare: Prepare | None = None,
    follows_clock: bool | Dependency | Reach = False,
    metadata_of: Callable[..., Mapping[str, Any]] | None = None,
    **described: Any,
) -> Callable[[Compute], dg.AssetsDefinition]:
    """Declare a derived asset: one function, called by Dagster for the days that are asked for and by a settle for those that are stale.

    Of a `numbered` asset Dagster asks for all units at once.

    Parameters
    ----------
    reads : asset key `schema/name` -> how far around a time that asset is read.
    prepare : see `Settled`.
    follows_clock : whether, and how, a day's rows depend on the last tick: each tick is a change of the time from the tick before it
        to its own, and makes stale what reads that time; true is the days themselves.
    metadata_of : what a materialisation from the UI shows beside its row counts, such as a plot.
    described : what `dg.asset` takes: description, group_name, kinds, owners, metadata.
    """

    def declare(compute: Compute) -> dg.AssetsDefinition:
        name = "/".join(key)
        dependencies = {asset: how if isinstance(how, Dependency) else Dependency(how) for asset, how in reads.items()}
        clock = (
            Dependency(SAME_DAY)
            if follows_clock is True
            else Dependency(follows_clock)
            if isinstance(follows_clock, Reach)
            else follows_clock or None
        )
        SETTLED[name] = Settled(name, dependencies, compute, prepare, clock, numbered)
        described.setdefault("description", compute.__doc__)

        asset = dg.asset(
            key=list(key),
            deps=[asset.split("/") for asset in reads],
            partitions_def=partitions_def,
            backfill_policy=dg.BackfillPolicy.single_run() if partitions_def else None,
            **described,
        )

        def materialise(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[Any]:
            with platform.during(context.run.run_id) as working:
                days = np.array(sorted(context.partition_keys) if partitions_def else [], dtype="datetime64[D]")
                with working.database.connection() as connection:
                    units, written = SETTLED[name].every(connection, days), 0
                for part in chunks(working, units, numbered):
                    applied = compute_units(working, name, part)
                    written += sum(applied.written.values())
                    context.log.info("%s: %s units computed, %s rows written", name, len(part), sum(applied.written.values()))
                with working.database.snapshot() as snapshot:
                    shown = metadata_of(snapshot, units) if metadata_of else {}
            return dg.MaterializeResult(metadata={"rows_written": written, "units" if numbered else "days": len(units), **shown})

        declared: dg.AssetsDefinition = asset(materialise)
        return declared

    return declare


def edges(connection: Connection, asset: str) -> list[Edge]:
    """What reads an asset, and how far."""
    return [each.reads[asset].edge(each.key, connection) for each in SETTLED.values() if asset in each.reads]


def clocked(connection: Connection) -> list[Edge]:
    """What depends on the last tick, and how far from it."""
    return [each.follows_clock.edge(each.key, connection) for each in SETTLED.values() if each.follows_clock]


def in_order() -> list[Settled]:
    """The derived assets, each after those that it reads; what has to be prepared, which may take long, as late as that allows."""
    order = TopologicalSorter({key: [asset for asset in each.reads if asset in SETTLED] for key, each in SETTLED.items()})
    order.prepare()
    ready: list[Settled] = []
    found: list[Settled] = []
    while order.is_active():
        ready = sorted([*ready, *(SETTLED[key] for key in order.get_ready())], key=lambda each: each.prepare is not None)
        found.append(ready.pop(0))
        order.done(found[-1].key)
    return found


def chunks(platform: Platform, units: Units, numbered: Numbered | None = None) -> Iterator[Units]:
    """Units in parts that hold a bounded number of rows to be read."""
    with platform.database.connection() as connection:
        rows = numbered.weights(connection, units.astype(np.int64)) if numbered else loads.rows_by_day(connection, units.astype("datetime64[D]"))
    part = np.cumsum(rows) // (numbered.at_once if numbered else _OBSERVATIONS_AT_ONCE)
    for number in np.unique(part):
        yield units[part == number]


def compute_units(platform: Platform, asset: str, units: Units) -> Applied:
    """Compute units of an asset and write the difference.

    What was marked after the last look at what the units go by stays marked.
    """
    each = SETTLED[asset]
    prepared, known = _prepared(platform, each, units, each.prepare) if each.prepare else ({}, None)
    with platform.database.connection() as connection:
        readers = edges(connection, asset)
    return staging.settle(platform.database, asset, units, partial(each.compute, **prepared), readers, known)


def _prepared(platform: Platform, each: Settled, units: Units, prepare: Prepare) -> tuple[Mapping[str, Any], int]:
    """What is prepared when nothing is left to be made, and the number of a state before the last look."""
    known = 0
    while True:
        known = _settled_before(platform, each) or known
        prepared, is_made = prepare(platform, units)
        if not is_made:
            return prepared, known


def _settled_before(platform: Platform, each: Settled) -> int:
    """The number of the present state, if nothing is stale in it that has to be settled before an asset; else 0."""
    with platform.database.snapshot() as snapshot:
        return 0 if stale.are_any(snapshot.connection, each.first) else snapshot.number


def _are_stale(platform: Platform, assets: Sequence[str]) -> bool:
    with platform.database.connection() as connection:
        return stale.are_any(connection, assets)


def settle(
    platform: Platform, tell: Callable[[Sequence[Unlogged]], None] | None, at: Callable[[str, int], None] = lambda asset, units: None
) -> dict[str, int]:
    """Compute what is stale until nothing is, and tell Dagster; gives the number of units computed by asset.

    Parameters
    ----------
    tell : reports computed units to Dagster. It is called for what an earlier, interrupted settle could not report, too. None where there
        is no Dagster: the next settle that has one reports them.
    at : told of each part that is done: the asset, and how many of its units were computed.
    """
    done: dict[str, int] = {}

    def compute(each: Settled) -> bool:
        with platform.database.connection() as connection:
            units = stale.units(connection, each.key)
        for part in chunks(platform, each.units(units), each.numbered) if units else ():
            applied = compute_units(platform, each.key, part)
            done[each.key] = done.get(each.key, 0) + len(applied.units)
            log.info("%s: %s units computed, %s rows written", each.key, len(applied.units), sum(applied.written.values()))
            at(each.key, len(applied.units))
        return bool(units)

    def has_to_wait(each: Settled) -> bool:
        if not _are_stale(platform, [each.key]):
            return False
        for asset in each.first:  # what arrived since its turn
            compute(SETTLED[asset])
        return _are_stale(platform, each.first)

    for left in reversed(range(_PASSES)):
        is_settled = True
        for each in in_order():
            # under a stream that never pauses it is computed in the last pass, and stays stale
            if (left and each.first and has_to_wait(each)) or compute(each):
                is_settled = False
        if is_settled:
            break
    if tell:
        report(platform, tell)
    return done


def report(platform: Platform, tell: Callable[[Sequence[Unlogged]], None]) -> None:
    """Tell Dagster of the units that it does not know of yet, in batches.

    A first load of decades leaves so many of them that telling takes minutes. What arrives meanwhile goes first: then the rest is left to the
    next settle, which the sensors start.
    """
    while True:
        with platform.database.connection() as connection:
            units = computed.not_logged(connection, _LOGGED_AT_ONCE)
        if not units:
            return
        tell(units)
        with platform.database.connection() as connection:
            computed.logged(connection, units)
        if is_waiting(platform):
            return
