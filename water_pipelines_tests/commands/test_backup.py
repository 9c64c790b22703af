"""Backups: what is restored elsewhere equals what was backed up, row by row and byte by byte, and nothing unfinished looks like a backup."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.api.app import create_app
from water_pipelines.cli import app
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.commands.home import Home
from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.inbox import empty_inbox, start_clock
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage import dump
from water_pipelines.storage.database import Database
from water_pipelines.storage.migrate import migrate
from water_pipelines.storage.server import DatabaseServer
from water_pipelines_tests.api.conftest import _serve
from water_pipelines_tests.conftest import FIRST_DAY
from water_pipelines_tests.orchestration.conftest import copy_database, drop_database
from water_pipelines_tests.orchestration.histories import demand, load, settled
from water_pipelines_tests.orchestration.test_acts import AT, arrival_of
from water_pipelines_tests.orchestration.test_landing import store_at

ROUTES = (
    "water-data/stations",
    "time-series/metadata",
    "time-series/data?series_id=NORTH/flow&start=2026-01-05&end=2026-02-05",
    "time-series/aggregate?series_id=NORTH/flow&start=2026-01-05&end=2026-02-05&interval=hourly",
    "anomalies",
    "changes",
    "datasets",
    "datasets/jobs",
)

_KILLED = """
import os, signal, sys
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.cli import main
original, left = LocalStore.put, [int(sys.argv.pop())]

def put(*arguments, **named):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)

LocalStore.put = put
main()
"""


@dataclass(frozen=True)
class Place:
    """A platform as the command sees it: a home, a database, and the environment that names both."""

    home: Path
    url: str
    store: str | None = None
    """URL of its object store, where that is not a folder of the home."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("WATER_")},
            "WATER_HOME": str(self.home),
            "WATER_DATABASE_URL": self.url,
            "WATER_DAGSTER_DATABASE_URL": self.url,
            "WATER_CODE_VERSION": "test",
            "WATER_FIRST_DAY": FIRST_DAY.isoformat(),
            **({"WATER_STORE_URL": self.store} if self.store else {}),
            "WATER_S3_ENDPOINT_URL": os.environ.get("WATER_TEST_S3_URL", ""),
        }

    def water(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run the command; its exit code and the last that it told."""
        others = {name: None for name in os.environ if name.startswith("WATER_")}
        done = CliRunner().invoke(app, [*arguments, "--json"], env={**others, **self.environment})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout.splitlines()[-1])

    def rows(self) -> dict[str, list[str]]:
        """Every row of every table of the catalogue, as text; when Dagster was told is not the data's."""
        found = {}
        with psycopg.connect(self.url, options="-c timezone=UTC") as connection:
            for table in dump.tables(connection):
                shown = "(to_jsonb(t) - 'logged_at')::text" if table.name == "core.computed" else "t::text"
                found[table.name] = [row[0] for row in connection.execute(f"select {shown} from {table.name} as t order by 1".encode())]
        return found

    def bodies(self) -> dict[str, bytes]:
        """What the API answers."""
        settings = Settings(_env_file=None, home=self.home)
        with closing(Database(self.url, code_version="test")) as database:
            served = create_app(settings, database, dagster_url=lambda: self.url, store=LocalStore(self.home / "store"))
            with _serve(served) as client:
                answers = {route: client.get(f"/api/v1/{route}") for route in ROUTES}
        assert {answer.status_code for answer in answers.values()} == {200}
        return {route: answer.content for route, answer in answers.items()}


@pytest.fixture(scope="module")
def finished(server: DatabaseServer, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Three weeks of two series, a correction, a withdrawal, a refused file and one that waits: database and home, which each test copies."""
    name, home = f"{template_database}_backup", tmp_path_factory.mktemp("backup") / "home"
    copy_database(server, template_database, name)
    database = Database(server.url(name), code_version="test", run="test")
    platform = Platform(Settings(_env_file=None, home=home), database, LocalStore(home / "store"))
    start_clock(platform, AT)
    time, value = demand(22)
    load(platform, "flow in räumen.csv", "NORTH", time, value)
    load(platform, "level.csv", "SOUTH", time[:96], value[:96] / 20, "water_level")
    load(platform, "corrected.csv", "NORTH", time[100:110], value[100:110] + 90)
    load(platform, "wrong.csv", "NORTH", time[200:210], value[200:210] - 90)
    platform.store.put("inbox/broken.bin", bytes(range(256)))
    empty_inbox(platform)
    acts.do(platform, acts.withdrawal(platform, [arrival_of(platform, "wrong.csv")], reason="", at=AT))
    settled(platform)
    platform.store.put("inbox/deep/waits.csv", b"time,station,property,unit,value\n2026-03-02T00:00:00Z,NORTH,flow,m3/h,1\n")
    platform.store.put("inbox/deep/waits.csv.mapping.yaml", b"station: OTHER\n")
    database.close()
    yield name, home
    drop_database(server, name)


@pytest.fixture
def here(server: DatabaseServer, finished: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A copy of the finished platform of a test's own."""
    monkeypatch.chdir(tmp_path)
    name = f"{finished[0]}_copy"
    copy_database(server, finished[0], name)
    shutil.copytree(finished[1], tmp_path / "here")
    yield Place(tmp_path / "here", server.url(name))
    drop_database(server, name)


@pytest.fixture
def elsewhere(database_url: str, tmp_path: Path) -> Place:
    """A home that holds nothing, and a database that was migrated and holds nothing else."""
    return Place(tmp_path / "elsewhere", database_url)


def test_what_is_restored_elsewhere_is_what_was_backed_up(here: Place, empty_database_url: str, tmp_path: Path) -> None:
    """Every row of every table, every object and every body is equal; asking changes nothing; a second restore is refused; `sha256sum` agrees."""
    elsewhere = Place(tmp_path / "elsewhere", empty_database_url)
    code, made = here.water("backup", "backup")
    assert code == 0, made
    assert (made["objects"], made["waiting"], made["damaged"]) == (len(here.rows()["raw.source_file"]), 1, [])
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "backup", check=False).returncode == 0
    code, asked = elsewhere.water("restore", "backup")
    assert (code, asked["done"], asked["rows"]) == (0, False, made["rows"])
    assert not (elsewhere.home / "store").exists()
    code, done = elsewhere.water("restore", "backup", "--yes")
    assert code == 0, done
    assert elsewhere.rows() == here.rows()
    objects = {found.key: (here.home / "store" / found.key).read_bytes() for found in LocalStore(here.home / "store").list()}
    assert {found.key: (elsewhere.home / "store" / found.key).read_bytes() for found in LocalStore(elsewhere.home / "store").list()} == objects
    assert elsewhere.bodies() == here.bodies()
    with psycopg.connect(elsewhere.url) as connection:
        assert connection.execute("select count(*) from core.computed where logged_at is not null").fetchone() == (0,)
        assert len(dump.tables(connection)) > 250
        assert connection.execute(
            "select array_agg(distinct nspname::text) from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')"
        ).fetchone() == (sorted(dump.SCHEMAS),)
    code, refused = elsewhere.water("restore", "backup", "--yes")
    assert (code, "is not empty: files have landed in it" in refused["error"]) == (1, True)
    goes_on(here)
    goes_on(elsewhere)
    kept = {name: rows for name, rows in here.rows().items() if name.startswith(("core.observation_2", "mart.metric"))}
    assert {name: rows for name, rows in elsewhere.rows().items() if name in kept} == kept


def test_a_backup_of_an_older_release_is_restored_and_brought_up_to_date(here: Place, elsewhere: Place, empty_database_url: str) -> None:
    """What an earlier schema could hold of the same platform comes back in today's, with the descriptions that were not kept then."""
    older = Place(here.home, empty_database_url)
    migrate(older.url, first_day=FIRST_DAY, to="0008")
    _copy_rows(here.url, older.url)
    code, made = older.water("backup", "backup")
    assert code == 0, made
    code, done = elsewhere.water("restore", "backup", "--yes")
    assert code == 0, done
    restored, expected = elsewhere.rows(), here.rows()
    assert restored["raw.description"] == expected["raw.description"] != []
    assert {name for name, rows in expected.items() if restored[name] != rows} == set()
    assert elsewhere.bodies() == here.bodies()


def _copy_rows(source: str, target: str) -> None:
    """Fill a database of an earlier revision with what it can hold of another one."""
    with psycopg.connect(source) as there, psycopg.connect(target) as here:
        held = {table.name: table for table in dump.tables(here)}
        tables = [
            dataclasses.replace(table, columns=tuple(name for name in table.columns if name in held[table.name].columns))
            for table in dump.tables(there)
            if table.name in held
        ]
        rows = [(table, there.execute(sql.SQL("select from {}").format(table.identifier)).rowcount) for table in tables]
        dump.fill(here, ((table, number, dump.rows_of(there, table)) for table, number in rows if number), dump.sequences(there), [])


def test_a_backup_of_a_newer_release_is_refused_before_anything_is_written(here: Place, elsewhere: Place, tmp_path: Path) -> None:
    """Its schema is named; neither the database nor the store of this platform was touched, and asking says the same."""
    assert here.water("backup", "backup")[0] == 0
    manifest = tmp_path / "backup" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema": "9001", "code_version": "9.1"}))
    before = elsewhere.rows()
    for asked in ([], ["--yes"]):
        code, refused = elsewhere.water("restore", "backup", *asked)
        assert (code, "release 9.1, whose schema 9001" in refused["error"]) == (1, True), refused
    assert not (elsewhere.home / "store").exists()
    assert elsewhere.rows() == before


@pytest.fixture
def bucket() -> Iterator[str]:
    """A bucket of a real S3 API, removed with all that is in it."""
    endpoint = os.environ.get("WATER_TEST_S3_URL")
    if not endpoint:
        pytest.skip("no S3 server: set WATER_TEST_S3_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    name = f"water-test-{secrets.token_hex(4)}"
    client: Any = store_at(f"{endpoint} {name} ")._client  # type: ignore[attr-defined]
    client.create_bucket(Bucket=name)
    yield name
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=found["Key"])
    client.delete_bucket(Bucket=name)


def test_a_bucket_takes_a_backup_and_the_objects_of_a_restored_platform(here: Place, database_url: str, tmp_path: Path, bucket: str) -> None:
    """From a folder into a bucket, from there into a platform with its objects in another prefix, and from that into a folder: the same objects."""
    code, made = here.water("backup", f"s3://{bucket}/backups/one")
    assert code == 0, made
    elsewhere = Place(tmp_path / "elsewhere", database_url, f"s3://{bucket}/platform")
    code, done = elsewhere.water("restore", f"s3://{bucket}/backups/one", "--yes")
    assert code == 0, done
    assert elsewhere.rows() == here.rows()
    assert elsewhere.water("backup", "back")[0] == 0
    for found in LocalStore(here.home / "store").list():
        assert (tmp_path / "back" / "store" / found.key).read_bytes() == (here.home / "store" / found.key).read_bytes()
    code, refused = here.water("backup", f"s3://{bucket}/backups")
    assert (code, "is not empty" in refused["error"]) == (1, True)
    store_at(f"{os.environ['WATER_TEST_S3_URL']} {bucket} backups/one/").delete("manifest.json")
    code, refused = elsewhere.water("restore", f"s3://{bucket}/backups/one")
    assert (code, "no finished backup" in refused["error"]) == (1, True)


def goes_on(place: Place) -> None:
    """What waited is loaded, under its mapping, and settled."""
    with closing(Database(place.url, code_version="test", run="later")) as database:
        platform = Platform(Settings(_env_file=None, home=place.home), database, LocalStore(place.home / "store"))
        assert empty_inbox(platform) == 1
        settled(platform)
        with database.connection() as connection:
            assert connection.execute("select count(*) from core.station where natural_id = 'OTHER'").fetchone() == (1,)


def test_a_backup_that_was_killed_is_none_and_the_next_one_is_whole(here: Place, elsewhere: Place, tmp_path: Path) -> None:
    """Killed after some objects: the name does not exist, what is left cannot be restored, and a new backup takes its place."""
    killed = subprocess.run([sys.executable, "-c", _KILLED, "backup", "backup", "9"], env=here.environment, cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "backup").exists()
    code, refused = elsewhere.water("restore", ".backup.partial", "--yes")
    assert (code, "no finished backup" in refused["error"]) == (1, True)
    assert here.water("backup", "backup")[0] == 0
    assert not (tmp_path / ".backup.partial").exists()
    code, refused = here.water("backup", "backup")
    assert (code, "exists; name a folder that does not" in refused["error"]) == (1, True)


def test_a_restore_that_was_killed_is_begun_again(here: Place, elsewhere: Place, tmp_path: Path) -> None:
    """Killed after some objects were restored: the database is still empty, and the same restore ends in the same rows."""
    assert here.water("backup", "backup")[0] == 0
    command = [sys.executable, "-c", _KILLED, "restore", "backup", "--yes", "6"]
    assert subprocess.run(command, env=elsewhere.environment, cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    assert 2 <= sum(1 for _ in LocalStore(elsewhere.home / "store").list()) < sum(1 for _ in LocalStore(here.home / "store").list())
    assert elsewhere.water("restore", "backup", "--yes")[0] == 0
    assert elsewhere.rows() == here.rows()


def test_damage_is_named_and_nothing_is_restored_from_it(here: Place, elsewhere: Place, tmp_path: Path) -> None:
    """One byte of a table, a missing object, a cut list: each is found before anything is written. A damaged landing zone is told, too."""
    assert here.water("backup", "whole")[0] == 0
    table = "database/raw.source_file.tsv.zst"
    key = next(found.key for found in LocalStore(here.home / "store").list("landed/"))

    def spoil(name: str) -> None:
        path = tmp_path / "spoilt" / name
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"?")

    for name, said in ((table, table), (f"store/{key}", key), ("SHA256SUMS", "SHA256SUMS"), ("manifest.json", "is no manifest")):
        shutil.copytree(tmp_path / "whole", tmp_path / "spoilt", dirs_exist_ok=True)
        spoil(name)
        code, refused = elsewhere.water("restore", "spoilt", "--yes")
        assert (code, said in refused["error"]) == (1, True), refused
        shutil.rmtree(tmp_path / "spoilt")
    assert not (elsewhere.home / "store").exists()
    path = here.home / "store" / key
    path.unlink()
    code, refused = here.water("backup", "lacking")
    assert (code, key in refused["error"]) == (1, True)
    assert not (tmp_path / "lacking").exists()
    code, made = here.water("backup", "lacking", "--despite-damage")
    assert (code, made["damaged"], made["objects"]) == (0, [key], len(here.rows()["raw.source_file"]) - 1)


def test_a_platform_that_runs_or_holds_other_files_is_not_restored_into(here: Place, elsewhere: Place, tmp_path: Path) -> None:
    """Files that are not the backup's stay as they are, and so does a platform that runs."""
    assert here.water("backup", "backup")[0] == 0
    LocalStore(elsewhere.home / "store").put("inbox/mine.csv", b"1")
    code, refused = elsewhere.water("restore", "backup", "--yes")
    assert (code, "it holds inbox/mine.csv" in refused["error"]) == (1, True)
    shutil.rmtree(elsewhere.home)
    with Home(elsewhere.home).held():
        assert elsewhere.water("restore", "backup", "--yes")[0] == 4


def test_what_lands_while_a_backup_is_made_is_in_it_once(here: Place, tmp_path: Path) -> None:
    """A file that waited is loaded between the copy of the inbox and the snapshot: the backup has it as loaded, and not as waiting."""
    from water_pipelines.orchestration.operations.backup import back_up

    with closing(Database(here.url, code_version="test", run="beside")) as database:
        platform = Platform(Settings(_env_file=None, home=here.home), database, LocalStore(here.home / "store"))

        def beside(text: str) -> None:
            if "2 of 2 objects of the inbox copied" in text:
                empty_inbox(platform)

        made = back_up(platform, LocalStore(tmp_path / "backup"), beside)
    kept = LocalStore(tmp_path / "backup")
    assert made.waiting == 0
    assert not list(kept.list("store/inbox/"))
    assert made.tables["raw.source_file"]["rows"] == made.objects == len(here.rows()["raw.source_file"])
    assert made.objects * 2 == sum(1 for _ in kept.list("store/landed/"))


def test_a_landing_zone_that_went_on_after_the_backup_brings_all_of_it_back(here: Place, elsewhere: Place, tmp_path: Path) -> None:
    """The database is lost after more has landed: the backup's database beside the present objects, rebuilt from there, has every row of values."""
    assert here.water("backup", "backup")[0] == 0
    goes_on(here)
    shutil.copytree(here.home / "store", elsewhere.home / "store")
    code, restored = elsewhere.water("restore", "backup", "--yes")
    assert code == 0, restored
    code, asked = elsewhere.water("rebuild")
    assert (code, asked["unknown"], asked["done"]) == (0, len(here.rows()["raw.source_file"]) - len(elsewhere.rows()["raw.source_file"]), False)
    code, done = elsewhere.water("rebuild", "--yes")
    assert (code, done["done"]) == (0, True), done
    assert derived(elsewhere) == derived(here)
    assert elsewhere.water("rebuild")[1]["to_load"] == 0


def derived(place: Place) -> list[list[str]]:
    """What was derived, without the numbers of changes and loads."""
    query = "select s.natural_id, t.{} from {} as t join core.series as s using (series_id) order by {}"
    queries = [
        query.format("time, t.value", "core.observation", "1, 2"),
        query.format("start_at, t.count, t.mean", "mart.metric_hourly", "1, 2"),
        query.format("issued_at, t.target_at, t.model, t.q50", "core.forecast", "1, 2, 3, 4"),
    ]
    with psycopg.connect(place.url, options="-c timezone=UTC") as connection:
        return [[str(row) for row in connection.execute(each.encode())] for each in queries]


def test_nothing_of_the_environment_is_in_a_backup(here: Place, tmp_path: Path) -> None:
    """Neither the password of the database nor its address stands in any file of it but the tables and the objects."""
    assert here.water("backup", "backup")[0] == 0
    password = psycopg.conninfo.conninfo_to_dict(here.url).get("password")
    texts = [(tmp_path / "backup" / name).read_text() for name in ("manifest.json", "SHA256SUMS")]
    assert not any(str(password) in text or "postgresql://" in text for text in texts)
    assert np.all([path.stat().st_mode & 0o077 == 0 for path in [tmp_path / "backup"]])
