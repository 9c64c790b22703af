"""Parquet, as a warehouse exports it: typed columns to a table, a batch at a time.

Add other columnar files here. Instants are those of the file; timestamps that are not adjusted to UTC need a time zone from the mapping.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from water_pipelines.parsers.contract import Event, FileFacts, Head, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.readings import read_table
from water_pipelines.parsers.table import Chunk, Table

_BATCH_ROWS = 500_000
_MAGIC = b"PAR1"


class Parquet:
    """Parquet files."""

    name = "parquet"
    version = "3"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """By the magic bytes at the beginning; a truncated file lacks those at the end."""
        return head.start.startswith(_MAGIC)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of the columns that hold plain values; nested ones are left out."""
        try:
            source = pq.ParquetFile(stream, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile("The Parquet file is truncated or damaged. Was its transfer complete? Export and drop it again.") from error
        plain = [field.name for field in source.schema_arrow if not pa.types.is_nested(field.type) and not pa.types.is_binary(field.type)]
        return read_table(Table(plain, True, lambda: _chunks(source, plain)), mapping, file)


def _chunks(source: pq.ParquetFile, columns: list[str]) -> Iterator[Chunk]:
    row = 1
    try:
        for batch in source.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
            arrays = {str(position): pl.Series(batch.column(name)) for position, name in enumerate(columns)}
            yield Chunk(pl.DataFrame(arrays), np.arange(row, row + batch.num_rows, dtype=np.int32))
            row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"The Parquet file is damaged after row {row - 1}. Export and drop it again.") from error
