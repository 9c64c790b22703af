"""The grey list of the Argo archive (ar_greylist.txt): parameters of floats that the data centres distrust from a day on.

Test 15 applies it. What it means is in `domain/argo`; other lists of the archive belong to files of their own.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from water_pipelines.domain.argo.casts import GreyList
from water_pipelines.parsers.contract import Argo, Event, FileFacts, Head, UnreadableFile
from water_pipelines.parsers.mapping import Mapping

_COLUMNS = ("PLATFORM_CODE", "PARAMETER_NAME", "START_DATE", "END_DATE", "QUALITY_CODE", "COMMENT", "DAC")
_DAY = re.compile(r"\d{8}(\d{6})?").fullmatch


class GreyListFile:
    """Grey lists, by their header line."""

    name = "argo grey list"
    version = "1"
    kind = "argo"

    def recognises(self, head: Head) -> bool:
        """By the names of the first columns."""
        return head.start.lstrip(b"\xef\xbb\xbf \t\r\n").upper().startswith(b"PLATFORM_CODE,PARAMETER_NAME,START_DATE")

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        """The whole list: what is not in it any more is no longer distrusted."""
        yield Argo(read_grey_list(stream.read()))


def read_grey_list(data: bytes) -> GreyList:
    """The rows of a grey list.

    Raises
    ------
    UnreadableFile
        A column is missing, a row has no float, no day or no quality code (the message names the line), or the file ends within its header: of
        a whole list that names nothing the header is a whole line.
    """
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace")))
    header = [name.strip().upper() for name in next(lines, [])]
    missing = [name for name in _COLUMNS[:5] if name not in header]
    if missing:
        raise UnreadableFile(f"The grey list has no column {missing[0]}. Fetch ar_greylist.txt again from the archive.")
    places = [header.index(name) if name in header else -1 for name in _COLUMNS]
    rows = []
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        platform, parameter, start, end, code, comment, centre = (cells[place].strip() if 0 <= place < len(cells) else "" for place in places)
        if not (platform and parameter and _DAY(start) and (end == "" or _DAY(end)) and code in tuple("01234589")):
            raise UnreadableFile(f"Line {number} of the grey list is not understood: {','.join(cells)[:80]!r}. Fetch it again from the archive.")
        rows.append((platform, parameter, _day(start, number), _day(end, number), int(code), comment, centre))
    if not rows and not data.endswith((b"\n", b"\r")):
        raise UnreadableFile("The grey list ends within its first line, so it is cut off. Fetch ar_greylist.txt again from the archive.")
    platforms, parameters, starts, ends, codes, comments, centres = zip(*rows, strict=True) if rows else ((),) * 7
    return GreyList(
        platform_number=np.array(platforms, np.str_),
        parameter=np.array(parameters, np.str_),
        start=np.array(starts, "datetime64[D]"),
        end=np.array(ends, "datetime64[D]"),
        flag=np.array(codes, np.uint8),
        comment=np.array(comments, np.str_),
        data_centre=np.array(centres, np.str_),
    )


def _day(digits: str, number: int) -> np.datetime64:
    if not digits:
        return np.datetime64("NaT", "D")
    try:
        return np.datetime64(f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}", "D")
    except ValueError as error:
        raise UnreadableFile(f"Line {number} of the grey list names a day that does not exist: {digits}.") from error
