"""Crashes: a few of the places at which `python -m water_pipelines_tests.crashes` kills the worker or the database server."""

from __future__ import annotations

import re
import subprocess
import sys

from water_pipelines_tests.e2e.outside import PROJECT


def test_no_crash_loses_or_doubles_anything() -> None:
    """kill -9 while files are loaded backwards, one is reinstated and Argo files are loaded: the retry comes to the uninterrupted state."""
    operations = ("load backwards", "reinstate", "load casts")
    chosen = (*(word for name in operations for word in ("--operation", name)), "--sample", "2")
    command = [sys.executable, "-m", "water_pipelines_tests.crashes", *chosen]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("6 kills, 0 failed\n")


def test_dagster_shows_the_days_that_were_computed_and_no_other() -> None:
    """A file touches 60 scattered days in 20 years, and three runs that load and settle it are killed: GraphQL shows what the next one computed."""
    command = [sys.executable, "-m", "water_pipelines_tests.crashes.scattered", "--days", "60", "--kills", "3", "--seed", "2"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"60 days, [123] of 3 runs killed: Dagster shows what was computed", done.stdout)
