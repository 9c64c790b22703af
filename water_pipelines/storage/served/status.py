"""How much there is: stations, series, observations, files by status, what each asset has computed or has still to compute, and live sources."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from water_pipelines.storage.served.reading import Reading

_COUNTED_UP_TO_BYTES = 2 * 1024**3  # some 30 million rows, which PostgreSQL counts in seconds; beyond that an estimate must do

_TOTALS = """
select (select count(*) from core.station) as stations, (select count(*) from core.series) as series,
    (select count(*) from core.station where network is not null) as nodes, (select max(recorded_at) from core.change) as changed_at
"""

_SIZE = """
select coalesce(sum(pg_relation_size(inhrelid)), 0)::bigint as bytes, coalesce(sum(greatest(reltuples, 0)), 0)::bigint as rows
from pg_inherits join pg_class on pg_class.oid = inhrelid where inhparent = 'core.observation'::regclass
"""

_FILES = """
select status, count(*) as files from raw.source_file where withdrawn_at is null or status not in ('failed', 'quarantined') group by status
"""
"""What was set aside and then withdrawn, or loaded under a mended mapping, waits for nobody."""

_STAGES = """
select asset, coalesce(c.units, 0) as computed_units, coalesce(c.rows, 0)::bigint as rows, c.made as last_change, c.computed_at,
    coalesce(s.units, 0) as stale_units
from (select asset, count(*) as units, sum(rows) as rows, max(made) as made, max(computed_at) as computed_at from core.computed group by asset) as c
full join (select asset, count(*) as units from core.stale group by asset) as s using (asset)
order by asset
"""

_SOURCES = """
select p.server as name, 'sensorthings' as kind, v.said ->> 'url' as url,
    case
        when p.reached_at is null and p.error is null then 'waiting'
        when p.reached_at is null then 'unreached'
        when p.failures > 0 and clock_timestamp() > p.reached_at + greatest(3 * p.interval_s, 60) * interval '1 second' then 'stale'
        else 'following'
    end as state,
    p.reached_at, p.tried_at, p.due_at as next_at, p.failures, p.error, p.requests
from raw.sensorthings_server as v join raw.sensorthings_poll as p using (server) order by p.server
"""
"""A source that is asked is stale when it has not answered for three intervals; a poll that is merely late says nothing of the source."""


def read(reading: Reading) -> dict[str, Any]:
    """The counts of everything, and each asset's ledger."""
    totals = reading.row(sql.SQL(_TOTALS))
    assert totals is not None
    observations, is_estimate = _observations(reading)
    return {
        "change": reading.number,
        "changed_at": totals["changed_at"],
        "tick_at": reading.tick(),
        "stations": totals["stations"],
        "nodes": totals["nodes"],
        "series": totals["series"],
        "observations": observations,
        "observations_are_estimated": is_estimate,
        "files": {
            "pending": 0,
            "running": 0,
            "succeeded": 0,
            "failed": 0,
            "quarantined": 0,
            **{row["status"]: row["files"] for row in reading.rows(sql.SQL(_FILES))},
        },
        "stages": reading.rows(sql.SQL(_STAGES)),
        "sources": reading.rows(sql.SQL(_SOURCES)),
    }


def _observations(reading: Reading) -> tuple[int, bool]:
    size = reading.row(sql.SQL(_SIZE))
    assert size is not None
    if size["bytes"] > _COUNTED_UP_TO_BYTES:
        return size["rows"], True
    counted = reading.row(sql.SQL("select count(*) as rows from core.observation"))
    assert counted is not None
    return counted["rows"], False
