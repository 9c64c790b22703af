"""Clocks on the wall: gaps in spring, doubled hours in autumn."""

import re

import pyarrow.compute as pc
import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.parsers.reading import read

ROME = "time_zone: Europe/Rome"


def test_doubled_hours_are_summer_then_winter_in_the_order_of_the_file() -> None:
    """02:00 and 02:30 stand twice: first at UTC+2, then at UTC+1."""
    found = read("time,value\n" + "".join(f"2021-10-31 {clock},1\n" for clock in ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")), ROME)
    assert [time[11:16] for time in found.times] == ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"]
    assert found.rejected == []


def test_a_file_that_runs_backwards_has_winter_first() -> None:
    """From new to old the first 02:00 is the later one."""
    found = read("time,value\n" + "".join(f"2021-10-31 {clock},1\n" for clock in ("03:00", "02:00", "02:00", "01:00")), ROME)
    assert [time[11:16] for time in found.times] == ["02:00", "01:00", "00:00", "23:00"]


@pytest.mark.parametrize("times", [["02:00"], ["02:00", "02:00", "02:00"], ["02:00", "02:30"]])
def test_a_doubled_hour_that_stands_once_or_thrice_is_rejected(times: list[str]) -> None:
    """Which of the two is meant cannot be told, so none is taken; the other rows are."""
    found = read("time,value\n2021-10-31 01:00,7\n" + "".join(f"2021-10-31 {clock},1\n" for clock in times), ROME)
    assert found.values == [7]
    assert list(found.reasons) == list(range(3, 3 + len(times)))
    assert all("occurred twice" in reason for reason in found.reasons.values())


def test_doubled_hours_are_resolved_for_each_series() -> None:
    """Two stations with one 02:00 each are not a pair."""
    rows = ["A,2021-10-31 02:00,1", "B,2021-10-31 02:00,2", "A,2021-10-31 02:00,3", "B,2021-10-31 03:00,4"]
    found = read("station,time,value\n" + "\n".join(rows), ROME)
    assert [(row["series"], row["value"]) for row in found.rows] == [("A/value", 1), ("A/value", 3), ("B/value", 4)]
    assert list(found.reasons) == [3]


def test_doubled_hours_that_stand_in_different_chunks_find_each_other() -> None:
    """A million rows of other times lie between the two."""
    filler = "".join(f"2020-{1 + n // 27:02d}-{1 + n % 27:02d} 12:00,\n" for n in range(300)) * 3_200
    found = read(f"time,value\n2021-10-31 02:00,1\n{filler}2021-10-31 02:00,2\n2021-10-31 02:30,3\n", ROME)
    told = found.table.filter(pc.is_finite(found.table["value"])).to_pylist()
    assert [(row["value"], row["time"].hour, row["source_row"]) for row in told] == [(1, 0, 2), (2, 1, 960_003)]
    assert list(found.reasons) == [960_004]


def test_hours_that_the_clock_leapt_over_are_rejected() -> None:
    """02:30 on the last Sunday of March does not exist in Rome."""
    found = read("time,value\n2021-03-28 01:30,1\n2021-03-28 02:30,2\n2021-03-28 03:30,3\n", ROME)
    assert [time[11:16] for time in found.times] == ["00:30", "01:30"]
    assert "does not exist on the clocks of Europe/Rome" in found.reasons[3]


@pytest.mark.parametrize("zone", ["+05:30", "UTC+5:30", "Asia/Kolkata"])
def test_offsets_and_names_mean_the_same(zone: str) -> None:
    """Half past five in India is midnight UTC, however the zone is written."""
    assert read("time,value\n2021-06-01 05:30,1\n", f"time_zone: '{zone}'").times == ["2021-06-01T00:00:00"]


def test_a_naive_time_without_a_zone_refuses_the_file_and_shows_the_line_to_write() -> None:
    """The zone is never guessed: the message names the row and the mapping line."""
    with pytest.raises(UnreadableFile, match=re.escape("row 2 has no time zone")) as caught:
        read("time,value\n2021-06-01 05:30,1\n")
    assert "time_zone: Europe/Rome" in str(caught.value)


def test_a_naive_time_among_others_with_zones_rejects_its_row() -> None:
    """Only that row lacks what the rest of the file states."""
    found = read("time,value\n2021-06-01T05:30:00Z,1\n2021-06-01T05:45:00,2\n")
    assert (found.values, list(found.reasons)) == ([1], [3])


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("time (UTC),value\n2021-06-01 05:30,1\n", "05:30"),
        ('"Date Time, GMT-04:00",value\n2021-06-01 05:30,1\n', "09:30"),
        ("time CET-CEST,value\n2021-06-01 05:30,1\n", "03:30"),
        ("datetimeUTC,value\n2021-06-01 05:30,1\n", "05:30"),
        ("time [Europe/Rome],value\n2021-06-01 05:30,1\n", "03:30"),
        ("Time zone: UTC+1\ntime,value\n2021-06-01 05:30,1\n2021-06-01 05:45,1\n", "04:30"),
    ],
)
def test_a_zone_in_the_header_is_declared(text: str, utc: str) -> None:
    """In the name of the column, or in words above the header."""
    assert read(text).times[0][11:16] == utc


@pytest.mark.parametrize("header", ["time (CET)", "local time", "time EST"])
def test_an_abbreviation_alone_declares_nothing(header: str) -> None:
    """CET and EST do not say whether summer time is meant, nor on which continent."""
    with pytest.raises(UnreadableFile, match="time_zone"):
        read(f"{header},value\n2021-06-01 05:30,1\n")


def test_a_column_may_name_the_zone_of_each_row() -> None:
    """IANA names and offsets are known; the mapping says what other words mean."""
    rows = "time,tz,value\n2021-06-01 00:00,CDT,1\n2021-06-01 00:00,Europe/Rome,2\n2021-06-01 00:00,XX,3\n"
    found = read(rows, "time_zone_column: tz\ntime_zones: {CDT: '-05:00'}")
    assert found.times == ["2021-06-01T05:00:00", "2021-05-31T22:00:00"]
    assert "time_zones" in found.reasons[4]
