"""Sensors of facilities as they are served: each a series, with whether it is switched on, now and at each of its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from water_pipelines.domain.sensor_states import States, is_inactive
from water_pipelines.storage.served.reading import Reading

ACTIVE, INACTIVE = "active", "inactive"

_STATES = """
select distinct on (s.series_id, s.at) s.series_id, s.at, s.at::timestamp as time, s.is_active, s.reason, f.arrived_at
from {states} as s join raw.source_file as f using (arrival) where s.series_id = any(%(ids)s) order by s.series_id, s.at, s.arrival desc
"""


def with_states(reading: Reading, series: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Series, each with the `state` of its sensor, since when (`state_at`) and why (`state_reason`).

    A state that was announced for a time to come counts when a tick has reached it.
    """
    tick = reading.tick()
    last: dict[int, dict[str, Any]] = {
        each["series_id"]: each
        for each in _states(reading, [each["series_id"] for each in series])
        if each["at"] <= each["arrived_at"] or (tick is not None and each["at"] <= tick)
    }
    return [{**each, **_state(last.get(each["series_id"]))} for each in series]


def states_at(reading: Reading, series_id: int, time: NDArray[np.datetime64]) -> list[str]:
    """The state of a sensor at some times, which are sorted."""
    found = _states(reading, [series_id])
    states = States(
        np.full(len(found), series_id, dtype=np.int32),
        np.array([each["time"] for each in found], dtype="datetime64[us]"),
        np.array([each["is_active"] for each in found], dtype=np.bool_),
    )
    was_off = is_inactive(np.full(len(time), series_id, dtype=np.int32), time, states)
    return [INACTIVE if each else ACTIVE for each in was_off.tolist()]


def _states(reading: Reading, ids: Sequence[int]) -> list[dict[str, Any]]:
    return reading.rows(sql.SQL(_STATES).format(states=reading.table("core.sensor_state")), {"ids": list(ids)})


def _state(last: dict[str, Any] | None) -> dict[str, Any]:
    if last is None:
        return {"state": ACTIVE, "state_at": None, "state_reason": None}
    return {"state": ACTIVE if last["is_active"] else INACTIVE, "state_at": last["at"], "state_reason": last["reason"]}
