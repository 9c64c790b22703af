"""Facts that the platform itself lands: trained models, issued forecasts, decisions on champions; as bytes, and read back.

Series go by their natural ids and models by their UUIDs, so that a rebuild from the landed area finds them whatever numbers it gives.
Add a fact here as a class with `to_bytes` and `from_bytes`. What it means is in `domain/`, what becomes of it in `operations/`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from water_pipelines.domain.forecasts import QUANTILES
from water_pipelines.domain.npz import from_npz, to_npz
from water_pipelines.parsers.contract import UnreadableFile

QUANTILE_COLUMNS = tuple(f"q{round(level * 100):02d}" for level in QUANTILES)
"""q05 to q95."""

FORECAST_SCHEMA = pa.schema(
    [
        ("series", pa.dictionary(pa.int32(), pa.string())),
        ("issued_at", pa.timestamp("us", "UTC")),
        ("model", pa.dictionary(pa.int32(), pa.string())),
        ("model_uuid", pa.dictionary(pa.int32(), pa.string())),
        ("target_at", pa.timestamp("us", "UTC")),
        *((name, pa.float32()) for name in QUANTILE_COLUMNS),
    ]
)

_MODELS = UUID("6f0f9c0e-6d0a-5c0e-9a53-0b5f8f6f7f03")


@dataclass(frozen=True)
class Trained:
    """A trained model of a scope.

    Parameters
    ----------
    cutoff_at : nothing at or after it was used.
    scope : the observed property whose series it covers.
    version : 1, or more where series of the scope came after the first.
    series : natural ids, aligned with the model's own series.
    without : natural ids of series from which nothing could be learned then.
    model : the model's own bytes.
    """

    cutoff_at: datetime
    scope: str
    version: int
    series: Sequence[str]
    without: Sequence[str]
    model: bytes = field(repr=False)


@dataclass(frozen=True)
class ModelFact:
    """Models of a kind that were trained together, at one cut-off or at several.

    Parameters
    ----------
    kind : 'band' or 'ridge'.
    read : the change as of which the data was read.
    models : one a cut-off and scope.
    """

    kind: str
    read: int
    models: Sequence[Trained]

    def uuid(self, model: Trained) -> UUID:
        """The id by which a model is known outside and to other facts."""
        return uuid5(_MODELS, "\n".join((self.kind, model.scope, model.cutoff_at.isoformat(), str(model.version))))

    def to_bytes(self) -> bytes:
        """One archive of arrays: the words as JSON, and each model by its place."""
        said = [{name: getattr(each, name) for name in ("cutoff_at", "scope", "version", "series", "without")} for each in self.models]
        words = orjson.dumps({"kind": self.kind, "read": self.read, "models": said})
        return to_npz({"words": _array(words), **{f"model_{place}": _array(each.model) for place, each in enumerate(self.models)}})

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelFact:
        """The fact that `to_bytes` wrote, or that landed when all models of an object had one cut-off; else `UnreadableFile`."""
        try:
            arrays = from_npz(data)
            words: dict[str, Any] = orjson.loads(arrays["words"].tobytes())
            models = []
            for place, each in enumerate(words["models"]):
                cutoff_at = datetime.fromisoformat(each.pop("cutoff_at", words.get("cutoff_at")))
                models.append(Trained(cutoff_at, **each, model=arrays[f"model_{place}"].tobytes()))
            return cls(words["kind"], words["read"], models)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableFile(f"it holds no trained models of this platform: {error}") from error


def _array(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


@dataclass(frozen=True)
class ForecastFact:
    """Forecasts that were issued together.

    Parameters
    ----------
    kind : 'issue' at the time, or 'hindcast' afterwards.
    read : the change as of which the data was read.
    rows : a table of `FORECAST_SCHEMA`.
    """

    kind: str
    read: int
    rows: pa.Table

    def coded(self, name: str) -> tuple[list[str], NDArray[np.int64]]:
        """The distinct words of a column, and for each row which of them it holds; -1 for none."""
        column = self.rows[name].combine_chunks()
        assert isinstance(column, pa.DictionaryArray)
        words = [str(word) for word in column.dictionary.to_pylist()]
        return words, column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)

    def to_bytes(self) -> bytes:
        """Parquet, with the words in the schema's metadata."""
        file = io.BytesIO()
        pq.write_table(self.rows.replace_schema_metadata({"kind": self.kind, "read": str(self.read)}), file, compression="zstd")
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ForecastFact:
        """The fact that `to_bytes` wrote; `UnreadableFile` where it is something else."""
        try:
            table = pq.read_table(io.BytesIO(data))
            words: Mapping[bytes, bytes] = table.schema.metadata or {}
            return cls(words[b"kind"].decode(), int(words[b"read"]), table.select(FORECAST_SCHEMA.names).cast(FORECAST_SCHEMA))
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise UnreadableFile(f"it holds no forecasts of this platform: {error}") from error


@dataclass(frozen=True)
class Decision:
    """Which forecaster is served of a series: 'seasonal' or 'ridge' (with the UUID of the model in force), and why."""

    series: str
    champion: str
    model: str | None
    reason: str


@dataclass(frozen=True)
class ChampionFact:
    """Decisions on champions that hold from an issue time on."""

    kind: str
    from_at: datetime
    read: int
    decisions: Sequence[Decision]

    def to_bytes(self) -> bytes:
        """JSON."""
        return orjson.dumps(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ChampionFact:
        """The fact that `to_bytes` wrote; `UnreadableFile` where it is something else."""
        try:
            words: dict[str, Any] = orjson.loads(data)
            decisions = [Decision(**each) for each in words["decisions"]]
            return cls(words["kind"], datetime.fromisoformat(words["from_at"]), words["read"], decisions)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableFile(f"it holds no decisions of this platform: {error}") from error


@dataclass(frozen=True)
class ActFact:
    """What an operator does to the data.

    Parameters
    ----------
    act : 'withdraw' or 'reinstate' files, or 'delete' stations and series for ever.
    subject : `arrivals`, or `stations` and `series`, whose natural ids are those that were meant when it was done.
    """

    act: str
    subject: Mapping[str, Sequence[Any]]
    reason: str
    at: datetime

    def to_bytes(self) -> bytes:
        """JSON."""
        return orjson.dumps({"act": self.act, "subject": dict(self.subject), "reason": self.reason, "at": self.at})

    @classmethod
    def from_bytes(cls, data: bytes) -> ActFact:
        """The fact that `to_bytes` wrote; `UnreadableFile` where it is something else."""
        try:
            said: dict[str, Any] = orjson.loads(data)
            return cls(said["act"], dict(said["subject"]), said["reason"], datetime.fromisoformat(said["at"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableFile(f"it holds no act of an operator: {error}") from error
