"""Values: decimal marks, censored and missing ones."""

import numpy as np
import polars as pl
import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.numbers import EMPTY, TAKEN, UNREADABLE, NumberReader, decide


def test_zero_is_a_value_and_nan_is_none() -> None:
    """Numbers in every notation are taken; NaN, inf and words are not; blanks are empty."""
    found = NumberReader().read(pl.Series(["0", "-1.5e3", " 7 ", "NaN", "inf", "abc", "", None, "1,2"]), ())
    assert found.value[:3].tolist() == [0.0, -1500.0, 7.0]
    assert found.state.tolist() == [TAKEN] * 3 + [UNREADABLE] * 3 + [EMPTY] * 2 + [UNREADABLE]


def test_a_censored_value_keeps_its_limit_and_its_mark() -> None:
    """Below 0.05 is the value 0.05, qualified."""
    found = NumberReader(",").read(pl.Series(["<0,05", "> 5", "<=1", "3"]), ())
    assert found.value.tolist() == [0.05, 5.0, 1.0, 3.0]
    assert found.qualifier is not None
    assert found.qualifier.to_list() == ["<", ">", "<", None]


def test_markers_are_missing_however_they_are_written() -> None:
    """-9999 also as -9999.00; a word is kept as the qualifier; both are taken as NaN."""
    found = NumberReader().read(pl.Series(["-9999", "-9999.00", "Ice", "NaN", "1"]), ("-9999", "Ice", "NaN"))
    assert np.isnan(found.value).tolist() == [True] * 4 + [False]
    assert found.state.tolist() == [TAKEN] * 5
    assert found.qualifier is not None
    assert found.qualifier.to_list() == [None, None, "Ice", "NaN", None]


@pytest.mark.parametrize(
    ("written", "reader"),
    [
        (["1,5", "2"], NumberReader(",")),
        (["1.5", "2"], NumberReader(".")),
        (["1.234,5"], NumberReader(",", ".")),
        (["1,234.5"], NumberReader(".", ",")),
        (["1,234", "0,5"], NumberReader(",")),
        (["12", None], NumberReader()),
    ],
)
def test_the_decimal_mark_is_seen(written: list[str], reader: NumberReader) -> None:
    """One value that cannot be anything else decides for the file."""
    assert decide([pl.Series(written)], decimal=None, thousands=None) == reader


@pytest.mark.parametrize("written", [["1,234", "2"], ["1,5", "1.5"], ["12,5", "1.234"]])
def test_a_mark_that_could_be_either_is_asked_for(written: list[str]) -> None:
    """1,234 may be one and a bit or a thousand: the message shows the line to write."""
    with pytest.raises(UnreadableFile, match=r"decimal: '.'"):
        decide([pl.Series(written)], decimal=None, thousands=None)


@pytest.mark.parametrize(
    ("reader", "written", "meant"),
    [
        (
            NumberReader(",", "."),
            ["1.234,5", "-12.345", "1.234.567,8", "<1.000", "999,9", "12.5", "1.23", "1.234.5"],
            [1234.5, -12345, 1234567.8, 1000, 999.9],
        ),
        (NumberReader(".", ","), ["1,234.5", "12,345", "12,5"], [1234.5, 12345]),
        (NumberReader(".", "'"), ["1'234.5", "12'34"], [1234.5]),
        (NumberReader(",", " "), ["1 234,5", "12 34"], [1234.5]),
        (NumberReader(","), ["12,5", "12.5", "1.234", "1.2,5"], [12.5, 12.5]),
    ],
)
def test_a_number_that_is_written_otherwise_is_not_read(reader: NumberReader, written: list[str], meant: list[float]) -> None:
    """12.5 among 1.234,5 is no 125: what does not have its thousands in groups of three, or another mark, is left to be asked for."""
    found = reader.read(pl.Series(written), ())
    assert found.value[: len(meant)].tolist() == meant
    assert found.state.tolist() == [TAKEN] * len(meant) + [UNREADABLE] * (len(written) - len(meant))
    assert "say in the mapping what is so: decimal and thousands" in reader.refusal(written[-1])
