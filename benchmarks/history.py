"""What `as_of` costs: bytes a row, and time to load, to correct and to read, side by side with a store that keeps no history.

The other store is the same one without the triggers that keep what gives way. A tenth of the values is corrected; then windows are read
as they are now, and as they were before the correction. The figures of `docs/adr/0005-as-of.md` come from here.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta

import numpy as np
from _race import Arena, Measured, Readings, arena, arguments, load, quiet, rate, show, show_machine

from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage.served import observations
from water_pipelines.storage.served.reading import reading

_SERIES = 20
_FIRST = "2016-01-01"
_SHARE = 0.1
_WINDOW = timedelta(days=100)
_READS = 40
_REPEATS = 2

_BYTES = """
with part as (select %(table)s::regclass as relid union select relid from pg_partition_tree(%(table)s::regclass))
select (select sum(pg_relation_size(relid)) from part),
    (select sum(pg_relation_size(indexrelid)) from part join pg_index on indrelid = relid)
"""


def bytes_of(platform: Platform, table: str, rows: int) -> str:
    """Bytes a row of a table, and of its indexes."""
    with quiet(platform) as connection:
        found = connection.execute(_BYTES, {"table": table}).fetchone()
        assert found is not None
        return f"{(found[0] or 0) / rows:.0f} + {(found[1] or 0) / rows:.0f}"


def write(field: Arena, platform: Platform, rows: int, *, keeps_history: bool) -> tuple[Measured, Measured, int]:
    """Load, and correct; gives what each took, and how many values were corrected."""
    if not keeps_history:
        with platform.database.connection() as connection:
            for event in ("update", "delete"):
                connection.execute(f"drop trigger keep_{event} on core.observation")
    whole = Readings.make(rows, series=_SERIES, first=_FIRST)
    loaded = field.measure(load(platform, whole))
    differs = np.random.default_rng(7).random(len(whole)) < _SHARE
    part = Readings(whole.names, whole.series[differs], whole.time[differs], whole.value[differs] + 1)
    return loaded, field.measure(load(platform, part)), int(differs.sum())


def read(platform: Platform, number: int, as_of: int | None) -> float:
    """Milliseconds to read a window of a series, the median of many."""
    rng, took = np.random.default_rng(3), []
    for _ in range(_READS):
        start = datetime.fromisoformat(_FIRST).replace(tzinfo=UTC) + timedelta(days=int(rng.integers(0, 300)))
        began = time.perf_counter()
        with reading(platform.database, as_of) as state:
            found, _ = observations.read(state, number, start, start + _WINDOW, 100_000)
        took.append((time.perf_counter() - began) * 1e3)
        assert len(found["time"]) == _WINDOW / timedelta(minutes=15), "a window lacks values"
    return statistics.median(took)


def race(field: Arena, rows: int) -> None:
    """Write with and without history in turns, the best of each; then read."""
    best: dict[bool, tuple[Measured, Measured]] = {}
    for turn in range(_REPEATS):
        for keeps in (True, False):
            platform = field.platform(f"rows_{rows}_{turn}_{'with' if keeps else 'without'}")
            loaded, corrected, changed = write(field, platform, rows, keeps_history=keeps)
            known = best.get(keeps, (loaded, corrected))
            best[keeps] = (min(known[0], loaded, key=lambda each: each.cpu), min(known[1], corrected, key=lambda each: each.cpu))
            if keeps:
                kept = platform
    with_history, without = best[True], best[False]
    lines = [
        [name, rate(count, one.wall), rate(count, other.wall), f"{one.cpu / other.cpu:.2f}x", f"{(one.cpu - other.cpu) / count * 1e6:+.1f} us"]
        for name, count, one, other in (("load", rows, with_history[0], without[0]), ("correct", changed, with_history[1], without[1]))
    ]
    show(f"{rows:,} rows, then {changed:,} of them corrected", ["", "rows/s with history", "without", "CPU with / without", "CPU a row"], lines)
    with kept.database.connection() as connection:
        row = connection.execute("select min(series_id), (select min(change) from raw.load) from core.series").fetchone()
        assert row is not None
    now, then = read(kept, row[0], None), read(kept, row[0], row[1])
    show(
        "Reading 9,600 values (median, ms)",
        ["now", "as of before the correction", "as of / now"],
        [[f"{now:.1f}", f"{then:.1f}", f"{then / now:.1f}x"]],
    )
    sizes = [
        ["core.observation", bytes_of(kept, "core.observation", rows)],
        ["history.observation, for each value that gave way", bytes_of(kept, "history.observation", changed)],
    ]
    show("Bytes a row", ["table", "row + indexes"], sizes)


def main() -> None:
    sizes = arguments(__doc__ or "", rows=[1_000_000], quick=[700_000])
    show_machine()
    with arena() as field:
        for rows in sizes:
            race(field, rows)


if __name__ == "__main__":
    main()
