"""Gzip and zip of any other kind: each member is read as if it had been dropped alone.

Add a kind of archive here. Nothing is ever written under a member's name; what is expanded is bounded; archives within archives are refused.
"""

from __future__ import annotations

import gzip
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from water_pipelines.parsers.contract import Described, Event, FileFacts, Head, Series, UnreadableFile
from water_pipelines.parsers.mapping import Mapping

LARGEST_EXPANDED = 8 << 30
LARGEST_RATIO = 500
_RATIO_COUNTS_FROM = 64 << 20
_IN_MEMORY = 32 << 20
_BLOCK = 1 << 20

_GZIP, _ZIP, _EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"

ParseFile = Callable[[BinaryIO, Mapping, FileFacts], Iterator[Event]]


class Gzip:
    """One compressed file."""

    name = "gzip"
    version = "1"
    kind = "archive"

    def __init__(self, parse_file: ParseFile) -> None:
        self._parse_file = parse_file

    def recognises(self, head: Head) -> bool:
        """By the magic bytes."""
        return head.start.startswith(_GZIP)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """What the file within says; its name is that of the archive without ``.gz``."""
        size = stream.seek(0, 2)
        stream.seek(0)
        name = file.name[:-3] if file.name.lower().endswith(".gz") else file.name
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
            try:
                with gzip.GzipFile(fileobj=stream) as source:
                    _expand(source, expanded, size, "The file")
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise UnreadableFile("The gzip file is truncated or damaged. Was its transfer complete? Drop it again.") from error
            _refuse_archive(expanded, "the gzip file")
            yield from self._parse_file(cast(BinaryIO, expanded), mapping, replace(file, name=name))


class Zip:
    """A zip of data files."""

    name = "zip"
    version = "1"
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
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise UnreadableFile("The zip file is truncated or damaged. Was its transfer complete? Drop it again.") from error
        with archive:
            members = _members(archive, mapping)
            seen: dict[str, Series] = {}
            for member in members:
                try:
                    for event in self._parse_member(archive, member, mapping, _named(file, member, alone=len(members) == 1)):
                        yield _only_new(event, seen) if isinstance(event, Described) else event
                except UnreadableFile as error:
                    hint = "" if len(members) == 1 else " To read only some members, say so in the mapping: members: '*.csv'."
                    raise UnreadableFile(f"In {member.filename}: {error}{hint}") from error

    def _parse_member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        if member.flag_bits & 1:
            raise UnreadableFile("it is protected by a password. Zip it without one.")
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as expanded:
            try:
                with archive.open(member) as source:
                    _expand(source, expanded, member.compress_size, "it")
            except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError, NotImplementedError) as error:
                raise UnreadableFile(f"it is damaged or packed in a way that cannot be read ({error}). Zip it again.") from error
            _refuse_archive(expanded, "the zip file")
            yield from self._parse_file(cast(BinaryIO, expanded), mapping, file)


def _members(archive: zipfile.ZipFile, mapping: Mapping) -> list[zipfile.ZipInfo]:
    found = []
    for member in archive.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts[:1] and path.parts[0].endswith(":")):
            raise UnreadableFile(f"The zip file names a member outside of itself ({member.filename!r}), which no honest program writes.")
        if member.is_dir() or path.parts[0] == "__MACOSX" or path.name.startswith("."):
            continue
        if mapping.members is None or fnmatch(str(path), mapping.members) or fnmatch(path.name, mapping.members):
            found.append(member)
    if not found:
        there = ", ".join(archive.namelist()[:20]) or "nothing"
        which = f"no member like {mapping.members!r}" if mapping.members else "no file"
        raise UnreadableFile(f"The zip file holds {which}; it holds {there}.")
    return found


def _named(file: FileFacts, member: zipfile.ZipInfo, *, alone: bool) -> FileFacts:
    stem = PurePosixPath(file.name).stem
    if alone:
        return replace(file, name=f"{stem}{PurePosixPath(member.filename).suffix}")
    return replace(file, name=PurePosixPath(member.filename).name, prefix=f"{file.prefix}/{stem}" if file.prefix else stem)


def _expand(source: IO[bytes] | gzip.GzipFile, target: IO[bytes], packed: int, what: str) -> None:
    expanded = 0
    while block := source.read(_BLOCK):
        expanded += len(block)
        is_bomb = expanded > _RATIO_COUNTS_FROM and expanded > LARGEST_RATIO * max(packed, 1)
        if expanded > LARGEST_EXPANDED or is_bomb:
            raise UnreadableFile(f"{what} expands to more than {expanded >> 20} MiB from {packed:,} bytes. Split it, or drop it unpacked.")
        target.write(block)
    target.seek(0)


def _refuse_archive(expanded: IO[bytes], outer: str) -> None:
    start = expanded.read(512)
    expanded.seek(0)
    is_workbook = start.startswith(_ZIP) and start[30:].startswith((b"[Content_Types].xml", b"xl/", b"_rels/", b"docProps/", b"mimetype"))
    if (start.startswith((_GZIP, _ZIP, _EMPTY_ZIP)) and not is_workbook) or start[257:262] == b"ustar":
        raise UnreadableFile(f"There is an archive within {outer}, which is not taken. Unpack the inner one and drop its files.")


def _only_new(event: Described, seen: dict[str, Series]) -> Described:
    """What no earlier member described; the same series in another unit cannot be loaded together."""
    series = []
    for one in event.series:
        known = seen.setdefault(one.natural_id, one)
        if known is one:
            series.append(one)
        elif known.attributes.get("unit") != one.attributes.get("unit"):
            raise UnreadableFile(
                f"the unit of {one.natural_id} is {one.attributes.get('unit')!r}, but {known.attributes.get('unit')!r} in an earlier member."
            )
    return Described(event.stations, series)
