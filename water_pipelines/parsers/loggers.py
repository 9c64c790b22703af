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
from water_pipelines.parsers.contract import Event, FileFacts, Head, UnreadableFile
from water_pipelines.parsers.dialect import WHITESPACE, split_quoted
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

    version = "3"
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
        **{key: value for key, value in found.said.items() if value not in (None, "", ()) and getattr(mapping, key) in (None, "", (), {})},
    }
    if mapping.station is not None:
        said.pop("station_column", None)
    return mapping.model_copy(update=said)


def _unique(wanted: Sequence[str]) -> list[str]:
    """Names for columns, told apart by their place where they are the same."""
    return [name if wanted.count(name) == 1 else f"{name}_{place + 1}" for place, name in enumerate(wanted)]


def campbell(above: list[str]) -> Found | None:
    """Campbell Scientific TOA5: environment, names, units and statistics, a line each; TOACI1: environment and names."""
    kind = re.match(r'\ufeff?"?(TOA5|TOACI1)"?,', above[0])
    height = 4 if kind and kind[1] == "TOA5" else 2
    if kind is None or len(above) < height:
        return None
    head = [cells_of(line.lstrip("\ufeff"), ",") for line in above[:height]]
    environment, called = head[:2]
    units = head[2] if height > 2 else [""] * len(called)
    columns = _unique([names.snake(name) for name in called])
    if columns[0] not in ("timestamp", "tmstamp") or len(units) != len(columns):
        return None
    meant = {
        column: {"property": column, "unit": unit, "name": name}
        for column, name, unit in zip(columns[1:], called[1:], units[1:], strict=True)
        if column not in ("record", "recnum", "recnbr") and unit not in ("RN", "TS")
    }
    logger = {"maker": "Campbell Scientific", "model": environment[2], "serial_number": environment[3]} if len(environment) > 3 else {}
    said = {
        "station": environment[1] if len(environment) > 1 else None,
        "missing": ("NAN", "INF", "-INF"),
        "station_attributes": {"logger": logger or {"maker": "Campbell Scientific"}},
        "decimal": ".",
    }
    return Found(height, ",", columns, [columns[0]], meant, said, _again(head))


def _again(head: list[list[str]]) -> Callable[[str], str]:
    """Passes over the head of a file that was appended to this one; refuses that of another table, whose columns would be taken for these."""
    left = 0
    wanted = [(cells[1], cells[-1]) if number == 0 else cells for number, cells in enumerate(head)]

    def line(text: str) -> str:
        nonlocal left
        if re.match(r'"?(?:TOA5|TOACI1)"?,', text):
            left = len(head)
        if not left:
            return text
        cells = cells_of(text, ",")
        number = len(head) - left
        left -= 1
        if ((cells[1], cells[-1]) if number == 0 else cells) != wanted[number]:
            raise UnreadableFile(
                f"Behind the first table stands another, of another logger or with other columns: {text[:80]!r}. Its values would be taken for "
                "the first one's. Split the file, a table each, and drop the parts."
            )
        return ""

    return line


_HOBO_TIME = re.compile(
    r"(?:Date|Datum|Fecha|Data)[ -]?(?:Time|Heure|Zeit|Tijd|Hora|Ora)(?:, ?(?P<offset>(?:GMT|UTC)[+-]\d\d:?\d\d)| \((?P<zone>[^)]+)\))?",
    re.IGNORECASE,
)
_HOBO_DATE = re.compile(r"Date|Datum|Fecha|Data", re.IGNORECASE)
_HOBO_CLOCK = re.compile(r"(?:Time|Heure|Zeit|Tijd|Hora|Ora)(?:, ?(?P<offset>(?:GMT|UTC)[+-]\d\d:?\d\d)| \((?P<zone>[^)]+)\))?", re.IGNORECASE)
_HOBO_NUMBER = re.compile(r"#|N[°º.]|Nr\.?|No\.?", re.IGNORECASE)
_HOBO_COLUMN = re.compile(r"(?P<label>[^,(]+?)\s*(?:,\s*(?P<unit>[^(]+?)\s*(?:\((?P<serials>.*)\))?|\((?P<plain>[^:()]*)\))")
_HOBO_CHANNEL = re.compile(r"Ch: ?\d+ - ")
_SENSOR = re.compile(r"SEN S/N:\s*([^,)]+)")
_LOGGER = re.compile(r"LGR S/N:\s*([^,)]+)")


def hobo(above: list[str]) -> Found | None:
    """Onset HOBOware and HOBOconnect: a numbered table whose header tells zone, units and serial numbers; events have columns of their own."""
    for place, line in enumerate(above[:10]):
        for separator in (",", ";", "\t"):
            cells = cells_of(line.lstrip("\ufeff"), separator)
            at = 1 if _HOBO_NUMBER.fullmatch(cells[0]) else 0
            if len(cells) < at + 2 or not (at or "LGR S/N" in line or any("Plot Title" in one for one in above[:place])):
                continue
            if time := _HOBO_TIME.fullmatch(cells[at]):
                return _hobo_table(above, place, separator, cells, [at], time)
            if _HOBO_DATE.fullmatch(cells[at]) and (time := _HOBO_CLOCK.fullmatch(cells[at + 1])) and ("S/N" in line or place):
                return _hobo_table(above, place, separator, cells, [at, at + 1], time)
    return None


def _hobo_table(above: list[str], place: int, separator: str, cells: list[str], at: list[int], time: re.Match[str]) -> Found | None:
    parts = {n: found for n, cell in enumerate(cells) if n > at[-1] and (found := _HOBO_COLUMN.fullmatch(_HOBO_CHANNEL.sub("", cell)))}
    if not parts:
        return None
    labels = [names.snake(parts[n]["label"]) for n in parts]
    meant: dict[str, dict[str, Any]] = {}
    for n, found in parts.items():
        label = names.snake(found["label"])
        serial = _SENSOR.search(found["serials"] or "")
        told = label if labels.count(label) == 1 else f"{label}_{serial[1] if serial else n + 1}"
        meant[f"c{n}"] = {"property": told, "unit": found["unit"] or found["plain"], "name": found["label"].strip()}
    title = next(
        (found[1].strip() for line in above[:place] if (found := re.match(r'\W*(?:Plot Title|Titre[^:]*|T[ií]tulo[^:]*) ?: *([^",;]*)', line))), ""
    )
    logger = next((found[1] for cell in cells if (found := _LOGGER.search(cell))), None)
    said = {
        "station": title or logger,
        "time_zone": declared_zone(time["offset"] or time["zone"]),
        "station_attributes": {"logger": {"maker": "Onset", **({"serial_number": logger} if logger else {})}},
    }

    def measured(line: str) -> str:
        """The line, where it is more than an event."""
        found = cells_of(line, separator)
        return line if any(n >= len(found) or found[n] for n in parts) and len(found) > at[-1] + 1 else ""

    return Found(place + 1, separator, [f"c{n}" for n in range(len(cells))], [f"c{n}" for n in at], meant, said, measured)


_NOON = re.compile(r"(.*?)( ?[AaPp]\.?[Mm]\.?)?$")


def solinst(above: list[str]) -> Found | None:
    """Solinst Levelogger CSV: a block about the logger, a name and a unit a channel, and a table with milliseconds beside the time."""
    if not any(re.match(r"\W*Serial[_ ]number", line, re.IGNORECASE) for line in above[:5]):
        return None
    place = next((n for n, line in enumerate(above) if re.match(r"\W*Date\W+Time\W", line)), None)
    if place is None:
        return None
    separator = next((one for one in (",", ";", "\t") if one in above[place]), ",")
    cells = cells_of(above[place], separator)
    while cells and not cells[-1]:
        cells.pop()
    columns = _unique([names.snake(cell) for cell in cells])
    block = [cell for line in above[:place] for cell in cells_of(line, separator) if cell]
    about = {key.rstrip(": ").casefold(): value for key, value in pairwise(block) if key.endswith(":") and not value.endswith(":")}
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
    clock, ms = columns.index("time"), columns.index("ms")

    def with_millis(line: str) -> str:
        found = split_quoted(line, separator) if '"' in line else line.split(separator)
        if found is None or len(found) <= ms or not (millis := found.pop(ms).strip()).isdigit():
            return line
        written = _NOON.fullmatch(found[clock].strip())
        assert written is not None  # it fits any text
        found[clock] = f"{written[1]}.{int(millis):03d}{written[2] or ''}"
        return separator.join(f'"{cell}"' if separator in cell else cell for cell in found)

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
    """Van Essen (Schlumberger) Diver MON, and Solinst LEV: settings in sections, then date, time and the channels by whitespace."""
    place = next((n for n, line in enumerate(above) if line.strip() == "[Data]"), None)
    if place is None or not any(re.search(r"Diver|\[Logger settings\]|from data header\]", line) for line in above[:place]):
        return None
    location, zone, channels, units, section = "", "", list[str](), list[str](), ""
    for line in above[:place]:
        if line.startswith("["):
            section = line.strip("[] \t").casefold()
        key, _, value = line.partition("=")
        if key.strip().casefold() == "location" and value.strip():
            location = value.strip()
        if key.strip().casefold() in ("utc offset", "time zone", "timezone"):
            zone = value.strip()
        if section.endswith("from data header") and key.strip().casefold() == "identification":
            channels.append(names.snake(value.strip()))
        if section.endswith("from data header") and key.strip().casefold() in ("reference level", "reference"):
            units.append(value.split()[-1] if value.split() else "")
    if not channels or place + 2 > len(above):
        return None
    columns = _unique(channels)
    units += [""] * len(columns)
    meant = {column: {"property": column, "unit": unit} for column, unit in zip(columns, units, strict=False)}
    maker = "Van Essen" if any("Diver" in line or "[Logger settings]" in line for line in above[:place]) else "Solinst"
    said = {"station": location or None, "time_zone": declared_zone(zone), "station_attributes": {"logger": {"maker": maker}}}
    first = place + (2 if re.fullmatch(r"\s*\d+\s*", above[place + 1]) else 1)
    return Found(first, WHITESPACE, ["date", "time", *columns], ["date", "time"], meant, said, lambda line: "" if "END OF DATA" in line else line)


_IN_SITU_COLUMN = re.compile(r"(?P<label>.+?)\s*\((?P<unit>[^()]+)\)(?:\s*\((?P<serial>\d+)\))?")
_IN_SITU_MARK = re.compile(
    r"Report (?:Date|Properties)|Log File Properties|Location Properties|Instrument Properties|Win-Situ|VuSitu|HydroVu", re.IGNORECASE
)


def in_situ(above: list[str]) -> Found | None:
    """In-Situ Win-Situ, VuSitu and HydroVu CSV: a report above, and columns with unit and mostly the sensor's number in parentheses."""
    is_marked = any(_IN_SITU_MARK.search(line) for line in above[:40])
    for place, line in enumerate(above):
        cells = cells_of(line.lstrip("\ufeff"), ",")
        if names.key(cells[0]) in ("dateandtime", "datetime"):
            parts = {n: found for n, cell in enumerate(cells) if n and (found := _IN_SITU_COLUMN.fullmatch(cell))}
            if parts and (is_marked or any(found["serial"] for found in parts.values())):
                return _in_situ_table(above, place, cells, parts)
    return None


def _in_situ_table(above: list[str], place: int, cells: list[str], parts: dict[int, re.Match[str]]) -> Found:
    serials = cells_of(above[place - 1], ",") if place else []
    labels = [names.snake(found["label"]) for found in parts.values()]
    meant = {}
    for n, found in parts.items():
        label = names.snake(found["label"])
        above_it = re.fullmatch(r"SN#?:? *(\w+)", serials[n]) if n < len(serials) else None
        told = label if labels.count(label) == 1 else f"{label}_{found['serial'] or (above_it[1] if above_it else n + 1)}"
        meant[f"c{n}"] = {"property": told, "unit": found["unit"], "name": found["label"]}
    block = "\n".join(above[:place])

    def about(pattern: str) -> str | None:
        """What stands behind a key, after a colon, an equals sign or a comma."""
        found = re.search(rf'^\W*(?:{pattern})[ °]*[:=,]+[ ]*"?([^",\n]+)', block, re.IGNORECASE | re.MULTILINE)
        return found[1].strip() if found and found[1].strip() else None

    offset = re.fullmatch(r"([+-]?)(\d\d):(\d\d)(?::00)?", about("Time Offset") or "")
    zone = f"{offset[1] or '+'}{offset[2]}:{offset[3]}" if offset else about("Time Zone")
    said = {
        "station": about("Site|Location Name"),
        "time_zone": declared_zone(zone),
        "station_attributes": {"logger": {"maker": "In-Situ"}, **position(number_of(about("Latitude")), number_of(about("Longitude")))},
    }
    ruled = len(above) > place + 1 and re.fullmatch(r"[-, ]+", above[place + 1]) is not None
    return Found(place + 1 + ruled, ",", [f"c{n}" for n in range(len(cells))], ["c0"], meant, said)


_YSI_UNITS = {"°C": "temperature", "°F": "temperature", "mmHg": "barometric_pressure", "FNU": "turbidity", "NTU": "turbidity", "psi": "pressure"}
_YSI_DATE = re.compile(r"\W*Date(?: \((?P<order>[MDY/.-]+)\))?\W+Time(?: \(HH:mm:ss\))?\W", re.IGNORECASE)
_YSI_ABOUT = (
    "time_fract_sec",
    "site",
    "site_name",
    "unit_id",
    "user_id",
    "data_id",
    "gps_latitude",
    "gps_longitude",
    "latitude",
    "longitude",
    "fault_code",
)


def ysi(above: list[str]) -> Found | None:
    """YSI ProDSS handhelds and EXO sondes (KOR): a block about the instrument, then columns that are called by their unit, or end with it."""
    for place, line in enumerate(above):
        if (date := _YSI_DATE.match(line)) is None:
            continue
        separator = next((one for one in ("\t", ";", ",") if one in line), ",")
        cells = cells_of(line.lstrip("\ufeff"), separator)
        while cells and not cells[-1]:
            cells.pop()
        is_kor = date["order"] is not None and any(cell.startswith("Time (Fract") or cell == "Site Name" for cell in cells)
        if is_kor or any(one.startswith("Unit ID:") for one in above[:place]) or {"Unit ID", "Data ID"} <= set(cells):
            return _ysi_table(above, place, separator, cells, date["order"])
    return None


def _ysi_table(above: list[str], place: int, separator: str, cells: list[str], order: str | None) -> Found:
    columns = ["date", "time", *_unique([_YSI_UNITS.get(cell) or names.snake(cell) for cell in cells[2:]])]
    meant = {}
    for column, cell in zip(columns[2:], cells[2:], strict=True):
        if column not in _YSI_ABOUT:
            unit = re.search(r" (% \w+|\S+)$", cell)
            meant[column] = {"property": column, "unit": cell if cell in _YSI_UNITS else unit[1] if unit else None, "name": cell}
    site = next((found[1].strip() for line in above[:place] if (found := re.match(r"Site:[,;\t]([^,;\t]*)", line))), "")
    sites = next((column for column in ("site_name", "site") if column in columns), None)
    said: dict[str, Any] = {"station_attributes": {"logger": {"maker": "YSI"}}, "day_first": order.upper().startswith("D") if order else None}
    if sites:
        said["station_column"] = sites
    else:
        said["station"] = None if site in ("", "<None>") else site
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
