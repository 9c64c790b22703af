"""Bureau of Meteorology, Australia: daily streamflow of the Hydrologic Reference Stations (CSV) and half-hourly weather (JSON).

Add here what other products of the bureau look like. Water Data Online gives WaterML 2 and KiWIS, which have parsers of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from water_pipelines.parsers import names
from water_pipelines.parsers.contract import Event, FileFacts, Head, Station, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.source import (
    Channel,
    Reading,
    Told,
    cells_of,
    cut_off,
    is_left_to,
    lines,
    number_of,
    position,
    read_source,
    reject,
    text_head,
)
from water_pipelines.parsers.waterml_json import read_json

_HRS = re.compile(r"^#.*Hydrologic Reference Stations", re.MULTILINE)
_UNIT = re.compile(r"streamflow\s*\(([^()]+)\)", re.IGNORECASE)
_STATION = re.compile(r'"?([^",#]*?)\s*\((\w{5,})\)"?\s*$')
_PLACE = re.compile(r'([\d.]+)\s*,?\s*"?degrees\s*(E|W)"?\s*,\s*([\d.]+)\s*,?\s*"?degrees\s*(S|N)', re.IGNORECASE)
_WEATHER = {
    "air_temp": ("air_temperature", "degC"),
    "apparent_t": ("apparent_temperature", "degC"),
    "dewpt": ("dew_point", "degC"),
    "delta_t": ("wet_bulb_depression", "K"),
    "rel_hum": ("relative_humidity", "%"),
    "press": ("air_pressure", "hPa"),
    "press_msl": ("air_pressure_at_sea_level", "hPa"),
    "press_qnh": ("air_pressure_qnh", "hPa"),
    "rain_trace": ("rainfall_since_9am", "mm"),
    "wind_spd_kmh": ("wind_speed", "km/h"),
    "gust_kmh": ("wind_gust", "km/h"),
    "vis_km": ("visibility", "km"),
    "cloud_base_m": ("cloud_base", "m"),
    "cloud_oktas": ("cloud_cover", "okta"),
    "swell_height": ("swell_height", "m"),
    "swell_period": ("swell_period", "s"),
}


class BomReference:
    """Daily streamflow with quality codes."""

    name = "bom-reference"
    version = "3"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """Comments that name the Hydrologic Reference Stations."""
        return is_left_to(head.mapping) and _HRS.search(text_head(head)) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations; the file states no zone (its days end at 9 o'clock local time), so that the mapping has to."""
        return read_source(lambda: _flows(stream, mapping), mapping, file)


def _flows(stream: BinaryIO, mapping: Mapping) -> Iterator[Told]:
    station: Station | None = None
    place: dict[str, float] = {}
    stated_unit: str | None = None
    channel: Channel | None = None
    at: dict[str, int] = {}
    width, separator = 0, ","
    for line in lines(stream, mapping):
        if line.text.lstrip('"').startswith("#"):
            if found := _PLACE.search(line.text):
                east, south = (-1 if found[2].upper() == "W" else 1), (-1 if found[4].upper() == "S" else 1)
                place = position(south * (number_of(found[3]) or 0.0), east * (number_of(found[1]) or 0.0))
            elif found := _UNIT.search(line.text):
                stated_unit = found[1].strip()
            elif station is None and (found := _STATION.search(line.text.rstrip(", "))):
                station = Station(found[2], {"name": found[1].strip()})
            continue
        if not line.text.strip():
            continue
        if channel is None:
            separator = next((mark for mark in ",;\t" if mark in line.text), ",")
            header = cells_of(line.text, separator)
            width, keys = len(header), [names.key(cell) for cell in header]
            at = {
                role: next((n for n, key in enumerate(keys) if word in key or key == short), -1)
                for role, word, short in (("date", "date", ""), ("value", "flow", "q"), ("code", "code", ""))
            }
            if station is None or at["date"] < 0 or at["value"] < 0:
                raise UnreadableFile("The file of the Hydrologic Reference Stations lacks its station or the header Date, Flow (...), Bureau QCode.")
            unit = names.split_unit(header[at["value"]])[1] or stated_unit
            channel = Channel(
                Station(station.natural_id, {**station.attributes, **place, "network": "HRS"}),
                "discharge",
                attributes={"unit": f"{unit}/d" if unit and "/" not in unit else unit, "name": header[at["value"]], "interval_s": 86400.0},
                missing=("NA", "NaN"),
            )
            yield channel
            continue
        cells = cells_of(line.text, separator)
        if len(cells) != width or (line.is_cut and at["value"] == width - 1):
            yield cut_off(line) if line.is_cut else reject(line, f"the row has {len(cells)} columns, but the header has {width}")
            continue
        yield Reading(channel, cells[at["date"]], cells[at["value"]] or None, cells[at["code"]] if at["code"] >= 0 else None, line.number)


class BomWeather:
    """Half-hourly observations of a weather station."""

    name = "bom-weather"
    version = "2"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """JSON with ``aifstime_utc``."""
        text = text_head(head).lstrip("\ufeff \t\r\n")
        return text.startswith("{") and is_left_to(head.mapping) and '"aifstime_utc"' in text and '"observations"' in text

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all numbers whose unit the bureau documents; knots are left out beside km/h."""
        document = read_json(stream, mapping)
        records = document.get("observations", {}).get("data") if isinstance(document, dict) else None
        if not isinstance(records, list):
            raise UnreadableFile("The JSON looks like weather of the Bureau of Meteorology, but has no observations.data.")
        return read_source(lambda: _weather(records), mapping, file)


def _weather(records: list[dict[str, Any]]) -> Iterator[Told]:
    channels: dict[tuple[str, str], Channel] = {}
    for row, record in enumerate(records, start=1):
        number = str(record.get("wmo") or record.get("name"))
        time = str(record.get("aifstime_utc") or "")
        moment = f"{time[:4]}-{time[4:6]}-{time[6:8]}T{time[8:10]}:{time[10:12]}:{time[12:14]}Z" if re.fullmatch(r"\d{14}", time) else time
        for key, (property_, unit) in _WEATHER.items():
            value = record.get(key)
            if value in (None, "", "-"):
                continue
            if (number, key) not in channels:
                place = position(*(number_of(str(record.get(name))) for name in ("lat", "lon")))
                station = Station(number, {"name": record.get("name"), "network": "BoM", **place})
                channels[number, key] = Channel(station, property_, attributes={"unit": unit, "name": key, "source_code": key})
            yield Reading(channels[number, key], moment, str(value), None, row)
