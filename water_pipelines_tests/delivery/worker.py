"""What a platform does of itself while it runs, without Dagster, for a process that can be killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.following import follow
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers import recognise  # noqa: F401  # which a load imports
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines.storage.server import EmbeddedServer


def run(home: Path, log: Path) -> None:
    """Load what landed and follow what is configured, again and again, until the process ends; what it says goes to a log."""
    with log.open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    platform = Platform(Settings(home=home), Database(EmbeddedServer(home).url("water"), code_version="proof"), LocalStore(home / "store"))
    while True:
        empty_inbox(platform)
        follow(platform, for_s=2)
        time.sleep(0.2)
