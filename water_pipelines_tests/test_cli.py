"""The `water` command without a running platform: what it accepts, refuses and says, and by which exit code."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from water_pipelines.cli import app
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.commands import databases
from water_pipelines.commands.drop import CannotDrop, wanted
from water_pipelines.commands.home import AlreadyRunning, Home, Record
from water_pipelines.commands.platform import PortTaken, url_of, with_ports
from water_pipelines.commands.processes import ProcessId
from water_pipelines.commands.sample import sample_of
from water_pipelines.parsers.inbox import mapping_version
from water_pipelines.settings import Settings
from water_pipelines.storage.source_files import job_id
from water_pipelines_tests.builders import NOON, World

PROJECT = Path(__file__).resolve().parents[1]
MAPPING = "time_zone: UTC\nstation: BRIDGE\nproperty: stage\nunit: m\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, which nothing has used yet, and no other setting."""
    for name in [name for name in os.environ if name.startswith("WATER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WATER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def water(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the command with `--json`: its exit code and what it printed."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def write(path: Path, text: str = "time,value\n2026-03-01T00:00Z,1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestDrop:
    """`water drop`."""

    def test_a_file_is_in_the_inbox_with_its_job_id(self, home: Path, tmp_path: Path) -> None:
        """The object is whole and equal, its mapping stands beside it, and the id is that of content, prefix and mapping."""
        file, mapping = write(tmp_path / "bridge.csv"), write(tmp_path / "any.yaml", MAPPING)
        code, (dropped,) = water("drop", str(file), "--prefix", "river/upper", "--mapping", str(mapping))
        store = LocalStore(home / "store")
        assert code == 0
        assert dropped["key"] == "inbox/river/upper/bridge.csv"
        assert store.read(dropped["key"]) == file.read_bytes()
        assert store.info(dropped["key"]).whole
        assert store.read("inbox/river/upper/bridge.csv.mapping.yaml").decode() == MAPPING
        expected = job_id(hashlib.sha256(file.read_bytes()).hexdigest(), "river/upper", mapping_version(MAPPING), "data")
        assert dropped["job_id"] == str(expected)

    def test_without_a_database_only_what_depends_on_it_is_unknown(self, home: Path, tmp_path: Path) -> None:
        """A file whose mapping would be the one in force has no id yet; a file of rules has."""
        code, dropped = water("drop", str(write(tmp_path / "bridge.csv")), str(write(tmp_path / "rules.yaml", "stations: {}\n")))
        assert code == 0
        assert {each["kind"]: each["job_id"] is None for each in dropped} == {"rules": False, "data": True}

    def test_a_folder_goes_in_with_its_subfolders(self, home: Path, tmp_path: Path) -> None:
        """Subfolders become the prefix, the folder's mapping comes first, sidecars go with their file, hidden and unfinished files stay."""
        for name in ("a.csv", "lower/b.csv", ".hidden.csv", "c.csv.part", ".git/config"):
            write(tmp_path / "data" / name)
        write(tmp_path / "data" / "lower" / "mapping.yaml", MAPPING)
        write(tmp_path / "data" / "a.csv.mapping.yaml", MAPPING)
        code, dropped = water("drop", str(tmp_path / "data"), "--prefix", "river")
        assert code == 0
        assert [each["key"] for each in dropped] == ["inbox/river/lower/mapping.yaml", "inbox/river/a.csv", "inbox/river/lower/b.csv"]
        assert (home / "store/inbox/river/a.csv.mapping.yaml").read_text() == MAPPING

    def test_a_file_that_waits_is_never_replaced(self, home: Path, tmp_path: Path) -> None:
        """The same file again names the same job; another file of that name is refused with code 1 and the first one stays."""
        file, mapping = write(tmp_path / "bridge.csv"), write(tmp_path / "any.yaml", MAPPING)
        arguments = ("drop", str(file), "--mapping", str(mapping))
        first, second = water(*arguments), water(*arguments)
        assert first == second
        assert first[0] == 0
        kept = file.read_bytes()
        write(file, "time,value\n2026-03-01T00:00Z,2\n")
        code, (refused,) = water(*arguments)
        assert code == 1
        assert "another file waits in the inbox as inbox/bridge.csv" in refused["error"]
        assert (home / "store/inbox/bridge.csv").read_bytes() == kept

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["nowhere.csv"], "nowhere.csv does not exist"),
            (["empty"], "there is nothing to drop"),
            (["a/x.csv", "b/x.csv"], "would both be inbox/x.csv"),
            (["a/x.csv", "--mapping", "broken.yaml"], "broken.yaml cannot be used as a mapping"),
            (["a/x.csv", "--mapping", "absent.yaml"], "absent.yaml cannot be used as a mapping"),
            (["orphan.csv.mapping.yaml"], "is the mapping of orphan.csv, which is not beside it"),
            (["a/x.csv", "--prefix", "../outside"], "is no relative path inside the store"),
            (["a/x.csv.part"], "has the name of an unfinished or private file"),
            (["a/x.csv", "nowhere.csv"], "nowhere.csv does not exist"),
        ],
    )
    def test_what_cannot_be_dropped_is_refused_before_anything_is(self, home: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
        """The message names the file and the reason, the code is 1, and the inbox stays empty."""
        for name in ("a/x.csv", "b/x.csv", "a/x.csv.part"):
            write(tmp_path / name)
        (tmp_path / "empty").mkdir()
        write(tmp_path / "broken.yaml", "no_such_key: 1\n")
        write(tmp_path / "orphan.csv.mapping.yaml", MAPPING)
        code, (refused,) = water("drop", *arguments)
        assert code == 1
        assert said in refused["error"]
        assert list(LocalStore(home / "store").list()) == []

    def test_a_pipe_is_no_file(self, tmp_path: Path) -> None:
        """A named pipe is refused instead of being waited for."""
        os.mkfifo(tmp_path / "pipe.csv")
        with pytest.raises(CannotDrop, match="neither a file nor a folder"):
            wanted([tmp_path / "pipe.csv"])


class TestJobIdsByTheLedger:
    """Ids of files whose mapping is the one in force for their folder."""

    @pytest.fixture
    def with_database(self, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> World:
        """The command's database is one in which a mapping for `river` was loaded."""
        monkeypatch.setenv("WATER_DATABASE_URL", database_url)
        from water_pipelines.storage import source_files
        from water_pipelines.storage.database import Database

        world = World(Database(database_url, code_version="test"))
        file = world.announce("mapping.yaml", prefix="river", kind="mapping")
        with world.database.connection() as connection:
            source_files.keep_mapping(connection, file, mapping_version(MAPPING), MAPPING)
        return world

    @pytest.mark.parametrize(
        ("prefix", "waiting", "mapping"),
        [
            ("river", None, MAPPING),
            ("river/upper", None, MAPPING),
            ("lake", None, None),
            ("", None, None),
            ("river/upper", "river", MAPPING.replace("BRIDGE", "WEIR")),
            ("river/upper", "", MAPPING),
            ("lake", "", MAPPING.replace("BRIDGE", "LAKE")),
        ],
        ids=["own folder", "folder above", "other folder", "root", "newer one waits", "farther one waits", "only the root's waits"],
    )
    def test_the_nearest_and_newest_mapping_counts(
        self, with_database: World, home: Path, tmp_path: Path, prefix: str, waiting: str | None, mapping: str | None
    ) -> None:
        """A mapping that waits in the inbox goes before a loaded one of the same folder, a nearer folder before both."""
        if waiting is not None:
            key = "/".join(filter(None, ("inbox", waiting, "mapping.yaml")))
            LocalStore(home / "store").put(key, (mapping if mapping != MAPPING else "time_zone: Europe/Rome\n").encode() if mapping else b"")
        file = write(tmp_path / "bridge.csv")
        code, (dropped,) = water("drop", str(file), "--prefix", prefix)
        version = mapping_version(mapping) if mapping else "none"
        assert code == 0
        assert dropped["job_id"] == str(job_id(hashlib.sha256(file.read_bytes()).hexdigest(), prefix, version, "data"))
        with_database.database.close()


def _hearing() -> None:
    """Let a new process hear SIGTERM, whatever other tests of this process left it to ignore or to block."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


class TestStatusAndDown:
    """`water status` and `water down`."""

    def test_a_home_that_was_never_used(self, home: Path) -> None:
        """Status says so by code 3, down finds nothing to stop, and neither makes a file."""
        code, (status,) = water("status")
        assert (code, status["is_running"], status["holds"], status["reason"]) == (3, False, None, "the embedded PostgreSQL does not run")
        assert water("down") == (0, [{"stopped": False}])
        assert not home.exists()

    def test_what_a_killed_platform_left_is_ended(self, home: Path) -> None:
        """A recorded program of this home is ended by `water down`; a process of the same session number but of another home is not."""
        ours, stranger = (
            subprocess.Popen(["sleep", "600"], env={**os.environ, "WATER_HOME": str(path)}, start_new_session=True, preexec_fn=_hearing)
            for path in (home, home.parent)
        )
        try:
            home.mkdir()
            Home(home).note(Record(ProcessId(2**22 - 1, 0.0), {"ours": ProcessId.of(ours.pid), "stranger": ProcessId.of(stranger.pid)}))
            assert water("down") == (0, [{"stopped": True}])
            assert ours.wait(5) == -signal.SIGTERM
            assert stranger.poll() is None
            assert water("down") == (0, [{"stopped": False}])
        finally:
            for process in (ours, stranger):
                process.kill()
                process.wait()

    def test_one_at_a_time(self, home: Path) -> None:
        """While somebody holds a home, the next one is told who; afterwards it is free."""
        with Home(home).held():
            Home(home).note(Record(ProcessId.of(os.getpid()), addresses={"ui": "http://127.0.0.1:3000"}))
            assert Home(home).is_held()
            with pytest.raises(AlreadyRunning, match=rf"runs already, by process {os.getpid()} \(ui http://127.0.0.1:3000\)"), Home(home).held():
                pass
            code, (status,) = water("status")
            assert (code, status["is_running"], status["supervisor"]) == (0, True, os.getpid())
        assert not Home(home).is_held()


class TestStarting:
    """What stands before a start."""

    def test_a_wrong_setting_is_named(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A port that is none ends with code 2, and the message names the variable."""
        monkeypatch.setenv("WATER_API_PORT", "99999")
        done = CliRunner().invoke(app, ["up"])
        assert done.exit_code == 2
        assert "WATER_API_PORT" in done.stderr

    def test_a_taken_port_is_named_with_its_setting(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`water up` on a port that another program uses ends with code 4, says which setting to change, and starts nothing."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            monkeypatch.setenv("WATER_UI_PORT", str(other.getsockname()[1]))
            code, (said,) = water("up")
        assert code == 4
        assert "WATER_UI_PORT" in said["error"]
        assert not (home / "postgres").exists()

    def test_free_ports_differ(self, home: Path) -> None:
        """Each 0 becomes a port of its own; one that was asked for stays."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            wish = probe.getsockname()[1]
        chosen = with_ports(Settings(ui_port=0, api_port=wish, code_port=0))
        assert chosen.api_port == wish
        assert len({chosen.ui_port, chosen.api_port, chosen.code_port}) == 3
        assert 0 not in (chosen.ui_port, chosen.code_port)
        with pytest.raises(PortTaken, match="WATER_API_PORT"):
            with_ports(Settings(ui_port=wish, api_port=wish))

    def test_an_address_is_one_that_this_machine_can_use(self) -> None:
        """A server that listens everywhere is reached by the loopback."""
        assert url_of("0.0.0.0", 3000) == "http://127.0.0.1:3000"
        assert url_of("127.0.0.1", 8000) == "http://127.0.0.1:8000"

    def test_verify_needs_a_platform(self, home: Path) -> None:
        """Without an API at the address, `water verify` ends with code 3 and says how to look."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            code, (said,) = water("verify", "--api", f"http://127.0.0.1:{probe.getsockname()[1]}")
        assert code == 3
        assert "water status" in said["error"]

    def test_other_rules_of_argo_need_a_running_database(self, home: Path) -> None:
        """Nothing is started to preview them; and what is to change must be named."""
        code, (said,) = water("argo", "rules", "--test8", "before-2024")
        assert (code, "water up" in said["error"]) == (1, True)
        assert CliRunner().invoke(app, ["argo", "rules"]).exit_code == 2

    def test_every_command_tells_its_exit_codes(self) -> None:
        """The help of the command and of each subcommand lists them."""
        for arguments in ([], ["up"], ["down"], ["status"], ["drop"], ["migrate"], ["verify"], ["demo"], ["argo", "rules"]):
            said = CliRunner().invoke(app, [*arguments, "--help"]).stdout
            assert "Exit codes: 0 done" in " ".join(said.split()), arguments


def test_the_sample_is_kept_with_its_truth_beside_it(home: Path) -> None:
    """The truth about faults stands in the home and is not among the files to drop; a second call gives the same files, however late."""
    settings = Settings(demo_days=60, demo_seed=3)
    first = sample_of(settings, NOON)
    truth = json.loads((home / "sample/truth.json").read_text())
    assert (truth["end"], truth["seed"], truth["days"]) == ("2026-03-01T12:00:00.000000Z", 3, 60)
    assert {"spike", "leak"} <= {one["kind"] for one in truth["injected"]}
    assert not [each for each in first if "truth" in each.path.name]
    names = [each.place.key for each in first]
    assert names[0] == "inbox/rules.yaml"
    assert (
        names.index("inbox/stations.geojson")
        < names.index("inbox/river/river_2026-02.csv")
        < names.index("inbox/logger/corrected_dma_north_flow.csv")
    )
    assert sample_of(settings, NOON.replace(year=2027)) == first


@pytest.fixture
def embedded_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that the unprivileged server of root can reach."""
    with tempfile.TemporaryDirectory(prefix="water-cli-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        monkeypatch.delenv("WATER_DATABASE_URL", raising=False)
        monkeypatch.setenv("WATER_HOME", str(home))
        yield home


def test_migrate_makes_both_databases_and_stops_the_server_that_it_started(embedded_home: Path) -> None:
    """After `water migrate` the server does not run; the second time it finds everything done."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "water_pipelines.cli", "migrate", "--json"], cwd=PROJECT, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == {"database": "water", "dagster_database": "water_dagster", "migrated": True}
        assert not databases.is_running(databases.server_of(Settings()))
