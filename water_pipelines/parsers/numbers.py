"""Values as files write them: decimal comma, censored values, markers of missing ones; whole columns to float64.

Add a way of writing a number here. What a missing or empty value means for a file belongs to `readings`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from water_pipelines.parsers.contract import UnreadableFile

TAKEN, EMPTY, UNREADABLE = 0, 1, 2

_COMMA_GROUP = r"^[<>]?\s*[+-]?[1-9]\d{0,2}(,\d{3})+$"
_DOT_GROUP = r"^[<>]?\s*[+-]?[1-9]\d{0,2}(\.\d{3})+$"
_NUMBER_WITH_COMMA = r"^[<>]?\s*[+-]?\d*,\d+([eE][+-]?\d+)?$"
_PRINTABLE = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class Numbers:
    """A column of values.

    Parameters
    ----------
    value : float64[n]
        NaN where missing, empty or unreadable.
    state : int8[n]
        TAKEN (a number, or NaN because a marker says missing), EMPTY or UNREADABLE.
    qualifier : pl.Series of str, or None
        ``<`` or ``>`` for a censored value, the marker where a word says missing; None where there is nothing of that kind.
    """

    value: NDArray[np.float64]
    state: NDArray[np.int8]
    qualifier: pl.Series | None = None


@dataclass(frozen=True)
class NumberReader:
    """Reads the value columns of one file; `decimal` and `thousands` are the characters, the latter may be empty.

    A value that is written otherwise cannot be read: ``12.5`` among ``1.234,5``, or ``1.234`` among ``12,5``, which may be a thousand. ``12.5`` among
    ``12,5`` can be nothing else, as where a sheet holds numbers beside texts.
    """

    decimal: str = "."
    thousands: str = ""

    def read(self, column: pl.Series, missing: Sequence[str]) -> Numbers:
        """A column, strings or typed, of any length; `missing` are the markers that stand for a missing value."""
        if column.dtype.is_numeric() or column.dtype.is_decimal():
            return self._finish(column.cast(pl.Float64), column.is_null().to_numpy(), missing, None)
        if column.dtype == pl.Null:
            return Numbers(np.full(len(column), np.nan), np.full(len(column), EMPTY, dtype=np.int8))
        if column.dtype != pl.String:
            column = column.cast(pl.String, strict=False)
        text = self._plain(column)
        number = text.cast(pl.Float64, strict=False)
        empty = column.is_null()
        odd = (number.is_null() & ~empty) | ~number.is_finite().fill_null(True)
        if not odd.any():
            return self._finish(number, empty.to_numpy(), missing, None)
        return self._read_odd(column, number, empty, odd, missing)

    def refusal(self, word: str) -> str:
        """Why a cell could not be read, and what to say in the mapping.

        >>> NumberReader(",").refusal("1.234")
        "is not written as the other numbers, which have ',' for decimals; say in the mapping what is so: decimal and thousands"
        """
        if re.fullmatch(r"[<>]?=?\s*[+-]?\d[\d.,'\s]*", word):
            how = f"{self.decimal!r} for decimals" + (f" and {self.thousands!r} for thousands" if self.thousands else "")
            return f"is not written as the other numbers, which have {how}; say in the mapping what is so: decimal and thousands"
        return f"is no number; if it stands for a missing value, say so in the mapping: missing: [{word}]"

    def _plain(self, text: pl.Series) -> pl.Series:
        """With a point for decimals and nothing for thousands; null where another mark stands, or one in a wrong place."""
        if self.decimal == "." and not self.thousands:
            return text
        marks = {mark: re.escape(mark) for mark in (self.decimal, self.thousands)}
        if self.thousands:
            is_grouped = text.str.contains(rf"^\s*[<>]?=?\s*[+-]?\d{{1,3}}(?:{marks[self.thousands]}\d{{3}})+(?:{marks[self.decimal]}\d*)?\s*$")
            text = text.zip_with(~is_grouped.fill_null(False), text.str.replace_all(self.thousands, "", literal=True))
            text = text.set(text.str.contains(self.thousands, literal=True).fill_null(False), None)
        if self.decimal == ",":
            may_be_thousands = text.str.contains(_DOT_GROUP) | text.str.contains(r"[.,].*[.,]")
            text = text.set(may_be_thousands.fill_null(False), None).str.replace(",", ".", literal=True)
        return text

    def _read_odd(self, column: pl.Series, number: pl.Series, empty: pl.Series, odd: pl.Series, missing: Sequence[str]) -> Numbers:
        """Values with blanks around them, censored values and markers: only the rows that are no plain numbers are looked at again."""
        rows = odd.arg_true()
        text = column.gather(rows).str.strip_chars().str.replace("\N{MINUS SIGN}", "-", literal=True)
        censored = text.str.extract(r"^([<>])=?\s*\S", 1)
        plain = self._plain(text.str.replace(r"^[<>]=?\s*", ""))
        values = plain.set(~plain.str.contains(_PRINTABLE), None).cast(pl.Float64, strict=False)
        marked = text.is_in(list(missing))
        values = values.set(marked, None)
        blank = (text == "") & ~marked
        at = rows.to_numpy()
        value = number.fill_null(np.nan).to_numpy().copy()
        value[at] = values.fill_null(np.nan).to_numpy()
        state = np.where(empty.to_numpy(), EMPTY, TAKEN).astype(np.int8)
        unread = (values.is_null() & ~marked & ~blank).to_numpy()
        state[at] = np.where(blank.to_numpy(), EMPTY, np.where(unread, UNREADABLE, TAKEN))
        numeric = text.str.contains(_PRINTABLE)
        said = pl.select(pl.when(marked & ~numeric).then(text).when(values.is_not_null()).then(censored)).to_series()
        qualifier = None
        if said.null_count() < len(said):
            qualifier = (
                pl.Series("qualifier", [None], dtype=pl.String)
                .new_from_index(0, len(column))
                .scatter(rows.filter(said.is_not_null()), said.drop_nulls())
            )
        return self._mark(Numbers(value, state, qualifier), missing)

    def _finish(self, number: pl.Series, empty: NDArray[np.bool_], missing: Sequence[str], qualifier: pl.Series | None) -> Numbers:
        value = number.fill_null(np.nan).to_numpy()
        state = np.where(empty | np.isnan(value), EMPTY, np.where(np.isinf(value), UNREADABLE, TAKEN)).astype(np.int8)
        return self._mark(Numbers(value, state, qualifier), missing)

    @staticmethod
    def _mark(found: Numbers, missing: Sequence[str]) -> Numbers:
        """Missing where a numeric marker says so, however many zeros it is written with."""
        markers = [marker for marker in map(_number, missing) if marker is not None]
        if not markers:
            return found
        value = found.value.copy()
        value[np.isin(value, markers)] = np.nan
        return Numbers(value, found.state, found.qualifier)


def decide(columns: Sequence[pl.Series], *, decimal: str | None, thousands: str | None) -> NumberReader:
    """How the numbers of a file are written, from its first chunk.

    Raises
    ------
    UnreadableFile
        A comma may stand for decimals as well as for thousands (``1,234`` and nothing else tells).
    """
    if decimal is not None or thousands is not None:
        return NumberReader(decimal or ("," if thousands == "." else "."), thousands or "")
    text = [column for column in columns if column.dtype == pl.String]
    with_comma = [values.filter(values.str.contains(",", literal=True).fill_null(False)).str.strip_chars() for values in text]
    example = next((str(values[0]) for values in with_comma if len(values)), None)
    if example is None:
        return NumberReader()
    both = any(values.str.contains(r"\..*,").any() for values in with_comma)
    if both:
        return NumberReader(",", ".")
    if any(values.str.contains(r",.*\.").any() for values in with_comma):
        return NumberReader(".", ",")
    if any((values.str.contains(_NUMBER_WITH_COMMA) & ~values.str.contains(_COMMA_GROUP)).any() for values in with_comma):
        with_point = [values.filter(values.str.contains(r"^[+-]?\d*\.\d+$").fill_null(False)) for values in text]
        grouped = next((str(value) for values in with_point for value in values.filter(values.str.contains(_DOT_GROUP)).head(1)), None)
        if any(values.str.contains(_DOT_GROUP).not_().any() for values in with_point):
            raise UnreadableFile(
                "Some values are written with a decimal comma and some with a decimal point. Say in the mapping which one holds: decimal: ','"
            )
        if grouped is not None:
            raise UnreadableFile(
                f"Some values are written with a decimal comma, and {grouped!r} can be a number with decimals or with thousands. "
                "Say in the mapping what the point is: thousands: '.' (or decimal: '.', where the commas are none of decimals)."
            )
        return NumberReader(",")
    if any(values.str.contains(_COMMA_GROUP).any() for values in with_comma):
        raise UnreadableFile(
            f"The value {example!r} can be a number with decimals or with thousands. Say in the mapping which: decimal: ',' (or thousands: ',')."
        )
    return NumberReader()


def _number(marker: str) -> float | None:
    try:
        return float(marker)
    except ValueError:
        return None
