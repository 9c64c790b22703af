"""A table as any format gives it: named columns, read in bounded chunks, as often as needed.

Add here what text, sheets, records and columnar files share before anybody knows which column is the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from water_pipelines.parsers.contract import LONGEST_TEXT, Rejected

Int32Array = NDArray[np.int32]

CHUNK_CELLS = 4_000_000
"""How many cells a chunk may hold at most: it bounds the memory a file of any size needs."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows.

    Parameters
    ----------
    frame : pl.DataFrame
        Columns are named by their position (``"0"``, ``"1"``, ...); strings as the file has them, or typed where the format is typed.
    source_row : int32[n]
        Where each row stands in the file, from 1.
    rejected : list of Rejected
        Rows of this part of the file that are no rows of the table.
    """

    frame: pl.DataFrame
    source_row: Int32Array
    rejected: list[Rejected] = field(default_factory=list)

    def text(self, row: int, joiner: str = ",") -> str:
        """The row as a person would recognise it."""
        cells = ("" if cell is None else str(cell) for cell in self.frame.row(row))
        return shorten(joiner.join(cells).rstrip(joiner))

    def pieces(self, rows: int) -> Iterator[Chunk]:
        """The same rows in chunks of at most `rows`; what was rejected goes with the first."""
        for start in range(0, max(self.frame.height, 1), rows):
            yield Chunk(self.frame.slice(start, rows), self.source_row[start : start + rows], self.rejected if start == 0 else [])

    def after(self, earlier: Chunk | None) -> Chunk:
        """These rows behind some earlier ones."""
        if earlier is None:
            return self
        return Chunk(
            pl.concat([earlier.frame, self.frame], how="vertical_relaxed"),
            np.concatenate([earlier.source_row, self.source_row]),
            earlier.rejected + self.rejected,
        )


@dataclass(frozen=True)
class Table:
    """Columns and how to read them.

    Parameters
    ----------
    columns : sequence of str
        Names from the header; empty names where the file has none.
    has_header : bool
        Whether the names are the file's own.
    chunks : function
        Starts reading from the first row, each time it is called.
    first_row : int
        Where the first row of the table stands in the file.
    preamble : str
        The text above the header; it may state a time zone.
    joiner : str
        What stands between cells when a row is shown.
    """

    columns: Sequence[str]
    has_header: bool
    chunks: Callable[[], Iterator[Chunk]]
    first_row: int = 1
    preamble: str = ""
    joiner: str = ","


def shorten(text: str) -> str:
    """At most 500 characters of a row."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def empty_chunk() -> Chunk:
    """No rows and no columns."""
    return Chunk(pl.DataFrame(), np.empty(0, dtype=np.int32))
