"""Health, readiness, counts and jobs: what goes on at present."""

from collections.abc import Callable

import httpx
import psycopg
from alembic.script import ScriptDirectory

from water_pipelines.storage import migrations
from water_pipelines.storage.served.health import expected_revision
from water_pipelines.storage.source_files import refuse
from water_pipelines_tests.api.scenes import DAY, FLOW, played
from water_pipelines_tests.builders import World, every

V1 = "/api/v1"


def test_ready_when_migrated_and_the_daemon_is_alive(client: httpx.Client, heartbeat: Callable[[float], None]) -> None:
    """503 without a heartbeat, 200 with one of 30 s, 503 with one of 10 minutes."""
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["daemon_heartbeat_age_s"]) == (503, None)
    heartbeat(30)
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert 30 <= answer.json()["daemon_heartbeat_age_s"] < 60
    heartbeat(600)
    answer = client.get("/ready")
    assert (answer.status_code, len(answer.json()["reasons"])) == (503, 1)


def test_not_ready_at_another_migration(client: httpx.Client, heartbeat: Callable[[float], None], database_url: str) -> None:
    """A database at another revision than the code's is not ready, and the answer says what to run."""
    heartbeat(1)
    with psycopg.connect(database_url) as connection:
        connection.execute("update alembic_version set version_num = '0001'")
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["schema_revision"]) == (503, "0001")
    assert "water migrate" in answer.json()["reasons"][0]


def test_the_expected_revision_is_alembics_head() -> None:
    """The number that is read off the file names is the head that Alembic finds."""
    assert expected_revision() == ScriptDirectory(migrations.__path__[0]).get_current_head()


def test_status_counts_what_is_there(client: httpx.Client, world: World) -> None:
    """After the scenes: 3 stations, 2 of them nodes, 3 series, 8 values (4 + 2, and 2 new of a correction), 6 files."""
    played(world)
    status = client.get(f"{V1}/status").json()
    assert [status[name] for name in ("stations", "nodes", "series", "observations")] == [3, 2, 3, 8]
    assert status["files"] == {"pending": 3, "running": 0, "succeeded": 3, "failed": 0, "quarantined": 0}
    assert status["change"] == world.change
    assert status["tick_at"] == "2026-03-09T00:00:00Z"
    stages = {stage["asset"]: stage for stage in status["stages"]}
    assert (stages["mart/metric_30min"]["computed_units"], stages["mart/metric_30min"]["rows"]) == (1, 2)


def test_jobs_tell_what_became_of_each_file(client: httpx.Client, world: World) -> None:
    """A loaded file has its counts, change and refused rows; a quarantined one its error."""
    rejected = [(6, "2026-03-01 01:00,n/a", "n/a is no number"), (7, ",3", "the time is empty")]
    loaded = world.drop("north.csv", every(15, f"{DAY}T00:00", [10.0, 12.0, 11.0, 50.0], FLOW), rejected=rejected)
    world.tick(f"{DAY}T01:00")
    bad = world.announce("noise.csv", content="\0\1")
    refuse(world.database, bad.arrival, status="quarantined", error="noise.csv is binary; drop a text file")
    noise, tick, north = client.get(f"{V1}/datasets/jobs").json()["items"]
    assert [noise["name"], tick["kind"], north["name"]] == ["noise.csv", "tick", "north.csv"]
    (quarantined,) = client.get(f"{V1}/datasets/jobs?status=quarantined").json()["items"]
    assert (quarantined["id"], quarantined["error"]) == (str(bad.job_id), "noise.csv is binary; drop a text file")
    job = client.get(f"{V1}/datasets/jobs/{north['id']}").json()
    assert (job["status"], job["rows"], job["rejected"]) == ("succeeded", 4, 2)
    (load,) = job["loads"]
    assert [load[name] for name in ("reason", "change", "series", "new", "first_day")] == ["load", loaded.change, 1, 4, DAY]


def test_refused_rows_come_in_pages(client: httpx.Client, world: World) -> None:
    """Three refused rows by two: the cursor goes on after the second."""
    world.drop("bad.csv", every(15, f"{DAY}T00:00", [1.0], FLOW), rejected=[(n, f"row {n}", "no number") for n in (3, 4, 5)])
    (job,) = client.get(f"{V1}/datasets/jobs").json()["items"]
    first = client.get(f"{V1}/datasets/jobs/{job['id']}?limit=2").json()["rejected_rows"]
    second = client.get(f"{V1}/datasets/jobs/{job['id']}", params={"limit": 2, "cursor": first["next"]}).json()["rejected_rows"]
    assert [row["source_row"] for row in first["items"]] == [3, 4]
    assert second == {"items": [{"position": 2, "source_row": 5, "text": "row 5", "reason": "no number"}], "next": None}


def test_jobs_come_in_pages(client: httpx.Client, world: World) -> None:
    """Five files by two are three pages, the latest first, none twice."""
    for n in range(5):
        world.announce(f"{n}.csv")
    names, cursor = [], None
    while True:
        page = client.get(f"{V1}/datasets/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        names += [job["name"] for job in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert names == ["4.csv", "3.csv", "2.csv", "1.csv", "0.csv"]


def test_what_goes_on_is_not_to_be_kept(client: httpx.Client) -> None:
    """Answers that no change number orders carry no ETag and must not be stored."""
    for url in ("/health", f"{V1}/status", f"{V1}/datasets/jobs"):
        headers = client.get(url).headers
        assert headers["Cache-Control"] == "no-store"
        assert "ETag" not in headers
