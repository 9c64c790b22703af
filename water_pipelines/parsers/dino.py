"""DINO, the archive of the Dutch subsurface: heads in wells and levels of staff gauges, as CSV of two tables.

Add here what versions of the download write differently. Levels are given against three references; each is a series of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

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
    is_left_to,
    lines,
    number_of,
    position,
    read_source,
    reject,
    text_head,
)

# before 2015 the unit was not said: it was the centimetre
_LEVEL = re.compile(r"Stand\s*\(\s*(?:(?P<unit>cm|m|mm)\s+t\.?\s*o\.?\s*v\.?\s+)?(?P<reference>NAP|MV|MP)\b", re.IGNORECASE)
_HEADER = re.compile(r'^"?Locatie"?\s*[,;\t].*?Peil ?datum', re.IGNORECASE | re.MULTILINE)
_NONE = re.compile(r'^"?Van deze put zijn geen standen opgenomen', re.IGNORECASE | re.MULTILINE)
_PROPERTIES = {
    ("well", "nap"): "groundwater_head",
    ("well", "mv"): "groundwater_depth_below_surface",
    ("well", "mp"): "groundwater_depth_below_measuring_point",
    ("gauge", "nap"): "water_level",
    ("gauge", "mv"): "water_depth_below_surface",
    ("gauge", "mp"): "water_depth_below_measuring_point",
}


class Dino:
    """Groundwater heads and staff gauges of the DINO counter."""

    name = "dino"
    version = "3"
    kind = "observations"

    def recognises(self, head: Head) -> bool:
        """A header with ``Locatie``, ``Peildatum`` and a level against a reference, or the sentence that there are no levels."""
        text = text_head(head) if is_left_to(head.mapping) else ""
        found = _HEADER.search(text)
        if found is None:
            return _NONE.search(text) is not None
        return _LEVEL.search(text[found.start() :].split("\n", 1)[0]) is not None

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """Observations of the second table; the first describes the places."""
        return read_source(lambda: _told(stream, mapping), mapping, file)


def _told(stream: BinaryIO, mapping: Mapping) -> Iterator[Told]:
    places: dict[str, dict[str, str]] = {}
    channels: dict[tuple[str, str, int], Channel] = {}
    header: list[str] = []
    levels: list[tuple[int, str, str]] = []
    separator, is_gauge = ",", False
    date_at = filter_at = remark_at = note_at = None
    for line in lines(stream, mapping):
        if _NONE.match(line.text):
            raise UnreadableFile("DINO says in the file that it has no levels of this well.")
        if re.match(r'"?\s*Locatie"?\s*[,;\t]', line.text, re.IGNORECASE):
            separator = next(mark for mark in ",;\t" if mark in line.text)
            header = cells_of(line.text, separator)
            while header and not header[-1]:
                header.pop()
            keys = [names.key(cell) for cell in header]
            date_at, filter_at, remark_at, note_at = (
                next((keys.index(key) for key in spelt if key in keys), None)
                for spelt in (("peildatum", "peildatumtijd"), ("filternummer",), ("bijzonderheid",), ("opmerking",))
            )
            is_gauge = filter_at is None
            levels = [
                (at, found["reference"].lower(), (found["unit"] or "cm").lower()) for at, cell in enumerate(header) if (found := _LEVEL.match(cell))
            ]
            if date_at is not None and not levels:
                raise UnreadableFile(f"Line {line.number} of the DINO file names no column of levels (Stand (cm t.o.v. NAP)): {line.text[:80]!r}.")
            continue
        cells = cells_of(line.text, separator)
        if not header or not any(cells):
            continue
        if date_at is None:
            row = dict(zip((names.key(cell) for cell in header), cells, strict=False))
            places.setdefault(cells[0], {}).update({key: said for key, said in row.items() if said})
            continue
        if len(cells) < len(header):
            yield cut_off(line) if line.is_cut else reject(line, f"the row has {len(cells)} columns, but the header has {len(header)}")
            continue
        yield from _row(line, cells, channels, places, levels, date_at, (filter_at, remark_at, note_at), is_gauge=is_gauge)


def _row(
    line: Line,
    cells: list[str],
    channels: dict[tuple[str, str, int], Channel],
    places: dict[str, dict[str, str]],
    levels: list[tuple[int, str, str]],
    date_at: int,
    others: tuple[int | None, int | None, int | None],
    *,
    is_gauge: bool,
) -> Iterator[Told]:
    place = cells[0]
    screen, remark, note = ("" if at is None else cells[at] for at in others)
    if not place or (not is_gauge and not screen):
        yield reject(line, "the well or the number of its filter is missing")
        return
    said = ":".join(one for one in (remark, note) if one) or None
    is_blank = not any(cells[at] for at, _, _ in levels)
    at_nap = next((at for at, reference, _ in levels if reference == "nap"), levels[0][0])
    for at, reference, unit in levels:
        if not cells[at] and not (is_blank and at == at_nap):
            continue
        channel = channels.get((place, screen, at))
        if channel is None:
            kind = "gauge" if is_gauge else "well"
            channel = Channel(
                _station(place, places.get(place, {}), is_gauge=is_gauge),
                _PROPERTIES.get((kind, reference), f"level_{reference}"),
                screen,
                attributes={"unit": unit, "name": f"Stand ({unit} t.o.v. {reference.upper()})", **({"filter": screen} if screen else {})},
            )
            channels[place, screen, at] = channel
        yield Reading(channel, _iso(cells[date_at]), cells[at].replace(",", ".") or None, said, line.number)


def _iso(date: str) -> str:
    """Dates of the archive have the day first."""
    found = re.match(r"(\d\d?)[-/](\d\d?)[-/](\d{4})(.*)$", date)
    return f"{found[3]}-{int(found[2]):02d}-{int(found[1]):02d}{found[4]}" if found else date


def _station(place: str, facts: dict[str, str], *, is_gauge: bool) -> Station:
    x, y = number_of(facts.get("xcoordinaat")), number_of(facts.get("ycoordinaat"))
    where = position(*rijksdriehoek(x, y)) if x is not None and y is not None and 0 < x < 290_000 and 290_000 < y < 630_000 else {}
    name = facts.get("externeaanduiding")
    return Station(place, {"name": name, "kind": "staff gauge" if is_gauge else "well", "network": "DINO", **where})


def rijksdriehoek(x: float, y: float) -> tuple[float, float]:
    """Latitude and longitude (WGS 84, degrees) of Dutch national coordinates in metres, to about half a metre.

    F.H. Schreutelkamp and G.L. Strang van Hees, Benaderingsformules voor de transformatie tussen RD- en WGS84-kaartcoordinaten, 2001.

    >>> [round(part, 5) for part in rijksdriehoek(155_000, 463_000)]
    [52.15517, 5.38721]
    """
    dx, dy = (x - 155_000) * 1e-5, (y - 463_000) * 1e-5
    north = ((0, 1, 3235.65389), (2, 0, -32.58297), (0, 2, -0.24750), (2, 1, -0.84978), (0, 3, -0.06550), (2, 2, -0.01709), (1, 0, -0.00738),
             (4, 0, 0.00530), (2, 3, -0.00039), (4, 1, 0.00033), (1, 1, -0.00012))  # fmt: skip
    east = ((1, 0, 5260.52916), (1, 1, 105.94684), (1, 2, 2.45656), (3, 0, -0.81885), (1, 3, 0.05594), (3, 1, -0.05607), (0, 1, 0.01199),
            (3, 2, -0.00256), (1, 4, 0.00128), (0, 2, 0.00022), (2, 0, -0.00022), (5, 0, 0.00026))  # fmt: skip
    latitude, longitude = (sum(factor * dx**p * dy**q for p, q, factor in terms) / 3600 for terms in (north, east))
    return 52.15517440 + latitude, 5.38720621 + longitude
