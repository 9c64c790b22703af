"""When sensors were switched on and off, as messages said; of one sensor and time the latest arrival holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from water_pipelines.domain.sensor_states import States
from water_pipelines.storage.database import Connection

Said = tuple[str, datetime, bool, str | None]
"""Natural id of a series, from when on, whether it is on, and why."""

_READ = """
select distinct on (series_id, at) series_id, at::timestamp, is_active from core.sensor_state order by series_id, at, arrival desc
"""


def record(connection: Connection, arrival: int, said: Sequence[Said], series_ids: Mapping[str, int], *, without: Sequence[int] = ()) -> list[int]:
    """Write what a file says of sensors, and drop what the arrivals `without` said; call it with the clock held.

    Returns
    -------
    Numbers of the series whose states may differ now. A series that was deleted is left out.
    """
    dropped = connection.execute("delete from core.sensor_state where arrival = any(%s) returning series_id", ([arrival, *without],)).fetchall()
    rows = {(series_ids[name], at): (is_active, reason) for name, at, is_active, reason in said if name in series_ids}
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into core.sensor_state (series_id, at, arrival, is_active, reason, since) values (%s, %s, %s, %s, %s, core.this_change())",
            [(number, at, arrival, is_active, reason) for (number, at), (is_active, reason) in rows.items()],
        )
    return sorted({number for (number,) in dropped} | {number for number, _ in rows})


def read(connection: Connection) -> States:
    """All states, in the order of series and time."""
    found = connection.execute(_READ).fetchall()
    series, at, is_active = zip(*found, strict=True) if found else ((), (), ())
    return States(np.array(series, dtype=np.int32), np.array(at, dtype="datetime64[us]"), np.array(is_active, dtype=np.bool_))
