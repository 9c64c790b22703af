"""Which column is what: the mapping first, then the names in the header, then what the cells look like.

Add a role of a column here. How its cells are read belongs to `times`, `numbers` and `readings`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import time as clock_time
from difflib import get_close_matches

import polars as pl

from water_pipelines.parsers import names
from water_pipelines.parsers.contract import FileFacts, UnreadableFile
from water_pipelines.parsers.mapping import Column, ColumnMapping, Mapping, check_zone
from water_pipelines.parsers.times import recognise

_NUMBER = r"^\s*[<>]?=?\s*[+-]?(\d[\d.,' ]*|[.,]\d+)([eE][+-]?\d+)?\s*$"
_NUMBERS_SHARE = 0.5
"""Share of numbers from which an unmapped column counts as values: words among them are rejected one by one."""
_PARTS_OF_DATE = ((names.YEAR, 1000, 2999), (names.MONTH, 1, 12), (names.DAY, 1, 31))
_PARTS_OF_CLOCK = ((names.HOUR, 0, 24), (names.MINUTE, 0, 59), (names.SECOND, 0, 60))


@dataclass(frozen=True)
class ValueColumn:
    """A column of values and what its header or the mapping say of it; `station` and `property` are None where other columns say it."""

    index: int
    header: str
    station: str | None
    property: str | None
    unit: str | None
    name: str | None
    feature_of_interest: str | None
    qualifier: int | None
    missing: tuple[str, ...]
    interval_s: float | None


@dataclass(frozen=True)
class Layout:
    """The roles of the columns, by position."""

    time: tuple[int, ...]
    zone: str | None
    zone_column: int | None
    values: tuple[ValueColumn, ...]
    station: int | None
    observed_property: int | None
    unit: int | None
    qualifier: int | None
    feature_of_interest: int | None
    series: tuple[int, ...]
    station_name: int | None
    latitude: int | None
    longitude: int | None
    unused: tuple[int, ...] = ()
    time_is_in_parts: bool = False
    """Whether the columns of the time are year, month and day, and then hour, minute and second as far as there are any."""

    @property
    def is_wide(self) -> bool:
        """Several value columns: an empty cell is no observation, while in a long file it is a missing one."""
        return len(self.values) > 1


class _Columns:
    """The header, and which of its columns already have a role."""

    def __init__(self, headers: Sequence[str]) -> None:
        self.headers = headers
        self.taken: set[int] = set()
        self._keys = [names.key(header) for header in headers]
        self._bare = [names.key(names.split_unit(header)[0]) for header in headers]

    def find(self, column: Column | None, role: str) -> int | None:
        """The position of a column that the mapping names."""
        if column is None:
            return None
        position = column - 1 if isinstance(column, int) else self._named(column)
        if position is None or not 0 <= position < len(self.headers):
            raise UnreadableFile(self._unknown(column, role))
        self.taken.add(position)
        return position

    def reserve(self, *named: Column | None) -> None:
        """Keep columns that the mapping names from being taken for values."""
        for column in named:
            self.find(column, "mapping")

    def _named(self, name: str) -> int | None:
        exact = [position for position, header in enumerate(self.headers) if header.strip() == name.strip()]
        if exact:
            return exact[0]
        for keys in (self._keys, self._bare):
            if keys.count(names.key(name)) == 1:
                return keys.index(names.key(name))
        return None

    def _unknown(self, column: Column, role: str) -> str:
        if isinstance(column, int):
            return f"The mapping says {role}: {column}, but the file has {len(self.headers)} columns (the first is 1)."
        headers = [header for header in self.headers if header]
        if not headers:
            return (
                f"The mapping says {role}: {column!r}, but no header line was found. "
                "Name columns by position from 1, or say which line is the header: header: 1."
            )
        near = get_close_matches(column, headers, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"The mapping says {role}: {column!r}, but there is no such column.{hint} The columns are {_listed(headers)}."

    def known(self, words: frozenset[str]) -> int | None:
        """The first free column with one of these names, and take it."""
        for keys in (self._keys, self._bare):
            for position, name in enumerate(keys):
                if name in words and position not in self.taken:
                    self.taken.add(position)
                    return position
        return None

    def free(self) -> list[int]:
        """Columns without a role."""
        return [position for position in range(len(self.headers)) if position not in self.taken]


def resolve(
    headers: Sequence[str], sample: pl.DataFrame, mapping: Mapping, file: FileFacts, *, preamble: str = "", units: Sequence[str] = ()
) -> Layout:
    """The layout of a table.

    Parameters
    ----------
    headers : sequence of str
        Column names; empty strings where the file has no header.
    sample : pl.DataFrame
        The first rows.

    Raises
    ------
    UnreadableFile
        The mapping names a column that is not there, no time or value column is found, or two columns would be one series.
    """
    columns = _Columns(headers)
    per_column = {_must(columns.find(_position_or_name(name, headers), "columns")): said for name, said in mapping.columns.items()}
    columns.taken -= set(per_column)
    for ignored in mapping.ignore:
        columns.find(ignored, "ignore")
    time = tuple(_must(columns.find(column, "time")) for column in mapping.time)
    values = [_must(columns.find(column, "value")) for column in mapping.value]
    columns.taken |= set(per_column)

    def role(column: Column | None, constant: object, words: frozenset[str], label: str) -> int | None:
        if column is not None:
            return columns.find(column, label)
        return columns.known(words) if constant is None else None

    station = role(mapping.station_column, mapping.station, names.STATION, "station_column")
    flags = _flags(columns) if mapping.qualifier_column is None else []
    qualifier = columns.find(mapping.qualifier_column, "qualifier_column")
    feature = role(mapping.feature_of_interest_column, mapping.feature_of_interest, names.FEATURE, "feature_of_interest_column")
    latitude = role(mapping.latitude_column, mapping.latitude, names.LATITUDE, "latitude_column")
    longitude = role(mapping.longitude_column, mapping.longitude, names.LONGITUDE, "longitude_column")
    station_name = role(mapping.station_name_column, None, names.STATION_NAME, "station_name_column")
    zone_column = columns.find(mapping.time_zone_column, "time_zone_column")
    series = tuple(_must(columns.find(column, "series_columns")) for column in mapping.series_columns)
    qualifiers = {position: columns.find(said.qualifier_column, "qualifier_column") for position, said in per_column.items()}
    if mapping.qualifier_suffix:
        _find_suffixed(columns, mapping.qualifier_suffix, qualifiers)
    parts = () if time else _find_parts_of_time(columns, sample)
    if not time:
        time = parts or _find_time(columns, sample)
        _refuse_side_by_side(columns, sample, time[0])
    values = values or list(per_column)
    if not values:
        columns.reserve(mapping.property_column, mapping.unit_column)
        known = columns.known(names.VALUE)
        values = [known] if known is not None else _find_values(columns, sample)
        if not any(headers):
            _refuse_parts_of_numbers(sample, values)
    values = _without_flags(values, columns, qualifiers) if not (mapping.value or per_column) else values
    if not values:
        words = [at for at in columns.free() if sample.dtypes[at] == pl.String]
        few = [headers[at] or f"column {at + 1}" for at in words if sample.to_series(at).str.contains(_NUMBER).any()]
        hint = f" Of {_listed(few)} fewer than half of the cells are numbers." if few else ""
        raise UnreadableFile(f"No column of values was found{_among(headers)}.{hint} Name it in the mapping: value: <column>.")
    if qualifier is None and len(flags) == 1 and (len(values) == 1 or not values[0] < flags[0] < values[-1]):
        qualifier = flags[0]
    else:
        _share_out(flags, values, qualifiers)
    is_long = len(values) == 1  # a column of properties or units speaks of one column of values, not of many
    property_ = role(mapping.property_column, mapping.property, names.PROPERTY if is_long else frozenset(), "property_column")
    unit = role(mapping.unit_column, mapping.unit, names.UNIT if is_long else frozenset(), "unit_column")
    zone = mapping.time_zone
    if zone is None and zone_column is None:
        said = [*(headers[position] for position in time), *(units[position] for position in time if position < len(units))]
        zone = next((found for one in said if (found := names.zone_in(one))), None) or names.zone_in_preamble(preamble)
        zone = _checked(zone)
    value_columns = tuple(
        _value_column(
            position,
            _with_unit(headers, units, position),
            mapping,
            per_column.get(position),
            qualifiers.get(position),
            station,
            property_,
            file,
            alone=len(values) == 1,
        )
        for position in values
    )
    _refuse_equal_series(value_columns)
    spoken_for = {*time, *values, *qualifiers.values()}
    unused = tuple(position for position in columns.free() if position not in spoken_for)
    return Layout(
        time,
        zone,
        zone_column,
        value_columns,
        station,
        property_,
        unit,
        qualifier,
        feature,
        series,
        station_name,
        latitude,
        longitude,
        unused,
        time_is_in_parts=bool(parts),
    )


def _with_unit(headers: Sequence[str], units: Sequence[str], position: int) -> str:
    """A header, and in brackets the unit that the line below it gives."""
    unit = units[position].strip("()[] ") if position < len(units) else ""
    return (
        f"{headers[position]} [{unit}]"
        if unit and unit not in ("-", "none") and names.split_unit(headers[position])[1] is None
        else headers[position]
    )


def _must(position: int | None) -> int:
    assert position is not None  # find() raises for a column that is named and not there
    return position


def _position_or_name(name: str, headers: Sequence[str]) -> Column:
    """Keys of `columns` are texts: a number is a position where no header reads so."""
    return int(name) if name.isdigit() and name not in headers else name


def _among(headers: Sequence[str]) -> str:
    known = [header for header in headers if header]
    return f" among {_listed(known)}" if known else " (no header line was found)"


def _listed(headers: Sequence[str]) -> str:
    return ", ".join(repr(header) for header in headers[:40]) + (", ..." if len(headers) > 40 else "")


def _checked(zone: str | None) -> str | None:
    try:
        return None if zone is None else check_zone(zone)
    except ValueError:
        return None


def _find_suffixed(columns: _Columns, suffix: str, qualifiers: dict[int, int | None]) -> None:
    positions = {header: position for position, header in enumerate(columns.headers)}
    for header, position in positions.items():
        beside = positions.get(header.removesuffix(suffix))
        if header.endswith(suffix) and beside is not None:
            qualifiers[beside] = position
            columns.taken.add(position)


def _flags(columns: _Columns) -> list[int]:
    """Free columns that are called a qualifier, and take them."""
    found = [
        position
        for position in columns.free()
        if names.QUALIFIER & {names.key(columns.headers[position]), names.key(names.split_unit(columns.headers[position])[0])}
    ]
    columns.taken |= set(found)
    return found


def _share_out(flags: Sequence[int], values: Sequence[int], qualifiers: dict[int, int | None]) -> None:
    """Give each flag between two columns of values to the one before it; a second flag of the same values is left out."""
    for value, following in zip(values, [*values[1:], None], strict=True):
        beside = [flag for flag in flags if flag > value and (following is None or flag < following)]
        if beside and qualifiers.get(value) is None:
            qualifiers[value] = beside[0]


def _without_flags(values: list[int], columns: _Columns, qualifiers: dict[int, int | None]) -> list[int]:
    """The columns of values; those that are called after another with a flag's ending become its qualifiers."""
    for position, header in enumerate(columns.headers):
        of = next((value for value in values if value != position and names.is_qualifier_of(header, columns.headers[value])), None)
        if of is not None and (position in values or position not in columns.taken):
            qualifiers.setdefault(of, position)
            columns.taken.add(position)
    return [value for value in values if value not in qualifiers.values()]


def _find_time(columns: _Columns, sample: pl.DataFrame) -> tuple[int, ...]:
    by_key = {names.key(header): position for position, header in enumerate(columns.headers) if position not in columns.taken}
    date = next((by_key[word] for word in by_key if word in names.DATE), None)
    clock = next((by_key[word] for word in by_key if word in names.CLOCK and by_key[word] != date), None)
    hour = next((by_key[word] for word in by_key if word in names.HOUR), None)
    if clock is None or (hour is not None and not _is_share(sample, clock, _is_clock)):
        clock = hour if hour is not None and _is_share(sample, hour, _is_hour) else clock
    if date is not None and clock is not None and _is_share(sample, date, _is_date_only):
        columns.taken |= {date, clock}
        return date, clock
    found = columns.known(names.TIME)
    if found is None:
        likely = [position for position in columns.free() if _is_share(sample, position, _is_time)]
        found = likely[0] if len(likely) == 1 or (likely and likely[0] == 0) else None
    if found is None:
        raise UnreadableFile(
            f"No column of times was found{_among(columns.headers)}. Name it in the mapping: time: <column> (or time: [<date>, <time>])."
        )
    columns.taken.add(found)
    beside = found + 1
    if beside in columns.free() and _is_share(sample, found, _is_date_only) and _is_share(sample, beside, _is_clock):
        columns.taken.add(beside)
        return found, beside
    return (found,)


def _find_parts_of_time(columns: _Columns, sample: pl.DataFrame) -> tuple[int, ...]:
    """Columns of year, month and day, and of hour, minute and second in this order behind them, where no other column tells the time."""
    keys = [names.key(header) for header in columns.headers]
    free = columns.free()
    if any(keys[position] in names.TIME or _is_share(sample, position, _is_time) for position in free):
        return ()

    def holds(position: int, words: frozenset[str], least: int, most: int) -> bool:
        return position in free and keys[position] in words and _is_between(sample.to_series(position), least, most)

    date = [next((position for position in free if holds(position, *part)), None) for part in _PARTS_OF_DATE]
    found = [position for position in date if position is not None]
    if len(found) < len(date) or len({*found}) < len(date):
        return ()
    for position, part in enumerate(_PARTS_OF_CLOCK, start=max(found) + 1):
        if not holds(position, *part):
            break
        found.append(position)
    columns.taken |= set(found)
    return tuple(found)


def _is_between(column: pl.Series, least: int, most: int) -> bool:
    """Whether all but a few of the cells are whole numbers between two others."""
    numbers = column.cast(pl.String).str.strip_chars().cast(pl.Int32, strict=False)
    return numbers.is_between(least, most).sum() > _NUMBERS_SHARE * len(column)


def _refuse_side_by_side(columns: _Columns, sample: pl.DataFrame, time: int) -> None:
    """Refuse a second column of the same name with other times: the values beside it are not of the first one's."""
    for position in columns.free():
        said = columns.headers[position]
        if said and names.key(said) == names.key(columns.headers[time]):
            here, there = (sample.to_series(at).cast(pl.String) for at in (time, position))
            if not here.eq_missing(there).all():
                raise UnreadableFile(
                    f"The columns {time + 1} and {position + 1} are both called {said!r} and differ: tables stand side by side. Drop each alone, "
                    f"or say in the mapping which to read: time: {time + 1}, value: [<columns of its values>]."
                )


def _refuse_parts_of_numbers(sample: pl.DataFrame, values: Sequence[int]) -> None:
    """Refuse, where no header tells, digits that begin with a zero: ``1,05`` or ``0015`` torn from what they belong to."""
    for position in values:
        column = sample.to_series(position)
        torn = column.filter(column.str.contains(r"^\s*0\d+\s*$").fill_null(False)) if column.dtype == pl.String else column.clear()
        if len(torn):
            raise UnreadableFile(
                f"Column {position + 1} holds {str(torn[0]).strip()!r}, which is no measured value. Are these the decimals of column {position}, as "
                "commas stand for decimals and between columns? Then export the file with another separator. Are they clocks? Then say so in the "
                "mapping: time: [<date>, <clock>], by their positions. Else say which columns are values: value: [<positions>]."
            )


def _is_share(sample: pl.DataFrame, position: int, holds: Callable[[str], bool]) -> bool:
    column = sample.to_series(position)
    if column.dtype.is_temporal():
        if holds is _is_date_only and column.dtype == pl.Datetime:  # as a sheet has its days
            return bool((column.dt.time() == clock_time(0)).all())
        return holds is _is_time or column.dtype == pl.Date
    if column.dtype != pl.String:
        return False
    cells = [cell.strip() for cell in column.drop_nulls().head(200).to_list() if cell.strip()]
    return bool(cells) and sum(1 for cell in cells if holds(cell)) > _NUMBERS_SHARE * len(cells)


def _is_time(cell: str) -> bool:
    return not cell.isdigit() and recognise(cell, day_first=True) is not None


def _is_clock(cell: str) -> bool:
    return re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?", cell) is not None


def _is_date_only(cell: str) -> bool:
    return ":" not in cell and recognise(cell, day_first=True) is not None


def _is_hour(cell: str) -> bool:
    return cell.isdigit() and int(cell) <= 24


def _find_values(columns: _Columns, sample: pl.DataFrame) -> list[int]:
    """Free columns that hold numbers, and free columns that are still empty beside them."""
    numeric, empty = [], []
    for position in columns.free():
        column = sample.to_series(position)
        if names.is_label(columns.headers[position]) or (any(columns.headers) and _counts(columns.headers[position], column)):
            continue
        if column.dtype == pl.String:
            text = column.drop_nulls().str.strip_chars()
            text = text.filter(text != "")
            if text.is_empty():
                empty.append(position)
            elif text.str.contains(_NUMBER).sum() >= _NUMBERS_SHARE * len(text):
                numeric.append(position)
        elif column.dtype == pl.Null:
            empty.append(position)
        elif column.dtype.is_numeric() or column.dtype.is_decimal():
            numeric.append(position)
    named_empty = [position for position in empty if columns.headers[position].strip()]
    return sorted(numeric + named_empty) if numeric else []


def _counts(header: str, column: pl.Series) -> bool:
    """Whether a column without a name only numbers the rows."""
    if header.strip() not in ("", "Unnamed: 0") or len(column) < 2 or not (column.dtype == pl.String or column.dtype.is_numeric()):
        return False
    numbers = column.cast(pl.Float64, strict=False)
    return numbers.null_count() == 0 and bool((numbers.diff().drop_nulls() == 1).all()) and numbers[0] in (0, 1)


def _value_column(
    position: int,
    header: str,
    mapping: Mapping,
    said: ColumnMapping | None,
    qualifier: int | None,
    station: int | None,
    property_: int | None,
    file: FileFacts,
    *,
    alone: bool,
) -> ValueColumn:
    said = said or ColumnMapping()
    bare, unit = names.split_unit(header)
    property_name = said.property or mapping.property
    station_name = said.station or (mapping.station if station is None else None)
    if station_name is None and station is None:
        header_is_station = not alone and property_name is not None and said.property is None and bool(bare)
        station_name = bare if header_is_station else file.default_station
    if property_name is None and property_ is None:
        property_name = names.snake(bare) if bare else ("value" if alone else f"column_{position + 1}")
    return ValueColumn(
        index=position,
        header=header or f"column {position + 1}",
        station=station_name,
        property=None if property_name is None else names.snake(property_name),
        unit=said.unit or mapping.unit or unit,
        name=said.name or (bare if bare and names.key(bare) not in names.VALUE else None),
        feature_of_interest=said.feature_of_interest or mapping.feature_of_interest,
        qualifier=qualifier,
        missing=mapping.missing + said.missing,
        interval_s=said.interval or mapping.interval,
    )


def _refuse_equal_series(values: Sequence[ValueColumn]) -> None:
    seen: dict[tuple[str | None, str | None], ValueColumn] = {}
    for column in values:
        series = (column.station, column.property)
        if series in seen:
            other = seen[series]
            name: str | int = column.header if column.header != other.header else column.index + 1
            raise UnreadableFile(
                f"The columns {other.header!r} and {column.header!r} would be one series ({column.station}/{column.property}). "
                f"Tell them apart in the mapping: columns: {{{name!r}: {{property: ...}}}}, or leave one out: ignore: [{name!r}]."
            )
        seen[series] = column
