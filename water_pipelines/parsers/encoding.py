"""Bytes to UTF-8 lines: which encoding a text has, and blocks of whole lines of it.

Add an encoding here when loggers or agencies write it and it can be told from its bytes; others are named by the mapping.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from water_pipelines.parsers.contract import UnreadableFile

BLOCK_BYTES = 16 << 20
LONGEST_LINE = 16 << 20

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WESTERN = "cp1252"
TORN = "\N{REPLACEMENT CHARACTER}"
_BETWEEN = re.compile(rb"[\0\s,;|]+")
_CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 26, 27})


def detect(head: bytes) -> str | None:
    """The encoding of a text by its first bytes, or None when they are no text.

    UTF-8 also stands for ASCII so far: a later block that is no UTF-8 is read as Windows-1252.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    zeros = head[:4096].count(0)
    if zeros:
        even, odd = head[:4096:2].count(0), head[1:4096:2].count(0)
        likely = "utf-16-le" if odd > 4 * even else "utf-16-be" if even > 4 * odd else None
        if likely and zeros > len(head[:4096]) // 4:
            return likely
    head = head.replace(b"\0", b"")
    if zeros and not head.strip():
        return None
    if len(head.translate(None, _CONTROLS)) < len(head):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return WESTERN if _reads_as_western(head) else None
    return "utf-8"


def _reads_as_western(head: bytes) -> bool:
    """A few accents among many plain characters, as in a text, and not the even spread of compressed bytes."""
    return sum(byte > 127 for byte in head) < 0.3 * len(head)


def read_head(head: bytes, encoding: str, *, is_whole: bool) -> str:
    """The text of the first bytes, up to the last whole line."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head).replace("\n\ufeff", "\n")
    if "\0" in text:
        text = _without_zeros(text.encode()).decode()
    if not is_whole:
        text = text[: text.rfind("\n") + 1] or text
    return _lines(text)


def blocks(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    """UTF-8 blocks of whole lines, from the start of the stream, whoever else reads from it meanwhile.

    Raises
    ------
    UnreadableFile
        The declared encoding does not fit the bytes.
    """
    if encoding in ("utf-8", "utf-8-sig"):
        yield from _utf8(Own(stream))
    else:
        yield from _decoded(Own(stream), encoding)


class Own:
    """Reads a stream from its start, at a place of its own: all rows are gone through for the order of day and month, amid another reading."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._place = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end."""
        self._stream.seek(self._place)
        read = self._stream.read(size)
        self._place = self._stream.tell()
        return read


def _utf8(stream: Own) -> Iterator[bytes]:
    rest = stream.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
    while read := stream.read(BLOCK_BYTES):
        block = rest + read
        end = max(block.rfind(b"\n"), -1 if b"\n" in block else block.rfind(b"\r")) + 1
        if end:
            yield _as_utf8(block[:end])
        rest = block[end:]
        _refuse_endless(len(rest))
    if rest:
        yield _as_utf8(rest)


def _decoded(stream: Own, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace" if encoding == WESTERN else "strict")
    rest, is_last = "", False
    while not is_last:
        block = stream.read(BLOCK_BYTES)
        is_last = not block
        try:
            text = rest + decoder.decode(block, final=is_last)
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"The file is not {encoding}: {error.reason} at byte {error.start}. Name its encoding in the mapping, for instance encoding: cp1252."
            ) from error
        text = _lines(text.removeprefix("\ufeff").replace("\n\ufeff", "\n"))
        end = len(text) if is_last else text.rfind("\n") + 1
        if end:
            whole = text[:end].encode()
            yield _without_zeros(whole) if b"\0" in whole else whole
        rest = text[end:]
        _refuse_endless(len(rest))


def _refuse_endless(length: int) -> None:
    if length > LONGEST_LINE:
        raise UnreadableFile(f"The file has a line of more than {LONGEST_LINE >> 20} MiB, so it is no table. Was it exported without line breaks?")


def _as_utf8(block: bytes) -> bytes:
    if b"\0" in block:
        block = _without_zeros(block)
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError:
            block = block.decode(WESTERN, "replace").encode()
        block = block.removeprefix(codecs.BOM_UTF8).replace(b"\n" + codecs.BOM_UTF8, b"\n")  # of files that were put together
    return block if b"\n" in block or b"\r" not in block else block.replace(b"\r", b"\n")


def _without_zeros(block: bytes) -> bytes:
    """Lines without zeros: where most have some, they fill up cells; else a logger lost its power there, and what stands around them is torn.

    A torn line comes as one word, which is no row of any table.
    """
    lines = block.split(b"\n")
    torn = [number for number, line in enumerate(lines) if b"\0" in line]
    if len(torn) > 2 and len(torn) * 2 > len(lines):
        return block.replace(b"\0", b"")
    for number in torn:
        lines[number] = TORN.encode() + _BETWEEN.sub(b"_", lines[number].strip()) if lines[number].strip(b"\0\r") else b""
    return b"\n".join(lines)


def _lines(text: str) -> str:
    return text if "\n" in text or "\r" not in text else text.replace("\r", "\n")
