"""The registry of parsers, and the one that fits a file by its content.

Add a parser to `PARSERS`, specific kinds before general ones: the first that recognises the content reads the file. Only what none of them
knows, and what is not known to be foreign, is read as plain text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from water_pipelines.parsers import complete, foreign
from water_pipelines.parsers.archives import PACKINGS, Packed, Tar, Zip
from water_pipelines.parsers.argo import ArgoFile
from water_pipelines.parsers.argo_grey_list import GreyListFile
from water_pipelines.parsers.columnar import Parquet
from water_pipelines.parsers.contract import MESSAGES, Event, FileFacts, Parser, UnreadableFile, read_head
from water_pipelines.parsers.loggers import LOGGERS
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.messages import Messages
from water_pipelines.parsers.records import Json, Ndjson
from water_pipelines.parsers.services import SERVICES
from water_pipelines.parsers.sheets import Sheets
from water_pipelines.parsers.solinst import SolinstXle
from water_pipelines.parsers.stations import StationGeoJson, StationTable, StationYaml
from water_pipelines.parsers.text import Text


@dataclass(frozen=True)
class Recognised:
    """What kind a file is (``observations``, ``stations``, ``argo``, ``archive``) and which version of which parser reads it."""

    kind: str
    parser: str
    version: str


def parse_file(stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
    """What a file says, by the parser that recognises its content.

    Raises
    ------
    UnreadableFile
        At once or while iterating: the file as a whole is refused; nothing of it may be kept.
    """
    parser = find_parser(stream, mapping)
    yield from said_by(parser, stream, mapping, file)


def said_by(parser: Parser, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
    """What a file says by its parser, and which windows it gives completely where the mapping declares it complete."""
    events = parser.parse(stream, mapping, file)
    # of an archive each member is complete by itself; messages tell single values
    is_complete = mapping.complete and parser.kind == "observations" and parser.name != MESSAGES
    return complete.told(events, mapping) if is_complete else events


def describe(stream: BinaryIO, mapping: Mapping) -> Recognised:
    """Kind, parser and version for a file, by its content; raises UnreadableFile as `parse_file` does."""
    parser = find_parser(stream, mapping)
    return Recognised(parser.kind, parser.name, parser.version)


def find_parser(stream: BinaryIO, mapping: Mapping) -> Parser:
    """The first parser that recognises the content.

    Raises
    ------
    UnreadableFile
        The file is empty, or no parser knows its content.
    """
    head = read_head(stream, mapping)
    if head.size == 0:
        raise UnreadableFile("The file is empty. Was it still being written, or did its transfer fail? Drop it again.")
    for parser in PARSERS:
        if parser.recognises(head):
            return parser
    foreign.refuse(head)
    for parser in TEXTS:
        if parser.recognises(head):
            return parser
    raise UnreadableFile("The file is binary, and of no kind that is known here. Export it as CSV, Excel, JSON or Parquet.")


PARSERS: tuple[Parser, ...] = (
    Messages(),
    ArgoFile(),
    *(Packed(packing, parse_file) for packing in PACKINGS),
    Sheets(),
    Zip(parse_file),
    Tar(parse_file),
    Parquet(),
    GreyListFile(),
    StationGeoJson(),
    SolinstXle(),
    *LOGGERS,
    *SERVICES,
    Ndjson(),
    Json(),
)
TEXTS: tuple[Parser, ...] = (StationYaml(), StationTable(), Text())
