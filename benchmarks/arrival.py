"""Race: how long an observation takes from the SensorThings server that answered 201 to the API that serves it.

The real platform (`water up`) follows the live Django server as the demo does, at which a station posts every 5 s. For each post it is
measured until its value is served, until it is served with its flag, and until the 30-minute metric counts it; in units of the station's
interval. The API is asked four times a second, which is in the figures.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _race import show, show_machine

from water_pipelines.clients.sensorthings import Access, SensorThings
from water_pipelines.commands.live_station import STATION, set_up
from water_pipelines.storage.server import EmbeddedServer
from water_pipelines_tests.e2e.outside import Outside, until
from water_pipelines_tests.live.servers import django_server

_EVERY_S = 5.0
_LOOK_EVERY_S = 0.25
_GOAL = 3
_SERIES = f"{STATION}/water_level"
_NOT_EVALUATED = 2
_WARM_UP_S = 20.0
_WAIT_S = 180.0


class Served:
    """Since when each posted value has been served, by the time of its observation; seconds of a monotonic clock.

    `warm_up` values came first, while the platform imported what it needs, and are left out.
    """

    def __init__(self, platform: Outside, start: datetime) -> None:
        self._platform, self._start = platform, start
        self.posted: dict[datetime, float] = {}
        self.warm_up = 0
        self.seen: dict[str, dict[datetime, float]] = {"served": {}, "flagged": {}, "in the 30-minute metric": {}}

    def look(self) -> None:
        """Ask the API once, and note what has come."""
        query: dict[str, Any] = {"series_id": _SERIES, "start": self._start.isoformat()}
        rows = self._platform.get("/api/v1/time-series/data", limit=10_000, rows="true", **query)["rows"]
        now = time.monotonic()
        for row in rows:
            at = datetime.fromisoformat(row["time"])
            self.seen["served"].setdefault(at, now)
            if row["flag"] != _NOT_EVALUATED:
                self.seen["flagged"].setdefault(at, now)
        bucket = {**query, "start": self._start.replace(minute=self._start.minute // 30 * 30, second=0).isoformat(), "interval": "30min"}
        counted = sum(self._platform.get("/api/v1/time-series/aggregate", **bucket)["buckets"]["count"])
        now = time.monotonic()
        for at in sorted(self.posted)[:counted]:
            self.seen["in the 30-minute metric"].setdefault(at, now)

    def is_complete(self) -> bool:
        """Whether all that was posted has come everywhere."""
        return all(set(self.posted) <= set(times) for times in self.seen.values())

    def lines(self) -> list[list[str]]:
        """Median and 95th percentile of each, in intervals of the station."""
        found = []
        for what, times in self.seen.items():
            taken = np.array([times[at] - self.posted[at] for at in sorted(self.posted)[self.warm_up :]]) / _EVERY_S
            median, p95 = np.percentile(taken, [50, 95])
            found.append([what, str(len(taken)), f"{median:.2f}", f"{p95:.2f} (goal <= {_GOAL})", f"{taken.max():.2f}"])
        return found


def measured(platform: Outside, url: str, seconds: float) -> Served:
    """Let the station post for some seconds, and look at what is served meanwhile."""
    with SensorThings(Access(url)) as client:
        datastream = set_up(client, _EVERY_S)["Water level"]

        def post() -> datetime:
            at = datetime.now(UTC).replace(microsecond=0)
            row = [f"{at:%Y-%m-%dT%H:%M:%SZ}", round(1.2 + 0.1 * math.sin(at.timestamp() / 100), 4)]
            client.create_observations([{"Datastream": {"@iot.id": datastream}, "components": ["phenomenonTime", "result"], "dataArray": [row]}])
            return at

        served = Served(platform, first := post())
        served.posted[first] = time.monotonic()
        said = {"servers": [{"name": "demo", "url": url, "station_id": "properties.station_id", "interval": f"{_EVERY_S:g}s"}]}
        file = platform.home / "sensorthings.yaml"
        file.write_text(yaml.safe_dump(said))
        platform.drop("--prefix", "live", str(file))
        until(lambda: platform.get("/api/v1/time-series/metadata", station=STATION)["items"], 300, said=platform.logs)
        repeat(post, served, _WARM_UP_S)
        served.warm_up = len(served.posted)
        repeat(post, served, seconds)
        ends_at = time.monotonic() + _WAIT_S
        while not served.is_complete() and time.monotonic() < ends_at:
            served.look()
            time.sleep(_LOOK_EVERY_S)
    assert served.is_complete(), "not all that was posted was served"
    return served


def repeat(post: Callable[[], datetime], served: Served, seconds: float) -> None:
    """Post every interval, and look in between."""
    began = time.monotonic()
    for number in range(round(seconds / _EVERY_S)):
        at = post()
        served.posted[at] = time.monotonic()
        while time.monotonic() < began + (number + 1) * _EVERY_S:
            served.look()
            time.sleep(_LOOK_EVERY_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long the station posts (300)")
    given = parser.parse_args()
    show_machine()
    folder = Path(tempfile.mkdtemp(prefix="water-arrival-"))
    folder.chmod(0o755)  # else root's server would keep its data below /var/lib
    homes = folder / "agency", folder / "home"
    for home in homes:
        home.mkdir(mode=0o755)
    server, platform = EmbeddedServer(homes[0]), Outside(homes[1], {})
    server.ensure_running()
    try:
        server.ensure_database("sensorthings")
        with django_server(server.url("sensorthings"), folder) as agency:
            platform.start()
            served = measured(platform, agency.url, given.seconds)
        show(
            f"from the server's 201 to the API, in intervals of {_EVERY_S:g} s",
            ["the value is", "values", "median", "p95", "longest"],
            served.lines(),
        )
    finally:
        if platform.process is not None:
            platform.interrupt()
        server.stop("immediate")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
