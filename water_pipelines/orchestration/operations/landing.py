"""Landing: emptying the inbox into the immutable area, each object under its arrival number and hash, with the facts beside it.

A file's number is fixed in the ledger before the facts are written, and its inbox object goes last: whatever is cut off in
between is taken up again, under the same number, when the object is seen the next time.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import orjson

from water_pipelines.clients.object_store import Copied, ObjectChanged, ObjectExists, ObjectInfo, ObjectMissing
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.inbox import INBOX, NO_MAPPING, SIDECAR, Place, mapping_version
from water_pipelines.storage import source_files
from water_pipelines.storage.source_files import SourceFile

log = logging.getLogger(__name__)

_SECOND_LOOK_S = 1.0


def waiting(platform: Platform) -> Iterator[ObjectInfo]:
    """Objects in the inbox that are files of their own; a sidecar waits for its file."""
    return (found for found in platform.store.list(INBOX) if not found.key.endswith(SIDECAR))


def land_inbox(platform: Platform, at_most: int = 10_000) -> Iterator[list[SourceFile]]:
    """Land what is complete in the inbox; gives the ledger rows of what is new, in two batches.

    Mappings and rules come first, so that the caller can load them before the files that they are for are landed. Files of a kind
    arrive in the order in which they were last written. An object is complete when it was put whole, or when its size and time are
    the same at a second look.
    """
    seen = {found.key: found for _, found in zip(range(at_most), waiting(platform), strict=False)}
    if any(not found.whole for found in seen.values()):
        time.sleep(_SECOND_LOOK_S)
    places = [Place.of(info.key) for info in sorted(seen.values(), key=lambda info: (info.modified_at, info.key))]
    for is_data in (False, True):
        batch = []
        for place in places:
            if (place.kind == "data") is is_data:
                file = _land_if_whole(platform, place, seen[place.key])
                batch += [file] if file else []
        if batch:
            yield batch


def _land_if_whole(platform: Platform, place: Place, seen: ObjectInfo) -> SourceFile | None:
    try:
        if seen.whole or platform.store.info(place.key).etag == seen.etag:
            return _land(platform, place)
        log.info("%s is still being written and is left in the inbox for now", place.key)
    except (ObjectChanged, ObjectMissing) as error:
        log.info("%s is left in the inbox for now: %s", place.key, error)
    return None


def land_bytes(platform: Platform, data: bytes, *, kind: str, name: str, prefix: str = "") -> SourceFile:
    """Land what the platform itself makes: a tick, a model, an operator's act. The same bytes again give the same file."""
    arrived_at = datetime.now(UTC)
    with source_files.landing(platform.database) as arrival:
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
    return file


def _land(platform: Platform, place: Place) -> SourceFile | None:
    """Land one inbox object; none where the same file under the same mapping had landed before."""
    arrived_at = datetime.now(UTC)
    with source_files.landing(platform.database) as arrival:
        sidecar = _sidecar(platform, place)
        version, text = _mapping_for(platform, place, sidecar)
        copied = _copy(platform, place.key, source_files.landed_key(arrived_at, arrival, "{sha256}"))
        file = source_files.announce(
            platform.database,
            arrival=arrival,
            sha256=copied.sha256,
            size=copied.bytes,
            name=place.name,
            prefix=place.prefix,
            kind=place.kind,
            mapping_version=version,
            mapping=text,
            arrived_at=arrived_at,
        )
        is_new = file.landed_at is None
        if is_new:
            if not platform.store.exists(file.key):
                platform.store.move_into(copied.key, file.key)
            _seal(platform, file)
        if copied.key != file.key:
            platform.store.delete(copied.key)
        platform.store.delete(place.key, unless_changed=copied.source)
        if sidecar:
            platform.store.delete(sidecar.key, unless_changed=sidecar)
    if not is_new and file.withdrawn_at is not None and file.superseded_by is None:
        log.warning("%s was withdrawn and stays so; `water reinstate %s` takes it back", place.key, file.arrival)
    elif not is_new:
        log.info("%s is the file of job %s again and changes nothing", place.key, file.job_id)
    return file if is_new else None


def _copy(platform: Platform, key: str, target: str) -> Copied:
    """Copy an inbox object under a number that no file of the ledger has; a copy that an earlier attempt left there goes first."""
    try:
        return platform.store.move_into(key, target)
    except ObjectExists:
        for left in platform.store.list(target.removesuffix("{sha256}")):
            platform.store.delete(left.key)
        return platform.store.move_into(key, target)


def _seal(platform: Platform, file: SourceFile) -> None:
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
    platform.store.put(f"{file.key}.json", orjson.dumps(facts))
    source_files.landed(platform.database, file.arrival)


def _sidecar(platform: Platform, place: Place) -> ObjectInfo | None:
    """The mapping that lies beside a file, as it is now."""
    try:
        return platform.store.info(place.sidecar) if place.kind == "data" else None
    except ObjectMissing:
        return None


def _mapping_for(platform: Platform, place: Place, sidecar: ObjectInfo | None) -> tuple[str, str]:
    """(version, text) of the mapping of a file: its sidecar, else the one in force for its folder, else none."""
    if place.kind != "data":
        return NO_MAPPING, ""
    if sidecar:
        text = platform.store.read(sidecar.key).decode("utf-8", errors="replace")
        return mapping_version(text), text
    return source_files.mapping_of(platform.database, place.prefix) or (NO_MAPPING, "")
