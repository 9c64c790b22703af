"""A running platform as its users see it: the command, the API, and Dagster's GraphQL.

Add a verb when several tests need it. Keep out: the platform's own code, but for what a test arranges with.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

PROJECT = Path(__file__).resolve().parents[2]
LOCATION = {"repositoryLocationName": "water_pipelines", "repositoryName": "__repository__"}
T = TypeVar("T")


class Outside:
    """A platform of a home of its own, started by `water up` in another process."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.environment = (
            os.environ | environment | {"WATER_HOME": str(home), "WATER_UI_PORT": "0", "WATER_API_PORT": "0", "PYTHONPATH": str(PROJECT)}
        )
        self.process: subprocess.Popen[str] | None = None
        self.ui = self.api = ""

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process = subprocess.Popen(self._command("up", "--json"), env=self.environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said, f"the platform did not start: {self.logs()}"
        addresses = json.loads(said)
        assert "ui" in addresses, addresses
        self.ui, self.api = addresses["ui"], addresses["api"]

    def water(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        """Run the command with `--json`: its exit code, and the documents that it printed."""
        done = subprocess.run(self._command(*arguments, "--json"), env=self.environment, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert not done.stderr, done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def drop(self, *arguments: str) -> list[str]:
        """Drop files; gives their job ids."""
        code, dropped = self.water("drop", *arguments)
        assert code == 0, dropped
        return [each["job_id"] for each in dropped]

    def get(self, path: str, **query: Any) -> Any:
        """An answer of the API."""
        answer = httpx.get(f"{self.api}{path}", params=query, timeout=120)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def job(self, job_id: str) -> dict[str, Any] | None:
        """A job once its file was loaded or refused."""
        answer = httpx.get(f"{self.api}/api/v1/datasets/jobs/{job_id}", timeout=120)
        found: dict[str, Any] = answer.json()
        return found if answer.status_code == 200 and found["status"] not in ("pending", "running") else None

    def is_settled(self) -> bool:
        """Whether nothing is stale, and no run is queued or working."""
        if any(stage["stale_units"] for stage in self.get("/api/v1/status")["stages"]):
            return False
        unfinished = "{runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}) {... on Runs {results {runId}}}}"
        return not self.ask(unfinished)["runsOrError"]["results"]

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """An answer of Dagster's GraphQL."""
        answer = httpx.post(f"{self.ui}/graphql", json={"query": query, "variables": variables}, timeout=120).json()
        assert not answer.get("errors"), answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def launch(self, asset: str, day: str, **tags: str) -> str:
        """Materialise one day of an asset, as the UI does; gives the run."""
        wanted = {
            "selector": {**LOCATION, "jobName": "__ASSET_JOB", "assetSelection": [{"path": asset.split("/")}]},
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in {"dagster/partition": day, **tags}.items()]},
        }
        query = """mutation M($p: ExecutionParams!) {launchRun(executionParams: $p) {
            __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""
        launched = self.ask(query, p=wanted)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def ended(self, run_id: str) -> str | None:
        """The status of a run once it has ended."""
        status = str(self.ask("query Q($id: ID!) {runOrError(runId: $id) {... on Run {status}}}", id=run_id)["runOrError"]["status"])
        return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

    def errors(self, run_id: str) -> list[str]:
        """What went wrong in a run, for a failing test."""
        query = """query Q($id: ID!) {logsForRun(runId: $id) {... on EventConnection {events {
            ... on ExecutionStepFailureEvent {error {message stack causes: errorChain {error {message}}}} ... on RunFailureEvent {message}}}}}"""
        return [json.dumps(event) for event in self.ask(query, id=run_id)["logsForRun"]["events"] if event]

    def materialised(self, asset: str) -> list[str]:
        """The days of an asset that Dagster shows as materialised."""
        query = """query Q($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {
            partitionKeysByDimension {partitionKeys} assetPartitionStatuses {... on TimePartitionStatuses {ranges {startKey endKey status}}}}}}"""
        node = self.ask(query, key={"path": asset.split("/")})["assetNodeOrError"]
        keys = node["partitionKeysByDimension"][0]["partitionKeys"]
        ranges = [each for each in node["assetPartitionStatuses"]["ranges"] if each["status"] == "MATERIALIZED"]
        return [day for each in ranges for day in keys[keys.index(each["startKey"]) : keys.index(each["endKey"]) + 1]]

    def processes(self) -> dict[psutil.Process, str]:
        """Every process that belongs to it, with its command line: the command and what it started, and the database server of its home."""
        assert self.process is not None
        found: dict[psutil.Process, str] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                family = [process.pid, *(parent.pid for parent in process.parents())]
                if self.process.pid in family or process.environ().get("WATER_HOME") == str(self.home) or self.home in Path(process.cwd()).parents:
                    found[process] = " ".join(process.cmdline())
        return found

    @staticmethod
    def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
        """Those that still run; a zombie does not (the init of a container may be one that buries nobody)."""
        found = []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def interrupt(self, timeout_s: float = 180) -> int:
        """Ctrl-C; gives the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=timeout_s)
        return self.process.returncode

    def logs(self) -> str:
        """The end of every log, for a failing test."""
        return "\n".join(f"== {log.name}\n{log.read_text()[-2000:]}" for log in sorted((self.home / "logs").glob("*.log")))

    @staticmethod
    def _command(*arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "water_pipelines.cli", *arguments]


def until(look: Callable[[], T | None], timeout_s: float = 300, *, said: Callable[[], object] = lambda: "") -> T:
    """What `look` gives as soon as it gives anything."""
    end = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < end, f"it did not come within {timeout_s:.0f} s. {said()}"
        time.sleep(0.5)
    return found
