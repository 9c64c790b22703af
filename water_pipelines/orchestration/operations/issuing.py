"""Issuing forecasts: what is due on some issue days, from the data before each, landed as a fact. What was issued stands for ever.

The issue of the present day is made when the clock first reaches it. Days that the clock has passed are hindcast, as far back from the
end of a series as the settings say, so that a new history has scores at once and an outage leaves no hole in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from water_pipelines.domain.cutoffs import cutoffs_of, last_cutoff
from water_pipelines.domain.forecasts import HISTORY, Forecast, Hourly, baseline
from water_pipelines.domain.models import ForecastModel, forecast
from water_pipelines.domain.reach import Reach, margin
from water_pipelines.domain.series import TimeArray
from water_pipelines.domain.zones import Zones
from water_pipelines.orchestration.operations.facts import land_fact
from water_pipelines.orchestration.operations.loading import load_file, load_files
from water_pipelines.orchestration.operations.models import Opened, open_forecasters, taken
from water_pipelines.orchestration.operations.training import train
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.facts import FORECAST_SCHEMA, QUANTILE_COLUMNS, ForecastFact
from water_pipelines.settings import Settings
from water_pipelines.storage import forecasts, models, series, source_files, ticks
from water_pipelines.storage.database import Connection, Snapshot, instant
from water_pipelines.storage.series import Series

_LOOKS_BACK = Reach(HISTORY, np.timedelta64(0, "us"))
_WEEKS = Settings().hindcast_weeks
ISSUED_FROM = Reach(HISTORY, np.timedelta64(7 * _WEEKS, "D"))
"""Back: what a forecast is made from. Ahead: an hour at the end of a series makes due the days of the weeks before it."""


@dataclass(frozen=True)
class Due:
    """An issue day, whether it is issued in time or afterwards, and the series that have no forecast of it."""

    day: np.datetime64
    kind: str
    series_ids: Sequence[int]

    @property
    def batch(self) -> tuple[str, np.datetime64]:
        """What lands as one object: an issue day, or the hindcasts of a cut-off's week."""
        return self.kind, self.day if self.kind == "issue" else last_cutoff(self.day)


def issue(platform: Platform, days: TimeArray) -> int:
    """Issue what is due on some issue days, after training the models of their cut-offs; gives the number of objects landed."""
    with platform.database.snapshot() as snapshot:
        due = _due(snapshot.connection, days, _WEEKS)
    if not due:
        return 0
    train(platform, "ridge", cutoffs_of(np.array([each.day for each in due])))
    with platform.database.connection() as guard:
        models.one_trainer(guard)
        load_files(platform, (file for file in source_files.to_load(platform.database) if file.kind == "forecast"))
        with platform.database.snapshot() as snapshot:
            due = _due(snapshot.connection, days, _WEEKS)
            facts = _facts(platform, snapshot, due)
        for (kind, since), fact in facts.items():
            file = land_fact(platform, fact, "forecast", f"{kind}-{since.astype('datetime64[D]')}.parquet")
            if load_file(platform, file.arrival) is None:
                raise RuntimeError(
                    f"the forecasts {file.name} were issued and could not be loaded: see job {file.job_id}, mend its cause and retry it"
                )
    return len(facts)


def due_among(connection: Connection, days: Sequence[str]) -> list[str]:
    """Those of some issue days on which a forecast is due."""
    return [str(each.day) for each in _due(connection, np.array(days, dtype="datetime64[D]"), _WEEKS)]


def _due(connection: Connection, days: TimeArray, weeks: int) -> list[Due]:
    """What is due on some days, by day. Days that the clock has not reached are not; without a tick there is no present, and all is hindsight."""
    now, tick = ticks.as_of(connection), ticks.latest(connection)
    if now is None:
        return []
    reached = np.unique(days[days <= now]).astype("datetime64[D]")
    today = instant(tick).astype("datetime64[D]") if tick else None
    pairs = forecasts.waiting(connection, reached.astype(str).tolist(), str(today) if tick else None, weeks)
    return [
        Due(day, "issue" if day == today else "hindcast", [number for number, _ in of_day])
        for day, of_day in groupby(pairs, key=lambda pair: pair[1])
    ]


def _facts(platform: Platform, snapshot: Snapshot, due: Sequence[Due]) -> dict[tuple[str, np.datetime64], ForecastFact]:
    """The forecasts of what is due, by what lands together; nothing where too little is known for any forecast."""
    if not due:
        return {}
    days = np.array([each.day for each in due])
    known = {each.series_id: each for each in series.read_all(snapshot.connection)}
    zones = {number: each.time_zone for number, each in known.items() if each.time_zone}
    hourly = forecasts.read_hourly(snapshot, margin(days, _LOOKS_BACK))
    opened = open_forecasters(platform, snapshot.connection, cutoffs_of(days))
    facts = {}
    for batch, together in groupby(due, key=lambda each: each.batch):
        parts = [table for each in together for table in _tables(each, hourly, zones, opened.get(last_cutoff(each.day)), known)]
        rows = pa.concat_tables(parts).unify_dictionaries().combine_chunks() if parts else FORECAST_SCHEMA.empty_table()
        if rows.num_rows:
            facts[batch] = ForecastFact(batch[0], snapshot.number, rows)
    return facts


def _tables(each: Due, hourly: Hourly, zones: Zones, opened: Opened[ForecastModel] | None, known: Mapping[int, Series]) -> list[pa.Table]:
    """The baseline and the trained forecast of an issue day, of the series that are due."""
    kept = np.isin(hourly.series, each.series_ids)
    of_due = Hourly(hourly.series[kept], hourly.start, hourly.value[kept])
    tables = [_table(baseline(of_due, each.day, zones), "seasonal", {}, known)]
    if opened is not None:
        model = taken(opened.model, np.isin(opened.model.series, each.series_ids))
        uuids = dict(zip(opened.model.series.tolist(), opened.uuid, strict=True))
        tables.append(_table(forecast(model, of_due, each.day), "ridge", uuids, known))
    return tables


def _table(said: Forecast, model: str, uuids: Mapping[int, str], known: Mapping[int, Series]) -> pa.Table:
    numbers, row = np.unique(said.series, return_inverse=True)
    index = row.astype(np.int32)
    named = pa.DictionaryArray.from_arrays(index, pa.array([known[number].natural_id for number in numbers.tolist()], pa.string()))
    by = pa.DictionaryArray.from_arrays(index, pa.array([uuids.get(number) for number in numbers.tolist()], pa.string()))
    size = len(said)
    columns = [
        named,
        _times(np.full(size, said.issue)),
        pa.DictionaryArray.from_arrays(np.zeros(size, np.int32), pa.array([model])),
        by if uuids else pa.nulls(size, by.type),
        _times(said.time),
        *(pa.array(said.quantile[:, at].astype(np.float32)) for at in range(len(QUANTILE_COLUMNS))),
    ]
    return pa.Table.from_arrays(columns, schema=FORECAST_SCHEMA)


def _times(values: TimeArray) -> pa.Array[Any]:
    return pa.array(values.astype("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
