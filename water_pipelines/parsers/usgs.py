"""USGS RDB: the tab-separated files of the National Water Information System, their values with codes beside them.

Add here what tables of the system hold. Words and codes of the survey are in `nwis`. One file may hold a table for each site, each behind
comments of its own that describe its columns; ratings and statistics are no observations and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from water_pipelines.parsers import nwis
from water_pipelines.parsers.contract import Described, Event, FileFacts, Head, Station, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.source import (
    Channel,
    Line,
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

_HEADER = re.compile(r'^"?agency_cd"?[\t,;]"?site_no"?(?:[\t,;]|$)', re.IGNORECASE | re.MULTILINE)
_SPOILT = re.compile(r"^agency_cd +site_no\b", re.IGNORECASE | re.MULTILINE)
_RATING = re.compile(r"^INDEP[\t,; ]+(?:SHIFT[\t,; ]+)?DEP\b|^# //FILE TYPE=.NWIS RATING", re.MULTILINE | re.IGNORECASE)
_FORMAT = re.compile(r'^"?\d+[sdnSDN]"?$')
_VALUE = re.compile(r"^(?:(?P<ts>[^_]+)_)?(?P<code>\d{5})(?:_(?P<stat>\d{5}))?$")
_SITE = re.compile(r"^#\s+(?P<agency>[A-Z][\w-]*)\s+(?P<site>\d{8,15})\s+(?P<name>\S.*)$")
_COLUMN = re.compile(r"^#\s+(?P<ts>\S+)\s+(?P<code>\d{5})\s+(?:(?P<stat>\d{5})\s+)?(?P<said>\S.*)$")
_PEAKS = (
    ("peak_dt", "peak_tm", "peak_va", "peak_cd", "discharge", "peak", "ft3/s"),
    ("peak_dt", "peak_tm", "gage_ht", "gage_ht_cd", "gage_height", "peak", "ft"),
    ("ag_dt", "ag_tm", "ag_gage_ht", "ag_gage_ht_cd", "gage_height", "annual_maximum", "ft"),
)


_MEASURED = (
    ("gage_height_va", None, "gage_height", "ft"),
    ("discharge_va", "measured_rating_diff", "discharge", "ft3/s"),
)
_LEVELS = (
    ("lev_va", "", "depth_to_water_level"),
    ("sl_lev_va", "sl_datum_cd", "groundwater_level_elevation"),
)


@dataclass
class _Comments:
    """What the comments above a table say of sites and columns."""

    sites: dict[str, tuple[str, str]] = field(default_factory=dict)
    columns: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def read(self, line: str) -> None:
        if found := _COLUMN.match(line):
            self.columns[found["ts"], found["code"], found["stat"] or ""] = found["said"].strip()
        elif found := _SITE.match(line):
            self.sites[found["site"]] = (found["agency"], found["name"].strip())


class UsgsRdb:
    """Instantaneous and daily values, annual peaks, measurements in the field, and groundwater levels."""

    name = "usgs-rdb"
    version = "3"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """A header that begins with ``agency_cd`` and ``site_no``, or that of a rating."""
        text = text_head(head)
        if not is_left_to(head.mapping) or text.lstrip("\ufeff")[:1] in ("{", "[", "<"):
            return False
        return _HEADER.search(text) is not None or _SPOILT.search(text) is not None or _RATING.search(text) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all tables, or the stations of a table of sites."""
        told = _Tables(stream, mapping)
        return read_source(told.read, mapping, file, empty="The RDB file holds no observations.")


class UsgsSites:
    """RDB tables of sites: stations with their places."""

    name = "usgs-sites"
    version = "3"
    kind = "stations"

    def recognises(self, head: Head) -> bool:
        """A header with ``station_nm`` and no values."""
        header = _HEADER.search(text := text_head(head))
        line = text[header.start() :].split("\n", 1)[0].lower() if header else ""
        return "station_nm" in line and "dec_lat_va" in line and is_left_to(head.mapping)

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """The stations."""
        stations: dict[str, Station] = {}
        header: list[str] = []
        separator = "\t"
        for line in lines(stream, mapping):
            if _HEADER.match(line.text):
                separator = _separator(line.text)
                header = [cell.lower() for cell in cells_of(line.text, separator)]
                continue
            cells = cells_of(line.text, separator)
            if not header or line.text.startswith("#") or _is_format(cells) or len(cells) != len(header):
                continue
            row = dict(zip(header, cells, strict=True))
            elevation = number_of(row.get("alt_va"))
            attributes = {
                "name": row["station_nm"],
                "network": row["agency_cd"],
                "kind": row.get("site_tp_cd") or None,
                **position(number_of(row["dec_lat_va"]), number_of(row.get("dec_long_va"))),
                "elevation_m": None if elevation is None else round(elevation * 0.3048, 3),
            }
            stations[row["site_no"]] = Station(row["site_no"], {key: said for key, said in attributes.items() if said is not None})
        if not stations:
            raise UnreadableFile("The RDB table of sites has no rows.")
        yield Described(list(stations.values()), [])


def _separator(header: str) -> str:
    return next(mark for mark in "\t,;" if mark in header)


def _is_format(cells: Sequence[str]) -> bool:
    return all(_FORMAT.match(cell) for cell in cells)


@dataclass(frozen=True)
class _Column:
    """A column of values: where it and its code stand, and what it is."""

    at: int
    code_at: int | None
    date_at: int
    clock_at: int | None
    property: str
    part: str
    other: str
    attributes: dict[str, str | None]
    datum_at: int | None = None


class _Tables:
    """All tables of a file, read line by line."""

    def __init__(self, stream: BinaryIO, mapping: Mapping) -> None:
        self._stream, self._mapping = stream, mapping
        self._comments = _Comments()
        self._channels: dict[tuple[str, int, str], Channel] = {}
        self._header: list[str] = []
        self._columns: list[_Column] = []
        self._agency = self._site = 0
        self._zone: int | None = None

    def read(self) -> Iterator[Told]:
        separator = "\t"
        has_table = False
        for line in lines(self._stream, self._mapping):
            if line.text.startswith(("#", '"#')):
                self._comments.read(line.text.strip('"'))
                if _RATING.match(line.text):
                    raise UnreadableFile("The file is a rating (stage to discharge), not observations. Ask for instantaneous or daily values.")
                continue
            if not line.text.strip():
                continue
            if _HEADER.match(line.text):
                separator = _separator(line.text)
                self._open([cell.lower() for cell in cells_of(line.text, separator)])
                has_table = True
                continue
            if not has_table:
                self._refuse(line)
            cells = cells_of(line.text, separator)
            if _is_format([cell for cell in cells if cell]):
                continue
            yield from self._read_row(line, cells, separator)

    def _refuse(self, line: Line) -> None:
        if _RATING.match(line.text):
            raise UnreadableFile("The file is a rating (stage to discharge), not observations. Ask for instantaneous or daily values.")
        raise UnreadableFile(
            f"Line {line.number} of the RDB file is neither a comment nor the header with tabs between agency_cd, site_no, ...: {line.text[:80]!r}. "
            "Were its tabs replaced by blanks, or its header lost? Download it again."
        )

    def _open(self, header: list[str]) -> None:
        self._header, self._channels = header, {}
        self._agency, self._site = header.index("agency_cd"), header.index("site_no")
        self._zone = next((header.index(name) for name in ("tz_cd", "lev_tz_cd") if name in header), None)
        kinds = {"peak_dt": self._peaks, "lev_dt": self._levels, "measurement_dt": self._measured}
        self._columns = next((read for mark, read in kinds.items() if mark in header), self._values)()
        if not self._columns:
            raise UnreadableFile(
                "The RDB table holds no instantaneous or daily values, peaks, measurements or groundwater levels; its columns are "
                f"{', '.join(header[:12])}. Other tables of the system are not read."
            )

    def _at(self, name: str) -> int | None:
        return self._header.index(name) if name in self._header else None

    def _values(self) -> list[_Column]:
        date = self._at("datetime")
        found = [(at, match) for at, name in enumerate(self._header) if (match := _VALUE.match(name))]
        if date is None:
            return []
        kinds = [(match["code"], match["stat"], _bracketed(self._said(match))) for _, match in found]
        return [
            _Column(
                at,
                self._at(f"{self._header[at]}_cd"),
                date,
                None,
                nwis.property_of(match["code"], _bare(self._said(match))),
                nwis.statistic_of(match["stat"]),
                f"{kind[2]} {match['ts'] or ''}".strip() if kinds.count(kind) > 1 else kind[2],
                {
                    "unit": _unit(_bare(self._said(match))),
                    "name": self._said(match) or None,
                    "source_code": match["code"],
                },
            )
            for (at, match), kind in zip(found, kinds, strict=True)
        ]

    def _said(self, match: re.Match[str]) -> str:
        """The comments' description of a column."""
        return self._comments.columns.get((match["ts"] or "", match["code"], match["stat"] or ""), "")

    def _peaks(self) -> list[_Column]:
        columns = []
        for date, clock, value, code, property_, part, unit in _PEAKS:
            at, date_at = self._at(value), self._at(date)
            if at is not None and date_at is not None:
                columns.append(_Column(at, self._at(code), date_at, self._at(clock), property_, part, "", {"unit": unit}))
        return columns

    def _levels(self) -> list[_Column]:
        columns = []
        for value, datum, property_ in _LEVELS:
            at, date = self._at(value), self._at("lev_dt")
            if at is not None and date is not None:
                status, clock = self._at("lev_status_cd"), self._at("lev_tm")
                columns.append(_Column(at, status, date, clock, property_, "field", "", {"unit": "ft"}, self._at(datum)))
        return columns

    def _measured(self) -> list[_Column]:
        """Measurements in the field, with what the hydrographer made of them."""
        columns = []
        for value, code, property_, unit in _MEASURED:
            at, date = self._at(value), self._at("measurement_dt")
            if at is not None and date is not None:
                columns.append(_Column(at, self._at(code or ""), date, None, property_, "measured", "", {"unit": unit}))
        return columns

    def _read_row(self, line: Line, cells: list[str], separator: str) -> Iterator[Told]:
        width = len(self._header)
        if len(cells) != width or (line.is_cut and max(column.at for column in self._columns) == width - 1):
            yield cut_off(line) if line.is_cut else reject(line, f"the row has {len(cells)} columns, but the header has {width}")
            return
        zone = cells[self._zone] if self._zone is not None else None
        for column in self._columns:
            value, date = cells[column.at], cells[column.date_at]
            code = cells[column.code_at] if column.code_at is not None else ""
            if not value and (not code or not {"peak_dt", "lev_dt", "measurement_dt"}.isdisjoint(self._header)):
                continue  # a column that has nothing at this time
            if re.match(r"\d{4}(-00|-\d\d-00|$|-\d\d$)", date):
                yield reject(line, f"the date {date!r} is not known to the day")
                continue
            clock = cells[column.clock_at] if column.clock_at is not None else ""
            time = f"{date} {clock}" if clock else date
            yield Reading(self._channel(cells, column), time, value or None, code or None, line.number, nwis.ZONES.get(zone or "", zone or None))

    def _channel(self, cells: list[str], column: _Column) -> Channel:
        site = cells[self._site]
        datum = cells[column.datum_at] if column.datum_at is not None else ""
        known = self._channels.get((site, column.at, datum))
        if known is None:
            agency, name = self._comments.sites.get(site, (cells[self._agency], None))
            station = Station(site, {"name": name, "network": agency})
            known = Channel(station, column.property, column.part, column.other or datum, column.attributes, missing=nwis.MISSING)
            self._channels[site, column.at, datum] = known
        return known


def _bracketed(said: str) -> str:
    """What tells sensors of one parameter apart: ``[BOTTOM]`` or ``[(2)]`` behind a description."""
    found = re.search(r"\[([^\]]*)\]", said)
    return found[1].strip("() ") if found else ""


def _bare(said: str) -> str:
    return re.sub(r"\s*[\[(][^\])]*[\])]", "", said).strip(" ,")


def _unit(said: str) -> str | None:
    return nwis.unit_of(said.rpartition(",")[2]) if "," in said else None
