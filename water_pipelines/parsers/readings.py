"""A table and its mapping to observations: where all formats of rows and columns meet, and the rules for rows are applied.

Add a rule for rows here: what is missing, what is rejected and why. Reading single cells belongs to `times` and `numbers`, the roles of
columns to `layout`, the bytes to the formats. Everything is done a column at a time; only rejected rows are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from water_pipelines.parsers import hours, names, numbers, times
from water_pipelines.parsers.clock import DAY, Instants, instants, resolve_doubled
from water_pipelines.parsers.contract import OBSERVATION_SCHEMA, PUT, Described, Event, FileFacts, Rejected, Rows, Series, Station, UnreadableFile
from water_pipelines.parsers.layout import ValueColumn, resolve
from water_pipelines.parsers.mapping import Mapping, check_zone, zone_name
from water_pipelines.parsers.table import Chunk, Table, shorten

BATCH_ROWS = 1_000_000
_SAMPLE_ROWS = 2_000
_MOST_KINDS = 100
"""Different words in a column, up to which it may tell series apart."""
_REPEATED_ROWS, _REPEATED_SHARE = 20_000, 0.25
"""Of how many rows of a file how many may give way to later ones of the same series and time."""
_STRING = pl.CompatLevel.oldest()

_FINE, _NO_TIME, _BAD_TIME, _NO_ZONE, _BAD_ZONE, _GAP, _DOUBLED, _WAITING, _EARLY, _FUTURE, _NO_STATION, _NO_PROPERTY, _SKIP = range(13)

DECLARE_ZONE = (
    "Say in a mapping which time zone the clock was set to, for instance: time_zone: Europe/Rome (or time_zone: '+01:00', or time_zone: UTC)."
)


def read_table(table: Table, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
    """Observations of a table, in the order of the file.

    Raises
    ------
    UnreadableFile
        The table as a whole cannot be understood: no time or value column, times without a zone, an ambiguous order of day and month, ...
    """
    table, mapping = hours.unfold(table, mapping)
    chunks = table.chunks()
    early: list[Rejected] = []
    for first in chunks:
        if first.frame.height:
            break
        early += first.rejected
    else:
        raise UnreadableFile("There are no rows of data in the file." + (f" {early[0].reason}" if early else ""))
    reading = _Reading(table, first, mapping, file)
    waiting: Chunk | None = None
    second = next(chunks, None)  # most files have none, and need no thread
    for chunk in chain([first], [] if second is None else [second], () if second is None else _ahead(chunks)):
        if early:
            chunk, early = Chunk(chunk.frame, chunk.source_row, early + chunk.rejected), []
        for piece in chunk.pieces(max(1, BATCH_ROWS // len(reading.layout.values))):
            events, waiting = reading.read(piece.after(waiting), is_last=False)
            yield from events
            if reading.repeated is not None:
                raise UnreadableFile(reading.repeated)
    if waiting is not None:
        yield from reading.read(waiting, is_last=True)[0]


def _ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The same chunks, each split in a thread of its own while the one before it is read."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="chunks") as pool:
        following = pool.submit(next, chunks, None)
        while (chunk := following.result()) is not None:
            following = pool.submit(next, chunks, None)
            yield chunk


@dataclass(frozen=True)
class _Keys:
    """What tells series apart in each row: a code, and the texts that it stands for (station, property, unit, feature, then the others)."""

    code: NDArray[np.int64]
    texts: list[tuple[str | None, ...]]


class _Reading:
    """How one file is read, once its first rows are known; remembers the stations and series that were described."""

    def __init__(self, table: Table, first: Chunk, mapping: Mapping, file: FileFacts) -> None:
        self._table = table
        self._mapping = mapping
        self._first_day = _micros(datetime.combine(file.first_day, time.min, UTC))
        self._latest = _micros(file.arrived_at + file.future_tolerance)
        self._file = file
        sample = first.head(_SAMPLE_ROWS)
        self.layout = resolve(table.columns, sample.frame, mapping, file, preamble=table.preamble, units=table.units)
        header = " ".join(table.columns[position] for position in self.layout.time)
        self._has_hours = len(self.layout.time) == 2 and mapping.time_format is None and names.key(table.columns[self.layout.time[1]]) in names.HOUR
        self._times = times.decide(
            self._time_column(sample.frame),
            mapping,
            header=header,
            whole_file=lambda: (self._time_column(chunk.frame) for chunk in table.chunks() if chunk.frame.height),
        )
        self._numbers = numbers.decide(
            [first.frame.to_series(column.index) for column in self.layout.values], decimal=mapping.decimal, thousands=mapping.thousands
        )
        self._require_zone(sample)
        self._series: dict[str, Series] = {}
        self._stations: set[str] = set()
        self._has_begun = False
        self.repeated: str | None = None
        """Why nothing is taken of a file of which many rows would give way to others; asked once its first rows were told."""

    def _time_column(self, frame: pl.DataFrame) -> pl.Series:
        columns = [frame.to_series(position) for position in self.layout.time]
        if len(columns) == 1:
            return columns[0]
        if self.layout.time_is_in_parts:
            return _from_parts(columns)
        texts = [
            column.dt.strftime("%Y-%m-%d") if column.dtype in (pl.Datetime, pl.Date) else column.cast(pl.String).str.strip_chars()
            for column in columns
        ]
        if self._has_hours:  # 1 to 24, or 0 to 23
            texts[1] = texts[1].str.replace(r"^(\d)$", "0$1").str.replace(r"^(\d\d)$", "$1:00")
        return pl.DataFrame([text.alias(str(number)) for number, text in enumerate(texts)]).select(pl.concat_str(pl.all(), separator=" ")).to_series()

    def _require_zone(self, sample: Chunk) -> None:
        """A file whose times all lack a zone is refused as a whole, before a million rows are."""
        if self.layout.zone is not None or self.layout.zone_column is not None:
            return
        column = self._time_column(sample.frame)
        state = self._times.read(column).state
        if (state == times.AWARE).any():
            return
        naive = np.flatnonzero(state == times.NAIVE)
        if len(naive):
            row = int(naive[0])
            raise UnreadableFile(f"The time {str(column[row])!r} in row {int(sample.source_row[row])} has no time zone. {DECLARE_ZONE}")

    def read(self, chunk: Chunk, *, is_last: bool) -> tuple[list[Event], Chunk | None]:
        """The events of some rows, and the rows of doubled hours whose partner has not come yet."""
        keys = self._keys(chunk.frame)
        utc, problem = self._utc(chunk, keys, is_last=is_last)
        for position, code in ((self.layout.station, _NO_STATION), (self.layout.observed_property, _NO_PROPERTY)):
            if position is not None:
                part = 0 if code == _NO_STATION else 1
                absent = np.array([texts[part] is None for texts in keys.texts], dtype=np.bool_)
                problem[absent[keys.code] & (problem == _FINE)] = code
        self._refuse_merged(chunk, keys, utc, np.flatnonzero(problem == _FINE))
        if not self._has_begun:
            self.repeated = self._repeats(chunk, keys, utc, np.flatnonzero(problem == _FINE)[:_REPEATED_ROWS])
        self._has_begun = True
        rejected = chunk.rejected + self._reject_rows(chunk, problem)
        held = np.flatnonzero(problem == _WAITING)
        waiting = Chunk(chunk.frame[held], chunk.source_row[held]) if len(held) else None
        events = self._events(chunk, keys, utc, np.flatnonzero(problem == _FINE), rejected)
        return events, waiting

    def _refuse_merged(self, chunk: Chunk, keys: _Keys, utc: NDArray[np.int64], rows: NDArray[np.intp]) -> None:
        """Refuse two values of a series at one time that a column without a role tells apart, each time: they are of two series."""
        if not self.layout.unused or len(rows) < 2:
            return
        one, other = self._contradicting(chunk, keys, utc, rows)
        if len(one) == 0:
            return
        for position in self.layout.unused:
            words = _text(chunk.frame.to_series(position)).fill_null("")
            if not 2 <= words.n_unique() <= _MOST_KINDS:
                continue
            word, other_word = (words.gather(pl.Series(at, dtype=pl.UInt32)) for at in (one, other))
            if (word != other_word).all():
                header = self._table.columns[position] or position + 1
                at = sorted((int(chunk.source_row[one[0]]), int(chunk.source_row[other[0]])))
                raise UnreadableFile(
                    f"The rows {at[0]} and {at[1]} have different values at one time, and the column {header!r} tells them apart ({word[0]!r}, "
                    f"{other_word[0]!r}). Say in the mapping that it names series: series_columns: [{header}] (or property_column, station_column); "
                    f"or that it does not: ignore: [{header}]."
                )

    def _repeats(self, chunk: Chunk, keys: _Keys, utc: NDArray[np.int64], rows: NDArray[np.intp]) -> str | None:
        """What to say where many rows would give way to others: a clock, a depth or a sensor stands where nobody looked for it."""
        if self._mapping.ignore or len(rows) < 2:
            return None
        one, other = self._contradicting(chunk, keys, utc, rows)
        if len(one) < 2 or len(one) <= _REPEATED_SHARE * len(rows):
            return None
        is_of_days = bool((utc[other] % DAY == utc[other[0]] % DAY).all())
        telling = [column.index for column in self.layout.values if self.layout.is_wide and self._differ(chunk, column, one, other).all()]
        column = (self._table.columns[telling[0]] or telling[0] + 1) if telling else "<column>"
        return (
            f"{len(one)} of the first {len(rows)} rows would give way to a later row of the same series and time with another value, such as row "
            f"{int(chunk.source_row[one[0]])} to row {int(chunk.source_row[other[0]])}. If a column tells them apart, such as a "
            f"{'clock, a depth' if is_of_days else 'depth'} or a sensor, say so in the mapping: "
            f"{'time: [<date>, <clock>], or ' if is_of_days else ''}series_columns: [{column}]."
        )

    def _contradicting(self, chunk: Chunk, keys: _Keys, utc: NDArray[np.int64], rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of rows, in the order of the file, that give a series different values at one time."""
        order = rows[np.lexsort((utc[rows], keys.code[rows]))]
        again = np.flatnonzero((np.diff(utc[order]) == 0) & (np.diff(keys.code[order]) == 0))
        one, other = order[again], order[again + 1]
        differs = np.zeros(len(one), dtype=np.bool_)
        for column in self.layout.values:
            differs |= self._differ(chunk, column, one, other)
        return one[differs], other[differs]

    def _differ(self, chunk: Chunk, column: ValueColumn, one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.bool_]:
        cells = chunk.frame.to_series(column.index)
        first, second = (self._numbers.read(cells.gather(pl.Series(at, dtype=pl.UInt32)), column.missing).value for at in (one, other))
        differs: NDArray[np.bool_] = (first != second) & ~np.isnan(first) & ~np.isnan(second)
        return differs

    # Which series a row belongs to

    def _keys(self, frame: pl.DataFrame) -> _Keys:
        roles = (self.layout.station, self.layout.observed_property, self.layout.unit, self.layout.feature_of_interest, *self.layout.series)
        code = np.zeros(frame.height, dtype=np.int64)
        texts: list[tuple[str | None, ...]] = [()]
        for position in roles:
            if position is None:
                texts = [(*known, None) for known in texts]
                continue
            encoded = _text(frame.to_series(position)).to_arrow(compat_level=_STRING).dictionary_encode(null_encoding="encode")
            words = [None if word is None or not word.strip() else word.strip() for word in encoded.dictionary.to_pylist()]
            if len(texts) == 1:
                code, texts = encoded.indices.to_numpy(), [(*texts[0], word) for word in words]
                continue
            combined = pa.array(code * len(words) + encoded.indices.to_numpy()).dictionary_encode()
            code = combined.indices.to_numpy().astype(np.int64)
            texts = [(*texts[both // len(words)], words[both % len(words)]) for both in combined.dictionary.to_pylist()]
        return _Keys(code, texts)

    # When a row was measured

    def _utc(self, chunk: Chunk, keys: _Keys, *, is_last: bool) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        found = self._times.read(self._time_column(chunk.frame))
        utc = found.micros.copy()
        problem = np.zeros(len(utc), dtype=np.int8)
        problem[found.state == times.ABSENT] = _NO_TIME
        problem[found.state == times.UNREADABLE] = _BAD_TIME
        naive = found.state == times.NAIVE
        if naive.any():
            far = naive & ((utc < self._first_day - 2 * DAY) | (utc > self._latest + 2 * DAY))
            self._localise(chunk, keys, utc, problem, naive & ~far, is_last=is_last)
        timed = problem == _FINE
        problem[timed & (utc < self._first_day)] = _EARLY
        problem[timed & (utc > self._latest)] = _FUTURE
        self._skip_blank(chunk, problem)
        return utc, problem

    def _localise(
        self, chunk: Chunk, keys: _Keys, utc: NDArray[np.int64], problem: NDArray[np.int8], naive: NDArray[np.bool_], *, is_last: bool
    ) -> None:
        for zone, here in self._zones(chunk, naive):
            if zone is None:
                problem[here] = _NO_ZONE if self.layout.zone_column is None else _BAD_ZONE
                continue
            local = utc[here]
            found = instants(local, zone)
            utc[here] = found.first
            problem[here[~found.exists]] = _GAP
            doubled = np.flatnonzero(found.exists & (found.first != found.second))
            if len(doubled) == 0:
                continue
            rows = here[doubled]
            resolved = resolve_doubled(
                Instants(found.first[doubled], found.second[doubled], found.exists[doubled]),
                local[doubled],
                keys.code[rows],
                _runs_backwards(keys.code[here], local)[keys.code[rows]],
            )
            utc[rows] = resolved.utc
            problem[rows[~resolved.settled]] = _DOUBLED
            if not is_last:
                problem[rows[resolved.waiting]] = _WAITING

    def _zones(self, chunk: Chunk, naive: NDArray[np.bool_]) -> Iterator[tuple[str | None, NDArray[np.intp]]]:
        """Each zone with its rows; None where there is none."""
        if self.layout.zone_column is None:
            yield self.layout.zone, np.flatnonzero(naive)
            return
        encoded = (
            _text(chunk.frame.to_series(self.layout.zone_column)).str.strip_chars().fill_null("").to_arrow(compat_level=_STRING).dictionary_encode()
        )
        codes = encoded.indices.to_numpy()
        for code, word in enumerate(encoded.dictionary.to_pylist()):
            try:
                zone = check_zone(self._mapping.time_zones.get(word, word)) if word else None
            except ValueError:
                zone = None
            yield zone, np.flatnonzero(naive & (codes == code))

    def _skip_blank(self, chunk: Chunk, problem: NDArray[np.int8]) -> None:
        """Blank lines and comments are no rows."""
        mark = self._mapping.comment or "#"
        rows = np.flatnonzero((problem == _NO_TIME) | (problem == _BAD_TIME))
        if len(rows) == 0:
            return
        for row, cells in zip(rows.tolist(), chunk.frame[rows].iter_rows(), strict=True):
            is_blank = all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells)
            if is_blank or str(cells[0] or "").lstrip().startswith(mark):
                problem[row] = _SKIP

    # What was measured

    def _events(self, chunk: Chunk, keys: _Keys, utc: NDArray[np.int64], rows: NDArray[np.intp], rejected: list[Rejected]) -> list[Event]:
        layout, width = self.layout, len(self.layout.values)
        is_all = len(rows) == chunk.frame.height
        frame = chunk.frame if is_all else chunk.frame[rows]
        source_row, code, time_ = (array if is_all else array[rows] for array in (chunk.source_row, keys.code, utc))
        shape = (len(rows), width)
        value, kept, series = np.empty(shape), np.empty(shape, dtype=np.bool_), np.empty(shape, dtype=np.int64)
        qualifiers: list[pl.Series | None] = []
        for number, column in enumerate(layout.values):
            cells = frame.to_series(column.index)
            found = self._numbers.read(cells, column.missing)
            unread = found.state == numbers.UNREADABLE
            rejected = rejected + self._reject_values(chunk, rows, cells, unread, column)
            value[:, number] = found.value
            kept[:, number] = ~unread & (found.state != numbers.EMPTY) if layout.is_wide else ~unread
            series[:, number] = code * width + number
            qualifiers.append(_joined(found.qualifier, self._qualifier(frame, column)))
        flat = slice(None) if kept.all() else np.flatnonzero(kept.ravel())
        used, described, wrong = self._describe(chunk, keys, rows, series.ravel()[flat], width)
        columns = {
            "series": used,
            "time": np.repeat(time_, width)[flat].view("datetime64[us]"),
            "value": value.ravel()[flat],
            "source_row": np.repeat(source_row, width)[flat],
        }
        qualifier = _interleaved(qualifiers, len(rows))
        batch = _batch(columns, qualifier if qualifier is None or isinstance(flat, slice) else qualifier.gather(flat))
        if wrong:
            batch, refused = self._drop_wrong_units(chunk, batch, wrong)
            rejected = rejected + refused
        events: list[Event] = [described] if described.stations or described.series else []
        if batch.num_rows or rejected:
            events.append(Rows(batch, sorted(rejected, key=lambda row: row.source_row)))
        return events

    def _qualifier(self, frame: pl.DataFrame, column: ValueColumn) -> pl.Series | None:
        position = column.qualifier if column.qualifier is not None else self.layout.qualifier
        if position is None:
            return None
        text = _text(frame.to_series(position)).str.strip_chars()
        return text.set((text == "").fill_null(False), None)

    # Which series there are

    def _describe(
        self, chunk: Chunk, keys: _Keys, rows: NDArray[np.intp], code: NDArray[np.int64], width: int
    ) -> tuple[pa.Array[Any], Described, dict[str, str]]:
        """The series of each observation, what is new among them, and for series of a deviating unit the reason."""
        present = np.flatnonzero(np.bincount(code, minlength=len(keys.texts) * width))
        ids: dict[str, int] = {}
        renumber = np.zeros(len(keys.texts) * width, dtype=np.int32)
        described = Described([], [])
        wrong: dict[str, str] = {}
        for both in present.tolist():
            key, column = divmod(both, width)
            series = self._series_of(keys.texts[key], self.layout.values[column])
            known = self._series.get(series.natural_id)
            natural_id = series.natural_id
            if known is None:
                self._series[natural_id] = series
                described.series.append(series)
                if series.station not in self._stations:
                    self._stations.add(series.station)
                    described.stations.append(self._station(series.station, chunk, keys, rows, key))
            elif known.attributes.get("unit") != series.attributes.get("unit"):
                natural_id = f"{natural_id}\0{series.attributes.get('unit')}"
                units = [one.attributes.get("unit") for one in (series, known)]
                wrong[natural_id] = (
                    f"the unit {units[0]!r} differs from {units[1]!r}, which {series.natural_id} has in this file; "
                    "tell the series apart in the mapping: series_columns: [<unit column>]"
                )
            renumber[both] = ids.setdefault(natural_id, len(ids))
        return pa.DictionaryArray.from_arrays(renumber[code], pa.array(list(ids), pa.string())), described, wrong

    def _series_of(self, texts: tuple[str | None, ...], column: ValueColumn) -> Series:
        station, property_, unit, feature, *others = texts
        station = column.station or station or self._file.default_station
        property_ = column.property or names.snake(property_ or "value")
        natural_id = "/".join([station, property_, *(names.snake(other) for other in others if other)])
        attributes: dict[str, Any] = {
            "property": property_,
            "unit": unit or column.unit,
            "kind": self._mapping.series_kind,
            "name": column.name if texts[1] is None else texts[1],
            "interval_s": column.interval_s,
            "time_zone": zone_name(self.layout.zone) if self.layout.zone else None,
            "feature_of_interest": feature or column.feature_of_interest,
        }
        for position, other in zip(self.layout.series, others, strict=True):
            attributes[names.snake(self._table.columns[position]) if self._table.columns[position] else f"column_{position + 1}"] = other
        return Series(natural_id, station, {name: said for name, said in attributes.items() if said is not None})

    def _station(self, natural_id: str, chunk: Chunk, keys: _Keys, rows: NDArray[np.intp], key: int) -> Station:
        attributes: dict[str, Any] = {
            "latitude": self._mapping.latitude,
            "longitude": self._mapping.longitude,
            "time_zone": zone_name(self._mapping.time_zone) if self._mapping.time_zone else None,
        }
        row = int(rows[np.argmax(keys.code[rows] == key)])
        latitude, longitude = (self._coordinate(chunk, row, position) for position in (self.layout.latitude, self.layout.longitude))
        if latitude is not None and longitude is not None and abs(latitude) <= 90 and abs(longitude) <= 180:
            attributes |= {"latitude": latitude, "longitude": longitude}
        if self.layout.station_name is not None:
            attributes["name"] = _text(chunk.frame.to_series(self.layout.station_name))[row]
        attributes |= self._mapping.station_attributes
        return Station(natural_id, {name: said for name, said in attributes.items() if said is not None})

    def _coordinate(self, chunk: Chunk, row: int, position: int | None) -> float | None:
        if position is None:
            return None
        cell = chunk.frame.to_series(position).slice(row, 1)
        found = numbers.NumberReader("." if "." in str(cell[0]) else self._numbers.decimal).read(cell, ())
        return float(found.value[0]) if np.isfinite(found.value[0]) else None

    # What is rejected

    def _reject_rows(self, chunk: Chunk, problem: NDArray[np.int8]) -> list[Rejected]:
        rows = np.flatnonzero((problem != _FINE) & (problem != _WAITING) & (problem != _SKIP))
        if len(rows) == 0:
            return []
        written = self._time_column(chunk.frame)[rows].to_list()
        texts = chunk.texts(rows, self._table.joiner)
        reasons = (self._reason(code, time_) for code, time_ in zip(problem[rows].tolist(), written, strict=True))
        return [Rejected(*row) for row in zip(chunk.source_row[rows].tolist(), texts, reasons, strict=True)]

    @cached_property
    def _reasons(self) -> dict[int, str]:
        """Why rows are rejected; what is said of a time goes on behind it."""
        zone = self.layout.zone or "its time zone"
        arrived, tolerance = self._file.arrived_at, self._file.future_tolerance
        return {
            _NO_TIME: "the time is empty",
            _NO_STATION: f"the column {self._header(self.layout.station)} of the station is empty",
            _NO_PROPERTY: f"the column {self._header(self.layout.observed_property)} of the property is empty",
            _BAD_TIME: "cannot be read; say in the mapping how times are written, for instance time_format: DD/MM/YYYY HH:mm",
            _NO_ZONE: f"has no time zone, though other rows state one. {DECLARE_ZONE}",
            _BAD_ZONE: "stands beside no known time zone; say in the mapping what is meant there: time_zones: {CDT: '-05:00'}",
            _GAP: f"does not exist on the clocks of {zone}: they were put forward over it",
            _DOUBLED: f"occurred twice on the clocks of {zone}, and the file does not hold exactly the two: "
            "summer and winter time cannot be told apart",
            _EARLY: f"is before the first day of the store, {self._file.first_day} (setting WATER_FIRST_DAY)",
            _FUTURE: f"is more than {tolerance.total_seconds() / 60:g} minutes after the arrival of the file, {arrived:%Y-%m-%d %H:%M:%S%z} "
            "(setting WATER_FUTURE_TOLERANCE_MINUTES)",
        }

    def _reason(self, problem: int, written: Any) -> str:
        reason = self._reasons[problem]
        if problem == _BAD_TIME:
            reason = times.refusal(str(written)) or reason
        return reason if problem in (_NO_TIME, _NO_STATION, _NO_PROPERTY) else f"the time {str(written)!r} {reason}"

    def _header(self, position: int | None) -> str:
        return repr(self._table.columns[position] or f"column {position + 1}") if position is not None else ""

    def _reject_values(
        self, chunk: Chunk, rows: NDArray[np.intp], cells: pl.Series, unread: NDArray[np.bool_], column: ValueColumn
    ) -> list[Rejected]:
        at = np.flatnonzero(unread)
        if len(at) == 0:
            return []
        words = (shorten(str(word)) for word in cells[at].to_list())
        texts = chunk.texts(rows[at], self._table.joiner)
        return [
            Rejected(source_row, text, f"{word!r} in column {column.header!r} {self._numbers.refusal(word)}")
            for source_row, text, word in zip(chunk.source_row[rows[at]].tolist(), texts, words, strict=True)
        ]

    def _drop_wrong_units(self, chunk: Chunk, batch: pa.RecordBatch, wrong: dict[str, str]) -> tuple[pa.RecordBatch, list[Rejected]]:
        series: Any = batch.column("series")
        ids = series.dictionary.to_pylist()
        deviates = np.array([natural_id in wrong for natural_id in ids])[series.indices.to_numpy()]
        at = np.flatnonzero(deviates)
        source_rows = batch.column("source_row").to_numpy()[at]
        texts = chunk.texts(np.flatnonzero(np.isin(chunk.source_row, source_rows)), self._table.joiner)
        shown = dict(zip(np.unique(source_rows).tolist(), texts, strict=True))
        reasons = [wrong[ids[code]] for code in series.indices.to_numpy()[at].tolist()]
        rejected = [Rejected(row, shown[row], reason) for row, reason in zip(source_rows.tolist(), reasons, strict=True)]
        kept = batch.filter(pa.array(~deviates))
        plain = kept.column("series").cast(pa.string()).dictionary_encode()  # the ids that were set apart are gone with their rows
        kept = kept.set_column(0, OBSERVATION_SCHEMA.field("series"), plain)
        return kept, rejected


def _micros(moment: datetime) -> int:
    return int(np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us").astype(np.int64))


def _from_parts(columns: list[pl.Series]) -> pl.Series:
    """Times from columns of year, month, day, and as far as there are any hour, minute and second."""
    texts = [column.cast(pl.String).str.strip_chars().str.replace(r"^(\d)$", "0$1").alias(str(part)) for part, column in enumerate(columns)]
    clock = [pl.col(text.name) for text in texts[3:]]
    if len(clock) == 1:
        clock.append(pl.lit("00"))
    parts = [pl.concat_str("0", "1", "2", separator="-"), *([pl.concat_str(clock, separator=":")] if clock else [])]
    return pl.DataFrame(texts).select(pl.concat_str(parts, separator=" ")).to_series()


def _text(column: pl.Series) -> pl.Series:
    """Texts as a person writes them: a whole number of a sheet without its ``.0``."""
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        is_whole = (whole.cast(pl.Float64) == column).fill_null(False)
        return column.cast(pl.String).set(is_whole, None).zip_with(~is_whole, whole.cast(pl.String))
    return column if column.dtype == pl.String else column.cast(pl.String)


def _runs_backwards(code: NDArray[np.int64], local: NDArray[np.int64]) -> NDArray[np.bool_]:
    """By key: whether its last row is older than its first."""
    first, last = np.zeros((2, int(code.max()) + 1), dtype=np.int64)
    first[code[::-1]] = local[::-1]
    last[code] = local
    return last < first


def _joined(censored: pl.Series | None, said: pl.Series | None) -> pl.Series | None:
    """The source's qualifier, with the mark of censoring or absence before it."""
    if censored is None or said is None:
        return said if censored is None else censored
    return (
        pl.DataFrame([censored.alias("a"), said.alias("b")])
        .select(pl.concat_str("a", "b", separator=":", ignore_nulls=True))
        .to_series()
        .replace("", None)
    )


def _interleaved(columns: list[pl.Series | None], rows: int) -> pl.Series | None:
    """Qualifiers of several columns in the order of the rows."""
    if all(column is None for column in columns):
        return None
    if len(columns) == 1:
        return columns[0]
    blank = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    stacked = pl.concat([blank if column is None else column.rename("") for column in columns])
    order = np.arange(len(columns) * rows).reshape(len(columns), rows).T.ravel()
    return stacked.gather(order)


def _batch(columns: dict[str, Any], qualifier: pl.Series | None) -> pa.RecordBatch:
    rows = len(columns["series"])
    kind = OBSERVATION_SCHEMA.field("qualifier").type
    qualified = pa.nulls(rows, kind) if qualifier is None else qualifier.to_arrow(compat_level=_STRING).cast(pa.string()).dictionary_encode()
    return pa.RecordBatch.from_arrays(
        [
            columns["series"],
            pa.array(columns["time"], pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
            pa.array(columns["value"], pa.float64()),
            qualified,
            pa.array(columns["source_row"], pa.int32()),
            pa.array(np.full(rows, PUT, dtype=np.int8)),
        ],
        schema=OBSERVATION_SCHEMA,
    )
