"""Asking Dagster, by the same GraphQL that its UI uses."""

from __future__ import annotations

from typing import Any

import httpx

_LAUNCH = """
mutation Launch($job: String!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "water_pipelines", repositoryName: "__repository__", jobName: $job}, runConfigData: {}, mode: "default"
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""


class NotLaunched(Exception):
    """Dagster did not start a job; the message is its own."""


def launch(ui: str, job: str) -> str:
    """Ask for a run of a job, as the launchpad does; gives its id."""
    try:
        answer = httpx.post(f"{ui}/graphql", json={"query": _LAUNCH, "variables": {"job": job}}, timeout=30, trust_env=False)
        said: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise NotLaunched(f"{ui} does not answer: {error}") from error
    launched = (said.get("data") or {}).get("launchRun") or {}
    if launched.get("__typename") != "LaunchRunSuccess":
        raise NotLaunched(f"{job} was not launched: {launched.get('message') or launched or said.get('errors')}")
    return str(launched["run"]["runId"])
