"""A table as any format gives it: named columns, read in bounded chunks, as often as needed.

Add here what text, sheets, records and columnar files share before anybody knows which column is the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from water_pipelines.parsers.contract import LONGEST_TEXT, Rejected

Int32Array = NDArray[np.int32]


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

    def texts(self, rows: NDArray[np.intp], joiner: str = ",") -> list[str]:
        """Rows as a person would recognise them."""
        found = (joiner.join("" if cell is None else str(cell) for cell in cells) for cells in self.frame[rows].iter_rows())
        return [shorten(text.rstrip(joiner)) for text in found]

    def head(self, rows: int) -> Chunk:
        """The first rows, without what was rejected."""
        return Chunk(self.frame.head(rows), self.source_row[:rows])

    def pieces(self, rows: int) -> Iterator[Chunk]:
        """The same rows in chunks of at most `rows`; what was rejected goes with the first."""
        for start in range(0, max(self.frame.height, 1), rows):
            yield Chunk(self.frame.slice(start, rows), self.source_row[start : start + rows], self.rejected if start == 0 else [])

    def after(self, earlier: Chunk | None) -> Chunk:
        """These rows behind some earlier ones."""
        if earlier is None:
            return self
        frames = [earlier.frame, self.frame]
        if frames[0].dtypes != frames[1].dtypes:
            frames = [frame.cast(pl.String) for frame in frames]
        return Chunk(
            pl.concat(frames),
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
    units : sequence of str
        A unit for each column, from a line below the header; empty where the file has no such line.
    """

    columns: Sequence[str]
    has_header: bool
    chunks: Callable[[], Iterator[Chunk]]
    first_row: int = 1
    preamble: str = ""
    joiner: str = ","
    units: Sequence[str] = ()


def shorten(text: str) -> str:
    """At most 500 characters of a row."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def column_of(cells: Sequence[Any]) -> pl.Series:
    """Cells of any kind as a column: numbers or times where all are, texts as a person writes them otherwise; empty texts are nulls."""
    said = [cell for cell in cells if cell is not None and cell != ""]
    if said and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in said):
        return pl.Series([None if cell is None or cell == "" else float(cell) for cell in cells], dtype=pl.Float64)
    if said and all(isinstance(cell, date) for cell in said) and not any(getattr(cell, "tzinfo", None) for cell in said):
        return pl.Series([_moment(cell) for cell in cells], dtype=pl.Datetime("us"))
    return pl.Series([text_of(cell) for cell in cells], dtype=pl.String)


def _moment(cell: Any) -> datetime | None:
    if isinstance(cell, datetime):
        return cell
    return datetime.combine(cell, time.min) if isinstance(cell, date) else None


def text_of(cell: Any) -> str | None:
    """A cell as a person writes it: whole numbers without ``.0``, times in ISO 8601, lists as JSON."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(int(cell.total_seconds()), 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    if isinstance(cell, list | dict):
        return orjson.dumps(cell).decode()
    return str(cell)
