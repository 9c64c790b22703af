"""Who runs the platform of a home: one at a time, and what is left when it was killed.

The lock is the truth and goes with the process that holds it; the record beside it says what that process started. Keep out: how a
platform is started.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from water_pipelines.commands.processes import ProcessId, end_sessions

_LEFTOVER_GRACE_S = 10.0


class AlreadyRunning(Exception):
    """Another process runs the platform of this home."""


@dataclass(frozen=True)
class Record:
    """What a running platform says of itself.

    Parameters
    ----------
    supervisor : ProcessId
        The `water` process that looks after the others.
    sessions : mapping
        The programs by name; each leads a session.
    addresses : mapping
        Where the Dagster UI and the API answer: `ui`, `api`.
    owns_database : bool
        Whether the embedded server was started for this platform and ends with it.
    is_ready : bool
        Whether everything answered once.
    """

    supervisor: ProcessId
    sessions: Mapping[str, ProcessId] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    owns_database: bool = False
    is_ready: bool = False


class Home:
    """The folder of a platform, seen by those who start and stop it.

    Parameters
    ----------
    path : Path
        `WATER_HOME`; absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path / "platform.lock"
        self._record = path / "platform.json"

    @contextmanager
    def held(self) -> Iterator[Record | None]:
        """Be the one who runs the platform; gives the record of one that was killed, whose programs are ended by now.

        Raises
        ------
        AlreadyRunning
            The message says who does, and how to stop it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(self._who()) from None
            left = self.record()
            if left is not None:
                self.end_leftovers(left)
            yield left
        finally:
            os.close(lock)

    def is_held(self) -> bool:
        """Whether somebody runs the platform now."""
        if not self._lock.exists():
            return False
        lock = os.open(self._lock, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def record(self) -> Record | None:
        """What the platform that runs, or was killed, said of itself."""
        try:
            said = json.loads(self._record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        sessions = {name: ProcessId(**process) for name, process in said.pop("sessions").items()}
        return Record(ProcessId(**said.pop("supervisor")), sessions, **said)

    def note(self, record: Record) -> None:
        """Say something else, as a whole or not at all."""
        fresh = self._record.with_name(f".{self._record.name}.{secrets.token_hex(4)}")
        fresh.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
        fresh.replace(self._record)

    def forget(self) -> None:
        """Nothing runs any more."""
        self._record.unlink(missing_ok=True)

    def end_supervisor(self, timeout_s: float) -> bool:
        """Ask the process that runs the platform to end it, and wait until it has; False where it had to be killed."""
        record = self.record()
        asked = time.monotonic()
        if record is not None and record.supervisor.is_alive():
            os.kill(record.supervisor.pid, signal.SIGTERM)
        while self.is_held():
            if time.monotonic() - asked > timeout_s:
                if record is not None and record.supervisor.is_alive():
                    os.kill(record.supervisor.pid, signal.SIGKILL)
                return False
            time.sleep(0.1)
        return True

    def end_leftovers(self, record: Record) -> int:
        """End what a killed platform left running; says how many processes there were."""

        def is_ours(process: psutil.Process) -> bool:
            try:
                return process.environ().get("WATER_HOME") == str(self.path)
            except psutil.Error:
                return False

        return end_sessions([session.pid for session in record.sessions.values()], grace_s=_LEFTOVER_GRACE_S, belongs=is_ours)

    def _who(self) -> str:
        record = self.record()
        if record is None:
            return f"the platform of {self.path} is being started or stopped by another process; try again in a moment"
        where = ", ".join(f"{name} {address}" for name, address in record.addresses.items())
        return (
            f"the platform of {self.path} runs already, by process {record.supervisor.pid}{f' ({where})' if where else ''}."
            " `water down` stops it; set WATER_HOME to another folder to run a second one"
        )
