"""Exactness: a few of the random sequences, of which `python -m water_pipelines_tests.exactness` runs as many as are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from water_pipelines.storage.server import DatabaseServer
from water_pipelines_tests.exactness.acts import sequence
from water_pipelines_tests.exactness.proof import prove
from water_pipelines_tests.worlds import Worlds


# the order of loading decided an interval; two loads waited for each other; windows of files that are complete
@pytest.mark.parametrize(("seed", "complete"), [(1021, 0), (2005, 0), (7, 3)])
def test_a_random_sequence_ends_as_a_clean_rebuild_and_computes_what_is_affected(
    server: DatabaseServer, template_database: str, tmp_path: Path, seed: int, complete: int
) -> None:
    """Four loaders and two settlers at once: every table equals its rebuild, and the units computed are those that the model of reach names."""
    outcome = prove(Worlds.on(server, template_database, tmp_path), sequence(seed, complete=complete), seed)
    assert outcome.problems == []
    assert outcome.files > 0
