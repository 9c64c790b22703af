"""Race: `/time-series/data` of 10,000 points, served by one uvicorn worker in a process of its own.

In that same process stand the peers: the row-by-row way (a pydantic model a point, as tutorials have it), and, as the limit, the SELECT
alone, fetched by psycopg, answered by its number of rows. Requests of all contestants take turns, one at a time, uncompressed.
"""

from __future__ import annotations

import http.client
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from _race import Arena, Readings, arena, arguments, load, ratio, show, show_machine
from fastapi import FastAPI
from pydantic import BaseModel

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines import logs
from water_pipelines.api.app import create_app
from water_pipelines.orchestration import settle
from water_pipelines.settings import Settings
from water_pipelines.storage.database import Database

_REQUESTS = 100
_SERIES = "RACE_000/water_level"
_FLAGS = "core/observation_flag"
_SELECT = """
select o.time, o.value, coalesce(f.flag, 1) as flag from core.observation as o left join core.observation_flag as f using (series_id, time)
where o.series_id = %(series)s and o.time >= %(start)s and o.time < %(end)s order by o.time limit %(limit)s
"""


class Point(BaseModel):
    """A point, as the row-by-row way has it."""

    time: datetime
    value: float | None
    flag: int


class Points(BaseModel):
    """The answer of the row-by-row way."""

    series_id: str
    items: list[Point]


def serve(url: str, home: Path, listening: socket.socket, window: dict[str, Any]) -> None:
    """Run the API, with the peers beside its own routes."""
    database = Database(url, code_version="benchmark")
    settings = Settings(_env_file=None, home=home)
    app = create_app(settings, database, dagster_url=lambda: url)
    add_peers(app, database, window)
    with (home / "api.log").open("w") as log:
        logs.configure(settings, log, process="api")
        uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none")).run(sockets=[listening])


def add_peers(app: FastAPI, database: Database, window: dict[str, Any]) -> None:
    """The peers' routes."""

    def fetched() -> list[tuple[Any, ...]]:
        with database.connection() as connection:
            return connection.execute(_SELECT, window).fetchall()

    @app.get("/peer/pydantic")
    def by_row() -> Points:
        return Points(series_id=_SERIES, items=[Point(time=at, value=value, flag=flag) for at, value, flag in fetched()])

    @app.get("/peer/select")
    def select() -> dict[str, int]:
        return {"rows": len(fetched())}


@contextmanager
def serving(field: Arena, points: int) -> Iterator[tuple[Callable[[str], bytes], psutil.Process]]:
    """A client of a running worker, and the worker."""
    platform = field.platform("api")
    readings = Readings.make(3 * points, series=1, first="2023-01-01")
    with platform.database.connection() as connection:
        readers = settle.edges(connection, "core/observation")
    load(platform, readings, edges=lambda _: readers)()
    settle.settle(platform, tell=lambda units: None)
    with platform.database.connection() as connection:
        (number,) = connection.execute("select series_id from core.series where natural_id = %s", (_SERIES,)).fetchone() or (0,)
        connection.commit()
        connection.autocommit = True
        connection.execute("vacuum analyze")
        connection.autocommit = False
    window = {"series": number, "start": "2023-01-01T00:00Z", "end": "2040-01-01T00:00Z", "limit": points}
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        worker = multiprocessing.get_context("spawn").Process(target=serve, args=(platform.database.url, field.home, listening, window))
        worker.start()
        client = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=120)

        def get(path: str) -> bytes:
            client.request("GET", path)
            answer = client.getresponse()
            body = answer.read()
            assert answer.status == 200, f"{path}: {body[:500]!r}"
            return body

        try:
            yield get, psutil.Process(worker.pid)
        finally:
            client.close()
            worker.terminate()
            worker.join()


def race(field: Arena, points: int) -> None:
    """One number of points."""
    contestants = {
        "pydantic, row by row": "/peer/pydantic",
        "the SELECT alone": "/peer/select",
        "ours": f"/api/v1/time-series/data?series_id={_SERIES}&start=2023-01-01T00:00Z&limit={points}",
        "ours, csv": f"/api/v1/time-series/data?series_id={_SERIES}&start=2023-01-01T00:00Z&limit={points}&format=csv",
    }
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    used = dict.fromkeys(contestants, 0.0)
    size: dict[str, int] = {}
    with serving(field, points) as (get, worker):
        for path in contestants.values():
            get(path)
        for _ in range(_REQUESTS):
            for name, path in contestants.items():
                cpu, began = field.server_cpu() + sum(worker.cpu_times()[:2]), time.perf_counter()
                size[name] = len(get(path))
                taken[name].append(time.perf_counter() - began)
                used[name] += field.server_cpu() + sum(worker.cpu_times()[:2]) - cpu
    median = {name: statistics.median(each) for name, each in taken.items()}
    rows, limit = median["pydantic, row by row"], median["the SELECT alone"]
    lines = [
        [
            name,
            f"{1 / median[name]:,.0f}",
            f"{used[name] / _REQUESTS * 1e3:.1f}",
            f"{size[name] / 1e3:,.0f}",
            ratio(rows / median[name], ">= 8") if name.startswith("ours") else "",
            f"{used['pydantic, row by row'] / used[name]:.1f}x" if name.startswith("ours") else "",
            ratio(median[name] / limit, "<= 2") if name.startswith("ours") else "",
        ]
        for name in contestants
    ]
    show(
        f"{points:,} points a request, median of {_REQUESTS}",
        ["", "requests/s", "CPU ms, worker and server", "kB", "x row by row", "x row by row, CPU", "time, x the SELECT"],
        lines,
    )


def main() -> None:
    sizes = arguments(__doc__ or "", rows=[10_000], quick=[1_000])
    for key in settle.SETTLED.keys() - {_FLAGS}:
        del settle.SETTLED[key]
    show_machine()
    with arena() as field:
        for points in sizes:
            race(field, points)


if __name__ == "__main__":
    main()
