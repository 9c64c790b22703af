"""Loading of the facts that the platform itself lands: trained models, issued forecasts, decisions on champions.

A loader here finds series and models by their natural ids, writes the fact's rows once, and marks stale what reads them. What it says of
series that were deleted after it arrived is left out.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from water_pipelines.orchestration.operations.landing import land_bytes
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import edges
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.facts import ChampionFact, ForecastFact, ModelFact
from water_pipelines.storage import champions, computed, forecasts, models, source_files, staging, stale, ticks, tombstones
from water_pipelines.storage.database import as_times
from water_pipelines.storage.loads import Loaded
from water_pipelines.storage.source_files import SourceFile

FOLDERS = {"model": "models", "forecast": "forecasts", "champion": "champions"}
"""Kind of a fact -> the prefix that it lands under."""

_WEEK, _DAY = timedelta(weeks=1), timedelta(days=1)


def land_fact(platform: Platform, fact: ModelFact | ForecastFact | ChampionFact, kind: str, name: str) -> SourceFile:
    """Land a fact; the same again is the same file."""
    return land_bytes(platform, fact.to_bytes(), kind=kind, name=name, prefix=FOLDERS[kind])


def verified(platform: Platform, key: str, sha256: str) -> bytes:
    """The bytes of a landed object; `UnreadableFile` where they are not those that landed."""
    data = platform.store.read(key)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UnreadableFile(f"the object {key} has the SHA-256 {found}: it is damaged, put back the bytes that landed there")
    return data


def load_model(platform: Platform, file: SourceFile) -> Loaded:
    """Add trained models and the series that they cover. Days that were judged without their bands are judged again."""
    fact = ModelFact.from_bytes(verified(platform, file.key, file.sha256))
    cutoffs = sorted({each.cutoff_at for each in fact.models})
    with platform.database.connection() as connection:
        buried = tombstones.above(connection, file.arrival).series
        numbers = models.numbers_of(connection, (name for each in fact.models for name in each.series), buried)
        change = platform.database.take_number(connection, "model")
        for each in fact.models:
            models.add(
                connection,
                file,
                uuid=fact.uuid(each),
                kind=fact.kind,
                scope=each.scope,
                cutoff_at=each.cutoff_at,
                version=each.version,
                read=fact.read,
                series_ids=[numbers[name] for name in each.series if name in numbers],
                summary={"series": len(each.series), "without": [name for name in each.without if name not in buried]},
            )
        if fact.kind == "band":
            # the neighbours of the week, too: a day is judged with the evening before it and the morning after it; and days without any
            # value near them, which nothing but a band calls missing
            days = sorted({day for cutoff_at in cutoffs for day in _days(cutoff_at - _DAY, cutoff_at + _WEEK)})
            stale.mark(connection, "core/anomaly", ticks.reached(connection, days))
        counted = models.counts(connection, cutoffs)
        computed.note(platform.database, connection, "core/model_version", counted, change, change, None, None)
        source_files.succeed(connection, file.arrival, rows=len(fact.models), rejected=0)
    return Loaded(change, rows=len(fact.models), new=len(fact.models))


def _days(first: datetime, last: datetime) -> list[str]:
    return [f"{first + n * _DAY:%Y-%m-%d}" for n in range((last - first).days + 1)]


def load_forecast(platform: Platform, file: SourceFile) -> Loaded:
    """Add issued forecasts; a series has the baseline as its champion from its first forecast on."""
    fact = ForecastFact.from_bytes(verified(platform, file.key, file.sha256))
    rows = fact.rows
    with platform.database.connection() as connection:
        (names, series), (uuids, by), (kinds, kind) = (fact.coded(column) for column in ("series", "model_uuid", "model"))
        known = models.ids_by_uuid(connection, uuids)
        numbers = models.numbers_of(connection, names, tombstones.above(connection, file.arrival).series)
        missing = [uuid for uuid in uuids if uuid not in known]
        if missing:
            raise LookupError(f"it rests on the model {missing[0]}, which is not loaded: load the files that arrived before this one first")
        series_id = np.array([numbers.get(name, -1) for name in names], dtype=np.int32)[series]
        model_id = np.array([*(known[uuid] for uuid in uuids), 0], dtype=np.int32)[by]
        model = np.array([forecasts.MODELS.index(name) for name in kinds], dtype=np.int16)[kind]
        is_kept = series_id >= 0
        rows, series_id, model_id, model = rows.filter(pa.array(is_kept)), series_id[is_kept], model_id[is_kept], model[is_kept]
        issued_at = np.unique(as_times(rows["issued_at"]))
        readers = edges(connection, "core/forecast")
        change = platform.database.take_number(connection, "forecast")
        written = forecasts.append(connection, rows, series_id, model, model_id, fact.kind)
        champions.start(connection, np.unique(series_id).tolist())
        staging.mark_readers(connection, readers, issued_at, issued_at)
        counted = forecasts.counts(connection, issued_at.astype("datetime64[D]").astype(str).tolist())
        computed.note(platform.database, connection, "core/forecast", counted, change, change, None, None)
        source_files.succeed(connection, file.arrival, rows=written, rejected=0)
    return Loaded(change, rows=rows.num_rows, new=written, unchanged=rows.num_rows - written)


def load_champion(platform: Platform, file: SourceFile) -> Loaded:
    """Append decisions to the champion ledger."""
    fact = ChampionFact.from_bytes(verified(platform, file.key, file.sha256))
    with platform.database.connection() as connection:
        known = models.ids_by_uuid(connection, [each.model for each in fact.decisions if each.model])
        numbers = models.numbers_of(connection, (each.series for each in fact.decisions), tombstones.above(connection, file.arrival).series)
        change = platform.database.take_number(connection, "champion")
        decisions = [
            (numbers[each.series], each.champion, known[each.model] if each.model else None, each.reason)
            for each in fact.decisions
            if each.series in numbers
        ]
        written = champions.append(connection, fact.from_at, decisions)
        days = [f"{fact.from_at:%Y-%m-%d}"]
        computed.note(platform.database, connection, "core/champion", champions.counts(connection, days), change, change, None, None)
        source_files.succeed(connection, file.arrival, rows=written, rejected=0)
    return Loaded(change, rows=len(decisions), new=written, unchanged=len(decisions) - written)
