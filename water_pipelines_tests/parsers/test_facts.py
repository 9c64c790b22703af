"""Facts as bytes: what the platform lands is read back as it was, and anything else is refused in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pyarrow as pa
import pytest

from water_pipelines.domain.npz import to_npz
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.facts import FORECAST_SCHEMA, ChampionFact, Decision, ForecastFact, ModelFact, Trained

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def test_models_are_read_back_with_their_ids() -> None:
    """Two cut-offs in one object: words, bytes and the UUIDs that follow from kind, scope, cut-off and version."""
    fact = ModelFact(
        "band", 7, [Trained(MONDAY, "flow", 1, ["A/flow"], ["B/flow"], b"one"), Trained(MONDAY + timedelta(7), "flow", 1, ["C/flow"], [], b"two")]
    )
    found = ModelFact.from_bytes(fact.to_bytes())
    assert found == fact
    assert len({fact.uuid(each) for each in fact.models}) == 2
    assert [found.uuid(each) for each in found.models] == [fact.uuid(each) for each in fact.models]


def test_the_same_models_give_the_same_bytes() -> None:
    """Identity is the content's hash, so an attempt that is repeated lands nothing new."""
    fact = ModelFact("band", 7, [Trained(MONDAY, "flow", 1, ["A/flow"], [], b"one")])
    assert fact.to_bytes() == fact.to_bytes()


def test_objects_of_one_cutoff_that_landed_before_are_still_read() -> None:
    """What landed stays: then the cut-off was said once, of the whole object."""
    words = {"kind": "band", "cutoff_at": MONDAY, "read": 7, "models": [{"scope": "flow", "version": 1, "series": ["A/flow"], "without": []}]}
    arrays = {"words": np.frombuffer(orjson.dumps(words), np.uint8), "model_0": np.frombuffer(b"one", np.uint8)}
    assert ModelFact.from_bytes(to_npz(arrays)) == ModelFact("band", 7, [Trained(MONDAY, "flow", 1, ["A/flow"], [], b"one")])


def test_forecasts_are_read_back_to_the_bit() -> None:
    """Quantiles are single precision in the object and in the store, so that a replay is equal."""
    times = pa.array([MONDAY, MONDAY], pa.timestamp("us", "UTC"))
    words = [pa.array(column, pa.string()).dictionary_encode() for column in (["A/flow", "B/flow"], ["ridge", "seasonal"], ["an-id", None])]
    quantiles = [pa.array(np.array([0.1, 1 / 3], np.float32) * n) for n in range(1, 8)]
    rows = pa.Table.from_arrays([words[0], times, words[1], words[2], times, *quantiles], schema=FORECAST_SCHEMA)
    found = ForecastFact.from_bytes(ForecastFact("issue", 12, rows).to_bytes())
    assert (found.kind, found.read) == ("issue", 12)
    assert found.rows.to_pylist() == rows.to_pylist()
    assert [part.tolist() if isinstance(part, np.ndarray) else part for part in found.coded("model_uuid")] == [["an-id"], [0, -1]]


def test_decisions_are_read_back() -> None:
    """A decision on each of two series, one of them without a model."""
    fact = ChampionFact("forecast", MONDAY, 3, [Decision("A/flow", "ridge", "an-id", "better"), Decision("B/flow", "seasonal", None, "not better")])
    assert ChampionFact.from_bytes(fact.to_bytes()) == fact


@pytest.mark.parametrize("fact", [ModelFact, ForecastFact, ChampionFact])
def test_other_bytes_are_refused_in_words(fact: type[ModelFact | ForecastFact | ChampionFact]) -> None:
    """Bytes that are no fact of the platform quarantine their file with a message, and raise nothing else."""
    with pytest.raises(UnreadableFile, match="of this platform"):
        fact.from_bytes(b"neither an archive nor Parquet nor JSON")
