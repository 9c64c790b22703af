"""What a platform does of itself while it runs, without Dagster, as a process that can be killed: `python -m ...delivery.worker HOME`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.following import follow
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database
from water_pipelines.storage.server import EmbeddedServer


def run(home: Path) -> None:
    """Load what landed and follow what is configured, again and again, until the process ends."""
    server = EmbeddedServer(home)
    server.ensure_running()
    platform = Platform(Settings(home=home), Database(server.url("water"), code_version="proof"), LocalStore(home / "store"))
    while True:
        empty_inbox(platform)
        follow(platform, for_s=2)
        time.sleep(0.2)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
