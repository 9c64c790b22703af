"""Packed files (gzip, zstd, bzip2), zip and tar of any other kind: each member is read as if it had been dropped alone.

Add a kind of packing to `PACKINGS`. Nothing is ever written under a member's name; what is expanded is bounded by what was read for it;
archives within archives are not read, but for a tar that is packed as a whole. A member of which nothing can be read (a manual, a web page,
a table without times) is set aside with its reason; one that breaks in the middle refuses the whole file, and is named. Where the mapping
declares the files complete, only what is plainly no data is set aside: what else a member holds would count as deleted.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol, cast

import pyarrow as pa
import zstandard

from water_pipelines.parsers import foreign
from water_pipelines.parsers.contract import OBSERVATION_SCHEMA, Described, Event, FileFacts, Head, Rejected, Rows, Series, UnreadableFile, read_head
from water_pipelines.parsers.mapping import Mapping

if TYPE_CHECKING:
    from typing_extensions import Buffer

LARGEST_EXPANDED = 8 << 30
LARGEST_RATIO = 500
_RATIO_COUNTS_FROM = 64 << 20
_LARGEST_HEADER = 1 << 20
_IN_MEMORY = 32 << 20
_BLOCK = 1 << 20

_ZIP, _EMPTY_ZIP = b"PK\x03\x04", b"PK\x05\x06"
_TAR_BLOCK = 512
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError)

ParseFile = Callable[[BinaryIO, Mapping, FileFacts], Iterator[Event]]


class _BadArchive(UnreadableFile):
    """What no member can be set aside for: the archive as a whole is refused."""


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


@dataclass(frozen=True)
class Packing:
    """A way to pack one stream of bytes.

    Parameters
    ----------
    name, magic : of the packing, and the first bytes of what it makes.
    suffixes : of packed files, each with what the name ends in when it is taken off.
    unpack : gives a stream of what was packed; it raises one of the usual errors where the packed bytes end early or are damaged.
    """

    name: str
    magic: bytes
    suffixes: dict[str, str]
    unpack: Callable[[BinaryIO], _Readable]


class Packed:
    """One packed file, or a tar that is packed as a whole."""

    version = "4"
    kind = "archive"

    def __init__(self, packing: Packing, parse_file: ParseFile) -> None:
        self.name = packing.name
        self._packing = packing
        self._parse_file = parse_file

    def recognises(self, head: Head) -> bool:
        """By the magic bytes."""
        return head.start.startswith(self._packing.magic)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """What the file within says; its name is that of the archive without ``.gz`` or the like. Of a tar, what each member says."""
        file = replace(file, name=self._inner_name(file.name))
        if self._holds_tar(stream):
            yield from _said_by_members("tar", _tar_entries(self._unpacked(stream)), mapping, file, self._parse_file)
            return
        with self._expanded(stream) as expanded:
            yield from self._parse_file(expanded, mapping, file)

    def members(self, stream: BinaryIO) -> Iterator[tuple[str, BinaryIO | UnreadableFile]]:
        """The file within, which has no name; of a tar its members, as `Tar.members` gives them."""
        if self._holds_tar(stream):
            yield from _one_by_one("tar", _tar_entries(self._unpacked(stream)))
            return
        with self._expanded(stream) as expanded:
            yield "", expanded

    def _holds_tar(self, stream: BinaryIO) -> bool:
        return _is_tar(self._unpacked(stream).read(_TAR_BLOCK))

    def _expanded(self, stream: BinaryIO) -> AbstractContextManager[BinaryIO]:
        return _Entry("", partial(_expand, self._unpacked(stream))).expanded(self.name)

    def _unpacked(self, stream: BinaryIO) -> _Bounded:
        stream.seek(0)
        damaged = _BadArchive(f"The {self.name} file is truncated or damaged. Was its transfer complete? Drop it again.")
        return _Bounded(self._packing.unpack(stream), stream, "The file", damaged)

    def _inner_name(self, name: str) -> str:
        for suffix, inner in self._packing.suffixes.items():
            if name.lower().endswith(suffix):
                return name[: -len(suffix)] + inner
        return name


class Zip:
    """A zip of data files."""

    name = "zip"
    version = "4"
    kind = "archive"

    def __init__(self, parse_file: ParseFile) -> None:
        self._parse_file = parse_file

    def recognises(self, head: Head) -> bool:
        """By the magic bytes; workbooks, which are zips too, are recognised before."""
        return head.start.startswith((_ZIP, _EMPTY_ZIP))

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """What each member says, in the order of the archive; source rows count within a member.

        A station that nobody names is called after the archive, and after its member where there are several.
        """
        entries = _zip_entries(stream)
        wanted = [entry for entry in entries if _is_wanted(entry.name, mapping)]
        yield from _said_by_members(self.name, entries, mapping, file, self._parse_file, _alone if len(wanted) == 1 else _among)

    def members(self, stream: BinaryIO) -> Iterator[tuple[str, BinaryIO | UnreadableFile]]:
        """The members, for whoever can do without the bad ones: each as a stream, or with the reason why it cannot be read.

        Raises
        ------
        UnreadableFile
            The zip itself is damaged, or expands to far more than any data does; members before were given by then.
        """
        yield from _one_by_one(self.name, _zip_entries(stream))


class Tar:
    """A tar of data files; one that is packed as a whole is read by `Packed`."""

    name = "tar"
    version = "3"
    kind = "archive"

    def __init__(self, parse_file: ParseFile) -> None:
        self._parse_file = parse_file

    def recognises(self, head: Head) -> bool:
        """By the checksum in the header of its first member."""
        return _is_tar(head.start[:_TAR_BLOCK])

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """What each member says, in the order of the archive; source rows count within a member.

        A station that nobody names is called after the archive and its member.
        """
        yield from _said_by_members(self.name, _tar_entries(self._bounded(stream)), mapping, file, self._parse_file)

    def members(self, stream: BinaryIO) -> Iterator[tuple[str, BinaryIO | UnreadableFile]]:
        """The members, for whoever can do without the bad ones: each as a stream, or with the reason why it cannot be read.

        Raises
        ------
        UnreadableFile
            The tar is damaged or cut off, or expands to far more than any data does; members before were given by then.
        """
        yield from _one_by_one(self.name, _tar_entries(self._bounded(stream)))

    @staticmethod
    def _bounded(stream: BinaryIO) -> _Bounded:
        stream.seek(0)
        return _Bounded(stream, stream, "The file", _BadArchive(_TAR_DAMAGED))


class _Bounded:
    """Reads what was packed, until it is out of all proportion to the packed bytes that were read for it."""

    def __init__(self, source: _Readable, packed: BinaryIO, what: str, damaged: UnreadableFile, since: int = 0) -> None:
        self.tail = b""
        self._source, self._packed, self._what, self._damaged, self._since = source, packed, what, damaged, since
        self._expanded = 0

    def read(self, size: int = _BLOCK) -> bytes:
        try:
            block = self._source.read(size)
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno:  # the disk's, not the file's
                raise
            raise self._damaged from error
        self._expanded += len(block)
        self.tail = (self.tail + block)[-_TAR_BLOCK:]
        _refuse_bomb(self._what, self._expanded, self._packed.tell() - self._since)
        return block


class _Zstd(io.RawIOBase):
    """What zstd packed, frame after frame. Fed in small steps, since a few bytes of it can stand for megabytes."""

    _STEP = 1 << 10
    _LARGEST_WINDOW = 128 << 20

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._expanded = memoryview(b"")
        self._fed = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._expanded and self._feed():
            pass
        size = min(len(view), len(self._expanded))
        view[:size] = self._expanded[:size]
        self._expanded = self._expanded[size:]
        return size

    def _feed(self) -> bool:
        """Expand a little more; false at the end of the last frame."""
        fed = self._fed or self._source.read(self._STEP)
        self._fed = b""
        if not fed:
            if self._frame is not None:
                raise EOFError("a frame is not complete")
            return False
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=self._LARGEST_WINDOW).decompressobj()
        self._expanded = memoryview(self._frame.decompress(fed))
        if self._frame.eof:
            self._fed, self._frame = self._frame.unused_data, None
        return True


PACKINGS = (
    Packing("gzip", b"\x1f\x8b", {".tgz": ".tar", ".gz": ""}, lambda stream: gzip.GzipFile(fileobj=stream)),
    Packing("zstd", b"\x28\xb5\x2f\xfd", {".tzst": ".tar", ".zst": ""}, lambda stream: io.BufferedReader(_Zstd(stream), _BLOCK)),
    Packing("bzip2", b"BZh", {".tbz2": ".tar", ".tbz": ".tar", ".bz2": ""}, bz2.BZ2File),
)


class _Members:
    """Reads member after member; the same series in two of them is described once, and has one unit."""

    def __init__(self, parse_file: ParseFile, mapping: Mapping) -> None:
        self._parse_file = parse_file
        self._mapping = mapping
        self._seen: dict[str, Series] = {}
        self._read = 0
        self._refused: list[Rejected] = []

    def of(self, entry: _Entry, kind: str, file: FileFacts) -> Iterator[Event]:
        """What one member says; it is set aside where it cannot be read, has said nothing yet, and may be missed."""
        has_spoken, may_be_missed = False, not self._mapping.complete
        try:
            with entry.expanded(kind) as expanded:
                may_be_missed = may_be_missed or foreign.is_document(entry.name, read_head(expanded, self._mapping))
                for event in self._parse_file(expanded, self._mapping, file):
                    has_spoken = True
                    yield self._only_new(event) if isinstance(event, Described) else event
        except UnreadableFile as error:
            if has_spoken or not may_be_missed or isinstance(error, _BadArchive):
                missed = "" if may_be_missed else _WOULD_BE_MISSED
                raise UnreadableFile(f"In {entry.name}: {error}{missed}{_CHOOSE}") from error
            self._refused.append(Rejected(0, entry.name, str(error)))
        else:
            self._read += 1

    def set_aside(self) -> Iterator[Event]:
        """The members of which nothing could be read, as rejected rows; where that is all of them, the archive is refused."""
        if self._refused:
            yield Rows(pa.RecordBatch.from_pylist([], schema=OBSERVATION_SCHEMA), self._refused)
        if self._refused and not self._read:
            first = self._refused[0]
            hint = f" None of its {len(self._refused)} members can be read.{_CHOOSE}" if len(self._refused) > 1 else ""
            raise UnreadableFile(f"In {first.text}: {first.reason}{hint}")

    def _only_new(self, event: Described) -> Described:
        series = []
        for one in event.series:
            known = self._seen.setdefault(one.natural_id, one)
            if known is one:
                series.append(one)
            elif known.attributes.get("unit") != one.attributes.get("unit"):
                raise _BadArchive(
                    f"the unit of {one.natural_id} is {one.attributes.get('unit')!r}, but {known.attributes.get('unit')!r} in an earlier member."
                )
        return Described(event.stations, series)


class _TarHeader(tarfile.TarInfo):
    """A header that does not make `tarfile` hold a name or a comment of any size in memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _TarHeader:
        header = super().frombuf(buf, encoding, errors)
        if not header.isreg() and not header.isdir() and header.size > _LARGEST_HEADER:
            raise _BadArchive(f"The tar file has a header of {header.size:,} bytes for {header.name!r}, which no honest program writes.")
        return header


_WOULD_BE_MISSED = " The mapping declares the files complete, so that what this one holds would count as deleted."
_CHOOSE = " To read only some members, say so in the mapping: members: '*.csv'."
_TAR_DAMAGED = "The tar file is truncated or damaged. Was its transfer complete? Drop it again."


def _alone(file: FileFacts, member: str) -> FileFacts:
    """The only member is called after its archive."""
    return replace(file, name=f"{PurePosixPath(file.name).stem}{PurePosixPath(member).suffix}")


def _among(file: FileFacts, member: str) -> FileFacts:
    """One of several is called after its archive, its folders in it, and itself."""
    path = _path(member)
    folders = [file.prefix, PurePosixPath(file.name).stem, *path.parent.parts]
    return replace(file, name=path.name, prefix="/".join(folder for folder in folders if folder))


@dataclass(frozen=True)
class _Entry:
    """A file in an archive, while the walk through the archive stands at it.

    `expand` writes its content to a file; `_BadArchive` where the archive ends with it, another `UnreadableFile` where only the member is bad.
    """

    name: str
    expand: Callable[[IO[bytes]], object]

    @contextmanager
    def expanded(self, kind: str) -> Iterator[BinaryIO]:
        """Its content as a file; an archive of its own is refused."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
            self.expand(expanded)
            _refuse_archive(expanded, f"the {kind} file")
            yield cast(BinaryIO, expanded)


def _said_by_members(
    kind: str,
    entries: Iterable[_Entry],
    mapping: Mapping,
    file: FileFacts,
    parse_file: ParseFile,
    called: Callable[[FileFacts, str], FileFacts] = _among,
) -> Iterator[Event]:
    """What each member of an archive says; `called` gives the facts of a member by those of the archive and its name."""
    said, names, is_empty = _Members(parse_file, mapping), list[str](), True
    for entry in entries:
        names += [entry.name][: 20 - len(names)]
        _refuse_outside(kind, entry.name)
        if not _is_wanted(entry.name, mapping):
            continue
        is_empty = False
        yield from said.of(entry, kind, called(file, entry.name))
    if is_empty:
        raise _holds_nothing(kind, names, mapping)
    yield from said.set_aside()


def _one_by_one(kind: str, entries: Iterable[_Entry]) -> Iterator[tuple[str, BinaryIO | UnreadableFile]]:
    """Each member as a stream, or with the reason why it cannot be read."""
    seen, any_mapping = set[str](), Mapping()
    for entry in entries:
        try:
            _refuse_outside(kind, entry.name)
            if not _is_wanted(entry.name, any_mapping):
                continue
            if entry.name in seen:
                raise UnreadableFile("it is in the archive twice; the first one is read.")
            seen.add(entry.name)
            with entry.expanded(kind) as expanded:
                yield entry.name, expanded
        except _BadArchive as error:
            raise UnreadableFile(f"In {entry.name}: {error}") from error
        except UnreadableFile as error:
            yield entry.name, error


def _zip_entries(stream: BinaryIO) -> list[_Entry]:
    """The files in a zip."""
    try:
        archive = zipfile.ZipFile(stream)
    except (*_DAMAGE, ValueError) as error:
        raise UnreadableFile("The zip file is truncated or damaged. Was its transfer complete? Drop it again.") from error
    size, spent = stream.seek(0, 2), 0

    def expand(member: zipfile.ZipInfo, target: IO[bytes]) -> None:
        nonlocal spent
        if member.flag_bits & 1:
            raise UnreadableFile("it is protected by a password. Zip it without one.")
        spent += _expand(_zip_member(archive, member, stream), target)
        # members may share their packed bytes: what all of them come to counts too
        _refuse_bomb("The zip file", spent, size)

    return [_Entry(member.filename, partial(expand, member)) for member in archive.infolist() if not member.is_dir()]


def _tar_entries(source: _Bounded) -> Iterator[_Entry]:
    """The files in a tar in one pass; what is damaged or cut off is refused."""
    try:
        archive = tarfile.open(fileobj=cast(IO[bytes], source), mode="r|", tarinfo=_TarHeader)  # noqa: SIM115  # closes nothing
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else every header of a long archive stays in memory
            if not member.isdir():
                yield _Entry(member.name, partial(_expand_from_tar, archive, member))
        while source.read():
            pass
    except tarfile.TarError as error:
        raise UnreadableFile(_TAR_DAMAGED) from error
    if source.tail.strip(b"\0"):  # a tar ends in blocks of zeros, which a transfer that broke off lacks
        raise UnreadableFile(_TAR_DAMAGED)


def _expand_from_tar(archive: tarfile.TarFile, member: tarfile.TarInfo, target: IO[bytes]) -> None:
    if not member.isreg() or member.issparse():
        raise UnreadableFile("it is no plain file but a link, a device or a file with holes. Pack its content (tar --dereference).")
    content = archive.extractfile(member)
    assert content is not None
    try:
        _expand(content, target)
    except tarfile.TarError as error:
        raise _BadArchive(_TAR_DAMAGED) from error


def _is_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start[:_TAR_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _refuse_outside(kind: str, name: str) -> None:
    """Raise `UnreadableFile` for a name that leads out of the archive."""
    path = _path(name)
    if path.is_absolute() or ".." in path.parts or (path.parts[:1] and path.parts[0].endswith(":")):
        raise UnreadableFile(f"The {kind} file names a member outside of itself ({name!r}), which no honest program writes.")


def _is_wanted(name: str, mapping: Mapping) -> bool:
    path = _path(name)
    if "__MACOSX" in path.parts[:1] or path.name.startswith(".") or not path.name:
        return False
    return mapping.members is None or fnmatch(str(path), mapping.members) or fnmatch(path.name, mapping.members)


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _holds_nothing(archive: str, names: list[str], mapping: Mapping) -> UnreadableFile:
    there = ", ".join(names[:20]) or "nothing"
    which = f"no member like {mapping.members!r}" if mapping.members else "no file"
    return UnreadableFile(f"The {archive} file holds {which}; it holds {there}.")


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, stream: BinaryIO) -> _Bounded:
    damaged = "it is damaged, or packed in a way that cannot be read. Zip it again."
    try:
        return _Bounded(archive.open(member), stream, "it", UnreadableFile(damaged), since=member.header_offset)
    except _DAMAGE as error:
        raise UnreadableFile(damaged) from error


def _expand(source: _Readable, target: IO[bytes]) -> int:
    expanded = 0
    while block := source.read(_BLOCK):
        expanded += len(block)
        if expanded > LARGEST_EXPANDED:
            raise _BadArchive(f"it expands to more than {LARGEST_EXPANDED >> 30} GiB. Split it.")
        target.write(block)
    target.seek(0)
    return expanded


def _refuse_bomb(what: str, expanded: int, packed: int) -> None:
    if expanded > _RATIO_COUNTS_FROM and expanded > LARGEST_RATIO * max(packed, 1):
        raise _BadArchive(f"{what} expands to more than {expanded >> 20} MiB from {packed:,} bytes. Split it, or drop it unpacked.")


def _refuse_archive(expanded: IO[bytes], outer: str) -> None:
    start = expanded.read(_TAR_BLOCK)
    expanded.seek(0)
    is_workbook = start.startswith(_ZIP) and start[30:].startswith((b"[Content_Types].xml", b"xl/", b"_rels/", b"docProps/", b"mimetype"))
    is_packed = start.startswith((_ZIP, _EMPTY_ZIP, *(each.magic for each in PACKINGS)))
    if (is_packed and not is_workbook) or _is_tar(start):
        raise UnreadableFile(f"There is an archive within {outer}, which is not taken. Unpack the inner one and drop its files.")
