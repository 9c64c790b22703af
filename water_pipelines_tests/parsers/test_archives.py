"""Packed files, zip and tar: members are read as if dropped alone; nothing expands without bound."""

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator

import pytest
import zstandard

from water_pipelines.parsers.archives import Tar, Zip
from water_pipelines.parsers.contract import Described, Event, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines_tests.parsers.reading import facts, read

LEVEL = b"time,level\n2020-01-01T00:00:00Z,1\n"
FLOW = b"time,flow\n2020-01-01T00:00:00Z,2\n2020-01-01T01:00:00Z,3\n"


def zipped(**members: bytes) -> bytes:
    """A zip; ``__`` in a name stands for a dot."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return made.getvalue()


def tarred(**members: bytes) -> bytes:
    """A tar; ``__`` in a name stands for a dot."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name.replace("__", "."))
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return made.getvalue()


def test_a_gzip_is_what_it_holds() -> None:
    """The station that nobody names is called after the file within."""
    found = read(gzip.compress(LEVEL), name="gauge.csv.gz")
    assert (found.values, found.series[0].natural_id) == ([1], "inbox/gauge/level")


def test_a_zip_of_one_file_is_called_after_itself_and_of_several_after_each() -> None:
    """Source rows count within the member."""
    assert read(zipped(x__csv=LEVEL), name="gauge.zip").series[0].natural_id == "inbox/gauge/level"
    found = read(zipped(a__csv=LEVEL, b__csv=FLOW), name="gauges.zip")
    assert [one.natural_id for one in found.series] == ["inbox/gauges/a/level", "inbox/gauges/b/flow"]
    assert found.source_rows == [2, 2, 3]


def test_a_series_in_several_members_is_described_once_and_has_one_unit() -> None:
    """The same station in the files of two months."""
    january, february = (f"time,station,value,unit\n2020-0{month}-01T00:00:00Z,S1,1,m\n".encode() for month in (1, 2))
    found = read(zipped(a__csv=january, b__csv=february))
    assert ([one.natural_id for one in found.series], len(found.rows)) == (["S1/value"], 2)
    with pytest.raises(UnreadableFile, match="in an earlier member"):
        read(zipped(a__csv=january, b__csv=february.replace(b",m", b",ft")))


def test_members_are_chosen_by_the_mapping() -> None:
    """A letter beside the data does not have to be readable."""
    content = zipped(readme__txt=b"Dear all,", a__csv=LEVEL)
    assert read(content, "members: '*.csv'").rejected == []
    with pytest.raises(UnreadableFile, match="no member like"):
        read(content, "members: '*.dat'")


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_a_member_of_which_nothing_can_be_read_is_set_aside_and_one_that_breaks_in_the_middle_is_not(pack: Callable[..., bytes]) -> None:
    """A manual beside the data is told as a rejected row; half of a member is kept by nobody."""
    found = read(pack(manual__pdf=b"%PDF-1.7 manual", a__csv=LEVEL, inner__zip=zipped(b__csv=FLOW)))
    assert found.values == [1]
    assert [(row.source_row, row.text) for row in found.rejected] == [(0, "manual.pdf"), (0, "inner.zip")]
    assert ["PDF" in found.rejected[0].reason, "archive within" in found.rejected[1].reason] == [True, True]
    with pytest.raises(UnreadableFile, match=r"In manual.pdf: .* None of its 2 members can be read. .*members: '\*.csv'"):
        read(pack(manual__pdf=b"%PDF-1.7 manual", page__html=b"<!DOCTYPE html><html><title>Login</title></html>"))

    def breaks(*_: object) -> Iterator[Event]:
        yield Described([], [])
        raise UnreadableFile("line 2 is of another table.")

    archive = (Zip if pack is zipped else Tar)(breaks)
    with pytest.raises(UnreadableFile, match=r"In a\.csv: line 2"):
        list(archive.parse(io.BytesIO(pack(a__csv=LEVEL, b__csv=LEVEL)), Mapping(), facts("a.zip")))


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_beside_complete_files_only_what_is_no_data_is_set_aside(pack: Callable[..., bytes]) -> None:
    """A manual, a page and a letter are; a table that is damaged, an answer of a server in place of one, and one of unknown columns are not."""
    documents = {"manual__pdf": b"%PDF-1.7 manual", "about__html": b"<html><title>Data</title></html>", "README": b"Dear all,\n2 sites, 45.07 N."}
    found = read(pack(**documents, a__csv=LEVEL), "complete: year")
    assert (found.values, len(found.windows), [row.text for row in found.rejected]) == ([1], 1, ["manual.pdf", "about.html", "README"])
    for name, content in (("b.csv", b"<html><title>503</title></html>"), ("b.txt", b"level\n1\n2020-05-01 2 3\n"), ("b.csv", b"%PDF-1.7")):
        with pytest.raises(UnreadableFile, match=rf"In {name}: .* would count as deleted\. .*members: "):
            read(pack(**{"a__csv": LEVEL, name: content}), "complete: year")


@pytest.mark.parametrize("inner", [zipped(a__csv=LEVEL), gzip.compress(LEVEL)], ids=["zip", "gzip"])
def test_an_archive_in_an_archive_is_refused(inner: bytes) -> None:
    """In a zip as in a gzip."""
    for outer in (zipped(inner=inner), gzip.compress(inner)):
        with pytest.raises(UnreadableFile, match="archive within"):
            read(outer)


@pytest.mark.parametrize("name", ["../up.csv", "/etc/passwd.csv", "..\\up.csv", "C:\\up.csv"])
def test_a_member_outside_of_its_archive_is_refused(name: str) -> None:
    """Nothing is written under such a name anyway, and no honest program makes one."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), LEVEL)
    with pytest.raises(UnreadableFile, match="outside of itself"):
        read(made.getvalue())


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped(a__csv=content)], ids=["gzip", "zip"])
def test_a_bomb_is_refused_before_it_fills_the_disk(pack: object) -> None:
    """80 MB of zeros pack to 80 kB."""
    with pytest.raises(UnreadableFile, match="expands to more than"):
        read(pack(bytes(80 << 20)))  # type: ignore[operator]


@pytest.mark.parametrize("content", [gzip.compress(LEVEL)[:-12], gzip.compress(LEVEL)[:5], zipped(a__csv=LEVEL)[:-30], zipped()])
def test_what_is_truncated_or_holds_nothing_is_refused(content: bytes) -> None:
    """A transfer that broke off, or an empty zip."""
    with pytest.raises(UnreadableFile, match=r"truncated|no file"):
        read(content)


PACKS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".zst in frames": lambda content: b"".join(zstandard.ZstdCompressor().compress(content[at : at + 7]) for at in range(0, len(content), 7)),
}


@pytest.mark.parametrize("suffix", PACKS)
def test_every_packing_gives_what_was_packed(suffix: str) -> None:
    """The name of the file within is that of the packed one without its suffix."""
    found = read(PACKS[suffix](FLOW), name=f"gauge.csv{suffix[:4].strip()}")
    assert (found.values, found.series[0].natural_id) == ([2, 3], "inbox/gauge/flow")


@pytest.mark.parametrize("pack", [lambda content: content, *PACKS.values()], ids=["plain", *PACKS])
def test_a_tar_is_read_member_by_member_packed_or_not(pack: Callable[[bytes], bytes]) -> None:
    """Stations are called after the archive, the folder in it and the member: two loggers' `a.csv` are not one."""
    content = pack(tarred(**{"north/a__csv": LEVEL, "south/a__csv": FLOW, "._a__csv": b"a resource fork"}))
    found = read(content, name="gauges.tar")
    assert [one.natural_id for one in found.series] == ["inbox/gauges/north/a/level", "inbox/gauges/south/a/flow"]
    assert (found.values, found.source_rows) == ([1, 2, 3], [2, 2, 3])
    assert read(content, "members: 'north/*'", name="gauges.tar").values == [1]


def test_a_tar_with_nothing_to_read_says_what_it_holds() -> None:
    """Its names, so that the mapping can be mended."""
    with pytest.raises(UnreadableFile, match=r"no member like '\*.dat'; it holds a.csv"):
        read(tarred(a__csv=LEVEL), "members: '*.dat'")


def test_a_tar_header_of_any_size_is_not_held_in_memory() -> None:
    """A comment of 2 GB, of which the first bytes are there."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 2 << 30
    with pytest.raises(UnreadableFile, match="a header of 2,147,483,648 bytes"):
        read(header.tobuf(tarfile.USTAR_FORMAT) + b"11 path=x\n")
