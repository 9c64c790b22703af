"""Stations that are declared by a table, YAML or GeoJSON points: descriptions only, no observations.

Add a way of declaring stations here. A declaration is taken as a whole or refused as a whole, with the row that is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Mapping as Dictionary
from typing import Any, BinaryIO

import orjson
import yaml

from water_pipelines.parsers import encoding, names
from water_pipelines.parsers.contract import Described, Event, FileFacts, Head, Station, UnreadableFile
from water_pipelines.parsers.dialect import detect
from water_pipelines.parsers.mapping import Column, Mapping, PlainLoader, check_zone
from water_pipelines.parsers.text import read_text

LARGEST_BYTES = 256 << 20

_ROLES = {
    "id": names.STATION | {"id"},
    "name": names.STATION_NAME,
    "latitude": names.LATITUDE,
    "longitude": names.LONGITUDE,
    "elevation_m": names.ELEVATION,
    "description": frozenset({"description", "beschreibung", "omschrijving"}),
    "kind": frozenset({"kind", "type", "stationtype", "sitetype"}),
    "network": frozenset({"network", "netz", "meetnet"}),
    "zone": frozenset({"zone", "dma", "districtmeteredarea"}),
    "time_zone": frozenset({"timezone", "tz", "timezoneid"}),
}
_NUMBERS = {"latitude": 90.0, "longitude": 180.0, "elevation_m": 12_000.0}


class StationTable:
    """A delimited text whose header names stations and says where they are, and has neither time nor value."""

    name = "station table"
    version = "2"
    kind = "stations"

    def recognises(self, head: Head) -> bool:
        """By the header."""
        charset = head.mapping.encoding or encoding.detect(head.start)
        if charset is None:
            return False
        if head.mapping.kind is not None:
            return head.mapping.kind == "stations" and head.start.lstrip()[:1] not in (b"{", b"[") and not _starts_yaml(head.start)
        try:
            found = detect(encoding.read_head(head.start, charset, is_whole=head.is_whole), head.mapping)
        except (UnreadableFile, UnicodeError):
            return False
        keys = {names.key(names.split_unit(header)[0]) for header in found.columns} | {names.key(header) for header in found.columns}
        is_located = bool(keys & names.LATITUDE) and bool(keys & names.LONGITUDE)
        return (
            is_located
            and bool(keys & (names.STATION | {"id"}))
            and not keys & (names.TIME | names.VALUE)
            and not head.mapping.time
            and not head.mapping.value
        )

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """One `Described`."""
        table = read_text(stream, mapping)
        if not table.has_header:
            raise UnreadableFile("A table of stations needs a header line, such as: station_id,name,latitude,longitude.")
        declared: list[tuple[str, dict[str, Any]]] = []
        for chunk in table.chunks():
            for rejected in chunk.rejected:
                raise UnreadableFile(f"Row {rejected.source_row} of the stations cannot be read: {rejected.reason}.")
            for row, cells in enumerate(chunk.frame.iter_rows()):
                said = {
                    header: cell.strip() for header, cell in zip(table.columns, cells, strict=True) if header and cell is not None and cell.strip()
                }
                if said:
                    declared.append((f"row {int(chunk.source_row[row])}", _renamed(said, mapping, table.columns)))
        yield _described(declared, mapping)


class StationYaml:
    """YAML with a list ``stations:``."""

    name = "station yaml"
    version = "1"
    kind = "stations"

    def recognises(self, head: Head) -> bool:
        """By the key ``stations`` at the beginning of a line."""
        return _starts_yaml(head.start)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """One `Described`."""
        try:
            said = yaml.load(_bounded(stream), Loader=PlainLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UnreadableFile(f"The stations are not YAML: {str(error).splitlines()[0]}.") from error
        stations = said.get("stations") if isinstance(said, dict) else None
        if isinstance(stations, dict):
            stations = [{"id": natural_id, **(attributes or {})} for natural_id, attributes in stations.items()]
        if not isinstance(stations, list) or not all(isinstance(station, dict) for station in stations):
            raise UnreadableFile(
                "Write the stations as a list: 'stations:' and below it '- {id: S1, name: Mill bridge, latitude: 45.1, longitude: 9.2}'."
            )
        yield _described([(f"station {number}", _flat(station)) for number, station in enumerate(stations, start=1)], mapping)


class StationGeoJson:
    """GeoJSON points."""

    name = "station geojson"
    version = "1"
    kind = "stations"

    def recognises(self, head: Head) -> bool:
        """A feature collection."""
        return head.start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b'"FeatureCollection"' in head.start[:4096]

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """One `Described`."""
        try:
            features = orjson.loads(_bounded(stream).removeprefix(b"\xef\xbb\xbf"))["features"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise UnreadableFile(f"The GeoJSON is damaged or has no features: {error}.") from error
        yield _described([(f"feature {number}", _of_feature(feature, number)) for number, feature in enumerate(features, start=1)], mapping)


def _starts_yaml(start: bytes) -> bool:
    return any(line.startswith(b"stations:") for line in start[:8192].removeprefix(b"\xef\xbb\xbf").split(b"\n"))


def _bounded(stream: BinaryIO) -> bytes:
    text = stream.read(LARGEST_BYTES + 1)
    if len(text) > LARGEST_BYTES:
        raise UnreadableFile(f"A declaration of stations may have {LARGEST_BYTES >> 20} MiB at most. Split it.")
    return text


def _of_feature(feature: Any, number: int) -> dict[str, Any]:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        kind = geometry.get("type") if isinstance(geometry, dict) else "nothing"
        raise UnreadableFile(f"Feature {number} of the GeoJSON is a {kind}; stations are declared by points.")
    said = _flat(feature.get("properties") or {})
    coordinates = geometry.get("coordinates")
    if not isinstance(coordinates, list) or not 2 <= len(coordinates) <= 3:
        raise UnreadableFile(f"Feature {number} of the GeoJSON has no coordinates [longitude, latitude].")
    said |= {"longitude": coordinates[0], "latitude": coordinates[1]}
    if len(coordinates) == 3:
        said.setdefault("elevation_m", coordinates[2])
    if feature.get("id") is not None and "id" not in said:
        said["id"] = feature["id"]
    return said


def _flat(said: Dictionary[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in said.items() if value is not None and value != ""}


def _renamed(said: dict[str, Any], mapping: Mapping, headers: Any) -> dict[str, Any]:
    """The columns that the mapping names, under the names that are known."""
    roles = {
        "id": mapping.station_column,
        "name": mapping.station_name_column,
        "latitude": mapping.latitude_column,
        "longitude": mapping.longitude_column,
        "time_zone": mapping.time_zone_column,
    }
    for role, column in roles.items():
        header = _header(column, headers)
        if header is not None:
            said = {role: said[header], **{name: value for name, value in said.items() if name not in (header, role)}} if header in said else said
    return said


def _header(column: Column | None, headers: Any) -> str | None:
    if column is None:
        return None
    if isinstance(column, int) and 1 <= column <= len(headers):
        return str(headers[column - 1])
    if column in headers:
        return str(column)
    raise UnreadableFile(f"The mapping names the column {column!r}, but the columns are {', '.join(repr(header) for header in headers)}.")


def _described(declared: list[tuple[str, dict[str, Any]]], mapping: Mapping) -> Described:
    if not declared:
        raise UnreadableFile("The file declares no stations.")
    stations: dict[str, Station] = {}
    for where, said in declared:
        station = _station(where, said, mapping)
        if station.natural_id in stations:
            raise UnreadableFile(f"The station {station.natural_id!r} is declared twice, again in {where}.")
        stations[station.natural_id] = station
    return Described(list(stations.values()), [])


def _station(where: str, said: dict[str, Any], mapping: Mapping) -> Station:
    attributes: dict[str, Any] = {}
    properties: dict[str, Any] = dict(said["properties"]) if isinstance(said.get("properties"), dict) else {}
    for name, value in said.items():
        keys = (names.key(name), names.key(names.split_unit(name)[0]))
        role = next((role for role, words in _ROLES.items() if name == role or any(key in words for key in keys)), None)
        if name == "properties" and isinstance(value, dict):
            continue
        if role is None or role in attributes:
            properties[name] = value
        else:
            attributes[role] = value
    if "id" not in attributes:
        raise UnreadableFile(
            f"The station in {where} has no id. Name it id, station or station_id (or say in the mapping: station_column: <column>)."
        )
    for role, limit in _NUMBERS.items():
        if role in attributes:
            attributes[role] = _number(attributes[role], limit, role, where)
    if ("latitude" in attributes) != ("longitude" in attributes):
        raise UnreadableFile(f"The station in {where} has only one of latitude and longitude.")
    if "time_zone" in attributes:
        try:
            check_zone(str(attributes["time_zone"]))
        except ValueError as error:
            raise UnreadableFile(f"The station in {where}: {error}.") from error
    attributes |= mapping.station_attributes
    if properties:
        attributes["properties"] = properties
    return Station(str(attributes.pop("id")).strip(), attributes)


def _number(value: Any, limit: float, role: str, where: str) -> float:
    try:
        number = float(str(value).replace(",", "."))
    except ValueError:
        number = math.nan
    if not abs(number) <= limit:
        raise UnreadableFile(f"The {role} {value!r} of the station in {where} is no number between {-limit:g} and {limit:g}.")
    return number
