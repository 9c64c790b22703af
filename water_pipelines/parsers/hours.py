"""Tables with a day a row and an hour a column, unfolded to an hour a row.

Add here what else people write across in place of down. Which columns are hours is told by their names alone: all of them, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import time

import numpy as np
import polars as pl

from water_pipelines.parsers import names
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.table import Chunk, Table

CLOCK = "time of day"
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::00)?")
_HOUR = re.compile(r"(?:h|hr|hour|std|uur|kl)?[ _.]?(\d{1,2}) ?(?:h|hr|uhr|uur|時)?", re.IGNORECASE)
_FEWEST_CLOCKS = 4


def clocks(columns: Sequence[str]) -> dict[int, str]:
    """Column -> the time of day that its name is; empty where the columns are no hours of a day.

    >>> clocks(["date", *map(str, range(1, 25))])[24], clocks(["date", "1", "2", "3"]), clocks(["date", "00:00", "06:00", "12:00", "18:00"])[2]
    ('24:00', {}, '06:00')
    """
    stated = {at: f"{int(found[1]):02d}:{found[2]}" for at, name in enumerate(columns) if (found := _CLOCK.fullmatch(name.strip()))}
    if len(stated) >= _FEWEST_CLOCKS and len(set(stated.values())) == len(stated):
        return stated
    hours = {at: int(found[1]) for at, name in enumerate(columns) if (found := _HOUR.fullmatch(name.strip()))}
    if sorted(hours.values()) in (list(range(24)), list(range(1, 25))):
        return {at: f"{hour:02d}:00" for at, hour in hours.items()}
    return {}


def unfold(table: Table, mapping: Mapping) -> tuple[Table, Mapping]:
    """The table with an hour a row, and the mapping that fits it; both as they are where no hours stand in columns, or the mapping names values."""
    across = clocks(table.columns)
    if not across or mapping.value or mapping.columns:
        return table, mapping
    kept = [at for at in range(len(table.columns)) if at not in across]
    dated = next((number for number, at in enumerate(kept) if names.key(table.columns[at]) in names.DATE | names.TIME), 0)
    if not kept or _has_clock(table, kept[dated]):  # the numbers are those of stations or sensors
        return table, mapping
    columns = [table.columns[at] for at in kept]
    columns = [*columns[: dated + 1], CLOCK, *columns[dated + 1 :], "value"]

    def chunks() -> Iterator[Chunk]:
        for chunk in table.chunks():
            yield _unfolded(chunk, kept, across, dated)

    if len(mapping.time) == 1:
        mapping = mapping.model_copy(update={"time": (*mapping.time, CLOCK)})
    return Table(columns, table.has_header, chunks, table.first_row, table.preamble, table.joiner), mapping


def _has_clock(table: Table, at: int) -> bool:
    """Whether the first rows have a time of day beside their date already."""
    for chunk in table.chunks():
        if chunk.frame.height:
            column = chunk.frame.to_series(at)
            if column.dtype == pl.Datetime:
                return bool((column.drop_nulls().dt.time() != time(0)).any())
            return bool(column.cast(pl.String).str.contains(r"\d:\d|\dT\d|^\d{9,}$").any())
    return False


def _unfolded(chunk: Chunk, kept: Sequence[int], across: dict[int, str], dated: int) -> Chunk:
    rows, width = chunk.frame.height, len(across)
    again = pl.Series(np.repeat(np.arange(rows, dtype=np.uint32), width))
    order = pl.Series(np.arange(rows * width, dtype=np.uint32).reshape(width, rows).T.ravel())
    cells = pl.concat([chunk.frame.to_series(at).cast(pl.String) for at in across]) if rows else pl.Series([], dtype=pl.String)
    before = [chunk.frame.to_series(at).gather(again) for at in kept]
    clock = pl.Series(list(across.values()) * rows, dtype=pl.String)
    all_columns = [*before[: dated + 1], clock, *before[dated + 1 :], cells.gather(order)]
    frame = pl.DataFrame({str(number): column for number, column in enumerate(all_columns)})
    return Chunk(frame, np.repeat(chunk.source_row, width), chunk.rejected)
