"""Emptying the inbox, on a local folder and on a real S3 API: nothing is missed and nothing lands twice, whatever is killed in between."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from water_pipelines.clients.object_store import LocalStore, ObjectStore, S3Store, StoreUnavailable
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.landing import land_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage import source_files
from water_pipelines.storage.database import Database

NAMES = ("a.csv", "räume und %20.csv", "tief/im/tal/c+d.csv", "z.csv", "ö.csv")

_KILLED = """
import os, signal, sys
from pathlib import Path
from water_pipelines.clients import object_store
from water_pipelines.orchestration.operations.landing import land_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage import source_files
from water_pipelines.storage.database import Database
from water_pipelines_tests.orchestration.test_landing import store_at

url, where, home, step = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4]
store = store_at(where)
names = {"copied": (type(store), "move_into"), "announced": (source_files.Lander, "announce"), "sealed": (type(store), "put"),
         "noted": (source_files.Lander, "landed"), "emptied": (type(store), "delete")}
if step in names:
    owner, name = names[step]
    original = getattr(owner, name)

    def killed(*arguments, **named):
        done = original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(owner, name, killed)
platform = Platform(Settings(_env_file=None, home=Path(home)), Database(url, code_version="test", run="child"), store)
print(sum(len(batch) for batch in land_inbox(platform)))
platform.database.close()
"""


def csv(number: int) -> bytes:
    return f"time,station,property,unit,value\n2026-03-02T00:{number:02d}:00Z,GAUGE,water_level,m,{number}\n".encode()


def store_at(where: str) -> ObjectStore:
    """A folder's store, or that of `endpoint bucket prefix`."""
    if " " not in where:
        return LocalStore(Path(where))
    import boto3
    from botocore.config import Config

    endpoint, bucket, prefix = where.split(" ")
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
    return S3Store(client, bucket, prefix)


@pytest.fixture(scope="module")
def versioned_bucket() -> Iterator[str]:
    """`endpoint bucket` of a bucket that keeps every version, and in which an upload was never finished."""
    endpoint = os.environ.get("WATER_TEST_S3_URL")
    if not endpoint:
        pytest.skip("no S3 server: set WATER_TEST_S3_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    bucket = f"water-test-{secrets.token_hex(4)}"
    client: Any = store_at(f"{endpoint} {bucket} ")._client  # type: ignore[attr-defined]
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    yield f"{endpoint} {bucket}"
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for found in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            client.delete_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    client.delete_bucket(Bucket=bucket)


@pytest.fixture(params=["local", "s3"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a store of each kind."""
    if request.param == "local":
        return str(tmp_path / "objects")
    return f"{request.getfixturevalue('versioned_bucket')} {secrets.token_hex(4)}/"


@pytest.fixture
def world(where: str, database_url: str, tmp_path: Path) -> Iterator[Platform]:
    """A platform whose store other processes can open too."""
    database = Database(database_url, code_version="test", run="test")
    yield Platform(Settings(_env_file=None, home=tmp_path / "home"), database, store_at(where))
    database.close()


def child(world: Platform, where: str, step: str) -> subprocess.Popen[str]:
    """A process that lands the inbox, and is killed after the first of a kind of step."""
    arguments = [sys.executable, "-c", _KILLED, world.database.url, where, str(world.settings.home), step]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def landed(world: Platform) -> list[tuple[int, str, str]]:
    """(arrival, prefix, name) of what the ledger knows as landed."""
    with world.database.connection() as connection:
        return connection.execute("select arrival, prefix, name from raw.source_file where landed_at is not null order by arrival").fetchall()


def assert_all_landed_once(world: Platform) -> None:
    names = sorted(f"{prefix}/{name}".lstrip("/") for _, prefix, name in landed(world))
    assert names == sorted(NAMES)
    assert list(world.store.list("inbox/")) == []
    with world.database.connection() as connection:
        keys = [row[0] for row in connection.execute("select key from raw.source_file order by key").fetchall()]
    assert [found.key for found in world.store.list("landed/")] == [each for key in keys for each in (key, f"{key}.json")]
    for number, name in enumerate(NAMES):
        file = source_files.latest_named(world.database, name.rpartition("/")[0], name.rpartition("/")[2])
        assert file is not None
        assert world.store.read(file.key) == csv(number)
        assert orjson.loads(world.store.read(f"{file.key}.json"))["sha256"] == file.sha256


@pytest.mark.parametrize("step", ["copied", "announced", "sealed", "noted", "emptied"])
def test_a_lander_that_is_killed_misses_nothing_and_lands_nothing_twice(world: Platform, where: str, step: str) -> None:
    """kill -9 after the first copy, the ledger's rows, the first facts, the ledger's note, the first deletion; then it lands again."""
    for number, name in enumerate(NAMES):
        world.store.put(f"inbox/{name}", csv(number))
    process = child(world, where, step)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert empty_inbox(world) <= len(NAMES)
    assert_all_landed_once(world)
    with world.database.connection() as connection:
        assert connection.execute("select count(*) from core.observation").fetchone() == (len(NAMES),)


def test_two_landers_at_once_land_each_file_once(world: Platform, where: str) -> None:
    """Two processes and one inbox: together they land what is there."""
    for number, name in enumerate(NAMES):
        world.store.put(f"inbox/{name}", csv(number))
    processes = [child(world, where, "none") for _ in range(2)]
    assert sum(int(process.communicate()[0]) for process in processes) == len(NAMES)
    assert_all_landed_once(world)


def test_files_arrive_in_the_order_of_their_writing_not_of_their_keys(world: Platform) -> None:
    """Put in descending order of their names, a second apart for stores that tell no less."""
    for number, name in ((3, "z.csv"), (1, "m.csv"), (0, "a.csv")):
        info = world.store.put(f"inbox/{name}", csv(number))
        while info.modified_at == world.store.put("inbox/clock.csv", csv(9)).modified_at:
            pass
    world.store.delete("inbox/clock.csv")
    empty_inbox(world)
    assert [name for _, _, name in landed(world)] == ["z.csv", "m.csv", "a.csv"]


def test_the_mapping_that_a_crash_left_goes_but_one_that_waits_for_its_file_stays(world: Platform) -> None:
    """A sidecar that landed with its file is not kept for the next file of that name; put again, it is."""
    world.store.put("inbox/x.csv", b"time,level [m]\n2026-03-02 00:00,1\n")
    world.store.put("inbox/x.csv.mapping.yaml", b"time_zone: UTC\n")
    landed_beside = world.store.info("inbox/x.csv.mapping.yaml")
    delete = type(world.store).delete
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(world.store), "delete", lambda store, key, unless_changed=None: None if key.endswith(".yaml") else delete(store, key))
        assert len(next(land_inbox(world))) == 1
    assert [found.key for found in world.store.list("inbox/")] == ["inbox/x.csv.mapping.yaml"]
    assert empty_inbox(world) == 0
    assert list(world.store.list("inbox/")) == []
    while world.store.put("inbox/x.csv.mapping.yaml", b"time_zone: UTC\n").modified_at <= landed_beside.modified_at:
        pass
    empty_inbox(world)
    assert [found.key for found in world.store.list("inbox/")] == ["inbox/x.csv.mapping.yaml"]


def test_the_same_file_twice_in_one_drop_lands_once(world: Platform) -> None:
    """Two names, the same bytes and prefix: one file of the ledger."""
    world.store.put("inbox/a.csv", csv(0))
    world.store.put("inbox/b.csv", csv(0))
    assert empty_inbox(world) == 1
    assert len(list(world.store.list("landed/"))) == 2
    assert list(world.store.list("inbox/")) == []


def test_what_the_store_does_not_answer_for_waits_and_the_rest_lands(world: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is lost in the middle of one of three files."""
    for number, name in enumerate(("a.csv", "b.csv", "c.csv")):
        world.store.put(f"inbox/{name}", csv(number))
    move_into = type(world.store).move_into

    def lost(store: Any, source_key: str, target_key: str) -> Any:
        if source_key == "inbox/b.csv":
            raise StoreUnavailable("the connection was lost", retryable=True)
        return move_into(store, source_key, target_key)

    monkeypatch.setattr(type(world.store), "move_into", lost)
    assert [len(batch) for batch in land_inbox(world)] == [2]
    monkeypatch.undo()
    assert empty_inbox(world) == 1
    assert [name for _, _, name in landed(world)] == ["a.csv", "c.csv", "b.csv"]


def test_a_connection_lost_while_loading_fails_that_file_which_is_loaded_later(world: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two files the first cannot be read: failed with its reason; the second loads; tried again, the first does too."""
    for number, name in enumerate(("a.csv", "b.csv")):
        world.store.put(f"inbox/{name}", csv(number))
    opened = type(world.store).open

    def lost(store: Any, key: str) -> Any:
        if "000000000001-" in key and key.startswith("landed/"):
            raise StoreUnavailable("the connection was lost", retryable=True)
        return opened(store, key)

    monkeypatch.setattr(type(world.store), "open", lost)
    empty_inbox(world)
    monkeypatch.undo()
    first, second = (source_files.get(world.database, arrival) for arrival in (1, 2))
    assert (first.status, second.status) == ("failed", "succeeded")
    assert "the connection was lost" in (first.error or "")
    source_files.retry(world.database, [1])
    empty_inbox(world)
    assert source_files.get(world.database, 1).status == "succeeded"


def test_an_upload_that_is_not_finished_is_not_seen(world: Platform, where: str) -> None:
    """Parts that were sent and never completed, or a file that still has the name of an unfinished one."""
    if isinstance(world.store, LocalStore):
        (world.store.root / "inbox").mkdir(parents=True)
        (world.store.root / "inbox" / "big.csv.part").write_bytes(csv(0))
    else:
        client, (_, bucket, prefix) = world.store._client, where.split(" ")  # type: ignore[attr-defined]
        upload = client.create_multipart_upload(Bucket=bucket, Key=f"{prefix}inbox/big.csv")["UploadId"]
        client.upload_part(Bucket=bucket, Key=f"{prefix}inbox/big.csv", UploadId=upload, PartNumber=1, Body=csv(0) * 100)
    assert empty_inbox(world) == 0
    assert landed(world) == []


def test_what_the_platform_made_and_could_not_land_is_forgotten(world: Platform) -> None:
    """A tick and a file were announced by a process that died: the file is still in the inbox and lands, of the tick nothing is left."""
    world.store.put("inbox/river/a.csv", csv(0))
    facts: dict[str, Any] = {"mapping_version": "none", "mapping": "", "arrived_at": datetime(2026, 3, 2, tzinfo=UTC)}
    with source_files.landing(world.database) as arrival:
        assert arrival == 1
    source_files.announce(
        world.database, arrival=1, sha256=hashlib.sha256(csv(0)).hexdigest(), size=len(csv(0)), name="a.csv", prefix="river", kind="data", **facts
    )
    world.store.put(source_files.get(world.database, 1).key, csv(0))
    tick = source_files.announce(world.database, arrival=2, sha256="ab" * 32, size=2, name="tick.json", prefix="ticks", kind="tick", **facts)
    world.store.put(tick.key, b"{}")
    assert empty_inbox(world) == 1
    assert landed(world) == [(1, "river", "a.csv")]
    assert [found.key for found in world.store.list("landed/")] == [(key := source_files.get(world.database, 1).key), f"{key}.json"]
    with pytest.raises(KeyError):
        source_files.get(world.database, 2)
