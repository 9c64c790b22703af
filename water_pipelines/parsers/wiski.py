"""KISTERS WISKI: tables with lines of facts above them, ZRXP, and the answers of its web services (KiWIS) in JSON.

Add here what exports of the system write differently, a word for a fact to `_FACTS` first of all. Nothing is taken from a place in the
file: facts and columns are known by their names, in English, Dutch or German.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from water_pipelines.parsers import names
from water_pipelines.parsers.contract import Event, FileFacts, Head, Station, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.source import (
    Channel,
    Line,
    Reading,
    Told,
    cells_of,
    cut_off,
    declared_zone,
    is_left_to,
    lines,
    number_of,
    position,
    read_source,
    reject,
    text_head,
)
from water_pipelines.parsers.waterml_json import read_json

_FACTS = {
    "stationnumber": "station",
    "stationno": "station",
    "stationsnummer": "station",
    "stationnummer": "station",
    "stationsite": "site",
    "stationname": "name",
    "stationsname": "name",
    "stationnaam": "name",
    "parametername": "parameter",
    "parameternaam": "parameter",
    "parametertype": "kind",
    "parametertypename": "kind_name",
    "timeseriesname": "series",
    "zeitreihenname": "series",
    "tijdreeksnaam": "series",
    "timeseriesunit": "unit",
    "unit": "unit",
    "einheit": "unit",
    "eenheid": "unit",
    "longitude": "longitude",
    "latitude": "latitude",
    "timezone": "zone",
    "zeitzone": "zone",
    "tijdzone": "zone",
}
_DATE, _CLOCK = {"date", "datum", "timestamp", "datetime", "datumuhrzeit", "zeitstempel"}, {"time", "zeit", "uhrzeit", "tijd"}
_VALUE, _STATE = re.compile(r"(value|wert|waarde)\b", re.IGNORECASE), {"stateofvalue", "status", "qualitycode", "quality", "statusdeswertes"}
_FACT = re.compile(r"^\s*\"?([A-Za-z][\w .-]*?)\s*:\"?(?:\s*[\t;,]| )\s*(.*)$")
_KNOWN_PROPERTIES = {"stijghoogte": "groundwater_head", "waterstand": "water_level", "wasserstand": "water_level", "afvoer": "discharge",
                     "abfluss": "discharge", "durchfluss": "discharge", "debiet": "discharge", "neerslag": "precipitation",
                     "niederschlag": "precipitation", "wassertemperatur": "water_temperature", "watertemperatuur": "water_temperature"}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")
_ZRXP_MARK = re.compile(r"^#(?:REXCHANGE|SANR|SNAME|TZ|RINVAL|LAYOUT|CNR|CUNIT|CNAME|TSPATH|ZRXP|SWATER|RTIMELVL)[^\n]*\|\*\|", re.MULTILINE)


def property_of(name: str) -> str:
    """The property of a parameter, under one name in the languages of the exports."""
    return _KNOWN_PROPERTIES.get(names.snake(name), names.snake(name))


class WiskiTable:
    """Facts, one a line (``Station Number:<tab>8137_PBF``), then a table of date, time, value and state."""

    name = "wiski-table"
    version = "2"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """Facts of a station and of a parameter, and a header with a value."""
        if not is_left_to(head.mapping):
            return False
        facts = {names.key(found[1]) for line in text_head(head).split("\n")[:60] if (found := _FACT.match(line))}
        said = {_FACTS[fact] for fact in facts if fact in _FACTS}
        return "station" in said and bool(said & {"parameter", "series"})

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of the table, or of several one behind the other."""
        return read_source(lambda: _table(stream, mapping), mapping, file)


def _table(stream: BinaryIO, mapping: Mapping) -> Iterator[Told]:
    facts: dict[str, str] = {}
    columns: dict[str, int] = {}
    channel: Channel | None = None
    separator = "\t"
    for line in lines(stream, mapping):
        if not line.text.strip():
            continue
        fact = _FACT.match(line.text)
        if fact is not None and not fact[1][0].isdigit():
            if channel is not None:
                facts, channel = {}, None
            facts[names.key(fact[1])] = fact[2].strip().strip('"').strip("\t;,")
            continue
        if channel is None:
            separator = next((mark for mark in "\t;," if mark in line.text), "")
            if not separator:
                raise UnreadableFile("The columns of the WISKI table stand apart by blanks only. Export it with tabs, semicolons or commas.")
            columns = _columns(cells_of(line.text, separator), line)
            channel = _table_channel(
                {_FACTS[key]: said for key, said in facts.items() if key in _FACTS}, cells_of(line.text, separator)[columns["value"]]
            )
            width = len(cells_of(line.text, separator))
            yield channel
            continue
        cells = cells_of(line.text, separator)
        if len(cells) < width:
            yield cut_off(line) if line.is_cut else reject(line, f"the row has {len(cells)} columns, but the header has {width}")
            continue
        if line.is_cut and columns["value"] == width - 1:
            yield cut_off(line)
            continue
        time = cells[columns["date"]] + (f" {cells[columns['clock']]}" if "clock" in columns else "")
        state = cells[columns["state"]] if "state" in columns else None
        yield Reading(channel, _iso(time), _decimal(cells[columns["value"]]), state, line.number)


def _columns(header: list[str], line: Line) -> dict[str, int]:
    found: dict[str, int] = {}
    for at, cell in enumerate(header):
        key = names.key(cell)
        if key in _DATE or (key.startswith(("date", "datum")) and "date" not in found):
            found.setdefault("date", at)
        elif key in _CLOCK:
            found.setdefault("clock", at)
        elif key in _STATE:
            found.setdefault("state", at)
        elif _VALUE.match(cell.strip()):
            found.setdefault("value", at)
    if "date" not in found or "value" not in found:
        raise UnreadableFile(
            f"Line {line.number} of the WISKI export should name the columns (Date, Time, Value[...], State of value), but says {line.text[:80]!r}. "
            "Export it again, or describe it in a mapping: time, value, header."
        )
    return found


def _table_channel(facts: dict[str, str], value_header: str) -> Channel:
    if not facts.get("station"):
        raise UnreadableFile("The WISKI export does not say its station number. Export it with the header.")
    bracketed = re.search(r"\[([^\]]*)\]", value_header)
    place = position(*(number_of(facts.get(name, "").replace(",", ".")) for name in ("latitude", "longitude")))
    name = " ".join(said for said in (facts.get("site"), facts.get("name")) if said)
    parameter = facts.get("parameter") or facts.get("kind_name") or facts.get("series") or "value"
    zone = facts.get("zone")
    return Channel(
        Station(facts["station"], {"name": name or None, **place}),
        property_of(parameter),
        attributes={
            "unit": facts.get("unit") or (bracketed[1] if bracketed else None),
            "name": parameter,
            "source_code": facts.get("series"),
        },
        zone=declared_zone(zone),
        missing=("-777", "---", "NaN"),
    )


def _iso(time: str) -> str:
    """Day first becomes year first: WISKI never writes the month first."""
    found = re.match(r"(\d\d?)[-./](\d\d?)[-./](\d{4})(.*)$", time)
    return f"{found[3]}-{int(found[2]):02d}-{int(found[1]):02d}{found[4]}" if found else time


def _decimal(value: str) -> str | None:
    """A decimal comma as a point; thousands are never set apart in exports."""
    return value.replace(",", ".") if _NUMBER.match(value) else value or None


class Zrxp:
    """ZRXP, the exchange format of KISTERS: ``#KEYvalue|*|`` facts, then lines of time, value and more."""

    name = "zrxp"
    version = "2"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """Facts set apart by ``|*|``."""
        return is_left_to(head.mapping) and _ZRXP_MARK.search(text_head(head)) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all series of the file."""
        return read_source(lambda: _zrxp(stream, mapping), mapping, file)


_ZRXP_KEYS = (
    "REXCHANGE",
    "SANR",
    "SNAME",
    "SWATER",
    "CNAME",
    "CNR",
    "CUNIT",
    "RINVAL",
    "RTIMELVL",
    "RORPR",
    "TZ",
    "LAYOUT",
    "TSPATH",
    "CMW",
    "RSTATE",
)


def _zrxp(stream: BinaryIO, mapping: Mapping) -> Iterator[Told]:
    facts: dict[str, str] = {}
    channel: Channel | None = None
    layout: list[str] = []
    for line in lines(stream, mapping):
        text = line.text.strip()
        if text.startswith("##") or not text:
            continue
        if text.startswith("#"):
            if channel is not None:
                facts, channel = {}, None
            for part in text[1:].split("|*|"):
                key = next((key for key in _ZRXP_KEYS if part.upper().startswith(key)), None)
                if key is not None:
                    facts[key] = part[len(key) :].strip()
            continue
        if channel is None:
            layout = [cell.strip().lower() for cell in facts.get("LAYOUT", "(timestamp,value,status)").strip("() ;").split(",")]
            channel = _zrxp_channel(facts)
            if "timestamp" not in layout or "value" not in layout:
                raise UnreadableFile(f"The layout of the ZRXP file ({facts.get('LAYOUT')}) has no timestamp or no value.")
            yield channel
        cells = text.split()
        at = layout.index("value")
        if len(cells) <= at or (line.is_cut and len(cells) == at + 1) or not re.fullmatch(r"\d{4,14}", cells[layout.index("timestamp")]):
            yield cut_off(line) if line.is_cut else reject(line, "the line does not have the columns of the layout")
            continue
        state = next((cells[layout.index(name)] for name in ("status", "primary_status") if name in layout and layout.index(name) < len(cells)), None)
        yield Reading(channel, _zrxp_time(cells[layout.index("timestamp")]), cells[at], state, line.number)


def _zrxp_time(digits: str) -> str:
    """``YYYYMMDDhhmmss``, of which the end may be left out, in ISO 8601; shorter than a day is no time."""
    if len(digits) < 8 or len(digits) % 2:
        return digits
    clock = digits[8:].ljust(6, "0")
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}"


def _zrxp_channel(facts: dict[str, str]) -> Channel:
    station = facts.get("SANR") or facts.get("REXCHANGE") or facts.get("TSPATH", "").strip("/").rpartition("/")[0]
    if not station:
        raise UnreadableFile("The ZRXP file does not name its station (SANR, REXCHANGE or TSPATH). Export it with the full header.")
    parameter = facts.get("CNAME") or facts.get("CNR") or facts.get("REXCHANGE") or facts.get("TSPATH", "value").strip("/").rpartition("/")[2]
    zone = facts.get("TZ")
    return Channel(
        Station(station, {"name": facts.get("SNAME"), "properties": {"water": facts["SWATER"]} if facts.get("SWATER") else None}),
        property_of(parameter),
        attributes={"unit": facts.get("CUNIT"), "name": parameter, "source_code": facts.get("CNR") or facts.get("REXCHANGE")},
        zone=declared_zone(re.sub(r"(UTC[+-]?\d*).*", r"\1", zone) if zone else None),
        missing=(facts.get("RINVAL") or "-777",),
    )


class KiwisJson:
    """Answers of ``getTimeseriesValues`` in JSON."""

    name = "kiwis-json"
    version = "2"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """A list of objects with ``columns`` as one text, and ``data``."""
        text = text_head(head).lstrip("\ufeff \t\r\n")
        return is_left_to(head.mapping) and text[:1] in "[{" and re.search(r'"columns"\s*:\s*"[^"]*Timestamp', text) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all series."""
        document = read_json(stream, mapping)
        answers = document if isinstance(document, list) else [document]
        return read_source(lambda: _kiwis(answers, file), mapping, file)


def _kiwis(answers: list[dict[str, Any]], file: FileFacts) -> Iterator[Told]:
    row = 0
    for answer in answers:
        columns = [names.key(column) for column in str(answer.get("columns", "")).split(",")]
        if "timestamp" not in columns or "value" not in columns:
            raise UnreadableFile(f"A series of the KiWIS answer has the columns {answer.get('columns')!r}; Timestamp and Value are needed.")
        at, value_at = columns.index("timestamp"), columns.index("value")
        state_at = next((columns.index(name) for name in ("qualitycode", "statequality", "datacode") if name in columns), None)
        channel = _kiwis_channel(answer, file)
        yield channel
        for cells in answer.get("data") or []:
            row += 1
            if len(cells) != len(columns):
                raise UnreadableFile(
                    f"Row {row} of the KiWIS answer has {len(cells)} cells for {len(columns)} columns: {orjson.dumps(cells).decode()[:80]}."
                )
            value = None if cells[value_at] is None else str(cells[value_at])
            state = None if state_at is None or cells[state_at] is None else str(cells[state_at])
            yield Reading(channel, str(cells[at]), value, state, row)


def _kiwis_channel(answer: dict[str, Any], file: FileFacts) -> Channel:
    def said(*keys: str) -> str | None:
        return next((str(answer[key]) for key in keys if answer.get(key) not in (None, "")), None)

    number = said("station_no", "station_id")
    series = said("ts_id", "ts_path")
    parameter = said("stationparameter_name", "parametertype_name", "ts_name") or "value"
    station = Station(
        number or file.default_station,
        {"name": said("station_name"), **position(number_of(said("station_latitude")), number_of(said("station_longitude")))},
    )
    return Channel(
        station,
        property_of(parameter),
        said("ts_shortname", "ts_name") or (series or ""),
        attributes={"unit": said("ts_unitsymbol", "ts_unitname"), "name": parameter, "source_code": series},
    )
