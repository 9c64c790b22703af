"""The land mask of test 4, from the package `global-land-mask`: the GLOBE grid of 1 km, read in pieces.

Importing that package inflates its grid to 933 MB. Here only its file is opened, and what is kept are the places where land and sea change: 3 MB.
Another mask belongs beside this one, with a `variant` of its own.
"""

from __future__ import annotations

import zipfile
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.argo.positions import LandMask

_PACKAGE, _FILE, _GRID = "global_land_mask", "globe_combined_mask_compressed.npz", "mask.npy"
_ROWS_AT_ONCE = 400
_SEA = np.uint64(0x0101010101010101)  # eight cells of sea


@cache
def land_mask() -> LandMask:
    """The mask; it takes a second or two, once a process."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package global-land-mask is not installed", name=_PACKAGE)
    with zipfile.ZipFile(Path(spec.submodule_search_locations[0]) / _FILE) as archive, archive.open(_GRID) as grid:
        np.lib.format.read_magic(grid)
        (rows, columns), _, _ = np.lib.format.read_array_header_1_0(grid)
        changes: list[NDArray[np.int32]] = []
        is_sea, begin = True, 0
        while piece := grid.read(_ROWS_AT_ONCE * columns):
            found = _changes(np.frombuffer(piece, np.uint8), is_sea) + begin
            changes.append(found.astype(np.int32))
            is_sea, begin = bool(piece[-1]), begin + len(piece)
    return LandMask(f"global-land-mask {version('global-land-mask')}: most of nine cells of 1 km", rows, columns, np.concatenate(changes))


def _changes(cells: NDArray[np.uint8], is_sea: bool) -> NDArray[np.int64]:
    """Where a cell differs from the one before it; `is_sea` is the cell before the first. Eight cells are compared at once where they agree."""
    words = cells.view(np.uint64)
    mixed = (words != 0) & (words != _SEA)
    before = np.concatenate(([_SEA if is_sea else np.uint64(0)], words[:-1]))
    suspects = np.flatnonzero(mixed | (words != before))
    places = (suspects[:, np.newaxis] * 8 + np.arange(8)).ravel()
    previous = np.where(places > 0, cells[places - 1], np.uint8(is_sea))
    changes: NDArray[np.int64] = places[cells[places] != previous]
    return changes
