"""What an operator does to the data from the command line: asked first, done with --yes. Keep out: what an act means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from water_pipelines.commands import databases
from water_pipelines.commands import drop as dropping
from water_pipelines.orchestration import assets
from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations import replay as replaying
from water_pipelines.orchestration.operations.acts import CannotAct, Done
from water_pipelines.orchestration.operations.replay import Part, Replayed
from water_pipelines.orchestration.resources import Platform, platform_of
from water_pipelines.parsers.facts import ActFact
from water_pipelines.parsers.inbox import INBOX, SIDECAR
from water_pipelines.settings import Settings
from water_pipelines.storage import source_files
from water_pipelines.storage.source_files import SourceFile

Make = Callable[[Platform], ActFact]


@contextmanager
def opened(settings: Settings) -> Iterator[Platform]:
    """The platform's database and store, which must run."""
    if not databases.is_running(databases.server_of(settings)):
        raise CannotAct("the database does not run; start the platform with `water up`")
    assets.register()
    platform = platform_of(settings)
    try:
        yield platform
    finally:
        platform.database.close()


def act(settings: Settings, make: Make, *, yes: bool) -> Done:
    """What an act would do; or, with `yes`, what it did."""
    with opened(settings) as platform:
        fact = make(platform)
        return acts.do(platform, fact) if yes else acts.ask(platform, fact)


def replay(settings: Settings, part: Part, said: Callable[[str], None], *, yes: bool) -> Replayed:
    """What a replay would do; or, with `yes`, what it did."""
    with opened(settings) as platform:
        return replaying.replay(platform, part, said, apply=yes)


def retry(settings: Settings, names: Sequence[str], statuses: Sequence[str], mapping: Path | None) -> list[SourceFile]:
    """Let files be loaded again, as they are, or under another mapping: then they are dropped again with it, and supersede themselves."""
    text = dropping.text_of_mapping(mapping) if mapping is not None else None
    with opened(settings) as platform:
        if text is None:
            files = acts.to_retry(platform, names, statuses)
            source_files.retry(platform.database, [file.arrival for file in files])
            return files
        files = [file for name in names for file in acts.named(platform, name)] + source_files.of_status(platform.database, statuses)
        for file in files:
            key = INBOX + "/".join(filter(None, (file.prefix, file.name)))
            platform.store.put(key + SIDECAR, text.encode())
            with platform.store.open(file.key) as stream:
                platform.store.put(key, stream)
    return files
