"""Solinst Levelogger XLE: a logger's memory in XML, with its channels, their units and its place.

Add here what versions of the software write differently. The clock of a Levelogger knows no zone, so the mapping declares it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import Element

from water_pipelines.parsers import markup
from water_pipelines.parsers.contract import Event, FileFacts, Head, Station
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.source import Channel, Reading, Told, declared_zone, number_of, position, read_source

_DROP = frozenset({"log"})
_CHANNEL = re.compile(r"ch(\d+)(?:_data_header)?")
_DATE = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})")
_CLOCK = re.compile(r"(.*?\d)( ?[AaPp]\.?[Mm]\.?)?")
_COMMA = re.compile(r"-?\d+,\d+")


class SolinstXle:
    """XLE files."""

    name = "solinst-xle"
    version = "3"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """By its root."""
        return markup.root_of(head) == "body_xle"

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all channels; a station is called after the location, else the project, else the file."""
        charset = markup.charset_of(stream, mapping)
        return read_source(
            lambda: _told(stream, mapping, file, charset), mapping, file, empty="The XLE file holds no channels. Export it again.", day_first=None
        )


def _told(stream: BinaryIO, mapping: Mapping, file: FileFacts, charset: str | None) -> Iterator[Told]:
    about: dict[str, str] = {}
    channels: dict[str, Channel] = {}
    row = 0
    for event, path, element in markup.walk(stream, _DROP, charset):
        if event == "start":
            continue
        name = path[-1]
        if len(path) == 3 and path[1] in ("instrument_info", "instrument_info_data_header") and (said := markup.text(element)):
            about[name] = said
        elif len(path) == 2 and (found := _CHANNEL.fullmatch(name)):
            channel = _channel(element, _station(about, mapping, file), declared_zone(about.get("utc_offset")))
            channels[found[1]] = channel
            yield channel
        elif name == "log":
            row += 1
            moment = _time(element)
            for value in element:
                known = _CHANNEL.fullmatch(markup.local(value.tag))
                if known and known[1] in channels:
                    yield Reading(channels[known[1]], moment, _number(markup.text(value)), None, row)


def _station(about: dict[str, str], mapping: Mapping, file: FileFacts) -> Station:
    named = mapping.station or about.get("location") or about.get("project_id") or file.default_station
    logger = {"maker": "Solinst", "model": about.get("instrument_type"), "serial_number": about.get("serial_number")}
    return Station(
        named,
        {
            "name": about.get("location"),
            **position(number_of(about.get("latitude")), number_of(about.get("longtitude") or about.get("longitude"))),
            "logger": {key: value for key, value in logger.items() if value},
        },
    )


def _channel(header: Element, station: Station, zone: str | None) -> Channel:
    said = markup.text(markup.child(header, "identification")) or "value"
    offset = markup.find(header, "offset")
    attributes = {
        "name": said,
        "unit": markup.text(markup.child(header, "unit")),
        "offset": markup.attribute(offset, "val") if offset is not None else None,
    }
    return Channel(station, said, attributes=attributes, zone=zone)


def _time(log: Element) -> str | None:
    """ISO 8601 to the millisecond; as it is written where it is written otherwise."""
    date, time, millis = (markup.text(markup.child(log, name)) for name in ("date", "time", "ms"))
    if date is None or time is None:
        return date
    found = _DATE.fullmatch(date)
    day = f"{found[1]}-{int(found[2]):02d}-{int(found[3]):02d}" if found else date
    fraction = f".{int(millis):03d}" if millis and millis.isdigit() else ""
    written = _CLOCK.fullmatch(time)
    clock, noon = (written[1], written[2] or "") if written else (time, "")
    return f"{day}{'T' if found else ' '}{clock}{fraction}{noon}"


def _number(text: str | None) -> str | None:
    return text.replace(",", ".") if text and _COMMA.fullmatch(text) else text
