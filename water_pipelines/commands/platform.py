"""The platform as it runs on one machine: PostgreSQL, code server, Dagster's web server and daemon, the API, and a listener to brokers.

Add a program in `programs_of`. How programs are looked after is in `processes.py`, who may run them in `home.py`.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import water_pipelines
from water_pipelines.commands import databases
from water_pipelines.commands.home import Home, Record
from water_pipelines.commands.interruptions import Interruptions
from water_pipelines.commands.processes import ProcessId, Program, Supervisor
from water_pipelines.settings import Settings

LOCATION = "water_pipelines.definitions"

_LOOK_AGAIN_S = 0.1
_ANSWER_WITHIN_S = 1.0


class PortTaken(Exception):
    """Another program listens on a port that was asked for."""


class FileMissing(Exception):
    """A file of the project is not where the package is."""


class Platform:
    """A platform that was started by this process.

    Attributes
    ----------
    ui, api : str
        Where the Dagster UI and the API answer.
    settings : Settings
        With the ports that were chosen.
    """

    def __init__(self, settings: Settings, supervisor: Supervisor, interruptions: Interruptions) -> None:
        self.settings = settings
        self.ui = url_of(settings.host, settings.ui_port)
        self.api = url_of(settings.host, settings.api_port)
        self._supervisor = supervisor
        self._interruptions = interruptions

    @property
    def waiting(self) -> list[str]:
        """The programs that do not answer yet."""
        return self._supervisor.waiting

    def add(self, program: Program) -> None:
        """Run one more program beside the others; it is stopped with them."""
        self._supervisor.add(program)

    def look(self) -> None:
        """Look after the programs once; `ProgramFailed` where one dies again and again, `Interrupted` where somebody asked us to stop."""
        self._interruptions.check()
        self._supervisor.look()
        time.sleep(_LOOK_AGAIN_S)


@contextmanager
def started(settings: Settings, said: Callable[[str], None] = lambda _: None) -> Iterator[Platform]:
    """Start the platform of a home, and stop it at the end of the block with everything that belongs to it.

    The block must call `look` often, which starts the programs: at once, but for those that need the code server or the migrated database.

    Parameters
    ----------
    settings : Settings
    said : callable
        Told in a few words what is being done.

    Raises
    ------
    AlreadyRunning, PortTaken, ServerError, ProgramFailed
        Each says what to do.
    Interrupted
        Somebody asked us to stop, by Ctrl-C or SIGTERM; a second time kills what does not end at once.
    """
    home, interruptions = Home(settings.home), Interruptions()
    with home.held() as left, interruptions.heard():
        settings = with_ports(settings)
        server = databases.server_of(settings)
        record = Record(
            ProcessId.of(os.getpid()),
            addresses={"ui": url_of(settings.host, settings.ui_port), "api": url_of(settings.host, settings.api_port)},
            owns_database=(left is not None and left.owns_database) or not databases.is_running(server),
        )
        home.note(record)
        try:
            said("starting PostgreSQL")
            with interruptions.raising():
                dagster_url = databases.start(settings, server)
            supervisor = Supervisor(
                programs_of(settings, environment_of(settings, dagster_url)),
                settings.home / "logs",
                changed=lambda: home.note(replace(record, sessions=supervisor.sessions, is_ready=not supervisor.waiting)),
            )
            try:
                _furnish(settings)
                yield Platform(settings, supervisor, interruptions)
            finally:
                said("stopping")
                supervisor.stop(is_hurried=lambda: interruptions.count > 1)
        finally:
            if record.owns_database:
                databases.stop(server)
            home.forget()


def stopped(settings: Settings, timeout_s: float = 60) -> bool:
    """Stop the platform of a home, whoever started it, and what a killed one left; False where there was nothing to stop."""
    home = Home(settings.home)
    if not settings.home.is_dir():
        return False
    was_running = home.is_held()
    record = home.record()
    if was_running and home.end_supervisor(timeout_s):
        return True
    with home.held():
        if record is None:
            return False
        if record.owns_database:
            databases.stop(databases.server_of(settings))
        home.forget()
    return True


def programs_of(settings: Settings, environment: Mapping[str, str]) -> list[Program]:
    """The programs of the platform; Dagster's front ends start when there is code to read, and the daemon is ready when its heart beats."""
    beside = Path(sys.executable).parent
    listener = Program("listener", [sys.executable, "-m", "water_pipelines.cli", "listen"], environment, after=("migration",))
    return [
        Program(
            "migration",
            # in a process of its own, whose memory (dbt's above all) goes with it
            [sys.executable, "-m", "water_pipelines.cli", "migrate", "--json"],
            environment,
            ends=True,
        ),
        Program(
            "code server",
            # asking the instance makes Dagster's tables, before two others could do it at the same time
            [
                *(str(beside / "dagster"), "api", "grpc", "-m", LOCATION, "--location-name", "water_pipelines"),
                *("-h", settings.code_host, "-p", str(settings.code_port), "--inject-env-vars-from-instance"),
            ],
            environment,
            lambda: _listens(settings.code_host, settings.code_port),
        ),
        Program(
            "api",
            [
                *(str(beside / "uvicorn"), "water_pipelines.api.app:create_app", "--factory"),
                *("--host", settings.host, "--port", str(settings.api_port), "--timeout-graceful-shutdown", "3"),
            ],
            environment,
            lambda: answers(url_of(settings.host, settings.api_port) + "/health"),
            grace_s=5,
        ),
        Program(
            "web server",
            [str(beside / "dagster-webserver"), "-w", str(project_file("workspace.yaml")), "-h", settings.host, "-p", str(settings.ui_port)],
            environment,
            lambda: answers(url_of(settings.host, settings.ui_port) + "/server_info"),
            after=("code server",),
            grace_s=5,
        ),
        Program(
            "daemon",
            [str(beside / "dagster-daemon"), "run", "-w", str(project_file("workspace.yaml"))],
            environment,
            lambda: answers(url_of(settings.host, settings.api_port) + "/ready"),
            after=("code server", "migration"),
        ),
        *([listener] if settings.listens else []),
    ]


def environment_of(settings: Settings, dagster_url: str) -> dict[str, str]:
    """The environment of the programs: ours, with what was chosen here."""
    return os.environ | {
        "WATER_HOME": str(settings.home),
        "WATER_UI_PORT": str(settings.ui_port),
        "WATER_API_PORT": str(settings.api_port),
        "WATER_CODE_HOST": settings.code_host,
        "WATER_CODE_PORT": str(settings.code_port),
        "WATER_DAGSTER_DATABASE_URL": dagster_url,
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        # several processes share few processors; a pool of threads in each only adds switching
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def with_ports(settings: Settings) -> Settings:
    """The settings with a free port in place of each 0.

    Raises
    ------
    PortTaken
        A port that was asked for is in use; the message names its setting.
    """
    chosen: dict[str, int] = {}
    probes = []
    try:
        ports = (("ui_port", settings.host), ("api_port", settings.host), ("code_port", settings.code_host))
        for name, host in sorted(ports, key=lambda port: getattr(settings, port[0]) == 0):  # a free one must not be one that was asked for
            probe = socket.socket()
            probes.append(probe)  # held until all are chosen, so that they differ
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, getattr(settings, name)))
                probe.listen()
            except OSError as error:
                raise PortTaken(
                    f"port {getattr(settings, name)} of {host} cannot be used ({error.strerror}); stop the program that listens there,"
                    f" or set WATER_{name.upper()} to another port (0 chooses a free one)"
                ) from error
            chosen[name] = probe.getsockname()[1]
    finally:
        for probe in probes:
            probe.close()
    return settings.model_copy(update=chosen)


def url_of(host: str, port: int) -> str:
    """The address of a server that listens on `host`, for somebody on this machine."""
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"


def answers(url: str) -> bool:
    """Whether a GET is answered by 200, now."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_WITHIN_S)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def project_file(name: str) -> Path:
    """A file that lies beside the package, or in it when it was installed as a wheel."""
    package = Path(water_pipelines.__file__).parent
    for folder in (package.parent, package):
        if (folder / name).is_file():
            return folder / name
    raise FileMissing(f"{name} is neither in {package.parent} nor in {package}; install the platform again")


def _furnish(settings: Settings) -> None:
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(project_file("dagster.yaml"), settings.dagster_home / "dagster.yaml")


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_ANSWER_WITHIN_S):
            return True
    except OSError:
        return False
