"""The spool: every row that went in comes out, however it was read before."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from water_pipelines.parsers.contract import OBSERVATION_SCHEMA
from water_pipelines.storage.spool import Spool

BATCH = 500_000


def batch(number: int) -> pa.RecordBatch:
    """Rows whose `source_row` counts on through all batches; five of them are more than is kept in memory."""
    rows = np.arange(number * BATCH, (number + 1) * BATCH)
    columns = [
        pa.DictionaryArray.from_arrays(np.zeros(BATCH, dtype=np.int32), pa.array(["GAUGE/stage"])),
        pa.array(rows, pa.timestamp("us", "UTC")),
        pa.array(rows.astype(np.float64)),
        pa.array([None] * BATCH, pa.string()).dictionary_encode(),
        pa.array(rows.astype(np.int32)),
        pa.array(np.zeros(BATCH, dtype=np.int8)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=OBSERVATION_SCHEMA)


def rows_of(spool: Spool) -> list[int]:
    return [row for chunk in spool.chunks() for row in chunk.source_row.tolist()]


def test_a_read_that_stops_early_costs_the_next_one_no_row() -> None:
    """Of 3.5 M rows the first chunk is looked at, as for the usual intervals; a whole read afterwards still gives all 3.5 M, in order."""
    with Spool() as spool:
        for number in range(7):
            spool.append(batch(number))
        next(spool.chunks())
        assert rows_of(spool) == list(range(7 * BATCH))


def test_rows_appended_after_a_read_that_stopped_early_overwrite_none() -> None:
    """3 M rows, a look at the first chunk, 1 M more: all 4 M come out, in order."""
    with Spool() as spool:
        for number in range(6):
            spool.append(batch(number))
        next(spool.chunks())
        for number in (6, 7):
            spool.append(batch(number))
        assert rows_of(spool) == list(range(8 * BATCH))


def test_two_reads_at_once_do_not_disturb_each_other() -> None:
    """3 M rows, read whole while another read stands after its first chunk: both give all 3 M."""
    with Spool() as spool:
        for number in range(6):
            spool.append(batch(number))
        other = spool.chunks()
        seen = len(next(other).source_row)
        assert rows_of(spool) == list(range(6 * BATCH))
        assert seen + sum(len(chunk.source_row) for chunk in other) == 6 * BATCH
