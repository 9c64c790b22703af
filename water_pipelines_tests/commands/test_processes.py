"""The supervisor: programs come up in order, come back when they die, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from water_pipelines.commands import processes
from water_pipelines.commands.processes import ProcessId, Program, ProgramFailed, Supervisor

PROJECT = Path(__file__).resolve().parents[2]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
WITH_CHILD = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
print(child.pid, flush=True)
time.sleep(600)
"""


def program(name: str, code: str, **more: object) -> Program:
    return Program(name, [sys.executable, "-c", code], dict(os.environ), **more)  # type: ignore[arg-type]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Makes supervisors, and ends what they started."""
    made = []

    def make(*programs: Program) -> Supervisor:
        made.append(Supervisor(programs, tmp_path / "logs"))
        return made[-1]

    yield make
    for each in made:
        each.stop(is_hurried=lambda: True)


def until(supervisor: Supervisor, holds: Callable[[], bool], timeout_s: float = 120) -> None:
    """Look after the programs until something holds."""
    end = time.monotonic() + timeout_s
    while not holds():
        supervisor.look()
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)


def test_a_program_waits_for_those_it_needs(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    """The second program is started when the first is ready, not before."""
    ready = tmp_path / "ready"
    first = program("first", "import time; time.sleep(600)", is_ready=ready.exists)
    supervisor = supervise(first, program("second", "import time; time.sleep(600)", after=("first",)))
    until(supervisor, lambda: "first" in supervisor.sessions)
    supervisor.look()
    assert list(supervisor.sessions) == ["first"]
    assert supervisor.waiting == ["first", "second"]
    ready.touch()
    until(supervisor, lambda: supervisor.waiting == [])
    assert list(supervisor.sessions) == ["first", "second"]


def test_a_task_is_ready_when_it_has_ended_well(supervise: Callable[..., Supervisor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that fails is tried again; when it ends with code 0, what waits for it starts, and it is not run a third time."""
    monkeypatch.setattr(processes, "_FIRST_PAUSE_S", 0.01)
    runs = tmp_path / "runs"
    task = program("task", f"f = open({str(runs)!r}, 'a+'); f.write('x'); f.seek(0); raise SystemExit(0 if f.read() == 'xx' else 1)", ends=True)
    supervisor = supervise(task, program("next", "import time; time.sleep(600)", after=("task",)))
    until(supervisor, lambda: supervisor.waiting == [])
    assert list(supervisor.sessions) == ["next"]
    for _ in range(20):
        supervisor.look()
    assert runs.read_text() == "xx"


def test_a_killed_program_is_started_again(supervise: Callable[..., Supervisor]) -> None:
    """After kill -9 there is another process of that name, and the other program was left alone."""
    supervisor = supervise(program("victim", "import time; time.sleep(600)"), program("witness", "import time; time.sleep(600)"))
    until(supervisor, lambda: len(supervisor.sessions) == 2)
    before = supervisor.sessions
    os.kill(before["victim"].pid, signal.SIGKILL)
    until(supervisor, lambda: supervisor.sessions.get("victim", before["victim"]) != before["victim"])
    assert supervisor.sessions["witness"] == before["witness"]


def test_a_program_that_cannot_live_is_given_up_with_its_last_words(supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch) -> None:
    """After one start and four restarts the error names the program, its exit code and the end of its log."""
    monkeypatch.setattr(processes, "_FIRST_PAUSE_S", 0.01)
    supervisor = supervise(program("broken", "print('no such table: water'); raise SystemExit(7)"))
    with pytest.raises(ProgramFailed, match=r"(?s)broken ended 5 times .*exit code 7.*no such table: water"):
        until(supervisor, lambda: False)


def test_what_a_dead_program_started_dies_with_it(supervise: Callable[..., Supervisor]) -> None:
    """When a program is killed, its child is killed too before the program is started again."""
    supervisor = supervise(program("parent", WITH_CHILD))
    log = supervisor.log_file("parent")
    until(supervisor, lambda: log.exists() and "up" in log.read_text())
    child = ProcessId.of(int(log.read_text().split()[0]))
    os.kill(supervisor.sessions["parent"].pid, signal.SIGKILL)
    until(supervisor, lambda: not child.is_alive())


def test_stopping_leaves_neither_children_nor_grandchildren(supervise: Callable[..., Supervisor]) -> None:
    """A program and a grandchild that ignores SIGTERM are both gone when `stop` returns, the latter killed after its grace."""
    supervisor = supervise(program("parent", WITH_CHILD, grace_s=0.5))
    log = supervisor.log_file("parent")
    until(supervisor, lambda: log.exists() and "up" in log.read_text())
    parent, child = supervisor.sessions["parent"], ProcessId.of(int(log.read_text().split()[0]))
    assert parent.is_alive()
    assert child.is_alive()
    supervisor.stop()
    assert not parent.is_alive()
    assert not child.is_alive()
    assert supervisor.sessions == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_programs_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    """After kill -9 of the supervisor its program ends by itself."""
    code = f"""
import os, sys, time
from pathlib import Path
from water_pipelines.commands.processes import Program, Supervisor
supervisor = Supervisor([Program("one", [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ))], Path({str(tmp_path)!r}))
supervisor.look()
print(supervisor.sessions["one"].pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=PROJECT) as supervisor:
        assert supervisor.stdout is not None
        one = ProcessId.of(int(supervisor.stdout.readline()))
        supervisor.kill()
    end = time.monotonic() + 60
    while one.is_alive():  # not until it is buried: the init of a container may bury nobody
        assert time.monotonic() < end, "it lives on"
        time.sleep(0.02)


def test_the_log_of_the_last_start_is_kept(tmp_path: Path) -> None:
    """A new supervisor begins each log anew and keeps the one before under `.1`."""
    log = tmp_path / "speaker.log"
    for words in ("first start", "second start"):
        supervisor = Supervisor([program("speaker", f"print({words!r}, flush=True); import time; time.sleep(600)")], tmp_path)
        until(supervisor, lambda: log.exists() and "start" in log.read_text())
        supervisor.stop(is_hurried=lambda: True)
    assert log.read_text() == "second start\n"
    assert (tmp_path / "speaker.log.1").read_text() == "first start\n"


def test_a_long_log_is_begun_anew_while_it_is_written(supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch) -> None:
    """A log above its limit is moved away, and what is said afterwards stands in the new one."""
    monkeypatch.setattr(processes, "_LOG_LIMIT", 10_000)
    supervisor = supervise(program("speaker", "import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.001)"))
    log = supervisor.log_file("speaker")
    until(supervisor, lambda: log.with_name("speaker.log.1").exists())
    until(supervisor, lambda: log.stat().st_size > 0)
    assert log.read_bytes().startswith(b"x")


def test_a_later_process_with_the_same_number_is_another(tmp_path: Path) -> None:
    """A record of our own number with another start is not us."""
    us = ProcessId.of(os.getpid())
    assert us.is_alive()
    assert not ProcessId(us.pid, us.started_at - 3600).is_alive()
