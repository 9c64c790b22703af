"""Dropping files: into the inbox, whole, each with its mapping, and with the id of the job that it will be.

The id follows from the content, the folder and the mapping, so it is known before anything is loaded. Keep out: waiting for results.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from uuid import UUID

from water_pipelines.clients.object_store import ObjectExists, ObjectMissing, ObjectStore, StoreError, check_key, is_hidden, store_from_settings
from water_pipelines.commands import databases
from water_pipelines.parsers.inbox import INBOX, NO_MAPPING, SIDECAR, Place, mapping_version
from water_pipelines.parsers.mapping import InvalidMapping, Mapping
from water_pipelines.settings import Settings
from water_pipelines.storage.source_files import job_id, mappings_above

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from water_pipelines.storage.database import Database

_OCCUPIED = "another file waits in the inbox as {key}; drop {path} again when it has landed, or with another --prefix"


class CannotDrop(Exception):
    """Nothing, or not everything, was dropped; the message says which file is at fault."""


@dataclass(frozen=True)
class Wanted:
    """A file that is to be dropped: where it is, where it goes, and the mapping that is meant for it alone."""

    path: Path
    place: Place
    sidecar: str | None = None


@dataclass(frozen=True)
class Dropped:
    """A file in the inbox. `job_id` is None where it depends on a mapping in force that cannot be asked for now."""

    path: Path
    key: str
    kind: str
    bytes: int
    job_id: UUID | None


def store_of(settings: Settings) -> ObjectStore:
    """The object store that the settings name; a client of an S3 API costs the loading of the orchestrator."""
    if settings.store_root is not None:
        return store_from_settings(settings)
    from water_pipelines.orchestration.resources import store_of as with_client

    return with_client(settings)


def wanted(paths: Iterable[Path], prefix: str = "", mapping: Path | None = None) -> list[Wanted]:
    """What is to be dropped, checked as far as possible before anything is.

    Folders are taken with all they hold, but for hidden and unfinished files; their subfolders become part of the prefix. A mapping beside
    a file (`<name>.mapping.yaml`) goes with it, unless `mapping` is given for all. Mappings and rules of folders come first.

    Raises
    ------
    CannotDrop
        A file is missing, cannot be read, has a name that the store refuses or shares with another one; or a mapping is none.
    """
    given = text_of_mapping(mapping) if mapping is not None else None
    prefix = prefix.strip("/")
    found: dict[str, Wanted] = {}
    for path in paths:
        for file, below in _files(path):
            if file.name.endswith(SIDECAR):
                _check_has_file(file)
                continue
            key = INBOX + "/".join(filter(None, (prefix, below, file.name)))
            try:
                place = Place.of(check_key(key))
            except StoreError as error:
                raise CannotDrop(str(error)) from error
            if key in found:
                raise CannotDrop(f"{found[key].path} and {file} would both be {key}; drop them with different --prefix")
            if not os.access(file, os.R_OK):
                raise CannotDrop(f"{file} cannot be read; check its permissions")
            sidecar = None
            if place.kind == "mapping":
                text_of_mapping(file)
            elif place.kind == "data":
                beside = file.with_name(file.name + SIDECAR)
                sidecar = given if given is not None else text_of_mapping(beside) if beside.is_file() else None
            found[key] = Wanted(file, place, sidecar)
    if not found:
        raise CannotDrop("there is nothing to drop: the folders hold no files that could be")
    return sorted(found.values(), key=lambda each: each.place.kind == "data")


def drop(settings: Settings, files: Sequence[Wanted]) -> list[Dropped]:
    """Put files into the inbox, in their order.

    Raises
    ------
    CannotDrop
        Another file of that name waits in the inbox; what came before it is dropped.
    StoreError, OSError
        The store or a file cannot be used.
    """
    store = store_of(settings)
    in_force = _Mappings(settings, store)
    return [_drop(store, in_force, each) for each in files]


def _drop(store: ObjectStore, in_force: _Mappings, each: Wanted) -> Dropped:
    place = each.place
    version: str | None = NO_MAPPING
    if each.sidecar is not None:
        version = mapping_version(each.sidecar)
    elif place.kind == "data":
        version = in_force.version(place)  # before the file is put: after it, the mapping that waits may have been loaded
    sha256, size = _put(store, each)
    return Dropped(each.path, place.key, place.kind, size, None if version is None else job_id(sha256, place.prefix, version, place.kind))


def _put(store: ObjectStore, each: Wanted) -> tuple[str, int]:
    """Put one file, its mapping first; gives its hash and size. A file that waits under the same name is never replaced."""
    key = each.place.key
    if store.exists(key):
        try:
            return _waiting(store, each)
        except ObjectMissing:
            pass  # it has landed meanwhile
    if each.sidecar is not None:
        store.put(each.place.sidecar, each.sidecar.encode())
    digest = hashlib.sha256()
    with each.path.open("rb") as file:
        try:
            put = store.put(key, cast(BinaryIO, io.BufferedReader(_Hashed(file, digest), 1 << 20)), if_absent=True)
        except ObjectExists:
            raise CannotDrop(_OCCUPIED.format(key=key, path=each.path)) from None
    return digest.hexdigest(), put.bytes


def _waiting(store: ObjectStore, each: Wanted) -> tuple[str, int]:
    """Hash and size of the object that waits under the same name, if it is the same file under the same mapping."""
    with store.open(each.place.key) as waiting, each.path.open("rb") as file:
        theirs, ours = _sha256(waiting), _sha256(file)
        size = waiting.tell()
    sidecar = store.read(each.place.sidecar).decode("utf-8", "replace") if store.exists(each.place.sidecar) else None
    if theirs != ours or sidecar != each.sidecar:
        raise CannotDrop(_OCCUPIED.format(key=each.place.key, path=each.path))
    return theirs, size


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


class _Mappings:
    """The mappings in force for folders: what waits in the inbox goes before what was loaded, the nearest folder before all."""

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self._versions: dict[str, str | None] = {}

    def version(self, place: Place) -> str | None:
        """The version for a file without a mapping of its own; None where the ledger of mappings does not answer."""
        if place.prefix not in self._versions:
            self._versions[place.prefix] = self._find(place)
        return self._versions[place.prefix]

    def _find(self, place: Place) -> str | None:
        server = databases.server_of(self._settings)
        if not databases.is_running(server):
            return None
        database: Database = databases.database_of(self._settings, server)
        try:
            loaded = mappings_above(database, place.prefix)
        finally:
            database.close()
        for folder in place.folders:
            key = INBOX + "/".join(filter(None, (folder, "mapping.yaml")))
            if self._store.exists(key):
                return mapping_version(self._store.read(key).decode("utf-8", "replace"))
            if folder in loaded:
                return loaded[folder][0]
        return NO_MAPPING


class _Hashed(io.RawIOBase):
    """A stream that is hashed while it is read."""

    def __init__(self, stream: BinaryIO, digest: hashlib._Hash) -> None:
        self._stream = stream
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        content = self._stream.read(len(view))
        self._digest.update(content)
        view[: len(content)] = content
        return len(content)


def _files(path: Path) -> list[tuple[Path, str]]:
    """The files at a path, each with the folders between."""
    if path.is_file():
        return [(path, "")]
    if not path.exists():
        raise CannotDrop(f"{path} does not exist")
    if not path.is_dir():
        raise CannotDrop(f"{path} is neither a file nor a folder")
    found = []

    def refuse(error: OSError) -> None:
        raise CannotDrop(f"{error.filename} cannot be read; check its permissions") from error

    for folder, inner, names in os.walk(path, onerror=refuse):
        inner[:] = sorted(name for name in inner if not is_hidden(name))
        below = Path(folder).relative_to(path).as_posix()
        found += [(Path(folder, name), "" if below == "." else below) for name in sorted(names) if not is_hidden(name)]
    return found


def _check_has_file(sidecar: Path) -> None:
    file = sidecar.with_name(sidecar.name.removesuffix(SIDECAR))
    if not file.is_file():
        raise CannotDrop(f"{sidecar} is the mapping of {file.name}, which is not beside it; a mapping for a whole folder is called mapping.yaml")


def text_of_mapping(path: Path) -> str:
    """The text of a mapping file; `CannotDrop` where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        Mapping.from_yaml(text)
    except (OSError, UnicodeDecodeError, InvalidMapping) as error:
        raise CannotDrop(f"{path} cannot be used as a mapping: {error}") from error
    return text
