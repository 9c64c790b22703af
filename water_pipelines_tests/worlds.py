"""Platforms for the long proofs, outside of pytest: a server of their own, and as many migrated databases with a store as are asked for.

Keep out: what is done with a platform, and assertions.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import psycopg
from psycopg import sql

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines.storage.marts import define_marts
from water_pipelines.storage.migrate import migrate
from water_pipelines.storage.server import DatabaseServer, EmbeddedServer, ExternalServer

_TEMPLATE = "exact_template"
_KEEP_SEQUENCES = "select setval(format('%I.%I', schemaname, sequencename)::regclass, last_value) from pg_sequences where last_value is not null"
"""A sequence writes ahead what it will give; a copied one thinks that it has, and gives the same numbers again after a crash of the server."""


@dataclass(frozen=True)
class World:
    """A database and a folder (home and store) that any number of platforms, in this process or in others, may open."""

    url: str
    folder: Path

    @cached_property
    def settings(self) -> Settings:
        """Read once: a proof opens many platforms, and the environment does not change."""
        return Settings(home=self.folder / "home")

    def open(self, run: str | None = None) -> Platform:
        """A platform with connections of its own."""
        return Platform(self.settings, Database(self.url, code_version="test", run=run), LocalStore(self.folder / "store"))

    @contextmanager
    def opened(self, run: str | None = None) -> Iterator[Platform]:
        """The same, closed at the end."""
        platform = self.open(run)
        try:
            yield platform
        finally:
            platform.database.close()


class Worlds:
    """Worlds on one server, copied from one migrated database. Each is dropped by `drop`, or by `close` with the server.

    Parameters
    ----------
    first_day : from whose year on there are partitions. Of the hundreds that 75 years come to, each is copied with every world and
        planned in every query: most of a small proof's work.
    """

    def __init__(self, *, is_durable: bool, first_day: date) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="water-proof-"))
        self.home.chmod(0o755)  # else root's server would keep its data below /var/lib
        self.server: DatabaseServer = EmbeddedServer(self.home)
        self._is_durable = is_durable
        self._numbers = itertools.count(1)
        self.server.ensure_running()
        if not is_durable:
            with psycopg.connect(self.server.url(), autocommit=True) as connection:
                for name in ("fsync", "synchronous_commit", "full_page_writes"):
                    connection.execute(sql.SQL("alter system set {} = off").format(sql.Identifier(name)))
                connection.execute("select pg_reload_conf()")
        self._template = _TEMPLATE
        self.server.ensure_database(self._template)
        migrate(self.server.url(self._template), first_day=first_day)
        define_marts(self.server.url(self._template), self.home / "dbt")

    @classmethod
    def on(cls, server: DatabaseServer, template: str, home: Path) -> Worlds:
        """Worlds on a server that somebody else starts and stops, such as the one of a session of tests."""
        worlds = cls.__new__(cls)
        worlds.home, worlds.server, worlds._template = home, server, template
        worlds._is_durable, worlds._numbers = False, itertools.count(1)
        return worlds

    @property
    def embedded(self) -> EmbeddedServer:
        """The server, where it is one's own to kill."""
        assert isinstance(self.server, EmbeddedServer), "only an embedded server can be killed"
        return self.server

    def new(self, *, like: World | None = None) -> World:
        """A world that holds nothing, or that holds what another one does, to whose database nobody may be connected."""
        name = f"{self._template}_{os.getpid()}_{next(self._numbers)}"
        folder = self.home / name
        folder.mkdir()
        if like:
            shutil.copytree(like.folder, folder, dirs_exist_ok=True)
        source = psycopg.conninfo.conninfo_to_dict(like.url)["dbname"] if like else self._template
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            # a copy of files needs a checkpoint of its own: dear where writes are durable
            copied = sql.SQL("create database {} template {} strategy {}").format(
                sql.Identifier(name), sql.Identifier(str(source)), sql.SQL("wal_log" if self._is_durable else "file_copy")
            )
            connection.execute(copied)
        if self._is_durable:
            with psycopg.connect(self.server.url(name)) as connection:
                connection.execute(_KEEP_SEQUENCES)
        return World(self.server.url(name), folder)

    def drop(self, world: World) -> None:
        """Drop a world, with whoever is still connected to it."""
        name = str(psycopg.conninfo.conninfo_to_dict(world.url)["dbname"])
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        shutil.rmtree(world.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop the server and remove everything."""
        if not isinstance(self.server, ExternalServer):
            self.embedded.stop("immediate")
        shutil.rmtree(self.home, ignore_errors=True)
