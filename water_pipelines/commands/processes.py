"""Programs that run side by side: started in their order, started again when they die, and ended with all that they started.

Nothing here knows which programs the platform has. Add what holds for every program; what one program needs is a field of its
`Program`. Keep out: threads (a child is started between fork and exec of a process that has one), and the command's output.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RESTARTS = 4
"""How often a program may die within `RESTARTS_WITHIN_S` before the platform gives up."""
RESTARTS_WITHIN_S = 120.0

_FIRST_PAUSE_S = 0.5
_ASK_AGAIN_S = 0.3
_LOG_LIMIT = 32 << 20
_SAME_START_S = 5.0  # the start of a process is told from the clock, which may have been set
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ProgramFailed(Exception):
    """A program died again and again; the message holds the end of its log."""


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one with the same number by its start (seconds since 1970)."""

    pid: int
    started_at: float

    @staticmethod
    def of(pid: int) -> ProcessId:
        """The process that has a number now."""
        return ProcessId(pid, psutil.Process(pid).create_time())

    def is_alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started_at) < _SAME_START_S and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Program:
    """One program of the platform.

    Parameters
    ----------
    name : str
        Also the name of its log.
    command : sequence of str
    environment : mapping
        All of it, not only what differs from ours.
    is_ready : callable
        Asked while the program runs, until it says yes; must answer within a second.
    after : sequence of str
        Programs that must be ready before this one is started.
    grace_s : float
        How long it may take to end before it is killed.
    ends : bool
        Whether it has a task and is ready when it has ended with code 0, rather than one that runs on.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool] = lambda: True
    after: Sequence[str] = ()
    grace_s: float = 10.0
    ends: bool = False


@dataclass
class _Child:
    """A program and what became of it so far."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    session: ProcessId | None = None
    deaths: list[float] = field(default_factory=list)
    start_at: float = 0.0
    ask_at: float = 0.0
    ready: bool = False


class Supervisor:
    """Looks after programs. Call `look` often, from the main thread, until it is time to `stop`.

    Each program leads a session of its own, so that Ctrl-C in our terminal reaches only us, and what it started can be found and ended.
    Where Linux allows it, a program is asked to end when we die.

    Parameters
    ----------
    programs : sequence of Program
    logs : Path
        Folder of the logs, `<name>.log`; those of the last start are kept as `<name>.log.1`.
    changed : callable, optional
        Called after a program was started or became ready, so that it can be noted.
    """

    def __init__(self, programs: Sequence[Program], logs: Path, *, changed: Callable[[], None] = lambda: None) -> None:
        self._children: dict[str, _Child] = {}
        self._logs = logs
        self._changed = changed
        logs.mkdir(parents=True, exist_ok=True)
        for program in programs:
            self.add(program)

    def add(self, program: Program) -> None:
        """Look after one more program, from the next `look` on."""
        if self.log_file(program.name).exists():
            self.log_file(program.name).replace(self._logs / f"{program.name}.log.1")
        self._children[program.name] = _Child(program)

    @property
    def sessions(self) -> dict[str, ProcessId]:
        """The programs that were started, by name."""
        return {name: child.session for name, child in self._children.items() if child.session is not None}

    @property
    def waiting(self) -> list[str]:
        """The programs that are not ready yet."""
        return [name for name, child in self._children.items() if not child.ready]

    def log_file(self, name: str) -> Path:
        """Where a program's output goes."""
        return self._logs / f"{name}.log"

    def look(self) -> None:
        """Look after each program once: start what can be started, note what is ready, keep logs short.

        Raises
        ------
        ProgramFailed
            A program died too often; the others still run, and are the caller's to stop.
        """
        for child in self._children.values():
            if child.process is not None and child.process.poll() is not None:
                if child.program.ends and child.process.returncode == 0:
                    child.process, child.session, child.ready = None, None, True
                    self._changed()
                else:
                    self._bury(child, child.process.returncode)
            if child.process is None:
                if not child.ready and time.monotonic() >= child.start_at and all(self._children[name].ready for name in child.program.after):
                    self._start(child)
            elif not child.ready and not child.program.ends and time.monotonic() >= child.ask_at:
                child.ready = child.program.is_ready()
                child.ask_at = time.monotonic() + _ASK_AGAIN_S
                if child.ready:
                    self._changed()
            self._shorten_log(child.program.name)

    def stop(self, *, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """End every program with all that it started: asked first, killed when its grace is over or somebody is in a hurry."""
        asked_at = time.monotonic()
        sessions = {child.session.pid: child for child in self._children.values() if child.session is not None}
        asked: set[int] = set()
        while living := _members(sessions):
            for session, process in living:
                child = sessions[session]
                if time.monotonic() - asked_at > child.program.grace_s or is_hurried():
                    _send(process, signal.SIGKILL)
                elif process.pid not in asked:
                    asked.add(process.pid)
                    _send(process, signal.SIGTERM)
            for child in sessions.values():
                if child.process is not None:
                    child.process.poll()
            time.sleep(0.05)
        for child in sessions.values():
            if child.process is not None:
                child.process.wait()
            child.process, child.session, child.ready = None, None, False

    def _start(self, child: _Child) -> None:
        us = os.getpid()

        def die_with_us() -> None:
            if _libc is not None:
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() != us:
                    os._exit(1)

        with self.log_file(child.program.name).open("ab") as log:
            child.process = subprocess.Popen(
                list(child.program.command),
                env=dict(child.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_us,
            )
        child.session = ProcessId.of(child.process.pid)
        self._changed()

    def _bury(self, child: _Child, code: int) -> None:
        """End what a dead program left, and let it be started again after a pause."""
        end_sessions([child.process.pid] if child.process else [], grace_s=0)
        child.process, child.session, child.ready = None, None, False
        now = time.monotonic()
        child.deaths = [*(then for then in child.deaths if now - then < RESTARTS_WITHIN_S), now]
        name = child.program.name
        if len(child.deaths) > RESTARTS:
            raise ProgramFailed(
                f"{name} ended {len(child.deaths)} times within {RESTARTS_WITHIN_S:.0f} s, the last time with {_ending(code)};"
                f" see {self.log_file(name)}. Its last words:\n{tail(self.log_file(name))}"
            )
        child.start_at = now + _FIRST_PAUSE_S * 2 ** (len(child.deaths) - 1)

    def _shorten_log(self, name: str) -> None:
        """Begin a log anew when it is long; the program goes on writing at its end."""
        log = self.log_file(name)
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.with_name(f"{log.name}.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)


def end_sessions(sessions: Iterable[int], *, grace_s: float, belongs: Callable[[psutil.Process], bool] = lambda _: True) -> int:
    """End all processes of some sessions, whose leaders may be gone; says how many there were.

    Parameters
    ----------
    sessions : numbers of the processes that began them
    grace_s : how long they may take to end before they are killed
    belongs : tells processes that are meant from others whose session has an old number
    """
    wanted, asked, started = set(sessions), set[int](), time.monotonic()
    while living := [process for _, process in _members(wanted) if belongs(process)]:
        for process in living:
            if time.monotonic() - started >= grace_s:
                _send(process, signal.SIGKILL)
            elif process.pid not in asked:
                _send(process, signal.SIGTERM)
            asked.add(process.pid)
        time.sleep(0.05)
    return len(asked)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    if not log.exists():
        return ""
    with log.open("rb") as said:
        said.seek(max(0, said.seek(0, os.SEEK_END) - 16_384))
        return "\n".join(said.read().decode("utf-8", "replace").splitlines()[-lines:])


def _members(sessions: Iterable[int]) -> list[tuple[int, psutil.Process]]:
    """The living processes of some sessions."""
    wanted, found = set(sessions), []
    for process in psutil.process_iter():
        try:
            session = os.getsid(process.pid)
            if session in wanted and process.status() != psutil.STATUS_ZOMBIE:
                found.append((session, process))
        except (psutil.Error, OSError):
            continue
    return found


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
