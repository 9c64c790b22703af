"""Pulling a real SensorThings server: what is stored of it after each poll."""

from __future__ import annotations

from datetime import timedelta

from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.loading import load_file
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import source_files
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


def test_what_an_operator_withdraws_stays_withdrawn_until_the_server_says_something_new(platform: Platform, django: DjangoServer) -> None:
    """Pages, and then a window with a correction and a deletion, are withdrawn: comparisons leave them so, until the server corrects again."""
    mill = django.add_thing("MILL", "Water level")
    follow(platform, agency(django))
    pulled(platform)
    first, second, third = django.add(
        mill["Water level"], [("2026-11-01T00:00:00Z", 10.0), ("2026-11-01T00:15:00Z", 11.0), ("2026-11-01T00:30:00Z", 12.0)]
    )
    pulled(platform)
    go_by(platform)
    said = arrivals(platform, "observations")
    withdraw(platform, *said)
    pulled(platform, at=NOW + timedelta(hours=1))
    assert values(platform, "MILL/water_level") == []
    django.correct(first, 10.5)
    pulled(platform, at=NOW + timedelta(hours=2))
    assert values(platform, "MILL/water_level") == [("2026-11-01T00:00:00", 10.5)]

    acts.do(platform, acts.reinstatement(platform, [str(page) for page in said], reason="", at=NOW))
    django.correct(second, 11.5)
    django.delete(third)
    pulled(platform, at=NOW + timedelta(hours=3))
    assert [value for _, value in values(platform, "MILL/water_level")] == [10.5, 11.5]
    withdraw(platform, arrivals(platform, "window")[-1])
    pulled(platform, at=NOW + timedelta(hours=4))
    assert [value for _, value in values(platform, "MILL/water_level")] == [10.5, 11.0, 12.0]
    django.correct(second, 11.6)
    pulled(platform, at=NOW + timedelta(hours=5))
    django.correct(second, 11.5)
    pulled(platform, at=NOW + timedelta(hours=6))
    assert [value for _, value in values(platform, "MILL/water_level")] == [10.5, 11.5, 12.0]


def test_a_page_that_is_loaded_late_brings_nothing_back(platform: Platform, django: DjangoServer) -> None:
    """A page landed and failed, and one of its rows was deleted at the server: no comparison is made before it is loaded, and the next one covers
    what came since the last, however long ago. Where it was refused, and is retried after a comparison, the next poll compares again.
    """
    mill = django.add_thing("MILL", "Water level")
    kept, gone = django.add(mill["Water level"], [("2026-11-01T00:00:00Z", 10.0), ("2026-11-01T00:15:00Z", 11.0)])
    follow(platform, agency(django))
    pulled(platform)
    go_by(platform)
    pages = arrivals(platform, "observations")
    refuse(platform, pages, "failed")
    django.delete(gone)
    days_later = NOW + timedelta(days=9)
    pulled(platform, at=days_later)
    assert values(platform, "MILL/water_level") == []
    wait(platform, pages)
    pulled(platform, at=days_later)
    assert values(platform, "MILL/water_level") == [("2026-11-01T00:00:00", 10.0)]

    refuse(platform, pages, "quarantined")
    pulled(platform, at=days_later + timedelta(hours=1))
    assert values(platform, "MILL/water_level") == []
    wait(platform, pages)
    for page in pages:
        load_file(platform, page)
    pulled(platform, at=days_later + timedelta(minutes=61))
    assert values(platform, "MILL/water_level") == [("2026-11-01T00:00:00", 10.0)]
    assert kept


def arrivals(platform: Platform, what: str) -> list[int]:
    """The pages of a kind that landed, in order."""
    with platform.database.connection() as connection:
        return [row[0] for row in connection.execute("select arrival from raw.sensorthings_page where what = %s order by 1", (what,))]


def go_by(platform: Platform) -> None:
    """Let the cursor go by all there is, as it does when newer observations come: else the last half minute would be asked for again."""
    with platform.database.connection() as connection:
        query = "update raw.sensorthings_page set upto = jsonb_build_object('id', %s::text) where what = 'observations' and upto is not null"
        connection.execute(query, ("0ffffff0-0000-7000-8000-000000000000",))


def withdraw(platform: Platform, *arrivals: int, reason: str = "") -> None:
    """What `water withdraw` does."""
    acts.do(platform, acts.withdrawal(platform, [str(arrival) for arrival in arrivals], reason=reason, at=NOW))


def refuse(platform: Platform, pages: list[int], status: str) -> None:
    """Let pages, which arrived at `NOW`, have been refused when they were to be loaded."""
    withdraw(platform, *pages, reason=status)
    wait(platform, pages)
    with platform.database.connection() as connection:
        connection.execute("update raw.source_file set arrived_at = %s where arrival = any(%s)", (NOW, pages))
    for page in pages:
        source_files.refuse(platform.database, page, status=status, error="")


def wait(platform: Platform, arrivals: list[int]) -> None:
    """Let files wait for their load."""
    with platform.database.connection() as connection:
        source_files.reinstate(connection, arrivals)
