"""WaterML 2.0 (OGC 10-126): observations as series of time-value pairs, their metadata once for all points and again for single ones.

Add here what servers of the standard write differently. Points in domain and range lists (coverages) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element

from water_pipelines.parsers import markup, names, nwis
from water_pipelines.parsers.contract import Event, FileFacts, Head, Station, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.source import Channel, Reading, Told, declared_zone, number_of, position, read_source

_DROP = frozenset({"om_observation", "observationmember", "measurementtimeseries/point", "categoricaltimeseries/point", "timeseries/point"})
_POINTS = frozenset({"measurementtvp", "categoricaltvp", "timevaluepair"})


class WaterMl2:
    """WaterML 2.0 in XML."""

    name = "waterml2"
    version = "3"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """A collection, an observation or a time series in the namespace of the standard."""
        roots = ("collection", "om_observation", "measurementtimeseries", "featurecollection", "getobservationresponse")
        return markup.root_of(head) in roots and re.search(r"waterml/2\.0", markup.text_of(head), re.IGNORECASE) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all members of the collection."""
        return read_source(lambda: _told(stream, file), mapping, file, empty="The WaterML 2 file holds no observations.")


class _Observation:
    """What stands before the points of one observation."""

    def __init__(self) -> None:
        self.property: str | None = None
        self.feature: str | None = None
        self.feature_name: str | None = None
        self.place: dict[str, float] = {}
        self.procedure = ""
        self.unit: str | None = None
        self.qualifier: str | None = None
        self.censored: str | None = None
        self.nil: tuple[str, ...] = ()
        self.zone: str | None = None
        self.statistic = ""


def _named(element: Element) -> tuple[str | None, str | None]:
    """The identity of a reference and its title: the last part of its address, or what it says."""
    address, title = markup.attribute(element, "href"), markup.attribute(element, "title")
    tail = re.split(r"[/#=]", address.rstrip("/"))[-1] if address else None
    if address and not re.search(r"[/#=]", address) and ":" in address:
        tail = address.rpartition(":")[2]
    return tail or markup.text(element), title


def _told(stream: BinaryIO, file: FileFacts) -> Iterator[Told]:
    now = _Observation()
    stations: dict[str, Station] = {}
    channel: Channel | None = None
    seen: dict[str, int] = {}
    row = 0
    for event, path, element in markup.walk(stream, _DROP):
        name = path[-1]
        if event == "start":
            if name == "om_observation":
                now, channel = _Observation(), None
            continue
        if name in _POINTS:
            if channel is None:
                channel = _channel(now, stations, file, seen)
                yield channel
            row += 1
            yield _point(element, channel, now, row)
        elif name == "defaultpointmetadata":
            _read_defaults(element, now)
        elif not any(one.endswith("timeseries") for one in path):
            _read_heading(element, name, path, now, stations)
    if not row and b"rangeSet" in _tail(stream):
        raise UnreadableFile("The WaterML 2 file writes its values as a coverage (domainSet, rangeSet), which is not read. Ask for time-value pairs.")


def _tail(stream: BinaryIO) -> bytes:
    stream.seek(max(0, stream.seek(0, 2) - (1 << 16)))
    return stream.read()


def _read_heading(element: Element, name: str, path: tuple[str, ...], now: _Observation, stations: dict[str, Station]) -> None:
    if name == "observedproperty":
        tail, title = _named(element)
        if code := re.search(r"parmCd=(\d{5})", markup.attribute(element, "href") or ""):
            now.property = nwis.property_of(code[1], title)
            return
        inner = markup.find(element, "name")
        now.property = title or (markup.text(inner) if inner is not None and inner is not element else None) or tail
    elif name == "featureofinterest":
        tail, title = _named(element)
        point = next(
            (one for one in element if markup.local(one.tag) in ("monitoringpoint", "sf_spatialsamplingfeature", "sf_samplingfeature")), None
        )
        now.feature, now.feature_name = (tail or None), title
        if point is not None:
            found = _site(point)
            now.feature, now.feature_name = found.natural_id or tail, found.attributes.get("name") or title
            now.place = {key: said for key, said in found.attributes.items() if key in ("latitude", "longitude")}
            now.zone = found.attributes.get("zone") or now.zone
    elif name == "monitoringpoint" and "featureofinterest" not in path:
        found = _site(element)
        stations[markup.attribute(element, "id") or found.natural_id] = found
    elif name == "parameter" and (code := re.search(r"statCd=(\d{5})", markup.attribute(element, "href") or "")):
        now.statistic = nwis.statistic_of(code[1])
    elif name == "procedure":
        tail, title = _named(element)
        process = markup.find(element, "processtype")
        kind = _named(process)[1] if process is not None else None
        now.procedure = title or kind or ""


def _site(element: Element) -> Station:
    """A monitoring point: identifier, name, place, and the zone it declares."""
    identifier = markup.text(markup.child(element, "identifier")) or markup.attribute(element, "id") or ""
    where = markup.find(element, "pos")
    attributes: dict[str, Any] = {"name": markup.text(markup.child(element, "name"))}
    if where is not None:
        parts = [number_of(part) for part in (markup.text(where) or "").split()]
        srs = (markup.attribute(where, "srsname") or "").rpartition(":")[2].rpartition("/")[2]
        if len(parts) >= 2 and srs in ("", "4326", "4258", "4283", "4269", "4979", "7844"):
            attributes |= position(parts[0], parts[1])
    zone = markup.find(element, "zoneoffset")
    if zone is not None and (declared := declared_zone(markup.text(zone))):
        attributes["zone"] = declared
    reference = markup.child(element, "descriptionreference")
    agency = re.search(r"sites=(\d{8,15})", markup.attribute(reference, "href") or "") if reference is not None else None
    number = agency[1] if agency else re.sub(r"^USGS[.-](?=\d)", "", re.split(r"[/#]", identifier)[-1])
    return Station(number, attributes)


def _read_defaults(element: Element, now: _Observation) -> None:
    unit = markup.find(element, "uom")
    if unit is not None:
        now.unit = markup.attribute(unit, "code") or _named(unit)[1] or _named(unit)[0]
    now.qualifier = _quality(element)
    now.censored = _censoring(element)
    kind = markup.find(element, "interpolationtype")
    now.statistic = now.statistic or _statistic(_named(kind) if kind is not None else (None, None))


def _statistic(kind: tuple[str | None, str | None]) -> str:
    """Average, maximum, minimum and total over an interval are series of their own; instantaneous values have no word."""
    said = names.key(" ".join(one for one in kind if one))
    return next((word for key, word in (("average", "mean"), ("max", "maximum"), ("min", "minimum"), ("total", "total")) if key in said), "")


def _quality(element: Element) -> str | None:
    """Quality and qualifiers as the source writes them: titles where it gives them, else the codes."""
    found: list[str] = []
    for one in element.iter():
        if markup.local(one.tag) in ("quality", "qualifier", "status"):
            tail, title = _named(one)
            inner = next(
                (
                    said
                    for name in ("value", "text", "category")
                    for part in one.iter()
                    if markup.local(part.tag) == name and (said := markup.text(part))
                ),
                None,
            )
            said = title or tail or inner
            if said and said not in found:
                found.append(said)
    return " ".join(found) or None


def _censoring(element: Element) -> str | None:
    """``<`` and ``>`` for values below and above detection."""
    reason = markup.find(element, "censoredreason")
    if reason is None:
        return None
    said = names.key(" ".join(one for one in _named(reason) if one))
    return "<" if "below" in said or "less" in said else ">" if "above" in said or "greater" in said or "more" in said else _named(reason)[0]


def _channel(now: _Observation, stations: dict[str, Station], file: FileFacts, seen: dict[str, int]) -> Channel:
    feature = now.feature or file.default_station
    known = stations.get(feature)
    zone = (known.attributes.get("zone") if known is not None else None) or now.zone
    attributes = {"name": now.feature_name, **now.place}
    if known is not None:
        attributes = {
            key: said for key, said in (known.attributes | {key: said for key, said in attributes.items() if said}).items() if key != "zone"
        }
        feature = known.natural_id or feature
    channel = Channel(
        Station(feature, attributes),
        now.property or "value",
        now.statistic,
        attributes={"unit": now.unit, "name": now.property},
        zone=zone,
    )
    seen[channel.natural_id] = seen.get(channel.natural_id, 0) + 1
    if seen[channel.natural_id] == 1:
        return channel
    return Channel(channel.station, channel.observed_property, channel.part, now.procedure or str(seen[channel.natural_id]), channel.attributes, zone)


def _point(element: Element, channel: Channel, now: _Observation, row: int) -> Reading:
    value = markup.child(element, "value")
    said = markup.text(value)
    is_nil = value is not None and (markup.attribute(value, "nil") or "").lower() in ("true", "1")
    metadata = markup.child(element, "metadata")
    own = metadata if metadata is not None else element
    qualifier = _quality(own) or now.qualifier
    nil_reason = next((_named(one)[1] or _named(one)[0] for one in own.iter() if markup.local(one.tag) == "nilreason"), None)
    nil_reason = nil_reason or (markup.attribute(value, "nilreason") if value is not None else None)
    unit = markup.attribute(value, "uom") if value is not None else None
    if unit is not None and channel.attributes.get("unit") is not None and unit != channel.attributes["unit"]:
        raise UnreadableFile(f"Point {row} of the WaterML 2 file is in {unit!r}, while its series is in {channel.attributes['unit']!r}.")
    category = (
        next((markup.text(one) for one in value.iter() if markup.local(one.tag) == "value" and one is not value), None) if value is not None else None
    )
    marks = [category, _censoring(own) or now.censored, qualifier, nil_reason if is_nil or (said is None and category is None) else None]
    return Reading(channel, markup.text(markup.child(element, "time")), None if is_nil else said, ":".join(one for one in marks if one) or None, row)
