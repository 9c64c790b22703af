"""A parsed file, held until its transaction: in memory while it is small, in temporary files beyond that.

Parsing ends before the first lock is taken, so a bad file never holds up a good one, and memory stays bounded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from water_pipelines.storage import room

_IN_MEMORY_ROWS = 2_000_000
_IN_MEMORY_REFUSED = 4 << 20
_FIELDS: list[pa.Field[Any]] = [
    pa.field("series", pa.int32()),
    pa.field("time", pa.timestamp("us", "UTC")),
    pa.field("value", pa.float64()),
    pa.field("qualifier", pa.int32()),
    pa.field("source_row", pa.int32()),
    pa.field("op", pa.int8()),
]
_SCHEMA = pa.schema(_FIELDS)


@dataclass(frozen=True)
class Chunk:
    """Rows in the order of the file: series and qualifier are positions in the spool's lists of names (qualifier -1: none)."""

    series: NDArray[np.int32]
    time: NDArray[np.datetime64]
    value: NDArray[np.float64]
    qualifier: NDArray[np.int32]
    source_row: NDArray[np.int32]
    op: NDArray[np.int8]


class Spool:
    """Collects batches of (series, time, value, qualifier, source_row, op) and gives them back in order, as often as asked."""

    def __init__(self, directory: Path | None = None) -> None:
        self.series: dict[str, int] = {}
        self.qualifiers: dict[str, int] = {}
        self.rows = 0
        self._batches: list[pa.RecordBatch] = []
        self.directory = directory
        self._file: Any = None
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._end = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the memory and of the temporary file."""
        self._batches.clear()
        if self._writer is not None:
            self._writer.close()
        if self._file is not None:
            self._file.close()

    def append(self, batch: pa.RecordBatch) -> None:
        """Add a parser's batch, whose `series` and `qualifier` are dictionaries of text."""
        columns = [
            _recode(batch.column("series"), self.series),
            batch.column("time"),
            batch.column("value"),
            _recode(batch.column("qualifier"), self.qualifiers),
            batch.column("source_row"),
            batch.column("op"),
        ]
        self._batches.append(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
        self.rows += batch.num_rows
        if self.rows > _IN_MEMORY_ROWS:
            self._spill()

    def _spill(self) -> None:
        if self._writer is None:
            self._file = tempfile.TemporaryFile(dir=self.directory, prefix="water-spool-")  # noqa: SIM115  # closed with the spool
            self._writer = pa.ipc.new_stream(self._file, _SCHEMA)
        room.require(self.directory or Path(tempfile.gettempdir()), sum(batch.nbytes for batch in self._batches), "What is read of the file")
        self._file.seek(self._end)
        for batch in self._batches:
            self._writer.write_batch(batch)
        self._end = self._file.tell()
        self._batches.clear()

    def chunks(self, rows: int = _IN_MEMORY_ROWS) -> Iterator[Chunk]:
        """The rows in the order of the file, up to about `rows` at a time."""
        held: list[pa.RecordBatch] = []
        for batch in self._read():
            held.append(batch)
            if sum(each.num_rows for each in held) >= rows:
                yield _chunk(held)
                held = []
        if held:
            yield _chunk(held)

    def _read(self) -> Iterator[pa.RecordBatch]:
        if self._writer is not None:
            # a reader that stops early, or reads beside another, leaves the file anywhere: each keeps its own place
            self._file.seek(0)
            with pa.ipc.open_stream(self._file) as reader:
                place = self._file.tell()
                while place < self._end:
                    self._file.seek(place)
                    batch = reader.read_next_batch()
                    place = self._file.tell()
                    yield batch
        yield from self._batches


class Refused(Collection[tuple[int, str, str]]):
    """Rows of a file that were not taken, as (row number, text, reason), in the order in which they were added; as many as there are.

    `rows` counts those that are rows: a member of an archive that was set aside has the number 0.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_REFUSED, dir=str(directory or tempfile.gettempdir()), prefix="water-refused-")  # noqa: SIM115  # closed with this
        self._entries = self.rows = 0

    def __enter__(self) -> Refused:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return self._entries

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)

    def __iter__(self) -> Iterator[tuple[int, str, str]]:
        self._file.seek(0)
        for line in self._file:
            row, text, reason = orjson.loads(line)
            yield row, text, reason

    def close(self) -> None:
        """Let go of the memory and of the temporary file."""
        self._file.close()

    def extend(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Add rows, while none are read."""
        lines = []
        for row, text, reason in rows:
            lines.append(orjson.dumps((row, _writable(text), reason)))
            self.rows += row > 0
        if lines:
            room.require(self._directory or Path(tempfile.gettempdir()), sum(map(len, lines)), "What is refused of the file")
            self._file.seek(0, 2)
            self._file.write(b"\n".join(lines) + b"\n")
            self._entries += len(lines)


def _writable(text: str) -> str:
    """Without what neither JSON nor PostgreSQL can hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _recode(column: Any, names: dict[str, int]) -> pa.Array[Any]:
    """Codes of this batch's dictionary as codes of the spool's; -1 for null."""
    own = [names.setdefault(name, len(names)) for name in column.dictionary.to_pylist()]
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pa.array(np.append(np.array(own, dtype=np.int32), np.int32(-1))[codes], type=pa.int32())


def _chunk(batches: list[pa.RecordBatch]) -> Chunk:
    table = pa.Table.from_batches(batches)
    return Chunk(
        table["series"].to_numpy(),
        table["time"].cast(pa.timestamp("us")).to_numpy(),
        table["value"].to_numpy(),
        table["qualifier"].to_numpy(),
        table["source_row"].to_numpy(),
        table["op"].to_numpy(),
    )
