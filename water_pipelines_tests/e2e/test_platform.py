"""One platform from `water up` to Ctrl-C: files are dropped, results are read from the API, Dagster's UI tells the truth.

The tests stand in the order of a platform's life and share it; the last one ends it.
"""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.commands.dagster_ui import launch
from water_pipelines.storage.server import EmbeddedServer
from water_pipelines_tests.crashes.daemon import strike
from water_pipelines_tests.e2e.outside import Outside, until

pytestmark = pytest.mark.e2e

DAYS = ("2026-03-01", "2026-03-02", "2026-03-20", "2026-06-05")
MAPPING = "time_zone: UTC\nstation: BRIDGE\nproperty: stage\nunit: m\n"


def readings(*days: str) -> str:
    """A CSV of a value each 15 minutes: 1.00 at midnight, 1.01 a quarter of an hour later, and so on."""
    rows = [f"{day} {minute // 60:02d}:{minute % 60:02d},{1 + minute / 1500:.2f}" for day in days for minute in range(0, 1440, 15)]
    return "\n".join(["time,value", *rows, ""])


@pytest.fixture(scope="module")
def platform() -> Iterator[Outside]:
    """A running platform in a home of its own, on the embedded server or on the one at `WATER_TEST_DATABASE_URL`."""
    home = Path(tempfile.mkdtemp(prefix="water-e2e-"))
    home.chmod(0o755)  # else root's server would keep its data below /var/lib
    server, names = os.environ.get("WATER_TEST_DATABASE_URL"), [f"water_e2e_{secrets.token_hex(4)}"]
    names.append(f"{names[0]}_dagster")
    platform = Outside(home, {"WATER_DATABASE_URL": urlsplit(server)._replace(path=f"/{names[0]}").geturl()} if server else {})
    try:
        platform.start()
        yield platform
    finally:
        if platform.process is not None and platform.process.poll() is None:
            platform.process.send_signal(signal.SIGTERM)
            platform.process.communicate(timeout=180)
        if server:
            with psycopg.connect(server, autocommit=True) as connection:
                for name in names:
                    connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        shutil.rmtree(home)


def test_a_running_platform_tells_where_it_is(platform: Outside) -> None:
    """`water status` names its processes and addresses, and a second `water up` is refused with code 4 and the first one's number."""
    code, (status,) = platform.water("status")
    assert (code, status["is_running"], status["is_ready"]) == (0, True, True)
    assert sorted(status["programs"]) == ["api", "code server", "daemon", "web server"]
    assert all(status["programs"].values())
    assert status["addresses"] == {"ui": platform.ui, "api": platform.api}
    code, (refused,) = platform.water("up")
    assert code == 4
    assert platform.process is not None
    assert f"process {platform.process.pid}" in refused["error"]


def test_a_dropped_file_becomes_served_values(platform: Outside, tmp_path: Path) -> None:
    """Stations, a CSV with a mapping and a broken file: the first two are served as they are, the third is told to be broken."""
    (tmp_path / "stations.csv").write_text("station,name,latitude,longitude\nBRIDGE,Bridge,46.1,11.1\n")
    (tmp_path / "bridge.csv").write_text(readings(*DAYS))
    (tmp_path / "broken.csv").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    stations, broken = platform.drop(str(tmp_path / "stations.csv"), str(tmp_path / "broken.csv"))
    (bridge,) = platform.drop(str(tmp_path / "bridge.csv"), "--prefix", "river", "--mapping", str(tmp_path / "mapping.yaml"))

    job = until(lambda: platform.job(bridge), said=platform.logs)
    assert (job["status"], job["rows"], job["rejected"]) == ("succeeded", 4 * 96, 0), job["error"]
    assert until(lambda: platform.job(stations))["status"] == "succeeded"
    refused = until(lambda: platform.job(broken))
    assert refused["status"] == "quarantined"
    assert len(refused["error"]) > 20

    assert platform.get("/api/v1/water-data/stations/BRIDGE")["latitude"] == 46.1
    until(platform.is_settled, said=platform.logs)
    data = platform.get("/api/v1/time-series/data", series_id="BRIDGE/stage", start="2026-03-20T00:00:00Z", end="2026-03-20T00:30:00Z")
    assert (data["value"], data["flag"]) == ([1.0, 1.01], [1, 1])
    daily = platform.get(
        "/api/v1/time-series/aggregate", series_id="BRIDGE/stage", interval="daily", start="2026-03-20T00:00:00Z", end="2026-03-21T00:00:00Z"
    )
    assert daily["buckets"]["count"] == [96]
    assert daily["buckets"]["maximum"] == [1.95]


def test_the_same_file_again_is_the_same_job(platform: Outside, tmp_path: Path) -> None:
    """Dropping the same bytes under the same prefix and mapping names the same job and leaves the jobs as they were."""
    before = platform.get("/api/v1/datasets/jobs", kind="data")["items"]
    (tmp_path / "again.csv").write_text(readings(*DAYS))
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    (job,) = platform.drop(str(tmp_path / "again.csv"), "--prefix", "river", "--mapping", str(tmp_path / "mapping.yaml"))
    assert platform.job(job) is not None
    until(lambda: not list((platform.home / "store" / "inbox").rglob("*.csv")), said=platform.logs)
    until(platform.is_settled)
    assert platform.get("/api/v1/datasets/jobs", kind="data")["items"] == before


def test_the_ui_shows_the_days_that_were_computed_and_no_other(platform: Outside) -> None:
    """After a settle over scattered days Dagster shows the days of the ledger of each asset as materialised, and none between them."""
    url = platform.environment.get("WATER_DATABASE_URL") or EmbeddedServer(platform.home).url("water")
    for asset in ("core/observation_flag", "mart/metric_30min", "mart/metric_daily", "mart/data_quality_daily"):
        for look_again in (True, True, False):  # between the two questions a half-hour may pass, and with its tick more may be computed
            with psycopg.connect(url) as connection:
                computed = [unit for (unit,) in connection.execute("select unit from core.computed where asset = %s order by unit", (asset,))]
            if platform.materialised(asset) == computed:
                break
            assert look_again, asset
            until(platform.is_settled, said=platform.logs)
        assert set(DAYS) <= set(computed), asset
    assert "2026-03-10" not in platform.materialised("core/observation_flag")


def test_the_lineage_can_be_read(platform: Outside) -> None:
    """Flags follow from observations, and these from the ledger of loads."""
    query = "query Q($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {groupName dependencyKeys {path}}}}"
    parents = {
        name: [each["path"] for each in platform.ask(query, key={"path": ["core", name]})["assetNodeOrError"]["dependencyKeys"]]
        for name in ("observation_flag", "observation")
    }
    assert ["core", "observation"] in parents["observation_flag"]
    assert ["raw", "load_day"] in parents["observation"]


def test_one_day_of_an_asset_can_be_launched(platform: Outside) -> None:
    """A day of flags that nothing had touched is computed and shown, and changes no value."""
    assert "2026-04-15" not in platform.materialised("core/observation_flag")
    run = platform.launch("core/observation_flag", "2026-04-15")
    assert until(lambda: platform.ended(run), said=platform.logs) == "SUCCESS", platform.errors(run)
    assert "2026-04-15" in platform.materialised("core/observation_flag")


def test_a_failed_run_can_be_retried(platform: Outside) -> None:
    """Deriving a day again fails while its landed file is away; the same run, retried after the file is back, succeeds."""
    (landed,) = [path for path in (platform.home / "store" / "landed").rglob("*") if path.is_file() and path.read_bytes() == readings(*DAYS).encode()]
    aside = platform.home / "aside"
    landed.rename(aside)
    try:
        run = platform.launch("core/observation", "2026-03-20", **{"dagster/max_retries": "0"})
        assert until(lambda: platform.ended(run), said=platform.logs) == "FAILURE"
    finally:
        aside.rename(landed)
    retry = """mutation M($run: String!) {launchRunReexecution(reexecutionParams: {parentRunId: $run, strategy: FROM_FAILURE}) {
        __typename ... on LaunchRunSuccess {run {runId parentRunId}} ... on PythonError {message}}}"""
    launched = platform.ask(retry, run=run)["launchRunReexecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    assert launched["run"]["parentRunId"] == run
    retried = launched["run"]["runId"]
    assert until(lambda: platform.ended(retried), said=platform.logs) == "SUCCESS", platform.errors(retried)


def test_thirty_days_can_be_back_filled(platform: Outside) -> None:
    """A back-fill of 30 days of flags is one run, and shows exactly these as materialised beside those before."""
    before = set(platform.materialised("core/observation_flag"))
    days = [str(date(2026, 5, 1) + timedelta(days=n)) for n in range(30)]
    assert not before & set(days)
    launch = """mutation M($p: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $p) {
        __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""
    selector = {"assetSelection": [{"path": ["core", "observation_flag"]}], "partitionNames": days}
    launched = platform.ask(launch, p=selector)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    query = "query Q($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status runs {runId}}}}"

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = platform.ask(query, id=launched["backfillId"])["partitionBackfillOrError"]
        return found if found["status"] not in ("REQUESTED", "COMPLETING") else None

    backfill = until(ended, said=platform.logs)
    assert backfill["status"] == "COMPLETED_SUCCESS"
    assert len(backfill["runs"]) == 1
    assert set(platform.materialised("core/observation_flag")) == before | set(days)


def test_a_job_can_be_launched_by_hand(platform: Outside) -> None:
    """`tick_job` lands the half-hour that has passed, which `/status` then names."""
    run = launch(platform.ui, "tick_job")
    assert until(lambda: platform.ended(run), said=platform.logs) == "SUCCESS", platform.errors(run)
    assert platform.get("/api/v1/status")["tick_at"] is not None


def test_verify_says_what_is_missing(platform: Outside, tmp_path: Path) -> None:
    """A station without any series is found, by name, with code 1; so is the file that was refused."""
    (tmp_path / "lonely.csv").write_text("station,name,latitude,longitude\nLONELY,Lonely,46.2,11.2\n")
    (job,) = platform.drop(str(tmp_path / "lonely.csv"))
    assert until(lambda: platform.job(job))["status"] == "succeeded"
    until(platform.is_settled)
    code, (found,) = platform.water("verify")
    assert code == 1
    assert (found["stations"], found["series"], found["observations"]) == (2, 1, 4 * 96)
    assert {"subject": "station LONELY", "what": "has no series"} in found["missing"]
    assert [each["what"].split(";")[0] for each in found["missing"] if each["subject"] == "files"] == ["1 quarantined"]
    assert not [each for each in found["missing"] if "BRIDGE" in each["subject"]]


def test_a_killed_program_comes_back(platform: Outside) -> None:
    """After kill -9 of the API another process serves the same values at the same address."""
    _, (status,) = platform.water("status")
    os.kill(status["programs"]["api"], signal.SIGKILL)

    def another() -> bool:
        _, (now,) = platform.water("status")
        return now["is_ready"] and now["programs"]["api"] not in (None, status["programs"]["api"])

    until(another, said=platform.logs)
    assert platform.get("/api/v1/status")["observations"] == 4 * 96


def test_a_killed_daemon_loses_nothing(platform: Outside) -> None:
    """kill -9 of Dagster's daemon as soon as a load of a dropped file is asked for: the next daemon lets it be loaded, and no run hangs."""
    store = LocalStore(platform.home / "store")
    store.put("inbox/river/after.csv.mapping.yaml", MAPPING.encode())
    strike(platform, "asked", lambda: store.put("inbox/river/after.csv", readings("2026-07-01").encode()))

    def is_loaded() -> bool:
        return platform.get("/api/v1/status")["observations"] == 5 * 96 and platform.is_settled()

    until(is_loaded, said=platform.logs)
    runs = platform.ask("{runsOrError(limit: 5) {... on Runs {results {status}}}}")["runsOrError"]["results"]
    assert {each["status"] for each in runs} <= {"SUCCESS", "FAILURE"}
    assert {"2026-07-01"} <= set(platform.materialised("mart/metric_daily"))


def test_ctrl_c_leaves_no_process(platform: Outside) -> None:
    """Ctrl-C while a run works ends with code 0, and of all processes of the platform, PostgreSQL among them, none is left."""
    platform.launch("core/observation", "2026-03-01")
    before = platform.processes()
    names = " ".join(before.values())
    for program in ("water_pipelines.cli", "dagster api grpc", "dagster-webserver", "dagster-daemon", "uvicorn"):
        assert program in names
    assert ("postgres" in names) == ("WATER_DATABASE_URL" not in platform.environment)
    assert platform.interrupt() == 0
    assert platform.alive(before) == []
    code, (status,) = platform.water("status")
    assert (code, status["is_running"], status["supervisor"]) == (3, False, None)
