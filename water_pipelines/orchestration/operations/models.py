"""Opening trained models: from the ledger and the object store to arrays by today's series numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.bands import Bands
from water_pipelines.domain.models import ForecastModel
from water_pipelines.domain.series import Int32Array, TimeArray
from water_pipelines.orchestration.operations.facts import verified
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.facts import ModelFact
from water_pipelines.storage import models
from water_pipelines.storage.database import Connection

Model = TypeVar("Model", Bands, ForecastModel)


@dataclass(frozen=True)
class Opened(Generic[Model]):
    """All models of a kind and cut-off as one, and the number and UUID of the model that each of its series comes from."""

    model: Model
    model_id: Int32Array
    uuid: Sequence[str]


def open_bands(platform: Platform, connection: Connection, cutoffs: TimeArray) -> dict[np.datetime64, Opened[Bands]]:
    """The bands of some cut-offs, by cut-off; nothing for those that have none."""
    return _opened(platform, connection, "band", Bands, cutoffs)


def open_forecasters(platform: Platform, connection: Connection, cutoffs: TimeArray) -> dict[np.datetime64, Opened[ForecastModel]]:
    """The forecast models of some cut-offs, by cut-off; nothing for those that have none."""
    return _opened(platform, connection, "ridge", ForecastModel, cutoffs)


def taken(model: Model, rows: NDArray[Any]) -> Model:
    """A model of some of its series."""
    return type(model)(model.cutoff, **{field.name: getattr(model, field.name)[rows] for field in fields(model)[1:]})


def _opened(platform: Platform, connection: Connection, kind: str, shape: type[Model], cutoffs: TimeArray) -> dict[np.datetime64, Opened[Model]]:
    parts: dict[np.datetime64, list[_Part[Model]]] = {}
    versions = models.of_cutoffs(connection, kind, cutoffs)
    covered = models.covered(connection, [each.model_id for each in versions])
    for (key, sha256), of_object in groupby(versions, key=lambda each: (each.object_key, each.sha256)):
        trained = {(each.cutoff_at, each.scope, each.version): each for each in ModelFact.from_bytes(verified(platform, key, sha256)).models}
        for version in of_object:
            each, numbers = trained[version.cutoff_at, version.scope, version.version], covered[version.model_id]
            is_kept = np.array([name in numbers for name in each.series], dtype=np.bool_)  # a series that was deleted has its part no more
            series_id = np.array([numbers[name] for name in each.series if name in numbers], dtype=np.int32)
            parts.setdefault(version.cutoff, []).append(_Part(version, series_id, taken(shape.from_bytes(each.model), is_kept)))
    return {cutoff: _together(cutoff, of_cutoff) for cutoff, of_cutoff in parts.items()}


@dataclass(frozen=True)
class _Part(Generic[Model]):
    version: models.ModelVersion
    series: Int32Array
    model: Model


def _together(cutoff: np.datetime64, parts: Sequence[_Part[Model]]) -> Opened[Model]:
    """Models of several scopes below each other, under the series' present numbers and in their order."""
    shape = type(parts[0].model)
    series = np.concatenate([part.series for part in parts])
    order = np.argsort(series)
    columns = {field.name: np.concatenate([getattr(part.model, field.name) for part in parts])[order] for field in fields(shape)[1:]}
    model_id = np.array([part.version.model_id for part in parts for _ in part.series], dtype=np.int32)[order]
    uuid = np.array([str(part.version.uuid) for part in parts for _ in part.series], dtype=np.str_)[order]
    return Opened(shape(cutoff, **{**columns, "series": series[order]}), model_id, uuid.tolist())
