"""Operators' acts: withdrawing and reinstating files, deleting stations and series. Each lands as an object, so that a rebuild does it again.

An act is asked first: `ask` does it in a transaction that is rolled back, so what it tells is what would be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from water_pipelines.orchestration.operations.landing import land_bytes
from water_pipelines.orchestration.operations.loading import load_file, readers_of_observations, reparse, reread_argo
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import edges
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.facts import ActFact
from water_pipelines.storage import acts, argo, loads, series_changes, source_files
from water_pipelines.storage.acts import Doomed
from water_pipelines.storage.database import Connection
from water_pipelines.storage.loads import Loaded
from water_pipelines.storage.marts import MARTS
from water_pipelines.storage.source_files import SourceFile

ACTS = ("withdraw", "reinstate", "delete")


class CannotAct(Exception):
    """Nothing was done; the message says why, and what to do instead."""


@dataclass(frozen=True)
class Done:
    """What an act did, or would do.

    `counts` has the values that are withdrawn, or take another value, or come back from other files; of Argo the casts that are withdrawn, or
    come to another version, and the floats; or the rows deleted by table.
    """

    fact: ActFact
    files: list[SourceFile]
    counts: dict[str, int]
    stale: dict[str, int]


def withdrawal(platform: Platform, names: Sequence[str], *, reason: str, at: datetime) -> ActFact:
    """The act of taking files out, each named by SHA-256, job id or arrival number; `CannotAct` where one cannot be."""
    files = [file for name in names for file in named(platform, name)]
    for file in files:
        if file.kind != "data":
            raise CannotAct(f"{file.name} is not data but {file.kind}; drop a newer {file.name} to replace it")
    with platform.database.connection() as connection:
        of_argo = argo.arrivals_of_argo(connection, [file.arrival for file in files])
    if of_argo and (others := [file.name for file in files if file.arrival not in of_argo]):
        raise CannotAct(f"{', '.join(others)} holds observations, the other files casts of Argo; withdraw the two kinds apart")
    live = [file.arrival for file in files if file.withdrawn_at is None]
    if not live:
        raise CannotAct("; ".join(f"{file.name} (arrival {file.arrival}) is withdrawn already" for file in files))
    return ActFact("withdraw", {"arrivals": sorted(set(live))}, reason, at)


def reinstatement(platform: Platform, names: Sequence[str], *, reason: str, at: datetime) -> ActFact:
    """The act of taking back what was withdrawn; `CannotAct` where nothing was."""
    files = [file for name in names for file in named(platform, name)]
    out = [file.arrival for file in files if file.withdrawn_at is not None and file.superseded_by is None]
    if not out:
        raise CannotAct("; ".join(f"{file.name} (arrival {file.arrival}) was not withdrawn by an operator" for file in files))
    return ActFact("reinstate", {"arrivals": sorted(set(out))}, reason, at)


OF_FILES = {"withdraw": withdrawal, "reinstate": reinstatement}
"""The acts on files, by name."""


def deletion(
    platform: Platform, *, stations: Sequence[str] = (), series: Sequence[str] = (), prefix: str | None = None, reason: str, at: datetime
) -> ActFact:
    """The act of deleting for ever what stations, series or a folder of the inbox hold; `CannotAct` where that is nothing."""
    with platform.database.connection() as connection:
        meant = acts.doomed(connection, stations=stations, series=series, prefix=prefix)
    if not meant.stations and not meant.series:
        raise CannotAct("no station or series is meant; `water status` and /api/v1/water-data/stations tell which there are")
    return ActFact("delete", {"stations": meant.stations, "series": list(meant.series)}, reason, at)


def named(platform: Platform, name: str) -> list[SourceFile]:
    """The landings of one file; `CannotAct` where none or several files are meant."""
    found = source_files.named(platform.database, name)
    if not found:
        raise CannotAct(
            f"no file has the SHA-256 (or 8 digits of its beginning), the job id or the arrival number {name!r}; see /api/v1/datasets/jobs"
        )
    if len({file.sha256 for file in found}) > 1:
        raise CannotAct(f"{name!r} names several files: {', '.join(f'{file.name} ({file.sha256[:16]})' for file in found)}; give more digits")
    return found


def to_retry(platform: Platform, names: Sequence[str], statuses: Sequence[str]) -> list[SourceFile]:
    """Files that failed or were set aside: those that are named, and all of some statuses; `CannotAct` where one that is named did not."""
    files = [file for name in names for file in named(platform, name)]
    wrong = [file for file in files if file.status not in ("failed", "quarantined")]
    if wrong:
        raise CannotAct(
            "; ".join(f"{file.name} (arrival {file.arrival}) is {file.status}: only what failed or was set aside is retried" for file in wrong)
        )
    return files + source_files.of_status(platform.database, statuses)


def ask(platform: Platform, fact: ActFact) -> Done:
    """What an act would do; nothing is changed."""
    with platform.database.connection() as connection:
        change, counts = _carry_out(platform, connection, fact, None)
        done = _done(platform, connection, fact, change, counts)
        connection.rollback()
    return done


def do(platform: Platform, fact: ActFact) -> Done:
    """Land an act and carry it out; what it makes stale is settled by whoever settles next."""
    file = land_bytes(platform, fact.to_bytes(), kind="act", name=f"{fact.act}-{fact.at:%Y-%m-%dT%H%M%SZ}.json", prefix="acts")
    loaded = load_file(platform, file.arrival)
    if loaded is None or loaded.change is None:
        known = source_files.get(platform.database, file.arrival)
        raise CannotAct(f"the act landed (arrival {file.arrival}), but was not carried out: {known.error or known.status}")
    with platform.database.connection() as connection:
        return _done(platform, connection, fact, loaded.change, acts.counts(connection, file.arrival))


def load_act(platform: Platform, file: SourceFile) -> Loaded:
    """Carry out an act that landed."""
    fact = ActFact.from_bytes(platform.store.read(file.key))
    if fact.act not in ACTS:
        raise UnreadableFile(f"{fact.act!r} is no act; it is one of {', '.join(ACTS)}")
    with platform.database.connection() as connection:
        change, counts = _carry_out(platform, connection, fact, file.arrival)
        acts.note(connection, file.arrival, fact.act, fact.subject, fact.reason, counts, change)
        source_files.succeed(connection, file.arrival, rows=1, rejected=0)
    if fact.act == "reinstate":
        for arrival in fact.subject["arrivals"]:
            load_file(platform, arrival)
    return Loaded(change, rows=1)


def _carry_out(platform: Platform, connection: Connection, fact: ActFact, arrival: int | None) -> tuple[int, dict[str, int]]:
    of_series = edges(connection, "core/series")
    if fact.act == "delete":
        # rows of the marts go, too: what judges them by the day, over all series, no longer follows from them
        read = ("core/observation", *(table.name.replace(".", "/") for table in MARTS))
        meant = acts.doomed(connection, stations=fact.subject["stations"], series=fact.subject["series"])
        return acts.delete(
            platform.database,
            connection,
            arrival,
            Doomed(list(fact.subject["stations"]), {name: meant.series.get(name, -1) for name in fact.subject["series"]}),
            edges=lambda within: [edge for asset in read for edge in edges(within, asset)],
            series_edges=of_series,
        )
    arrivals = list(fact.subject["arrivals"])
    source_files.hold(connection, arrivals)
    if fact.act == "reinstate":
        change = platform.database.take_number(connection, "reinstate")
        source_files.reinstate(connection, arrivals)
        return change, {"files": len(arrivals)}
    if argo.arrivals_of_argo(connection, arrivals):
        left = argo.withdraw(platform.database, connection, arrivals, edges(connection, "core/argo_level"), partial(reread_argo, platform))
        return left.change, {"files": len(arrivals), "casts withdrawn": left.gone, "casts replaced": left.replaced, "floats": left.floats}
    out = loads.withdraw(
        platform.database, connection, arrivals, edges=readers_of_observations, series_edges=of_series, reparse=partial(reparse, platform)
    )
    assert out.change is not None
    fed = series_changes.counts(connection, out.change)
    return out.change, {
        "files": len(arrivals),
        "values withdrawn": fed.get("withdrawn", 0),
        "values replaced": fed.get("changed", 0),
        "values back": fed.get("added", 0),
    }


def _done(platform: Platform, connection: Connection, fact: ActFact, change: int, counts: dict[str, int]) -> Done:
    files = [source_files.get(platform.database, arrival) for arrival in fact.subject.get("arrivals", ())]
    return Done(fact, files, counts, acts.made_stale(connection, change))
