"""Expected bands: what they learn, what they ignore, and that their bytes are stable."""

from __future__ import annotations

import numpy as np
import pytest

from water_pipelines.domain.bands import WINDOW, Bands, fit_bands, latest_before
from water_pipelines.domain.series import Observations
from water_pipelines_tests.domain.signals import MONDAY, demand, observations, times

CUTOFF = MONDAY + np.timedelta64(12 * 7, "D")


def history(seed: int = 1, days: int = 13 * 7, series: int = 2) -> Observations:
    rng, time = np.random.default_rng(seed), times(days)
    return observations(time, [demand(time, rng, level=20.0 * (number + 1)) for number in range(series)])


def same(one: Bands, other: Bands) -> bool:
    return one.to_bytes() == other.to_bytes()


def test_the_centre_follows_hour_and_kind_of_day() -> None:
    """A demand of 17 by night and 23 by day, 2 less on Sunday, is expected to within 0.3."""
    bands = fit_bands(history(), CUTOFF)
    at = CUTOFF + np.array([4, 16, 6 * 24 + 16], dtype="timedelta64[h]")
    low, centre, high = bands.expected(np.ones(3, np.int32), at)
    np.testing.assert_allclose(centre, [17.0, 23.0, 21.0], atol=0.3)
    assert np.all(low < centre - 1.6)
    assert np.all(high > centre + 1.6)
    assert np.all(high - low < 10)


def test_a_week_like_the_others_lies_within_the_band() -> None:
    """Of the 672 values of the following ordinary week of two series none is outside."""
    ahead = history()
    ahead = ahead.take(ahead.time >= CUTOFF)
    low, _, high = fit_bands(history(), CUTOFF).expected(ahead.series, ahead.time)
    assert len(ahead) == 2 * 672
    assert np.all((ahead.value > low) & (ahead.value < high))


def test_nothing_at_or_after_the_cutoff_counts() -> None:
    """Other values from the cut-off on leave the bytes as they are."""
    every = history()
    changed = Observations(every.series, every.time, np.where(every.time >= CUTOFF, -999.0, every.value))
    assert same(fit_bands(every, CUTOFF), fit_bands(changed, CUTOFF))


def test_nothing_before_the_window_counts() -> None:
    """A history of 20 weeks gives the bands that its last twelve give."""
    every = history(days=20 * 7)
    cutoff = MONDAY + np.timedelta64(20 * 7, "D")
    assert same(fit_bands(every, cutoff), fit_bands(every.take(every.time >= cutoff - WINDOW), cutoff))


def test_values_flagged_suspect_bad_or_missing_do_not_count() -> None:
    """A week of nonsense that is flagged 3, 4 or 9 gives the bands of a week without data."""
    every = history()
    wrong = (every.time >= CUTOFF - np.timedelta64(14, "D")) & (every.time < CUTOFF - np.timedelta64(7, "D"))
    flag = np.where(wrong, np.resize(np.array([3, 4, 9], np.int8), len(every)), np.resize(np.array([1, 2], np.int8), len(every))).astype(np.int8)
    flagged = Observations(every.series, every.time, np.where(wrong, 1e6, every.value), flag)
    assert same(fit_bands(flagged, CUTOFF), fit_bands(every.take(~wrong), CUTOFF))


def test_one_wild_day_that_nobody_flagged_moves_the_centre_little() -> None:
    """A day at 500 in twelve weeks moves no expected value by more than 0.5, and the upper limit stays below 60."""
    every = history(series=1)
    wild = every.time.astype("datetime64[D]") == np.datetime64("2024-03-06")
    bands = fit_bands(Observations(every.series, every.time, np.where(wild, 500.0, every.value)), CUTOFF)
    plain = fit_bands(every, CUTOFF)
    np.testing.assert_allclose(bands.centre, plain.centre, atol=0.5)
    assert bands.expected(np.ones(1, np.int32), CUTOFF + np.array([16], "timedelta64[h]"))[2][0] < 60


def test_a_series_is_judged_as_if_it_were_alone() -> None:
    """The bands of a series do not depend on which others are fitted with it."""
    every = history(series=3)
    together, alone = fit_bands(every, CUTOFF), fit_bands(every.take(every.series == 2), CUTOFF)
    at = CUTOFF + np.arange(168).astype("timedelta64[h]")
    for one, other in zip(together.expected(np.full(168, 2, np.int32), at), alone.expected(np.full(168, 2, np.int32), at)):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("days", "why"),
    [(15, "too short"), (84, "constant")],
)
def test_a_series_with_nothing_to_learn_from_has_no_band(days: int, why: str) -> None:
    """Fifteen days are too few, and a value that never changed says nothing about its spread."""
    time = times(days, start=CUTOFF - np.timedelta64(days, "D"))
    values = np.full(len(time), 3.0) if why == "constant" else demand(time, np.random.default_rng(1))
    bands = fit_bands(observations(time, [values]), CUTOFF)
    assert len(bands.series) == 0
    assert np.isnan(bands.expected(np.ones(1, np.int32), time[:1])[1]).all()


def test_no_observations_give_no_bands() -> None:
    """An empty history is no error."""
    nothing = history().take(np.zeros(len(history()), dtype=np.bool_))
    assert len(fit_bands(nothing, CUTOFF).series) == 0


@pytest.mark.parametrize(("step_minutes", "per_day"), [(60, 24), (1440, 1)])
def test_slow_series_have_bands_too(step_minutes: int, per_day: int) -> None:
    """Hourly and daily values are expected to within 0.6 where they are measured."""
    time = times(13 * 7, step_minutes) + np.timedelta64(8 * 3_600_000_000, "us") * (step_minutes == 1440)
    every = observations(time, [demand(time, np.random.default_rng(3))])
    bands = fit_bands(every, CUTOFF)
    ahead = every.take(every.time >= CUTOFF)
    quiet = demand(ahead.time, np.random.default_rng(0), noise=0.0)
    assert bands.per_day.tolist() == [per_day]
    np.testing.assert_allclose(bands.expected(ahead.series, ahead.time)[1], quiet, atol=0.6)


def test_the_profile_follows_the_local_clock_through_the_change_of_time() -> None:
    """Learned in winter, the peak that is at 16:00 UTC in Rome's winter is expected at 15:00 UTC in summer."""
    start = np.datetime64("2024-01-08T00:00", "us")
    time = times(12 * 7, start=start)
    cutoff = start + np.timedelta64(12 * 7, "D")  # 1 April, the day after the change
    bands = fit_bands(observations(time, [demand(time, np.random.default_rng(2))]), cutoff, {1: "Europe/Rome"})
    day = cutoff + np.arange(96) * np.timedelta64(15, "m")
    peak = day[bands.expected(np.ones(96, np.int32), day)[1].argmax()]
    assert abs(peak - (cutoff + np.timedelta64(15, "h"))) <= np.timedelta64(60, "m")


def test_bytes_are_stable_and_bring_the_bands_back() -> None:
    """The same history gives the same bytes, and they give the same expectations."""
    bands = fit_bands(history(), CUTOFF, {1: "Europe/Rome"})
    again = Bands.from_bytes(bands.to_bytes())
    at = CUTOFF + np.arange(168).astype("timedelta64[h]")
    assert bands.to_bytes() == fit_bands(history(), CUTOFF, {1: "Europe/Rome"}).to_bytes()
    assert again.cutoff == CUTOFF
    assert again.zone.tolist() == ["Europe/Rome", "UTC"]
    np.testing.assert_array_equal(again.expected(np.ones(168, np.int32), at), bands.expected(np.ones(168, np.int32), at))


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x05\x06" + b"\x00" * 18])
def test_other_bytes_are_refused(data: bytes) -> None:
    """Bytes that are no bands raise an error that says what to do."""
    with pytest.raises(ValueError, match=r"from (its|their) cut-off"):
        Bands.from_bytes(data)


def test_a_day_uses_the_bands_of_the_monday_before_it() -> None:
    """Monday itself uses its own cut-off, Sunday the one six days before, and a week that was not fitted has none."""
    of_day = latest_before([fit_bands(history(), CUTOFF)])
    monday = CUTOFF.astype("datetime64[D]")
    found = [of_day(monday + np.timedelta64(days, "D")) for days in (-1, 0, 6, 7)]
    assert [each is not None for each in found] == [False, True, True, False]
