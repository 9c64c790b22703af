"""Race: a CSV file to committed observations, flags and 30-minute metrics.

Ours is what a run does: empty the inbox (land, hash, parse, load with lineage) and settle flags and 30-minute metrics; Dagster is told
afterwards and is left out. The peers are three usual ways into tables with the same keys, of which only the first judges the values:
pandas.read_csv, five tests of ioos_qc a series, resampling and DataFrame.to_sql; an upsert a row, and metrics grouped by the server; and an
ORM's objects in batches of 1,000, and metrics by pandas. Their cost a row is constant (two sizes are shown), so they are given fewer rows of
the same series. All are raced with values every 15 minutes, where each row of metrics stands for 2 values, and every minute, where it
stands for 30.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import psycopg
import sqlalchemy as sa
from _race import Arena, Measured, Readings, arena, arguments, rate, ratio, show, show_machine
from ioos_qc import qartod
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.orchestration import settle
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform

_RACED = {"core/observation_flag", "mart/metric_30min"}
_SERIES = 20
_WARM = 10_000
_FIRST = "2016-01-01"
_PEER_ROWS = 100_000
_MINUTES = (15, 1)


def write_csv(path: Path, readings: Readings) -> None:
    """A long CSV file with ISO times in UTC, in the order of time."""
    names = pl.Series(readings.names)
    frame = pl.DataFrame(
        {
            "time": readings.time,
            "station": names.str.split("/").list.first()[readings.series],
            "property": "water_level",
            "unit": "m",
            "value": readings.value,
        }
    )
    frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")


class _Base(DeclarativeBase):
    pass


class _Observation(_Base):
    """A reading as an ORM's user would map it."""

    __tablename__ = "observation"
    time: Mapped[Any] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
    station: Mapped[str] = mapped_column(primary_key=True)
    property: Mapped[str]
    unit: Mapped[str]
    value: Mapped[float]


def frames(field: Arena, path: Path) -> None:
    """A frame, series by series through ioos_qc, and to_sql."""
    engine = sa.create_engine(field.sqlalchemy_url("peer"))
    frame = pd.read_csv(path, parse_dates=["time"])
    climatology = qartod.ClimatologyConfig()
    climatology.add(tspan=(1, 12), vspan=(-5, 20), period="month")
    parts, buckets = [], []
    for station, part in frame.groupby("station", sort=False):
        time, value = part["time"].dt.tz_localize(None).to_numpy(), part["value"].to_numpy()
        tests = [
            qartod.gross_range_test(inp=value, suspect_span=(-5, 20), fail_span=(-10, 50)),
            qartod.spike_test(inp=value, suspect_threshold=0.5, fail_threshold=2.0),
            qartod.rate_of_change_test(inp=value, tinp=time, threshold=0.001),
            qartod.flat_line_test(inp=value, tinp=time, suspect_threshold=43_200, fail_threshold=86_400, tolerance=0.0001),
            qartod.climatology_test(config=climatology, inp=value, tinp=time, zinp=pd.Series(0.0, index=part.index).to_numpy()),
        ]
        flagged = part.assign(flag=qartod.qartod_compare(tests).astype("int16"))
        parts.append(flagged)
        buckets.append(half_hours(flagged[flagged["flag"] == 1], station))
    for name, table in (("observation", pd.concat(parts)), ("metric_30min", pd.concat(buckets))):
        table.to_sql(name, engine, if_exists="append", index=False, chunksize=10_000)
    engine.dispose()


def half_hours(readings: pd.DataFrame, station: object) -> pd.DataFrame:
    """The 30-minute metrics of a station by pandas."""
    found = readings.set_index("time")["value"].resample("30min").agg(["count", "mean", "min", "max", "std"])
    return found.assign(station=station).reset_index()


def upserts(field: Arena, path: Path) -> None:
    """One statement a row, as a parser does that writes each reading as it meets it; the server groups them in the end."""
    with psycopg.connect(field.url("peer")) as connection, path.open(newline="") as file:
        for row in csv.DictReader(file):
            connection.execute(
                "insert into observation (time, station, property, unit, value) values (%(time)s, %(station)s, %(property)s, %(unit)s, %(value)s)"
                " on conflict (station, time) do update set value = excluded.value",
                row,
            )
        connection.execute(
            "insert into metric_30min (time, station, count, mean, min, max, std) select date_bin('30 min', time, '2000-01-01'), station, count(*),"
            " avg(value), min(value), max(value), stddev_samp(value) from observation group by 1, 2"
        )


def objects(field: Arena, path: Path) -> None:
    """An ORM's objects, 1,000 a batch, and pandas for the metrics."""
    engine = sa.create_engine(field.sqlalchemy_url("peer"))
    frame = pd.read_csv(path, parse_dates=["time"])
    with Session(engine) as session:
        for begin in range(0, len(frame), 1000):
            session.add_all([_Observation(**row) for row in frame.iloc[begin : begin + 1000].to_dict("records")])
            session.commit()
    buckets = [half_hours(part, station) for station, part in frame.groupby("station", sort=False)]
    pd.concat(buckets).to_sql("metric_30min", engine, if_exists="append", index=False, chunksize=10_000)
    engine.dispose()


@dataclass(frozen=True)
class Peer:
    """A usual way, and how many times as fast ours is to be."""

    name: str
    work: Callable[[Arena, Path], None]
    goal: str


_PEERS = (
    Peer("pandas, ioos_qc, to_sql", frames, ">= 40"),
    Peer("an upsert a row", upserts, ">= 40"),
    Peer("ORM by 1,000, pandas", objects, ">= 8"),
)


def peer_tables(url: str) -> None:
    """Empty tables for a peer, with keys as ours have them."""
    with psycopg.connect(url) as connection:
        connection.execute("drop table if exists observation, metric_30min")
        connection.execute(
            "create table observation (time timestamptz, station text, property text, unit text, value double precision, flag smallint,"
            " primary key (station, time))"
        )
        connection.execute(
            "create table metric_30min (time timestamptz, station text, count int, mean double precision, min double precision,"
            " max double precision, std double precision, primary key (station, time))"
        )


def drop(platform: Platform, path: Path) -> None:
    """Put a file into the inbox, as a user does."""
    platform.store.put(f"inbox/{path.name}", path.read_bytes())


def race_peer(field: Arena, peer: Peer, rows: int, minutes: int) -> tuple[Measured, list[list[str]]]:
    """A peer's cost a row, at two sizes."""
    lines = list[list[str]]()
    measured = Measured(0, 0)
    for share in (2, 1):
        path = field.home / "peer.csv"
        few = Readings.make(rows // share, series=_SERIES, first=_FIRST, minutes=minutes, by_time=True)
        write_csv(path, few)
        peer_tables(field.url("peer"))
        measured = field.measure(partial(peer.work, field, path)).per(len(few))
        lines.append([f"{peer.name}: {len(few):,} rows", rate(1, measured.wall), rate(1, measured.cpu), "", "", ""])
    return measured, lines


def race(field: Arena, rows: int, minutes: int) -> None:
    """One size: the peers before and after ours, so that they share what else the machine does."""
    few = min(rows, _PEER_ROWS)
    before = [race_peer(field, peer, few, minutes) for peer in _PEERS]
    platform = field.platform(f"rows_{rows}_{minutes}", with_marts=True)
    path = field.home / "race.csv"
    write_csv(path, Readings.make(_WARM, series=_SERIES, first="2001-01-01", prefix="WARM", by_time=True))
    drop(platform, path)
    empty_inbox(platform)
    settle.settle(platform, tell=lambda units: None)
    readings = Readings.make(rows, series=_SERIES, first=_FIRST, minutes=minutes, by_time=True)
    write_csv(path, readings)
    drop(platform, path)
    stages = {"ours, land, parse and load": field.measure(lambda: empty_inbox(platform))}
    stages["ours, flags and 30-minute metrics"] = field.measure(lambda: settle.settle(platform, tell=lambda units: None))
    with platform.database.connection() as connection:
        stored = connection.execute("select (select count(*) from core.observation), (select sum(count) from mart.metric_30min)").fetchone()
    assert stored == (len(readings) + _WARM, len(readings) + _WARM), (
        f"{stored} of {len(readings) + _WARM} values were stored, and are good ones in metrics"
    )
    after = [race_peer(field, peer, few, minutes) for peer in _PEERS]
    ours = sum(stages.values(), Measured(0, 0))
    fixed = sum(each.wall for each in field.fixed.values())
    lines = [line for _, measured in (*before, *after) for line in measured]
    lines += [[name, rate(len(readings), each.wall), rate(len(readings), each.cpu), "", "", ""] for name, each in stages.items()]
    for peer, (first, _), (second, _) in zip(_PEERS, before, after, strict=True):
        theirs = (first + second).per(2)
        lines.append(
            [
                f"ours, together, against {peer.name}",
                rate(len(readings), ours.wall),
                rate(len(readings), ours.cpu),
                ratio(theirs.wall * len(readings) / ours.wall, peer.goal),
                ratio(theirs.cpu * len(readings) / ours.cpu, peer.goal),
                f"{(theirs.wall * len(readings) + fixed) / (ours.wall + fixed):.1f}x",
            ]
        )
    show(
        f"CSV of {len(readings):,} rows, every {minutes} min, to metrics; all were stored, and count in metrics",
        ["", "rows/s", "rows/CPU s", "x peer", "x peer, CPU", "x peer, fixed costs in"],
        lines,
    )


def main() -> None:
    sizes = arguments(__doc__ or "", rows=[1_000_000, 5_000_000], quick=[50_000])
    for key in settle.SETTLED.keys() - _RACED:
        del settle.SETTLED[key]
    show_machine()
    with arena() as field:
        for rows in sizes:
            for minutes in _MINUTES:
                race(field, rows, minutes)
        show("fixed costs, once", ["", "s", "CPU s"], [[name, f"{each.wall:.2f}", f"{each.cpu:.2f}"] for name, each in field.fixed.items()])


if __name__ == "__main__":
    main()
