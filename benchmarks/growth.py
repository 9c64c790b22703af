"""Race against oneself: readings a second as the store grows.

A file of a fixed size of new series is loaded whenever the store has reached one of the sizes; between them the store is filled with further
files. Run it by hand: a hundred million rows take a while, and about 9 GB under the temporary folder.
"""

from __future__ import annotations

from _race import Arena, Readings, arena, arguments, load, rate, ratio, show, show_machine

_PROBE = 1_000_000
_FILL = 5_000_000
_SERIES = 50
_FIRST = "2023-03-01"
_GOAL = ">= 0.75"
_PROBES = 3


def race(field: Arena, sizes: list[int]) -> list[list[str]]:
    """One line a size: the median of three probes, each of new series, and its ratio to the first size's."""
    platform = field.platform("growth")
    stored, files, lines, first = 0, 0, list[list[str]](), 0.0

    def file(rows: int) -> Readings:
        nonlocal stored, files
        files += 1
        stored += rows
        return Readings.make(rows, series=_SERIES, first=_FIRST, prefix=f"F{files}", seed=files)

    load(platform, file(10_000))()
    for size in sorted(sizes):
        while stored + _PROBE <= size:
            load(platform, file(min(_FILL, size - stored)))()
        at = stored
        probes = sorted(field.measure(load(platform, file(_PROBE))).wall for _ in range(_PROBES))
        speed = _PROBE / probes[_PROBES // 2]
        first = first or speed
        lines.append(
            [f"{at:,}", rate(_PROBE, _PROBE / speed), f"{rate(_PROBE, probes[-1])} to {rate(_PROBE, probes[0])}", ratio(speed / first, _GOAL)]
        )
    with platform.database.connection() as connection:
        assert connection.execute("select count(*) from core.observation").fetchone() == (stored,)
    return lines


def main() -> None:
    sizes = arguments(__doc__ or "", rows=[1_000_000, 10_000_000, 100_000_000], quick=[100_000, 2_000_000])
    show_machine()
    with arena() as field:
        show(
            f"Loads of {_PROBE:,} readings into a store that grows",
            ["rows stored", "rows/s", "slowest to fastest", "x the first"],
            race(field, sizes),
        )


if __name__ == "__main__":
    main()
