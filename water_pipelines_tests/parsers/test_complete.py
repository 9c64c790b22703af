"""Files that are declared complete: which windows they give, whatever their format."""

import gzip
import json
from datetime import datetime

import pytest

from water_pipelines.parsers.mapping import InvalidMapping, Mapping
from water_pipelines.parsers.messages import Message, written
from water_pipelines_tests.parsers.reading import ARRIVED, Read, read
from water_pipelines_tests.parsers.test_archives import zipped

ROWS = [("2024-03-30T23:30:00Z", "A", 1), ("2024-03-30T12:00:00Z", "A", 2), ("2024-03-31T01:00:00Z", "B", 3)]
CSV = "time,station,level\n" + "".join(f"{time},{station},{value}\n" for time, station, value in ROWS)
JSON = json.dumps([dict(zip(("time", "station", "level"), row, strict=True)) for row in ROWS])


def _shown(at: datetime) -> str:
    return at.isoformat().removesuffix("+00:00")


def windows(found: Read) -> list[tuple[str, str, str]]:
    """Series, start and end (UTC) of the windows."""
    return [(each.series, *map(_shown, (each.start, each.end))) for each in found.windows]  # type: ignore[misc]  # two times are two


@pytest.mark.parametrize("content", [CSV, JSON, gzip.compress(CSV.encode())])
def test_a_complete_file_gives_all_from_the_first_to_the_last_time_of_each_series(content: str | bytes) -> None:
    """The last time is within, in any order of rows and any format; a file that is not declared complete gives no window."""
    assert windows(read(content, "complete: true")) == [
        ("A/level", "2024-03-30T12:00:00", "2024-03-30T23:30:00.000001"),
        ("B/level", "2024-03-31T01:00:00", "2024-03-31T01:00:00.000001"),
    ]
    assert read(content).windows == []


@pytest.mark.parametrize(
    ("mapping", "first", "second"),
    [
        ("complete: day", ("2024-03-30T00:00:00", "2024-03-31T00:00:00"), ("2024-03-31T00:00:00", "2024-04-01T00:00:00")),
        # the 31st of March, on which the clocks are put forward, begins at 23:00 and ends at 22:00
        ("complete: day\ntime_zone: Europe/Rome", ("2024-03-29T23:00:00", "2024-03-31T22:00:00"), ("2024-03-30T23:00:00", "2024-03-31T22:00:00")),
        ("complete: day\ntime_zone: '-05:00'", ("2024-03-30T05:00:00", "2024-03-31T05:00:00"), ("2024-03-30T05:00:00", "2024-03-31T05:00:00")),
        ("complete: month", ("2024-03-01T00:00:00", "2024-04-01T00:00:00"), ("2024-03-01T00:00:00", "2024-04-01T00:00:00")),
        ("complete: year", ("2024-01-01T00:00:00", "2025-01-01T00:00:00"), ("2024-01-01T00:00:00", "2025-01-01T00:00:00")),
    ],
)
def test_days_months_and_years_are_those_of_the_time_zone(mapping: str, first: tuple[str, str], second: tuple[str, str]) -> None:
    """From the beginning of the first to the end of the last one, in the zone of the mapping, else UTC."""
    assert windows(read(CSV, mapping)) == [("A/level", *first), ("B/level", *second)]


def test_each_member_of_an_archive_is_complete_by_itself() -> None:
    """January and March of a station: February is not spoken of."""
    january, march = (f"time,station,value\n2024-0{month}-05T00:00:00Z,S1,1\n".encode() for month in (1, 3))
    assert windows(read(zipped(a__csv=january, b__csv=march), "complete: month")) == [
        ("S1/value", "2024-01-01T00:00:00", "2024-02-01T00:00:00"),
        ("S1/value", "2024-03-01T00:00:00", "2024-04-01T00:00:00"),
    ]


def test_messages_are_never_complete() -> None:
    """A batch holds what came, not all there is."""
    batch = written([Message("d/S1/level", b'{"time": "2024-03-30T12:00:00Z", "value": 1}', ARRIVED)])
    found = read(batch, "complete: true\nmessages: [{topic: 'd/{station}/{property}'}]")
    assert (found.values, found.windows) == ([1], [])


def test_a_period_that_is_none_is_refused() -> None:
    """The message names the key."""
    with pytest.raises(InvalidMapping, match="complete"):
        Mapping.from_yaml("complete: week")
