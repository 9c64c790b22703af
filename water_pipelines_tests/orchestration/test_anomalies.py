"""Anomalies: segments by day that follow from data and dated bands, whatever the order of runs, and the events that they make up."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import compute_units
from water_pipelines.storage import stale
from water_pipelines_tests.orchestration.histories import DAY, HOUR, START, demand, load, rows, settled, tick_at

WEEKS_8 = 56
FAULT = START + 50 * DAY + 20 * HOUR  # a Tuesday, 20:00


def at(time: np.datetime64) -> datetime:
    """A UTC time as the database gives it."""
    moment: datetime = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


def with_fault(days: int = WEEKS_8) -> tuple[np.ndarray, np.ndarray]:
    """Demand with 40 m3/h too much from 20:00 for nine hours, over midnight."""
    time, value = demand(days)
    value[(time >= FAULT) & (time < FAULT + 9 * HOUR)] += 40
    return time, value


def test_a_fault_over_midnight_is_two_segments_and_one_event(platform: Platform) -> None:
    """A burst from 20:00 to 05:00 leaves a segment on each day; the event has its whole length, the worst score and the band it left."""
    load(platform, "flow.csv", "DMA", *with_fault())
    settled(platform)
    segments = rows(platform, "select start_at, end_at, score from core.anomaly where kind = 'outside_band' order by start_at")
    midnight = (FAULT + DAY).astype("datetime64[D]").astype("datetime64[us]")
    back = at(FAULT + 10 * HOUR)  # the step back at 05:00 is unusual beside its neighbours, too
    assert [(start, end) for start, end, _ in segments] == [(at(FAULT), at(midnight)), (at(midnight), back)]
    events = rows(
        platform, "select start_at, end_at, score, status, segments, observed > expected_high from core.anomaly_event where kind = 'outside_band'"
    )
    assert events == [(at(FAULT), back, max(float(str(score)) for *_, score in segments), "closed", 2, True)]


def test_an_event_is_open_until_later_data_arrives(platform: Platform) -> None:
    """A burst at the very end of the data is open; the next day's ordinary data closes it, without a row of its own being rewritten."""
    time, value = with_fault()
    cut = int((FAULT + 4 * HOUR - START) / HOUR)
    load(platform, "flow.csv", "DMA", time[:cut], value[:cut])
    settled(platform)
    query = "select status from core.anomaly_event where kind = 'outside_band'"
    assert rows(platform, query) == [("open",)]
    ordinary = demand(WEEKS_8)[1]
    load(platform, "later.csv", "DMA", time[cut:], ordinary[cut:])
    settled(platform)
    assert rows(platform, query) == [("closed",)]


def test_a_late_value_recomputes_the_days_that_it_can_affect_and_no_other(platform: Platform) -> None:
    """A value at 12:00 that arrives late is within 24 h after and 15 h before three days; computing everything again then changes nothing."""
    time, value = with_fault()
    load(platform, "flow.csv", "DMA", time, value)
    settled(platform)
    late = np.array([START + 40 * DAY + 12 * HOUR])
    load(platform, "late.csv", "DMA", late, np.array([130.0]))
    units = settled(platform)
    day = late[0].astype("datetime64[D]")
    assert units["core/anomaly"] == [str(day - 1), str(day), str(day + 1)]
    assert rows(platform, "select observed from core.anomaly where kind = 'outside_band' order by start_at")[0] == (130.0,)
    every = np.arange(START, START + (WEEKS_8 + 2) * DAY, DAY).astype("datetime64[D]")
    assert compute_units(platform, "core/anomaly", every).written == {}
    assert "core/model_version" not in units, "late data never trains a past cut-off again"


@pytest.mark.parametrize("together", [True, False])
def test_missing_data_is_judged_as_of_the_tick_from_before_midnight_on(platform: Platform, together: bool) -> None:
    """The last hourly value is of 22:00; at 00:00 the gap is not long enough, at 01:00 it is, and belongs to the day before as well."""
    time, value = demand(WEEKS_8)
    load(platform, "flow.csv", "DMA", time[:-1], value[:-1])
    end = (START + WEEKS_8 * DAY).astype("datetime64[D]")
    tick_at(platform, f"{end}T00:00")
    if not together:
        settled(platform)
        assert rows(platform, "select 1 from core.anomaly where kind = 'missing_data'") == []
    tick_at(platform, f"{end}T01:00")
    settled(platform)
    segments = rows(platform, "select start_at, end_at, is_open, expected_low from core.anomaly where kind = 'missing_data' order by start_at")
    assert segments == [(at(end - HOUR), at(end), True, None), (at(end), at(end + HOUR), True, None)]
    assert rows(platform, "select segments, status from core.anomaly_event where kind = 'missing_data'") == [(2, "open")]


def test_a_first_tick_before_the_end_of_the_data_has_everything_judged_again(platform: Platform) -> None:
    """Without a tick, what is missing is judged as of the last value; a tick that lies before it ends that, also for the days after it."""
    for name, length in (("SHORT", 5), ("LONG", 9)):
        load(platform, f"{name}.csv", name, *demand(length))
    settled(platform)
    days = np.unique((START + np.arange(9) * DAY).astype("datetime64[D]"))
    query = "select count(*) > 0 from core.anomaly where kind = 'missing_data'"
    assert rows(platform, query) == [(True,)]
    tick_at(platform, str(START + 3 * DAY))
    settled(platform)
    assert rows(platform, query) == [(False,)]
    assert sum(compute_units(platform, "core/anomaly", days).written.values()) == 0


def test_days_that_were_judged_before_they_were_flagged_are_judged_again(platform: Platform) -> None:
    """Bands learn from flagged days: what is loaded between flags and anomalies stays stale, and its bands are trained when it is flagged."""
    load(platform, "flow.csv", "DMA", *with_fault())
    with platform.database.connection() as connection:
        waiting = stale.units(connection, "core/anomaly")
    compute_units(platform, "core/anomaly", np.array(waiting, dtype="datetime64[D]"))
    with platform.database.connection() as connection:
        assert stale.units(connection, "core/anomaly") == waiting
    settled(platform)
    assert rows(platform, "select count(*) > 0 from core.anomaly where kind = 'outside_band'") == [(True,)]


def test_days_are_judged_by_the_last_band_before_them(platform: Platform) -> None:
    """Every judged segment names a band of the last Monday at or before its day, of its own series' property."""
    load(platform, "flow.csv", "DMA", *with_fault())
    load(platform, "pressure.csv", "DMA", *demand(WEEKS_8, seed=2), property="pressure")
    settled(platform)
    found = rows(
        platform,
        "select distinct s.property = v.scope, date_trunc('week', a.day::timestamp) = v.cutoff_at at time zone 'UTC'"
        " from core.anomaly a join core.series s using (series_id) join core.model_version v using (model_id)",
    )
    assert found == [(True, True)]


def test_a_series_that_comes_later_gets_a_version_of_its_own_and_its_days_are_judged_by_it(platform: Platform) -> None:
    """A second series of a property arrives with its history: version 2 of each cut-off covers it alone, and version 1 stays as it is."""
    load(platform, "flow.csv", "DMA", *demand(WEEKS_8, seed=3))
    settled(platform)
    first = rows(platform, "select uuid, sha256 from core.model_version where kind = 'band' order by 1")
    load(platform, "other.csv", "OTHER", *with_fault())
    settled(platform)
    kept = rows(platform, "select uuid, sha256 from core.model_version where kind = 'band' and version = 1 order by 1")
    assert kept == first
    assert rows(
        platform,
        "select distinct s.natural_id from core.model_version join core.model_series using (model_id) join core.series s using (series_id)"
        " where core.model_version.kind = 'band' and version = 2",
    ) == [("OTHER/flow",)]
    judged = rows(
        platform,
        "select distinct v.version from core.anomaly a join core.series s using (series_id) join core.model_version v using (model_id)"
        " where s.natural_id = 'OTHER/flow' and a.kind = 'outside_band'",
    )
    assert judged == [(2,)]


def test_events_of_the_past_are_read_as_of_a_change(platform: Platform) -> None:
    """A correction takes an event away; as of the change before it, the event is still there."""
    time, value = with_fault()
    load(platform, "flow.csv", "DMA", time, value)
    settled(platform)
    (before,) = rows(platform, "select n from core.clock")[0]
    load(platform, "corrected.csv", "DMA", time, demand(WEEKS_8)[1])
    settled(platform)
    assert rows(platform, "select 1 from core.anomaly_event where kind = 'outside_band'") == []
    assert rows(platform, f"select segments from core.anomaly_event_as_of({before}) where kind = 'outside_band'") == [(2,)]
