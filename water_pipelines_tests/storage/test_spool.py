"""The spool: every row that went in comes out, however it was read before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from water_pipelines.parsers.contract import OBSERVATION_SCHEMA
from water_pipelines.storage import room
from water_pipelines.storage.spool import Refused, Spool

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


def test_refused_rows_come_back_in_order_however_many_there_are(tmp_path: Path) -> None:
    """300,000 rows, more than is kept in memory, with line breaks, zeros and half of a surrogate pair in their text; read twice."""
    with Refused(tmp_path) as refused:
        for begin in range(0, 300_000, 1000):
            refused.extend((row, f"line {row}\n;\0\ud800", "no number") for row in range(begin, begin + 1000))
        assert len(refused) == 300_000
        for _ in range(2):
            assert [row for row, _, _ in refused] == list(range(300_000))
        assert next(iter(refused)) == (0, "line 0\n;\N{REPLACEMENT CHARACTER}?", "no number")


def test_a_disk_without_room_is_said_with_what_is_needed_and_what_there_is(tmp_path: Path) -> None:
    """A terabyte that is not there; ten bytes are."""
    room.require(tmp_path, 10, "Storing x.csv")
    with pytest.raises(room.NoRoom, match=rf"^Storing x.csv needs about 1,048,576,000 MiB, .* {tmp_path} has [0-9,]+ MiB; make room"):
        room.require(tmp_path, 1000 << 40, "Storing x.csv")
