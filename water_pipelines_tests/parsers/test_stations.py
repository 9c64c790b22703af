"""Declarations of stations: a table, YAML, GeoJSON points."""

import json

import pytest

from water_pipelines.parsers.contract import Station, UnreadableFile
from water_pipelines_tests.parsers.reading import read

TABLE = "station_id;name;latitude;longitude;elevation (m);owner\nS1;Mill bridge;45,1;9,2;77;City\nS2;Weir;45,2;9,3;;\n"


def test_a_table_declares_stations() -> None:
    """Known columns are attributes, others properties; empty cells say nothing; there are no observations."""
    found = read(TABLE)
    assert found.stations == [
        Station("S1", {"name": "Mill bridge", "latitude": 45.1, "longitude": 9.2, "elevation_m": 77.0, "properties": {"owner": "City"}}),
        Station("S2", {"name": "Weir", "latitude": 45.2, "longitude": 9.3}),
    ]
    assert (found.rows, found.series) == ([], [])


def test_a_mapping_names_the_columns_of_a_table() -> None:
    """And says that it is one of stations."""
    mapping = "kind: stations\nstation_column: Nr\nstation_name_column: Bezeichnung\nlatitude_column: y\nlongitude_column: x"
    found = read("Nr,Bezeichnung,y,x\n0211,Mühle,45.1,9.2\n", mapping)
    assert found.stations == [Station("0211", {"name": "Mühle", "latitude": 45.1, "longitude": 9.2})]


def test_yaml_declares_stations_as_a_list_or_by_id() -> None:
    """A number with a leading zero stays the id that it is."""
    listed = read("stations:\n- {id: 0211, name: Mill, zone: A}\n")
    keyed = read("stations:\n  0211: {name: Mill, zone: A}\n")
    assert listed.stations == keyed.stations == [Station("0211", {"name": "Mill", "zone": "A"})]


def test_geojson_points_declare_stations() -> None:
    """Longitude stands first; the third coordinate is the elevation."""
    point = {"type": "Point", "coordinates": [9.2, 45.1, 77]}
    feature = {"type": "Feature", "id": "S1", "geometry": point, "properties": {"name": "Mill", "river": "Po"}}
    found = read(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert found.stations[0].natural_id == "S1"
    assert found.stations[0].attributes == {"name": "Mill", "longitude": 9.2, "latitude": 45.1, "elevation_m": 77.0, "properties": {"river": "Po"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TABLE.replace("45,2", "145"), "latitude '145' of the station in row 3"),
        (TABLE.replace("S2", "S1"), "'S1' is declared twice, again in row 3"),
        (TABLE.replace("S2", ""), "row 3 has no id"),
        (TABLE.replace("9,3", ""), "only one of latitude and longitude"),
        (TABLE.replace("name", "time_zone").replace("Weir", "Mars"), "no time zone"),
        ("stations: nothing\n", "Write the stations as a list"),
        ("stations:\n- {id: [\n", "not YAML"),
        ('{"type": "FeatureCollection", "features": []}', "declares no stations"),
        ('{"type": "FeatureCollection", "features": [{"geometry": {"type": "Polygon"}}]}', "Feature 1 of the GeoJSON is a Polygon"),
        ('{"type": "FeatureCollection", "features": [', "damaged"),
    ],
)
def test_a_wrong_declaration_is_refused_as_a_whole(text: str, said: str) -> None:
    """The message names the row and what is wrong there."""
    with pytest.raises(UnreadableFile) as caught:
        read(text)
    assert said in str(caught.value)
