"""Delimited and fixed-width text, long or wide: lines to a table in bounded chunks.

Add here what concerns splitting lines into cells. A clean block goes to the vectorised reader; only a block that it refuses, because of
rows of another width or stray quotes, is split line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO

import numpy as np
import polars as pl

from water_pipelines.parsers import dialect, encoding, names
from water_pipelines.parsers.contract import Event, FileFacts, Head, Rejected, Rows, UnreadableFile, read_head
from water_pipelines.parsers.dialect import WHITESPACE, Dialect, split_quoted
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.readings import read_table
from water_pipelines.parsers.source import CUT_OFF
from water_pipelines.parsers.table import Chunk, Table, shorten

_CAREFUL_BYTES = 1 << 17
_NUMERIC = re.compile(r"[<>]?[+-]?\d+(?:[.,]\d*)?")
_TAIL_BYTES, _LINES_TO_COMPARE, _ENOUGH_LINES = 1 << 16, 50, 20
_LONGEST_RECORD = 50
"""Lines that one quoted cell may span: a quote that never closes must not swallow the rest of the file."""


class Text:
    """CSV and its relatives."""

    name = "text"
    version = "4"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """Anything that reads as text."""
        return head.mapping.encoding is not None or encoding.detect(head.start) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of the table in the text; several tables one below the other are refused, since nothing tells their series apart."""
        table = read_text(stream, mapping)
        for event in read_table(table, mapping, file):
            if isinstance(event, Rows):
                _refuse_stacked(table, event.rejected)
            yield event


_HEADING = re.compile(r"\W*(?:station|site|location|gauge|sensor|parameter|logger|serial|well|messstelle|pegel|meetpunt)\b\W*\w", re.IGNORECASE)


def _refuse_stacked(table: Table, rejected: list[Rejected]) -> None:
    """Another table in the middle: a header of other columns, a line that names a station, or the header again below lines that are no rows.

    A header that comes again by itself is only noise.
    """
    header = names.key("".join(table.columns))
    columns = [names.key(name) for name in table.columns]
    for row in rejected:
        cells = [names.key(cell) for cell in row.text.split(table.joiner)] if table.joiner else []
        is_header = table.has_header and len(cells) > 1 and cells[0] == columns[0] != "" and "".join(cells) != header
        if is_header or (len([cell for cell in cells if cell]) <= 2 and _HEADING.match(row.text)):
            raise UnreadableFile(
                f"Another table begins at line {row.source_row}: {shorten(row.text)[:80]!r}. Its values would be taken for the first one's. "
                "Split the file, a table each, and drop the parts; or put what tells the tables apart into a column."
            )
    for before, again in pairwise(rejected):
        if table.has_header and again.source_row - before.source_row <= 2 and names.key(again.text) == header != names.key(before.text):
            raise UnreadableFile(
                f"Another table begins at line {again.source_row}, with the same header as the first. Its values would be taken for the first one's."
                " Split the file, a table each, and drop the parts; or put what tells the tables apart into a column."
            )


def read_text(stream: BinaryIO, mapping: Mapping) -> Table:
    """The table in a text.

    Raises
    ------
    UnreadableFile
        The bytes are no text, or no table is seen in it.
    """
    head = read_head(stream, mapping)
    charset = mapping.encoding or encoding.detect(head.start)
    if charset is None:
        raise UnreadableFile("The file is binary, not text.")
    found = dialect.detect(encoding.read_head(head.start, charset, is_whole=head.is_whole), mapping)
    return Table(
        columns=found.columns,
        has_header=found.has_header,
        chunks=lambda: _chunks(stream, charset, found),
        first_row=found.skip + 1,
        preamble=found.preamble,
        joiner=found.separator or "",
        units=found.units,
    )


def _chunks(stream: BinaryIO, charset: str, found: Dialect) -> Iterator[Chunk]:
    line, above = 0, b""
    for block in encoding.blocks(stream, charset):
        skip = max(found.skip - line, 0)
        rows = _after_lines(block, skip) if skip else block
        if not rows:
            line += _count_lines(block)
            continue
        line += skip
        if _is_cut_line(rows, above, found):
            frame = pl.DataFrame(schema={str(position): pl.String for position in range(len(found.columns))})
            yield Chunk(frame, np.array([], dtype=np.int32), [Rejected(line + 1, shorten(rows.decode()), CUT_OFF)])
            continue
        above = rows[-_TAIL_BYTES:]
        for chunk, lines in _split(rows, line, found):
            yield chunk
            line += lines


def _is_cut_line(block: bytes, above: bytes, found: Dialect) -> bool:
    """Whether a block is the last line of the file, does not end, and by the lines above it has lost its own end."""
    if b"\n" in block or found.widths:
        return False
    rows = [found.split(line.rstrip("\r")) for line in above.decode(errors="replace").split("\n")[-_LINES_TO_COMPARE:] if line.strip()]
    cells = found.split(block.decode())
    return _is_cut(cells, rows) if len(rows) > 1 else found.has_header and len(cells) < len(found.columns)


def _is_cut(cells: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a row has fewer cells than each of some others, or in its last cell fewer decimals or letters than all of them, who agree."""
    widths = {len(row) for row in rows}
    if widths != {len(cells)}:
        return len(widths) == 1 and len(cells) < min(widths)
    last, others = cells[-1].strip(), [row[-1].strip() for row in rows]
    if all(map(_NUMERIC.fullmatch, others)) and (not last or _NUMERIC.fullmatch(last)):
        decimals = {_decimals(other) for other in others}
        return (len(decimals) == 1 or len(rows) >= _ENOUGH_LINES) and _decimals(last) < min(decimals)
    return len({len(other) for other in others}) == 1 and 0 < len(last) < len(others[0])


def _decimals(number: str) -> int:
    return len(re.sub(r"^[^.,]*[.,]?", "", number))


def _split(block: bytes, line: int, found: Dialect) -> Iterator[tuple[Chunk, int]]:
    """Chunks with their number of lines: the whole block where it is clean, else the halves that are, else what is left line by line."""
    chunk = _split_fast(block, line, found)
    if chunk is not None:
        yield chunk, chunk.frame.height
        return
    middle = _middle(block) if len(block) > _CAREFUL_BYTES else 0
    if middle:
        lines = 0
        for half in (block[:middle], block[middle:]):
            for chunk, count in _split(half, line + lines, found):
                yield chunk, count
                lines += count
        return
    yield _split_carefully(block, line, found), _count_lines(block)


def _middle(block: bytes) -> int:
    """Where a line ends near the middle, and no quoted cell is open; 0 where there is none."""
    middle = len(block) // 2
    for _ in range(_LONGEST_RECORD):
        middle = block.find(b"\n", middle) + 1
        if middle in (0, len(block)):
            return 0
        if block.count(b'"', 0, middle) % 2 == 0:
            return middle
    return 0


def _count_lines(block: bytes) -> int:
    return block.count(b"\n") + (not block.endswith(b"\n"))


def _after_lines(block: bytes, count: int) -> bytes:
    """The block without its first lines; empty when it has no more than these."""
    start = 0
    for _ in range(count):
        start = block.find(b"\n", start) + 1
        if start == 0:
            return b""
    return block[start:]


def _split_fast(block: bytes, line: int, found: Dialect) -> Chunk | None:
    """All lines at once, or None when some do not have the form of the table."""
    if found.widths:
        return _split_widths(block, line, found)
    separator = found.separator
    if separator == WHITESPACE:
        block = re.sub(rb" ?\r?\n ?", b"\n", re.sub(rb"[ \t]+", b" ", block)).removeprefix(b" ")
    try:
        frame = pl.read_csv(block, has_header=False, schema={str(position): pl.String for position in range(len(found.columns))}, separator=separator)
    except pl.exceptions.PolarsError:
        return None
    if b'"' in block and frame.height != _count_lines(block):  # a quoted cell spans lines, or a quote does not close
        return None
    return Chunk(frame, np.arange(line + 1, line + 1 + frame.height, dtype=np.int32))


def _split_widths(block: bytes, line: int, found: Dialect) -> Chunk:
    text = pl.Series(block.decode().removesuffix("\n").split("\n"), dtype=pl.String).str.strip_chars_end("\r")
    starts = np.cumsum([0, *found.widths])
    columns = {
        str(number): text.str.slice(int(starts[number]), width).str.strip_chars().replace("", None) for number, width in enumerate(found.widths)
    }
    return Chunk(pl.DataFrame(columns), np.arange(line + 1, line + 1 + len(text), dtype=np.int32))


def _split_carefully(block: bytes, line: int, found: Dialect) -> Chunk:
    """Line by line: rows with more cells than the header are rejected, shorter ones are filled with empty cells."""
    width = len(found.columns)
    rows: list[list[str | None]] = []
    source_rows: list[int] = []
    rejected: list[Rejected] = []
    for number, text in _records(block.decode().removesuffix("\n").split("\n"), line, found.separator):
        if not text.strip():
            continue
        cells = found.split(text)
        if any(cell.strip() for cell in cells[width:]):
            rejected.append(Rejected(number, shorten(text), f"the row has {len(cells)} columns, but the header has {width}"))
            continue
        rows.append([cell or None for cell in cells[:width]] + [None] * (width - len(cells)))
        source_rows.append(number)
    cells_of = list(zip(*rows, strict=True)) if rows else [()] * width
    frame = pl.DataFrame({str(position): pl.Series(cells_of[position], dtype=pl.String) for position in range(width)})
    return Chunk(frame, np.array(source_rows, dtype=np.int32), rejected)


def _records(lines: list[str], before: int, separator: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; those that a quoted cell spans are joined, where that makes sense of the quotes."""
    at = 0
    while at < len(lines):
        text, end = lines[at], at + 1
        while text.count('"') % 2 and end < min(len(lines), at + _LONGEST_RECORD):
            text, end = f"{text}\n{lines[end]}", end + 1
        if end > at + 1 and split_quoted(text, separator) is None:
            text, end = lines[at], at + 1
        yield before + at + 1, text.rstrip("\r")
        at = end
