"""Datasets: every file that landed, its facts, its bytes, and the rows of it that were refused."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest

from water_pipelines.api.app import create_app
from water_pipelines.clients.object_store import LocalStore
from water_pipelines.settings import Settings
from water_pipelines.storage.source_files import SourceFile
from water_pipelines_tests.api.conftest import Serve
from water_pipelines_tests.api.scenes import DAY, FLOW, GAUGE, NODE, played
from water_pipelines_tests.builders import NOON, World, every

V1 = "/api/v1/datasets"
BYTES = bytes(range(256)) * 12_000  # three chunks


@pytest.fixture
def file(world: World, store: LocalStore) -> SourceFile:
    """A file of 3 MB whose bytes lie in the store."""
    file = world.announce("Pegel Österreich, 1.csv", prefix="river", content=" " * len(BYTES))
    store.put(file.key, BYTES)
    return file


def test_every_kind_of_file_is_a_dataset(client: httpx.Client, world: World) -> None:
    """Two data files, a correction and three ticks, the latest first; chosen by kind, status and the time of arrival."""
    played(world)
    names = ["tick-2026-03-09T00:00", "tick-2026-03-01T02:00", "north-corrected.csv", "tick-2026-03-01T01:00", "gauge.csv", "north.csv"]
    assert [each["name"] for each in client.get(V1).json()["items"]] == names
    for query, found in (
        ({"kind": "tick"}, 3),
        ({"status": "succeeded"}, 3),
        ({"prefix": "river"}, 0),
        ({"start": (NOON + timedelta(seconds=1)).isoformat(), "end": (NOON + timedelta(seconds=4)).isoformat()}, 3),
    ):
        assert len(client.get(V1, params=query).json()["items"]) == found, query
    first = client.get(V1, params={"limit": 4}).json()
    rest = client.get(V1, params={"limit": 4, "cursor": first["next"]}).json()
    assert [each["name"] for each in [*first["items"], *rest["items"]]] == names
    assert rest["next"] is None


def test_a_dataset_tells_all_of_a_file(client: httpx.Client, world: World) -> None:
    """The correction gave one new value and one changed one of the flow, and one of a new series; it leads to its job, bytes and refused rows."""
    played(world)
    (listed,) = [each for each in client.get(V1).json()["items"] if each["name"] == "north-corrected.csv"]
    dataset = client.get(f"{V1}/{listed['id']}").json()
    assert {name: dataset[name] for name in listed} == listed
    assert (dataset["parser"], dataset["parser_version"], dataset["mapping"], dataset["series_count"]) == ("builder", "1", "", 2)
    assert [(each["natural_id"], each["first_day"], each["new"], each["changed"]) for each in dataset["series"]] == [
        (FLOW, DAY, 1, 1),
        ("north/valve/pressure", DAY, 1, 0),
    ]
    assert client.get(dataset["links"]["job"]).json()["id"] == dataset["id"]
    assert client.get(dataset["links"]["rejected"]).json()["items"] == []


def test_refused_rows_come_with_line_and_reason(client: httpx.Client, world: World) -> None:
    """In pages, and as CSV in which a row that holds commas and quotes is one field."""
    rejected = [(3, 'a,"b"', "no number"), (4, "x", "no time"), (9, " y", "no time, no value")]
    world.drop("bad.csv", every(15, f"{DAY}T00:00", [1.0], GAUGE), rejected=rejected)
    (dataset,) = client.get(V1).json()["items"]
    first = client.get(dataset["links"]["rejected"], params={"limit": 2}).json()
    second = client.get(dataset["links"]["rejected"], params={"limit": 2, "cursor": first["next"]}).json()
    assert [(row["source_row"], row["text"], row["reason"]) for row in [*first["items"], *second["items"]]] == rejected
    csv = client.get(dataset["links"]["rejected"], params={"format": "csv"})
    assert csv.text == 'source_row,text,reason\r\n3,"a,""b""",no number\r\n4,x,no time\r\n9," y","no time, no value"\r\n'


def test_the_bytes_of_a_file_are_those_that_landed(client: httpx.Client, file: SourceFile) -> None:
    """3 MB come whole, under the file's own name, never to be run or guessed at by a browser, and cost nothing when they are kept."""
    url = f"{V1}/{file.job_id}/file"
    answer = client.get(url)
    assert answer.content == BYTES
    assert {name: answer.headers[name] for name in ("content-type", "content-length", "accept-ranges", "x-content-type-options", "etag")} == {
        "content-type": "text/csv; charset=utf-8",
        "content-length": "3072000",
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "etag": f'"{file.sha256}"',
    }
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''Pegel%20%C3%96sterreich%2C%201.csv"
    assert client.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=1048570-1048585", 206, 1048570, 1048586),
        ("bytes=-5", 206, 3071995, 3072000),
        ("bytes=3071999-9999999", 206, 3071999, 3072000),
        ("bytes=3072000-", 416, 0, 0),
        ("bytes=0-1,4-5", 200, 0, 3072000),
        ("lines=1-2", 200, 0, 3072000),
    ],
)
def test_a_range_of_a_file_can_be_had(client: httpx.Client, file: SourceFile, asked: str, status: int, start: int, stop: int) -> None:
    """A range comes alone with its place; one beyond the end is refused; what is not one range of bytes is answered by the whole."""
    answer = client.get(f"{V1}/{file.job_id}/file", headers={"Range": asked})
    assert answer.status_code == status
    assert answer.content == BYTES[start:stop]
    place = {206: f"bytes {start}-{stop - 1}/3072000", 416: "bytes */3072000"}.get(status)
    assert answer.headers.get("content-range") == place


def test_a_range_of_another_file_is_not_taken_for_this_ones(client: httpx.Client, file: SourceFile) -> None:
    """A download that was begun with other bytes is given all of these."""
    headers = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert client.get(f"{V1}/{file.job_id}/file", headers=headers).content == BYTES


def test_no_other_object_can_be_had(client: httpx.Client, world: World, store: LocalStore) -> None:
    """What is no dataset's id is no way into the store; a file that has not landed yet, or that the store has lost, is a problem that says so."""
    store.put("inbox/secret.txt", b"secret")
    for name in ("inbox%2Fsecret.txt", "..%2Finbox%2Fsecret.txt", "inbox/secret.txt"):
        assert client.get(f"{V1}/{name}/file").status_code in (404, 422)
    lost = world.announce("lost.csv")
    answer = client.get(f"{V1}/{lost.job_id}/file")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:water-pipelines:problem:file-missing")
    with psycopg.connect(world.database.url) as connection:
        connection.execute("update raw.source_file set landed_at = null where arrival = %s", (lost.arrival,))
    assert "are landing" in client.get(f"{V1}/{lost.job_id}/file").json()["detail"]


def test_a_store_that_signs_urls_is_where_the_bytes_come_from_when_asked(world: World, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With redirect=true the answer leads to this object of the bucket, for five minutes, under its own name."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it would keep these credentials for the tests that follow
    file = world.announce("gauge 1.csv")
    settings = Settings(_env_file=None, store_url="s3://water/home", s3_endpoint_url="http://127.0.0.1:9")
    with serve(create_app(settings, world.database)) as client:
        answer = client.get(f"{V1}/{file.job_id}/file", params={"redirect": True})
    assert answer.status_code == 307
    where = urlsplit(answer.headers["location"])
    assert where.path.endswith(f"home/{file.key}")
    asked = parse_qs(where.query)
    assert asked["response-content-disposition"] == ["attachment; filename*=UTF-8''gauge%201.csv"]
    assert (asked["X-Amz-Expires"], asked["X-Amz-Algorithm"]) == (["300"], ["AWS4-HMAC-SHA256"])


def test_processing_jobs_tell_how_partitions_stand(client: httpx.Client, world: World) -> None:
    """Each partition once, by asset; a stale one is told from one that was never computed; pages by three are the whole."""
    played(world)
    with psycopg.connect(world.database.url) as connection:
        connection.execute("insert into core.stale (asset, unit, since) values ('core/anomaly', %s, 7), ('core/forecast', '2026-03-02', 7)", (DAY,))
    url = "/api/v1/processing-jobs"
    whole = client.get(url).json()["items"]
    keys = [(each["asset"], each["partition"]) for each in whole]
    assert keys == sorted(set(keys))
    status = {(each["asset"], each["partition"]): each["status"] for each in whole}
    assert (status["core/anomaly", DAY], status["core/forecast", "2026-03-02"], status["core/anomaly", "2026-02-28"]) == (
        "stale",
        "pending",
        "succeeded",
    )
    parts, query = [], {"limit": "3"}
    while True:
        part = client.get(url, params=query).json()
        parts += part["items"]
        if part["next"] is None:
            break
        query["cursor"] = part["next"]
    assert parts == whole
    assert {each["asset"] for each in client.get(url, params={"status": "stale"}).json()["items"]} == {"core/anomaly"}


def test_a_series_says_that_it_came_by_file(client: httpx.Client, world: World) -> None:
    """What files bring is imported; where a file's mapping says that it is a sensor's, it is; another word of a source is a property."""
    world.drop("a.csv", every(15, f"{DAY}T00:00", [1.0], FLOW), series={FLOW: {"station": NODE}})
    world.drop("b.csv", every(15, f"{DAY}T00:00", [1.0], GAUGE), series={GAUGE: {"kind": "sensor"}, "GAUGE_8/stage": {"kind": "radar"}})
    kinds = {each["natural_id"]: (each["kind"], each["properties"]) for each in client.get("/api/v1/time-series/metadata").json()["items"]}
    assert kinds == {FLOW: ("imported", {}), GAUGE: ("sensor", {}), "GAUGE_8/stage": ("imported", {"kind": "radar"})}
