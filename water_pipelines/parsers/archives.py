"""Packed files (gzip, zstd, bzip2), zip and tar of any other kind: each member is read as if it had been dropped alone.

Add a kind of packing to `PACKINGS`. Nothing is ever written under a member's name; what is expanded is bounded by what was read for it;
archives within archives are not read, but for a tar that is packed as a whole. A member of which nothing can be read (a manual, a web page,
a table without times) is set aside with its reason; one that breaks in the middle refuses the whole file, and is named.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol, cast

import pyarrow as pa
import zstandard

from water_pipelines.parsers.argo_grey_list import GreyListFile
from water_pipelines.parsers.argo_netcdf import CLASSIC, HDF5
from water_pipelines.parsers.contract import OBSERVATION_SCHEMA, Described, Event, FileFacts, Head, Rejected, Rows, Series, UnreadableFile
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

    version = "3"
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
        if _is_tar(self._unpacked(stream).read(_TAR_BLOCK)):
            yield from _tar_members(self._unpacked(stream), mapping, file, self._parse_file)
            return
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
            _expand(self._unpacked(stream), expanded)
            _refuse_archive(expanded, f"the {self.name} file")
            yield from self._parse_file(cast(BinaryIO, expanded), mapping, file)

    def holds_argo(self, stream: BinaryIO) -> bool:
        """Whether it is a file of the Argo archive, or a tar with a member that is called as these are; false where it cannot be read."""
        try:
            start = self._unpacked(stream).read(_TAR_BLOCK)
            return _tar_holds_argo(self._unpacked(stream)) if _is_tar(start) else _starts_as_argo(start)
        except UnreadableFile:
            return False

    def members(self, stream: BinaryIO) -> Iterator[tuple[str, BinaryIO | UnreadableFile]]:
        """The file within, which has no name; of a tar its members, as `Tar.members` gives them."""
        if _is_tar(self._unpacked(stream).read(_TAR_BLOCK)):
            yield from _tar_one_by_one(self._unpacked(stream))
            return
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
            _expand(self._unpacked(stream), expanded)
            _refuse_archive(expanded, f"the {self.name} file")
            yield "", cast(BinaryIO, expanded)

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
    version = "3"
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
        try:
            archive = zipfile.ZipFile(stream)
        except (*_DAMAGE, ValueError) as error:
            raise UnreadableFile("The zip file is truncated or damaged. Was its transfer complete? Drop it again.") from error
        size, spent = stream.seek(0, 2), 0
        with archive:
            members = [member for member in archive.infolist() if not member.is_dir() and _is_wanted(member.filename, mapping, "zip")]
            if not members:
                raise _holds_nothing("zip", archive.namelist(), mapping)
            said = _Members(self._parse_file, mapping)
            for member in members:
                with said.member(member.filename), tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
                    if member.flag_bits & 1:
                        raise UnreadableFile("it is protected by a password. Zip it without one.")
                    spent += _expand(_zip_member(archive, member, stream), expanded)
                    # members may share their packed bytes: what all of them come to counts too
                    _refuse_bomb("The zip file", spent, size)
                    _refuse_archive(expanded, "the zip file")
                    yield from said.of(expanded, _alone(file, member.filename) if len(members) == 1 else _among(file, member.filename))
            yield from said.set_aside()

    def holds_argo(self, stream: BinaryIO) -> bool:
        """Whether it has a member that is called as files of the Argo archive are; false where it cannot be read as a zip at all."""
        try:
            with zipfile.ZipFile(stream) as archive:
                return any(map(_is_called_as_argo, archive.namelist()))
        except (*_DAMAGE, ValueError):
            return False

    def members(self, stream: BinaryIO) -> Iterator[tuple[str, BinaryIO | UnreadableFile]]:
        """The members, for whoever can do without the bad ones: each as a stream, or with the reason why it cannot be read.

        Raises
        ------
        UnreadableFile
            The zip itself is damaged.
        """
        try:
            archive = zipfile.ZipFile(stream)
        except (*_DAMAGE, ValueError) as error:
            raise UnreadableFile("The zip file is truncated or damaged. Was its transfer complete? Drop it again.") from error
        size, spent, seen, any_mapping = stream.seek(0, 2), 0, set[str](), Mapping()
        with archive:
            for member in archive.infolist():
                try:
                    if member.is_dir() or not _is_wanted(member.filename, any_mapping, "zip"):
                        continue
                    if member.filename in seen:
                        raise UnreadableFile("it is in the archive twice; the first one is read.")
                    seen.add(member.filename)
                    if member.flag_bits & 1:
                        raise UnreadableFile("it is protected by a password. Zip it without one.")
                    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
                        spent += _expand(_zip_member(archive, member, stream), expanded)
                        _refuse_archive(expanded, "the zip file")
                        _refuse_bomb("The zip file", spent, size)
                        yield member.filename, cast(BinaryIO, expanded)
                except UnreadableFile as error:
                    yield member.filename, error


class Tar:
    """A tar of data files; one that is packed as a whole is read by `Packed`."""

    name = "tar"
    version = "2"
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
        yield from _tar_members(self._bounded(stream), mapping, file, self._parse_file)

    def holds_argo(self, stream: BinaryIO) -> bool:
        """Whether it has a member that is called as files of the Argo archive are; false where it cannot be read."""
        try:
            return _tar_holds_argo(self._bounded(stream))
        except UnreadableFile:
            return False

    def members(self, stream: BinaryIO) -> Iterator[tuple[str, BinaryIO | UnreadableFile]]:
        """The members, for whoever can do without the bad ones: each as a stream, or with the reason why it cannot be read.

        Raises
        ------
        UnreadableFile
            The tar is damaged or cut off, or expands to far more than any data does; members before were given by then.
        """
        yield from _tar_one_by_one(self._bounded(stream))

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
        self._has_spoken = False
        self._read = 0
        self._refused: list[Rejected] = []

    @contextmanager
    def member(self, name: str) -> Iterator[None]:
        """Name a member in what is wrong with it, and set it aside unless it has said something already."""
        self._has_spoken = False
        try:
            yield
        except UnreadableFile as error:
            if self._has_spoken or isinstance(error, _BadArchive):
                raise UnreadableFile(f"In {name}: {error}{_CHOOSE}") from error
            self._refused.append(Rejected(0, name, str(error)))
        else:
            self._read += 1

    def of(self, expanded: IO[bytes], file: FileFacts) -> Iterator[Event]:
        """What one member says."""
        for event in self._parse_file(cast(BinaryIO, expanded), self._mapping, file):
            self._has_spoken = True
            yield self._only_new(event) if isinstance(event, Described) else event

    def set_aside(self) -> Iterator[Event]:
        """The members of which nothing could be read, as rejected rows; where that is all of them, the archive is refused."""
        if self._refused and not self._read:
            first = self._refused[0]
            hint = f" None of its {len(self._refused)} members can be read.{_CHOOSE}" if len(self._refused) > 1 else ""
            raise UnreadableFile(f"In {first.text}: {first.reason}{hint}")
        if self._refused:
            yield Rows(pa.RecordBatch.from_pylist([], schema=OBSERVATION_SCHEMA), self._refused)

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


_CHOOSE = " To read only some members, say so in the mapping: members: '*.csv'."
_TAR_DAMAGED = "The tar file is truncated or damaged. Was its transfer complete? Drop it again."


def _tar_members(source: _Bounded, mapping: Mapping, file: FileFacts, parse_file: ParseFile) -> Iterator[Event]:
    """What each member of a tar says, read in one pass."""
    said, read = _Members(parse_file, mapping), 0
    names: list[str] = []
    for archive, member in _tar_entries(source):
        names += [member.name][: 20 - len(names)]
        if member.isdir() or not _is_wanted(member.name, mapping, "tar"):
            continue
        read += 1
        with said.member(member.name), tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
            _require_plain(member)
            _expand_member(archive, member, expanded)
            _refuse_archive(expanded, "the tar file")
            yield from said.of(expanded, _among(file, member.name))
    if not read:
        raise _holds_nothing("tar", names, mapping)
    yield from said.set_aside()


def _tar_one_by_one(source: _Bounded) -> Iterator[tuple[str, BinaryIO | UnreadableFile]]:
    seen, any_mapping = set[str](), Mapping()
    for archive, member in _tar_entries(source):
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
            try:
                if member.isdir() or not _is_wanted(member.name, any_mapping, "tar"):
                    continue
                if member.name in seen:
                    raise UnreadableFile("it is in the archive twice; the first one is read.")
                seen.add(member.name)
                _require_plain(member)
            except UnreadableFile as error:
                yield member.name, error
                continue
            try:
                _expand_member(archive, member, expanded)
            except UnreadableFile as error:
                raise UnreadableFile(f"In {member.name}: {error}") from error
            try:
                _refuse_archive(expanded, "the tar file")
                yield member.name, cast(BinaryIO, expanded)
            except UnreadableFile as error:
                yield member.name, error


def _tar_holds_argo(source: _Bounded) -> bool:
    return any(_is_called_as_argo(member.name) for _, member in _tar_entries(source))


def _tar_entries(source: _Bounded) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The headers of a tar in one pass, each with the archive while that stands at its content; what is damaged or cut off is refused."""
    try:
        archive = tarfile.open(fileobj=cast(IO[bytes], source), mode="r|", tarinfo=_TarHeader)  # noqa: SIM115  # closes nothing
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else every header of a long archive stays in memory
            yield archive, member
        while source.read():
            pass
    except tarfile.TarError as error:
        raise UnreadableFile(_TAR_DAMAGED) from error
    if source.tail.strip(b"\0"):  # a tar ends in blocks of zeros, which a transfer that broke off lacks
        raise UnreadableFile(_TAR_DAMAGED)


def _require_plain(member: tarfile.TarInfo) -> None:
    if not member.isreg() or member.issparse():
        raise UnreadableFile("it is no plain file but a link, a device or a file with holes. Pack its content (tar --dereference).")


def _expand_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: IO[bytes]) -> None:
    content = archive.extractfile(member)
    assert content is not None
    try:
        _expand(content, target)
    except tarfile.TarError as error:
        raise _BadArchive(_TAR_DAMAGED) from error


def _is_called_as_argo(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.suffix.lower() in (".nc", ".nc4") and "__MACOSX" not in path.parts[:1] and not path.name.startswith(".")


def _starts_as_argo(start: bytes) -> bool:
    return start.startswith((*CLASSIC, HDF5)) or GreyListFile().recognises(Head(start, len(start), Mapping()))


def _is_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start[:_TAR_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_wanted(name: str, mapping: Mapping, archive: str) -> bool:
    """Whether a member is to be read; a name that leads out of the archive refuses all of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts[:1] and path.parts[0].endswith(":")):
        raise UnreadableFile(f"The {archive} file names a member outside of itself ({name!r}), which no honest program writes.")
    if "__MACOSX" in path.parts[:1] or path.name.startswith(".") or not path.name:
        return False
    return mapping.members is None or fnmatch(str(path), mapping.members) or fnmatch(path.name, mapping.members)


def _holds_nothing(archive: str, names: list[str], mapping: Mapping) -> UnreadableFile:
    there = ", ".join(names[:20]) or "nothing"
    which = f"no member like {mapping.members!r}" if mapping.members else "no file"
    return UnreadableFile(f"The {archive} file holds {which}; it holds {there}.")


def _alone(file: FileFacts, member: str) -> FileFacts:
    """The only member is called after its archive."""
    return replace(file, name=f"{PurePosixPath(file.name).stem}{PurePosixPath(member).suffix}")


def _among(file: FileFacts, member: str) -> FileFacts:
    """One of several is called after its archive, its folders in it, and itself."""
    path = PurePosixPath(member.replace("\\", "/"))
    folders = [file.prefix, PurePosixPath(file.name).stem, *path.parent.parts]
    return replace(file, name=path.name, prefix="/".join(folder for folder in folders if folder))


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
