"""Arrays as bytes and back: numpy's own archive, without pickle, the same bytes for the same arrays.

What is kept in the object store by its SHA-256 goes through here. What the arrays mean belongs to the model that owns them.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def to_npz(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """An ``.npz`` archive that `numpy.load` reads; members in name order, stored, with a fixed date, so that the bytes are stable.

    Raises
    ------
    ValueError
        When an array holds Python objects, which only pickle could write.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as members:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(
                member,
                np.asarray(arrays[name], order="C"),
                version=(1, 0),
                allow_pickle=False,
            )
            members.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return archive.getvalue()


def from_npz(data: bytes) -> dict[str, NDArray[np.generic]]:
    """The arrays of an archive that `to_npz` wrote.

    Raises
    ------
    ValueError
        When the bytes are no such archive, or hold a pickle.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ValueError(f"these {len(data)} bytes are not an archive of arrays: make them again from their cut-off")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
