"""Loading: what becomes of a landed file, by its kind.

Add a kind to `LOADERS`. A loader gets a file that nobody else holds and either commits everything that follows from it, ledger row
included, or raises: `UnreadableFile` where the file is at fault, anything else where a retry may help.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache, partial
from itertools import chain, groupby, takewhile
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.intervals import usual_interval_s
from water_pipelines.domain.rules import InvalidRules, RuleSet, default_rules
from water_pipelines.orchestration.operations import argo, argo_flagging, pages
from water_pipelines.orchestration.operations.facts import load_champion, load_forecast, load_model
from water_pipelines.orchestration.operations.ticks import load_tick
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import edges
from water_pipelines.parsers.contract import (
    MESSAGES,
    Argo,
    Complete,
    Described,
    FileFacts,
    Rows,
    SensorState,
    SensorStates,
    Station,
    UnreadableFile,
    Window,
)
from water_pipelines.parsers.contract import Series as SeriesClaim
from water_pipelines.parsers.mapping import InvalidMapping, Mapping
from water_pipelines.parsers.sensorthings import Page
from water_pipelines.parsers.servers import InvalidServers, read_servers
from water_pipelines.storage import loads, room, rule_sets, sensorthings, series_changes, source_files
from water_pipelines.storage.argo import ArgoFile
from water_pipelines.storage.claims import Claims
from water_pipelines.storage.database import Connection
from water_pipelines.storage.loads import Loaded, Parsed
from water_pipelines.storage.source_files import SourceFile
from water_pipelines.storage.spool import Refused, Spool
from water_pipelines.storage.staging import Edge

if TYPE_CHECKING:
    from water_pipelines.parsers.contract import Parser

_PROGRESS_EVERY_S = 1.0
_SMALL_BYTES = 256 << 10
"""Files up to this size are loaded together: what several of them hold at once must not add up."""
_TOGETHER, _TOGETHER_BYTES = 200, 8 << 20
_ROWS_AT_ONCE = 500_000

log = logging.getLogger(__name__)

Loader = Callable[[Platform, SourceFile], Loaded]


class RefusedWithRows(UnreadableFile):
    """A file that is refused as a whole, with rows that were refused before: these are kept for whoever mends it."""

    def __init__(self, message: str, refused: Refused) -> None:
        super().__init__(message)
        self.refused = refused
        """To be closed by whoever notes the refusal."""


class _HoldsArgo(Exception):
    """What was taken for an archive of observations holds files of Argo, which are loaded in a way of their own."""


def load_files(platform: Platform, files: Iterable[SourceFile]) -> list[Loaded]:
    """Load files in their order, small ones of Argo together; a file that cannot be loaded is noted with its reason, and the rest goes on."""
    loaded: list[Loaded] = []
    for is_small, group in groupby(files, key=argo.is_small):
        if is_small:
            loaded += argo.load_together(platform, ((file, _facts(platform, file)) for file in group))
        else:
            loaded += _load_in_order(platform, list(group))
    return loaded


def _load_in_order(platform: Platform, files: Sequence[SourceFile]) -> list[Loaded]:
    """Load files one after the other, and runs of small ones together."""
    few = {file.arrival for file in files if file.kind == "data" and file.bytes <= _SMALL_BYTES}
    few -= source_files.with_other_mappings(platform.database, list(few))
    loaded: list[Loaded] = []
    for is_small, run in groupby(files, key=lambda file: file.arrival in few):
        small = list(run)
        if is_small and len(small) > 1:
            loaded += _load_together(platform, sorted(small, key=attrgetter("arrival")))
        else:
            loaded += [done for file in small if (done := load_file(platform, file.arrival)) is not None]
    return loaded


def load_file(platform: Platform, arrival: int, parser: Parser | None = None) -> Loaded | None:
    """Load one file; none where another process holds it, it is done already, or it was refused.

    Parameters
    ----------
    parser : of a file of data, where it is known; else it is found by the content.
    """
    with source_files.loading(platform.database, arrival) as file:
        if file is None:
            return None
        with _noted(platform, file) as outcome:
            outcome.append(LOADERS[file.kind](platform, file) if parser is None else _load_data(platform, file, parser))
    return outcome[0] if outcome else None


@contextmanager
def _noted(platform: Platform, file: SourceFile) -> Iterator[list[Loaded]]:
    """Note why a file that is held was not loaded, or tell what was loaded of it: what is put into the list."""
    outcome: list[Loaded] = []
    try:
        yield outcome
    except UnreadableFile as error:
        log.warning("%s is set aside: %s", file.name, error)
        with error.refused if isinstance(error, RefusedWithRows) else Refused() as refused:
            rejected = error.rejected if isinstance(error, argo.NoMemberLoaded) else refused
            source_files.refuse(platform.database, file.arrival, status="quarantined", error=str(error), rejected=rejected)
    except Exception as error:
        log.exception("%s could not be loaded", file.name)
        source_files.refuse(platform.database, file.arrival, status="failed", error=f"{type(error).__name__}: {error}")
    for loaded in outcome:
        _tell(file, loaded)


def _tell(file: SourceFile, loaded: Loaded) -> None:
    log.info(
        "%s: %s new, %s changed, %s unchanged values, %s rows rejected", file.name, loaded.new, loaded.changed, loaded.unchanged, loaded.rejected
    )


def _load_together(platform: Platform, files: Sequence[SourceFile]) -> list[Loaded]:
    """Load small files in their order, many in one transaction; the next are read while these are written."""
    loaded: list[Loaded] = []
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as reader, ExitStack() as everything:
        writing: tuple[ExitStack, Future[list[_Ready]]] | None = None
        for part in chain(_parts(files), [[]]):
            reading = None
            if part:
                kept = everything.enter_context(ExitStack())
                held = kept.enter_context(source_files.loading_many(platform.database, [file.arrival for file in part]))
                reading = (kept, reader.submit(_read_all, platform, held, kept))
            if writing is not None:
                with writing[0]:
                    loaded += _write_all(platform, writing[1].result())
            writing = reading
    return loaded


def _parts(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """Files in parts that one process holds, and keeps in memory, at a time."""
    sizes = np.cumsum([file.bytes for file in files])
    numbers = np.maximum.accumulate(np.maximum(np.arange(len(files)) // _TOGETHER, sizes // _TOGETHER_BYTES))
    for _, part in groupby(zip(numbers.tolist(), files, strict=True), key=itemgetter(0)):
        yield [file for _, file in part]


@dataclass(frozen=True)
class _Ready:
    """A file that is held, and what was read of it; none of a file of Argo, and of one that is read in its turn."""

    file: SourceFile
    parsed: Parsed | None


def _read_all(platform: Platform, files: Sequence[SourceFile], kept: ExitStack) -> list[_Ready]:
    """Read files that are held, up to some rows; one that cannot be read is noted with its reason. `kept` closes what was read."""
    ready: list[_Ready] = []
    rows = 0
    for file in files:
        with _noted(platform, file):
            read = _ready(platform, file, kept) if rows <= _ROWS_AT_ONCE else None
            parsed = read if isinstance(read, Parsed) else None
            rows += parsed.spool.rows if parsed else 0
            ready.append(_Ready(file, parsed))
    return ready


def _write_all(platform: Platform, ready: Sequence[_Ready]) -> list[Loaded]:
    """Write files in their order: as many as only add in one transaction, any other in one of its own.

    How many are tried together follows from how many could be, so that a file of many that do more costs no more than by itself.
    """
    loaded: list[Loaded] = []
    place, together = 0, len(ready)
    while place < len(ready):
        some = list(takewhile(_may_add, ready[place : place + together]))
        done = _add(platform, [(each.file, each.parsed) for each in some if each.parsed]) if len(some) > 1 else []
        loaded += done
        place += len(done)
        if len(done) == len(some) > 0:
            together *= 2
        else:
            each, together = ready[place], max(2 * len(done), 2)
            with _noted(platform, each.file) as outcome:
                outcome.append(_store(platform, each.file, each.parsed) if each.parsed else _load_data(platform, each.file))
            loaded += outcome
            place += 1
    return loaded


def _may_add(ready: _Ready) -> bool:
    """Whether a file may be loaded with others; of a page there is more to note."""
    return ready.parsed is not None and ready.parsed.parser != Page.name


def _add(platform: Platform, files: Sequence[tuple[SourceFile, Parsed]]) -> list[Loaded]:
    """Load the first of some files, as far as they only add, in one transaction; none where it fails: then each is tried by itself."""
    try:
        _require_room(platform, sum(parsed.spool.rows for _, parsed in files), f"{len(files)} files")
        with platform.database.connection() as connection:
            of_series = edges(connection, "core/series")
        loaded = loads.load_additions(platform.database, files, edges=readers_of_observations, series_edges=of_series)
    except Exception:
        log.exception("%s files could not be loaded together", len(files))
        return []
    for (file, _), each in zip(files, loaded, strict=False):
        _tell(file, each)
    return loaded


@dataclass(frozen=True)
class Difference:
    """What a replay changed, or would: values that were not stored, take another value, and are gone."""

    added: int = 0
    changed: int = 0
    gone: int = 0

    @classmethod
    def of(cls, connection: Connection, change: int | None) -> Difference:
        """What a change did."""
        fed = series_changes.counts(connection, change) if change is not None else {}
        return cls(fed.get("added", 0), fed.get("changed", 0), fed.get("withdrawn", 0))


def replay_days(platform: Platform, days: NDArray[np.datetime64], *, apply: bool = True) -> tuple[Loaded, Difference]:
    """Derive days of observations again from their landed files; without `apply` it is only counted what would differ."""
    with platform.database.connection() as connection:
        loaded = loads.replay(platform.database, connection, days, edges=readers_of_observations, reparse=partial(reparse, platform))
        difference = Difference.of(connection, loaded.change)
        if not apply:
            connection.rollback()
    return loaded, difference


def replay_file(platform: Platform, arrival: int, *, apply: bool) -> Difference | None:
    """Read a file that was loaded again, by the present parsers, at its place in the order of arrival; none where nothing differs.

    Without `apply` it is only counted what would differ.

    Raises
    ------
    UnreadableFile
        The present parsers refuse it, or it is not loaded; what was loaded stands.
    """
    file = source_files.get(platform.database, arrival)
    with ExitStack() as stack:
        spool, refused = stack.enter_context(Spool(_scratch(platform))), stack.enter_context(Refused(_scratch(platform)))
        try:
            parsed = _checked(platform, file, _parser_of(platform, file), spool, refused)
        except _HoldsArgo as error:
            raise UnreadableFile("Files of Argo are not replayed. To read them again, rebuild the database (`water rebuild`).") from error
        connection = stack.enter_context(platform.database.connection())
        source_files.hold(connection, [arrival])
        if not source_files.is_loaded(connection, arrival):
            raise UnreadableFile(f"{file.name} (arrival {arrival}) is not loaded: it is {file.status}{', withdrawn' if file.withdrawn_at else ''}")
        before = loads.said_by(connection, arrival)
        of_series = edges(connection, "core/series")
        loaded = loads.load_within(
            platform.database, connection, file, parsed, edges=readers_of_observations, series_edges=of_series, reparse=partial(reparse, platform)
        )
        difference = Difference.of(connection, loaded.change)
        differs = len(loaded.days) > 0 or loads.said_by(connection, arrival) != before
        if not (differs and apply):
            connection.rollback()
    return difference if differs else None


def readers_of_observations(connection: Connection) -> list[Edge]:
    """What reads observations, and how far."""
    return edges(connection, "core/observation")


def _load_data(platform: Platform, file: SourceFile, parser: Parser | None = None) -> Loaded:
    newer = source_files.later_mapping(platform.database, file)
    if newer is not None:
        raise UnreadableFile(f"the same bytes were loaded under a newer mapping ({newer.mapping_version}), by job {newer.job_id}; they stand")
    with ExitStack() as kept:
        ready = _ready(platform, file, kept, parser)
        if isinstance(ready, Parsed):
            return _store(platform, file, ready)
        return argo.load_one(platform, file, _facts(platform, file), ready, _scratch(platform))


def _ready(platform: Platform, file: SourceFile, kept: ExitStack, parser: Parser | None = None) -> Parsed | Parser:
    """A file as its load takes it, closed by `kept`; of a file of Argo, which has a way of its own, only the parser."""
    scratch = _scratch(platform)
    room.require(scratch, file.bytes, f"Reading {file.name}")
    parser = parser or _parser_of(platform, file)
    if parser.kind == "argo":
        return parser
    with ExitStack() as unless_read, ExitStack() as unless_kept:
        spool, refused = unless_read.enter_context(Spool(scratch)), unless_kept.enter_context(Refused(scratch))
        try:
            parsed = _checked(platform, file, parser, spool, refused)
        except _HoldsArgo:
            return parser
        except RefusedWithRows:
            unless_kept.pop_all()
            raise
        kept.push(unless_read.pop_all())
        kept.push(unless_kept.pop_all())
    return parsed


def _store(platform: Platform, file: SourceFile, parsed: Parsed) -> Loaded:
    """Load what was read of a file."""
    is_page = parsed.parser == Page.name
    if is_page:
        pages.note_landed(platform, file)
    _require_room(platform, parsed.spool.rows, file.name)
    with platform.database.connection() as connection:
        of_series = edges(connection, "core/series")
    loaded = loads.load(platform.database, file, parsed, edges=readers_of_observations, series_edges=of_series, reparse=partial(reparse, platform))
    if is_page:
        pages.note_loaded(platform, file, loaded)
    return loaded


def _require_room(platform: Platform, rows: int, of: str) -> None:
    if platform.settings.database_url is None:  # the embedded server keeps its data in the home
        room.require(platform.settings.home, rows * room.STORED_BYTES_A_ROW, f"Storing the {rows:,} rows of {of}")


def _parser_of(platform: Platform, file: SourceFile) -> Parser:
    """The parser of a file, by its content."""
    from water_pipelines.parsers.recognise import find_parser  # with polars, which most processes do without

    with platform.store.open(file.key) as stream:
        return find_parser(stream, _mapping(file))


@dataclass
class _Said:
    """What a file says beside its observations."""

    stations: dict[str, Station] = field(default_factory=dict)
    series: dict[str, SeriesClaim] = field(default_factory=dict)
    states: list[SensorState] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)


def _read(
    platform: Platform, file: SourceFile, parser: Parser, spool: Spool, refused: Refused, at: Callable[[float], None] = lambda share: None
) -> _Said:
    """Fill spools with what a file's parser yields, telling `at` which share of it was read; give the rest of what it says."""
    from water_pipelines.parsers.recognise import said_by  # with polars, which most processes do without

    said = _Said()
    with platform.store.open(file.key) as stream:
        for event in said_by(parser, stream, _mapping(file), _facts(platform, file)):
            match event:
                case Described():
                    said.stations.update({station.natural_id: station for station in event.stations})
                    said.series.update({each.natural_id: each for each in event.series})
                case Rows():
                    spool.append(event.batch)
                    refused.extend((each.source_row, each.text, each.reason) for each in event.rejected)
                case Argo():
                    raise _HoldsArgo
                case SensorStates():
                    said.states += event.states
                case Complete():
                    said.windows += event.windows
            at(stream.tell() / max(file.bytes, 1))
    return said


def _checked(platform: Platform, file: SourceFile, parser: Parser, spool: Spool, refused: Refused) -> Parsed:
    """A file as its load takes it; `RefusedWithRows`, with `refused`, where it is refused and rows of it were."""
    try:
        parsed = _parse(platform, file, parser, spool, refused)
    except UnreadableFile as error:
        if refused:
            raise RefusedWithRows(str(error), refused) from error
        raise
    if refused.rows and (excess := _excess(platform, parsed, refused.rows)):
        row, _, reason = next(each for each in refused if each[0])
        raise RefusedWithRows(f"{excess}. The first: row {row}: {reason}", refused)
    return parsed


def _excess(platform: Platform, parsed: Parsed, refused: int) -> str | None:
    """Why so many refused rows are too many.

    Pages and batches of messages hold what many sensors said, of which one that says nothing but nonsense must not hold up the others.
    Members of an archive that were set aside are no rows.
    """
    if parsed.parser == Page.name:
        return None
    if parsed.parser == MESSAGES:
        is_of_use = parsed.spool.rows or parsed.states or parsed.claims.stations or parsed.claims.series
        return None if is_of_use else "no message can be used"
    if parsed.windows:
        return f"{refused} rows were refused of a file that is declared complete, so that they would count as deleted"
    limit, rows = platform.settings.rejected_share_limit, parsed.spool.rows + refused
    if refused <= limit * rows:
        return None
    return f"{refused} of {rows} rows were refused, more than the share that WATER_REJECTED_SHARE_LIMIT ({limit:g}) allows"


def _parse(platform: Platform, file: SourceFile, parser: Parser, spool: Spool, refused: Refused) -> Parsed:
    """A file as its load takes it."""
    said = _read(platform, file, parser, spool, refused, _progress(platform, file.arrival))
    states = [(each.series, each.at, each.is_active, each.reason) for each in said.states]
    windows = [(each.series, each.start, each.end) for each in said.windows]
    return Parsed(spool, _claims(said, spool), refused, parser.name, parser.version, states, windows)


def _progress(platform: Platform, arrival: int) -> Callable[[float], None]:
    """Notes the share that was read, at most every second: a small file's never."""
    noted_s = time.monotonic()

    def at(share: float) -> None:
        nonlocal noted_s
        if time.monotonic() - noted_s >= _PROGRESS_EVERY_S:
            source_files.note_progress(platform.database, arrival, min(share, 1.0))
            noted_s = time.monotonic()

    return at


def _claims(said: _Said, spool: Spool) -> Claims:
    intervals = _usual_intervals(spool)
    series = {
        natural_id: {"inferred_interval_s": intervals.get(natural_id), **each.attributes, "station": each.station}
        for natural_id, each in said.series.items()
    }
    stations: dict[str, dict[str, Any]] = {each.station: {} for each in said.series.values()}
    return Claims({**stations, **{name: station.attributes for name, station in said.stations.items()}}, series)


def _usual_intervals(spool: Spool) -> dict[str, float | None]:
    """The interval that each series of a file keeps, judged by the first rows."""
    names = list(spool.series)
    for chunk in spool.chunks():
        if len(chunk.series) == 0:
            continue
        order = np.argsort(chunk.series, kind="stable")
        numbers, starts = np.unique(chunk.series[order], return_index=True)
        return {names[number]: usual_interval_s(time) for number, time in zip(numbers, np.split(chunk.time[order], starts[1:]), strict=True)}
    return {}


def reparse(platform: Platform, arrival: int) -> Spool:
    """The observations of a landed file, parsed again under the mapping that it landed with."""
    spool = Spool(_scratch(platform))
    try:
        with Refused(spool.directory) as refused:
            file = source_files.get(platform.database, arrival)
            _read(platform, file, _parser_of(platform, file), spool, refused)
    except BaseException:
        spool.close()
        raise
    return spool


def reread_argo(platform: Platform, arrival: int) -> ArgoFile:
    """A landed file of Argo, to be read again."""
    file = source_files.get(platform.database, arrival)
    return argo.reread(platform, file, _facts(platform, file), _scratch(platform))


def _mapping(file: SourceFile) -> Mapping:
    try:
        return _read_mapping(file.mapping)
    except InvalidMapping as error:
        raise UnreadableFile(f"Its mapping cannot be used: {error}") from error


_read_mapping = lru_cache(maxsize=64)(Mapping.from_yaml)
"""Many files of a folder land with one mapping."""


def _facts(platform: Platform, file: SourceFile) -> FileFacts:
    settings = platform.settings
    return FileFacts(file.name, file.prefix, file.arrived_at, settings.first_day, timedelta(minutes=settings.future_tolerance_minutes))


def _scratch(platform: Platform) -> Path:
    folder = platform.settings.home / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _load_mapping(platform: Platform, file: SourceFile) -> Loaded:
    text = _text(platform, file)
    try:
        version = Mapping.from_yaml(text).version
    except InvalidMapping as error:
        raise UnreadableFile(f"The mapping cannot be used: {error}") from error
    with platform.database.connection() as connection:
        change = platform.database.take_number(connection, "mapping")
        source_files.keep_mapping(connection, file, version, text)
        source_files.succeed(connection, file.arrival, rows=0, rejected=0)
    return Loaded(change)


def _load_rules(platform: Platform, file: SourceFile) -> Loaded:
    text = _text(platform, file)
    try:
        rules = RuleSet.from_yaml(text, over=default_rules())
    except InvalidRules as error:
        raise UnreadableFile(str(error)) from error
    with platform.database.connection() as connection:
        change = platform.database.take_number(connection, "rules")
        rule_sets.put_in_force(connection, file.arrival, rules.version, text)
        source_files.succeed(connection, file.arrival, rows=0, rejected=0)
    return Loaded(change)


def _load_servers(platform: Platform, file: SourceFile) -> Loaded:
    try:
        servers = {server.name: server for server in read_servers(_text(platform, file))}
    except InvalidServers as error:
        raise UnreadableFile(str(error)) from error
    with platform.database.connection() as connection:
        change = platform.database.take_number(connection, "servers")
        said = {name: server.model_dump(mode="json") for name, server in servers.items()}
        elsewhere = sensorthings.put_servers(connection, file, said, {name: server.interval for name, server in servers.items()})
        if elsewhere:
            raise UnreadableFile(f"the server {elsewhere[0]} stands in the sensorthings.yaml of another folder; give this one another name")
        source_files.succeed(connection, file.arrival, rows=len(servers), rejected=0)
    return Loaded(change, rows=len(servers))


def _text(platform: Platform, file: SourceFile) -> str:
    try:
        return platform.store.read(file.key).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{file.name} is not UTF-8 text: {error}") from error


def _load_act(platform: Platform, file: SourceFile) -> Loaded:
    from water_pipelines.orchestration.operations.acts import load_act  # which replays by what is here

    return load_act(platform, file)


LOADERS: dict[str, Loader] = {
    "data": _load_data,
    "mapping": _load_mapping,
    "rules": _load_rules,
    "sensorthings": _load_servers,
    "tick": load_tick,
    "model": load_model,
    "forecast": load_forecast,
    "champion": load_champion,
    "act": _load_act,
    argo_flagging.KIND: argo_flagging.load_rules,
}
"""Kind of a landed file -> what loads it."""
