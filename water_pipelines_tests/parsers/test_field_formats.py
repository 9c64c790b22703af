"""Files as makers, services and spreadsheets write them, small: each is read as a hydrologist would, or refused with what to do about it."""

import random

import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.parsers.reading import Read, read

CET = 'time_zone: "+01:00"'
TOA5 = '"TOA5","S","CR1000","1","OS","P","1","T"\n"TIMESTAMP","RECORD",{}\n"TS","RN",{}\n"","","Smp","Smp"\n"2021-10-30 02:00:00",0,{}\n'
XLE = (
    "<?xml version='1.0'?><Body_xle><Instrument_info_data_header><Location>Weir 5</Location></Instrument_info_data_header><Ch1_data_header>"
    "<Identification>LEVEL</Identification><Unit>m</Unit></Ch1_data_header><Data><Log id='1'><Date>{0}</Date><Time>{1}</Time><ms>0</ms>"
    "<ch1>1,234</ch1></Log><Log id='2'><Date>{0}</Date><Time>{2}</Time><ms>500</ms><ch1>1.235</ch1></Log></Data></Body_xle>"
)
SOLINST = "Serial_number:\n2001234\nProject ID:\nX\nLocation:\nMW-12\nLEVEL\nUNIT: {}\nDate{s}Time{s}ms{s}LEVEL\n{}{s}{}{s}250{s}{}\n"
LEV = (
    "Data file for DataLogger.\n[Instrument info from data header]\n  Location  =MW7\n[Channel 1 from data header]\n  Identification  =LEVEL\n"
    "  Reference  =0.00 m\n[Channel 2 from data header]\n  Identification  =TEMPERATURE\n  Reference  =0.00 °C\n[Data]\n2\n"
    "2010/05/13 13:00:00.0      1,234     11,20\n2010/05/13 13:15:00.0      1,235     11,30\nEND OF DATA FILE OF DATALOGGER FOR WINDOWS\n"
)
HOBO_EVENTS = (
    '"Plot Title: Creek A"\n"#","Date Time, GMT-05:00","Temp, °C (LGR S/N: 1, LBL: T)","Host Connected (LGR S/N: 1)","End Of File (LGR S/N: 1)"\n'
    "1,07/14/21 01:00:00 PM,22.5,,\n2,07/14/21 01:16:00 PM,,Logged,Logged\n"
)
WIN_SITU = (
    "Report Date:,6/22/2021 10:31:15\nLog File Properties\nSite,MW-1\nTime Zone,Mountain Standard Time\n\n,Sensor: Pres 69ft,Sensor: Pres 69ft\n"
    "Elapsed Time,SN#: 123456,SN#: 123456\nDate and Time,Seconds,Pressure (PSI),Depth (ft)\n-------- , -------- , ------ , -----\n"
    "6/22/2021 10:00:00,0.000,5.231,12.08\n"
)
HYDROVU = (
    "Location Properties,,\n,Location Name = Weir 7\n,Latitude ° = 40.1\n,Longitude ° = -105.2\nReport Properties,,\n,Time Offset = -07:00:00\n\n"
    '"Date Time","Depth (ft) (765432)","Marked"\n2023-01-01 00:00:00,11.9,\n'
)
KOR = (
    "KOR Measurement File Export\r\n\r\nDate (DD/MM/YYYY);Time (HH:mm:ss);Time (Fract. Sec);Site Name;Cond µS/cm;ODO % sat;BGA PC RFU\r\n"
    "03/06/2021;13:00:00;0;Dock A;512,3;98,1;0,25\r\n"
)
RDB_MEASURED = (
    "agency_cd\tsite_no\tmeasurement_dt\ttz_cd\tgage_height_va\tdischarge_va\tmeasured_rating_diff\n5s\t15s\t19d\t6s\t12s\t12s\t12s\n"
    "USGS\t01646500\t2020-03-01 10:30:00\tEST\t3.20\t5010\tGood\n"
)
RDB_LEVELS = (
    "agency_cd\tsite_no\tlev_dt\tlev_tm\tlev_tz_cd\tlev_va\tsl_lev_va\tsl_datum_cd\tlev_status_cd\n5s\t15s\t10d\t5d\t5s\t12s\t12s\t10s\t1s\n"
    "USGS\t01646500\t2012-05-01\t10:30\tEST\t12.1\t\t\t1\nUSGS\t01646500\t2012-06-01\t10:30\tEST\t\t5.2\tNAVD88\t\n"
)
CATEGORIES = (
    '<wml2:Collection xmlns:wml2="http://www.opengis.net/waterml/2.0" xmlns:om="http://www.opengis.net/om/2.0" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:swe="http://www.opengis.net/swe/2.0"><wml2:observationMember><om:OM_Observation>'
    '<om:observedProperty xlink:title="Sky"/><om:featureOfInterest xlink:href="http://x/stations/7"/><om:result><wml2:CategoricalTimeseries>'
    "<wml2:point><wml2:CategoricalTVP><wml2:time>2021-01-01T00:00:00Z</wml2:time><wml2:value><swe:Category><swe:value>cloudy</swe:value>"
    "</swe:Category></wml2:value></wml2:CategoricalTVP></wml2:point></wml2:CategoricalTimeseries></om:result></om:OM_Observation>"
    "</wml2:observationMember></wml2:Collection>"
)
HOURS = "Date," + ",".join(map(str, range(1, 25))) + "\n2021-10-13," + ",".join(map(str, range(24))) + "\n"
KNMI = "# HH        : tijd (uur UTC)\n# STN,YYYYMMDD,   HH,    T\n  260,20210101,    1,   31\n  260,20210101,   24,   30\n"
KNMI_PROSE = "BRON: KNMI, De Bilt\nOpmerking: niet homogeen, zie de site\n\n" + KNMI.replace("T\n", "T\n\n")
NDBC = "#YY  MM DD hh mm WSPD  WTMP\n#yr  mo dy hr mn m/s   degC\n2024 01 02 00 50 4.0  12.1\n2024 01 02 01 50 4.1  12.2\n"
DAYS_IN_COLUMNS = "Year,Mnth,Day,Q (m3/s)\n2020,1,13,3.4\n2020,1,14,3.5\n"
HRS_2013 = (
    '#,"Hydrologic Reference Stations"\n#\n#,"Daily streamflow (ML/day) and quality code"\n#,"Cotter River at Gingera (410730)"\n'
    '#,"Location:", 148.8212,"degrees E", 35.5917,"degrees S"\nDate,Q,QCode\n1963-07-05,127.312,10\n'
)
CHILE = "codigo_estacion,agno,mes,dia,valor\n05410002,2022,1,31,15.5\n"
DINO_2015 = (
    "Titel: \nReferentie: Maaiveld (MV)\n\nLOCATIE,FILTERNUMMER,EXTERNE AANDUIDING,X-COORDINAAT,Y-COORDINAAT,START DATUM,EIND DATUM\n"
    "B58A0092,005,58AP0092,186924,372026,1979/02/28,1991/11/16\n\n"
    "LOCATIE,FILTERNUMMER,PEIL DATUM TIJD,STAND (MV),BIJZONDERHEID\nB58A0092,005,1979/02/28 00:00:00,331,\nB58A0092,005,1979/03/14 00:00:00,,N\n"
)
DWD = "STATIONS_ID;MESS_DATUM;  FX;eor\n         44;20210101;   8.1;eor\n         44;20210102;   9.1;eor\n"

READ = {
    "Solinst, 12 hours, milliseconds": (
        SOLINST.format("ft", "05/13/2021", "1:00:00 PM", "12.5", s=","),
        CET,
        ["MW-12/level ft 05-13T12:00:00.25 12.5"],
    ),
    "Solinst, decimal comma": (SOLINST.format("m", "2021/05/13", "13:00:00", "12,5", s=";"), CET, ["MW-12/level m 05-13T12:00:00.25 12.5"]),
    "Solinst LEV": (LEV, CET, ["MW7/level m 05-13T12:00:00 1.234", "MW7/temperature °C 05-13T12:00:00 11.2"]),
    "XLE, month first": (XLE.format("01/13/2022", "00:00:00", "00:15:00"), CET, ["Weir 5/level m 01-12T23:00:00 1.234"]),
    "XLE, 12 hours": (XLE.format("2022/01/13", "1:00:00 PM", "1:15:00 PM"), CET, ["Weir 5/level m 01-13T12:00:00 1.234"]),
    "HOBO, a row of events is none": (HOBO_EVENTS, "", ["Creek A/temp °C 07-14T18:00:00 22.5"]),
    "HOBO, no zone, date and time apart": (
        '"Plot Title: A"\n"#","Date","Time, GMT+01:00","Temp, °C (LGR S/N: 1, SEN S/N: 1)"\n1,2021-07-14,13:00:00,22.5\n',
        "",
        ["A/temp °C 07-14T12:00:00 22.5"],
    ),
    "HOBO, French": (
        '"Titre du tracé : Ruisseau"\n"N°";"Date Heure, GMT+02:00";"Temp, °C (LGR S/N: 1)";"Fin de fichier (LGR)"\n1;07/14/21 13:00:00;22,5;\n',
        "",
        ["Ruisseau/temp °C 07-14T11:00:00 22.5"],
    ),
    "TOA5, appended": (
        TOA5.format('"A","B"', '"m","C"', "1.5,9") + TOA5.format('"A","B"', '"m","C"', "1.6,8"),
        CET,
        ["S/a m 10-30T01:00:00 1.5", "S/b C 10-30T01:00:00 9.0", "S/a m 10-30T01:00:00 1.6", "S/b C 10-30T01:00:00 8.0"],
    ),
    "Win-Situ": (WIN_SITU, 'time_zone: "-07:00"', ["MW-1/pressure PSI 06-22T17:00:00 5.231", "MW-1/depth ft 06-22T17:00:00 12.08"]),
    "HydroVu": (HYDROVU, "", ["Weir 7/depth ft 01-01T07:00:00 11.9"]),
    "KOR": (
        KOR,
        CET,
        ["Dock A/cond_μs_cm µS/cm 06-03T12:00:00 512.3", "Dock A/odo_sat % sat 06-03T12:00:00 98.1", "Dock A/bga_pc_rfu RFU 06-03T12:00:00 0.25"],
    ),
    "RDB, measurements": (
        RDB_MEASURED,
        "",
        ["01646500/gage_height/measured ft 03-01T15:30:00 3.2", "01646500/discharge/measured ft3/s 03-01T15:30:00 5010.0 Good"],
    ),
    "RDB, levels": (
        RDB_LEVELS,
        "",
        [
            "01646500/depth_to_water_level/field ft 05-01T15:30:00 12.1 1",
            "01646500/groundwater_level_elevation/field/navd88 ft 06-01T15:30:00 5.2",
        ],
    ),
    "categories stay as words": (CATEGORIES, "", ["7/sky None 01-01T00:00:00 nan cloudy"]),
    "an hour a column": (HOURS, CET, ["inbox/file/value None 10-13T00:00:00 0.0", "inbox/file/value None 10-13T01:00:00 1.0"]),
    "numbered stations are no hours": (
        "time," + ",".join(map(str, range(1, 25))) + "\n2021-01-01T06:00Z," + ",".join(map(str, range(24))) + "\n",
        "",
        ["inbox/file/1 None 01-01T06:00:00 0.0", "inbox/file/2 None 01-01T06:00:00 1.0"],
    ),
    "months": (
        "year,month,flow\n2019,1,1.5\n2019,2,2.5\n",
        "time: [year, month]\ntime_format: '%Y %m'\n" + CET,
        ["inbox/file/flow None 12-31T23:00:00 1.5"],
    ),
    "KNMI": (KNMI, "time_zone: UTC", ["260/t None 01-01T01:00:00 31.0", "260/t None 01-02T00:00:00 30.0"]),
    "KNMI below prose": (KNMI_PROSE, "time_zone: UTC", ["260/t None 01-01T01:00:00 31.0", "260/t None 01-02T00:00:00 30.0"]),
    "NDBC": (
        NDBC,
        "{time_zone: UTC, station: 41001}",
        [
            f"41001/{said}"
            for said in (
                "wspd m/s 01-02T00:50:00 4.0",
                "wtmp degC 01-02T00:50:00 12.1",
                "wspd m/s 01-02T01:50:00 4.1",
                "wtmp degC 01-02T01:50:00 12.2",
            )
        ],
    ),
    "year, month and day in columns": (
        DAYS_IN_COLUMNS,
        "{time_zone: UTC, station: A}",
        ["A/q m3/s 01-13T00:00:00 3.4", "A/q m3/s 01-14T00:00:00 3.5"],
    ),
    "BoM reference stations of 2013": (HRS_2013, "time_zone: UTC", ["410730/discharge ML/day 07-05T00:00:00 127.312 10"]),
    "year, month and day in Spanish": (CHILE, "{time_zone: UTC, property: discharge}", ["05410002/discharge None 01-31T00:00:00 15.5"]),
    "DINO before 2015": (
        DINO_2015,
        "time_zone: UTC",
        [f"B58A0092/groundwater_depth_below_surface/005 cm {said}" for said in ("02-28T00:00:00 331.0", "03-14T00:00:00 nan N")],
    ),
    "Water Survey of Canada": (
        '" ID",Date,Parameter/Paramètre,Value/Valeur,Symbol/Symbole\nX,2021-06-01T00:00:00-07:00,46,1.2,B\nX,2021-06-01T00:00:00-07:00,47,45.1,\n',
        "station: 05BB001",
        ["05BB001/46 None 06-01T07:00:00 1.2 B", "05BB001/47 None 06-01T07:00:00 45.1"],
    ),
    "Hub'Eau": (
        (
            '{"data": [{"code_station": "V1", "grandeur_hydro": "H", "statut_serie": 4, "date_obs": "2021-01-01T00:05:00Z", "resultat_obs": 123.0},'
            ' {"code_station": "V1", "grandeur_hydro": "Q", "statut_serie": 4, "date_obs": "2021-01-01T00:05:00Z", "resultat_obs": 50123.0}]}'
        ),
        "",
        ["V1/h None 01-01T00:05:00 123.0", "V1/q None 01-01T00:05:00 50123.0"],
    ),
    "DWD": (DWD, "time_zone: UTC", ["44/fx None 01-01T00:00:00 8.1", "44/fx None 01-02T00:00:00 9.1"]),
    "names that are numbers": (
        "datetime,site_no,00060,00060_cd\n2021-11-07 05:30:00+00:00,01646500,5000,A\n",
        "",
        ["01646500/00060 None 11-07T05:30:00 5000.0 A"],
    ),
    "a flag beside each value": (
        "time,flow,flag,level,flag\n2021-11-07T05:30Z,5,A,1,B\n",
        "",
        ["inbox/file/flow None 11-07T05:30:00 5.0 A", "inbox/file/level None 11-07T05:30:00 1.0 B"],
    ),
    "row numbers are no values": (
        "#;Logger ID;time;level\n1;17;2021-11-07T05:30Z;2,5\n2;17;2021-11-07T05:45Z;2,75\n",
        "",
        ["inbox/file/level None 11-07T05:30:00 2.5", "inbox/file/level None 11-07T05:45:00 2.75"],
    ),
    "units below the names": (
        "time,station,temperature\nUTC,,degree_C\n2021-04-14T10:00:00,A,11.2\n",
        "",
        ["A/temperature degree_C 04-14T10:00:00 11.2"],
    ),
    "names over two lines": (
        "Date,Water,,Air\n,Level,Temp,Temp\n,m,°C,°C\n2021-04-14 10:00,1.5,10,11\n2021-04-14 11:00,1.5,10,11\n",
        "time_zone: UTC",
        ["inbox/file/water_level m 04-14T10:00:00 1.5", "inbox/file/water_temp °C 04-14T10:00:00 10.0", "inbox/file/air_temp °C 04-14T10:00:00 11.0"],
    ),
    "a comma before the fraction of a second": (
        "Datum;Waarde\n2021-03-13 10:00:00,500;1,5\n2021-03-13 10:00:01,000;2,5\n",
        CET,
        ["inbox/file/waarde None 03-13T09:00:00.5 1.5"],
    ),
    "months in words": ("Datum;Wert\n13. März 2021 10:00;1\n14-mei-2021 10:00;2\n", CET, ["inbox/file/wert None 03-13T09:00:00 1.0"]),
    "hours with an h": ("time,v\n13/04/2021 10h30,1\n14/04/2021 22h45,2\n", CET, ["inbox/file/v None 04-13T09:30:00 1.0"]),
    "two series in a column": (
        "measure,dateTime,value,quality\na-flow,2021-10-31T01:00:00Z,12.3,Good\na-level,2021-10-31T01:00:00Z,2.3,Estimated\n",
        "",
        ["inbox/file/a_flow None 10-31T01:00:00 12.3 Good", "inbox/file/a_level None 10-31T01:00:00 2.3 Estimated"],
    ),
}
REFUSED = {
    "XLE, day or month": (XLE.format("01/03/2022", "00:00:00", "00:15:00"), CET, "day-month or as month-day.*day_first"),
    "TOA5, another table behind": (
        TOA5.format('"A","B"', '"m","C"', "1.5,9") + TOA5.format('"B","A"', '"C","m"', "9,1.6"),
        CET,
        "another, of another logger or with other columns.*Split",
    ),
    "TOB": ('"TOB1","S","CR1000"\r\n\0\1\2', CET, "CardConvert"),
    "two tables of other columns": (
        "time,level\n2021-10-13T10:00Z,1\n2021-10-13T11:00Z,2\n\ntime,flow\n2021-10-13T10:00Z,100\n",
        "",
        "line 5.*Split",
    ),
    "two stations, a line above each": (
        "time,level\n2021-10-13T10:00Z,1\n2021-10-13T11:00Z,2\nStation B\n2021-10-13T10:00Z,9\n",
        "",
        "line 4.*Split",
    ),
    "sensors below each other, nothing named": (
        "06/22/2021,00:00:00,HG,1.23\n06/22/2021,00:15:00,HG,1.24\n06/22/2021,00:15:00,VB,12.5\n",
        CET,
        "rows 2 and 3.*'HG', 'VB'.*series_columns.*ignore",
    ),
    "year or day of two digits": ("time,v\n21-04-13 10:00,1\n21-04-14 10:00,2\n", CET, "begin with the day as well as with the year.*time_format"),
    "tables side by side": ("Date,Flow,Date,Level\n2021-01-01T00:00Z,1,2021-01-01T00:05Z,5\n", "", "side by side.*time: 1"),
    "OTT MIS": ("<STATION>1</STATION><SENSOR>1</SENSOR><DATEFORMAT>YYYYMMDD</DATEFORMAT>\n20210622;00:00:00;1.2\n", "", "OTT MIS.*CSV"),
    "equal names": ("Date,Level,Level\n2021-04-14T10:00Z,1.5,2.5\n", "", "columns: {3: "),
    "an In-Situ log as a page": ("<html><head><title>VuSitu Log</title></head><body isi-report></body></html>", "", "as CSV"),
}


def _told(found: Read) -> list[str]:
    units = {one.natural_id: one.attributes.get("unit") for one in found.series}
    return [
        " ".join(
            filter(
                None,
                [
                    row["series"],
                    str(units[row["series"]]),
                    f"{row['time']:%m-%dT%H:%M:%S.%f}".rstrip("0").rstrip("."),
                    str(row["value"]),
                    row["qualifier"],
                ],
            )
        )
        for row in found.rows
    ]


@pytest.mark.parametrize("name", READ)
def test_it_is_read_as_it_is_meant(name: str) -> None:
    """Series, unit, UTC time, value and qualifier; nothing is rejected."""
    text, mapping, expected = READ[name]
    found = read(text.encode(), mapping)
    assert _told(found)[: len(expected)] == expected
    assert found.rejected == []


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_what_to_do(name: str) -> None:
    """What could only be read by guessing is not."""
    text, mapping, message = REFUSED[name]
    with pytest.raises(UnreadableFile, match=f"(?s){message}"):
        read(text.encode(), mapping)


def test_a_column_that_does_not_tell_series_apart_may_be_ignored() -> None:
    """A second value of one time, with a remark that differs: kept once the mapping says that the remark is none of a series."""
    text = "time,remark,level\n2021-10-13T10:00Z,first try,1\n2021-10-13T10:00Z,again,2\n"
    with pytest.raises(UnreadableFile, match="remark"):
        read(text, "")
    assert read(text, "ignore: [remark]").values == [1.0, 2.0]


def _ways(text: str) -> dict[str, bytes]:
    """The same text as other programs would save it."""
    plain = text.replace("\r\n", "\n")
    is_binary, is_xml = "\0" in text, text.lstrip().startswith(("<", "{"))
    ways = {
        "CRLF": plain.replace("\n", "\r\n").encode(),
        "a blank line at the end": f"{plain}\n".encode(),
        "no end of the last line": plain.rstrip("\n").encode(),
    }
    if not is_binary:
        ways["a byte order mark"] = plain.encode("utf-8-sig")
    if not (is_binary or is_xml):
        ways["UTF-16"] = plain.encode("utf-16")
        ways["blank lines above"] = f"\n\n{plain}".encode()
        separator = max(";\t,", key=plain.splitlines()[0].count)
        if separator in plain.splitlines()[0]:
            ways["separators at the end"] = "".join(f"{line}{separator}{separator}\n" for line in plain.splitlines()).encode()
    if not (is_binary or is_xml) and not plain.isascii():
        ways["Windows"] = plain.encode("cp1252", "replace")
    return ways


@pytest.mark.parametrize("name", READ)
def test_however_it_is_saved_it_says_the_same_or_is_refused(name: str) -> None:
    """Line ends, marks, encodings, blank lines and separators at the end change no value, time, unit, series or qualifier."""
    text, mapping, _ = READ[name]
    whole = _told(read(text.encode(), mapping))
    for way, content in _ways(text).items():
        try:
            found = read(content, mapping)
        except UnreadableFile as refused:
            assert len(str(refused)) > 20, way  # noqa: PT017 (a refusal is one of two right outcomes)
            continue
        assert _told(found) == whole, way


@pytest.mark.parametrize("name", READ)
def test_cut_off_anywhere_it_says_nothing_else(name: str) -> None:
    """Refused, or the rows before the one that is cut; only where a line was cut within its last number can that one read otherwise."""
    text, mapping, _ = READ[name]
    whole = set(_told(read(text.encode(), mapping)))
    chosen = random.Random(name).sample(range(1, len(text)), min(25, len(text) - 1))
    for cut in sorted(chosen):
        try:
            found = read(text[:cut].encode(), mapping)
        except UnreadableFile:
            continue
        last = text[:cut].count("\n") + 1
        is_line = not text.lstrip().startswith(("<", "{"))
        assert {told for told, row in zip(_told(found), found.rows, strict=True) if not is_line or row["source_row"] < last} <= whole, cut
