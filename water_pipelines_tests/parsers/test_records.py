"""JSON and NDJSON: where the records are, and what becomes of damaged ones."""

import json
import math

import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.parsers.reading import read

RECORDS = [{"time": "2020-01-01T00:00:00Z", "value": 1, "site": {"id": "S1"}}, {"time": "2020-01-01T01:00:00Z", "value": None, "site": {"id": "S1"}}]
MAPPING = "station_column: site.id\nproperty: level"


@pytest.mark.parametrize(
    "document", [RECORDS, {"data": RECORDS, "count": 2}, {"answer": {"page": 1, "items": RECORDS}}], ids=["list", "under a key", "deeper"]
)
def test_records_are_found_where_they_are(document: object) -> None:
    """Nested objects are columns with a dot; null is a missing value; rows are record numbers."""
    found = read(json.dumps(document), MAPPING)
    assert found.rows[0]["series"] == "S1/level"
    assert (found.values[0], math.isnan(found.values[1]), found.source_rows) == (1.0, True, [1, 2])


@pytest.mark.parametrize(
    "document",
    [
        {"time": ["2020-01-01T00:00:00Z", "2020-01-01T01:00:00Z"], "level": [1, 2]},
        {"columns": ["time", "level"], "data": [["2020-01-01T00:00:00Z", 1], ["2020-01-01T01:00:00Z", 2]]},
        {"payload": {"time": ["2020-01-01T00:00:00Z", "2020-01-01T01:00:00Z"], "level": [1, 2]}},
    ],
)
def test_columns_are_records_too(document: object) -> None:
    """Arrays of equal length by name, or rows beside their column names."""
    found = read(json.dumps(document))
    assert found.values == [1.0, 2.0]
    assert found.series[0].attributes["property"] == "level"


def test_two_lists_of_records_are_asked_about() -> None:
    """The message shows the paths; the mapping names one, also rows without names."""
    document = {"notes": [{"text": "x"}], "data": RECORDS, "rows": [["2020-01-01T00:00:00Z", 7]]}
    with pytest.raises(UnreadableFile, match="records: notes"):
        read(json.dumps(document))
    assert len(read(json.dumps(document), f"records: data\n{MAPPING}").rows) == 2
    assert read(json.dumps(document), "records: rows\ntime: 1\nvalue: 2").values == [7]
    with pytest.raises(UnreadableFile, match="there are no records there"):
        read(json.dumps(document), "records: dta")


def test_a_line_that_is_no_object_is_rejected_with_its_number() -> None:
    """The other lines of an NDJSON file are taken; blank ones are none."""
    lines = [json.dumps(RECORDS[0]), "", "{broken", json.dumps(RECORDS[1]), "[1]"]
    found = read("\n".join(lines), MAPPING)
    assert found.source_rows == [1, 4]
    assert list(found.reasons) == [3, 5]


@pytest.mark.parametrize("text", ['{"time": ', "[{]", "[]", '{"a": {"b": 1}}'])
def test_damaged_or_empty_json_is_refused(text: str) -> None:
    """Truncated, wrong, without records, without a time."""
    with pytest.raises(UnreadableFile):
        read(text)
