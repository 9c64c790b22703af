"""Contents that are no data or not read yet, each with what to do about it.

Add a kind here when people drop it by mistake. A kind that gets a parser of its own never comes here: parsers are asked first.
"""

from __future__ import annotations

import html
import re

from water_pipelines.parsers import encoding
from water_pipelines.parsers.contract import Head, UnreadableFile

_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
_PAGE = re.compile(rb"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_CALLED_AS_DOCUMENT = re.compile(r"(?:\.(?:pdf|txt|md|html?|png|jpe?g|gif)|(?:^|/)(?:readme|licen[cs]e)[^/]*)$", re.IGNORECASE)
_CELL = re.compile(r"[\s,;|]+")
_NUMBER = re.compile(r"[-+<>]?\.?\d[\d.:/TZ+-]*")
_MAGIC = (
    (b'"TOB', "The file is Campbell Scientific's binary form (TOB). Convert it to TOA5 by CardConvert or LoggerNet, and drop that."),
    (b"%PDF", "The file is a PDF. Ask its author for the data behind it, as CSV or Excel."),
    (b"\x89HDF", "The file is HDF5, which is not read in this place. Export its series as CSV."),
    *((magic, "The file is a picture.") for magic in _PICTURES),
    (b"SQLite format 3", "The file is an SQLite database. Export its tables as CSV."),
    (b"7z\xbc\xaf", "The file is a 7z archive. Pack it as zip."),
    (b"Rar!", "The file is a RAR archive. Pack it as zip."),
    (b"\xfd7zXZ", "The file is packed by xz. Pack it by gzip or zip."),
)


def refuse(head: Head) -> None:
    """Raise UnreadableFile for what is known to be no table."""
    start = head.start
    for magic, message in _MAGIC:
        if start.startswith(magic):
            raise UnreadableFile(message)
    if start.startswith(b"# Title :") and re.search(rb"^file,.*\bdate_update\s*$", start[:8192], re.MULTILINE):
        raise UnreadableFile("The file is an index of the Argo archive: it lists files and holds no data. Drop the profile files that it names.")
    if _PAGE.search(start[:8192]):
        title = re.search(rb"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
        said = " ".join(html.unescape(title[1].decode("utf-8", "replace")).split()) if title else ""
        if re.search(rb"In-Situ|VuSitu|isi-", start):
            raise UnreadableFile("The file is an In-Situ log as a web page. Export it from VuSitu or Win-Situ as CSV, and drop that.")
        says = f" titled {said[:120]!r}" if said else ""
        raise UnreadableFile(f"The file is a web page{says}, not data: the download probably failed or needs a login. Download it again.")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        if re.match(rb"\s*<STATION>[^<]*</STATION>\s*<SENSOR>", start.lstrip(b"\xef\xbb\xbf")):
            raise UnreadableFile("The file is an OTT MIS export, which is not read. Export it from Hydras as CSV, a sensor each, and drop that.")
        root = re.search(rb"<(?![?!])([A-Za-z_][\w.:-]*)", start)
        raise UnreadableFile(f"The file is XML ({root[1].decode() if root else 'without a root'}) of a kind that is not read. Export it as CSV.")
    if not start.strip(b"\0 \t\r\n"):
        raise UnreadableFile("The file holds nothing but blanks or zeros. Was its transfer complete? Drop it again.")


def is_document(name: str, head: Head) -> bool:
    """Whether a file is plainly no data, by its name and by its content: a PDF, a picture, a web page, or a text without a line of numbers.

    A web page that is called ``levels.csv`` is a download that failed.
    """
    if not _CALLED_AS_DOCUMENT.search(name):
        return False
    if head.start.startswith((b"%PDF", *_PICTURES)) or _PAGE.search(head.start[:8192]):
        return True
    charset = encoding.detect(head.start)
    if charset is None or not head.start.strip() or not head.is_whole:
        return False
    return not any(map(_is_mostly_numbers, encoding.read_head(head.start, charset, is_whole=True).splitlines()))


def _is_mostly_numbers(line: str) -> bool:
    cells = [cell.strip("\"'") for cell in _CELL.split(line) if cell]
    numbers = sum(_NUMBER.fullmatch(cell) is not None for cell in cells)
    return numbers >= 2 and 2 * numbers > len(cells)
