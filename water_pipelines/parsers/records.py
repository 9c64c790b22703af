"""JSON and NDJSON: records, or columns of equal length, to a table.

Add other shapes of JSON here, when they say nothing but rows. The answers of an agency's service are formats of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import orjson
import polars as pl

from water_pipelines.parsers import encoding
from water_pipelines.parsers.contract import Event, FileFacts, Head, Rejected, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.readings import read_table
from water_pipelines.parsers.table import Chunk, Table, column_of, shorten

LARGEST_BYTES = 64 << 20  # its objects take ten times as much memory
_DEEPEST = 6
_BOM = b"\xef\xbb\xbf"

Record = dict[str, Any]


class Ndjson:
    """One JSON object a line."""

    name = "ndjson"
    version = "3"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """The first line is an object of its own, and another follows."""
        lines = [line for line in head.start.removeprefix(_BOM).split(b"\n") if line.strip()][:2]
        if len(lines) < 2 or not lines[1].lstrip().startswith(b"{"):
            return False
        try:
            return isinstance(orjson.loads(lines[0]), dict)
        except orjson.JSONDecodeError:
            return False

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of the records; a line that is no JSON object is rejected."""
        columns = next((_names(records) for records, _, _ in _lines(stream)), [])

        def chunks() -> Iterator[Chunk]:
            for records, rows, rejected in _lines(stream):
                yield Chunk(_frame(records, columns), rows, rejected)

        return read_table(Table(columns, True, chunks), mapping, file)


class Json:
    """A JSON document that holds records (``[{...}, ...]``), columns (``{"time": [...], ...}``) or rows beside their column names."""

    name = "json"
    version = "3"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """By the first character."""
        start = head.start.removeprefix(_BOM).lstrip()
        return start[:1] == b"{" or (start[:1] == b"[" and start[1:].lstrip()[:1] in (b"{", b"[", b"]"))

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of the records, which are found where they are or named by the mapping (``records: data.items``)."""
        content = stream.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise UnreadableFile(f"A JSON document may have {LARGEST_BYTES >> 20} MiB at most. Write one object a line (NDJSON), which has no limit.")
        try:
            document = orjson.loads(content.removeprefix(_BOM))
        except orjson.JSONDecodeError as error:
            raise UnreadableFile(f"The JSON is damaged or truncated at line {error.lineno}, column {error.colno}: {error.msg}.") from error
        records = _records(document, mapping.records)
        columns = _names(records)
        numbers = np.arange(1, len(records) + 1, dtype=np.int32)
        return read_table(Table(columns, True, lambda: iter([Chunk(_frame(records, columns), numbers)])), mapping, file)


def _lines(stream: BinaryIO) -> Iterator[tuple[list[Record], np.ndarray[Any, np.dtype[np.int32]], list[Rejected]]]:
    line = 0
    for block in encoding.blocks(stream, "utf-8"):
        records: list[Record] = []
        rows: list[int] = []
        rejected: list[Rejected] = []
        for text in block.removesuffix(b"\n").split(b"\n"):
            line += 1
            if not text.strip():
                continue
            try:
                record = orjson.loads(text)
                if not isinstance(record, dict):
                    raise ValueError("no object")
            except ValueError as error:
                rejected.append(Rejected(line, shorten(text.decode()), f"the line is no JSON object ({error})"))
                continue
            records.append(_flat(record))
            rows.append(line)
        yield records, np.array(rows, dtype=np.int32), rejected


def _flat(record: Record, path: str = "") -> Record:
    """Nested objects as columns ``outer.inner``."""
    flat: Record = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{path}{name}.")
        else:
            flat[f"{path}{name}"] = value
    return flat


def _names(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def _frame(records: Sequence[Record], columns: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame({str(position): column_of([record.get(name) for record in records]) for position, name in enumerate(columns)})


def _records(document: Any, path: str | None) -> list[Record]:
    if path is not None:
        found = _as_records(_step_to(document, path)) or _as_rows(_step_to(document, path))
        if found is None:
            raise UnreadableFile(f"The mapping says records: {path!r}, but there are no records there.{_where(document)}")
        return found
    found = _as_records(document)
    if found is not None:
        return found
    paths = list(_paths(document))
    if len(paths) == 1:
        return _as_records(_step_to(document, paths[0])) or []
    if isinstance(document, dict) and not paths and document and not any(isinstance(value, list) for value in document.values()):
        return [_flat(document)]
    raise UnreadableFile(f"It is not clear where in the JSON the records are.{_where(document)}")


def _where(document: Any) -> str:
    paths = list(_paths(document))
    if not paths:
        return " No list of objects was found in it."
    return f" Say in the mapping which list to read: records: {paths[0]}" + (f" (others are {', '.join(paths[1:10])})." if len(paths) > 1 else ".")


def _step_to(document: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def _as_records(found: Any) -> list[Record] | None:
    """Records of any of the shapes, or None."""
    if isinstance(found, list):
        return [_flat(record) for record in found] if found and all(isinstance(record, dict) for record in found) else None
    if not isinstance(found, dict) or not found:
        return None
    rows, names = found.get("data"), found.get("columns")
    if isinstance(rows, list) and isinstance(names, list) and all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return [dict(zip(map(str, names), row, strict=True)) for row in rows]
    is_column: Callable[[Any], bool] = lambda value: isinstance(value, list) and not any(isinstance(cell, list | dict) for cell in value)  # noqa: E731
    columns = {str(name): value for name, value in found.items() if is_column(value)}
    if len(columns) < 2 or len(columns) < len(found) or len({len(value) for value in columns.values()}) != 1:
        return None
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _as_rows(found: Any) -> list[Record] | None:
    """Rows without names, which are then called by position."""
    if not isinstance(found, list) or not found or not all(isinstance(row, list) for row in found):
        return None
    return [{str(position): cell for position, cell in enumerate(row, start=1)} for row in found]


def _paths(document: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """Where records stand in a document; lists within records are not looked into."""
    if depth > _DEEPEST or not isinstance(document, dict):
        return
    for name, value in document.items():
        here = f"{path}.{name}" if path else str(name)
        if _as_records(value) is not None:
            yield here
        else:
            yield from _paths(value, here, depth + 1)
