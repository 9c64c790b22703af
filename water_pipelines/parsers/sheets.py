"""Workbooks (xlsx, xls, xlsb, ods): one sheet to a table.

Add here what concerns sheets and cells. Dates that were typed as text are read as in any text; real dates need a time zone from the mapping.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from python_calamine import CalamineError, CalamineWorkbook

from water_pipelines.parsers.contract import Event, FileFacts, Head, UnreadableFile
from water_pipelines.parsers.dialect import SAMPLE_LINES, Frame, find_table
from water_pipelines.parsers.layout import resolve
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.readings import read_table
from water_pipelines.parsers.table import Chunk, Table, column_of, text_of

LARGEST_BYTES = 128 << 20
LARGEST_EXPANDED = 2 << 30
LARGEST_CELLS = 8_000_000
"""Between the first and the last cell of a sheet: the readers hold all of them, the empty ones too."""
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"
_MEMBERS = (b"[Content_Types].xml", b"xl/", b"_rels/.rels", b"docProps/", b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet")
_CELL = re.compile(rb"""\sr\s*=\s*["']([A-Z]{0,3})(\d{1,7})["']""")
_DAY_ABOVE_12 = re.compile(r"\s*(?:1[3-9]|2\d|3[01])[-/.]\d{1,2}[-/.]\d|\s*\d{1,2}[-/.](?:1[3-9]|2\d|3[01])[-/.]\d")
_LONGEST_CELL_NAME = 16
_BLOCK = 1 << 20


class Sheets:
    """Excel and OpenDocument workbooks."""

    name = "sheets"
    version = "4"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """An OLE2 file, or a zip that begins with a workbook's members."""
        if head.start.startswith(_OLE2):
            return True
        return head.start.startswith(_ZIP) and any(head.start[30 : 30 + len(member)] == member for member in _MEMBERS)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of one sheet."""
        if (mapping.time_format or "").strip().lower() == "excel" and _counts_from_1904(stream):
            raise UnreadableFile(
                "The workbook counts its days from 1904, and the mapping says that its times are such numbers (time_format: excel), which count from"
                " 1900. Format the column as dates in Excel, leave time_format out, and drop it anew."
            )
        return read_table(read_sheet(_open(stream), mapping, file), mapping, file)


def _counts_from_1904(stream: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(stream) as archive, archive.open("xl/workbook.xml") as workbook:
            return re.search(rb"""date1904=["'](?:1|true)""", workbook.read(_BLOCK)) is not None
    except (zipfile.BadZipFile, KeyError, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return False
    finally:
        stream.seek(0)


def _open(stream: BinaryIO) -> CalamineWorkbook:
    content = stream.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise UnreadableFile(f"The workbook has more than {LARGEST_BYTES >> 20} MiB. Export its data as CSV.")
    if content.startswith(_ZIP):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                _refuse_huge(archive)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise UnreadableFile("The workbook is truncated or damaged. Open it in Excel, save it again, and drop it anew.") from error
    elif "EncryptedPackage".encode("utf-16-le") in content:
        raise UnreadableFile("The workbook is protected by a password. Save it without one.")
    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(content))
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableFile(f"The workbook cannot be opened ({error}). Open it in Excel, save it as .xlsx, and drop it anew.") from error


def _refuse_huge(archive: zipfile.ZipFile) -> None:
    """Refuse a workbook that a reader could not hold. Every member is read, since the sizes that a workbook declares may be wrong."""
    expanded = sum(member.file_size for member in archive.infolist())
    if expanded > LARGEST_EXPANDED:
        raise UnreadableFile(f"The workbook expands to {expanded >> 20} MiB, more than {LARGEST_EXPANDED >> 20}. Export its data as CSV.")
    for member in archive.infolist():
        rows, columns = 0, 0
        with archive.open(member) as source:
            rest = b""
            while block := source.read(_BLOCK):
                found = _CELL.findall(rest + block) if member.filename.startswith("xl/worksheets/") else []
                rows = max(rows, max(map(int, {row for _, row in found}), default=0))
                columns = max(columns, max(map(_column_number, {column for column, _ in found}), default=0))
                rest = block[-_LONGEST_CELL_NAME:]
                if rows * columns > LARGEST_CELLS:
                    raise UnreadableFile(
                        f"The sheet in {member.filename} goes to row {rows:,} and column {columns:,}, which is {rows * columns:,} cells,"
                        f" more than {LARGEST_CELLS:,}. Delete what stands far from the table, or export it as CSV."
                    )


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def read_sheet(workbook: CalamineWorkbook, mapping: Mapping, file: FileFacts) -> Table:
    """The table in the sheet that the mapping names, or in the only sheet that has one.

    Raises
    ------
    UnreadableFile
        There is no such sheet, none has a table of times and values, or several have and none is named.
    """
    names = workbook.sheet_names
    if mapping.sheet is not None:
        wanted = mapping.sheet
        if wanted not in names and wanted.isdigit() and 1 <= int(wanted) <= len(names):
            wanted = names[int(wanted) - 1]
        if wanted not in names:
            raise UnreadableFile(f"The workbook has no sheet {wanted!r}. Its sheets are {', '.join(map(repr, names))}.")
        return _table(_rows(workbook, wanted), mapping)
    found: dict[str, Table] = {}
    problem = UnreadableFile("The workbook has no rows.")
    for name in names:
        rows = _rows(workbook, name)
        try:
            table = _table(rows, mapping)
            first = next(table.chunks())
            resolve(table.columns, first.frame.head(SAMPLE_LINES), mapping, file)
        except UnreadableFile as error:
            problem = error
            continue
        found[name] = table
    if len(found) > 1:
        raise UnreadableFile(f"Several sheets hold tables: {', '.join(map(repr, found))}. Say in the mapping which one: sheet: {next(iter(found))}.")
    if not found:
        raise problem if len(names) == 1 else UnreadableFile(f"No sheet ({', '.join(map(repr, names))}) holds a table of times and values. {problem}")
    return next(iter(found.values()))


def _rows(workbook: CalamineWorkbook, name: str) -> list[list[Any]]:
    try:
        return workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableFile(f"The sheet {name!r} cannot be read ({error}).") from error


def _table(rows: list[list[Any]], mapping: Mapping) -> Table:
    shown = [(number, [(text_of(cell) or "").strip() for cell in row]) for number, row in enumerate(rows[: SAMPLE_LINES + mapping.skip])]
    said = [(number, _trimmed(cells)) for number, cells in shown if number >= mapping.skip and any(cells)]
    frame = find_table(said, mapping)
    preamble = "\n".join(",".join(cells) for _, cells in shown[: frame.preamble_lines])
    return Table(frame.columns, frame.has_header, lambda: _chunks(rows, frame), frame.skip + 1, preamble, units=frame.units)


def _trimmed(cells: list[str]) -> list[str]:
    """A row without the empty cells that other tables on the sheet make it have; two cells at least."""
    end = max((number + 1 for number, cell in enumerate(cells) if cell), default=0)
    return cells[: max(end, min(2, len(cells)))]


def _refuse_swapped(cells: list[Any], header: str) -> None:
    """Refuse a column that a spreadsheet of another country has opened: it swaps day and month where it can, and leaves the rest as text."""
    days = [cell for cell in cells if isinstance(cell, date)]
    texts = [cell for cell in cells if isinstance(cell, str) and _DAY_ABOVE_12.match(cell)]
    if days and texts and all(day.day <= 12 for day in days):
        raise UnreadableFile(
            f"The column {header!r} holds dates, all of them of the first 12 days of a month, and texts such as {texts[0]!r}: a spreadsheet set to "
            "another country has probably swapped day and month of the former. Export the column again, as text or as ISO dates."
        )


def _chunks(rows: list[list[Any]], frame: Frame) -> Iterator[Chunk]:
    width = max(len(frame.columns), 1)
    body = rows[frame.skip :]
    for position in range(width):
        _refuse_swapped([row[position] for row in body if position < len(row)], frame.columns[position] if frame.columns else "")
    columns = {str(position): column_of([row[position] if position < len(row) else None for row in body]) for position in range(width)}
    yield Chunk(pl.DataFrame(columns), np.arange(frame.skip + 1, frame.skip + 1 + len(body), dtype=np.int32))
