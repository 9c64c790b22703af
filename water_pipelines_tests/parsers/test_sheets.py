"""Workbooks: which sheet, which row, and what a cell means."""

import io
import zipfile
from xml.sax.saxutils import escape

import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.parsers.reading import read

Cell = str | float | None

_TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>"""
_RELATIONS = """<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>
</Relationships>"""
_STYLES = """<?xml version="1.0"?><styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">
<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>"""
_SHEET_TYPE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATED = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'


def _cell(value: Cell, reference: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith("@"):  # a date as the serial number that a spreadsheet keeps
        return f'<c r="{reference}" s="1"><v>{value[1:]}</v></c>'
    if isinstance(value, str):
        return f'<c r="{reference}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{reference}"><v>{value}</v></c>'


def workbook(**sheets: list[list[Cell]]) -> bytes:
    """An xlsx of named sheets; ``@43831.25`` is a cell with a date."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        archive.writestr("xl/styles.xml", _STYLES)
        named = "".join(f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>' for number, name in enumerate(sheets, start=1))
        archive.writestr("xl/workbook.xml", f'<?xml version="1.0"?><workbook {_MAIN} {_RELATED}><sheets>{named}</sheets></workbook>')
        related = "".join(f'<Relationship Id="r{n}" Type="{_SHEET_TYPE}" Target="worksheets/sheet{n}.xml"/>' for n in range(1, len(sheets) + 1))
        styles = '<Relationship Id="s" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/>'
        relations = f'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{related}{styles}</Relationships>'
        archive.writestr("xl/_rels/workbook.xml.rels", relations)
        for number, rows in enumerate(sheets.values(), start=1):
            body = "".join(
                f'<row r="{at}">{"".join(_cell(value, f"{chr(65 + column)}{at}") for column, value in enumerate(row))}</row>'
                for at, row in enumerate(rows, start=1)
            )
            archive.writestr(f"xl/worksheets/sheet{number}.xml", f'<?xml version="1.0"?><worksheet {_MAIN}><sheetData>{body}</sheetData></worksheet>')
    return made.getvalue()


LEVELS: list[list[Cell]] = [["Mill bridge", None], [None, None], ["time", "level (m)"], ["@43831", 1.5], ["@43831.25", "broken"], ["@43831.5", 2]]


def test_dates_are_read_in_the_zone_of_the_mapping_and_rows_are_those_of_the_sheet() -> None:
    """A title above the header does not shift the row numbers; a word among the values is rejected with its row."""
    found = read(workbook(Data=LEVELS), "time_zone: '+01:00'", name="levels.xlsx")
    assert found.times == ["2019-12-31T23:00:00", "2020-01-01T11:00:00"]
    assert (found.values, found.source_rows) == ([1.5, 2.0], [4, 6])
    assert "'broken'" in found.reasons[5]
    assert found.series[0].attributes["unit"] == "m"


def test_a_date_without_a_zone_refuses_the_workbook() -> None:
    """A spreadsheet's dates have no zone."""
    with pytest.raises(UnreadableFile, match="time_zone"):
        read(workbook(Data=LEVELS))


def test_the_only_sheet_with_a_table_is_read_and_of_several_one_must_be_named() -> None:
    """A sheet of notes does not matter; two tables do."""
    notes: list[list[Cell]] = [["Description", "Value"], ["Made by", "hand"]]
    assert read(workbook(Info=notes, Data=LEVELS), "time_zone: UTC").values == [1.5, 2.0]
    both = workbook(First=LEVELS, Second=LEVELS[:4])
    with pytest.raises(UnreadableFile, match="sheet: First"):
        read(both, "time_zone: UTC")
    assert read(both, "time_zone: UTC\nsheet: Second").values == [1.5]
    assert read(both, "time_zone: UTC\nsheet: 2").values == [1.5]
    with pytest.raises(UnreadableFile, match="'First', 'Second'"):
        read(both, "time_zone: UTC\nsheet: Third")


def test_numbers_of_stations_have_no_decimals() -> None:
    """A sheet keeps 8137 as 8137.0."""
    found = read(workbook(Data=[["time", "station", "value"], ["2020-01-01T00:00:00Z", 8137, 1]]))
    assert found.rows[0]["series"] == "8137/value"


TRUNCATED = [workbook(Data=LEVELS)[:400], b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml"]


@pytest.mark.parametrize("content", TRUNCATED)
def test_a_truncated_workbook_is_refused(content: bytes) -> None:
    """The message says what to do, whatever is left of the bytes."""
    with pytest.raises(UnreadableFile, match="workbook"):
        read(content)
