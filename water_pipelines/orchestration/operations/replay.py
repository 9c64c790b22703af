"""Replaying a part of the landing zone: files, or days of observations, are read again from the landed bytes by the present parsers.

Nothing lands, since nothing new is said: a rebuild comes to the same. Only what differs is written. Asked first, done with `apply`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from water_pipelines.orchestration.operations.acts import CannotAct, named
from water_pipelines.orchestration.operations.loading import Difference, replay_days, replay_file
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import chunks
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.storage import loads, source_files
from water_pipelines.storage.source_files import SourceFile

Span = tuple[date, date]
"""First and last day, UTC."""


def span(text: str) -> Span:
    """A day, or two with dots between them; `ValueError` where it is neither.

    >>> span("2026-03-01..2026-03-05")
    (datetime.date(2026, 3, 1), datetime.date(2026, 3, 5))
    >>> span("2026-03-01") == span("2026-03-01..2026-03-01")
    True
    """
    first, _, last = text.partition("..")
    found = date.fromisoformat(first), date.fromisoformat(last or first)
    if found[0] > found[1]:
        raise ValueError(f"{first} is after {last}")
    return found


@dataclass(frozen=True)
class Part:
    """What is to be replayed: files by SHA-256, job id or arrival number; those below a prefix, of days of arrival; or event days."""

    files: Sequence[str] = ()
    prefix: str | None = None
    arrived: Span | None = None
    days: Span | None = None


@dataclass
class Replayed:
    """What a replay did, or would do: values that are new, changed and gone, the files that differ, and those that are refused now."""

    files: int = 0
    days: int = 0
    added: int = 0
    changed: int = 0
    gone: int = 0
    differing: list[SourceFile] = field(default_factory=list)
    refused: list[tuple[SourceFile, str]] = field(default_factory=list)


def replay(platform: Platform, part: Part, said: Callable[[str], None] = lambda _: None, *, apply: bool) -> Replayed:
    """Replay a part; what it makes stale is settled by whoever settles next.

    Raises
    ------
    CannotAct
        Nothing is meant, or what is meant was not loaded.
    """
    if part.days is not None:
        if part.files or part.prefix is not None or part.arrived is not None:
            raise CannotAct("event days go alone: either they or files are replayed")
        return _replay_days(platform, part.days, said, apply=apply)
    files = _files(platform, part)
    done = Replayed(files=len(files))
    for number, file in enumerate(files, start=1):
        try:
            difference = replay_file(platform, file.arrival, apply=apply)
        except UnreadableFile as error:
            done.refused.append((file, str(error)))
        else:
            if difference is not None:
                _count(done, difference)
                done.differing.append(file)
        said(f"{number:,} of {len(files):,} files replayed, up to {file.name}")
    return done


def _files(platform: Platform, part: Part) -> list[SourceFile]:
    if part.files and (part.prefix is not None or part.arrived is not None):
        raise CannotAct("files that are named go alone: either they, or a folder and days of arrival")
    if part.files:
        found = {file.arrival: file for name in part.files for file in named(platform, name)}
        for file in found.values():
            if file.kind != "data":
                raise CannotAct(f"{file.name} is not data but {file.kind}, which is read once; `water rebuild` reads all that landed again")
        return [file for _, file in sorted(found.items()) if file.superseded_by is None]
    if part.prefix is None and part.arrived is None:
        raise CannotAct("name what is to be replayed: files, a folder, days of arrival or event days")
    files = source_files.loaded_data(platform.database, part.prefix, *(part.arrived or (None, None)))
    if not files:
        raise CannotAct("no file that is loaded is meant; see /api/v1/datasets")
    return files


def _replay_days(platform: Platform, span: Span, said: Callable[[str], None], *, apply: bool) -> Replayed:
    with platform.database.connection() as connection:
        days = loads.days_with_values(connection, *span)
    done = Replayed()
    for some in chunks(platform, days):
        _count(done, replay_days(platform, some, apply=apply)[1])
        done.days += len(some)
        said(f"{done.days:,} of {len(days):,} days replayed")
    if not done.days:
        raise CannotAct(f"no file gave values from {span[0]} to {span[1]}")
    return done


def _count(done: Replayed, difference: Difference) -> None:
    done.added += difference.added
    done.changed += difference.changed
    done.gone += difference.gone
