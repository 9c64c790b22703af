"""The real-time tests of Argo casts: all casts at once, against the same tests as a loop over casts and levels.

The casts are those of real core files under other float numbers. The loop is the oracle of the tests
(`water_pipelines_tests/domain/argo/by_hand.py`): tests 6 to 9, 11 to 14, 16, 18 and 25 of PRES, TEMP and PSAL. It runs over a sample of the casts;
ours also runs tests 1 to 5, 19 and 21 to 24. Whether both fail the same values of the sample is said above the table.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from _race import Measured, arguments, ratio, show, show_machine
from argo_parse import core_files, read_ours

from water_pipelines.domain.argo.casts import Casts, concatenate
from water_pipelines.domain.argo.run import Beside, flag_casts
from water_pipelines_tests.domain.argo.by_hand import Cast, flag_by_hand

_BESIDE = Beside(np.datetime64("2026-01-01", "us"))
_FIRST_WMO = 7_900_001
_BY_HAND = (0, 6, 7, 8, 9, 11, 12, 13, 14, 16, 18, 25)
_SAMPLE_CASTS = 60


def fleet(count: int) -> Casts:
    """The casts of some files, again and again under other float numbers, until there are as many."""
    original = concatenate(list(read_ours([path for paths in core_files().values() for path in paths])))
    floats, number = np.unique(original.platform_number, return_inverse=True)
    copies = [
        replace(original, platform_number=(_FIRST_WMO + copy * len(floats) + number).astype(np.str_)) for copy in range(-(-count // len(original)))
    ]
    return concatenate(copies).take(slice(0, count))


def measured(work: object) -> tuple[Measured, object]:
    """What a callable takes, and gives."""
    assert callable(work)
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu), found


def same(casts: Casts, by_hand: list[Cast]) -> bool:
    """Whether both fail the same values by the same tests."""
    flags = flag_casts(casts, _BESIDE)
    bits = np.int32(sum(1 << number for number in _BY_HAND))
    for number, cast in enumerate(by_hand):
        own = slice(int(casts.first[number]), int(casts.first[number + 1]))
        for name in {"PRES", "TEMP", "PSAL"} & set(cast.value):
            if (flags.parameters[name].failed[own] & bits).tolist() != cast.failed[name]:
                return False
    return True


def main() -> None:
    show_machine()
    for count in arguments(__doc__ or "", rows=[20_000], quick=[2_000]):
        casts = fleet(count)
        sample = casts.take(slice(0, min(_SAMPLE_CASTS, count)))
        loop, by_hand = measured(lambda sample=sample: flag_by_hand(sample))
        assert isinstance(by_hand, list)
        flag_casts(sample, _BESIDE)  # its imports
        ours, _ = measured(lambda casts=casts: flag_casts(casts, _BESIDE))
        slow, fast = sample.levels / loop.cpu, casts.levels / ours.cpu
        rows = [
            ["a loop over casts and levels", f"{len(sample):,}", f"{sample.levels:,}", f"{slow:,.0f}", f"{loop.cpu:.2f}", ""],
            ["ours, all at once", f"{len(casts):,}", f"{casts.levels:,}", f"{fast:,.0f}", f"{ours.cpu:.2f}", ratio(fast / slow, ">= 10")],
        ]
        columns = ["", "casts", "levels", "levels/CPU s", "CPU s", "x the loop"]
        show(f"flags of {count:,} casts; the same values fail: {same(sample, by_hand)}", columns, rows)


if __name__ == "__main__":
    main()
