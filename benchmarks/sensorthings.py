"""Race: a SensorThings server's observations to committed rows, and the requests that a poll makes.

Ours is one pull: pages asked for, landed, parsed, committed, ledgers and lineage included. The peer is `frost_sta_client`, the client of
FROST's makers, which asks for the same observations and iterates over them, and stores nothing; its cost a row is constant, so it is given
fewer rows. It is measured twice: with pages as large as ours, and as it asks by itself, which is 100 a page. Only the clients' side is
measured: their CPU time, and with ours that of PostgreSQL, which the table tells apart; the SensorThings servers are processes of their own:
the Django one on a PostgreSQL of its own, which serves a thousand rows a second and is given a fifth of them, and a made-up one with the
answers of a FROST.

The second part counts requests: 10,000 Datastreams (of the Django server, which takes long to list them, 1,000), of which 20 have news.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import frost_sta_client
import psycopg
import yaml
from _frost import made_up_frost
from _race import Arena, arena, arguments, rate, ratio, show, show_machine

from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.pulling import Pulled, pull, servers_of
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage.server import EmbeddedServer
from water_pipelines_tests.live.servers import MEASUREMENT, DjangoServer, django_server

_PEER_SHARE = 25
_SERIES = 20
_DJANGO_SHARE = 5
_DATASTREAMS, _DJANGO_DATASTREAMS, _NEWS = 10_000, 1_000, 20
_WARM = 1_000
_SENSOR, _PROPERTY, _FEATURE = 1, 2, 3
_UNIT = '{"name": "m", "symbol": "m", "definition": "ucum:m"}'
_TABLE = "sensorthings_v1_1_django_backend_"
_ID = "(lpad(to_hex(1700000000000 + {at}), 12, '0') || '7000' || lpad(to_hex(32768 + {kind}), 4, '0') || lpad(to_hex({number}), 12, '0'))::uuid"
"""A UUID of version 7, as the server itself makes them."""


def _owner(number: int) -> str:
    """The id of what all Datastreams share."""
    return str(uuid.UUID(int=(1_700_000_000_000 << 80) | (7 << 76) | (2 << 62) | number))


def fill(url: str, datastreams: int, rows: int) -> None:
    """Things of ten Datastreams, with observations every minute; written past the server, which takes hours for a million."""
    sensor, observed_property, feature = (_owner(number) for number in (_SENSOR, _PROPERTY, _FEATURE))
    thing, stream = _ID.format(at="n", kind=1, number="n"), _ID.format(at="n", kind=2, number="n")
    about = "(id, name, description, encoding_type, {more}) values (%s, 'x', 'x', %s, %s)"
    with psycopg.connect(url) as connection:
        run = connection.execute
        run(f"insert into {_TABLE}sensor " + about.format(more="metadata"), [sensor, "text/html", "x"])
        run(f"insert into {_TABLE}featureofinterest " + about.format(more="feature"), [feature, "application/geo+json", "{}"])
        run(f"insert into {_TABLE}observedproperty (id, name, definition, description) values (%s, 'Water level', 'x', 'x')", [observed_property])
        run(f"insert into {_TABLE}thing (id, name, description) select {thing}, 'T' || n, 'x' from generate_series(0, %s) as n", [datastreams // 10])
        run(
            f"insert into {_TABLE}datastream"
            " (id, name, description, unit_of_measurement, observation_type, thing_id, sensor_id, observed_property_id)"
            f" select {stream}, 'D' || n, 'x', %s, %s, {_ID.format(at='n / 10', kind=1, number='n / 10')}, %s, %s from generate_series(0, %s) as n",
            [_UNIT, MEASUREMENT, sensor, observed_property, datastreams - 1],
        )
        run(
            f"insert into {_TABLE}observation (id, phenomenon_time_begin, result, result_time, datastream_id, feature_of_interest_id)"
            f" select {_ID.format(at='n / 100', kind=3, number='n')}, t, round((2 + sin(n / 100.0))::numeric, 3), t,"
            f" {_ID.format(at='(n %% %s)', kind=2, number='(n %% %s)')}, %s from generate_series(0, %s) as n,"
            " lateral (select timestamptz '2024-01-01' + n / %s * interval '1 minute' as t) as at",
            [datastreams, datastreams, feature, rows - 1, datastreams],
        )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")


@contextmanager
def django(folder: Path) -> Iterator[tuple[DjangoServer, str]]:
    """The Django server on a PostgreSQL of its own, whose work is not ours."""
    home = folder / "django"
    home.mkdir(mode=0o755)
    server = EmbeddedServer(home)
    server.ensure_running()
    try:
        server.ensure_database("sensorthings")
        with django_server(server.url("sensorthings"), folder) as running:
            yield running, server.url("sensorthings")
    finally:
        server.stop("immediate")


def followed(platform: Platform, url: str) -> None:
    """Let a platform follow a server."""
    said = {"servers": [{"name": "agency", "url": url, "catalogue_every": "30d", "reconcile": {"every": "30d"}}]}
    platform.store.put("inbox/sensorthings.yaml", yaml.safe_dump(said).encode())
    empty_inbox(platform)


def pulled(platform: Platform) -> Pulled:
    """One pull that succeeds."""
    done = pull(platform, servers_of(platform)["agency"], now=lambda: datetime.now(UTC), patience_s=300)
    assert done is not None, "another process pulls"
    assert done.error is None, done.error
    return done


def iterated(url: str, rows: int, page: int | None = None) -> int:
    """The peer: ask for observations, and look at each."""
    service = frost_sta_client.SensorThingsService(url)
    query: Any = service.observations().query().select("id", "phenomenonTime", "resultTime", "result").orderby("id", "asc")
    seen = 0
    for observation in (query.top(page) if page else query).list():
        assert observation.result is not None or observation.phenomenon_time is not None
        seen += 1
        if seen == rows:
            break
    return seen


def race(field: Arena, name: str, url: str, rows: int, page: int) -> list[str]:
    """One server: ours over everything, the peer over a part; CPU seconds a row."""
    platform = field.platform(name)
    followed(platform, url)
    stored: list[Pulled] = []
    ours = field.measure(lambda: stored.append(pulled(platform)))
    assert stored[0].changes == rows, f"{stored[0].changes} of {rows} arrived"
    few = rows // _PEER_SHARE
    peers = [field.measure(lambda size=size: iterated(url, few, size)).per(few) for size in (page, None)]
    line = [name, f"{rows:,}", str(stored[0].requests), rate(rows, ours.own), rate(rows, ours.cpu - ours.own), rate(rows, ours.wall)]
    faster = [(rate(1, peer.cpu), f"{peer.cpu * rows / ours.own:.1f}x", ratio(peer.cpu * rows / ours.cpu, ">= 10")) for peer in peers]
    return [*line, *chain.from_iterable(faster)]


def polls(field: Arena, name: str, url: str, datastreams: int, add: Callable[[], object]) -> list[list[str]]:
    """The requests of the first pull of a server, of one without news, and of one after some Datastreams have a new observation each."""
    platform = field.platform(name)
    followed(platform, url)
    first = pulled(platform)
    pulled(platform)
    quiet = pulled(platform)
    add()
    news = pulled(platform)
    assert news.changes == _NEWS, f"{news.changes} of {_NEWS} arrived"
    table = [[name, f"{datastreams:,}", "the first, everything listed", str(first.requests), "", str(first.changes)]]
    for title, each in (("without news", quiet), (f"with news of {_NEWS}", news)):
        assert each.requests <= datastreams / 100
        table.append([name, f"{datastreams:,}", title, str(each.requests), f"{each.requests / datastreams:.2%} (goal <= 1 %)", str(each.changes)])
    return table


def main() -> None:
    sizes = arguments(__doc__ or "", rows=[1_000_000], quick=[20_000])
    show_machine()
    folder = Path(tempfile.mkdtemp(prefix="water-live-"))
    folder.chmod(0o755)
    try:
        with arena() as field:
            with made_up_frost(_SERIES, _WARM) as warm:  # what both import on their first question is no cost of a row
                platform = field.platform("warm")
                followed(platform, warm.url)
                pulled(platform)
                iterated(warm.url, _WARM)
            gc.freeze()  # as the code location does
            lines = []
            for rows in sizes:
                with made_up_frost(_SERIES, rows) as frost:
                    lines.append(race(field, f"frost_{rows}", frost.url, rows, 10_000))
                part = rows // _DJANGO_SHARE
                (folder / str(part)).mkdir(mode=0o755)
                with django(folder / str(part)) as (server, url):
                    fill(url, _SERIES, part)
                    lines.append(race(field, f"django_{part}", server.url, part, 100))  # it gives no more of plain rows
            show(
                "observations of a server to committed rows, the clients' side; the peer stores nothing",
                [
                    *("server", "rows", "requests", "our process, rows/CPU s", "PostgreSQL", "rows/s"),
                    *("peer, our pages", "our process", "with PostgreSQL", "peer, its pages", "our process", "with PostgreSQL"),
                ],
                lines,
            )
            with made_up_frost(_DATASTREAMS, _DATASTREAMS) as frost:
                table = polls(field, "frost_many", frost.url, _DATASTREAMS, lambda: frost.add(*range(1, _DATASTREAMS, _DATASTREAMS // _NEWS)))
            (folder / "many").mkdir(mode=0o755)
            with django(folder / "many") as (server, url):
                fill(url, _DJANGO_DATASTREAMS, _DJANGO_DATASTREAMS)

                def add() -> None:
                    for number in range(0, _DJANGO_DATASTREAMS, _DJANGO_DATASTREAMS // _NEWS):
                        stream = f"{1_700_000_000_000 + number:012x}7000{32768 + 2:04x}{number:012x}"
                        said = {"phenomenonTime": "2025-01-01T00:00:00Z", "result": 1.0, "Datastream": {"@iot.id": str(uuid.UUID(stream))}}
                        server.create("Observations", {**said, "FeatureOfInterest": {"@iot.id": _owner(_FEATURE)}})

                table += polls(field, "django_many", server.url, _DJANGO_DATASTREAMS, add)
            show("requests of a poll", ["server", "Datastreams", "poll", "requests", "of the Datastreams", "values"], table)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
