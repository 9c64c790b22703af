"""Field loggers' text exports: what the maker writes above the table, put into the words of a mapping; the table itself is read like any other.

Add a maker as a function that finds its marks in the first lines, with its entry in `FORMS`. What a mapping says wins over what the maker says.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import IO, Any, BinaryIO, cast

from water_pipelines.parsers import names
from water_pipelines.parsers.contract import Event, FileFacts, Head
from water_pipelines.parsers.dialect import WHITESPACE
from water_pipelines.parsers.mapping import ColumnMapping, Mapping
from water_pipelines.parsers.source import cells_of, declared_zone, is_left_to, lines, number_of, position, text_head
from water_pipelines.parsers.text import Text

_IN_MEMORY = 32 << 20
_LOOKED_AT = 200


@dataclass
class Found:
    """What stands above a logger's table.

    Parameters
    ----------
    first : int
        Position of the first line of data, from 0.
    columns : list of str
        A name for each column.
    meant : dict
        Column -> property, unit and name of its values; columns that are neither here nor in `time` are not read.
    said : dict
        Further keys of a mapping.
    line : function, optional
        Rewrites a line of data, where the table needs it; an empty line is none.
    """

    first: int
    separator: str
    columns: list[str]
    time: list[str]
    meant: dict[str, dict[str, Any]]
    said: dict[str, Any] = field(default_factory=dict)
    line: Callable[[str], str] | None = None


Form = Callable[[list[str]], Found | None]


class LoggerText:
    """The text exports of a maker."""

    version = "1"
    kind = "observations"

    def __init__(self, name: str, form: Form) -> None:
        self.name = name
        self._form = form

    def recognises(self, head: Head) -> bool:
        """By the maker's marks; a mapping that describes the table itself is followed in place of them."""
        return is_left_to(head.mapping) and self._form(text_head(head).split("\n")[:_LOOKED_AT]) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of all value columns; rows keep their numbers."""
        above = [line.text for line, _ in zip(lines(stream, mapping), range(_LOOKED_AT), strict=False)]
        found = self._form(above)
        assert found is not None, "recognises said so"
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as table:
            _rewrite(stream, mapping, found, table)
            yield from Text().parse(cast(BinaryIO, table), _merged(found, mapping), file)


def _rewrite(stream: BinaryIO, mapping: Mapping, found: Found, table: IO[bytes]) -> None:
    """The lines of data under one header, each at its place."""
    quoted = found.separator.join(found.columns)
    table.write(b"\n" * (found.first - 1) + quoted.encode() + b"\n")
    for line in lines(stream, mapping):
        if line.number > found.first:
            text = found.line(line.text) if found.line else line.text
            table.write(text.encode() + (b"" if line.is_cut else b"\n"))
    table.seek(0)


def _merged(found: Found, mapping: Mapping) -> Mapping:
    columns = {name: ColumnMapping(**{key: value for key, value in each.items() if value}) for name, each in found.meant.items()}
    said = {
        "encoding": "utf-8",
        "separator": found.separator,
        "header": found.first,
        "time": tuple(found.time),
        "columns": columns,
        "value": tuple(found.meant),
        **{key: value for key, value in found.said.items() if value and not getattr(mapping, key)},
    }
    return mapping.model_copy(update=said)


def _unique(wanted: Sequence[str]) -> list[str]:
    """Names for columns, told apart by their place where they are the same."""
    return [name if wanted.count(name) == 1 else f"{name}_{place + 1}" for place, name in enumerate(wanted)]


def campbell(above: list[str]) -> Found | None:
    """Campbell Scientific TOA5: environment, names, units and statistics, a line each."""
    if len(above) < 4 or not above[0].lstrip("\ufeff").startswith(('"TOA5"', "TOA5,")):
        return None
    environment, called, units = (cells_of(line.lstrip("\ufeff"), ",") for line in above[:3])
    columns = _unique([names.snake(name) for name in called])
    if columns[0] != "timestamp" or len(units) != len(columns):
        return None
    meant = {
        column: {"property": column, "unit": unit, "name": name}
        for column, name, unit in zip(columns[1:], called[1:], units[1:], strict=True)
        if column not in ("record", "recnum") and unit not in ("RN", "TS")
    }
    logger = {"maker": "Campbell Scientific", "model": environment[2], "serial_number": environment[3]} if len(environment) > 3 else {}
    said = {
        "station": environment[1] if len(environment) > 1 else None,
        "missing": ("NAN", "INF", "-INF"),
        "station_attributes": {"logger": logger},
        "decimal": ".",
    }
    return Found(4, ",", columns, ["timestamp"], meant, said)


_HOBO_TIME = re.compile(r"Date[ -]Time(?:, (?P<offset>(?:GMT|UTC)[+-]\d\d:?\d\d)| \((?P<zone>[^)]+)\))", re.IGNORECASE)
_HOBO_COLUMN = re.compile(r"(?P<label>[^,(]+?)\s*(?:,\s*(?P<unit>[^(]+?)\s*(?:\((?P<serials>.*)\))?|\((?P<plain>[^:()]*)\))")
_SENSOR = re.compile(r"SEN S/N:\s*([^,)]+)")
_LOGGER = re.compile(r"LGR S/N:\s*([^,)]+)")


def hobo(above: list[str]) -> Found | None:
    """Onset HOBOware and HOBOconnect: a numbered table whose header tells zone, units and serial numbers; events have columns of their own."""
    for place, line in enumerate(above[:10]):
        for separator in (",", ";", "\t"):
            cells = cells_of(line.lstrip("\ufeff"), separator)
            at = next((n for n, cell in enumerate(cells) if _HOBO_TIME.fullmatch(cell)), None)
            if at is not None and at <= 1 and len(cells) > at + 1 and cells[0] in ("#", cells[at]):
                return _hobo_table(above, place, separator, cells, at)
    return None


def _hobo_table(above: list[str], place: int, separator: str, cells: list[str], at: int) -> Found | None:
    parts = {n: found for n, cell in enumerate(cells) if n > at and (found := _HOBO_COLUMN.fullmatch(cell))}
    labels = [names.snake(parts[n]["label"]) for n in parts]
    meant: dict[str, dict[str, Any]] = {}
    for n, found in parts.items():
        label = names.snake(found["label"])
        serial = _SENSOR.search(found["serials"] or "")
        told = label if labels.count(label) == 1 else f"{label}_{serial[1] if serial else n + 1}"
        meant[f"c{n}"] = {"property": told, "unit": found["unit"] or found["plain"], "name": found["label"]}
    time = _HOBO_TIME.fullmatch(cells[at])
    assert time is not None
    title = next((found[1].strip() for line in above[:place] if (found := re.match(r'\W*Plot Title:\s*([^",;]*)', line))), "")
    logger = next((found[1] for cell in cells if (found := _LOGGER.search(cell))), None)
    said = {
        "station": title or logger,
        "time_zone": declared_zone(time["offset"] or time["zone"]),
        "station_attributes": {"logger": {"maker": "Onset", **({"serial_number": logger} if logger else {})}},
    }
    return Found(place + 1, separator, [f"c{n}" for n in range(len(cells))], [f"c{at}"], meant, said)


_MILLIS = re.compile(r"([^,;\t]*)([,;\t])([^,;\t]*)\2(\d{1,3})\2")


def solinst(above: list[str]) -> Found | None:
    """Solinst Levelogger CSV and LEV: a block about the logger, a name and a unit a channel, and a table with milliseconds beside the time."""
    if not any(re.match(r"\W*Serial[_ ]number", line, re.IGNORECASE) for line in above[:5]):
        return None
    place = next((n for n, line in enumerate(above) if re.match(r"\W*Date\W+Time\W", line)), None)
    if place is None:
        return None
    separator = next((one for one in (",", ";", "\t") if one in above[place]), ",")
    cells = cells_of(above[place], separator)
    columns = _unique([names.snake(cell) for cell in cells])
    block = [line.strip().rstrip(",;") for line in above[:place]]
    about = {key.rstrip(": ").casefold(): value for key, value in pairwise(block) if key.endswith(":")}
    units = {key.casefold(): value.partition(":")[2].strip() for key, value in pairwise(block) if value.upper().startswith("UNIT:")}
    meant = {
        column: {"property": column, "unit": units.get(cell.casefold()), "name": cell}
        for column, cell in zip(columns, cells, strict=True)
        if column not in ("date", "time", "ms")
    }
    said = {
        "station": about.get("location") or about.get("project id"),
        "station_attributes": {"logger": {"maker": "Solinst", **({"serial_number": about["serial_number"]} if about.get("serial_number") else {})}},
    }
    if "ms" not in columns:
        return Found(place + 1, separator, columns, ["date", "time"], meant, said)

    def with_millis(line: str) -> str:
        return _MILLIS.sub(lambda found: f"{found[1]}{separator}{found[3]}.{int(found[4]):03d}{separator}", line, count=1)

    return Found(place + 1, separator, [column for column in columns if column != "ms"], ["date", "time"], meant, said, with_millis)


def minidot(above: list[str]) -> Found | None:
    """PME miniDOT, concatenated: Unix time and two clocks, names in one line and units in parentheses in the next."""
    for place, line in enumerate(above[:30]):
        cells = cells_of(line.lstrip("\ufeff"), ",")
        if names.key(cells[0]) == "unixtimestamp" and place + 1 < len(above):
            units = [cell.strip("()") for cell in cells_of(above[place + 1], ",")]
            if len(units) < len(cells) or not above[place + 1].lstrip().startswith("("):
                return None
            columns = _unique([names.snake(cell) or f"c{n}" for n, cell in enumerate(cells)])
            meant = {
                column: {"property": column, "unit": None if unit == "none" else unit, "name": cell}
                for column, cell, unit in zip(columns[1:], cells[1:], units[1:], strict=False)
                if not re.search(r"date|time", cell, re.IGNORECASE)
            }
            serial = next((found[1] for text in above[:place] if (found := re.match(r"\W*Sensor:?\s*([\w-]+)", text))), None)
            said = {"station_attributes": {"logger": {"maker": "PME", **({"serial_number": serial} if serial else {})}}, "decimal": "."}
            return Found(place + 2, ",", columns, [columns[0]], meant, said)
    return None


def diver(above: list[str]) -> Found | None:
    """Van Essen (Schlumberger) Diver MON: settings in sections, then date, time and the channels by whitespace."""
    place = next((n for n, line in enumerate(above) if line.strip() == "[Data]"), None)
    if place is None or not any("Diver" in line or "[Logger settings]" in line for line in above[:place]):
        return None
    location, channels, units, section = "", list[str](), list[str](), ""
    for line in above[:place]:
        if line.startswith("["):
            section = line.strip("[] \t").casefold()
        key, _, value = line.partition("=")
        if key.strip().casefold() == "location" and value.strip():
            location = value.strip()
        if section.endswith("from data header") and key.strip().casefold() == "identification":
            channels.append(names.snake(value.strip()))
        if section.endswith("from data header") and key.strip().casefold() == "reference level":
            units.append(value.split()[-1] if value.split() else "")
    if not channels or place + 2 > len(above):
        return None
    columns = _unique(channels)
    units += [""] * len(columns)
    meant = {column: {"property": column, "unit": unit} for column, unit in zip(columns, units, strict=False)}
    said = {"station": location or None, "station_attributes": {"logger": {"maker": "Van Essen"}}}
    first = place + (2 if re.fullmatch(r"\s*\d+\s*", above[place + 1]) else 1)
    return Found(first, WHITESPACE, ["date", "time", *columns], ["date", "time"], meant, said, lambda line: "" if "END OF DATA" in line else line)


_IN_SITU_COLUMN = re.compile(r"(?P<label>.+?)\s*\((?P<unit>[^()]+)\)\s*\((?P<serial>\d+)\)")


def in_situ(above: list[str]) -> Found | None:
    """In-Situ Win-Situ and HydroVu CSV: a report above, and columns with their unit and the sensor's serial number in parentheses."""
    for place, line in enumerate(above):
        cells = cells_of(line.lstrip("\ufeff"), ",")
        if names.key(cells[0]) in ("dateandtime", "datetime") and any(_IN_SITU_COLUMN.fullmatch(cell) for cell in cells[1:]):
            parts = {n: found for n, cell in enumerate(cells) if n and (found := _IN_SITU_COLUMN.fullmatch(cell))}
            labels = [names.snake(found["label"]) for found in parts.values()]
            meant = {}
            for n, found in parts.items():
                label = names.snake(found["label"])
                told = label if labels.count(label) == 1 else f"{label}_{found['serial']}"
                meant[f"c{n}"] = {"property": told, "unit": found["unit"], "name": found["label"]}
            zones = [found[1] for text in above[:place] if (found := re.match(r"\W*Time Zone[:=,]+\s*\"?([^\",]+)", text, re.IGNORECASE))]
            places = {
                name: number_of(found[2])
                for text in above[:place]
                if (found := re.match(r"\W*(Latitude|Longitude)[:=, ]+\s*(-?\d+\.?\d*)", text, re.IGNORECASE))
                for name in (found[1].casefold(),)
            }
            site = next(
                (found[1].strip() for text in above[:place] if (found := re.match(r"\W*(?:Site|Location Name)[:=, ]+\s*\"?([^\",]+)", text))), None
            )
            said = {
                "station": site,
                "time_zone": declared_zone(zones[0].strip()) if zones else None,
                "station_attributes": {"logger": {"maker": "In-Situ"}, **position(places.get("latitude"), places.get("longitude"))},
            }
            return Found(place + 1, ",", [f"c{n}" for n in range(len(cells))], ["c0"], meant, said)
    return None


_YSI_UNITS = {"°C": "temperature", "°F": "temperature", "mmHg": "barometric_pressure", "FNU": "turbidity", "NTU": "turbidity", "psi": "pressure"}


def ysi(above: list[str]) -> Found | None:
    """YSI ProDSS and EXO handhelds: a block about the instrument and its sensors, then columns that are called by their unit, or end with it."""
    place = next((n for n, line in enumerate(above) if re.match(r"Date[,;\t]Time[,;\t]", line)), None)
    if place is None or not any(line.startswith("Unit ID:") for line in above[:place]):
        return None
    separator = above[place][4]
    cells = [cell for cell in cells_of(above[place], separator) if cell]
    columns = _unique([_YSI_UNITS.get(cell) or names.snake(cell) for cell in cells])
    meant = {}
    for column, cell in zip(columns[2:], cells[2:], strict=True):
        label, _, unit = cell.rpartition(" ")
        meant[column] = {"property": column, "unit": cell if cell in _YSI_UNITS else unit if label else None, "name": cell}
    site = next((found[1].strip() for line in above[:place] if (found := re.match(r"Site:[,;\t]([^,;\t]*)", line))), "")
    said = {"station": None if site in ("", "<None>") else site, "station_attributes": {"logger": {"maker": "YSI"}}}
    return Found(place + 1, separator, columns, ["date", "time"], meant, said, lambda line: line.rstrip(separator))


FORMS: dict[str, Form] = {
    "campbell-toa5": campbell,
    "hobo": hobo,
    "solinst-text": solinst,
    "minidot": minidot,
    "diver-mon": diver,
    "in-situ": in_situ,
    "ysi": ysi,
}
LOGGERS = tuple(LoggerText(name, form) for name, form in FORMS.items())
