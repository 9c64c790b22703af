"""Backups: the database as of one change and the objects that it names, in a folder or a bucket, and back into an empty platform.

A backup is made while the platform runs. The order makes it consistent: first what waits in the inbox is copied, then the database in one
snapshot, then the landed objects that the snapshot's ledger names, which never change; what landed in between is in the ledger, and is taken
out of the copied inbox. The manifest comes last: without it there is no backup. Everything can be read without this program: the tables are
text for `COPY` under zstandard, the objects lie under their keys, and `sha256sum -c SHA256SUMS` checks all of it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson
import zstandard

from water_pipelines.clients.object_store import CHUNK, ObjectChanged, ObjectInfo, ObjectMissing, ObjectStore, StoreError
from water_pipelines.orchestration.operations.hands import at_once
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.inbox import INBOX, SIDECAR, Place
from water_pipelines.storage import dump, migrate, source_files
from water_pipelines.storage.database import Connection
from water_pipelines.storage.dump import Table
from water_pipelines.storage.room import RESERVE_BYTES
from water_pipelines.storage.source_files import SourceFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
FORMAT = 1

_SECOND_LOOK_S = 1.0
_DATABASE, _STORE = "database/", "store/"
_NAMED = 5

log = logging.getLogger(__name__)

Said = Callable[[str], None]


class CannotBackUp(Exception):
    """There is no backup; the message says why, and what to do."""


class CannotRestore(Exception):
    """Nothing was restored; the message says why, and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes
    ----------
    change : the last change of the database that is in it.
    schema : revision of the database's schema.
    tables : rows of each table or yearly partition that has any; `database/<name>.tsv.zst` has their text.
    numbers : the last number that each sequence gave.
    stored_bytes, object_bytes : what the database takes on a disk, and the objects.
    objects, waiting : how many files landed, and how many waited in the inbox.
    damaged : objects that the ledger names and that were missing or not the bytes that landed; they are left out.
    sums : SHA-256 of the list of the SHA-256 of everything else.
    """

    format: int
    made_at: str
    change: int
    schema: str
    code_version: str
    tables: dict[str, dict[str, Any]]
    numbers: dict[str, int]
    stored_bytes: int
    object_bytes: int
    objects: int
    waiting: int
    damaged: list[str]
    sums: str

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(each["rows"] for each in self.tables.values())


@dataclass(frozen=True)
class Backup:
    """A finished backup: its manifest, and the SHA-256 of each of its objects."""

    source: ObjectStore
    manifest: Manifest
    sums: dict[str, str]

    @property
    def keys(self) -> list[str]:
        """Keys of the object store that are in it, in order."""
        return [name.removeprefix(_STORE) for name in sorted(self.sums) if name.startswith(_STORE)]


def back_up(platform: Platform, target: ObjectStore, said: Said = lambda _: None, *, despite_damage: bool = False) -> Manifest:
    """Copy everything that the platform holds into an empty store.

    Parameters
    ----------
    said : told how far it is.
    despite_damage : landed objects that are missing or damaged are named in the manifest and left out; otherwise there is no backup.

    Raises
    ------
    CannotBackUp
        What was copied by then is no backup.
    """
    if next(target.list(), None) is not None:
        raise CannotBackUp(f"{target!r} is not empty; name a place that is, or remove what is there")
    work = _Work(platform, target, said)
    last = source_files.last(platform.database)
    waiting = work.copy_inbox()
    with platform.database.snapshot() as snapshot:
        files = source_files.all_landed(snapshot.connection)
        stored = dump.stored_bytes(snapshot.connection)
        work.require_room(sum(file.bytes for file in files) + sum(each.bytes for each in waiting) + stored)
        tables = work.copy_tables(snapshot.connection)
        numbers, change = dump.sequences(snapshot.connection), snapshot.number
    work.leave_out_landed(waiting, [file for file in files if last is None or file.arrival > last.arrival])
    damaged = work.copy_landed(files)
    if damaged and not despite_damage:
        raise CannotBackUp(
            f"{len(damaged)} landed objects are missing or damaged: {', '.join(damaged[:_NAMED])}{' ...' if len(damaged) > _NAMED else ''}."
            " Put back the bytes that landed there, or leave them out with --despite-damage"
        )
    listed = _sums_text(work.sums)
    target.put(SUMS, listed)
    revision = migrate.revision(platform.database.url)
    assert revision is not None
    manifest = Manifest(
        format=FORMAT,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        change=change,
        schema=revision,
        code_version=platform.settings.code_version,
        tables=tables,
        numbers=numbers,
        stored_bytes=stored,
        object_bytes=work.object_bytes,
        objects=len(files) - len(damaged),
        waiting=sum(name.startswith(_STORE + INBOX) and not name.endswith(SIDECAR) for name in work.sums),
        damaged=damaged,
        sums=hashlib.sha256(listed).hexdigest(),
    )
    target.put(MANIFEST, orjson.dumps(asdict(manifest), option=orjson.OPT_INDENT_2))
    return manifest


def opened(source: ObjectStore) -> Backup:
    """A backup as its manifest describes it.

    Raises
    ------
    CannotRestore
        There is none, it was never finished, or a newer release made it.
    """
    try:
        said = orjson.loads(source.read(MANIFEST))
        if said["format"] > FORMAT:
            raise CannotRestore(f"the backup in {source!r} was made by release {said['code_version']}; install that one or a later one")
        manifest = Manifest(**said)
        listed = source.read(SUMS)
    except ObjectMissing as error:
        raise CannotRestore(f"{source!r} holds no finished backup: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CannotRestore(f"{MANIFEST} in {source!r} is no manifest of a backup: {error}") from error
    if hashlib.sha256(listed).hexdigest() != manifest.sums:
        raise CannotRestore(f"{SUMS} in {source!r} is damaged; use another backup")
    return Backup(source, manifest, _sums_of(listed))


def verify(backup: Backup, said: Said = lambda _: None) -> None:
    """Read every byte of a backup and hold it against its SHA-256.

    Raises
    ------
    CannotRestore
        With the names of what is missing or damaged.
    """

    def is_damaged(named: tuple[str, str]) -> bool:
        name, expected = named
        try:
            with backup.source.open(name) as stream:
                return _sha256(stream) != expected
        except StoreError:
            return True

    damaged = []
    for done, (name, bad) in enumerate(zip(backup.sums, at_once(is_damaged, list(backup.sums.items())), strict=True), start=1):
        damaged += [name] if bad else []
        said(f"{done:,} of {len(backup.sums):,} files of the backup checked")
    if damaged:
        more = " ..." if len(damaged) > _NAMED else ""
        raise CannotRestore(f"the backup is damaged: {', '.join(damaged[:_NAMED])}{more} ({len(damaged)} files); use another one")


def foreign(backup: Backup, store: ObjectStore) -> str | None:
    """The first object of a store that is not the backup's; none where the store is empty, or a restore of this backup was cut off."""
    known = set(backup.keys)
    return next((found.key for area in ("landed/", INBOX) for found in store.list(area) if found.key not in known), None)


def is_ahead(backup: Backup, store: ObjectStore) -> bool:
    """Whether a store is the backup's own landing zone, which outlived its database and in which more has landed since."""
    landed = {key for key in backup.keys if not key.startswith(INBOX)}
    return landed < {found.key for found in store.list("landed/")}


def restore_objects(backup: Backup, store: ObjectStore, said: Said = lambda _: None) -> int:
    """Copy the objects of a backup to where they were, what waited first; gives their number. Those that are there already stay.

    Raises
    ------
    CannotRestore
        The backup changed after it was verified.
    """

    def put(key: str) -> None:
        if not store.exists(key):
            with backup.source.open(_STORE + key) as source, closing(_Hashed(_blocks(source))) as stream:
                store.put(key, stream.buffered())
                if stream.sha256 != backup.sums[_STORE + key]:
                    store.delete(key)
                    raise CannotRestore(f"{_STORE}{key} of the backup changed while it was read")

    keys, done = backup.keys, 0
    for is_waiting in (True, False):  # one after the other: a landing zone that is complete says that nothing is left to restore
        for _ in at_once(put, [key for key in keys if key.startswith(INBOX) is is_waiting]):
            done += 1
            said(f"{done:,} of {len(keys):,} objects restored")
    return done


def restore_database(backup: Backup, connection: Connection, said: Said = lambda _: None) -> None:
    """Fill a database that was migrated to the backup's schema and is empty, in the transaction at hand.

    Dagster is told again of all that was computed, by the next settle.

    Raises
    ------
    CannotRestore
        Nothing must be committed then.
    """
    manifest = backup.manifest
    tables = {name: Table(name, tuple(each["columns"]), each["is_partition"]) for name, each in manifest.tables.items()}

    def rows() -> Iterator[tuple[Table, int, Iterator[bytes]]]:
        for done, (name, table) in enumerate(tables.items(), start=1):
            said(f"{name}: {manifest.tables[name]['rows']:,} rows ({done} of {len(tables)} tables)")
            with backup.source.open(_file_of(name)) as packed, zstandard.ZstdDecompressor().stream_reader(packed) as plain:
                yield table, manifest.tables[name]["rows"], _blocks(cast(BinaryIO, plain))

    try:
        dump.fill(connection, rows(), manifest.numbers, [table.year for table in tables.values() if table.year])
    except dump.WrongTable as error:
        raise CannotRestore(str(error)) from error
    dump.forget_dagster(connection)


class _Work:
    """A backup in the making."""

    def __init__(self, platform: Platform, target: ObjectStore, said: Said) -> None:
        self._platform = platform
        self._target = target
        self._said = said
        self._sizes: dict[str, int] = {}
        self.sums: dict[str, str] = {}

    @property
    def object_bytes(self) -> int:
        """Of all objects that were copied."""
        return sum(self._sizes.values())

    def require_room(self, needed: int) -> None:
        """Raise `CannotBackUp` where the target has a limit that this would pass; the packed tables are smaller than what they take."""
        free = self._target.free_bytes()
        if free is not None and free < needed + RESERVE_BYTES:
            raise CannotBackUp(
                f"the backup takes up to {needed >> 20:,} MiB and {RESERVE_BYTES >> 20} MiB must stay free, but {self._target!r} has"
                f" {free >> 20:,} MiB; make room, or name another place"
            )

    def copy_inbox(self) -> list[ObjectInfo]:
        """Copy what is complete in the inbox; gives what was copied. What is written meanwhile is left out; of what lands, the ledger will tell."""
        seen = list(self._platform.store.list(INBOX))
        self.require_room(sum(each.bytes for each in seen))
        if any(not each.whole for each in seen):
            time.sleep(_SECOND_LOOK_S)
        copied = []
        for each in seen:
            try:
                if each.whole or self._platform.store.info(each.key).etag == each.etag:
                    self._copy(each.key)
                    copied.append(each)
                    if self._platform.store.info(each.key).etag != each.etag:
                        self._take_out(each.key)
            except (ObjectMissing, ObjectChanged) as error:
                log.info("%s is being written, or lands meanwhile: %s", each.key, error)
            self._said(f"{len(copied):,} of {len(seen):,} objects of the inbox copied")
        return copied

    def leave_out_landed(self, waiting: Iterable[ObjectInfo], landed: Iterable[SourceFile]) -> None:
        """Take out of the copied inbox what the ledger has as landed since; a restored platform would land it again under another mapping."""
        known = {(file.prefix, file.name, file.sha256) for file in landed}
        for each in waiting:
            key = each.key.removesuffix(SIDECAR)
            place = Place.of(key)
            sha256 = self.sums.get(_STORE + key)
            if (place.prefix, place.name, sha256) in known:
                self._take_out(key)
                if _STORE + key + SIDECAR in self.sums:
                    self._take_out(key + SIDECAR)

    def copy_tables(self, connection: Connection) -> dict[str, dict[str, Any]]:
        """Copy every table that has rows, as it is in the snapshot of the connection."""
        done: dict[str, dict[str, Any]] = {}
        for table in dump.tables(connection):
            if not dump.holds_rows(connection, table):
                continue
            counted = _Lines(dump.rows_of(connection, table))
            with closing(_Hashed(_packed(counted))) as stream:
                self._target.put(_file_of(table.name), stream.buffered())
                self.sums[_file_of(table.name)] = stream.sha256
            done[table.name] = {"columns": list(table.columns), "is_partition": table.is_partition, "rows": counted.lines}
            self._said(f"{table.name}: {counted.lines:,} rows")
        return done

    def copy_landed(self, files: list[SourceFile]) -> list[str]:
        """Copy the landed objects with the facts beside them; gives the keys of those that are missing or damaged, which are left out."""
        damaged = []
        for done, (file, is_whole) in enumerate(zip(files, at_once(self._copy_file, files), strict=True), start=1):
            damaged += [] if is_whole else [file.key]
            self._said(f"{done:,} of {len(files):,} landed objects copied")
        return damaged

    def _copy_file(self, file: SourceFile) -> bool:
        try:
            if self._copy(file.key) == file.sha256:
                self._copy(f"{file.key}.json")
                return True
        except ObjectMissing:
            pass  # one of the two is gone: the file is not whole
        for key in (file.key, f"{file.key}.json"):
            self._take_out(key)
        return False

    def _copy(self, key: str) -> str:
        with self._platform.store.open(key) as source, closing(_Hashed(_blocks(source))) as stream:
            self._sizes[key] = self._target.put(_STORE + key, stream.buffered()).bytes
            self.sums[_STORE + key] = stream.sha256
            return stream.sha256

    def _take_out(self, key: str) -> None:
        if self.sums.pop(_STORE + key, None) is not None:
            del self._sizes[key]
            self._target.delete(_STORE + key)


class _Hashed(io.RawIOBase):
    """Blocks of bytes as a stream that is hashed while it is read."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what was read."""
        return self._digest.hexdigest()

    def buffered(self) -> BinaryIO:
        """For whoever reads in small steps."""
        return cast(BinaryIO, io.BufferedReader(self, CHUNK))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        taken = self._rest[: len(view)]
        self._rest = self._rest[len(taken) :]
        self._digest.update(taken)
        view[: len(taken)] = taken
        return len(taken)


class _Lines:
    """Blocks of text whose lines are counted as they pass; in the text of COPY each line is a row."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.lines = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            self.lines += block.count(b"\n")
            yield block


def _packed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor().compressobj()
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(CHUNK):
        yield block


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    for block in _blocks(stream):
        digest.update(block)
    return digest.hexdigest()


def _file_of(table: str) -> str:
    return f"{_DATABASE}{table}.tsv.zst"


def _sums_text(sums: dict[str, str]) -> bytes:
    r"""Names and SHA-256 as `sha256sum` writes them: where a name has a backslash or a line break in it, these are escaped and the line says so.

    >>> _sums_text({"store/a b": "00", "store/c\nd": "11"})
    b'00  store/a b\n\\11  store/c\\nd\n'
    """
    lines = []
    for name, sha256 in sorted(sums.items()):
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{'' if escaped == name else chr(92)}{sha256}  {escaped}\n")
    return "".join(lines).encode()


def _sums_of(text: bytes) -> dict[str, str]:
    r"""What `_sums_text` wrote.

    >>> _sums_of(_sums_text({"store/a b": "00", "store/c\nd\\e": "11"}))
    {'store/a b': '00', 'store/c\nd\\e': '11'}
    """
    found = {}
    for line in text.decode().split("\n")[:-1]:
        sha256, _, name = line.removeprefix("\\").partition("  ")
        if line.startswith("\\"):
            name = name.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")
        found[name] = sha256
    return found
