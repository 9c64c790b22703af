"""Delimited and fixed-width text: rows, rejections, and where they stand."""

import math

import pytest

from water_pipelines.parsers import encoding, source
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.parsers.reading import read

HOURS = [f"2020-01-01T{hour:02d}:00:00Z" for hour in range(24)]


def test_a_long_file_names_its_series() -> None:
    """Station and property make the natural id; the unit and the source's own flag are kept."""
    found = read(f"time,station,property,value,unit,flag\n{HOURS[0]},S1,Water Level,1.5,m,A\n{HOURS[0]},S2,discharge,2,m3/s,\n")
    assert [row["series"] for row in found.rows] == ["S1/water_level", "S2/discharge"]
    assert [row["qualifier"] for row in found.rows] == ["A", None]
    assert [one.attributes["unit"] for one in found.series] == ["m", "m3/s"]
    assert [one.natural_id for one in found.stations] == ["S1", "S2"]


def test_a_wide_file_has_a_series_for_each_column() -> None:
    """Values come row by row; an empty cell is no observation."""
    found = read(f"time,level (m),flow [m3/s]\n{HOURS[0]},1,\n{HOURS[1]},2,3\n", name="gauge.csv", prefix="rivers/north")
    assert [(row["series"], row["value"]) for row in found.rows] == [
        ("rivers/north/gauge/level", 1),
        ("rivers/north/gauge/level", 2),
        ("rivers/north/gauge/flow", 3),
    ]
    assert {one.attributes["property"]: one.attributes["unit"] for one in found.series} == {"level": "m", "flow": "m3/s"}


def test_an_empty_value_of_a_long_file_is_missing() -> None:
    """The source speaks of that hour and says that it has no value."""
    found = read(f"time,value\n{HOURS[0]},\n{HOURS[1]},0\n")
    assert math.isnan(found.values[0])
    assert found.values[1] == 0


def test_columns_are_stations_where_the_property_is_given() -> None:
    """One property and several columns: the headers name the stations."""
    found = read(f"time,DMA 1 (L/s),DMA 2 (L/s)\n{HOURS[0]},1,2\n", "property: inflow\ninterval: 1h")
    assert [one.natural_id for one in found.series] == ["DMA 1/inflow", "DMA 2/inflow"]
    assert found.series[0].attributes == {"property": "inflow", "unit": "L/s", "name": "DMA 1", "interval_s": 3600.0}


def test_each_column_may_be_mapped_by_itself() -> None:
    """Station, property, unit and markers of a column; the rest of the file stays out."""
    mapping = """
station: S1
columns:
  H: {property: water_level, unit: m, missing: -1}
  Q: {property: discharge, unit: m3/s, station: S2, qualifier_column: QF}
"""
    found = read(f"time,H,Q,QF,battery\n{HOURS[0]},-1,2,est,12.1\n", mapping)
    assert [(row["series"], row["qualifier"]) for row in found.rows] == [("S1/water_level", None), ("S2/discharge", "est")]
    assert math.isnan(found.values[0])


def test_discriminators_make_series_of_their_own() -> None:
    """Two sensors at two depths are four series, and know which."""
    rows = "".join(f"{HOURS[0]},S1,{sensor},{depth},1\n" for sensor in "ab" for depth in (1, 2))
    found = read(f"time,station,sensor,depth,value\n{rows}", "property: temperature\nseries_columns: [sensor, depth]")
    assert [one.natural_id for one in found.series] == [f"S1/temperature/{sensor}/{depth}" for sensor in "ab" for depth in (1, 2)]
    assert (found.series[3].attributes["sensor"], found.series[3].attributes["depth"]) == ("b", "2")


def test_every_bad_row_is_rejected_with_its_line_and_reason() -> None:
    """Words, more columns than the header, early, late, empty and unreadable times; the rest is taken."""
    text = f"""time,value
{HOURS[0]},1
{HOURS[1]},abc
{HOURS[2]},1,2

{HOURS[3]},4
1949-12-31T23:00:00Z,1
2026-11-01T01:00:01Z,1
,3
noon,4
# a comment
2026-11-01T01:00:00Z,5"""
    found = read(text)
    assert (found.values, found.source_rows) == ([1, 4, 5], [2, 6, 12])
    assert list(found.reasons) == [3, 4, 7, 8, 9, 10]
    assert "'abc' in column 'value' is no number" in found.reasons[3]
    assert "3 columns, but the header has 2" in found.reasons[4]
    assert "WATER_FIRST_DAY" in found.reasons[7]
    assert "WATER_FUTURE_TOLERANCE_MINUTES" in found.reasons[8]
    assert next(row.text for row in found.rejected if row.source_row == 4) == f"{HOURS[2]},1,2"


def test_one_bad_cell_of_a_wide_file_leaves_the_other_values() -> None:
    """The row is reported with the column, and its other value is loaded."""
    found = read(f"time,a,b\n{HOURS[0]},1,2\n{HOURS[1]},x,4\n{HOURS[2]},5,6\n")
    assert found.values == [1, 2, 4, 5, 6]
    assert "column 'a'" in found.reasons[3]


def test_duplicate_and_unsorted_times_keep_the_order_of_the_file() -> None:
    """Which of two values holds is not for the parser to decide."""
    found = read(f"time,value\n{HOURS[2]},1\n{HOURS[0]},2\n{HOURS[2]},3\n")
    assert (found.values, found.source_rows) == ([1, 2, 3], [2, 3, 4])


@pytest.mark.parametrize(
    ("head", "columns", "said"),
    [
        ("time,depth,temp", ["0", "5", "10"], r"series_columns: \[depth\]"),
        ("date,HHMM,temp", ["15", "30", "45"], r"such as row 2 to row 3\. .*time: \[<date>, <clock>\], or series_columns: \[HHMM\]"),
    ],
)
def test_a_file_most_rows_of_which_would_be_lost_is_refused(head: str, columns: list[str], said: str) -> None:
    """Depths, or clocks of an unknown kind, that are taken for values: the mapping has to say what they are; a few corrections are taken."""
    rows = [f"2020-01-0{day},{column},{day + number / 10}\n" for day in (1, 2) for number, column in enumerate(columns)]
    with pytest.raises(UnreadableFile, match=said):
        read(f"{head}\n{''.join(rows)}", "time_zone: UTC")
    assert len(read(f"{head}\n{''.join(rows)}", f"time_zone: UTC\nseries_columns: [{head.split(',')[1]}]").rows) == 6
    assert len(read(f"{head}\n{''.join(rows)}", f"time_zone: UTC\nignore: [{head.split(',')[1]}]").rows) == 6
    assert len(read("time,level\n" + "".join(f"{hour},{value}\n" for value in (1, 2) for hour in HOURS[: 24 if value == 1 else 2])).rows) == 26


@pytest.mark.parametrize("cut", [f"{HOURS[3]};1", f"{HOURS[3]};", f"{HOURS[3]}", "2020-01-01T03"])
def test_a_line_that_the_end_of_the_file_cuts_is_rejected(cut: str) -> None:
    """A value with fewer decimals than all others, or a line with fewer cells; one that only has no line end is taken."""
    text = "time;level\n" + "".join(f"{hour};12,5\n" for hour in HOURS[:3])
    found = read(text + cut)
    assert (found.values, found.reasons) == ([12.5] * 3, {5: "the file ends in the middle of this line: its transfer was probably cut off"})
    assert read(f"{text}{HOURS[3]};9,1").values == [12.5, 12.5, 12.5, 9.1]
    dates = "level;time\n1;13.01.2020 00:00\n2;14.01.2020 00:00\n3;15.01.20"
    assert read(dates, "time_zone: UTC").values == [1, 2]


def test_zeros_where_a_logger_lost_its_power_join_no_values() -> None:
    """What stands around them is rejected, lines of them are none; zeros that fill up every cell are taken off."""
    found = read(f"time,level\n{HOURS[0]},1\n{HOURS[1]},1\0\0\0\0{HOURS[4]},5\n\0\0\0\0{HOURS[2]},2\n\0\0\0\n{HOURS[3]},3\n\0\0\0\0")
    assert (found.values, list(found.reasons)) == ([1, 3], [3, 4])
    assert all("loses its power" in reason for reason in found.reasons.values())
    table = "level,time\n" + "".join(f"{number},{hour}\n" for number, hour in enumerate(HOURS))
    assert read(table.replace(f"{HOURS[7][2:]}\n8,2", "\0\0\0\0")).values == [*range(7), *range(9, 24)]
    assert read(table.replace("\n0,", "\né\0\0,").encode("cp1252")).values == [*range(1, 24)]
    with pytest.raises(UnreadableFile, match=r"Line 1, above the first row, is damaged by zeros"):
        read(table.replace("level", "\0\0"))
    assert read("".join(f"{hour}\0,{number}\0\0\n" for number, hour in enumerate(HOURS))).values == [*range(24)]


def test_files_that_were_put_together_are_one() -> None:
    """The mark of encoding and the header of the second are no data, and the row above them is kept, even as the only one."""
    found = read(f"\ufefftime,level\n{HOURS[0]},1\n\ufefftime,level\n{HOURS[1]},2\n\ufeff{HOURS[2]},3\n")
    assert (found.values, list(found.reasons)) == ([1, 2, 3], [3])


def test_two_units_of_one_series_do_not_mix() -> None:
    """The second unit is rejected row by row, and the message shows how to tell the series apart."""
    text = f"time,station,value,unit\n{HOURS[0]},S1,1,m\n{HOURS[1]},S1,3,ft\n"
    found = read(text, "property: level")
    assert found.values == [1]
    assert "series_columns" in found.reasons[3]
    assert read(text, "property: level\nseries_columns: unit").values == [1, 3]


def test_a_clean_file_of_a_million_rows_keeps_its_line_numbers_over_chunks() -> None:
    """Also behind a chunk that had to be split line by line."""
    lines = [f"20{n // 80_000 + 10}-01-{1 + n % 28:02d}T{n // 28 % 24:02d}:{n // 672 % 60:02d}:00Z,{n}" for n in range(1_000_000)]
    lines[10] += ",7"
    lines[999_998] = "2020-01-01T00:00:00Z,word"
    found = read("time,value\n" + "\n".join(lines))
    assert found.table.num_rows == 999_998
    assert (found.table["source_row"].to_numpy() == found.table["value"].to_numpy() + 2).all()
    assert list(found.reasons) == [12, 1_000_000]


@pytest.mark.parametrize("kind", ["csv", "utf-16", "json", "xle"])
def test_a_file_all_of_which_tells_the_order_of_day_and_month_is_read_to_its_end(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking through all blocks for a number above 12 takes no rows away from the reading that goes on."""
    monkeypatch.setattr(encoding, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(source, "_ROWS", 100)
    times = [f"{1 + n // 24:02d}/01/2020 {n % 24:02d}:00:00" for n in range(31 * 24)]
    text = {
        "json": "".join(f'{{"time": "{time}", "level": {n}}}\n' for n, time in enumerate(times)),
        "xle": "<Body_xle><Instrument_info_data_header><Location>W</Location></Instrument_info_data_header><Ch1_data_header><Identification>LEVEL"
        "</Identification><Unit>m</Unit></Ch1_data_header><Data>"
        + "".join(f"<Log><Date>{time[:10]}</Date><Time>{time[11:]}</Time><ch1>{n}</ch1></Log>" for n, time in enumerate(times))
        + "</Data></Body_xle>",
    }.get(kind, "time,level\n" + "".join(f"{time},{n}\n" for n, time in enumerate(times)))
    found = read(text.encode("utf-16" if kind == "utf-16" else "utf-8"), "time_zone: UTC")
    assert found.values == [*range(31 * 24)]
    assert found.times[-1] == "2020-01-31T23:00:00"


def test_a_quoted_cell_may_span_lines_and_a_stray_quote_may_not_swallow_them() -> None:
    """Row numbers are those of the lines where rows begin."""
    text = f'time,note,value\n{HOURS[0]},"two\nlines",1\n{HOURS[1]},5" pipe,2\n{HOURS[2]},"a ""b"", c",3\n{HOURS[3]},,4\n'
    found = read(text, "value: value\nignore: note")
    assert (found.values, found.source_rows) == ([1, 2, 3, 4], [2, 4, 5, 6])


def test_rows_shorter_than_the_header_are_filled() -> None:
    """Loggers leave trailing empty cells out."""
    assert read(f"time,a,b\n{HOURS[0]},1\n{HOURS[1]},2,3\n{HOURS[2]},4\n{HOURS[3]},5,6\n").values == [1, 2, 3, 4, 5, 6]


PREAMBLES = ["Serial number,12345\nFirmware,1.2\n\n", "# by hand\n# 2020-01-01\n", "sep=,\n", "Plot Title: Creek,,\n", ""]


@pytest.mark.parametrize("preamble", PREAMBLES)
def test_lines_above_the_header_are_skipped(preamble: str) -> None:
    """Facts, comments and titles do not shift the line numbers."""
    found = read(f"{preamble}time,level,temp\n{HOURS[0]},1,2\n{HOURS[1]},3,4\n")
    first = preamble.count("\n") + 2
    assert (found.values, found.source_rows) == ([1, 2, 3, 4], [first, first, first + 1, first + 1])


def test_fixed_width_columns_are_cut_where_the_mapping_says() -> None:
    """Blank cells and cells that touch each other stay in their columns."""
    text = f"S1  {HOURS[0]}  1.5A\nS1  {HOURS[1]}     \nS2  {HOURS[0]}-12.5B\n"
    found = read(text, "widths: [4, 20, 5, 1]\nheader: false\nstation_column: 1\ntime: 2\nvalue: 3\nqualifier_column: 4\nproperty: flow")
    assert [(row["series"], row["qualifier"]) for row in found.rows] == [("S1/flow", "A"), ("S1/flow", None), ("S2/flow", "B")]
    assert (found.values[0], math.isnan(found.values[1]), found.values[2]) == (1.5, True, -12.5)


def test_a_file_without_header_is_mapped_by_position() -> None:
    """The first line is data, and is read as such."""
    found = read("1577836800 1.5\n1577836860 2.5\n", "time: 1\ntime_format: epoch_s\nvalue: 2\nproperty: flow")
    assert (found.values, found.times[0]) == ([1.5, 2.5], "2020-01-01T00:00:00")


@pytest.mark.parametrize("row", ["2020-01-{:02d} 00:00,1,05", "2020-01-{:02d},0015,1.5"])
def test_parts_of_numbers_are_no_values_where_no_header_tells(row: str) -> None:
    """A decimal comma between commas, or a clock without colon: refused, and read once the mapping says which columns are values."""
    rows = "".join(row.format(day) + "\n" for day in range(1, 5))
    with pytest.raises(UnreadableFile, match=r"decimals of column .* clocks"):
        read(rows, "time_zone: UTC")
    assert len(read(rows, "time_zone: UTC\nvalue: [3]").rows) == 4


def test_location_and_feature_of_interest_come_from_mapping_or_columns() -> None:
    """Constants of the mapping, or columns of each station."""
    mapping = "station: S1\nlatitude: 45.1\nlongitude: 9.2\nfeature_of_interest: Po\nstation_attributes: {kind: river}"
    found = read(f"time,value\n{HOURS[0]},1\n", mapping)
    assert found.stations[0].attributes == {"latitude": 45.1, "longitude": 9.2, "kind": "river"}
    assert found.series[0].attributes["feature_of_interest"] == "Po"
    found = read(f"time,site,lat,lon,site_name,value\n{HOURS[0]},S1,45.1,9.2,Mill,1\n{HOURS[0]},S2,45.3,9.4,Weir,1\n")
    assert found.stations[1].attributes == {"latitude": 45.3, "longitude": 9.4, "name": "Weir"}


@pytest.mark.parametrize(
    ("text", "mapping", "said"),
    [
        ("time,value\n", "", "no rows"),
        ("a,b\nx,y\n", "", "No column of times was found among 'a', 'b'"),
        (f"time,note\n{HOURS[0]},x\n", "", "No column of values"),
        (f"time,level\n{HOURS[0]},x\n{HOURS[1]},y\n{HOURS[2]},1\n", "", "Of 'level' fewer than half of the cells are numbers"),
        (f"time,level\n{HOURS[0]},1\n", "value: levl", "Did you mean 'level'?"),
        (f"time,level\n{HOURS[0]},1\n", "value: 7", "the file has 2 columns"),
        (f"time,a,b\n{HOURS[0]},1,2\n", "property: flow\nstation: S1", "Tell them apart"),
        (f"time,value\n{HOURS[0]},1\n", "separator: '::'", "is not one character"),
        ("time,value\n2020-01-01T00:00:00Z,\xff\n", "encoding: ascii", "not ascii"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_with_what_to_do(text: str, mapping: str, said: str) -> None:
    """The message names what was found and the line to write."""
    with pytest.raises(UnreadableFile) as caught:
        read(text, mapping)
    assert said in str(caught.value)
