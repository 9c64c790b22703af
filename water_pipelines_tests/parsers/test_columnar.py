"""Parquet as warehouses export it."""

from __future__ import annotations

import io
import math
from datetime import UTC, date, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.parsers.reading import read


def parquet(columns: dict[str, pa.Array[Any]]) -> bytes:
    """A Parquet file of these columns."""
    made = io.BytesIO()
    pq.write_table(pa.table(columns), made)
    return made.getvalue()


TIMES = [datetime(2020, 1, 1, hour, tzinfo=UTC) for hour in range(3)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_instants_values_and_words_are_taken_as_they_are(unit: Literal["ms", "us", "ns"]) -> None:
    """Timestamps of any resolution, decimals, dictionaries; null and NaN are missing; nested columns stay out."""
    content = parquet(
        {
            "station": pa.array(["S1", "S1", "S2"]).dictionary_encode(),
            "time": pa.array(TIMES, pa.timestamp(unit, "UTC")),
            "value": pa.array([1.5, None, math.nan], pa.float32()),
            "extra": pa.array([[1], [2], [3]]),
        }
    )
    found = read(content)
    assert [row["series"] for row in found.rows] == ["S1/value", "S1/value", "S2/value"]
    assert found.times == ["2020-01-01T00:00:00", "2020-01-01T01:00:00", "2020-01-01T02:00:00"]
    assert (found.values[0], math.isnan(found.values[1]), math.isnan(found.values[2]), found.source_rows) == (1.5, True, True, [1, 2, 3])


def test_dates_and_timestamps_without_zone_need_one() -> None:
    """A warehouse's DATETIME says nothing of a zone."""
    content = parquet({"date": pa.array([date(2020, 1, 1)]), "station": pa.array([8137]), "value": pa.array([1])})
    with pytest.raises(UnreadableFile, match="time_zone"):
        read(content)
    found = read(content, "time_zone: '+02:00'\nproperty: level")
    assert (found.times, found.rows[0]["series"]) == (["2019-12-31T22:00:00"], "8137/level")


@pytest.mark.parametrize("damage", [slice(0, 60), slice(0, -4)])
def test_a_truncated_file_is_refused(damage: slice) -> None:
    """The footer is missing."""
    with pytest.raises(UnreadableFile, match="Parquet file is truncated"):
        read(parquet({"time": pa.array(TIMES), "value": pa.array([1, 2, 3])})[damage])
