"""Backing up a platform, running or not, and restoring it into an empty one. Keep out: what a backup holds."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from water_pipelines.clients.object_store import ObjectStore
from water_pipelines.commands import databases
from water_pipelines.commands.drop import store_of
from water_pipelines.orchestration.operations import backup as operation
from water_pipelines.orchestration.operations.backup import Backup, CannotBackUp, CannotRestore, Manifest
from water_pipelines.orchestration.resources import Platform, platform_of
from water_pipelines.settings import Settings
from water_pipelines.storage import dump, room
from water_pipelines.storage.migrate import has_revision, migrate
from water_pipelines.storage.server import EmbeddedServer

Said = Callable[[str], None]


def back_up(settings: Settings, target: str, said: Said, *, despite_damage: bool) -> Manifest:
    """Make a backup in a folder that does not exist yet, or below a prefix of a bucket under which there is nothing.

    A folder has its name when the backup is complete; a backup in a bucket has its manifest then.

    Raises
    ------
    CannotBackUp
        With the reason.
    """
    there = _at(settings, target)
    with _database_answers(settings), closing(platform_of(settings).database) as database:
        platform = Platform(settings, database, store_of(settings))
        if there.store_root is None:
            return operation.back_up(platform, store_of(there), said, despite_damage=despite_damage)
        with _unfinished(there.store_root) as folder:
            return operation.back_up(platform, store_of(_at(settings, str(folder))), said, despite_damage=despite_damage)


def restore(settings: Settings, source: str, said: Said, *, yes: bool) -> tuple[Manifest, bool]:
    """Look whether a backup is whole and whether this platform can take it; and, with `yes`, restore it.

    Where the object store is the backup's own landing zone, in which more has landed since, only the database is restored. The second of
    what is given says so: `rebuild` then brings the database up to what landed.

    Raises
    ------
    CannotRestore
        With the reason.
    """
    backup = operation.opened(store_of(_at(settings, source)))
    if not has_revision(backup.manifest.schema):
        release = backup.manifest.code_version
        raise CannotRestore(f"the backup was made by release {release}, whose schema {backup.manifest.schema} is newer than this one's; install it")
    store = store_of(settings)
    with databases.at_rest(settings) as server:
        is_ahead = operation.is_ahead(backup, store)
        _require_empty(settings, server, backup, store, is_ahead)
        _require_room(settings, server, backup)
        operation.verify(backup, said)
        if not yes:
            return backup.manifest, is_ahead
        if not is_ahead:
            said("restoring the objects")
            operation.restore_objects(backup, store, said)
        said("restoring the database")
        databases.start(settings, server)
        _restore_database(settings, server, backup, said)
        databases.bring_up_to_date(settings, server)
    return backup.manifest, is_ahead


def _restore_database(settings: Settings, server: databases.Server, backup: Backup, said: Said) -> None:
    url, schema = server.url(settings.database), backup.manifest.schema
    with closing(databases.database_of(settings, server)) as database:
        if databases.revision(settings, server) not in (None, schema):
            with database.connection() as connection:
                dump.clear(connection)
        migrate(url, first_day=settings.first_day, code_version=settings.code_version, to=schema)
        with database.connection() as connection:
            operation.restore_database(backup, connection, said)


def _require_empty(settings: Settings, server: databases.Server, backup: Backup, store: ObjectStore, is_ahead: bool) -> None:
    key = None if is_ahead else operation.foreign(backup, store)
    if key is not None:
        raise CannotRestore(f"{store!r} is not empty: it holds {key}, which is not the backup's; restore into another WATER_HOME or WATER_STORE_URL")
    if databases.revision(settings, server) is None:
        return
    with closing(databases.database_of(settings, server)) as database, database.connection() as connection:
        if not dump.is_empty(connection):
            raise CannotRestore(
                f"the database {settings.database} is not empty: files have landed in it; restore into another WATER_HOME or WATER_DATABASE_URL"
            )


def _require_room(settings: Settings, server: databases.Server, backup: Backup) -> None:
    """Raise `CannotRestore` where a disk of this machine cannot take what would come to lie on it."""
    needed: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    wanted = [(settings.store_root, backup.manifest.object_bytes)]
    wanted += [(server.status().data, backup.manifest.stored_bytes)] if isinstance(server, EmbeddedServer) else []
    for path, size in wanted:
        if path is not None:
            folder = next(each for each in (path, *path.parents) if each.is_dir())
            disk = folder.stat().st_dev
            needed[disk] += size
            places[disk] = folder
    for disk, size in needed.items():
        try:
            room.require(places[disk], size, "Restoring the backup")
        except room.NoRoom as error:
            raise CannotRestore(str(error)) from error


def _at(settings: Settings, place: str) -> Settings:
    """The settings of a store at a folder, `file:///folder` or `s3://bucket/prefix`."""
    try:
        return Settings.model_validate({**settings.model_dump(), "store_url": place})
    except ValueError as error:
        raise CannotBackUp(f"{place} names no place: {error}") from error


@contextmanager
def _database_answers(settings: Settings) -> Iterator[None]:
    """The platform's database, whether the platform runs or not."""
    server = databases.server_of(settings)
    if databases.is_running(server):
        _require_database(settings, server)
        yield
        return
    with databases.at_rest(settings) as server:
        _require_database(settings, server)
        yield


def _require_database(settings: Settings, server: databases.Server) -> None:
    if databases.revision(settings, server) is None:
        raise CannotBackUp(f"there is no database {settings.database} to back up; the platform was never started with these settings")


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the one that is meant, whose name it gets at the end of the block; what a killed backup left goes first."""
    if (folder.is_dir() and any(folder.iterdir())) or (folder.exists() and not folder.is_dir()):
        raise CannotBackUp(f"{folder} exists; name a folder that does not")
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(partial / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotBackUp(f"another backup to {folder} is being made") from None
        for left in partial.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name != ".lock":
                left.unlink()
        try:
            yield partial
            (partial / ".lock").unlink()
            os.rename(partial, folder)  # an empty folder of that name gives way
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        parent = os.open(folder.parent, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)
    finally:
        os.close(lock)
