"""The real public data that lies beside the project: `shared("gauges/...")` is a path, or the test is skipped with the reason."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(path: str) -> Path:
    """The path of a real data file or folder; skips the calling test where the data is not on this machine."""
    found = ROOT / path
    if not found.exists():
        pytest.skip(f"real data is not here: {path} (expected under {ROOT.parent.name}/{ROOT.name} beside the project)")
    return found
