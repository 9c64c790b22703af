"""Pulling a real SensorThings server: what is stored of it after each poll."""

from __future__ import annotations

from datetime import timedelta

from water_pipelines.orchestration.resources import Platform
from water_pipelines_tests.live.following import NOW, follow, landed, pulled, series_of, values
from water_pipelines_tests.live.servers import DjangoServer


def agency(server: DjangoServer, **more: object) -> dict[str, object]:
    """A server as a configuration names it."""
    return {"name": "agency", "url": server.url, "station_id": "properties.station_id", "reconcile": {"window": "2d", "every": "1h"}, **more}


def test_nothing_is_missed_and_nothing_comes_twice(platform: Platform, django: DjangoServer) -> None:
    """New, late, corrected and deleted observations reach the store; a poll without news makes one request and lands nothing."""
    mill = django.add_thing("MILL", "Water level", "Discharge")
    django.add(mill["Water level"], [("2026-10-31T12:00:00.250Z", 1.0), ("2026-10-31T13:00:00Z", 2.0)])
    follow(platform, agency(django))
    pulled(platform)
    assert series_of(platform) == ["MILL/discharge", "MILL/water_level"]
    assert values(platform, "MILL/water_level") == [("2026-10-31T12:00:00.25", 1.0), ("2026-10-31T13:00:00", 2.0)]

    assert pulled(platform).changes == 0  # the last half minute is asked for again: its transactions may not all have been committed
    pages = landed(platform)
    quiet = pulled(platform)
    assert (quiet.requests, quiet.changes, landed(platform)) == (1, 0, pages)

    late = django.add(mill["Water level"], [("2020-01-01T00:00:00Z", 7.0)])
    django.add(mill["Discharge"], [("2026-10-31T14:00:00Z", 3.0)])
    assert pulled(platform).changes == 2
    assert values(platform, "MILL/water_level")[0] == ("2020-01-01T00:00:00", 7.0)

    first, second, third = django.add(
        mill["Discharge"], [("2026-11-01T00:00:00Z", 10.0), ("2026-11-01T00:15:00Z", 11.0), ("2026-11-01T00:30:00Z", 12.0)]
    )
    assert pulled(platform).changes == 3
    django.correct(first, 10.5)
    django.delete(second)
    hour_later = NOW + timedelta(hours=1)
    corrected = pulled(platform, at=hour_later)
    assert corrected.changes == 2
    assert values(platform, "MILL/discharge") == [("2026-10-31T14:00:00", 3.0), ("2026-11-01T00:00:00", 10.5), ("2026-11-01T00:30:00", 12.0)]
    django.correct(first, 10.0)
    assert pulled(platform, at=hour_later + timedelta(hours=1)).changes == 1
    assert values(platform, "MILL/discharge")[1] == ("2026-11-01T00:00:00", 10.0)
    assert late
    assert third
