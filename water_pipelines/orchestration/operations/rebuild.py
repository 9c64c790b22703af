"""Rebuilding the database from the landing zone alone: every file that landed is announced again, loaded in the order of arrival, and settled.

Nothing is made anew: models, forecasts, decisions, ticks, rules, mappings and operators' acts landed as files too. All are announced in one
step, so that a rebuild that was cut off goes on where it stood. Keep out: starting a database, and telling Dagster.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import orjson

from water_pipelines.clients.object_store import CHUNK, ObjectStore, StoreError
from water_pipelines.orchestration.operations.hands import at_once
from water_pipelines.orchestration.operations.loading import load_file
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import settle
from water_pipelines.storage import source_files, stale
from water_pipelines.storage.database import Database
from water_pipelines.storage.source_files import Announced, SourceFile

_SEALED = ".json"

Said = Callable[[str], None]


class CannotRebuild(Exception):
    """Nothing was done; the message says why, and what to do instead."""


@dataclass(frozen=True)
class Plan:
    """What a rebuild would do.

    Attributes
    ----------
    files : by kind, what landed.
    bytes : of all of them.
    announced : those of them that the database does not know yet, in the order of arrival.
    sealed : arrival numbers that the database knows, but not that their landing was completed.
    waiting : how many files the database knows and has not loaded.
    left_over : objects of landings that were cut off before their facts were written; they are no files.
    """

    files: dict[str, int]
    bytes: int
    announced: list[Announced]
    sealed: list[int]
    waiting: int
    left_over: int


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: files of the ledger by status, and computed units by asset."""

    files: dict[str, int]
    units: dict[str, int]


def plan(store: ObjectStore, database: Database | None) -> Plan:
    """Hold the landing zone against the ledger; nothing is changed.

    Parameters
    ----------
    database : none where there is no database yet.

    Raises
    ------
    CannotRebuild
        The database holds files that are not in the landing zone, or the landing zone contradicts itself.
    """
    sizes: dict[str, int] = {found.key: found.bytes for found in store.list("landed/")}
    keys = [key.removesuffix(_SEALED) for key in sizes if key.endswith(_SEALED)]
    texts: dict[str, str] = {}
    facts = sorted(at_once(lambda key: _facts(store, key, texts), keys), key=lambda each: each.number)
    for before, after in pairwise(facts):
        if before.number == after.number:
            raise CannotRebuild(
                f"{_key(before)} and {_key(after)} have one arrival number; one of them was landed by a database that did not know the other:"
                " put it into the inbox again and remove it from the landing zone"
            )
    known, waiting = {}, 0
    if database is not None:
        with database.connection() as connection:
            known = source_files.keys_by_arrival(connection)
        waiting = len(source_files.to_load(database))
    landed = {each.number: each for each in facts}
    for arrival, (key, is_landed) in known.items():
        if _key(landed[arrival]) != key if arrival in landed else is_landed:
            raise CannotRebuild(
                f"the database knows {key}, which the landing zone does not hold: it is the database of another landing zone;"
                " name an empty one (WATER_HOME or WATER_DATABASE_URL)"
            )
    return Plan(
        files=dict(Counter(each.kind for each in facts)),
        bytes=sum(each.bytes for each in facts),
        announced=[each for each in facts if each.number not in known],
        sealed=[arrival for arrival, (_, is_landed) in known.items() if not is_landed and arrival in landed],
        waiting=waiting,
        left_over=len(sizes) - len(keys) - sum(key in sizes for key in keys),
    )


def rebuild(platform: Platform, said: Said = lambda _: None) -> Rebuilt:
    """Announce and load what landed, in the order of arrival, and settle; what an earlier rebuild did is not done again.

    Raises
    ------
    CannotRebuild
        See `plan`.
    """
    wanted = plan(platform.store, platform.database)
    with source_files.lander(platform.database) as lander:
        lander.announce(wanted.announced)
        lander.landed([*(each.number for each in wanted.announced), *wanted.sealed])
    files = source_files.to_load(platform.database)
    for done, file in enumerate(files, start=1):
        damage = _damage(platform, file)
        if damage:
            source_files.refuse(platform.database, file.arrival, status="failed", error=damage)
        else:
            load_file(platform, file.arrival)
        said(f"{done:,} of {len(files):,} files loaded, up to {file.prefix}/{file.name} of {file.arrived_at:%Y-%m-%d}")
    with platform.database.connection() as connection:
        left = sum(stale.counts(connection).values())
    said(f"{left:,} units to compute")
    units = settle(platform, None, lambda asset, count: said(f"{asset}: {count:,} units computed"))
    with platform.database.connection() as connection:
        return Rebuilt(source_files.statuses(connection), units)


def _facts(store: ObjectStore, key: str, texts: dict[str, str]) -> Announced:
    """What lies beside the bytes; equal texts of mappings are kept once."""
    try:
        said = orjson.loads(store.read(key + _SEALED))
        mapping = texts.setdefault(said["mapping"], said["mapping"])
        arrived_at = datetime.fromisoformat(said["arrived_at"])
        facts = Announced(
            int(said["arrival"]),
            said["sha256"],
            said["bytes"],
            said["name"],
            said["prefix"],
            said["kind"],
            said["mapping_version"],
            mapping,
            arrived_at,
        )
    except (StoreError, ValueError, KeyError) as error:
        raise CannotRebuild(f"{key}{_SEALED} cannot be read ({type(error).__name__}: {error}); put back what landed there") from error
    if _key(facts) != key:
        raise CannotRebuild(f"{key}{_SEALED} speaks of {_key(facts)}; put back what landed there")
    return facts


def _key(facts: Announced) -> str:
    return source_files.landed_key(facts.arrived_at, facts.number, facts.sha256)


def _damage(platform: Platform, file: SourceFile) -> str | None:
    """What is wrong with the bytes of a file; none where they are those that landed."""
    digest = hashlib.sha256()
    try:
        with platform.store.open(file.key) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except StoreError as error:
        return f"its bytes cannot be read: {error}"
    if digest.hexdigest() == file.sha256:
        return None
    return (
        f"the object {file.key} has the SHA-256 {digest.hexdigest()}: it is damaged. Put back the bytes that landed there,"
        f" then `water retry {file.arrival}`"
    )
