"""Reach: which days a change can affect, and what must be read to compute them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from water_pipelines.domain.reach import SAME_DAY, Reach, affected_days, margin
from water_pipelines.domain.series import TimeArray


def times(*text: str) -> np.ndarray:
    return np.array(text, dtype="datetime64[us]")


def days(*text: str) -> np.ndarray:
    return np.array(text, dtype="datetime64[D]")


HOUR_BACK_QUARTER_AHEAD = Reach(np.timedelta64(1, "h"), np.timedelta64(15, "m"))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2024-03-01T12:00", ["2024-03-01"]),
        ("2024-03-01T23:00", ["2024-03-01", "2024-03-02"]),  # judged at 00:00 with what is exactly an hour back
        ("2024-03-01T22:59:59.999999", ["2024-03-01"]),
        ("2024-03-01T00:14:59.999999", ["2024-02-29", "2024-03-01"]),
        ("2024-03-01T00:15", ["2024-03-01"]),  # exactly a quarter ahead of 00:00, which is of this day
    ],
)
def test_a_change_affects_the_days_whose_outputs_read_it(at: str, expected: list[str]) -> None:
    """Both ends of the reach are included, to the microsecond."""
    assert affected_days(times(at), times(at), HOUR_BACK_QUARTER_AHEAD).tolist() == days(*expected).tolist()


def test_long_stretches_fill_the_days_between_and_scattered_ones_do_not() -> None:
    """Three stretches, two of which overlap, are the union of their days, sorted, before 1970 too."""
    first = times("2024-03-05T06:00", "1969-12-31T23:30", "2024-03-06T01:00")
    last = times("2024-03-06T12:00", "1969-12-31T23:40", "2024-03-07T01:00")
    expected = days("1969-12-31", "1970-01-01", "2024-03-05", "2024-03-06", "2024-03-07")
    assert affected_days(first, last, HOUR_BACK_QUARTER_AHEAD).tolist() == expected.tolist()


def test_nothing_changed_affects_nothing() -> None:
    """No stretch gives no day, and no day needs no window."""
    assert len(affected_days(times(), times(), HOUR_BACK_QUARTER_AHEAD)) == 0
    assert margin(days(), HOUR_BACK_QUARTER_AHEAD) == []


def test_windows_of_neighbouring_days_are_one() -> None:
    """Days are read once, with one margin around a stretch of them."""
    windows = margin(days("2024-03-09", "2024-03-02", "2024-03-01"), HOUR_BACK_QUARTER_AHEAD)
    assert [tuple(map(str, window)) for window in windows] == [
        ("2024-02-29T23:00:00.000000", "2024-03-03T00:15:00.000000"),
        ("2024-03-08T23:00:00.000000", "2024-03-10T00:15:00.000000"),
    ]


def test_the_smaller_of_two_reaches_is_covered_by_their_union() -> None:
    """A union looks as far as either, each way."""
    assert (Reach(np.timedelta64(1, "h"), np.timedelta64(0, "s")) | HOUR_BACK_QUARTER_AHEAD | SAME_DAY) == HOUR_BACK_QUARTER_AHEAD


def test_impossible_reaches_and_stretches_are_refused() -> None:
    """A negative reach and a stretch that ends before it begins are errors, never an empty answer."""
    with pytest.raises(ValueError, match="looks_back of a reach must not be negative"):
        Reach(np.timedelta64(-1, "s"), np.timedelta64(0, "s"))
    with pytest.raises(ValueError, match="must not end before it begins"):
        affected_days(times("2024-03-02"), times("2024-03-01"), SAME_DAY)
    with pytest.raises(ValueError, match="must have both times"):
        affected_days(times("NaT"), times("2024-03-01"), SAME_DAY)


@settings(deadline=None)
@given(at=st.integers(0, 10 * 86400), back=st.integers(0, 3 * 86400), ahead=st.integers(0, 3 * 86400))
def test_affected_days_are_those_whose_margin_holds_the_change(at: int, back: int, ahead: int) -> None:
    """A day is affected exactly when the window that must be read for it contains the changed input."""
    reach = Reach(np.timedelta64(back, "s"), np.timedelta64(ahead, "s"))
    changed: TimeArray = (times("2024-02-27").astype(np.int64) + at * 1_000_000).astype("datetime64[us]")
    candidates = np.datetime64("2024-02-20") + np.arange(25)
    expected = [day for day in candidates if (window := margin(np.array([day]), reach)[0])[0] <= changed[0] < window[1]]
    assert affected_days(changed, changed, reach).tolist() == np.array(expected).tolist()
