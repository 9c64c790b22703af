"""How a text is laid out: separator, header line, where the rows begin; from its first lines and the mapping.

Add here what tells one delimited text from another. Reading all of its lines belongs to `text`, the roles of columns to `layout`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from water_pipelines.parsers import names
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.encoding import TORN
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.times import recognise

WHITESPACE = " "
_Row = tuple[int, list[str]]
_SEPARATORS = (";", "\t", ",", "|")
SAMPLE_LINES = 400
_UNIT = re.compile(
    r"[µμu]?[SMG]/c?m.*|.*[°%µμ²³].*|-|none|n/?a|unitless|\d|[cmdk]?m|ft|in|inch(?:es)?|feet|met(?:er|re)s?|[cm]?m3?/s|m\^?3/s|ft3/s|cfs|cms"
    r"|[mµ]?[lL]/s|[mµu]?g/[lL]|kg/?.*|pp[tmb]|psu|ntu|fnu|rfu|qsu|[mk]?v(?:olts?)?|[ckmh]?pa|m?bar|dbar|decibar|psi|mmhg|cmh2o"
    r"|deg(?:rees?)?(?:[ _](?:[cfnetw]|celsius|fahrenheit).*)?|[cfk]|celsius|W/m\^?2|mm/h|m/s|km/h|mph|pH|units?|iso ?8601|utc|YYYY.*|hh.*|ML/d.*"
    r"|GL|m3|counts?|bool(?:ean)?|seconds?|sec|s|h|hr|d|dy|mo|yr|mn|min|nmi|deg[CFT]|[a-z]+/[a-z0-9]+",
    re.IGNORECASE,
)
_SHORT = 40  # characters; longer cells are not kept in memory
_NUMBER = re.compile(r"[<>]?=?\s*[+-]?(?:\d[\d.,']*|[.,]\d+)(?:[eE][+-]?\d+)?")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?")
_SPELLED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": WHITESPACE, "whitespace": WHITESPACE, "pipe": "|"}


@dataclass(frozen=True)
class Dialect:
    """How the lines of a text are read.

    Parameters
    ----------
    separator : str
        One character; a blank stands for any run of blanks and tabs.
    columns : tuple of str
        Names from the header; empty where there is none.
    has_header : bool
    skip : int
        Lines before the first row, header included.
    preamble : str
        The lines above the header.
    widths : tuple of int
        Of the columns of a fixed-width text; empty otherwise.
    """

    separator: str
    columns: tuple[str, ...]
    has_header: bool
    skip: int
    preamble: str = ""
    widths: tuple[int, ...] = ()
    units: tuple[str, ...] = ()

    def split(self, line: str) -> list[str]:
        """The cells of a line."""
        return split(line, self.separator, self.widths)


def split(line: str, separator: str, widths: Sequence[int] = ()) -> list[str]:
    """The cells of one line; quotes that do not close are ordinary characters."""
    if widths:
        starts = [sum(widths[:number]) for number in range(len(widths))]
        return [line[start : start + width].strip() for start, width in zip(starts, widths, strict=True)]
    if separator == WHITESPACE:
        line = " ".join(line.split())
    if '"' not in line:
        return line.split(separator)
    return split_quoted(line, separator) or line.split(separator)


def split_quoted(record: str, separator: str) -> list[str] | None:
    """The cells of a line, or of some lines that a quoted cell spans; None when the quotes are not those of one record."""
    try:
        rows = list(csv.reader(record.splitlines(keepends=True), delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def detect(text: str, mapping: Mapping) -> Dialect:
    """The dialect of a text by its first lines.

    Raises
    ------
    UnreadableFile
        No table is seen in the lines, or what the mapping says of it is not there.
    """
    lines = text.split("\n")
    lines = [line.rstrip("\r") for line in lines[: SAMPLE_LINES + mapping.skip]]
    separator = _spelled(mapping.separator) if mapping.separator else None
    skip = mapping.skip
    if lines and (stated := re.fullmatch(r"sep=(.)", lines[0].strip())):
        separator = separator or stated[1]
        skip = max(skip, 1)
    comment = mapping.comment or "#"
    if mapping.widths:
        rows = _rows(lines, skip, comment, "", mapping.widths)
    else:
        separator = separator or _find_separator(lines, skip, comment)
        rows = _rows(lines, skip, comment, separator, ())
    found = find_table(rows, mapping)
    if mapping.header is None and not mapping.widths:
        found = _header_in_comments(lines, rows, found, comment, separator or "")
    above = "\n".join(lines[: found.preamble_lines])
    return Dialect(separator or "", found.columns, found.has_header, found.skip, above, mapping.widths, found.units)


def _header_in_comments(lines: Sequence[str], rows: Sequence[_Row], found: Frame, comment: str, separator: str) -> Frame:
    """The names in the comments right above the rows, where the header found does not fit: ``# STN,YYYYMMDD,HH``, perhaps units below."""
    first, width = next(((number, len(cells)) for number, cells in rows if number >= found.skip), (found.skip, 0))
    if found.has_header and len(found.columns) == width:
        return found
    fitting = list[tuple[int, tuple[str, ...]]]()
    for number in range(first - 1, -1, -1):
        line = lines[number].lstrip()
        if not line.startswith(comment):
            if line:
                break
            continue
        cells = tuple(cell.strip() for cell in split(line.removeprefix(comment).strip(), separator))
        if len(cells) == width:
            fitting.append((number, (cells[0] or comment, *cells[1:])))
    for place in reversed(range(len(fitting[:2]))):
        number, cells = fitting[place]
        units = fitting[0][1] if place else ()
        names_time = any(map(_names_time, cells)) or names.key(cells[0]) in names.YEAR
        if names_time and (not units or _reads_as_units(units)):
            return Frame(cells, True, first, number, units)
    return found


@dataclass(frozen=True)
class Frame:
    """Where a table stands among lines or sheet rows: its header, its first row, and how many lines are above it."""

    columns: tuple[str, ...]
    has_header: bool
    skip: int
    preamble_lines: int
    units: tuple[str, ...] = ()


def find_table(rows: Sequence[_Row], mapping: Mapping) -> Frame:
    """The table in the first rows of a text or sheet.

    Parameters
    ----------
    rows : sequence of (int, list of str)
        Number from 0 and cells of each row that is not blank.

    Raises
    ------
    UnreadableFile
        There are no rows, or the header that the mapping names is not there.
    """
    if not rows:
        raise UnreadableFile("There are no lines of data in the file, only blank lines or comments.")
    profile = _profile(rows)
    first = _first_data_row(rows, profile)
    header = _find_header(rows, first, mapping, profile)
    if header is None:
        start = rows[first or 0][0]
        torn = next((line for line, cells in rows[: first or 0] if cells[0].startswith(TORN)), None)
        if torn is not None and mapping.header is None:
            raise UnreadableFile(
                f"Line {torn + 1}, above the first row, is damaged by zeros, as a logger leaves them when it loses its power: it may have named the "
                "columns. Mend it, or name columns by position in the mapping, with header: false."
            )
        return Frame(("",) * profile.width, False, start, start)
    line, names_ = rows[header]
    last, units = line, tuple[str, ...]()
    if mapping.header is None:
        for number, cells in rows[header + 1 : first]:
            if _reads_as_units(cells):
                last, units = number, tuple(cells)
                break
            if last != line or not _goes_on(names_, cells):
                break
            last, names_ = number, _joined(names_, cells)
    return Frame(_columns(names_, rows[header + 1 :], profile.width), True, last + 1, line, units)


def _reads_as_units(cells: Sequence[str]) -> bool:
    """Units in most of the cells that are not empty, behind the first: ``UTC,m,°C``."""
    said = [cell for cell in cells[1:] if cell]
    return bool(said) and sum(_UNIT.fullmatch(cell.strip("()[] ")) is not None for cell in said) * 2 > len(said)


def _goes_on(header: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether a line goes on with the names of a header whose cells span columns, as merged ones of a sheet do."""
    return not all(header) and len(cells) <= len(header) and any(cells) and not any(map(_is_typed, filter(None, cells))) and not cells[0]


def _joined(header: Sequence[str], cells: Sequence[str]) -> list[str]:
    """Names over two lines as one; what spans columns holds for all of them."""
    joined, above = list[str](), ""
    for name, below in zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=True):
        above = name or above
        joined.append(f"{above} {below}" if below else name)
    return joined


def _spelled(separator: str) -> str:
    found = _SPELLED.get(separator.lower(), separator)
    if len(found) != 1:
        raise UnreadableFile(f"separator: {separator!r} is not one character. Write for instance ';', tab or whitespace.")
    return WHITESPACE if found.isspace() and found != "\t" else found


def _rows(lines: Sequence[str], skip: int, comment: str, separator: str, widths: Sequence[int]) -> list[_Row]:
    return [
        (number, [cell.strip() for cell in split(line, separator, widths)])
        for number, line in enumerate(lines)
        if number >= skip and line.strip() and not line.lstrip().startswith(comment)
    ]


def _find_separator(lines: Sequence[str], skip: int, comment: str) -> str:
    """The separator that leaves the largest share of cells as numbers and times; blanks only where no character does."""
    best, best_score = ",", 0.0
    shown = [line for number, line in enumerate(lines) if number >= skip and line.strip() and not line.lstrip().startswith(comment)]
    for separator in _SEPARATORS:
        if not any(separator in line for line in lines):
            continue
        score = _score(_rows(lines, skip, comment, separator, ()))
        if separator == "," and _is_within_cells(shown):
            score /= 2
        if score > best_score:
            best, best_score = separator, score
    if best_score < 0.3 and _score(_rows(lines, skip, comment, WHITESPACE, ())) > best_score:
        return WHITESPACE
    return best


def _is_within_cells(lines: Sequence[str]) -> bool:
    """Whether the commas stand only in numbers and times: the lines above have another separator, as often as all others, and no comma."""
    tail = lines[len(lines) // 2 :]
    for other in _SEPARATORS[:2] + _SEPARATORS[3:]:
        count = tail[0].count(other) if tail else 0
        if count and all(line.count(other) == count for line in tail):
            return any(line.count(other) == count and "," not in line and not any(map(_is_typed, line.split(other))) for line in lines)
    return False


def _score(rows: Sequence[_Row]) -> float:
    tail = [cells for _, cells in rows[len(rows) // 2 :]]
    wide = [cells for cells in tail if len(cells) > 1]
    cells = [cell for row in wide for cell in row if cell]
    if not cells:
        return 0.0
    typed = sum(_is_typed(cell) for cell in cells) / len(cells)
    widths = Counter(len(row) for row in tail)
    return (0.1 + typed) * len(wide) / len(tail) * (0.5 + 0.5 * widths.most_common(1)[0][1] / len(tail))


def _is_typed(cell: str) -> bool:
    """Whether a cell is a number or a time. Each cell is asked about several times: for its separator, its column and its row."""
    return _is_known_to_be_typed(cell) if len(cell) <= _SHORT else _looks_typed(cell)


def _looks_typed(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None or _CLOCK.fullmatch(cell) is not None or recognise(cell, day_first=True) is not None


_is_known_to_be_typed = lru_cache(maxsize=1 << 14)(_looks_typed)


@dataclass(frozen=True)
class _Profile:
    width: int
    widths: frozenset[int]
    typed: frozenset[int]


def _profile(rows: Sequence[_Row]) -> _Profile:
    """The width of most rows, and which columns hold numbers or times, by the later half of the sample."""
    tail = [cells for _, cells in rows[len(rows) // 2 :]]
    wide = [cells for cells in tail if len(cells) > 1] or tail
    width = Counter(len(cells) for cells in wide).most_common(1)[0][0]
    typed = set()
    for position in range(max(len(cells) for cells in wide)):
        cells = [row[position] for row in wide if position < len(row) and row[position]]
        if cells and sum(map(_is_typed, cells)) > len(cells) / 2:
            typed.add(position)
    common = frozenset(found for found, count in Counter(len(cells) for cells in wide).items() if count * 20 >= len(wide))
    return _Profile(width, common, frozenset(typed))


def _first_data_row(rows: Sequence[_Row], profile: _Profile) -> int | None:
    """The first row that looks like the later ones, and is followed by another that does, or stands right below a header."""
    fits = [_is_data(cells, profile) for _, cells in rows]
    for number, fit in enumerate(fits):
        is_below_header = number > 0 and len(rows[number - 1][1]) in profile.widths and any(map(_names_time, rows[number - 1][1]))
        if fit and (is_below_header or all(fits[number + 1 : number + 2])):
            return number
    return fits.index(True) if True in fits else None


def _is_data(cells: Sequence[str], profile: _Profile) -> bool:
    said = [cells[position] for position in profile.typed if position < len(cells) and cells[position]]
    if any(map(_names_time, cells)):
        return False
    return bool(said) and sum(map(_is_typed, said)) * 2 >= len(said) and len(cells) > 1 and len(cells) in profile.widths


def _find_header(rows: Sequence[_Row], first: int | None, mapping: Mapping, profile: _Profile) -> int | None:
    if mapping.header is False:
        return None
    if isinstance(mapping.header, int) and mapping.header is not True:
        for number, (line, _) in enumerate(rows):
            if line == mapping.header - 1:
                return number
        raise UnreadableFile(
            f"The mapping says header: {mapping.header}, but that line is blank, a comment or not among the first {SAMPLE_LINES} lines."
        )
    wanted = _named(mapping)
    if wanted:
        for number in range(len(rows)):
            keys = {names.key(cell) for cell in rows[number][1]} | {names.key(names.split_unit(cell)[0]) for cell in rows[number][1]}
            if wanted <= keys:
                return number
    if first is None:
        return next((number for number, (_, cells) in enumerate(rows) if _reads_as_header(cells)), None)
    texts = [number for number in range(first) if _reads_as_header(rows[number][1])]
    fitting = [number for number in texts if number == first - 1 or len(rows[number][1]) in profile.widths]
    timed = [number for number in fitting if any(_names_time(cell) for cell in rows[number][1]) and not _reads_as_units(rows[number][1])]
    if timed:
        return timed[-1]
    return first - 1 if first - 1 in texts else None


def _names_time(cell: str) -> bool:
    return names.key(cell) in names.TIME or names.key(names.split_unit(cell)[0]) in names.TIME


def _named(mapping: Mapping) -> set[str]:
    said = [
        *mapping.time,
        *mapping.value,
        *mapping.columns,
        mapping.station_column,
        mapping.property_column,
        mapping.latitude_column,
        mapping.longitude_column,
    ]
    return {names.key(column) for column in said if isinstance(column, str) and not column.isdigit()}


def _reads_as_header(cells: Sequence[str]) -> bool:
    """Words, with no more than a few that could be numbers (a wide file may have numbered stations) unless the first names the time; no time."""
    said = [cell for cell in cells if cell]
    if len(said) > 1 and _names_time(said[0]):
        return not any(recognise(cell, day_first=True) for cell in said)
    if any(_CLOCK.fullmatch(cell) or recognise(cell, day_first=True) for cell in said):
        return False
    return len(said) > 1 and not _is_typed(said[0]) and sum(map(_is_typed, said)) < len(said) / 2 + 0.5


def _columns(header: Sequence[str], rows: Sequence[_Row], width: int) -> tuple[str, ...]:
    """The names; where all rows go on behind the header with nothing but empty cells, these get empty names."""
    extra = width - len(header)
    if extra > 0 and all(not any(cells[len(header) :]) for _, cells in rows):
        return (*header, *[""] * extra)
    return tuple(header)
