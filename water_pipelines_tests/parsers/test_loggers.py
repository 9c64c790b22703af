"""Makers' logger formats: what real and typical exports say, value by value, and that no damage to a file changes a value."""

from __future__ import annotations

import io
from math import isnan

import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.recognise import describe
from water_pipelines_tests.parsers.reading import Read, read
from water_pipelines_tests.shared_data import shared

CET = 'time_zone: "+01:00"'
EPA = "messy_loggers/USEPA+ContDataQC/inst/extdata/"

TOA5 = (
    '"TOA5","WEIR_4","CR1000","12345","CR1000.Std.31","CPU:prog.CR1","55555","Table15"\r\n'
    '"TIMESTAMP","RECORD","BattV_Min","AirTC_Avg","Lvl"\r\n"TS","RN","Volts","Deg C","m"\r\n"","","Min","Avg","Smp"\r\n'
    '"2023-05-01 00:15:00",0,12.9,15.32,1.234\r\n"2023-05-01 00:30:00",1,12.88,"NAN",1.235\r\n'
)
HOBO = (
    '\ufeff"Plot Title: Mill Creek"\r\n'
    '"#","Date Time, GMT-05:00","Temp, °F (LGR S/N: 10219687, SEN S/N: 10219687, LBL: Temp)","Abs Pres, psi (LGR S/N: 10219687, SEN S/N: 1)",'
    '"Coupler Detached (LGR S/N: 10219687)","End Of File (LGR S/N: 10219687)"\r\n'
    "1,07/14/23 01:00:00 PM,72.5,14.51,,\r\n2,07/14/23 01:15:00 PM,72.6,14.52,Logged,\r\n3,07/14/23 01:30:00 PM,,,,Logged\r\n"
)
HOBO_CONNECT = (
    "#,Date-Time (CET),Temperature (°C) ,Dissolved Oxygen (mg/L) ,Started\n1,2023/06/01 00:00:00,12.3,9.1,\n2,2023/06/01 00:15:00,12.4,9.0,\n"
)
SOLINST = (
    "Serial_number:\r\n1043268\r\nProject ID:\r\nP1\r\nLocation:\r\nWell 7\r\nLEVEL\r\nUNIT: m\r\nOffset: 0.000000 m\r\nTEMPERATURE\r\nUNIT: °C\r\n"
    "Date,Time,ms,LEVEL,TEMPERATURE\r\n2023/05/01,00:15:00,0,10.1234,11.5\r\n2023/05/01,00:15:00,125,10.1235,11.6\r\n"
)
MINIDOT = (
    "MiniDOT\nhttps://www.pme.com\nSensor: 7392-354869\nConcatenation Date: 2022-07-01\n\n"
    "Unix Timestamp,UTC_Date_&_Time,Eastern Standard Time,Battery,Temperature,Dissolved Oxygen,Q\n"
    "(Second),(none),(none),(Volt),(deg C),(mg/l),(none)\n"
    "1655755200,2022-06-20 20:00:00,2022-06-20 15:00:00,3.37,21.2,7.9,0.99\n1655755260,2022-06-20 20:01:00,2022-06-20 15:01:00,3.37,21.3,7.8,0.98\n"
)
IN_SITU = (
    "Report Date: 2023-05-01 00:00:00\nSite: Weir\nTime Zone: UTC-05:00\n\n"
    "Date and Time,Pressure (PSI) (123),Temperature (C) (123),Temperature (C) (77)\n"
    "2023-05-01 00:15:00,14.2,10.1,11.0\n2023-05-01 00:30:00,14.3,10.2,11.1\n"
)
TYPICAL = {
    "campbell-toa5": (TOA5, CET),
    "hobo": (HOBO, ""),
    "solinst-text": (SOLINST, CET),
    "minidot": (MINIDOT, ""),
    "in-situ": (IN_SITU, ""),
}


def told(found: Read) -> list[tuple[str, str, float | None]]:
    """(series, time, value) in the order of the file; a missing value is None."""
    return [(row["series"], row["time"].strftime("%m-%dT%H:%M:%S.%f")[:18], None if isnan(row["value"]) else row["value"]) for row in found.rows]


def units(found: Read) -> dict[str, str | None]:
    return {each.natural_id: each.attributes.get("unit") for each in found.series}


def test_campbell_units_stand_in_the_third_line_and_the_record_number_is_no_value() -> None:
    """TOA5 of two records: three series with their units at the station that the logger names; NAN is missing."""
    found = read(TOA5.encode(), CET, name="table.dat")
    assert units(found) == {"WEIR_4/battv_min": "Volts", "WEIR_4/airtc_avg": "Deg C", "WEIR_4/lvl": "m"}
    assert told(found)[-3:] == [
        ("WEIR_4/battv_min", "04-30T23:30:00.000", 12.88),
        ("WEIR_4/airtc_avg", "04-30T23:30:00.000", None),
        ("WEIR_4/lvl", "04-30T23:30:00.000", 1.235),
    ]
    assert found.source_rows == [5, 5, 5, 6, 6, 6]
    assert found.rejected == []


def test_hobo_columns_of_events_are_no_series_and_the_header_tells_the_zone() -> None:
    """HOBOware: two series of the plot's title, in UTC; the row without values gives none."""
    found = read(HOBO.encode(), "", name="10219687.csv")
    assert units(found) == {"Mill Creek/temp": "°F", "Mill Creek/abs_pres": "psi"}
    assert told(found) == [
        ("Mill Creek/temp", "07-14T18:00:00.000", 72.5),
        ("Mill Creek/abs_pres", "07-14T18:00:00.000", 14.51),
        ("Mill Creek/temp", "07-14T18:15:00.000", 72.6),
        ("Mill Creek/abs_pres", "07-14T18:15:00.000", 14.52),
    ]


def test_hobo_connect_s_header_that_begins_with_a_hash_is_no_comment() -> None:
    """HOBOconnect: units in parentheses; a zone by its short name alone does not declare one."""
    with pytest.raises(UnreadableFile, match="no time zone"):
        read(HOBO_CONNECT.encode(), "", name="export.csv")
    found = read(HOBO_CONNECT.encode(), CET, name="export.csv")
    assert units(found) == {"inbox/export/temperature": "°C", "inbox/export/dissolved_oxygen": "mg/L"}
    assert told(found)[0] == ("inbox/export/temperature", "05-31T23:00:00.000", 12.3)


def test_solinst_milliseconds_belong_to_the_time() -> None:
    """Two values within a second are two, and the units come from the block above."""
    found = read(SOLINST.encode("latin-1"), CET, name="well.csv")
    assert units(found) == {"Well 7/level": "m", "Well 7/temperature": "°C"}
    assert told(found)[::2] == [("Well 7/level", "04-30T23:15:00.000", 10.1234), ("Well 7/level", "04-30T23:15:00.125", 10.1235)]


def test_minidot_needs_no_zone_and_has_its_units_below_the_names() -> None:
    """The concatenated file: Unix time, four series; its other two clocks are not read as values."""
    found = read(MINIDOT.encode(), "", name="Cat.TXT")
    assert list(units(found).values()) == ["Volt", "deg C", "mg/l", None]
    assert told(found)[1] == ("inbox/Cat/temperature", "06-20T20:00:00.000", 21.2)


def test_in_situ_sensors_of_one_kind_are_told_apart_by_their_numbers() -> None:
    """Three columns with the sensor's serial number behind the unit."""
    found = read(IN_SITU.encode(), "", name="report.csv")
    assert units(found) == {"Weir/pressure": "PSI", "Weir/temperature_123": "C", "Weir/temperature_77": "C"}
    assert told(found)[2] == ("Weir/temperature_77", "05-01T05:15:00.000", 11.0)


def test_the_real_levelogger_of_a_slug_test_has_eight_values_a_second() -> None:
    """587 records of two channels, at the place that the logger was given."""
    path = shared("messy_loggers/ArtesiaWater+hydropandas/tests/data/2024-solinst-test/WsNoo_dp366_BUB_20231222_slug1m.xle")
    found = read(path.read_bytes(), CET, name=path.name)
    assert len(found.rows) == 2 * 587
    assert told(found)[2] == ("slugtest/level", "12-22T09:16:37.125", 10.2392)
    assert (found.stations[0].attributes["latitude"], found.stations[0].attributes["longitude"]) == (51.4253, 3.9167)


def test_a_real_levelogger_file_without_an_encoding_is_read_in_the_one_it_has() -> None:
    """A degree sign of Windows in XML that declares nothing: 859 records, in feet and °F, at no place where the place is 0, 0."""
    path = shared("messy_loggers/inkenbrandt+loggerloader/test/SCR-1_2018_04_24.xle")
    found = read(path.read_bytes(), CET, name=path.name)
    assert len(found.rows) == 2 * 859
    assert units(found) == {"SCR Landslide/level": "ft", "SCR Landslide/temperature": "°F"}
    assert "latitude" not in found.stations[0].attributes


def test_a_real_diver_file_has_two_channels_and_an_end() -> None:
    """7,199 records of pressure and temperature; the line that ends the file is no row."""
    folder = "messy_loggers/DOV-Vlaanderen+groundwater-logger-validation/data/raw/geotechniek/GEO_08_051_ff_b29d/"
    path = shared(folder + "ff_b29d_090429160100_C4080.MON")
    found = read(path.read_bytes(), CET, name=path.name)
    assert (len(found.rows), found.rejected) == (2 * 7199, [])
    assert units(found) == {"ff_b29d/pressure": "cm", "ff_b29d/temperature": "°C"}
    assert told(found)[0] == ("ff_b29d/pressure", "02-13T15:00:00.000", 1296.8)


def test_real_hobo_files_give_their_sensors_and_no_row_numbers() -> None:
    """Two exports: five sensors each; the title of the plot names the station."""
    for name, rows, station in (
        ("Charlies_AW_20170726_20170926.csv", 14880, "Charlies Creek Water"),
        ("EXAMPLE_DO_RUSSWOOD--02M_DO_20180918_20190610.csv", 25085, "RUSSWOOD02M_DO"),
    ):
        path = shared(EPA + name)
        found = read(path.read_bytes(), "", name=path.name)
        assert (len(found.rows), {each.station for each in found.series}, len(found.series)) == (rows, {station}, 5)


def test_a_real_handheld_s_columns_are_called_by_their_units() -> None:
    """YSI in UTF-16 with a `sep=` line: one record; what has no value is no observation."""
    path = shared("messy_loggers/USEPA+compeco/inst/extdata/210915-112052-_.csv")
    found = read(path.read_bytes(), 'time_zone: "-04:00"', name=path.name)
    values = {row["series"].rpartition("/")[2]: row["value"] for row in found.rows}
    assert (values["temperature"], values["barometric_pressure"], values["ph"], values["dep_m"]) == (23.883, 760.8, 7.13, 0.145)
    assert "cl_mg_l" not in values


@pytest.mark.parametrize("name", TYPICAL)
def test_damage_gives_the_same_values_or_a_refusal(name: str) -> None:
    """Other line ends and encodings give equal values; a file that is cut off gives the rows before the cut, never another value."""
    text, mapping = TYPICAL[name]
    whole = told(read(text.encode(), mapping, name="x.csv"))
    plain = text.replace("\r\n", "\n").lstrip("\ufeff")
    for data in (plain.encode(), plain.replace("\n", "\r\n").encode(), plain.encode("utf-16"), plain.encode("utf-8-sig")):
        assert told(read(data, mapping, name="x.csv")) == whole
    for cut in range(len(plain) - 1, len(plain) // 3, -7):
        try:
            found = told(read(plain[:cut].encode(), mapping, name="x.csv"))
        except UnreadableFile:
            continue
        assert set(found[:-1]) <= set(whole) | {one for one in found if one[2] is None}, cut


def test_tables_one_below_the_other_are_refused() -> None:
    """The second table's values would be taken for the first one's station."""
    table = "time,level [m]\n2023-10-01T01:45Z,{}\n2023-10-01T02:00Z,{}\n"
    stacked = "Station: A\n" + table.format(1, 2) + "\nStation: B\n" + table.format(3, 4)
    with pytest.raises(UnreadableFile, match="Another table begins at line 6"):
        read(stacked.encode(), "", name="both.csv")
    again = read((table.format(1, 2) + "time,level [m]\n2023-10-01T02:15Z,3\n").encode(), "", name="one.csv")
    assert again.values == [1.0, 2.0, 3.0]


def test_a_mapping_that_describes_the_table_is_followed_in_place_of_the_maker() -> None:
    """A mapping with columns of its own reads a Campbell file as a plain table."""
    mapping = 'time_zone: "+01:00"\nheader: 2\nskip: 4\ntime: TIMESTAMP\nvalue: Lvl\nproperty: stage\nunit: m\nstation: MINE\nmissing: NAN'
    assert describe(io.BytesIO(TOA5.encode()), Mapping.from_yaml(mapping)).parser == "text"
