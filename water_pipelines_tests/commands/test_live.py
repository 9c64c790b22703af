"""The demo's live data: the server and its station come up as the demo starts them, and leave no process behind."""

from __future__ import annotations

import time
from pathlib import Path

from water_pipelines.commands.live import programs_of
from water_pipelines.commands.live_station import PROPERTIES, STATION
from water_pipelines.commands.processes import Supervisor
from water_pipelines.orchestration.resources import Platform
from water_pipelines_tests.live.following import follow, pulled, series_of, values
from water_pipelines_tests.live.servers import free_port
from water_pipelines_tests.orchestration.conftest import platform

__all__ = ["platform"]

_PATIENCE_S = 120.0


def test_the_station_posts_and_the_platform_follows(platform: Platform, empty_database_url: str, tmp_path: Path) -> None:
    """Added to a supervisor that runs already, both programs start; what the station posts is stored; stopping ends both."""
    port = free_port()
    supervisor = Supervisor([], tmp_path / "logs")
    try:
        for program in programs_of(empty_database_url, port):
            supervisor.add(program)
        follow(platform, {"name": "demo", "url": f"http://127.0.0.1:{port}/v1.1", "station_id": "properties.station_id"}, folder="live")
        deadline = time.monotonic() + _PATIENCE_S
        level = f"{STATION}/water_level"
        while not values(platform, level):
            assert time.monotonic() < deadline, supervisor.log_file("live server").read_text()
            supervisor.look()
            if not supervisor.waiting:
                pulled(platform, "demo")
            time.sleep(0.2)
        assert len(series_of(platform)) == len(PROPERTIES)
        assert 1.0 < values(platform, level)[0][1] < 1.4
        sessions = list(supervisor.sessions.values())
    finally:
        supervisor.stop(is_hurried=lambda: False)
    assert len(sessions) == 2
    assert not any(session.is_alive() for session in sessions)
