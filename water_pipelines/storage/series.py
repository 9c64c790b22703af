"""What the assets need to know of series: their property, unit, station and expected interval."""

from __future__ import annotations

from dataclasses import dataclass

from water_pipelines.storage.database import Connection


@dataclass(frozen=True)
class Series:
    """A series with the natural ids by which rules and people call it."""

    series_id: int
    natural_id: str
    station: str
    observed_property: str
    unit: str | None
    interval_s: float | None
    time_zone: str | None
    network: str | None
    zone: str | None


def read_all(connection: Connection) -> list[Series]:
    """All series, by number."""
    query = (
        "select s.series_id, s.natural_id, t.natural_id, s.property, s.unit, s.interval_s,"
        " coalesce(s.properties ->> 'time_zone', t.time_zone), t.network, t.zone"
        " from core.series as s join core.station as t using (station_id) order by s.series_id"
    )
    return [Series(*row) for row in connection.execute(query)]
