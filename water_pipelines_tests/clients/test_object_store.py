"""Object stores: the same promises on a local folder and on a real S3 API."""

import hashlib
import io
import os
import re
import secrets
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from water_pipelines.clients.object_store import (
    InvalidKey,
    LocalStore,
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    ObjectStore,
    S3Store,
    StoreUnavailable,
    store_from_settings,
)
from water_pipelines.settings import Settings


def s3_client(endpoint: str, **config: Any) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, **config))


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[tuple[Any, str]]:
    """A client and a bucket on the S3 API at WATER_TEST_S3_URL, with the credentials in AWS_*."""
    endpoint = os.environ.get("WATER_TEST_S3_URL")
    if not endpoint:
        pytest.skip("no S3 server: set WATER_TEST_S3_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    client, bucket = s3_client(endpoint), f"water-test-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=bucket)
    yield client, bucket
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=found["Key"])
    client.delete_bucket(Bucket=bucket)


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    client, bucket = request.getfixturevalue("s3_bucket")
    return S3Store(client, bucket, f"{secrets.token_hex(4)}/")


def keys(store: ObjectStore, *arguments: str) -> list[str]:
    return [found.key for found in store.list(*arguments)]


class TestEveryStore:
    """What holds on both."""

    def test_what_was_put_is_read_again(self, objects: ObjectStore) -> None:
        """Bytes and streams come back as they were, under keys with spaces, Unicode and folders."""
        objects.put("inbox/river gauges/Übersicht 2026.csv", b"time;value\n")
        objects.put("inbox/a+b=c&d%20e#f?.csv", io.BytesIO(b"x" * 3_000_000))
        assert objects.read("inbox/river gauges/Übersicht 2026.csv") == b"time;value\n"
        assert objects.read("inbox/a+b=c&d%20e#f?.csv") == b"x" * 3_000_000
        objects.put("empty", b"")
        assert objects.read("empty") == b""

    def test_an_object_is_described(self, objects: ObjectStore) -> None:
        """Size, time in UTC and a tag that changes with the content; an object that a store put is known to be whole."""
        put = objects.put("inbox/a.csv", b"1234")
        assert (put.key, put.bytes, put.whole) == ("inbox/a.csv", 4, True)
        assert abs(put.modified_at - datetime.now(UTC)) < timedelta(minutes=2)
        assert objects.info("inbox/a.csv") == put == next(objects.list("inbox/"))
        assert objects.put("inbox/a.csv", b"5678").etag != put.etag

    def test_a_listing_is_ordered_and_can_be_resumed(self, objects: ObjectStore) -> None:
        """Keys come in the order of their bytes, whatever the folders, so that the last one seen is a cursor."""
        expected = ["a!", "a-b/x", "a.txt", "a/1", "a/b/2", "a/c", "a0", "b", "ä", "水/1", "🌊"]
        for key in reversed(expected):
            objects.put(key, b"")
        assert keys(objects) == expected
        for position, key in enumerate(expected):
            assert keys(objects, "", key) == expected[position + 1 :]
        assert keys(objects, "", "a/b/") == expected[4:]

    def test_a_prefix_is_text_not_a_folder(self, objects: ObjectStore) -> None:
        """As S3 understands it: `a` finds a.txt, a/1 and ab/2."""
        for key in ("a.txt", "a/1", "ab/2", "b/3", "a/deep/er/4"):
            objects.put(key, b"")
        assert keys(objects, "a") == ["a.txt", "a/1", "a/deep/er/4", "ab/2"]
        assert keys(objects, "a/") == ["a/1", "a/deep/er/4"]
        assert keys(objects, "a/d", "a/deep") == ["a/deep/er/4"]
        assert keys(objects, "missing/") == []

    def test_missing_objects_are_named(self, objects: ObjectStore) -> None:
        """Reading what is not there says so; deleting it is no error."""
        for act in (objects.read, objects.open, objects.info):
            with pytest.raises(ObjectMissing, match="no/such"):
                act("no/such")
        with pytest.raises(ObjectMissing):
            objects.move_into("no/such", "landed/x")
        objects.delete("no/such")
        assert not objects.exists("no/such")

    def test_put_if_absent_never_replaces(self, objects: ObjectStore) -> None:
        """Of two who put the same key, one wins and the other is told."""
        objects.put("lock", b"first", if_absent=True)
        with pytest.raises(ObjectExists, match="lock"):
            objects.put("lock", b"second", if_absent=True)
        assert objects.read("lock") == b"first"
        objects.put("lock", b"third")
        assert objects.read("lock") == b"third"

    def test_a_stream_can_be_sought(self, objects: ObjectStore) -> None:
        """Archives and Parquet files are read from their ends: a zip of 6 MB opens without being read whole into memory."""
        body = io.BytesIO()
        noise = secrets.token_bytes(6_000_000)
        with zipfile.ZipFile(body, "w") as archive:
            archive.writestr("noise.bin", noise)
            archive.writestr("last.csv", "a,b\n1,2\n")
        objects.put("archive.zip", body.getvalue())
        with objects.open("archive.zip") as stream:
            assert stream.seekable()
            with zipfile.ZipFile(stream) as archive:
                assert archive.read("last.csv") == b"a,b\n1,2\n"
                assert archive.read("noise.bin") == noise
            assert stream.seek(-3, os.SEEK_END) == len(body.getvalue()) - 3
            assert stream.read() == body.getvalue()[-3:]
            assert stream.seek(10) == 10
            assert stream.read(4) == body.getvalue()[10:14]

    def test_landing_copies_and_hashes(self, objects: ObjectStore) -> None:
        """The copy's key carries the hash of its bytes, and the source stays until it is deleted."""
        content = b"2026-01-01T00:00Z,1.5\n" * 200_000
        objects.put("inbox/river/a.csv", content)
        copied = objects.move_into("inbox/river/a.csv", "landed/2026-11-22/000000000012-{sha256}")
        sha256 = hashlib.sha256(content).hexdigest()
        assert (copied.sha256, copied.bytes) == (sha256, 4_400_000)
        assert copied.key == f"landed/2026-11-22/000000000012-{sha256}"
        assert objects.read(copied.key) == content
        assert keys(objects) == ["inbox/river/a.csv", copied.key]
        objects.delete("inbox/river/a.csv", unless_changed=copied.source)
        assert keys(objects) == [copied.key]

    def test_landing_twice_does_not_replace(self, objects: ObjectStore) -> None:
        """What has landed never changes, not even by itself again."""
        objects.put("inbox/a", b"1")
        objects.move_into("inbox/a", "landed/1")
        with pytest.raises(ObjectExists, match="landed/1"):
            objects.move_into("inbox/a", "landed/1")

    def test_a_newer_object_is_not_deleted_for_an_older_one(self, objects: ObjectStore) -> None:
        """A file dropped again under the same name while its first version landed must stay in the inbox."""
        seen = objects.put("inbox/a", b"first")
        objects.put("inbox/a", b"second")
        with pytest.raises(ObjectChanged, match="inbox/a"):
            objects.delete("inbox/a", unless_changed=seen)
        assert objects.read("inbox/a") == b"second"

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/etc/passwd",
            "../up",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "nul\0",
            ".hidden",
            "a/.b/c",
            "x.csv.part",
            "x" * 256,
            "b/" * 600 + "c",
            "\udcff.csv",
        ],
        ids=range(14),
    )
    def test_keys_that_are_no_keys_are_refused(self, objects: ObjectStore, key: str) -> None:
        """No key leaves the root, and none is put that a listing would hide."""
        for act in (lambda: objects.put(key, b""), lambda: objects.read(key), lambda: objects.delete(key), lambda: objects.info(key)):
            with pytest.raises(InvalidKey):
                act()

    def test_many_writers_at_once_do_not_disturb_each_other(self, objects: ObjectStore) -> None:
        """Eight threads put and land 400 objects."""
        names = [f"{number:03d}.csv" for number in range(400)]

        def put_and_land(name: str) -> str:
            objects.put(f"inbox/{name}", name.encode())
            return objects.move_into(f"inbox/{name}", f"landed/{name}").sha256

        with ThreadPoolExecutor(8) as hands:
            hashes = list(hands.map(put_and_land, names))
        assert hashes == [hashlib.sha256(name.encode()).hexdigest() for name in names]
        assert keys(objects, "landed/") == [f"landed/{name}" for name in names]


class TestLocalStore:
    """What a folder that others write into adds."""

    def test_unfinished_files_are_not_listed(self, store: LocalStore) -> None:
        """Copying programs write under dot names and .part names, and rename at the end."""
        inbox = store.root / "inbox"
        (inbox / ".sync").mkdir(parents=True)
        for name in (".a.csv.x7Fq", "b.csv.part", "c.csv.filepart", ".sync/d.csv", "e.csv"):
            (inbox / name).write_text("1")
        assert keys(store) == ["inbox/e.csv"]
        (inbox / "b.csv.part").rename(inbox / "b.csv")
        assert keys(store) == ["inbox/b.csv", "inbox/e.csv"]

    def test_a_file_being_written_is_not_known_to_be_whole(self, store: LocalStore) -> None:
        """Only files that a store put, or that were made read-only afterwards, are whole at first sight."""
        store.put("inbox/put.csv", b"1")
        with (store.root / "inbox" / "growing.csv").open("w") as growing:
            growing.write("1")
            growing.flush()
            growing_now, put = store.list("inbox/")
        assert (growing_now.whole, put.whole) == (False, True)

    def test_links_are_not_followed(self, store: LocalStore, tmp_path: Path) -> None:
        """Whoever may write into the inbox must not make the platform read or write elsewhere."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_text("s")
        (store.root / "inbox").mkdir(parents=True)
        (store.root / "inbox" / "file").symlink_to(outside / "secret")
        (store.root / "inbox" / "folder").symlink_to(outside)
        assert keys(store) == []
        for key in ("inbox/file", "inbox/folder/secret"):
            with pytest.raises(InvalidKey, match="link"):
                store.read(key)
            with pytest.raises(InvalidKey, match="link"):
                store.move_into(key, "landed/1")
        with pytest.raises(InvalidKey, match="link"):
            store.put("inbox/folder/new", b"")
        assert [path.name for path in outside.iterdir()] == ["secret"]

    def test_pipes_and_folders_are_no_objects(self, store: LocalStore) -> None:
        """A named pipe must not hold the platform for ever."""
        (store.root / "inbox" / "folder").mkdir(parents=True)
        os.mkfifo(store.root / "inbox" / "pipe")
        assert keys(store) == []
        for key in ("inbox/pipe", "inbox/folder"):
            with pytest.raises(InvalidKey, match="no regular file"):
                store.open(key)

    def test_a_name_that_is_not_utf8_is_left_alone_and_said(self, store: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
        """It could not be written into the ledger; the rest of the inbox goes on."""
        store.put("inbox/good.csv", b"")
        (store.root / "inbox" / os.fsdecode(b"K\xf6ln.csv")).write_text("1")
        assert keys(store) == ["inbox/good.csv"]
        assert "not named in UTF-8" in caplog.text

    def test_a_source_written_while_it_lands_is_left_alone(self, store: LocalStore) -> None:
        """Half a file must not land: the copy is given up and nothing of it stays."""
        path = store.root / "inbox" / "a.csv"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"1\n")

        class Appending(LocalStore):
            """A store whose source grows between the copy and the second look at it."""

            def info(self, key: str) -> Any:
                with path.open("ab") as growing:
                    growing.write(b"2\n")
                return super().info(key)

        with pytest.raises(ObjectChanged, match=re.escape("inbox/a.csv")):
            Appending(store.root).move_into("inbox/a.csv", "landed/1")
        assert sorted(str(found.relative_to(store.root)) for found in store.root.rglob("*") if found.is_file()) == ["inbox/a.csv"]

    def test_what_has_landed_is_read_only(self, store: LocalStore) -> None:
        """Nobody changes a landed object by a slip of an editor."""
        put = store.put("landed/1", b"1")
        assert (store.root / put.key).stat().st_mode & 0o777 == 0o444

    def test_a_failed_put_leaves_nothing(self, store: LocalStore) -> None:
        """A stream that breaks halfway leaves neither the object nor a temporary file."""

        class Broken(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() > 0:
                    raise OSError(5, "Input/output error")
                return super().read(10)

        with pytest.raises(StoreUnavailable) as refused:
            store.put("a", Broken(b"x" * 100))
        assert refused.value.retryable
        assert list(store.root.iterdir()) == []

    def test_leftovers_of_killed_processes_go_after_a_day(self, store: LocalStore) -> None:
        """A kill -9 in the middle of a put leaves a hidden file, which the next put removes once nobody can be writing it."""
        store.put("a", b"")
        old, new = store.root / ".old.tmp", store.root / ".new.tmp"
        old.touch()
        new.touch()
        os.utime(old, (0, 0))
        store.put("b", b"")
        assert (old.exists(), new.exists()) == (False, True)

    def test_an_object_in_the_way_of_a_folder(self, store: LocalStore) -> None:
        """A folder cannot have the name of an object."""
        store.put("a", b"1")
        with pytest.raises(InvalidKey, match="a is an object"):
            store.put("a/b", b"2")

    def test_free_bytes_before_and_after_the_first_put(self, store: LocalStore) -> None:
        """The room is that of the disk on which the store will be."""
        disk = os.statvfs(store.root.parent)
        assert store.free_bytes() == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)


class TestS3Store:
    """What a server in between adds."""

    def test_the_constructor_opens_nothing(self) -> None:
        """A code location loads although the store is down."""
        S3Store(None, "bucket")

    def test_a_server_that_is_down_is_retried_then_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Four attempts with growing pauses; then an error that says that trying later may help."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it would keep these credentials for the tests that follow
        pauses: list[float] = []
        client = s3_client("http://127.0.0.1:9", retries={"total_max_attempts": 1}, connect_timeout=1)
        with pytest.raises(StoreUnavailable, match="is it running") as refused:
            S3Store(client, "bucket", sleep=pauses.append).read("a")
        assert refused.value.retryable
        assert len(pauses) == 3
        assert 0.1 <= pauses[0] <= 0.2
        assert 0.4 <= pauses[2] <= 0.8

    def test_a_wrong_bucket_is_not_retried(self, s3_bucket: tuple[Any, str]) -> None:
        """A mistake in the settings is said at once."""
        pauses: list[float] = []
        with pytest.raises(StoreUnavailable, match="check the bucket") as refused:
            list(S3Store(s3_bucket[0], "no-such-bucket", sleep=pauses.append).list())
        assert not refused.value.retryable
        assert pauses == []

    def test_a_large_object_goes_up_in_parts(self, s3_bucket: tuple[Any, str]) -> None:
        """70 MB are sent in two parts, conditionally too, and land by a copy on the server."""
        store = S3Store(*s3_bucket, f"{secrets.token_hex(4)}/")
        content = secrets.token_bytes(1 << 20) * 70
        assert store.put("large", content, if_absent=True).etag.endswith("-2")
        with pytest.raises(ObjectExists):
            store.put("large", content, if_absent=True)
        copied = store.move_into("large", "landed/{sha256}")
        assert copied.sha256 == hashlib.sha256(content).hexdigest()
        assert store.info(copied.key).bytes == 70 << 20

    def test_a_stream_never_mixes_two_versions(self, s3_bucket: tuple[Any, str]) -> None:
        """An object replaced while it is read is an error, not a file with two heads."""
        store = S3Store(*s3_bucket, f"{secrets.token_hex(4)}/")
        store.put("a", b"1" * 6_000_000)
        with store.open("a") as stream:
            stream.read(10)
            store.put("a", b"2" * 6_000_000)
            stream.seek(5_000_000)
            with pytest.raises(ObjectChanged):
                stream.read(10)

    def test_a_listing_goes_over_pages(self, s3_bucket: tuple[Any, str]) -> None:
        """A page of S3 has up to 1,000 keys; five pages of two are all listed."""
        client, bucket = s3_bucket

        class SmallPages:
            """The real client, asking for two keys a page."""

            def list_objects_v2(self, **asked: Any) -> Any:
                return client.list_objects_v2(**asked, MaxKeys=2)

        prefix = f"{secrets.token_hex(4)}/"
        for number in range(9):
            S3Store(client, bucket, prefix).put(f"{number}", b"")
        store = S3Store(SmallPages(), bucket, prefix)
        assert keys(store) == [f"{number}" for number in range(9)]
        assert keys(store, "", "3") == ["4", "5", "6", "7", "8"]
        assert store.free_bytes() is None


def test_the_settings_choose_the_store(tmp_path: Path) -> None:
    """A folder by default, a bucket by URL; and a bucket without a client is a mistake of the caller."""
    assert repr(store_from_settings(Settings(home=tmp_path))) == f"LocalStore({tmp_path}/store)"
    assert repr(store_from_settings(Settings(store_url="s3://bucket/a"), s3_client=object())) == "S3Store(s3://bucket/a/)"
    with pytest.raises(ValueError, match="needs an S3 client"):
        store_from_settings(Settings(store_url="s3://bucket/a"))
