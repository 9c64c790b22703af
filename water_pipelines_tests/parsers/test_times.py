"""Times: every way of writing them, whole columns at once."""

import numpy as np
import polars as pl
import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.times import ABSENT, AWARE, NAIVE, UNREADABLE, TimeReader, decide


def moment(text: str) -> int:
    """Microseconds since 1970."""
    return int(np.datetime64(text, "us").astype(np.int64))


@pytest.mark.parametrize(
    ("written", "meant", "state"),
    [
        ("2020-01-05T03:04:05Z", "2020-01-05T03:04:05", AWARE),
        ("2020-01-05T03:04:05.25+01:00", "2020-01-05T02:04:05.25", AWARE),
        ("2020-01-05T03:04:05.123456789Z", "2020-01-05T03:04:05.123456", AWARE),
        ("2020-01-05 03:04:05 +0100", "2020-01-05T02:04:05", AWARE),
        ("2020-01-05 03:04 UTC", "2020-01-05T03:04", AWARE),
        ("20200105T030405Z", "2020-01-05T03:04:05", AWARE),
        ("7/01/2008 12:00:00 -05:30", "2008-01-07T17:30", AWARE),
        ("2020-01-05", "2020-01-05", NAIVE),
        ("2020/1/5 3:04", "2020-01-05T03:04", NAIVE),
        ("05.01.2020 03:04:05", "2020-01-05T03:04:05", NAIVE),
        ("5/1/20 3:04 PM", "2020-01-05T15:04", NAIVE),
        ("5/1/2020 12:00:00 am", "2020-01-05T00:00", NAIVE),
        ("202001050304", "2020-01-05T03:04", NAIVE),
        ("20200105", "2020-01-05", NAIVE),
        ("5-Jan-2020 03:04", "2020-01-05T03:04", NAIVE),
        ("Jan 5, 2020 03:04", "2020-01-05T03:04", NAIVE),
        ("2020-01-05 24:00", "2020-01-06T00:00", NAIVE),
        ("2020-01-05T24:00:00Z", "2020-01-06T00:00", AWARE),
        ("202001052400", "2020-01-06T00:00", NAIVE),
        ("5-Mai-20 03:04", "2020-05-05T03:04", NAIVE),
        ("5. Okt. 1999", "1999-10-05", NAIVE),
        ("05.Déc.99 03h04", "1999-12-05T03:04", NAIVE),
    ],
)
def test_a_time_is_read_as_it_is_written(written: str, meant: str, state: int) -> None:
    """One value, alone and among others of another shape, with blanks around it."""
    reader = TimeReader("text", day_first=True)
    for column, at in (([written], 0), (["1999-12-31", "x", f" {written} ", None], 2)):
        found = reader.read(pl.Series(column))
        assert (int(found.micros[at]), int(found.state[at])) == (moment(meant), state)


def test_what_is_no_time_is_told_from_what_is_empty() -> None:
    """Words, impossible dates, plain numbers, half past midnight of yesterday and a leap second cannot be read; blanks and nulls are absent."""
    found = TimeReader("text").read(
        pl.Series(["noon", "2020-13-05", "12.5", "2020-01-01 24:30", "2016-12-31 23:59:60", "", None, "  ", "2020-01-01"])
    )
    assert found.state.tolist() == [UNREADABLE] * 5 + [ABSENT] * 3 + [NAIVE]


@pytest.mark.parametrize("written", ["2020-01-05 {}", "05.01.2020 {}:00", "{} GMT"])
def test_midnight_at_24_moves_no_time_but_its_own(written: str) -> None:
    """As the first of a file, or among others."""
    if "GMT" in written:
        written = "2020/1/5 " + written
    for clocks in (["24:00", "01:00", "02:00"], ["01:00", "24:00", "02:00"]):
        found = TimeReader("text", day_first=True).read(pl.Series([written.format(clock) for clock in clocks]))
        meant = [moment("2020-01-06" if clock == "24:00" else f"2020-01-05T{clock}") for clock in clocks]
        assert found.micros.tolist() == meant


@pytest.mark.parametrize(
    ("declared", "written", "meant", "state"),
    [
        ("DD/MM/YYYY HH:mm", "05/01/2020 03:04", "2020-01-05T03:04", NAIVE),
        ("%Y%m%d%H", "2020010503", "2020-01-05T03:00", NAIVE),
        ("%Y-%j", "2020-032", "2020-02-01", NAIVE),
        ("%Y-%m-%d %H:%M:%S%z", "2020-01-05 03:04:05+01:00", "2020-01-05T02:04:05", AWARE),
        ("epoch_s", "1577836800", "2020-01-01", AWARE),
        ("epoch_s", "1577836800.5", "2020-01-01T00:00:00.5", AWARE),
        ("epoch_ms", "1577836800123", "2020-01-01T00:00:00.123", AWARE),
        ("excel", "43831.25", "2020-01-01T06:00", NAIVE),
        ("excel", "43831,25", "2020-01-01T06:00", NAIVE),
        ("YYMMDDHHmm", "2001010600", "2020-01-01T06:00", NAIVE),
    ],
)
def test_a_declared_format_is_followed(declared: str, written: str, meant: str, state: int) -> None:
    """The mapping's time_format wins, in strptime's or in a spreadsheet's letters, or as an epoch."""
    column = pl.Series([written, "nonsense"])
    found = decide(column, Mapping(time_format=declared), header="", whole_file=list).read(column)
    assert (int(found.micros[0]), found.state.tolist()) == (moment(meant), [state, UNREADABLE])


@pytest.mark.parametrize("declared", ["soon", "%Q"])
def test_a_format_that_says_nothing_is_refused(declared: str) -> None:
    """A format without a directive, or with an unknown one, is named as such."""
    column = pl.Series(["2020"])
    with pytest.raises(UnreadableFile, match="time_format"):
        decide(column, Mapping(time_format=declared), header="", whole_file=list).read(column)


@pytest.mark.parametrize(("later", "day_first"), [("13/02/2020", True), ("02/13/2020", False)])
def test_the_order_of_day_and_month_follows_from_the_whole_file(later: str, day_first: bool) -> None:
    """The first thousands of values may be ambiguous: one number above 12 further down tells."""
    sample = pl.Series(["01/02/2020", "02/02/2020"])
    assert decide(sample, Mapping(), header="", whole_file=lambda: [sample, pl.Series([later])]).day_first is day_first


@pytest.mark.parametrize("others", [[], ["13/02/2020", "02/13/2020"]])
def test_an_order_that_nothing_tells_is_asked_for(others: list[str]) -> None:
    """No number above 12, or such numbers in both places: the message shows the line to write."""
    sample = pl.Series(["01/02/2020", *others])
    with pytest.raises(UnreadableFile, match="day_first: true"):
        decide(sample, Mapping(), header="", whole_file=lambda: [sample])


def test_a_header_may_state_the_order() -> None:
    """A format in the header, such as DD/MM/YYYY, declares it without a look at the rest."""
    assert decide(pl.Series(["01/02/2020"]), Mapping(), header="Date (DD/MM/YYYY HH:mm)", whole_file=list).day_first is True


@pytest.mark.parametrize("written", ["2020010112", "1203011215", "1503241215", "45352.5", "45352,75", "45352"])
def test_a_number_that_could_be_a_date_or_seconds_is_asked_for(written: str) -> None:
    """2020010112 may be a day and hour, or seconds in 2034; 1203011215 a minute of March 2012, or seconds in 2008; 45352 days since 1900."""
    with pytest.raises(UnreadableFile, match=f"such as {written}.*time_format: epoch_s"):
        decide(pl.Series([written]), Mapping(), header="", whole_file=list)


def test_a_short_year_that_moves_as_days_do_is_asked_for() -> None:
    """21-Jan-05, 21-Jan-06 are days of January 2021; 13-Jan-21, 14-Jan-21 are too, and are read so."""
    days = pl.Series([f"21-Jan-{day:02d}" for day in range(5, 9)])
    with pytest.raises(UnreadableFile, match="begin with the day as well as with the year"):
        decide(days, Mapping(), header="", whole_file=lambda: [days])
    days = pl.Series([f"{day:02d}-Jan-21" for day in range(13, 17)])
    assert decide(days, Mapping(), header="", whole_file=lambda: [days]).read(days).micros[0] == moment("2021-01-13")
