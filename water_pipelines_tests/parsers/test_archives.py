"""Gzip and zip: members are read as if dropped alone; nothing expands without bound."""

import gzip
import io
import zipfile

import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.parsers.reading import read

LEVEL = b"time,level\n2020-01-01T00:00:00Z,1\n"
FLOW = b"time,flow\n2020-01-01T00:00:00Z,2\n2020-01-01T01:00:00Z,3\n"


def zipped(**members: bytes) -> bytes:
    """A zip; ``__`` in a name stands for a dot."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
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
    with pytest.raises(UnreadableFile, match=r"In readme.txt: .* members: '\*.csv'"):
        read(content)
    assert read(content, "members: '*.csv'").values == [1]
    with pytest.raises(UnreadableFile, match="no member like"):
        read(content, "members: '*.dat'")


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
