"""Landing: emptying the inbox into the immutable area, each object under its arrival number and hash, with the facts beside it.

A file's number is fixed in the ledger before the facts are written, and its inbox object goes last: whatever is cut off in
between is taken up again, under the same number, when the object is seen the next time.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import orjson

from water_pipelines.clients.object_store import Copied, ObjectChanged, ObjectExists, ObjectInfo, ObjectMissing, StoreUnavailable
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.inbox import INBOX, NO_MAPPING, SIDECAR, Place, mapping_version
from water_pipelines.storage import source_files
from water_pipelines.storage.source_files import Announced, SourceFile

log = logging.getLogger(__name__)

_SECOND_LOOK_S = 1.0
_BATCH = 500
_HANDS = 8
"""Objects that the store works on at once: disks and servers make several of them durable in the time of one."""


class LedgerBehind(Exception):
    """The landing zone holds files that the database does not know, so that no number is free: nothing may land before they are announced."""


def waiting(platform: Platform) -> Iterator[ObjectInfo]:
    """Objects in the inbox that are files of their own; a sidecar waits for its file."""
    return (found for found in platform.store.list(INBOX) if not found.key.endswith(SIDECAR))


def is_waiting(platform: Platform) -> bool:
    """Whether there is something to land, or to load that was never begun."""
    return next(waiting(platform), None) is not None or source_files.are_waiting(platform.database)


def land_inbox(platform: Platform, at_most: int = 10_000) -> Iterator[list[SourceFile]]:
    """Land what is complete in the inbox; gives the ledger rows of what is new, in two batches.

    Mappings and rules come first, so that the caller can load them before the files that they are for are landed. Files of a kind
    arrive in the order in which they were last written. An object is complete when it was put whole, or when its size and time are
    the same at a second look. What goes wrong with one object leaves that one in the inbox.
    """
    listed = {found.key: found for _, found in zip(range(at_most), platform.store.list(INBOX), strict=False)}
    seen = {key: found for key, found in listed.items() if not key.endswith(SIDECAR)}
    if any(not found.whole for found in seen.values()):
        time.sleep(_SECOND_LOOK_S)
    places = [Place.of(info.key) for info in sorted(seen.values(), key=lambda info: (info.modified_at, info.key))]
    for is_data in (False, True):
        wanted = [place for place in places if (place.kind == "data") is is_data]
        batch = [file for begin in range(0, len(wanted), _BATCH) for file in _land(platform, wanted[begin : begin + _BATCH], seen, begin == 0)]
        if batch:
            yield batch
    for key in listed.keys() - seen.keys():
        _remove_if_left_over(platform, listed[key])
    _forget_cut_off(platform)


def land_bytes(platform: Platform, data: bytes, *, kind: str, name: str, prefix: str = "") -> SourceFile:
    """Land what the platform itself makes: a tick, a model, an operator's act. The same bytes again give the same file."""
    arrived_at = datetime.now(UTC)
    with source_files.landing(platform.database) as arrival:
        _require_known(platform)
        file = source_files.announce(
            platform.database,
            arrival=arrival,
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            name=name,
            prefix=prefix,
            kind=kind,
            mapping_version=NO_MAPPING,
            mapping="",
            arrived_at=arrived_at,
        )
        if file.landed_at is None:
            platform.store.put(file.key, data)
            _seal(platform, file)
            source_files.landed(platform.database, file.arrival)
    return file


def land_received(platform: Platform, data: bytes, *, name: str, prefix: str, arrived_at: datetime) -> SourceFile:
    """Land what a listener received, under the mapping in force for its folder; it may be settled with its sender when this returns.

    Bytes lie in the landed area before the ledger knows of them. Where this is cut off before that, whatever lands next sweeps them away;
    where it is cut off afterwards, the next look into the inbox forgets it. Nothing was settled by then, and the sender delivers it again.
    """
    version, text = source_files.mapping_of(platform.database, prefix) or (NO_MAPPING, "")
    sha256 = hashlib.sha256(data).hexdigest()
    with source_files.lander(platform.database) as lander:
        for left in list(platform.store.list(source_files.landed_key(arrived_at, lander.first, ""))):
            platform.store.delete(left.key)
        platform.store.put(source_files.landed_key(arrived_at, lander.first, sha256), data)
        (file,) = lander.announce([Announced(lander.first, sha256, len(data), name, prefix, "data", version, text, arrived_at)])
        if file.landed_at is None:
            _seal(platform, file)
            lander.landed([file.arrival])
    return file


@dataclass(frozen=True)
class _Copied:
    """An inbox object whose bytes lie in the landed area, and what its landing needs to know."""

    place: Place
    copied: Copied
    sidecar: ObjectInfo | None
    facts: Announced


def _land(platform: Platform, places: Sequence[Place], seen: dict[str, ObjectInfo], sweeps: bool) -> list[SourceFile]:
    """Land inbox objects under consecutive numbers, the store's work on several at once; gives what is new, in order.

    Each step is done for all of them before the next begins: bytes, ledger, facts, ledger again, and last the inbox.
    """
    arrived_at = datetime.now(UTC)
    mappings = _Mappings(platform)
    with source_files.lander(platform.database) as lander, ThreadPoolExecutor(_HANDS) as hands:
        if sweeps:
            _require_known(platform)
            _sweep(platform, arrived_at, lander.first)
        numbered = enumerate(places, start=lander.first)
        waiting = [hands.submit(_copy_if_whole, platform, place, number, arrived_at, seen[place.key], mappings) for number, place in numbered]
        here = [done for each in waiting if (done := each.result()) is not None]
        known = lander.announce([each.facts for each in here])
        first_of = {file.arrival: position for position, file in reversed(list(enumerate(known)))}
        is_new = [file.landed_at is None and first_of[file.arrival] == position for position, file in enumerate(known)]
        sealing = [hands.submit(_seal_copy, platform, each, file, new) for each, file, new in zip(here, known, is_new, strict=True)]
        sealed = [each.result() for each in sealing]
        lander.landed([file.arrival for file, new, done in zip(known, is_new, sealed, strict=True) if new and done])
        durable = {file.arrival for file, done in zip(known, sealed, strict=True) if done}
        for emptied in [hands.submit(_remove, platform, each) for each, file in zip(here, known, strict=True) if file.arrival in durable]:
            emptied.result()
    for each, file, new in zip(here, known, is_new, strict=True):
        if not new and file.withdrawn_at is not None and file.superseded_by is None:
            log.warning("%s was withdrawn and stays so; `water reinstate %s` takes it back", each.place.key, file.arrival)
        elif not new:
            log.info("%s is the file of job %s again and changes nothing", each.place.key, file.job_id)
    return [file for file, new, done in zip(known, is_new, sealed, strict=True) if new and done]


@contextmanager
def _left_for_now(key: str) -> Iterator[None]:
    """Leave one object in the inbox where it changes, is gone, or the store does not answer for it; the next landing sees it again."""
    try:
        yield
    except (ObjectChanged, ObjectMissing) as error:
        log.info("%s is left in the inbox for now: %s", key, error)
    except StoreUnavailable as error:
        if not error.retryable:
            raise
        log.warning("%s is left in the inbox for now: %s", key, error)


def _copy_if_whole(platform: Platform, place: Place, number: int, arrived_at: datetime, seen: ObjectInfo, mappings: _Mappings) -> _Copied | None:
    found = None
    with _left_for_now(place.key):
        if seen.whole or platform.store.info(place.key).etag == seen.etag:
            sidecar = _sidecar(platform, place)
            version, text = mappings.of(place, sidecar)
            copied = _copy(platform, place.key, source_files.landed_key(arrived_at, number, "{sha256}"))
            facts = Announced(number, copied.sha256, copied.bytes, place.name, place.prefix, place.kind, version, text, arrived_at)
            found = _Copied(place, copied, sidecar, facts)
        else:
            log.info("%s is still being written and is left in the inbox for now", place.key)
    return found


def _seal_copy(platform: Platform, each: _Copied, file: SourceFile, is_new: bool) -> bool:
    """Put the facts beside the bytes of what is new, and take away the copy that another number makes needless; whether all is in place."""
    is_done = False
    with _left_for_now(each.place.key):
        if is_new:
            if not platform.store.exists(file.key):
                platform.store.move_into(each.copied.key, file.key)
            _seal(platform, file, each.sidecar)
        if each.copied.key != file.key:
            platform.store.delete(each.copied.key)
        is_done = True
    return is_done  # noqa: RET504  # an error that is swallowed leaves it false


def _remove(platform: Platform, each: _Copied) -> None:
    with _left_for_now(each.place.key):
        platform.store.delete(each.place.key, unless_changed=each.copied.source)
        if each.sidecar:
            platform.store.delete(each.sidecar.key, unless_changed=each.sidecar)


def _remove_if_left_over(platform: Platform, sidecar: ObjectInfo) -> None:
    """Take away the mapping of a file that landed with it, where a crash came between the two; any other sidecar waits for its file."""
    place = Place.of(sidecar.key.removesuffix(SIDECAR))
    with _left_for_now(sidecar.key):
        if platform.store.exists(place.key):
            return
        file = source_files.latest_named(platform.database, place.prefix, place.name)
        if file and orjson.loads(platform.store.read(f"{file.key}.json")).get("sidecar") == _identity(sidecar):
            platform.store.delete(sidecar.key, unless_changed=sidecar)


def _forget_cut_off(platform: Platform) -> None:
    """Forget landings that were cut off and that nothing in the inbox will take up: whoever asked for a tick, a model or an act asks again."""
    with source_files.landing(platform.database):
        for file in source_files.cut_off(platform.database):
            if platform.store.exists(INBOX + "/".join(part for part in (file.prefix, file.name) if part)):
                continue
            for key in (f"{file.key}.json", file.key):
                platform.store.delete(key)
            source_files.forget(platform.database, file.arrival)
            log.warning("%s never landed whole, and its maker is gone: arrival %s is forgotten", file.name, file.arrival)


def _identity(sidecar: ObjectInfo) -> str:
    """Which object it is: the same text put again is another one."""
    return f"{sidecar.etag} {sidecar.modified_at.isoformat()}"


def _require_known(platform: Platform) -> None:
    """Raise `LedgerBehind` where files lie sealed beyond the last one that the database knows: it is empty, or an older copy was put back.

    Landing would give their numbers again, and take their bytes for what a landing left that was cut off.
    """
    last = source_files.last(platform.database)
    beyond = platform.store.list("landed/", start_after=f"{last.key}~" if last else None)
    sealed = (found.key.removesuffix(".json") for found in beyond if found.key.endswith(".json"))
    while keys := list(islice(sealed, _BATCH)):
        if unknown := source_files.unknown(platform.database, keys):
            raise LedgerBehind(
                f"the landing zone holds {unknown[0]}, which the database does not know; `water down`, then `water rebuild` brings the database"
                " up to what landed (it tells first what it would do)"
            )


def _sweep(platform: Platform, today: datetime, first: int) -> None:
    """Remove copies that a landing left which was cut off before it announced them: those under numbers that the ledger does not have."""
    for day in (today - timedelta(days=1), today):
        folder = f"landed/{day:%Y-%m-%d}/"
        for left in list(platform.store.list(folder, start_after=f"{folder}{first:012d}")):
            platform.store.delete(left.key)


def _copy(platform: Platform, key: str, target: str) -> Copied:
    """Copy an inbox object under a number that no file of the ledger has; a copy that an earlier attempt left there goes first."""
    try:
        return platform.store.move_into(key, target)
    except ObjectExists:
        for left in platform.store.list(target.removesuffix("{sha256}")):
            platform.store.delete(left.key)
        return platform.store.move_into(key, target)


def _seal(platform: Platform, file: SourceFile, sidecar: ObjectInfo | None = None) -> None:
    """Put the facts beside the bytes: with them, the ledger can be rebuilt from the landed area alone."""
    facts = {
        "arrival": file.arrival,
        "prefix": file.prefix,
        "name": file.name,
        "arrived_at": file.arrived_at,
        "kind": file.kind,
        "sha256": file.sha256,
        "bytes": file.bytes,
        "mapping_version": file.mapping_version,
        "mapping": file.mapping,
    }
    if sidecar:
        facts["sidecar"] = _identity(sidecar)
    platform.store.put(f"{file.key}.json", orjson.dumps(facts))


def _sidecar(platform: Platform, place: Place) -> ObjectInfo | None:
    """The mapping that lies beside a file, as it is now."""
    try:
        return platform.store.info(place.sidecar) if place.kind == "data" else None
    except ObjectMissing:
        return None


class _Mappings:
    """The mappings that the files of a batch land with; each folder's is looked up once."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._of_folder: dict[str, tuple[str, str]] = {}

    def of(self, place: Place, sidecar: ObjectInfo | None) -> tuple[str, str]:
        """(version, text) of the mapping of a file: its sidecar, else the one in force for its folder, else none."""
        if place.kind != "data":
            return NO_MAPPING, ""
        if sidecar:
            text = self._platform.store.read(sidecar.key).decode("utf-8", errors="replace")
            return mapping_version(text), text
        if place.prefix not in self._of_folder:
            self._of_folder[place.prefix] = source_files.mapping_of(self._platform.database, place.prefix) or (NO_MAPPING, "")
        return self._of_folder[place.prefix]
