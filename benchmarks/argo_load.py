"""Argo files to committed level rows: ours, against xarray + a dict a level + ORM batches of 1,000, and against a bare binary COPY of the same rows.

Real core files are replicated under other float numbers. Ours begins with the landed bytes and ends with levels, casts, floats, positions and ledgers
committed. The ORM way loads some of the same files and is counted by levels. The bare COPY begins with the finished arrays and commits them in one
transaction into a table of the same columns and key. A second load of the same files is shown below the table.
"""

from __future__ import annotations

import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from _race import Arena, Measured, arena, arguments, rate, ratio, show, show_machine
from argo_parse import replicate
from psycopg import sql
from sqlalchemy import Float, Integer, SmallInteger, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from water_pipelines.domain.argo.casts import CORE_PARAMETERS
from water_pipelines.orchestration.operations.landing import land_inbox
from water_pipelines.orchestration.operations.loading import load_files
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage.copy import copy_arrays

_ORM_FILES = 100
_BATCH = 1_000


class Base(DeclarativeBase):
    """Tables of the ORM way."""


class Level(Base):
    """The same columns as `core.argo_level`, behind a surrogate key, as an ORM has it."""

    __tablename__ = "level"

    id: Mapped[int] = mapped_column(primary_key=True)
    profile_id: Mapped[int] = mapped_column(Integer, index=True)
    level: Mapped[int]
    pres: Mapped[float | None] = mapped_column(Float)
    pres_adjusted: Mapped[float | None] = mapped_column(Float)
    pres_error: Mapped[float | None] = mapped_column(Float)
    pres_qc: Mapped[int | None] = mapped_column(SmallInteger)
    pres_adjusted_qc: Mapped[int | None] = mapped_column(SmallInteger)
    temp: Mapped[float | None] = mapped_column(Float)
    temp_adjusted: Mapped[float | None] = mapped_column(Float)
    temp_error: Mapped[float | None] = mapped_column(Float)
    temp_qc: Mapped[int | None] = mapped_column(SmallInteger)
    temp_adjusted_qc: Mapped[int | None] = mapped_column(SmallInteger)
    psal: Mapped[float | None] = mapped_column(Float)
    psal_adjusted: Mapped[float | None] = mapped_column(Float)
    psal_error: Mapped[float | None] = mapped_column(Float)
    psal_qc: Mapped[int | None] = mapped_column(SmallInteger)
    psal_adjusted_qc: Mapped[int | None] = mapped_column(SmallInteger)


def dicts(paths: list[Path]) -> Iterator[dict[str, Any]]:
    """A dict a level, by way of xarray."""
    for number, path in enumerate(paths):
        with xarray.open_dataset(path, decode_times=False) as file:
            held = {name: file[name].values for name in file.variables if name.startswith(CORE_PARAMETERS) and "N_LEVELS" in file[name].dims}
        for cast, level in np.ndindex(held["PRES"].shape):
            row: dict[str, Any] = {"profile_id": number, "level": level}
            for name in CORE_PARAMETERS:
                for suffix, column in (("", ""), ("_ADJUSTED", "_adjusted"), ("_ADJUSTED_ERROR", "_error")):
                    value = held.get(f"{name}{suffix}")
                    row[f"{name.lower()}{column}"] = None if value is None or np.isnan(value[cast, level]) else float(value[cast, level])
                for suffix in ("_QC", "_ADJUSTED_QC"):
                    flag = held.get(f"{name}{suffix}")
                    text = b"" if flag is None else flag[cast, level]
                    row[f"{name.lower()}{suffix.lower()}"] = int(text) if isinstance(text, bytes) and text.strip() else None
            yield row


def by_orm(url: str, paths: list[Path]) -> int:
    """Load files the usual way; gives the number of levels."""
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    count = 0
    with Session(engine) as session:
        batch: list[Level] = []
        for row in dicts(paths):
            batch.append(Level(**row))
            count += 1
            if len(batch) == _BATCH:
                session.add_all(batch)
                session.commit()
                batch = []
        session.add_all(batch)
        session.commit()
    engine.dispose()
    return count


def bare_copy(platform: Platform) -> tuple[Measured, int]:
    """The rows that are stored, copied once more from arrays into an empty table of the same columns and key."""
    with platform.database.snapshot() as snapshot:
        stored = snapshot.arrow(sql.SQL("select * from core.argo_level order by profile_id, arrival, level"))
    types = {"int32": "int4", "int16": "int2", "float": "float4"}
    columns = {name: (types[str(stored.schema.field(name).type)], stored[name].to_numpy()) for name in stored.column_names}
    with platform.database.connection() as connection:
        connection.execute("create table bare (like core.argo_level including indexes)")

    def work() -> None:
        with platform.database.connection() as connection:
            copy_arrays(connection, sql.Identifier("bare"), columns)

    return platform_arena.measure(work), stored.num_rows


platform_arena: Arena


def peak_mib() -> float:
    """The most that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def race(folder: Path, count: int) -> None:
    """All three ways."""
    paths = list(replicate(folder, count))
    platform = platform_arena.platform(f"argo_{count}")
    platform.store.put("inbox/argo/first.nc", paths[0].read_bytes() + bytes(4))  # what a process does once, such as its imports
    load_files(platform, [file for batch in land_inbox(platform) for file in batch])
    for path in paths:
        platform.store.put(f"inbox/argo/{path.parts[-3]}/{path.name}", path.read_bytes())
    landed = [file for _ in range(-(-count // 10_000)) for batch in land_inbox(platform) for file in batch]
    before_mib = peak_mib()
    ours = platform_arena.measure(lambda: load_files(platform, landed))
    after_mib = peak_mib()
    again = platform_arena.measure(lambda: load_files(platform, landed))
    copied, levels = bare_copy(platform)
    few = paths[:: max(1, len(paths) // _ORM_FILES)][:_ORM_FILES]
    counted: list[int] = []
    orm = platform_arena.measure(lambda: counted.append(by_orm(platform_arena.sqlalchemy_url(f"orm_{count}"), few)))
    with platform.database.connection() as connection:
        transactions = connection.execute("select count(*) from core.change where kind = 'argo'").fetchone()
    of_orm = ratio(orm.per(counted[0]).cpu / ours.per(levels).cpu, ">= 20")
    rows = [
        ["xarray, dicts, ORM", f"{len(few):,}", f"{counted[0]:,}", rate(counted[0], orm.cpu), rate(counted[0], orm.wall), ""],
        ["ours", f"{len(landed):,}", f"{levels:,}", rate(levels, ours.cpu), rate(levels, ours.wall), of_orm],
        ["bare COPY", "", f"{levels:,}", rate(levels, copied.cpu), rate(levels, copied.wall), ratio(copied.wall / ours.wall, ">= 0.4 of it")],
        ["", "", "", "", "", ratio(copied.cpu / ours.cpu, "by CPU")],
    ]
    show(f"bytes to committed levels, {count:,} core files", ["", "files", "levels", "levels/CPU s", "levels/s", "ratio"], rows)
    made = transactions[0] if transactions else 0
    print(f"ours wrote {made} transactions; a second load of the same files took {again.cpu:.2f} CPU s, and parsed nothing")
    print(f"the loading process held {before_mib:,.0f} MiB at most before, and {after_mib:,.0f} MiB with the load")


def main() -> None:
    global platform_arena
    show_machine()
    for count in arguments(__doc__ or "", rows=[1_000], quick=[200]):
        folder = Path(tempfile.mkdtemp(prefix="argo-race-"))
        try:
            with arena() as platform_arena:
                race(folder, count)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
