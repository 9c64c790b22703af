"""WaterML 1.1 in JSON: the answers of the water services of the United States Geological Survey.

What its parts mean is in `waterml`; only where they stand in the JSON belongs here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from water_pipelines.parsers import encoding
from water_pipelines.parsers.contract import Event, FileFacts, Head, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.records import LARGEST_BYTES
from water_pipelines.parsers.source import Reading, Told, declared_zone, is_left_to, number_of, position, read_source, text_head
from water_pipelines.parsers.waterml import NO_VALUES, Heading, joined_qualifier

_MARKS = (re.compile(r'"time[Ss]eries"\s*:\s*\['), re.compile(r'"(?:sourceInfo|siteCode|queryInfo)"'))


class WaterMlJson:
    """The JSON of ``format=json``."""

    name = "waterml-json"
    version = "2"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """A JSON object with a list of time series and the words of WaterML; those of other services lack them."""
        text = text_head(head).lstrip("\ufeff \t\r\n")
        if not text.startswith("{") or not is_left_to(head.mapping):
            return False
        return "TimeSeriesResponseType" in text[:4096] or all(mark.search(text) for mark in _MARKS)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all series."""
        document = read_json(stream, mapping)
        answer = document.get("value", document) if isinstance(document, dict) else None
        series = answer.get("timeSeries") if isinstance(answer, dict) else None
        if not isinstance(series, list):
            raise UnreadableFile("The JSON looks like an answer of the USGS water services, but it holds no list of time series. Download it again.")
        return read_source(lambda: _told(series, mapping), mapping, file, empty=NO_VALUES)


def read_json(stream: BinaryIO, mapping: Mapping) -> Any:
    """A JSON document in any encoding of Unicode.

    Raises
    ------
    UnreadableFile
        Too large, damaged or cut off.
    """
    stream.seek(0)
    content = stream.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise UnreadableFile(f"A JSON document may have {LARGEST_BYTES >> 20} MiB at most. Ask the service for fewer stations or years at once.")
    charset = mapping.encoding or encoding.detect(content[: 1 << 18])
    try:
        return orjson.loads(content if charset in (None, "utf-8") else content.decode(charset).removeprefix("\ufeff"))
    except orjson.JSONDecodeError as error:
        raise UnreadableFile(
            f"The JSON is damaged or cut off at line {error.lineno}, column {error.colno}: {error.msg}. Download it again."
        ) from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"The file is not {charset}: {error.reason} at byte {error.start}. Was its transfer complete?") from error


def _first(found: Any) -> dict[str, Any]:
    """The first object of a list, or an empty one."""
    return next((one for one in found if isinstance(one, dict)), {}) if isinstance(found, list) else (found if isinstance(found, dict) else {})


def _said(found: Any) -> str | None:
    return None if found is None or isinstance(found, dict | list) or str(found).strip() == "" else str(found).strip()


def _told(series: list[Any], mapping: Mapping) -> Iterator[Told]:
    row = 0
    for one in series:
        sets = [found for found in one.get("values") or [] if isinstance(found, dict)]
        heading = _heading(one, sets)
        channels = heading.channels()
        yield from channels
        for channel, found in zip(channels, sets, strict=True):
            for value in found.get("value") or []:
                row += 1
                time = _said(value.get("dateTime"))
                heading.check_clock(time, mapping)
                qualifiers = value.get("qualifiers")
                said = " ".join(map(str, qualifiers)) if isinstance(qualifiers, list) else _said(qualifiers)
                yield Reading(channel, time, _said(value.get("value")), joined_qualifier(_said(value.get("censorCode")), said), row)


def _heading(series: dict[str, Any], sets: list[dict[str, Any]]) -> Heading:
    source, variable = _first(series.get("sourceInfo")), _first(series.get("variable"))
    code, place = _first(source.get("siteCode")), _first(_first(source.get("geoLocation")).get("geogLocation"))
    clocks = _first(source.get("timeZoneInfo"))
    options = _first(variable.get("options")).get("option") or []
    site = _said(code.get("value"))
    if site is None:
        raise UnreadableFile("A time series of the file names no site (sourceInfo.siteCode). Download it again.")
    return Heading(
        site=site,
        site_name=_said(source.get("siteName")),
        agency=_said(code.get("agencyCode")),
        place=position(number_of(_said(place.get("latitude"))), number_of(_said(place.get("longitude")))),
        attributes={str(one.get("name")): str(one.get("value")) for one in source.get("siteProperty") or [] if one.get("name") and one.get("value")},
        zone=declared_zone(_said(_first(clocks.get("defaultTimeZone")).get("zoneOffset"))),
        has_summer_time=clocks.get("siteUsesDaylightSavingsTime") is True,
        code=_said(_first(variable.get("variableCode")).get("value")),
        name=_said(variable.get("variableName")),
        description=_said(variable.get("variableDescription")),
        unit=_said(_first(variable.get("unit")).get("unitCode")),
        no_data=_said(variable.get("noDataValue")),
        statistic=next((_said(one.get("optionCode")) for one in options if str(one.get("name")).lower() == "statistic"), None),
        methods=[_method(_first(found.get("method"))) for found in sets],
    )


def _method(method: dict[str, Any]) -> tuple[str | None, str | None]:
    return _said(method.get("methodID")), _said(method.get("methodDescription"))
