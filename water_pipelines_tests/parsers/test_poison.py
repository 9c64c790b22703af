"""Poison: files that are broken, wrong or made to do harm are refused with a reason, within bounded memory and disk.

They are read one after the other in a process of their own, whose largest resident set is measured by the kernel.
"""

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from water_pipelines_tests.parsers.reading import read

LEVEL = b"time,level\n2020-01-01T00:00:00Z,1\n2020-01-01T01:00:00Z,2\n"
_STATUS = Path("/proc/self/status")
_MOST_RESIDENT = 600 << 20
_MOST_WRITTEN = 512 << 20

_READER = """
import datetime, json, pathlib, re, resource, sys
from water_pipelines.parsers.contract import FileFacts, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.recognise import parse_file
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
for line in sys.stdin:
    path = pathlib.Path(line.removesuffix("\\n"))
    facts = FileFacts(path.name, "inbox", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.date(1950, 1, 1), datetime.timedelta(hours=1))
    rows, refused = 0, None
    try:
        with path.open("rb") as stream:
            for event in parse_file(stream, Mapping(), facts):
                rows += event.batch.num_rows if hasattr(event, "batch") else 0
    except UnreadableFile as error:
        refused = str(error)
    status = pathlib.Path("/proc/self/status").read_text()  # ru_maxrss would count what the process that forked this one held
    print(json.dumps([rows, refused, int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024]), flush=True)
"""


Outcome = Callable[[Path], tuple[int, str | None]]


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    """(rows, reason of the refusal) of a file, read in a process that may hold 600 MB and write files of 512 MB."""
    if not _STATUS.exists():
        pytest.skip(f"{_STATUS} is not here: only there does the kernel tell the most memory that a process held")
    command = [sys.executable, "-c", _READER, str(_MOST_WRITTEN)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        asked, answers = reader.stdin, reader.stdout
        assert asked
        assert answers

        def read_there(path: Path) -> tuple[int, str | None]:
            print(path, file=asked, flush=True)
            said = answers.readline()
            assert said, f"the process that reads died of {path.name}"
            rows, refused, resident = json.loads(said)
            assert resident < _MOST_RESIDENT, f"{resident >> 20} MB were resident"
            return rows, refused

        yield read_there
        asked.close()


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return made.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return made.getvalue()


def linked() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        header = tarfile.TarInfo("shadow.csv")
        header.type, header.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(header)
    return made.getvalue()


def overlapping(members: int = 200) -> bytes:
    """A zip whose members all share the packed bytes of the first."""
    made = bytearray(zipped(a__csv=LEVEL[:11] + LEVEL[11:34] * 1_600_000))
    end = made.rfind(b"PK\5\6")
    directory = made.find(b"PK\1\2")
    entry = bytes(made[directory:end])
    tail = bytearray(made[end:])
    tail[8:12] = members.to_bytes(2, "little") * 2
    tail[12:16] = (len(entry) * members).to_bytes(4, "little")
    return bytes(made[:directory]) + entry * members + bytes(tail)


def parquet(rows: int = 1000) -> bytes:
    made = io.BytesIO()
    times = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(3_600_000_000, "us")
    table = pa.table({"time": pa.array(times, pa.timestamp("us", "UTC")), "level": pa.array(np.arange(rows, dtype=float))})
    pq.write_table(table, made, row_group_size=rows)
    return made.getvalue()


def lying_footer() -> bytes:
    """The footer of 100,000 rows behind the data of 1,000."""
    large, small = parquet(100_000), parquet()
    footer = int.from_bytes(large[-8:-4], "little") + 8
    return small[: len(small) // 2] + large[-footer:]


def footer_of_any_length() -> bytes:
    return parquet()[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1"


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated.csv.gz": (lambda: gzip.compress(LEVEL * 1000, mtime=0)[:-20], "truncated or damaged"),
    "truncated.csv.zst": (lambda: zstandard.ZstdCompressor().compress(LEVEL * 1000)[:-5], "truncated or damaged"),
    "truncated.zip": (lambda: zipped(a__csv=LEVEL * 1000)[:-30], "truncated or damaged"),
    "truncated.tar": (lambda: tarred(("a.csv", LEVEL), ("b.csv", LEVEL))[:1536], "truncated or damaged"),
    "truncated in a member.tar": (lambda: tarred(("a.csv", LEVEL * 1000))[:9000], "truncated or damaged"),
    "truncated.parquet": (lambda: parquet()[:-100], "truncated or damaged"),
    "wrong kind.csv": (lambda: b"%PDF-1.7\n" + bytes(1000), "PDF"),
    "noise.csv": (lambda: np.random.default_rng(1).bytes(100_000), "binary"),
    "zeros.csv": (lambda: bytes(1 << 20), "blanks or zeros"),
    "bomb.zip": (lambda: zipped(a__csv=LEVEL, b__csv=bytes(600 << 20)), r"In b\.csv: it expands to more than \d+ MiB"),
    "overlapping.zip": (overlapping, "The zip file expands to more than|damaged"),
    "bomb.csv.zst": (lambda: zstandard.ZstdCompressor().compress(bytes(600 << 20)), r"expands to more than 6\d MiB"),
    "bomb.tar.gz": (lambda: gzip.compress(tarred(("b.csv", bytes(200 << 20)))), r"expands to more than 6\d MiB"),
    "up.zip": (lambda: zipped(**{"../../etc/cron__d": LEVEL}), "outside of itself"),
    "up.tar": (lambda: tarred(("../up.csv", LEVEL)), "outside of itself"),
    "root.tar": (lambda: tarred(("/etc/up.csv", LEVEL)), "outside of itself"),
    "link.tar": (linked, "In shadow.csv: .* link"),
    "matryoshka.zip": (lambda: zipped(inner__zip=zipped(a__csv=LEVEL)), "In inner.zip: There is an archive within the zip file"),
    "matryoshka.tar.gz": (lambda: gzip.compress(tarred(("inner.tar", tarred(("a.csv", LEVEL))))), "In inner.tar: There is an archive within"),
    "matryoshka.gz": (lambda: gzip.compress(gzip.compress(LEVEL)), "archive within the gzip file"),
    "bad members.zip": (lambda: zipped(a__csv=b"\0", b__csv=b"%PDF-1.7"), "In a.csv: The file holds nothing but .*None of its 2 members"),
    "lying footer.parquet": (lying_footer, "damaged"),
    "endless footer.parquet": (footer_of_any_length, "truncated or damaged"),
    "mixed units.csv": (lambda: b"time,level [m],level [ft]\n2020-01-01T00:00:00Z,1,2\n2020-01-01T01:00:00Z,3,3\n", "would be one series"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_poison_is_refused_with_its_reason(name: str, tmp_path: Path, outcome: Outcome) -> None:
    """The file as a whole, in bounded memory, with a message that says what is wrong and, in an archive, with which member."""
    make, reason = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(make())
    _, refused = outcome(path)
    assert refused is not None
    assert re.search(reason, refused), refused


def test_a_row_in_another_unit_is_rejected_with_its_reason() -> None:
    """A series has one unit in a file; the row that has another is not taken."""
    found = read(b"time,station,property,unit,value\n2020-01-01T00:00:00Z,A,level,m,1\n2020-01-01T01:00:00Z,A,level,ft,3\n")
    assert found.values == [1]
    (row,) = found.rejected
    assert (row.source_row, "the unit 'ft' differs from 'm'" in row.reason) == (3, True)


def test_ten_gigabytes_of_zeros_in_ten_megabytes_are_refused_early(tmp_path: Path, outcome: Outcome) -> None:
    """After some 64 MB, not when the disk is full."""
    path = tmp_path / "zeros.csv.gz"
    member = gzip.compress(bytes(256 << 20), mtime=0)  # gzip may hold several members, one after the other
    with path.open("wb") as made:
        for _ in range(40):
            made.write(member)
    assert 9 << 20 < path.stat().st_size < 12 << 20
    _, refused = outcome(path)
    assert refused is not None
    assert re.search(r"expands to more than 6\d MiB", refused), refused


@pytest.mark.parametrize("start", [LEVEL, LEVEL.decode().encode("utf-16"), b'{"time": 1, "level": "'], ids=["text", "utf-16", "json"])
def test_an_endless_line_is_refused(start: bytes, tmp_path: Path, outcome: Outcome) -> None:
    """400 MB without a line break, after a good beginning."""
    path = tmp_path / "endless.csv"
    with path.open("wb") as made:
        made.write(start)
        for _ in range(400):
            made.write(b"1" * (1 << 20))
    _, refused = outcome(path)
    assert refused is not None
    assert re.search("a line of more than 16 MiB|may have 64 MiB at most", refused), refused


def workbook(sheet: str, **members: str) -> bytes:
    """An xlsx of one sheet, and further members."""
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{types}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets><sheet name="Data" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="{_OFFICE}/worksheet"'
        f' Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{_OFFICE}/externalLink" Target="externalLinks/externalLink1.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}">{sheet}</worksheet>',
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**parts, **members}.items():
            archive.writestr(name, text)
    return made.getvalue()


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def text_cell(name: str, text: str) -> str:
    return f'<c r="{name}" t="inlineStr"><is><t>{text}</t></is></c>'


ROWS = (
    f'<row r="1">{text_cell("A1", "time")}{text_cell("B1", "level")}</row>'
    f'<row r="2">{text_cell("A2", "2020-01-01T00:00:00Z")}<c r="B2"><f>[1]Sheet1!A1</f><v>1.5</v></c></row>'
    f'<row r="3">{text_cell("A3", "2020-01-01T01:00:00Z")}<c r="B3"><v>1.6</v></c></row>'
)


def test_a_workbook_with_links_to_others_is_read_as_it_was_saved(tmp_path: Path, outcome: Outcome) -> None:
    """The value that Excel saved beside the formula is taken; nothing is fetched. What it declares of its size is not believed."""
    link = f'<externalLink xmlns="{_MAIN}"><externalBook xmlns:r="{_OFFICE}" r:id="r1"/></externalLink>'
    target = (
        f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="{_OFFICE}/externalLinkPath" Target="http://127.0.0.1:9/x.xlsx"'
        ' TargetMode="External"/></Relationships>'
    )
    path = tmp_path / "linked.xlsx"
    path.write_bytes(
        workbook(
            f'<dimension ref="A1:XFD1048576"/><sheetData>{ROWS}</sheetData>',
            **{"xl/externalLinks/externalLink1.xml": link, "xl/externalLinks/_rels/externalLink1.xml.rels": target},
        )
    )
    assert outcome(path) == (2, None)


def test_a_workbook_with_a_cell_in_its_last_corner_is_refused(tmp_path: Path, outcome: Outcome) -> None:
    """A reader that holds the rectangle of all cells would need 17 billion of them."""
    path = tmp_path / "corner.xlsx"
    path.write_bytes(workbook(f'<sheetData>{ROWS}<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'))
    _, refused = outcome(path)
    assert refused is not None
    assert "goes to row 1,048,576 and column 16,384" in refused
