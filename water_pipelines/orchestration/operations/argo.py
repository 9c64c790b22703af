"""Loading of Argo files: many small ones in one transaction, the next of them read while these are written; a large one by way of the disk.

Add here what becomes of a kind of Argo file before it is stored. What its arrays mean is the parser's, which version of a cast is current
is the store's.
"""

from __future__ import annotations

import logging
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from water_pipelines.domain.argo.casts import Casts, FloatMeta, SurfaceFixes, TechnicalValues
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import edges
from water_pipelines.parsers.archives import PACKINGS, Packed, Tar, Zip
from water_pipelines.parsers.contract import Argo, FileFacts, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.storage import argo, source_files
from water_pipelines.storage.argo import ArgoFile, Member
from water_pipelines.storage.loads import Loaded
from water_pipelines.storage.source_files import SourceFile
from water_pipelines.storage.staging import Edge

if TYPE_CHECKING:
    from water_pipelines.parsers.contract import Parser

log = logging.getLogger(__name__)

_TOGETHER, _TOGETHER_BYTES = 400, 64 << 20
_SMALL_BYTES = 16 << 20
_NAMES = (".nc", ".nc4")
_PACKED = tuple(f"{name}{suffix}" for name in _NAMES for packing in PACKINGS for suffix, inner in packing.suffixes.items() if not inner)
_PACKED_TO = 10  # files of the archive pack to a quarter, multi-profile ones to a seventeenth


class NoMemberLoaded(UnreadableFile):
    """An archive none of whose members could be read; the reasons are kept for whoever mends it."""

    def __init__(self, message: str, rejected: list[tuple[int, str, str]]) -> None:
        super().__init__(message)
        self.rejected = rejected


def is_small(file: SourceFile) -> bool:
    """Whether a file is, by its name and size, one of those that are loaded together."""
    return file.kind == "data" and file.name.lower().endswith((*_NAMES, *_PACKED)) and _unpacked_bytes(file) <= _SMALL_BYTES


def _unpacked_bytes(file: SourceFile) -> int:
    """About how large a file is as it is read."""
    return file.bytes * (_PACKED_TO if file.name.lower().endswith(_PACKED) else 1)


def load_one(platform: Platform, file: SourceFile, facts: FileFacts, parser: Parser, scratch: Path) -> Loaded:
    """Load a file that is held, by the parser that recognised it; `UnreadableFile` where it is at fault as a whole."""
    with ExitStack() as kept:
        parsed = read(platform, file, facts, kept, scratch, parser)
        (loaded,) = argo.load(platform.database, [parsed], _edges(platform))
    return loaded


def load_together(platform: Platform, files: Iterable[tuple[SourceFile, FileFacts]]) -> Iterator[Loaded]:
    """Load small files, several hundred in one transaction; one that cannot be read is noted with its reason, and the rest goes on."""
    facts_of: dict[int, FileFacts] = {}
    with ThreadPoolExecutor(1) as reader, ExitStack() as everything:
        writing: tuple[ExitStack, Future[list[ArgoFile]]] | None = None
        for group in chain(_groups(files), [[]]):
            reading = None
            if group:
                held = everything.enter_context(ExitStack())
                facts_of |= {file.arrival: facts for file, facts in group}
                mine = held.enter_context(source_files.loading_many(platform.database, [file.arrival for file, _ in group]))
                reading = (held, reader.submit(_read_all, platform, [(file, facts_of[file.arrival]) for file in mine]))
            if writing is not None:
                with writing[0]:
                    yield from _write_all(platform, writing[1].result())
            writing = reading


def _groups(files: Iterable[tuple[SourceFile, FileFacts]]) -> Iterator[list[tuple[SourceFile, FileFacts]]]:
    group: list[tuple[SourceFile, FileFacts]] = []
    size = 0
    for each in files:
        if group and (len(group) >= _TOGETHER or size + _unpacked_bytes(each[0]) > _TOGETHER_BYTES):
            yield group
            group, size = [], 0
        group.append(each)
        size += _unpacked_bytes(each[0])
    if group:
        yield group


def _read_all(platform: Platform, files: Sequence[tuple[SourceFile, FileFacts]]) -> list[ArgoFile]:
    parsed = []
    for file, facts in files:
        try:
            with ExitStack() as kept:
                parsed.append(read(platform, file, facts, kept))
        except UnreadableFile as error:
            log.warning("%s is set aside: %s", file.name, error)
            rejected = error.rejected if isinstance(error, NoMemberLoaded) else []
            source_files.refuse(platform.database, file.arrival, status="quarantined", error=str(error), rejected=rejected)
        except Exception as error:
            log.exception("%s could not be read", file.name)
            _failed(platform, file, error)
    return parsed


def _write_all(platform: Platform, files: Sequence[ArgoFile]) -> list[Loaded]:
    """Write files in one transaction; where it fails, each by itself, so that one file's fault is not the others'."""
    if not files:
        return []
    try:
        loaded = argo.load(platform.database, files, _edges(platform))
    except Exception as error:
        log.exception("%s Argo files could not be loaded together", len(files))
        if len(files) == 1:
            _failed(platform, files[0].file, error)
            return []
        return [done for each in files for done in _write_all(platform, [each])]
    log.info("%s Argo files: %s levels, %s of them current", len(files), sum(each.rows for each in loaded), sum(each.new for each in loaded))
    return loaded


def _failed(platform: Platform, file: SourceFile, error: Exception) -> None:
    source_files.refuse(platform.database, file.arrival, status="failed", error=f"{type(error).__name__}: {error}")


def _edges(platform: Platform) -> list[Edge]:
    with platform.database.connection() as connection:
        return edges(connection, "core/argo_level")


def reread(platform: Platform, file: SourceFile, facts: FileFacts, scratch: Path) -> ArgoFile:
    """A file that was loaded, to be read anew whenever its members are asked for: of many such files one at a time is held.

    Its members raise `UnreadableFile` where the present parsers refuse it.
    """

    def members() -> Iterator[Member]:
        with ExitStack() as kept:
            yield from read(platform, file, facts, kept, scratch).members()

    return ArgoFile(file, members, [], "", "")


def read(
    platform: Platform, file: SourceFile, facts: FileFacts, kept: ExitStack, scratch: Path | None = None, parser: Parser | None = None
) -> ArgoFile:
    """A file as its load takes it.

    Parameters
    ----------
    kept : closes what a large file needs, once it was loaded.
    scratch : the folder in which a large file, or an archive, is spooled; none keeps the file in memory.
    parser : what recognised the file; none where nobody has looked at it.

    Raises
    ------
    UnreadableFile
        Nothing of the file can be taken.
    """
    from water_pipelines.parsers.recognise import find_parser  # with polars, which most processes do without

    rejected: list[tuple[int, str, str]] = []
    with platform.store.open(file.key) as stream:
        parser = parser or find_parser(stream, Mapping())
        stream.seek(0)
        members: _Members = _OnDisk(kept, scratch) if scratch is not None else _InMemory()
        if isinstance(parser, Packed | Zip | Tar):
            _read_archive(parser, stream, facts, members, rejected)
        elif parser.kind != "argo":
            raise UnreadableFile(f"It is named as files of the Argo archive are, but is of another kind ({parser.name}). Name it by its kind.")
        else:
            members.add("", list(_contents(parser, stream, facts)) if scratch is None else _contents(parser, stream, facts))
    if not len(members) and rejected:
        _, member, reason = rejected[0]
        raise NoMemberLoaded(f"None of the {len(rejected)} members of the archive could be read. The first: {member}: {reason}", rejected)
    return ArgoFile(file, lambda: members, rejected, parser.name, parser.version)


def _read_archive(archive: Packed | Zip | Tar, stream: BinaryIO, facts: FileFacts, members: _Members, rejected: list[tuple[int, str, str]]) -> None:
    from water_pipelines.parsers.recognise import find_parser

    for place, (name, member) in enumerate(archive.members(stream), start=1):
        try:
            if isinstance(member, UnreadableFile):
                raise member
            parser = find_parser(member, Mapping())
            if parser.kind != "argo":
                raise UnreadableFile("it is no file of the Argo archive, as others in this archive are. Drop it by itself.")
            members.add(name, _contents(parser, member, facts))
        except UnreadableFile as error:
            if not name:  # the only one of a packed file
                raise
            rejected.append((place, name, str(error)))


def _contents(parser: Parser, stream: BinaryIO, facts: FileFacts) -> Iterator[Content]:
    for event in parser.parse(stream, Mapping(), facts):
        assert isinstance(event, Argo)
        _require_numbers(event.content)
        yield event.content


def _require_numbers(content: Content) -> None:
    """Raise `UnreadableFile` unless every float has a number, and every cast a cycle."""
    numbers = (
        content.platform_number.tolist() if isinstance(content, Casts) else [content.platform_number] if isinstance(content, _OF_A_FLOAT) else []
    )
    wrong = next((each for each in numbers if not each.isdecimal() or len(each) > 9), None)
    if wrong is not None:
        raise UnreadableFile(f"The variable PLATFORM_NUMBER says {wrong!r}, which is no WMO number of a float.")
    if isinstance(content, Casts) and len(content) and content.cycle.min() < 0:
        raise UnreadableFile("The variable CYCLE_NUMBER is missing for a cast, which has no place without it.")


Content = argo.Content
_OF_A_FLOAT = (FloatMeta, TechnicalValues, SurfaceFixes)


class _Members:
    """What the members of a file hold, to be gone through more than once."""

    def __init__(self) -> None:
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, name: str, contents: Iterable[Content]) -> None:
        """Keep all contents of a member, or none where one of them cannot be read."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Member]:
        raise NotImplementedError


class _InMemory(_Members):
    def __init__(self) -> None:
        super().__init__()
        self._members: list[Member] = []

    def add(self, name: str, contents: Iterable[Content]) -> None:
        self._members += [Member(name, content) for content in contents]
        self._count += 1

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)


class _OnDisk(_Members):
    def __init__(self, kept: ExitStack, scratch: Path | None) -> None:
        super().__init__()
        self._file: IO[bytes] = kept.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115  # closed by `kept`
        self._end = 0

    def add(self, name: str, contents: Iterable[Content]) -> None:
        self._file.seek(self._end)
        for content in contents:
            pickle.dump(Member(name, content), self._file, protocol=5)
        self._end = self._file.tell()
        self._count += 1

    def __iter__(self) -> Iterator[Member]:
        self._file.seek(0)
        while self._file.tell() < self._end:
            member: Member = pickle.load(self._file)  # of this process' own
            yield member
