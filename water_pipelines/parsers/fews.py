"""Delft-FEWS PI time series in XML: series of events with flags, between a header that names everything.

Add here what versions of the PI schema write differently. Values in a binary file beside the XML are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element

from water_pipelines.parsers import markup
from water_pipelines.parsers.contract import Event, FileFacts, Head, Station, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.source import Channel, Reading, Told, declared_zone, number_of, position, read_source

_DROP = frozenset({"event", "series", "domainaxisvalues"})
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


class FewsPi:
    """PI time series."""

    name = "fews-pi"
    version = "2"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """A root ``TimeSeries`` with the namespace or the elements of the schema."""
        return markup.root_of(head) == "timeseries" and re.search("fews|locationid", markup.text_of(head), re.IGNORECASE) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all series."""
        doubled = _doubled(stream)
        return read_source(lambda: _told(stream, doubled), mapping, file, empty="The FEWS file holds no series. Export it again.")


def _said(header: Element, name: str) -> str | None:
    return markup.text(markup.child(header, name))


def _discriminators(header: Element) -> tuple[str, str]:
    """The qualifiers of a series, and the member of its ensemble."""
    qualifiers = " ".join(said for one in markup.children(header, "qualifierid") if (said := markup.text(one)))
    ensemble = [_said(header, "ensembleid"), _said(header, "ensemblememberindex") or _said(header, "ensemblememberid")]
    return qualifiers, " ".join(one for one in ensemble if one and one != "main")


def _key(header: Element) -> tuple[str, ...]:
    return (_said(header, "locationid") or "", _said(header, "parameterid") or "", *_discriminators(header))


def _doubled(stream: BinaryIO) -> set[tuple[str, ...]]:
    """Series that only their module or the time of their forecast tells apart."""
    seen: dict[tuple[str, ...], int] = {}
    for event, path, element in markup.walk(stream, _DROP):
        if event == "end" and path[-1] == "header":
            seen[_key(element)] = seen.get(_key(element), 0) + 1
    return {key for key, count in seen.items() if count > 1}


def _told(stream: BinaryIO, doubled: set[tuple[str, ...]]) -> Iterator[Told]:
    zone: str | None = None
    channel: Channel | None = None
    row = series = 0
    for event, path, element in markup.walk(stream, _DROP):
        name = path[-1]
        if event == "start":
            if name == "series":
                channel = None
            continue
        if name == "timezone":
            said = markup.text(element)
            zone = declared_zone(said)
            if said and zone is None:
                raise UnreadableFile(f"The FEWS file declares the time zone {said!r}, which is no offset from GMT in hours.")
        elif name == "header":
            channel = _channel(element, zone, doubled)
            series += 1
            yield channel
        elif name == "event" and channel is not None:
            row += 1
            date, time = markup.attribute(element, "date"), markup.attribute(element, "time")
            flag, symbol = markup.attribute(element, "flag"), markup.attribute(element, "detectionsymbol")
            moment = f"{date} {time}" if date and time else date
            value = markup.attribute(element, "value")
            symbol = None if symbol == "=" else symbol
            yield Reading(channel, moment, value, ":".join(one for one in (symbol, flag) if one) or None, row)
    if series and not row:
        raise UnreadableFile(
            "The FEWS file holds headers and no events: its values stand in a .bin file beside it, or there are none. "
            "Export it with its values in XML."
        )


def _channel(header: Element, zone: str | None, doubled: set[tuple[str, ...]]) -> Channel:
    location, parameter = _said(header, "locationid"), _said(header, "parameterid")
    if not location or not parameter:
        raise UnreadableFile("A series of the FEWS file lacks its locationId or parameterId. Export it again.")
    qualifiers, ensemble = _discriminators(header)
    if _key(header) in doubled:
        forecast = markup.child(header, "forecastdate")
        issued = f"{markup.attribute(forecast, 'date')} {markup.attribute(forecast, 'time')}" if forecast is not None else ""
        step = markup.child(header, "timestep")
        stepped = f"{markup.attribute(step, 'multiplier') or 1} {markup.attribute(step, 'unit')}" if step is not None else ""
        ensemble = " ".join(one for one in (ensemble, _said(header, "moduleinstanceid"), _said(header, "type"), stepped, issued) if one)
    attributes: dict[str, Any] = {
        "name": _said(header, "longname") or parameter,
        "unit": _said(header, "units"),
        "interval_s": _interval(markup.child(header, "timestep")),
        "source_code": parameter,
    }
    height = number_of(_said(header, "z"))
    station = Station(
        location,
        {
            "name": _said(header, "stationname"),
            **position(number_of(_said(header, "lat")), number_of(_said(header, "lon"))),
            "elevation_m": height,
        },
    )
    return Channel(station, parameter, qualifiers, ensemble, attributes, zone, (_said(header, "missval") or "NaN", "NaN"))


def _interval(step: Element | None) -> float | None:
    """Seconds between values; None where they come at any time."""
    seconds = _SECONDS.get((markup.attribute(step, "unit") or "").lower()) if step is not None else None
    if step is None or seconds is None:
        return None
    multiplier, divider = (number_of(markup.attribute(step, name) or "1") for name in ("multiplier", "divider"))
    return seconds * multiplier / divider if multiplier and divider else None
