"""WaterML 1.0 and 1.1: the XML of CUAHSI's servers and of the water services of the United States Geological Survey.

Add here what servers of this format write differently. The same answers in JSON are in `waterml_json`, WaterML 2 in `waterml2`.
The file is read twice: what tells two sets of values apart stands behind them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO
from xml.etree.ElementTree import Element

from water_pipelines.parsers import markup, names, nwis
from water_pipelines.parsers.contract import Event, FileFacts, Head, Station, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.readings import DECLARE_ZONE
from water_pipelines.parsers.source import Channel, Reading, Told, declared_zone, number_of, position, read_source

_DROP = frozenset({"value", "timeseries", "queryinfo"})
NO_VALUES = "The service answered that it has no series for the request. Ask it for other stations, parameters or times."


@dataclass
class Heading:
    """What a series of WaterML 1 says of itself, in XML as in JSON."""

    site: str = ""
    site_name: str | None = None
    agency: str | None = None
    place: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    zone: str | None = None
    has_summer_time: bool = False
    code: str | None = None
    name: str | None = None
    description: str | None = None
    unit: str | None = None
    no_data: str | None = None
    statistic: str | None = None
    interval_s: float | None = None
    methods: list[tuple[str | None, str | None]] = field(default_factory=list)
    """Of each set of values: the method's number and description."""

    def channels(self) -> list[Channel]:
        """One channel for each set of values."""
        is_nwis = self.agency is not None or (self.code or "").isdigit()
        station = Station(
            self.site,
            {"name": self.site_name, "network": self.agency, **self.place, **({"properties": self.attributes} if self.attributes else {})},
        )
        said = self.description or self.name
        property_ = nwis.property_of(self.code, said) if is_nwis else names.snake(self.name or self.code or "value")
        parts = [description or "" for _, description in self.methods]
        is_doubled = [parts.count(part) > 1 for part in parts]
        return [
            Channel(
                station,
                property_,
                nwis.statistic_of(self.statistic),
                f"{part} {number or at}".strip() if doubled else part,
                {
                    "unit": nwis.unit_of(self.unit),
                    "name": said,
                    "source_code": self.code,
                    "interval_s": self.interval_s,
                },
                self.zone,
                (self.no_data,) if self.no_data else (),
            )
            for at, ((number, _), part, doubled) in enumerate(zip(self.methods, parts, is_doubled, strict=True), start=1)
        ]

    def check_clock(self, time: str | None, mapping: Mapping) -> None:
        """A time of day without an offset, at a place with summer time, does not say which clock it is of; a day is one of standard time."""
        if (
            self.has_summer_time
            and mapping.time_zone is None
            and time
            and "T" in time
            and not re.search(r"T00:00(:00(\.0*)?)?$|Z$|[+-]\d\d:?\d\d$", time)
        ):
            raise UnreadableFile(f"The time {time!r} of {self.site} states no offset, and its place puts clocks forward in summer. {DECLARE_ZONE}")


class WaterMl:
    """WaterML 1.0 and 1.1 in XML."""

    name = "waterml"
    version = "2"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """By the root element; its namespace may be called anything."""
        return markup.root_of(head) in ("timeseriesresponse", "timeseriesresponsetype")

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all series."""
        headings = _headings(stream)
        return read_source(lambda: _told(stream, headings, mapping), mapping, file, empty=NO_VALUES)


def _headings(stream: BinaryIO) -> list[Heading]:
    headings: list[Heading] = []
    for event, path, element in markup.walk(stream, _DROP):
        name = path[-1]
        if event == "start":
            if name == "timeseries":
                headings.append(Heading())
            elif name == "values" and headings:
                headings[-1].methods.append((None, None))
        elif not headings:
            continue
        elif name == "sourceinfo":
            _read_site(element, headings[-1])
        elif name == "variable":
            _read_variable(element, headings[-1])
        elif name == "method" and "values" in path and headings[-1].methods[-1] == (None, None):
            described = markup.text(markup.child(element, "methoddescription"))
            headings[-1].methods[-1] = (
                markup.attribute(element, "methodid"),
                None if (described or "").lower() == "no method specified" else described,
            )
    return headings


def _read_site(element: Element, heading: Heading) -> None:
    code = markup.child(element, "sitecode")
    heading.site = markup.text(code) or ""
    heading.site_name = markup.text(markup.child(element, "sitename"))
    if code is not None:
        heading.agency = markup.attribute(code, "agencycode")
    place = markup.child(element, "geolocation", "geoglocation")
    if place is not None:
        latitude, longitude = (number_of(markup.text(markup.child(place, name))) for name in ("latitude", "longitude"))
        heading.place = position(latitude, longitude)
    elevation = number_of(markup.text(markup.child(element, "elevation_m")))
    if elevation is not None:
        heading.place = heading.place | {"elevation_m": elevation}
    for one in markup.children(element, "siteproperty"):
        if (key := markup.attribute(one, "name")) and (said := markup.text(one)):
            heading.attributes[key] = said
    clocks = markup.child(element, "timezoneinfo")
    if clocks is not None:
        standard = markup.child(clocks, "defaulttimezone")
        heading.zone = declared_zone(markup.attribute(standard, "zoneoffset")) if standard is not None else None
        heading.has_summer_time = (markup.attribute(clocks, "siteusesdaylightsavingstime") or "").lower() in ("true", "1")


def _read_variable(element: Element, heading: Heading) -> None:
    heading.code = markup.text(markup.child(element, "variablecode"))
    heading.name = markup.text(markup.child(element, "variablename"))
    heading.description = markup.text(markup.child(element, "variabledescription"))
    units = markup.child(element, "units")
    unit = markup.child(element, "unit")
    if unit is not None:
        heading.unit = next((said for name in ("unitabbreviation", "unitcode", "unitname") if (said := markup.text(markup.child(unit, name)))), None)
    elif units is not None:
        heading.unit = markup.attribute(units, "unitsabbreviation") or markup.text(units)
    heading.no_data = markup.text(markup.child(element, "nodatavalue"))
    options = markup.child(element, "options")
    for option in options if options is not None else ():
        if (markup.attribute(option, "name") or "").lower() == "statistic":
            heading.statistic = markup.attribute(option, "optioncode")


def _told(stream: BinaryIO, headings: list[Heading], mapping: Mapping) -> Iterator[Told]:
    series = values = -1
    row = 0
    channels: list[Channel] = []
    for event, path, element in markup.walk(stream, _DROP):
        name = path[-1]
        if event == "start":
            if name == "timeseries":
                series, values = series + 1, -1
                channels = headings[series].channels()
                yield from channels
            elif name == "values":
                values += 1
            continue
        if name != "value" or path[-2:-1] != ("values",) or not channels:
            continue
        row += 1
        time, zone = _time_of(element)
        if zone is None:
            headings[series].check_clock(time, mapping)
        yield Reading(channels[values], time, markup.text(element), _qualifier_of(element), row, zone)


def _time_of(element: Element) -> tuple[str | None, str | None]:
    """The time of a value, in UTC where that is stated, and the offset beside it."""
    in_utc = markup.attribute(element, "datetimeutc")
    if in_utc is not None:
        return in_utc if in_utc.upper().endswith("Z") else f"{in_utc}Z", "UTC"
    return markup.attribute(element, "datetime"), declared_zone(markup.attribute(element, "timeoffset"))


def _qualifier_of(element: Element) -> str | None:
    """Censoring as ``<`` or ``>``, then qualifiers as they are written."""
    return joined_qualifier(markup.attribute(element, "censorcode"), markup.attribute(element, "qualifiers"))


def joined_qualifier(censored: str | None, qualifiers: str | None) -> str | None:
    """``lt`` and ``gt`` as the marks that they stand for, ``nc`` (not censored) as nothing, before the source's qualifiers."""
    mark = {"nc": None, "lt": "<", "gt": ">"}.get((censored or "nc").lower(), censored)
    return ":".join(one for one in (mark, qualifiers) if one) or None
