"""Loading: what becomes of a landed file, by its kind.

Add a kind to `LOADERS`. A loader gets a file that nobody else holds and either commits everything that follows from it, ledger row
included, or raises: `UnreadableFile` where the file is at fault, anything else where a retry may help.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.intervals import usual_interval_s
from water_pipelines.domain.rules import InvalidRules, RuleSet, default_rules
from water_pipelines.orchestration.operations.facts import load_champion, load_forecast, load_model
from water_pipelines.orchestration.operations.ticks import load_tick
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import edges
from water_pipelines.parsers.contract import MESSAGES, Described, FileFacts, Rows, SensorState, SensorStates, Station, UnreadableFile
from water_pipelines.parsers.contract import Series as SeriesClaim
from water_pipelines.parsers.mapping import InvalidMapping, Mapping
from water_pipelines.storage import loads, room, rule_sets, source_files
from water_pipelines.storage.claims import Claims
from water_pipelines.storage.loads import Loaded, Parsed
from water_pipelines.storage.source_files import SourceFile
from water_pipelines.storage.spool import Refused, Spool

if TYPE_CHECKING:
    from water_pipelines.parsers.recognise import Recognised

_PROGRESS_EVERY_S = 1.0

log = logging.getLogger(__name__)

Loader = Callable[[Platform, SourceFile], Loaded]


class TooManyRefused(UnreadableFile):
    """A file of which so many rows were refused that none is taken; the refused rows are kept for whoever mends it."""

    def __init__(self, message: str, refused: Refused) -> None:
        super().__init__(message)
        self.refused = refused
        """To be closed by whoever notes the refusal."""


def load_files(platform: Platform, files: Iterable[SourceFile]) -> list[Loaded]:
    """Load files one after the other; a file that cannot be loaded is noted with its reason, and the rest goes on."""
    return [loaded for file in files if (loaded := load_file(platform, file.arrival)) is not None]


def load_file(platform: Platform, arrival: int) -> Loaded | None:
    """Load one file; none where another process holds it, it is done already, or it was refused."""
    with source_files.loading(platform.database, arrival) as file:
        if file is None:
            return None
        try:
            loaded = LOADERS[file.kind](platform, file)
        except UnreadableFile as error:
            log.warning("%s is set aside: %s", file.name, error)
            with error.refused if isinstance(error, TooManyRefused) else Refused() as refused:
                source_files.refuse(platform.database, arrival, status="quarantined", error=str(error), rejected=refused)
            return None
        except Exception as error:
            log.exception("%s could not be loaded", file.name)
            source_files.refuse(platform.database, arrival, status="failed", error=f"{type(error).__name__}: {error}")
            return None
    log.info(
        "%s: %s new, %s changed, %s unchanged values, %s rows rejected", file.name, loaded.new, loaded.changed, loaded.unchanged, loaded.rejected
    )
    return loaded


def replay_days(platform: Platform, days: NDArray[np.datetime64]) -> Loaded:
    """Derive days of observations again from their landed files."""
    with platform.database.connection() as connection:
        readers = edges(connection, "core/observation")
    return loads.replay(platform.database, days, edges=readers, reparse=partial(reparse, platform))


def _load_data(platform: Platform, file: SourceFile) -> Loaded:
    newer = source_files.later_mapping(platform.database, file)
    if newer is not None:
        raise UnreadableFile(f"the same bytes were loaded under a newer mapping ({newer.mapping_version}), by job {newer.job_id}; they stand")
    scratch = _scratch(platform)
    room.require(scratch, file.bytes, f"Reading {file.name}")
    with ExitStack() as stack:
        spool, refused = stack.enter_context(Spool(scratch)), Refused(scratch)
        unless_kept = stack.enter_context(ExitStack())
        unless_kept.enter_context(refused)
        parsed = _parse(platform, file, spool, refused)
        limit = platform.settings.rejected_share_limit
        # a batch of messages holds what many said, of whom one must not hold up the others; those of no use at all are in a batch of their own
        is_spoilt = not spool.rows if parsed.parser == MESSAGES else len(refused) > limit * (spool.rows + len(refused))
        if refused and is_spoilt:
            row, _, reason = next(iter(refused))
            unless_kept.pop_all()
            what = (
                "no message can be used"
                if parsed.parser == MESSAGES
                else f"{len(refused)} of {spool.rows + len(refused)} rows were refused, more than the share that WATER_REJECTED_SHARE_LIMIT"
                f" ({limit:g}) allows"
            )
            raise TooManyRefused(f"{what}. The first: row {row}: {reason}", refused)
        if platform.settings.database_url is None:  # the embedded server keeps its data in the home
            room.require(platform.settings.home, spool.rows * room.STORED_BYTES_A_ROW, f"Storing the {spool.rows:,} rows of {file.name}")
        with platform.database.connection() as connection:
            readers, of_series = edges(connection, "core/observation"), edges(connection, "core/series")
        return loads.load(platform.database, file, parsed, edges=readers, series_edges=of_series, reparse=partial(reparse, platform))


@dataclass
class _Said:
    """What a file says beside its observations."""

    stations: dict[str, Station] = field(default_factory=dict)
    series: dict[str, SeriesClaim] = field(default_factory=dict)
    states: list[SensorState] = field(default_factory=list)


def _read(
    platform: Platform, file: SourceFile, spool: Spool, refused: Refused, at: Callable[[float], None] = lambda share: None
) -> tuple[_Said, Recognised]:
    """Fill spools with what a file's parser yields, telling `at` which share of it was read; give the rest of what it says and the parser."""
    from water_pipelines.parsers.recognise import describe, parse_file  # with polars, which most processes do without

    mapping, said = _mapping(file), _Said()
    with platform.store.open(file.key) as stream:
        recognised = describe(stream, mapping)
        for event in parse_file(stream, mapping, _facts(platform, file)):
            match event:
                case Described():
                    said.stations.update({station.natural_id: station for station in event.stations})
                    said.series.update({each.natural_id: each for each in event.series})
                case Rows():
                    spool.append(event.batch)
                    refused.extend((each.source_row, each.text, each.reason) for each in event.rejected)
                case SensorStates():
                    said.states += event.states
            at(stream.tell() / max(file.bytes, 1))
    return said, recognised


def _parse(platform: Platform, file: SourceFile, spool: Spool, refused: Refused) -> Parsed:
    """A file as its load takes it."""
    said, recognised = _read(platform, file, spool, refused, _progress(platform, file.arrival))
    states = [(each.series, each.at, each.is_active, each.reason) for each in said.states]
    return Parsed(spool, _claims(said, spool), refused, recognised.parser, recognised.version, states)


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
            _read(platform, source_files.get(platform.database, arrival), spool, refused)
    except BaseException:
        spool.close()
        raise
    return spool


def _mapping(file: SourceFile) -> Mapping:
    try:
        return Mapping.from_yaml(file.mapping)
    except InvalidMapping as error:
        raise UnreadableFile(f"its mapping cannot be used: {error}") from error


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
        raise UnreadableFile(str(error)) from error
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
    "tick": load_tick,
    "model": load_model,
    "forecast": load_forecast,
    "champion": load_champion,
    "act": _load_act,
}
"""Kind of a landed file -> what loads it."""
