"""Race: the same file a second time, and an altered copy of it, counted in rows rather than in seconds.

The same bytes under the same folder and mapping are known by their hash: nothing may be parsed, and no row of observations, ledgers or
history written. Of a copy in which one value in a hundred differs, the rows written to the observations are held against the values that
differ; what they replace goes to the history, which is counted beside.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from _race import Arena, Readings, arena, arguments, ratio, rows_written, show, show_machine

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform

_SERIES = 20
_FIRST = "2016-01-01"
_SHARE = 0.01
_GOAL = "<= 1.2"
_OBSERVATIONS = "^observation(_[0-9]+)?$"
_LEDGERS = "^(source_file|load|load_day|claim|rejected_row|series_change|station|series|computed|stale)$"


def write_csv(path: Path, readings: Readings) -> None:
    """A long CSV file in the order of time."""
    names = pl.Series(readings.names).str.split("/").list.first()
    frame = pl.DataFrame({"time": readings.time, "station": names[readings.series], "property": "water_level", "unit": "m", "value": readings.value})
    frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")


def drop(platform: Platform, path: Path) -> dict[str, int]:
    """Drop a file and let a run empty the inbox; gives the rows written by kind of table."""
    before = {name: rows_written(platform, tables) for name, tables in (("core", _OBSERVATIONS), ("ledgers", _LEDGERS))}
    platform.store.put(f"inbox/{path.name}", path.read_bytes())
    with platform.during("race") as working:
        empty_inbox(working)
    return {
        f"{name} {schema}": after[schema] - before[name].get(schema, 0)
        for name, tables in (("core", _OBSERVATIONS), ("ledgers", _LEDGERS))
        for after in (rows_written(platform, tables),)
        for schema in after
    }


def race(field: Arena, rows: int) -> list[list[str]]:
    """The file, the file again, and the altered copy."""
    platform = field.platform(f"rows_{rows}")
    path = field.home / "again.csv"
    readings = Readings.make(rows, series=_SERIES, first=_FIRST, by_time=True)
    write_csv(path, readings)
    first = drop(platform, path)
    second = drop(platform, path)
    differs = np.random.default_rng(7).random(len(readings)) < _SHARE
    write_csv(path, Readings(readings.names, readings.series, readings.time, np.where(differs, readings.value + 1, readings.value)))
    third = drop(platform, path)
    assert first["core core"] == len(readings), first
    assert not any(second.values()), f"the same file again wrote {second}"
    changed = int(differs.sum())
    return [
        ["the file", f"{len(readings):,}", f"{first['core core']:,}", "", ""],
        ["the same again", "0", f"{second['core core']:,}", "", "nothing parsed, no row written in any ledger"],
        ["1 % altered", f"{changed:,}", f"{third['core core']:,}", ratio(third["core core"] / changed, _GOAL), f"{third['core history']:,} kept"],
    ]


def main() -> None:
    sizes = arguments(__doc__ or "", rows=[5_000_000], quick=[100_000])
    show_machine()
    with arena() as field:
        for rows in sizes:
            show(
                f"A file of {rows:,} rows, again and altered",
                ["dropped", "values that differ", "observations written", "written / differ", "beside"],
                race(field, rows),
            )


if __name__ == "__main__":
    main()
