"""Room on the disk: asked for before a large file is begun, and while it is spooled.

Add a place that fills up with the data here. Keep out: the object store's own check of a full disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path

RESERVE_BYTES = 256 << 20
"""What is left to the rest of the platform, whatever is loaded."""
STORED_BYTES_A_ROW = 160
"""Of an observation in the embedded database: the row, its key, and the log of the transaction that wrote them."""


class NoRoom(Exception):
    """The disk cannot take what is to be written; later, or on another disk, it may."""


def require(folder: Path, needed: int, purpose: str) -> None:
    """Raise `NoRoom` unless a folder's disk can take some bytes and keep the reserve.

    Parameters
    ----------
    folder : an existing folder.
    needed : bytes.
    purpose : what they are for, as the message names it.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE_BYTES:
        raise NoRoom(
            f"{purpose} needs about {_mebibytes(needed)} MiB, and {_mebibytes(RESERVE_BYTES)} MiB must stay free, but the disk of {folder} has"
            f" {_mebibytes(free)} MiB; make room, it is tried again later"
        )


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"
