"""Values of one series with their flags, in pages by time.

The flag of a value is what `storage/observations.py` says it is; the two are held against each other by a test.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.flags import GOOD, MISSING, NOT_EVALUATED
from water_pipelines.storage.served.columns import Columns, as_datetime, midnight, page_of, read_columns
from water_pipelines.storage.served.reading import Reading

_FIND_DAYS = "select min(d.day) as first, max(d.day) as last from {days} as d where d.series_id = %(series)s"

_VALUES = """
select o.time, o.value, o.load_id, o.qualifier_id from {observations} as o where o.series_id = %(series)s and o.time >= %(start)s and o.time < %(end)s
order by o.time limit %(limit)s
"""

_FLAGS = """
select f.time, f.flag, f.failed, f.not_run from {flags} as f
where f.series_id = %(series)s and f.time >= %(start)s and f.time <= %(last)s order by f.time
"""

_EVALUATIONS = """
select e.day, e.read from {evaluations} as e
where e.series_id = %(series)s and e.day >= (%(start)s at time zone 'UTC')::date and e.day <= (%(last)s at time zone 'UTC')::date order by e.day
"""

_CHANGES = "select l.load_id, l.change from raw.load as l where l.load_id = any(%(loads)s)"

_QUALIFIERS = "select q.qualifier_id, q.text from core.qualifier as q where q.qualifier_id = any(%(numbers)s)"

INCLUDES = ("qualifier", "failed", "not_run")
NOT_JUDGED = -1
"""The bits of the tests that a value failed, where it has not been evaluated."""

_EMPTY: Columns = {"time": np.empty(0, dtype="datetime64[us]"), "value": np.empty(0), "flag": np.empty(0, dtype=np.int16)}
_NOTHING: Columns = {"qualifier": np.empty(0, dtype=np.int16), "failed": np.empty(0, dtype=np.int32), "not_run": np.empty(0, dtype=np.int32)}


def read(
    reading: Reading,
    series_id: int,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    flags: Collection[int] = (),
    include: Collection[str] = (),
) -> tuple[Columns, datetime | None]:
    """The values of a series within [start, end), in the order of time; and the time to go on from where there are more than `limit`.

    Parameters
    ----------
    flags : only values with one of these flags; empty means all.
    include : which of `INCLUDES` to read beside each value.

    Returns
    -------
    `time` datetime64[us] (UTC), `value` float64 (NaN where the source says missing), `flag` int16; where included `qualifier` (object: the
    source's text, or none), `failed` and `not_run` int32 (bits of `domain.flags.Test`, `NOT_JUDGED`); and the start of the next page.
    """
    days = reading.row(sql.SQL(_FIND_DAYS).format(days=reading.loaded_days), {"series": series_id})
    assert days is not None
    empty = {**_EMPTY, **{name: _NOTHING[name] for name in INCLUDES if name in include}}
    if days["first"] is None:
        return empty, None
    # the planner opens every year's partition unless it sees bounds
    begin, stop = midnight(days["first"]), midnight(days["last"]) + timedelta(days=1)
    begin, stop = max(begin, start or begin), min(stop, end or stop)
    parts, kept = [empty], 0
    while begin < stop and kept <= limit:
        values = _flagged(reading, series_id, begin, stop, limit + 1, empty)
        part = _of_flags(values, flags) if flags else values
        parts.append(part)
        kept += len(part["time"])
        if len(values["time"]) <= limit:
            break
        begin = as_datetime(values["time"][-1]) + timedelta(microseconds=1)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in empty} if len(parts) > 2 else parts[-1]
    (page,), following = page_of([joined], limit)
    if "qualifier" in page:
        page["qualifier"] = _texts(reading, page["qualifier"])
    return page, following


def _flagged(reading: Reading, series_id: int, start: datetime, end: datetime, limit: int, empty: Columns) -> Columns:
    values = read_columns(
        reading,
        sql.SQL(_VALUES).format(observations=reading.observations),
        {"time": "time", "value": "value", "load_id": "load_id", **({"qualifier": "qualifier_id"} if "qualifier" in empty else {})},
        {"series": series_id, "start": start, "end": end, "limit": limit},
    )
    time, value = values["time"], values["value"]
    if len(time) == 0:
        return empty
    window = {"series": series_id, "start": start, "last": as_datetime(time[-1])}
    evaluations = read_columns(
        reading,
        sql.SQL(_EVALUATIONS).format(evaluations=reading.table("core.evaluation")),
        {"day": "day - date '1970-01-01'", "read": "read"},
        window,
    )
    tests = [name for name in ("failed", "not_run") if name in empty]
    flags = read_columns(
        reading,
        sql.SQL(_FLAGS).format(flags=reading.table("core.observation_flag")),
        {"time": "time", "flag": "flag", **{name: name for name in tests}},
        window,
    )
    is_judged = _changes(reading, values["load_id"]) <= _looked_up(evaluations, time)
    flag = np.where(is_judged, GOOD, NOT_EVALUATED).astype(np.int16)
    flag[np.isnan(value)] = MISSING
    position = np.minimum(np.searchsorted(time, flags["time"]), len(time) - 1)
    matches = time[position] == flags["time"]
    flag[position[matches]] = flags["flag"][matches]
    found = {"time": time, "value": value, "flag": flag}
    for name in tests:
        found[name] = np.where(is_judged, 0, NOT_JUDGED).astype(np.int32)
        found[name][position[matches]] = flags[name][matches]
    return {name: found.get(name, values.get(name)) for name in empty}  # type: ignore[misc]  # each is in one of the two


def _texts(reading: Reading, numbers: NDArray[np.int16]) -> NDArray[np.object_]:
    """What sources wrote beside values; none for the number 0."""
    known, position = np.unique(numbers, return_inverse=True)
    texts = {row["qualifier_id"]: row["text"] for row in reading.rows(sql.SQL(_QUALIFIERS), {"numbers": known.tolist()})}
    return np.array([texts.get(number) for number in known.tolist()], dtype=object)[position]


def _looked_up(evaluations: Columns, time: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """The change that the evaluation of each value's day has read; -1 where the day was not evaluated."""
    if len(evaluations["day"]) == 0:
        return np.full(len(time), -1, dtype=np.int64)
    day = time.astype("datetime64[D]").astype(np.int64)
    position = np.minimum(np.searchsorted(evaluations["day"], day), len(evaluations["day"]) - 1)
    return np.where(evaluations["day"][position] == day, evaluations["read"][position], -1)


def _changes(reading: Reading, load_ids: NDArray[np.int32]) -> NDArray[np.int64]:
    """The change by which each value was loaded."""
    names, position = np.unique(load_ids, return_inverse=True)
    changes = {row["load_id"]: row["change"] for row in reading.rows(sql.SQL(_CHANGES), {"loads": names.tolist()})}
    return np.array([changes[name] for name in names.tolist()], dtype=np.int64)[position]


def _of_flags(values: Columns, flags: Collection[int]) -> Columns:
    kept = np.isin(values["flag"], list(flags))
    return {name: column[kept] for name, column in values.items()}
