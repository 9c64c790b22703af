"""Race: parsed readings to committed rows with the key in place, ledgers and lineage included.

Ours is `storage.loads.load`, from Arrow batches to the commit. The peers are SQLAlchemy's row-wise bulk insert in batches of 1,000
(its cost a row is constant, so it is given fewer rows), and, as the limit, a bare server-side COPY of a sorted binary file, made
beforehand, into a table of the same columns and key. Every round loads series that are not stored yet, into a fresh database, peers and ours
in turn, so that they share what else the machine does.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa
from _race import Arena, Measured, Readings, arena, arguments, load, rate, ratio, show, show_machine
from psycopg import sql
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

_ROUNDS = 3
_SERIES = 50
_WARM = 10_000
_PEER_SHARE = 25
_FIRST = "2023-03-01"

_RECORD = np.dtype(
    [
        ("count", ">i2"),
        *(
            field
            for name, kind in (
                ("time", ">i8"),
                ("value", ">f8"),
                ("series_id", ">i4"),
                ("load_id", ">i4"),
                ("source_row", ">i4"),
                ("qualifier_id", ">i2"),
            )
            for field in ((f"{name}#", ">i4"), (name, kind))
        ),
    ]
)


class _Base(DeclarativeBase):
    pass


class _Reading(_Base):
    """A reading as an ORM's user would map it, without lineage."""

    __tablename__ = "reading"
    series_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time: Mapped[Any] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
    value: Mapped[float]


def bulk_insert(url: str, readings: Readings, *, orm: bool) -> None:
    """SQLAlchemy row by row, 1,000 a batch: `Session.bulk_insert_mappings`, or Core's `insert()` with a list of parameters."""
    engine = sa.create_engine(url)
    _Base.metadata.drop_all(engine)
    _Base.metadata.create_all(engine)
    times = readings.time.astype("datetime64[us]").tolist()
    rows = [{"series_id": s, "time": t, "value": v} for s, t, v in zip(readings.series.tolist(), times, readings.value.tolist(), strict=True)]
    with Session(engine) as session:
        for begin in range(0, len(rows), 1000):
            batch = rows[begin : begin + 1000]
            if orm:
                session.bulk_insert_mappings(sa.inspect(_Reading), batch)
            else:
                session.execute(sa.insert(_Reading.__table__), batch)
        session.commit()
    engine.dispose()


def binary_file(path: Path, readings: Readings) -> None:
    """The readings, sorted by key, in PostgreSQL's binary format."""
    order = np.lexsort((readings.time, readings.series))
    rows = np.zeros(len(readings), dtype=_RECORD)
    rows["count"] = 6
    for name in ("time", "value", "series_id", "load_id", "source_row", "qualifier_id"):
        rows[f"{name}#"] = _RECORD[name].itemsize
    rows["time"] = (readings.time[order] - np.datetime64("2000-01-01", "us")).astype(np.int64)
    rows["value"], rows["series_id"], rows["source_row"] = readings.value[order], readings.series[order], order
    path.write_bytes(b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff")
    path.chmod(0o644)


def bare_copy(url: str, path: Path) -> None:
    """COPY of a file that the server reads itself, into a table of its own with the key in place."""
    with psycopg.connect(url) as connection:
        connection.execute("drop table if exists bare")
        connection.execute(
            "create table bare (time timestamptz not null, value double precision not null, series_id integer not null, load_id integer not null,"
            " source_row integer not null, qualifier_id smallint not null default 0, primary key (series_id, time))"
        )
        connection.execute(sql.SQL("copy bare from {} (format binary)").format(str(path)))


def race(field: Arena, rows: int) -> None:
    """One size: rounds of each contestant in turn, medians of seconds a row."""
    taken: dict[str, list[Measured]] = {}
    path = field.home / "bare.bin"
    peers = field.sqlalchemy_url("peer")
    field.platform("warm")
    for number in range(_ROUNDS):
        by_series = Readings.make(rows, series=_SERIES, first=_FIRST, prefix=f"R{number}", seed=number)
        by_time = Readings.make(rows, series=_SERIES, first=_FIRST, prefix=f"T{number}", seed=number, by_time=True)
        few = Readings.make(rows // _PEER_SHARE, series=_SERIES, first=_FIRST)
        binary_file(path, by_series)
        platform = field.platform(f"round_{number}")
        load(platform, Readings.make(_WARM, series=10, first="2001-01-01", prefix="WARM"))()
        contestants = (
            ("bulk_insert_mappings", len(few), lambda few=few: bulk_insert(peers, few, orm=True)),
            ("insert() and a list", len(few), lambda few=few: bulk_insert(peers, few, orm=False)),
            ("server-side COPY", len(by_series), lambda: bare_copy(field.url("peer"), path)),
            ("ours, by series", len(by_series), load(platform, by_series)),
            ("ours, by time", len(by_time), load(platform, by_time)),
        )
        for name, count, work in contestants:
            taken.setdefault(name, []).append(field.measure(work).per(count))
        with platform.database.connection() as connection:
            stored = connection.execute("select count(*) from core.observation").fetchone()
        assert stored == (len(by_series) + len(by_time) + _WARM,), f"{stored} rows were stored"
    wall = {name: statistics.median(each.wall for each in rounds) for name, rounds in taken.items()}
    cpu = {name: statistics.median(each.cpu for each in rounds) for name, rounds in taken.items()}
    orm, copy = "bulk_insert_mappings", "server-side COPY"
    fixed = sum(each.wall for each in field.fixed.values()) / rows
    lines = []
    for name in taken:
        is_ours = name.startswith("ours")
        lines.append(
            [
                name,
                rate(1, wall[name]),
                rate(1, cpu[name]),
                ratio(wall[orm] / wall[name], ">= 15") if is_ours else "",
                f"{cpu[orm] / cpu[name]:.1f}x" if is_ours else "",
                ratio(wall[copy] / wall[name], ">= 0.8") if is_ours else "",
                f"{cpu[copy] / cpu[name]:.2f}x" if is_ours else "",
                f"{(wall[orm] + fixed) / (wall[name] + fixed):.1f}x, {(wall[copy] + fixed) / (wall[name] + fixed):.2f}x" if is_ours else "",
            ]
        )
    show(
        f"{rows:,} readings to committed rows, median of {_ROUNDS} rounds",
        ["", "rows/s", "rows/CPU s", "x ORM", "CPU", "x COPY", "CPU", "with fixed costs"],
        lines,
    )


def main() -> None:
    sizes = arguments(__doc__ or "", rows=[5_000_000], quick=[100_000])
    show_machine()
    with arena() as field:
        for rows in sizes:
            race(field, rows)
        show("fixed costs, once", ["", "s", "CPU s"], [[name, f"{each.wall:.2f}", f"{each.cpu:.2f}"] for name, each in field.fixed.items()])


if __name__ == "__main__":
    main()
