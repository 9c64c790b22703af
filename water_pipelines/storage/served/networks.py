"""Water networks by zone and property, half-hour by half-hour, as the mart holds them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from psycopg import sql

from water_pipelines.storage.served.reading import Reading

_LATEST = """
select distinct on (n.network, n.zone, n.property) n.network, n.zone, n.property, n.unit, n.start_at as time, n.series, n.mean, n.minimum, n.maximum,
    n.sum, n.volume, n.completeness
from {network} as n where n.start_at >= %(first)s and n.start_at <= %(last)s order by n.network, n.zone, n.property, n.start_at desc
"""


def latest(reading: Reading) -> list[dict[str, Any]]:
    """The last half-hour of each network, zone and property that was closed at the last tick, at most a day before it."""
    tick = reading.tick()
    if tick is None:
        return []
    query = sql.SQL(_LATEST).format(network=reading.table("mart.network_30min"))
    return reading.rows(query, {"first": tick - timedelta(days=1), "last": tick - timedelta(minutes=30)})
