"""Formats of data services: what real and typical files say, value by value, and that no damage to a file changes a value."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isnan

import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.recognise import describe
from water_pipelines_tests.parsers.reading import Read, read
from water_pipelines_tests.shared_data import shared

USGS = "gauges/DOI-USGS+dataretrieval-python/tests/data/"
NWIS = "gauges/ulmo-dev+ulmo/test/files/usgs/nwis/"
DUTCH = "messy_loggers/ArtesiaWater+hydropandas/tests/data/"
BOM = "gauges/amacd31+bom_data_parser/tests/data/"

CET = 'time_zone: "+01:00"'

RDB = """# retrieved: 2024-01-27 16:54:02 EST
# Data for the following 2 site(s) are contained in this file
#    USGS 01646500 POTOMAC RIVER NEAR WASH, DC
#    USGS 13172500 SNAKE RIVER NR MURPHY, ID
# Data provided for site 01646500
#            TS   parameter     Description
#         69928       00060     Discharge, cubic feet per second
#        151338       00010     Temperature, water, degrees Celsius, [BOTTOM]
#        151339       00010     Temperature, water, degrees Celsius, [TOP]
agency_cd\tsite_no\tdatetime\ttz_cd\t69928_00060\t69928_00060_cd\t151338_00010\t151338_00010_cd\t151339_00010\t151339_00010_cd
5s\t15s\t20d\t6s\t14n\t10s\t14n\t10s\t14n\t10s
USGS\t01646500\t2023-11-05 01:30\tEDT\t2650\tP\t12.5\tP:e\t12.9\tP
USGS\t01646500\t2023-11-05 01:30\tEST\tIce\tP\t12.4\tP\t\t
USGS\t01646500\t2023-11-05 01:45\tEST\t<0.05\tA:<\t***\tP\t12.7\tP
# Data provided for site 13172500
#            TS   parameter     Description
#         46128       00065     Gage height, feet
agency_cd\tsite_no\tdatetime\ttz_cd\t46128_00065\t46128_00065_cd
5s\t15s\t20d\t6s\t14n\t10s
USGS\t13172500\t2023-07-01 00:00\tMDT\t6.01\tA
"""

WATERML2 = """<?xml version="1.0" encoding="UTF-8"?>
<wml2:Collection xmlns:wml2="http://www.opengis.net/waterml/2.0" xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:om="http://www.opengis.net/om/2.0"
 xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:sams="http://www.opengis.net/samplingSpatial/2.0"
 xmlns:swe="http://www.opengis.net/swe/2.0" gml:id="c1">
 <wml2:observationMember><om:OM_Observation gml:id="o1">
  <om:procedure xlink:href="http://bom.gov.au/waterdata/services/tstypes/Pat4" xlink:title="Pat4"/>
  <om:observedProperty xlink:href="http://bom.gov.au/waterdata/services/parameters/Water%20Course%20Discharge" xlink:title="Water Course Discharge"/>
  <om:featureOfInterest xlink:href="http://bom.gov.au/waterdata/services/stations/410730" xlink:title="COTTER R. AT GINGERA"/>
  <om:result><wml2:MeasurementTimeseries gml:id="t1">
   <wml2:defaultPointMetadata><wml2:DefaultTVPMeasurementMetadata>
    <wml2:quality xlink:href="http://bom.gov.au/waterdata/services/qualitycodes/10" xlink:title="quality-A"/>
    <wml2:uom code="m3/s"/>
    <wml2:interpolationType xlink:href="http://www.opengis.net/def/waterml/2.0/interpolationType/Continuous" xlink:title="Instantaneous"/>
   </wml2:DefaultTVPMeasurementMetadata></wml2:defaultPointMetadata>
   <wml2:point><wml2:MeasurementTVP><wml2:time>2016-01-01T09:00:00.000+10:00</wml2:time><wml2:value>2.5</wml2:value></wml2:MeasurementTVP></wml2:point>
   <wml2:point><wml2:MeasurementTVP><wml2:time>2016-01-01T10:00:00.000+10:00</wml2:time><wml2:value>0.05</wml2:value>
    <wml2:metadata><wml2:TVPMeasurementMetadata><wml2:quality xlink:title="quality-C"/>
     <wml2:censoredReason xlink:href="http://www.opengis.net/def/nil/OGC/0/BelowDetectionRange"/></wml2:TVPMeasurementMetadata></wml2:metadata>
   </wml2:MeasurementTVP></wml2:point>
   <wml2:point><wml2:MeasurementTVP>
   <wml2:time>2016-01-01T11:00:00.000+10:00</wml2:time><wml2:value xsi:nil="true"/></wml2:MeasurementTVP></wml2:point>
  </wml2:MeasurementTimeseries></om:result>
 </om:OM_Observation></wml2:observationMember>
 <wml2:observationMember><om:OM_Observation gml:id="o2">
  <om:procedure><wml2:ObservationProcess gml:id="p2"><wml2:parameter xlink:title="Statistic" xlink:href="http://waterdata.usgs.gov/nwisweb/rdf?statCd=00003"/>
  </wml2:ObservationProcess></om:procedure>
  <om:observedProperty xlink:href="http://waterdata.usgs.gov/nwisweb/rdf?parmCd=00060" xlink:title="Discharge, cubic feet per second"/>
  <om:featureOfInterest xlink:title="POTOMAC RIVER"><wml2:MonitoringPoint gml:id="m2"><gml:identifier codeSpace="x">USGS.01646500</gml:identifier>
   <sams:shape><gml:Point gml:id="g2"><gml:pos srsName="urn:ogc:def:crs:EPSG:4326">38.95 -77.13</gml:pos></gml:Point></sams:shape>
   <wml2:timeZone><wml2:TimeZone><wml2:zoneOffset>-05:00</wml2:zoneOffset></wml2:TimeZone></wml2:timeZone></wml2:MonitoringPoint></om:featureOfInterest>
  <om:result><wml2:MeasurementTimeseries gml:id="t2"><wml2:defaultPointMetadata><wml2:DefaultTVPMeasurementMetadata>
    <wml2:qualifier><swe:Category definition="x"><swe:description>Approved</swe:description><swe:value>A</swe:value></swe:Category></wml2:qualifier>
    <wml2:uom code="ft3/s"/></wml2:DefaultTVPMeasurementMetadata></wml2:defaultPointMetadata>
   <wml2:point><wml2:MeasurementTVP><wml2:time>2016-01-01</wml2:time><wml2:value>9110</wml2:value></wml2:MeasurementTVP></wml2:point>
  </wml2:MeasurementTimeseries></om:result>
 </om:OM_Observation></wml2:observationMember>
</wml2:Collection>
"""

ZRXP = """## exported by a data management system
#REXCHANGE0815.W|*|SANR0815|*|SNAMEMühlbrücke|*|SWATERMühlbach|*|
#CNAMEWasserstand|*|CUNITcm|*|RINVAL-777|*|TZUTC+1|*|
#LAYOUT(timestamp,value,status)|*|
20210328010000 101.5 200
20210328020000 -777 255
20210328030000 103 200
#SANR0816|*|SNAMEOberau|*|CNAMEAbfluss|*|CUNITm3/s|*|RINVAL-999|*|TZUTC+0|*|LAYOUT(timestamp,value)|*|
202103280100 7.25
"""

KIWIS = """[{"ts_id":"42","station_no":"0815","station_name":"Mill","station_latitude":"47.5","station_longitude":"8.25","stationparameter_name":"Q",
"ts_unitsymbol":"m³/s","ts_shortname":"15min.Cmd","rows":"2","columns":"Timestamp,Value,Quality Code",
"data":[["2021-03-28T01:00:00.000+01:00",7.25,40],["2021-03-28T03:15:00.000+02:00",null,255]]}]"""


def _text(path: str, lines: int | None = None) -> str:
    text = shared(path).read_text(encoding="utf-8")
    return text if lines is None else "".join(text.splitlines(keepends=True)[:lines])


def _seen(found: Read) -> dict[tuple[str, str, int], tuple[str, str | None]]:
    """What was read, by series, time and row."""
    return {(row["series"], f"{row['time']:%Y-%m-%dT%H:%M:%S}", row["source_row"]): (repr(row["value"]), row["qualifier"]) for row in found.rows}


def _of(found: Read, series: str) -> list[tuple[str, float, str | None, int]]:
    return [(f"{row['time']:%Y-%m-%dT%H:%M}", row["value"], row["qualifier"], row["source_row"]) for row in found.rows if row["series"] == series]


# USGS RDB


def test_rdb_of_several_sites_and_sensors_keeps_codes_and_clocks() -> None:
    """The doubled hour is told apart by tz_cd, two sensors by their brackets, and words in the place of values are missing."""
    found = read(RDB)
    assert _of(found, "01646500/discharge")[0] == ("2023-11-05T05:30", 2650.0, "P", 12)
    ice, censored = _of(found, "01646500/discharge")[1:]
    assert (ice[0], isnan(ice[1]), ice[2]) == ("2023-11-05T06:30", True, "Ice:P")
    assert censored == ("2023-11-05T06:45", 0.05, "<:A:<", 14)
    assert [row[:3] for row in _of(found, "01646500/water_temperature/bottom")][:2] == [
        ("2023-11-05T05:30", 12.5, "P:e"),
        ("2023-11-05T06:30", 12.4, "P"),
    ]
    assert _of(found, "01646500/water_temperature/top") == [("2023-11-05T05:30", 12.9, "P", 12), ("2023-11-05T06:45", 12.7, "P", 14)]
    assert _of(found, "13172500/gage_height") == [("2023-07-01T06:00", 6.01, "A", 20)]
    units = {series.natural_id: series.attributes["unit"] for series in found.series}
    assert units == {
        "01646500/discharge": "ft3/s",
        "01646500/water_temperature/bottom": "deg C",
        "01646500/water_temperature/top": "deg C",
        "13172500/gage_height": "ft",
    }
    assert {station.natural_id: station.attributes["name"] for station in found.stations}["13172500"] == "SNAKE RIVER NR MURPHY, ID"


def test_daily_rdb_needs_a_zone_and_then_has_every_day() -> None:
    """Days have no zone in RDB: refused without a mapping; with one, 31 days from 2012-09-01, the last provisional."""
    text = _text("gauges/DOI-USGS+dataRetrieval/inst/extdata/RDB1Example.txt")
    with pytest.raises(UnreadableFile, match=r"'2012-09-01' in row 25 has no time zone.*time_zone"):
        read(text)
    rows = _of(read(text, 'time_zone: "-05:00"'), "02177000/discharge/mean")
    assert (len(rows), rows[0], rows[17]) == (31, ("2012-09-01T05:00", 191.0, "A", 25), ("2012-09-18T05:00", 1470.0, "A", 42))
    assert rows[30][:3] == ("2012-10-01T05:00", 365.0, "P")


def test_annual_peaks_are_discharge_and_stage_and_unknown_days_are_rejected() -> None:
    """A peak stage on another day than the peak flow is a series of its own; 1881-00-00 is no day."""
    found = read(_text("gauges/derived/hf_fixtures_usgs_rdb_parsing_error_fixture.rdb.txt"), 'time_zone: "-06:00"')
    assert _of(found, "06813500/discharge/peak")[0][:2] == ("1950-04-29T06:00", 185000.0)
    assert _of(found, "06813500/gage_height/annual_maximum")[0][:2] == ("1950-04-30T06:00", 21.6)
    assert [row.reason for row in found.rejected] == ["the date '1881-00-00' is not known to the day"]


def test_a_table_of_sites_declares_stations() -> None:
    """Places of sites, their height in metres."""
    found = read(
        "#\n#\nagency_cd\tsite_no\tstation_nm\tsite_tp_cd\tdec_lat_va\tdec_long_va\talt_va\n5s\t15s\t50s\t7s\t16s\t16s\t8s\n"
        "USGS\t01646500\tPOTOMAC RIVER\tST\t38.94977778\t-77.12763889\t100\n"
    )
    assert found.stations[0].natural_id == "01646500"
    assert found.stations[0].attributes == {
        "name": "POTOMAC RIVER",
        "network": "USGS",
        "kind": "ST",
        "latitude": 38.94977778,
        "longitude": -77.12763889,
        "elevation_m": 30.48,
    }


@pytest.mark.parametrize("path", [USGS + "waterservices_ratings.txt", "gauges/derived/hf_fixtures_usgs_rdb_rating_fixture.rdb.txt"])
def test_a_rating_is_no_observation(path: str) -> None:
    """Stage to discharge has no times: refused in words."""
    with pytest.raises(UnreadableFile, match="is a rating"):
        read(_text(path))


# WaterML 1 in XML and JSON


def test_waterml_of_a_site_with_its_place() -> None:
    """192 quarters of an hour at one site, offsets of five hours."""
    found = read(_text("gauges/DOI-USGS+dataRetrieval/inst/extdata/WaterML1Example.xml"))
    rows = _of(found, "01491000/discharge")
    assert (len(rows), rows[0], rows[4]) == (192, ("2012-05-12T05:00", 83.0, "A", 1), ("2012-05-12T06:00", 85.0, "A", 5))
    station = found.stations[0].attributes
    assert (station["name"], station["latitude"], station["longitude"]) == ("CHOPTANK RIVER NEAR GREENSBORO, MD", 38.99719444, -75.7858056)
    assert found.series[0].attributes["unit"] == "ft3/s"


def test_two_methods_of_a_parameter_are_two_series_and_no_data_is_missing() -> None:
    """A float and a radar in one reservoir; 248 values are -999999 with the codes ``P ***``."""
    found = read(_text(NWIS + "site_08054500_multiple_methods.xml"))
    assert {series.natural_id for series in found.series} == {
        "08054500/elevation_of_reservoir_water_surface_above_datum",
        "08054500/elevation_of_reservoir_water_surface_above_datum/radar",
    }
    assert sum(isnan(row["value"]) for row in found.rows) == 248
    assert {row["qualifier"] for row in found.rows if isnan(row["value"])} == {"P ***"}
    assert len(found.rows) == 576


def test_days_of_waterml_begin_by_the_standard_time_of_their_place() -> None:
    """A day without an offset is one of the zone that the site declares; equipment failures are missing days."""
    rows = _of(read(_text(NWIS + "site_01117800_daily.xml")), "01117800/discharge/mean")
    assert len(rows) == 532
    assert {row[0][-5:] for row in rows} == {"05:00"}
    assert sum(isnan(row[1]) and row[2] == "P Eqp" for row in rows) == 10


def test_a_series_without_values_is_described() -> None:
    """A service that has nothing new is no failure."""
    found = read(_text(NWIS + "site_01117800_daily_empty.xml"))
    assert ([series.natural_id for series in found.series], found.rows) == (["01117800/discharge/mean"], [])


def test_an_answer_without_series_is_refused_in_words() -> None:
    """Nothing was found for the request."""
    with pytest.raises(UnreadableFile, match="has no series for the request"):
        read(_text("gauges/derived/hf_fixtures_data_nothing_avail.json"))


def test_waterml_1_0_without_zone_needs_a_mapping() -> None:
    """CUAHSI's own servers state local times: refused, or read by the mapping's clock."""
    text = _text("gauges/ulmo-dev+ulmo/test/files/cuahsi/wof/get_values_1_0_MuddyRiver_MuddyRiver_14_MR_MuddyRiver_ACID.xml")
    with pytest.raises(UnreadableFile, match="has no time zone"):
        read(text)
    found = read(text, 'time_zone: "-05:00"')
    assert (len(found.rows), found.values[:3], found.times[0]) == (28, [6.6, 7.8, 6.0], "2006-10-27T16:31:00")
    assert found.stations[0].attributes["latitude"] == 42.323944
    assert found.series[0].attributes["unit"] == "mg/L"


def test_waterml_1_1_of_a_hydroserver_states_utc_and_censoring() -> None:
    """dateTimeUTC wins over the local time; ``lt`` is ``<``; NoDataValue is missing however it is written."""
    found = read(
        '<timeSeriesResponse xmlns="http://www.cuahsi.org/waterML/1.1/"><timeSeries><sourceInfo><siteCode network="LBR">USU1</siteCode></sourceInfo>'
        "<variable><variableCode>X7</variableCode><variableName>Total phosphorus</variableName><unit><unitName>milligrams per liter</unitName>"
        "<unitAbbreviation>mg/L</unitAbbreviation></unit><noDataValue>-9999</noDataValue></variable><values>"
        '<value censorCode="lt" dateTime="2020-01-01T05:00:00" timeOffset="-07:00" dateTimeUTC="2020-01-01T12:00:00">0.05</value>'
        '<value censorCode="nc" dateTime="2020-01-01T06:00:00" timeOffset="-07:00">-9999.000</value></values></timeSeries></timeSeriesResponse>',
        'time_zone: "+09:00"',
    )
    assert _of(found, "USU1/total_phosphorus")[0] == ("2020-01-01T12:00", 0.05, "<", 1)
    assert found.times[1] == "2020-01-01T13:00:00"
    assert isnan(found.values[1])


def test_json_of_the_survey_equals_its_xml_in_meaning() -> None:
    """Clocks put back: 292 values of three days, the doubled hour by its offsets."""
    found = read(_text("gauges/derived/hf_fixtures_data_endDST.json"))
    times = [time for time, *_ in _of(found, "01541000/discharge")]
    assert (len(times), len(set(times)), times[0]) == (292, 292, "2018-11-03T04:00")
    both = read(_text("gauges/derived/hf_fixtures_data_diff_freq.json"))
    assert len(_of(both, "01570500/water_temperature/walnut_st_pier")) == 96


# WaterML 2


def test_waterml_2_of_two_agencies() -> None:
    """Metadata of all points, of single points, nil values, censoring, and a declared zone for a day without one."""
    found = read(WATERML2)
    rows = _of(found, "410730/water_course_discharge")
    assert rows[:2] == [("2015-12-31T23:00", 2.5, "quality-A", 1), ("2016-01-01T00:00", 0.05, "<:quality-C", 2)]
    assert isnan(rows[2][1])
    assert _of(found, "01646500/discharge/mean") == [("2016-01-01T05:00", 9110.0, "A", 4)]
    assert [series.attributes["unit"] for series in found.series] == ["m3/s", "ft3/s"]
    assert found.stations[0].attributes["name"] == "COTTER R. AT GINGERA"
    assert found.stations[1].attributes["latitude"] == 38.95


# FEWS


def test_fews_pi_by_its_declared_zone() -> None:
    """Two series of one radar cell; midday of the file is an hour earlier in UTC."""
    found = read(_text(DUTCH + "2019-FEWS-test/test_wsvv_fews.xml"))
    assert len(found.rows) == 51
    assert _of(found, "FEWS_RADAR_241/p_radar_h/merge")[0] == ("2013-06-11T14:00", 0.0, "2", 1)
    assert _of(found, "FEWS_RADAR_241/eact_d/merge")[-1][:3] == ("2013-06-27T23:00", 1.8, "2")
    assert found.series[0].attributes["interval_s"] == 3600.0
    assert found.stations[0].attributes["latitude"] == 52.083134718018805


def test_fews_missing_values_forecasts_and_zones() -> None:
    """missVal is compared as a number; the same parameter of two modules is two series; no zone, no times."""
    series = (
        "<series><header><type>instantaneous</type><moduleInstanceId>{module}</moduleInstanceId><locationId>A</locationId>"
        "<parameterId>H.obs</parameterId><missVal>-999.0</missVal><units>m</units></header>"
        '<event date="2020-07-01" time="00:00:00" value="-999" flag="9"/><event date="2020-07-01" time="00:10:00" value="1.5" flag="0"/></series>'
    )
    body = series.format(module="import") + series.format(module="model")
    start = '<TimeSeries xmlns="http://www.wldelft.nl/fews/PI">'
    found = read(f"{start}<timeZone>-3.5</timeZone>{body}</TimeSeries>")
    assert {one.natural_id for one in found.series} == {"A/h_obs/import_instantaneous", "A/h_obs/model_instantaneous"}
    assert found.times[:2] == ["2020-07-01T03:30:00", "2020-07-01T03:40:00"]
    assert (isnan(found.values[0]), found.values[1]) == (True, 1.5)
    with pytest.raises(UnreadableFile, match="has no time zone"):
        read(f"{start}{body}</TimeSeries>")


# WISKI


def test_wiski_table_with_its_facts() -> None:
    """76,168 heads by the clock of the mapping; the place and the unit stand in the lines above."""
    text = _text(DUTCH + "2019-WISKI-test/8137_PBF.csv")
    with pytest.raises(UnreadableFile, match="has no time zone"):
        read(text)
    found = read(text, CET)
    rows = _of(found, "8137_PBF/groundwater_head")
    assert (len(rows), rows[0], rows[-1][:3]) == (76168, ("2007-02-01T12:00", -0.607, "40", 17), ("2018-07-02T09:00", -1.174, "40"))
    assert found.series[0].attributes["unit"] == "mNAP"
    assert found.stations[0].attributes["longitude"] == 4.247


def test_zrxp_of_two_series() -> None:
    """Facts between bars, each series with its own zone, missing mark and layout."""
    found = read(ZRXP)
    rows = _of(found, "0815/water_level")
    assert [row[0] for row in rows] == ["2021-03-28T00:00", "2021-03-28T01:00", "2021-03-28T02:00"]
    assert (rows[0][1:3], isnan(rows[1][1]), rows[1][2]) == ((101.5, "200"), True, "255")
    assert _of(found, "0816/discharge") == [("2021-03-28T01:00", 7.25, None, 9)]
    assert found.stations[0].attributes["name"] == "Mühlbrücke"


def test_kiwis_json() -> None:
    """Columns by name, offsets in the times, null is missing."""
    found = read(KIWIS)
    rows = _of(found, "0815/q/15min_cmd")
    assert rows[0] == ("2021-03-28T00:00", 7.25, "40", 1)
    assert (rows[1][0], isnan(rows[1][1]), rows[1][2]) == ("2021-03-28T01:15", True, "255")


# DINO


def test_dino_wells_against_three_references() -> None:
    """Depth below the measuring point and the surface, and the head; remarks stay beside them."""
    found = read(_text(DUTCH + "2019-Dino-test/Grondwaterstanden_Put/B33F0080001_1.csv"), "time_zone: Europe/Amsterdam")
    heads = _of(found, "B33F0080/groundwater_head/001")
    assert (len(heads), heads[0]) == (3988, ("1972-11-27T23:00", 576.0, None, 20))
    assert _of(found, "B33F0080/groundwater_depth_below_measuring_point/001")[0][1] == 141.0
    assert _of(found, "B33F0080/groundwater_depth_below_surface/001")[0][1] == 109.0
    assert [row[1] for row in heads if row[2] == "CONTROLESTAND"][:1] == [547.0]
    assert (round(found.stations[0].attributes["latitude"], 2), round(found.stations[0].attributes["longitude"], 2)) == (52.25, 6.24)


def test_dino_of_2024_and_its_staff_gauges() -> None:
    """Quoted cells, other spelling of the reference, blank surface; a gauge has no filter; days that say only N are missing."""
    found = read(_text(DUTCH + "2024-Dino-test/DINO_Grondwaterstanden/B31H0759001.csv"), "time_zone: Europe/Amsterdam")
    assert _of(found, "B31H0759/groundwater_head/001")[0][1] == -15.0
    assert len(found.rows) == 786
    gauge = read(_text(DUTCH + "2019-Dino-test/Peilschaal/P58A0001.csv"), "time_zone: Europe/Amsterdam")
    assert (len(gauge.rows), gauge.values[:2]) == (775, [2751.0, 2762.0])
    deep = read(_text(DUTCH + "2019-Dino-test/Grondwaterstanden_Put/B58A0092005_1.csv"), "time_zone: Europe/Amsterdam")
    missing = [row for row in _of(deep, "B58A0092/groundwater_head/005") if row[2] == "N"]
    assert missing
    assert all(isnan(row[1]) for row in missing)


# BoM


def test_bom_reference_station() -> None:
    """Daily megalitres with the bureau's quality code, by the mapping's clock."""
    found = read(_text(BOM + "HRS/410730_daily_ts_201510.csv"), 'time_zone: "+10:00"')
    rows = _of(found, "410730/discharge")
    assert (len(rows), rows[0]) == (18808, ("1963-07-04T14:00", 127.322, "A", 28))
    assert found.series[0].attributes["unit"] == "ML/d"
    assert found.stations[0].attributes == {
        "name": "Cotter River at Gingera",
        "latitude": -35.5917,
        "longitude": 148.8212,
        "network": "HRS",
        "time_zone": None,
    } or (found.stations[0].attributes["latitude"] == -35.5917)


def test_bom_weather_in_utc() -> None:
    """Half-hourly weather; a dash is no observation."""
    found = read(_text(BOM + "IDN60901.94767.json"))
    assert _of(found, "94767/air_temperature")[0] == ("2014-09-09T10:30", 20.6, None, 1)
    assert _of(found, "94767/relative_humidity")[0][1] == 57.0


# Damage


@dataclass(frozen=True)
class Kind:
    """A file of each kind, which parser reads it, and how."""

    name: str
    parser: str
    text: Callable[[], str]
    mapping: str = ""


KINDS = [
    Kind("rdb", "usgs-rdb", lambda: RDB),
    Kind("rdb-daily", "usgs-rdb", lambda: _text("gauges/DOI-USGS+dataRetrieval/inst/extdata/RDB1Example.txt"), CET),
    Kind("rdb-peaks", "usgs-rdb", lambda: _text(USGS + "waterservices_peaks.txt"), CET),
    Kind("waterml", "waterml", lambda: _text(NWIS + "site_01117800_daily_update.xml")),
    Kind("waterml-json", "waterml-json", lambda: _text("gauges/derived/hf_fixtures_recent_only_recent_only.json")),
    Kind("waterml2", "waterml2", lambda: WATERML2),
    Kind("fews", "fews-pi", lambda: _text(DUTCH + "2019-FEWS-test/test_wsvv_fews.xml")),
    Kind("wiski", "wiski-table", lambda: _text(DUTCH + "2019-WISKI-test/8137_PBF.csv", 60), CET),
    Kind("zrxp", "zrxp", lambda: ZRXP),
    Kind("kiwis", "kiwis-json", lambda: KIWIS),
    Kind("dino", "dino", lambda: _text(DUTCH + "2024-Dino-test/DINO_Grondwaterstanden/B31H0759001.csv", 60), CET),
    Kind("dino-gauge", "dino", lambda: _text(DUTCH + "2019-Dino-test/Peilschaal/P58A0001.csv", 60), CET),
    Kind("bom", "bom-reference", lambda: _text(BOM + "HRS/410730_daily_ts_201510.csv", 80), CET),
    Kind("bom-weather", "bom-weather", lambda: _text(BOM + "IDN60901.94767.json")),
]
TEXTS = [kind for kind in KINDS if kind.parser in ("usgs-rdb", "wiski-table", "dino", "bom-reference")]
XML = [kind for kind in KINDS if kind.parser in ("waterml", "waterml2", "fews-pi")]


def _id(kind: Kind) -> str:
    return kind.name


@pytest.mark.parametrize("kind", KINDS, ids=_id)
def test_a_kind_is_found_by_its_content(kind: Kind) -> None:
    """Whatever the file is called."""
    from io import BytesIO

    assert describe(BytesIO(kind.text().encode()), Mapping.from_yaml(kind.mapping)).parser == kind.parser


def _encoded(text: str) -> Iterator[bytes]:
    plain = re.sub(r'(<\?xml[^>]*?) encoding="[^"]*"', r"\1", text)
    yield b"\xef\xbb\xbf" + text.encode()
    yield plain.encode("utf-16")
    yield b"\xff\xfe" + plain.encode("utf-16-le")
    yield b"\xfe\xff" + plain.encode("utf-16-be")
    yield text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


@pytest.mark.parametrize("kind", KINDS, ids=_id)
def test_encodings_and_line_ends_change_nothing(kind: Kind) -> None:
    """UTF-8 with a mark, UTF-16 in both orders, CR LF: the same values in the same rows."""
    expected = _seen(read(kind.text(), kind.mapping))
    assert expected
    for content in _encoded(kind.text()):
        assert _seen(read(content, kind.mapping)) == expected


@pytest.mark.parametrize("kind", KINDS, ids=_id)
def test_a_truncated_file_gives_no_other_value(kind: Kind) -> None:
    """Cut at every one of the last bytes and at points all over: refused, or only rows that are whole, as they were."""
    whole = kind.text()
    expected = {key: value for key, (value, _) in _seen(read(whole, kind.mapping)).items()}
    content = whole.encode()
    cuts = {*range(max(1, len(content) - 150), len(content)), *range(1, len(content), max(1, len(content) // 60))}
    for cut in sorted(cuts):
        try:
            found = _seen(read(content[:cut], kind.mapping))
        except UnreadableFile as refused:
            assert len(str(refused)) > 20  # noqa: PT017 (a refusal is one of two right outcomes)
            continue
        assert {key: value for key, (value, _) in found.items()}.items() <= expected.items(), cut


@pytest.mark.parametrize("kind", XML, ids=_id)
def test_names_of_namespaces_and_case_of_elements_do_not_matter(kind: Kind) -> None:
    """Prefixes are the writer's own; a gateway that writes all names in capitals is understood too."""
    text = kind.text()
    expected = _seen(read(text, kind.mapping))
    for old, new in (("ns1:", "wml:"), ("wml2:", "a:"), ("ns1", "NS"), ("wml2", "WML2")):
        assert (
            _seen(
                read(text.replace(f":{old[:-1]}=", f":{new[:-1]}=").replace(old, new) if old.endswith(":") else text.replace(old, new), kind.mapping)
            )
            == expected
        )
    capitals = re.sub(r"(</?)([\w:.-]+)", lambda tag: tag[1] + tag[2].upper(), text)
    capitals = re.sub(r"\bxmlns:(\w+)=", lambda tag: f"xmlns:{tag[1]}= ", capitals)
    for prefix in set(re.findall(r"xmlns:(\w+)\s*=", text)):
        capitals = re.sub(rf"xmlns:{prefix}\s*=", f"xmlns:{prefix.upper()}=", capitals)
        capitals = re.sub(rf"(\s){prefix}:(?=[\w]+=)", rf"\g<1>{prefix.upper()}:", capitals)
    assert _seen(read(capitals, kind.mapping)) == expected


@pytest.mark.parametrize("kind", XML, ids=_id)
def test_xml_with_entities_is_refused(kind: Kind) -> None:
    """No data service declares entities: a billion laughs are refused before they are expanded."""
    text = re.sub(r"<\?xml.*?\?>", "", kind.text())
    with pytest.raises(UnreadableFile, match="entities"):
        read(f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>{text}', kind.mapping)


@pytest.mark.parametrize("kind", TEXTS, ids=_id)
def test_another_separator_gives_equal_values_or_a_refusal(kind: Kind) -> None:
    """Tabs to commas, commas to semicolons, tabs to blanks: as programs and people do when they save a table again."""
    text = kind.text()
    expected = {key: value for key, (value, _) in _seen(read(text, kind.mapping)).items()}
    for old, new in (("\t", ";"), ("\t", ","), (",", ";"), (",", "\t"), ("\t", "    "), ("\t", " ")):
        if old not in text:
            continue
        try:
            found = _seen(read(text.replace(old, new), kind.mapping))
        except UnreadableFile as refused:
            assert len(str(refused)) > 20  # noqa: PT017 (a refusal is one of two right outcomes)
            continue
        assert {key: value for key, (value, _) in found.items()}.items() <= expected.items(), (old, new)


@pytest.mark.parametrize("kind", [kind for kind in TEXTS if kind.parser in ("usgs-rdb",)], ids=_id)
def test_columns_in_another_order_give_equal_values(kind: Kind) -> None:
    """Columns of values are known by their names: the last two before the others, behind the site."""

    def moved(line: str) -> str:
        cells = line.split("\t")
        return line if line.startswith("#") or len(cells) < 5 else "\t".join([*cells[:2], *cells[-2:], *cells[2:-2]])

    text = kind.text().replace("\r\n", "\n")
    assert _seen(read("\n".join(map(moved, text.split("\n"))), kind.mapping)) == _seen(read(text, kind.mapping))


def test_wiski_columns_in_another_order_give_equal_values() -> None:
    """State and value before date and time."""
    text = _text(DUTCH + "2019-WISKI-test/8137_PBF.csv", 60)
    lines = text.splitlines()
    moved = [line if line.count("\t") != 3 else "\t".join(reversed(line.split("\t"))) for line in lines]
    assert _seen(read("\n".join(moved) + "\n", CET)) == _seen(read(text, CET))


def test_a_mapping_that_names_columns_reads_the_plain_table() -> None:
    """Users keep the last word: columns, lines and separators of a mapping win over the format."""
    found = read(
        RDB.split("# Data provided for site 13172500")[0],
        "header: 10\ntime: datetime\ntime_zone: '-05:00'\nstation_column: site_no\nvalue: 5\nproperty: q\nmissing: [14n, Ice]",
    )
    assert {series.natural_id for series in found.series} == {"01646500/q"}
