"""Pages of observations as they were pulled from an OGC SensorThings 1.0 or 1.1 server.

A landed page is one line of JSON that says what was asked and how the server's ids are called here (`Head`), and then the answer as the
server sent it. So a page can be read again without the server. What becomes of each form of time and result stands in
`docs/sensorthings.md`; entities (Things, Datastreams, ...) are read in `things`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, BinaryIO

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from water_pipelines.parsers import contract, things
from water_pipelines.parsers.contract import OBSERVATION_SCHEMA, PUT, WITHDRAW, Described, Event, FileFacts, Rejected, Rows, Series, UnreadableFile
from water_pipelines.parsers.mapping import Mapping as FileMapping
from water_pipelines.parsers.things import Component, key_of

MARK = b'{"sensorthings":'
LONGEST_WORD = 40
MOST_WORDS = 100
"""Text results are kept as qualifiers, of which a database holds few: longer words are cut, and more of them in a page are only called text."""

_LINK = re.compile(r"(Multi)?Datastreams\((?P<id>.*)\)/?$")
_STRING = pa.dictionary(pa.int32(), pa.string())
_INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Head:
    """The first line of a landed page.

    Parameters
    ----------
    server : name of the server in the configuration.
    what : 'observations' that are new since a cursor, 'window': what differs within a window of phenomenon time, or 'entities'.
    url : what was asked, without any secret.
    after, upto : cursor before the page, and where it stands once the page is here; none where the page does not end a set.
    gaps : ids that were missing between those of the page.
    window : first and last phenomenon time (ISO) of a window that was read completely.
    bodies : lengths in bytes of the answers that follow, one after the other.
    series : key of a Datastream (``D:1``, ``M:1``) -> its components. Observations of others are not followed.
    of : key of the Datastream that was asked, where the rows do not name theirs.
    stations : id of a Thing -> natural id of the station.
    taken : series -> times (microseconds since 1970) that are taken of a window; all others are known already.
    withdrawn : series -> times that were read before and that the window, which is complete, does not hold any more.
    interval_time : 'start' or 'end': which instant stands for an observation over an interval.
    basis : the arrival before; tells a window apart from an equal one with something else between them.
    """

    server: str
    what: str
    url: str
    bodies: Sequence[int] = ()
    after: Mapping[str, Any] | None = None
    upto: Mapping[str, Any] | None = None
    gaps: Sequence[int] = ()
    window: Sequence[str] | None = None
    series: Mapping[str, Sequence[Component]] = field(default_factory=dict)
    of: str | None = None
    stations: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, Sequence[int]] | None = None
    withdrawn: Mapping[str, Sequence[int]] = field(default_factory=dict)
    interval_time: str = "start"
    basis: int | None = None

    def with_bodies(self, bodies: Sequence[bytes]) -> bytes:
        """The page as it lands."""
        said = {each.name: getattr(self, each.name) for each in fields(self)} | {"bodies": [len(body) for body in bodies]}
        return b"".join(
            (orjson.dumps({"sensorthings": {name: value for name, value in said.items() if value not in (None, {}, ())}}), b"\n", *bodies)
        )

    @classmethod
    def read(cls, stream: BinaryIO) -> Head:
        """The head of a landed page, whose answers follow in the stream; `UnreadableFile` where it is none."""
        try:
            said = orjson.loads(stream.readline())["sensorthings"]
            series = {key: [Component(**each) for each in components] for key, components in said.pop("series", {}).items()}
            return cls(**said, series=series)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableFile(f"its first line is no head of a SensorThings page: {error}") from error


@dataclass
class Observed:
    """The rows of one answer, in columns; a cell is what the server wrote, none where it wrote nothing.

    `keys[code[i]]` is the Datastream of row `i`; empty where the row names none.
    """

    keys: list[str] = field(default_factory=list)
    code: list[int] = field(default_factory=list)
    ids: list[Any] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)
    result_times: list[Any] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    qualities: list[Any] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.code)

    @classmethod
    def of(cls, document: Any, key: str | None = None) -> Observed:
        """The rows of a plain answer or of a data array.

        Parameters
        ----------
        key : of the Datastream that was asked, where the rows do not name theirs.

        Raises
        ------
        UnreadableFile
            It is no collection of observations.
        """
        found, numbers = cls(), dict[str, int]()
        value = document.get("value") if isinstance(document, dict) else None
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise UnreadableFile("The answer holds no list of observations (value).")
        if value and "dataArray" in value[0]:
            for group in value:
                found._add_array(group, numbers.setdefault(_key_of_group(group, key), len(numbers)))
        else:
            found._add_rows(value, [numbers.setdefault(_key_of_row(row, key), len(numbers)) for row in value])
        found.keys = list(numbers)
        return found

    def _add_rows(self, rows: list[dict[str, Any]], code: list[int]) -> None:
        self.code += code
        for column, name in self._columns().items():
            getattr(self, column).extend([row.get(name) for row in rows])

    def _add_array(self, group: dict[str, Any], code: int) -> None:
        rows = group["dataArray"]
        if not rows:
            return
        names = [str(name).removeprefix("@iot.") for name in group.get("components") or ()]
        if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(names)}:
            raise UnreadableFile("A data array has rows of another length than its components.")
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        self.code += [code] * len(rows)
        for column, name in self._columns().items():
            getattr(self, column).extend(columns.get(name.removeprefix("@iot."), [None] * len(rows)))

    @staticmethod
    def _columns() -> dict[str, str]:
        return {
            "ids": "@iot.id",
            "times": "phenomenonTime",
            "result_times": "resultTime",
            "results": "result",
            "qualities": "resultQuality",
            "parameters": "parameters",
        }


def _key_of_row(row: dict[str, Any], key: str | None) -> str:
    for name, multi in (("Datastream", False), ("MultiDatastream", True)):
        linked = row.get(name)
        if isinstance(linked, dict) and "@iot.id" in linked:
            return key_of(linked["@iot.id"], multi=multi)
    return key or ""


def _key_of_group(group: dict[str, Any], key: str | None) -> str:
    for name in ("Datastream", "MultiDatastream"):
        link = group.get(f"{name}@iot.navigationLink")
        found = _LINK.search(link) if isinstance(link, str) else None
        if found is not None:
            return key_of(found["id"].strip("'"), multi=found[1] is not None)
    return key or ""


@dataclass(frozen=True)
class Times:
    """Instants of phenomenon time.

    Parameters
    ----------
    micros : int64[n], since 1970; 0 where not `is_known`.
    longest : the longest interval among them, in microseconds.
    """

    micros: NDArray[np.int64]
    is_known: NDArray[np.bool_]
    longest: int


def read_times(observed: Observed, interval_time: str) -> Times:
    """When each row holds: its phenomenon time, of an interval the start or the end; the result time where there is none."""
    try:  # many times as fast, where all are plain
        plain = pa.array(observed.times, pa.string()).cast(_INSTANT)
    except (pa.ArrowException, TypeError):
        plain = None
    if plain is not None and not plain.null_count:
        return Times(plain.cast(pa.int64()).to_numpy(), np.ones(len(plain), dtype=np.bool_), 0)
    written = pl.Series(observed.times, dtype=pl.String, strict=False)
    if written.null_count():
        written = written.fill_null(pl.Series(observed.result_times, dtype=pl.String, strict=False))
    longest = 0
    is_interval = written.str.contains("/", literal=True).fill_null(False)
    if is_interval.any():
        parts = written.str.split_exact("/", 1).struct
        start = parts.field("field_0")
        end = parts.field("field_1").set(~is_interval, None).fill_null(start)
        lasts = (_instants(end) - _instants(start)).dt.total_microseconds().max()
        longest = max(int(lasts), 0) if isinstance(lasts, int) else 0
        written = end if interval_time == "end" else start
    read = _instants(written)
    return Times(read.to_physical().fill_null(0).to_numpy(), read.is_not_null().to_numpy(), longest)


def _instants(written: pl.Series) -> pl.Series:
    return written.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)


@dataclass(frozen=True)
class Results:
    """Values of rows, with the word that is kept of each, and the rows that hold no single value, with the reason."""

    value: NDArray[np.float64]
    words: list[str | None] | None
    refused: dict[int, str]


def read_results(results: Sequence[Any], qualities: Sequence[Any], parameters: Sequence[Any]) -> Results:
    """Values of results: numbers also in strings, truth as 1 and 0, text as a word without a value; arrays and objects are refused.

    >>> found = read_results([1, "2.5", True, None, "FAULT", [1, 2]], [None] * 6, [None] * 6)
    >>> found.value.tolist(), found.words, found.refused
    ([1.0, 2.5, 1.0, nan, nan, nan], [None, None, None, None, 'FAULT', None], {5: 'the result is a list of 2 values, where one is expected'})
    """
    words, refused = _qualifiers(qualities, parameters), dict[int, str]()
    try:
        value = pa.array(results, pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, TypeError, OverflowError):
        value = np.full(len(results), np.nan)
        texts: set[str] = set()
        for row, result in enumerate(results):
            if isinstance(result, bool | int | float):
                value[row] = _float(result)
            elif isinstance(result, str):
                number = _number(result)
                if number is not None:
                    value[row] = number
                    continue
                word = result.strip()[:LONGEST_WORD]
                if len(texts) >= MOST_WORDS and word not in texts:
                    word = "text"
                texts.add(word)
                words = words if words is not None else [None] * len(results)
                words[row] = f"{word}:{words[row]}" if words[row] else word or None
            elif result is not None:
                what = f"a list of {len(result)} values" if isinstance(result, list) else "an object"
                refused[row] = f"the result is {what}, where one is expected"
    value = np.where(np.isfinite(value), value, np.nan)
    return Results(value, words, refused)


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return np.nan


def _number(text: str) -> float | None:
    """The number that a text writes, with a point; none where it is a word (`nan` and `inf` are)."""
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text):
        return None
    return float(text)


def _qualifiers(qualities: Sequence[Any], parameters: Sequence[Any]) -> list[str | None] | None:
    """The source's own flag of each row: `qualifier`, `quality` or `flag` of its parameters, and its result quality."""
    if not any(qualities) and not any(parameters):
        return None
    return [":".join(filter(None, (_flag(said), quality_code(quality)))) or None for quality, said in zip(qualities, parameters, strict=True)]


def _flag(parameters: Any) -> str | None:
    if not isinstance(parameters, dict):
        return None
    said = next((parameters[name] for name in ("qualifier", "quality", "flag") if parameters.get(name) is not None), None)
    return None if said is None or isinstance(said, dict | list) else str(said)[:LONGEST_WORD]


def quality_code(quality: Any) -> str | None:
    """The word of a result quality, which servers wrap in objects and lists."""
    while isinstance(quality, dict | list):
        if isinstance(quality, list):
            quality = quality[0] if quality else None
        else:
            quality = next((quality[name] for name in ("code", "DQ_Result", "value", "result") if name in quality), None)
    return None if quality is None else str(quality)[:LONGEST_WORD]


class Page:
    """A landed page of a SensorThings server.

    Parameters
    ----------
    read : what its answers hold, where whoever landed them has read them already.
    """

    name = "sensorthings-page"
    version = "1"
    kind = "pages"

    def __init__(self, read: Sequence[Observed] | None = None) -> None:
        self._observed = read

    def recognises(self, head: contract.Head) -> bool:
        """By its first words, which only the platform writes."""
        return head.start.startswith(MARK)

    def parse(self, stream: BinaryIO, mapping: FileMapping, file: FileFacts) -> Iterator[Event]:
        """Stations and series of entities; observations of the Datastreams that are followed."""
        stream.seek(0)
        head = Head.read(stream)
        try:
            yield from self._read(head, stream, file)
        except (AttributeError, KeyError, TypeError) as error:
            raise UnreadableFile(f"An answer of {head.server} has another shape than SensorThings gives it: {error}") from error

    def _read(self, head: Head, stream: BinaryIO, file: FileFacts) -> Iterator[Event]:
        if head.what == "entities":
            for document in _documents(head, stream):
                yield things.described(document, head.server, head.stations, head.series)
            return
        series = {each.series: each for components in head.series.values() for each in components}
        yield Described([], [Series(each.series, each.station, _attributes(each)) for each in series.values()])
        row = 0
        for observed in self._observed or (Observed.of(document, head.of) for document in _documents(head, stream)):
            yield read_rows(head, observed, file, row)
            row += len(observed)
        if head.withdrawn:
            yield _withdrawn(head, row)


def _attributes(component: Component) -> dict[str, Any]:
    return {"property": component.property, "kind": "sensor"} | ({"unit": component.unit} if component.unit else {})


def _documents(head: Head, stream: BinaryIO) -> Iterator[Any]:
    for length in head.bodies:
        body = stream.read(length)
        if len(body) != length:
            raise UnreadableFile("The page is cut off. Was the object damaged?")
        try:
            yield orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise UnreadableFile(f"The answer of the server is damaged or cut off: {error}") from error


def read_rows(head: Head, observed: Observed, file: FileFacts, before: int) -> Rows:
    """The observations of one answer that are followed; `before` rows of the file came before it."""
    known = [head.series.get(key) for key in observed.keys]
    width = np.array([len(each) if each else 0 for each in known], dtype=np.int64)
    code = np.array(observed.code, dtype=np.int64)
    times = read_times(observed, head.interval_time)
    first = np.datetime64(file.first_day, "us").astype(np.int64)
    last = np.datetime64((file.arrived_at + file.future_tolerance).replace(tzinfo=None), "us").astype(np.int64)
    is_followed = width[code] > 0 if len(code) else np.zeros(0, dtype=np.bool_)
    is_timed = times.is_known & (times.micros >= first) & (times.micros <= last)
    rejected = [
        Rejected(before + int(row) + 1, _shown(observed, row), _reason(observed, row, times, first))
        for row in np.flatnonzero(is_followed & ~is_timed)
    ]
    good = np.flatnonzero(is_followed & is_timed)
    where, component = _unfolded(
        observed, good, width[code[good]], np.array([key.startswith("M:") for key in observed.keys])[code[good]], rejected, before
    )
    is_whole = len(where) == len(observed) and not (component >= 0).any()
    cells, qualities, parameters = (
        column if is_whole else [column[row] for row in where.tolist()] for column in (observed.results, observed.qualities, observed.parameters)
    )
    if not is_whole:
        cells = [cell if part < 0 else cell[part] for cell, part in zip(cells, component.tolist(), strict=True)]
    found = read_results(cells, qualities, parameters)
    rejected += [Rejected(before + int(where[at]) + 1, _shown(observed, where[at]), reason) for at, reason in found.refused.items()]
    names, number = _numbered(known)
    starts = np.append(0, np.cumsum(width))[:-1]
    series = number[starts[code[where]] + np.maximum(component, 0)] if len(where) else np.zeros(0, dtype=np.int32)
    keep = np.ones(len(where), dtype=np.bool_)
    keep[list(found.refused)] = False
    if head.taken is not None:
        keep &= _is_taken(head.taken, names, series, times.micros[where])
    words = None if found.words is None else [word for word, kept in zip(found.words, keep, strict=True) if kept]
    return Rows(
        _batch(names, series[keep], times.micros[where][keep], found.value[keep], words, (before + where[keep] + 1).astype(np.int32), PUT),
        sorted(rejected, key=lambda each: each.source_row),
    )


def _unfolded(
    observed: Observed, good: NDArray[np.intp], width: NDArray[np.int64], is_multi: NDArray[np.bool_], rejected: list[Rejected], before: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Rows and components: one a row (-1), or one for each value of a MultiDatastream."""
    if not is_multi.any():
        return good, np.full(len(good), -1, dtype=np.int64)
    where, component = [], []
    for row, parts, is_split in zip(good.tolist(), width.tolist(), is_multi.tolist(), strict=True):
        result = observed.results[row]
        if not is_split:
            where.append(row)
            component.append(-1)
        elif isinstance(result, list) and len(result) == parts:
            where += [row] * parts
            component += range(parts)
        else:
            rejected.append(
                Rejected(before + row + 1, _shown(observed, row), f"the result is not a list of the {parts} values of its MultiDatastream")
            )
    return np.array(where, dtype=np.intp), np.array(component, dtype=np.int64)


def _numbered(known: Sequence[Sequence[Component] | None]) -> tuple[list[str], NDArray[np.int32]]:
    """The series of all components in order, and for each component its number among them."""
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(each.series, len(numbers)) for components in known for each in components or ()]
    return list(numbers), np.array(codes, dtype=np.int32)


def _is_taken(taken: Mapping[str, Sequence[int]], names: Sequence[str], series: NDArray[np.int32], micros: NDArray[np.int64]) -> NDArray[np.bool_]:
    keep = np.zeros(len(series), dtype=np.bool_)
    for number, name in enumerate(names):
        if name in taken:
            keep |= (series == number) & np.isin(micros, np.array(taken[name], dtype=np.int64))
    return keep


def _withdrawn(head: Head, row: int) -> Rows:
    names = list(head.withdrawn)
    counts = [len(head.withdrawn[name]) for name in names]
    series = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    micros = np.concatenate([np.array(head.withdrawn[name], dtype=np.int64) for name in names])
    rows = (row + 1 + np.arange(len(series))).astype(np.int32)
    return Rows(_batch(names, series, micros, np.full(len(series), np.nan), None, rows, WITHDRAW), [])


def _batch(
    names: Sequence[str],
    series: NDArray[np.int32],
    micros: NDArray[np.int64],
    value: NDArray[np.float64],
    words: list[str | None] | None,
    source_row: NDArray[np.int32],
    op: int,
) -> pa.RecordBatch:
    used, codes = np.unique(series, return_inverse=True)
    return pa.RecordBatch.from_arrays(
        [
            pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array([names[number] for number in used.tolist()], pa.string())),
            pa.array(micros, pa.timestamp("us", "UTC")),
            pa.array(value, pa.float64()),
            pa.nulls(len(series), _STRING) if words is None else pa.array(words, pa.string()).dictionary_encode(),
            pa.array(source_row, pa.int32()),
            pa.array(np.full(len(series), op, dtype=np.int8)),
        ],
        schema=OBSERVATION_SCHEMA,
    )


def _shown(observed: Observed, row: Any) -> str:
    shown = f"{observed.keys[observed.code[row]]} {observed.times[row]} {observed.results[row]}"
    return shown[: contract.LONGEST_TEXT]


def _reason(observed: Observed, row: Any, times: Times, first: np.int64) -> str:
    written = observed.times[row] if observed.times[row] is not None else observed.result_times[row]
    if written is None:
        return "it has neither a phenomenon time nor a result time"
    if not times.is_known[row]:
        return f"the time {str(written)[:80]!r} is no instant or interval with a time zone"
    if times.micros[row] < first:
        return f"the time {written!r} is before the first day of the store (setting WATER_FIRST_DAY)"
    return f"the time {written!r} lies too far after the arrival of the page (setting WATER_FUTURE_TOLERANCE_MINUTES)"
