"""Argo files to arrays, parsing alone: ours against the local loader of argopy, on the same real core files under other float numbers.

The files of `--rows` copies are read from the disk one after the other. argopy reads all cycles of some of the floats in one call, from the same
folder in the layout of the archive; both are counted in levels a CPU second. Whether both give the same levels of these is said above the table.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _race import Measured, arguments, ratio, show, show_machine

from water_pipelines.domain.argo.casts import Casts, concatenate
from water_pipelines.parsers.argo import read_argo

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "argo" / "argopy-data"
_FIRST_WMO = 7_900_001
_ARGOPY_FLOATS = 8
_ARGOPY_ORIGINAL = "5900446"  # one cast a file, of which argopy gives all levels
_HEADER = "file,date,latitude,longitude,ocean,profiler_type,institution,date_update\n"


def core_files() -> dict[tuple[str, str], list[Path]]:
    """Mono-profile core files by data centre and float, one file a cycle: the delayed one where there are both."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted(DATA.glob("dac/*/*/profiles/[RD]*.nc"), key=lambda path: path.name, reverse=True):
        centre, wmo = path.parts[-4], path.parts[-3]
        if len(wmo) == 7:  # the number is replaced by another of as many digits
            found.setdefault((centre, wmo), {})[path.stem.partition("_")[2]] = path
    return {key: sorted(cycles.values()) for key, cycles in found.items()}


def replicate(folder: Path, count: int) -> dict[Path, str]:
    """Copies of real core files under other float numbers, in the layout of the archive, with its index of profiles: each with the original float."""
    made: dict[Path, str] = {}
    lines: list[str] = []
    number = _FIRST_WMO
    while len(made) < count:
        for (centre, wmo), paths in core_files().items():
            own = folder / "dac" / centre / str(number) / "profiles"
            own.mkdir(parents=True)
            for path in paths:
                copy = own / path.name.replace(wmo, str(number))
                held = path.read_bytes()
                for padding in (" ", "\0"):
                    held = held.replace(f"{wmo}{padding}".encode(), f"{number}{padding}".encode())
                copy.write_bytes(held)
                made[copy] = wmo
                lines.append(f"{centre}/{number}/profiles/{copy.name},20100101000000,0.000,0.000,A,846,AO,20200101000000\n")
            number += 1
            if len(made) >= count:
                break
    title = "# Title : Profile directory file of the Argo Global Data Assembly Center\n"
    (folder / "ar_index_global_prof.txt").write_text(title * 8 + _HEADER + "".join(lines))
    return made


def read_ours(paths: list[Path]) -> Iterator[Casts]:
    """What the parser gives of each file."""
    for path in paths:
        with path.open("rb") as stream:
            yield from (each for each in read_argo(stream) if isinstance(each, Casts))


def timed(work: object) -> Measured:
    """Seconds and CPU seconds of a callable."""
    wall, cpu = time.perf_counter(), time.process_time()
    assert callable(work)
    work()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu)


def argopy_pressures(folder: Path, paths: list[Path]) -> np.ndarray:
    """Pressures of all levels that argopy's loader gives for the files of floats that have the same cycles."""
    from argopy import DataFetcher

    floats = sorted({int(path.parts[-3]) for path in paths})
    cycles = sorted({int(path.stem.partition("_")[2]) for path in paths})
    fetcher = DataFetcher(src="gdac", gdac=str(folder), mode="expert", progress=False).profile(floats, cycles)
    return np.asarray(fetcher.to_xarray()["PRES"].values)


def main() -> None:
    show_machine()
    warnings.simplefilter("ignore")
    for count in arguments(__doc__ or "", rows=[20_000], quick=[2_000]):
        folder = Path(tempfile.mkdtemp(prefix="argo-race-"))
        try:
            race(folder, count)
        finally:
            shutil.rmtree(folder)


def line(name: str, files: int, levels: int, took: Measured, goal: str) -> list[str]:
    """A line of the table."""
    return [name, f"{files:,}", f"{levels:,}", f"{levels / took.cpu:,.0f}", f"{files / took.cpu:,.0f}", goal]


def race(folder: Path, count: int) -> None:
    """Both loaders on one folder."""
    made = replicate(folder, count)
    paths = list(made)
    originals = [path for path in paths if made[path] == _ARGOPY_ORIGINAL]
    floats = sorted({path.parts[-3] for path in originals})[:_ARGOPY_FLOATS]
    sample = [path for path in originals if path.parts[-3] in floats]
    argopy_pressures(folder, sample[:1])  # its imports
    began = time.perf_counter(), time.process_time()
    theirs = argopy_pressures(folder, sample)
    argopy = Measured(time.perf_counter() - began[0], time.process_time() - began[1])
    read: list[Casts] = []
    few = timed(lambda: read.extend(read_ours(sample)))
    ours = concatenate(read)
    pressure = ours.parameters["PRES"].raw
    same = np.array_equal(np.sort(pressure[~np.isnan(pressure)]), np.sort(theirs[~np.isnan(theirs)].astype(np.float32)))
    whole: list[Casts] = []
    parsing = timed(lambda: whole.extend(read_ours(paths)))
    levels = sum(each.levels for each in whole)
    goal = ratio((ours.levels / few.cpu) / (len(theirs) / argopy.cpu), ">= 5")
    rows = [
        line("argopy, local folder", len(sample), len(theirs), argopy, ""),
        line("ours, the same files", len(sample), ours.levels, few, goal),
        line("ours, all files", len(paths), levels, parsing, ""),
    ]
    joining = timed(lambda: concatenate(whole))
    show(f"parsing alone, {count:,} core files; the same pressures: {same}", ["", "files", "levels", "levels/CPU s", "files/CPU s", "x argopy"], rows)
    print(f"all of them as one set of arrays: {joining.cpu:.2f} CPU s")


if __name__ == "__main__":
    main()
