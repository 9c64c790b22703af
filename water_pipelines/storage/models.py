"""Trained models: which there are, what each covers, and where its bytes lie. The bytes are in the object store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from water_pipelines.domain.series import TimeArray
from water_pipelines.storage.database import Connection, instant, timestamp
from water_pipelines.storage.source_files import SourceFile

_ONE_TRAINER = 5_601_006

_LACKING = """
with wanted as (
    select cutoff_at, (cutoff_at at time zone 'UTC')::date as cutoff_on from unnest(%(cutoffs)s::timestamptz[]) as cutoff_at
),
known as ( -- what is stored now, and which files in force speak of it: neither depends on the order of loading
    select w.cutoff_at, w.cutoff_on, e.series_id
    from wanted as w
    join core.evaluation as e on e.day < w.cutoff_on and e.day >= w.cutoff_on - %(window_days)s::int
    group by w.cutoff_at, w.cutoff_on, e.series_id
    having count(*) >= %(least_days)s
)
select k.cutoff_at, s.property, s.series_id
from known as k
join core.series as s using (series_id)
where not exists (
    select from core.model_version as v
    where v.kind = %(kind)s and v.cutoff_at = k.cutoff_at and v.scope = s.property and (
        exists (select from core.model_series as m where m.model_id = v.model_id and m.series_id = s.series_id)
        or v.summary -> 'without' ? s.natural_id and not exists (
            select from raw.load_day as l
            join raw.load as load using (load_id)
            join raw.source_file as f on f.arrival = load.arrival
            where l.series_id = s.series_id and l.day < k.cutoff_on and l.day >= k.cutoff_on - %(window_days)s::int
                and load.arrival > v.arrival and f.withdrawn_at is null
        )
    )
)
order by k.cutoff_at, s.property, s.series_id
"""


@dataclass(frozen=True)
class Lacking:
    """A series of a scope that no model of a cut-off covers."""

    cutoff_at: datetime
    scope: str
    series_id: int


@dataclass(frozen=True)
class ModelVersion:
    """A trained model, as the ledger knows it."""

    model_id: int
    uuid: UUID
    kind: str
    scope: str
    cutoff_at: datetime
    version: int
    object_key: str
    sha256: str

    @property
    def cutoff(self) -> np.datetime64:
        """The cut-off as datetime64[us], UTC."""
        return instant(self.cutoff_at)


def one_trainer(connection: Connection) -> None:
    """Let one transaction at a time look for what is missing and land it; held until the end of the transaction."""
    connection.execute("select pg_advisory_xact_lock(%s)", (_ONE_TRAINER,))


def lacking(connection: Connection, kind: str, cutoffs: TimeArray, window_days: int, least_days: int) -> list[Lacking]:
    """Series with values on enough days of a cut-off's window that no model of that cut-off covers.

    Days count once their values are flagged. A series from which nothing could be learned is not asked for again until a file that arrived
    after the attempt speaks of it within the window.
    """
    wanted = {"kind": kind, "cutoffs": [timestamp(each) for each in cutoffs], "window_days": window_days, "least_days": least_days}
    return [Lacking(*row) for row in connection.execute(_LACKING, wanted)]


def last_versions(connection: Connection, kind: str, cutoffs: TimeArray) -> dict[tuple[datetime, str], int]:
    """The number of the last model of each cut-off and scope that has one."""
    query = (
        "select cutoff_at, scope, max(version) from core.model_version"
        " where kind = %s and cutoff_at = any(%s::timestamptz[]) group by cutoff_at, scope"
    )
    return {(cutoff_at, scope): version for cutoff_at, scope, version in connection.execute(query, (kind, [timestamp(each) for each in cutoffs]))}


def of_cutoffs(connection: Connection, kind: str, cutoffs: TimeArray) -> list[ModelVersion]:
    """The models of a kind that were trained at some cut-offs, by cut-off and object."""
    query = (
        "select model_id, uuid, kind, scope, cutoff_at, version, object_key, sha256 from core.model_version"
        " where kind = %s and cutoff_at = any(%s::timestamptz[]) order by cutoff_at, arrival, scope"
    )
    return [ModelVersion(*row) for row in connection.execute(query, (kind, [timestamp(each) for each in cutoffs]))]


def add(
    connection: Connection,
    file: SourceFile,
    *,
    uuid: UUID,
    kind: str,
    scope: str,
    cutoff_at: datetime,
    version: int,
    read: int,
    series_ids: Sequence[int],
    summary: Mapping[str, Any],
) -> None:
    """Add a model that has landed, with the series that it covers; call it with the clock held."""
    row = connection.execute(
        "insert into core.model_version (uuid, kind, scope, cutoff_at, version, arrival, object_key, sha256, bytes, read, summary, since)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, core.this_change()) returning model_id",
        (uuid, kind, scope, cutoff_at, version, file.arrival, file.key, file.sha256, file.bytes, read, orjson.dumps(summary).decode()),
    ).fetchone()
    assert row is not None
    connection.execute(
        "insert into core.model_series (model_id, series_id, since) select %s, series_id, core.this_change() from unnest(%s::int[]) as series_id",
        (row[0], list(series_ids)),
    )


def covered(connection: Connection, model_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Model -> natural id and number of the series that it covers, without those that were deleted since."""
    found: dict[int, dict[str, int]] = {number: {} for number in model_ids}
    query = "select model_id, natural_id, series_id from core.model_series join core.series using (series_id) where model_id = any(%s)"
    for model_id, natural_id, series_id in connection.execute(query, (list(model_ids),)):
        found[model_id][natural_id] = series_id
    return found


def numbers_of(connection: Connection, natural_ids: Iterable[str], without: Collection[str] = ()) -> dict[str, int]:
    """The numbers of series by natural id; `LookupError` where one is not known. Those of `without`, which were deleted, are left out."""
    names = [name for name in dict.fromkeys(natural_ids) if name not in without]
    known: dict[str, int] = dict(connection.execute("select natural_id, series_id from core.series where natural_id = any(%s)", (names,)).fetchall())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise LookupError(f"no file that is loaded names the series {', '.join(unknown[:5])}: load the files that arrived before this one first")
    return known


def ids_by_uuid(connection: Connection, uuids: Sequence[str]) -> dict[str, int]:
    """The numbers of models by their UUIDs, of those that are known."""
    return dict(connection.execute("select uuid::text, model_id from core.model_version where uuid = any(%s::uuid[])", (list(uuids),)).fetchall())


def by_series(connection: Connection, kind: str, cutoff: np.datetime64) -> dict[int, str]:
    """The UUID of the model of a kind and cut-off that covers each series."""
    query = (
        "select m.series_id, v.uuid::text from core.model_version as v join core.model_series as m using (model_id)"
        " where v.kind = %s and v.cutoff_at = %s::timestamptz"
    )
    return dict(connection.execute(query, (kind, timestamp(cutoff))).fetchall())


def counts(connection: Connection, cutoffs: Sequence[datetime]) -> dict[str, int]:
    """How many models were trained at each of some cut-offs, by day."""
    query = "select (cutoff_at at time zone 'UTC')::date::text, count(*) from core.model_version where cutoff_at = any(%s) group by 1"
    return dict(connection.execute(query, (list(cutoffs),)).fetchall())
