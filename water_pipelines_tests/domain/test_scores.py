"""Scores: what each measure is, what is skipped, and when a model may be served."""

from __future__ import annotations

import numpy as np
import pytest

from water_pipelines.domain.forecasts import HOUR, QUANTILES, Forecast, Hourly
from water_pipelines.domain.scores import BUCKETS, Scores, beats_baseline, joined, score

ISSUE = np.datetime64("2024-05-13T00", "h")


def issued(middle: float, spread: float = 2.0, leads: int = 168, issue: np.datetime64 = ISSUE, series: int = 1) -> Forecast:
    """A flat forecast whose quantiles are `spread` apart."""
    lead = np.arange(1, leads + 1, dtype=np.int16)
    quantile = np.tile(middle + spread * (np.arange(len(QUANTILES)) - 3), (leads, 1))
    return Forecast(np.full(leads, series, np.int32), issue, lead, issue + (lead - 1) * HOUR, quantile)


def true(value: float, hours: int = 168, series: int = 1, issue: np.datetime64 = ISSUE) -> Hourly:
    return Hourly(np.array([series], np.int32), issue, np.full((1, hours), value))


def test_each_lead_bucket_has_its_measures() -> None:
    """A forecast of 10 (interval 4 to 16) of a truth of 13: error 3, covered, 12 wide, in each of the four buckets."""
    scores = score(issued(10.0), true(13.0))
    assert list(zip(scores.lead_from_h.tolist(), scores.lead_to_h.tolist(), strict=True)) == list(BUCKETS)
    assert scores.count.tolist() == [6, 18, 48, 96]
    np.testing.assert_allclose(scores.mae, 3.0)
    np.testing.assert_allclose(scores.coverage, 1.0)
    np.testing.assert_allclose(scores.width, 12.0)
    assert np.isnan(scores.skill).all()


def test_the_crps_is_twice_the_mean_quantile_loss() -> None:
    """For a truth of 13 against 4, 6, 8, 10, 12, 14, 16 the losses are q times the distance above, 1 - q times below."""
    distance = 13.0 - np.array([4, 6, 8, 10, 12, 14, 16])
    level = np.array(QUANTILES)
    expected = 2 * np.mean(np.where(distance > 0, level * distance, (level - 1) * distance))
    np.testing.assert_allclose(score(issued(10.0), true(13.0)).crps, expected)


def test_the_ends_of_the_interval_are_within_it() -> None:
    """A truth on the upper limit is covered, one beyond it is not."""
    assert score(issued(10.0), true(16.0)).coverage.tolist() == [1.0] * 4
    assert score(issued(10.0), true(16.1)).coverage.tolist() == [0.0] * 4


def test_a_missing_truth_is_skipped_and_counted() -> None:
    """Three of the first six hours are missing, and all from the third day on are not known yet."""
    truth = true(13.0, hours=48)
    truth.value[0, :3] = np.nan
    scores = score(issued(10.0), truth)
    assert scores.count.tolist() == [3, 18, 24, 0]
    assert scores.missing.tolist() == [3, 0, 24, 96]
    np.testing.assert_allclose(scores.mae[:3], 3.0)
    assert np.isnan(scores.mae[3])


def test_a_series_without_truth_is_all_missing() -> None:
    """The truth of another series is no truth."""
    scores = score(issued(10.0, series=2), true(13.0))
    assert scores.count.sum() == 0
    assert scores.missing.sum() == 168


def test_skill_compares_with_the_baseline_of_the_same_issue() -> None:
    """An error of 1 against the baseline's 4 is a skill of 0.75; a baseline of another day is refused."""
    scores = score(issued(12.0), true(13.0), issued(9.0))
    np.testing.assert_allclose(scores.skill, 0.75)
    with pytest.raises(ValueError, match="of that time"):
        score(issued(12.0), true(13.0), issued(9.0, issue=ISSUE + HOUR))


def test_scores_of_several_issues_are_sorted() -> None:
    """Joined in any order, the rows are by series, issue and lead."""
    later = score(issued(1.0, issue=ISSUE + 24 * HOUR), true(1.0))
    scores = joined([later, score(issued(1.0, series=2), true(1.0, series=2)), score(issued(1.0), true(1.0))])
    assert scores.series.tolist() == [1] * 8 + [2] * 4
    assert scores.issue[:8].tolist() == sorted(scores.issue[:8].tolist())


def days_of(middle: float, spread: float, days: int, series: int = 1) -> Scores:
    """Scores of so many daily issues of a flat forecast of a truth of 10."""
    issues = [ISSUE + day * 24 * HOUR for day in range(days)]
    return joined([score(issued(middle, spread, issue=issue, series=series), true(10.0, series=series, issue=issue)) for issue in issues])


@pytest.mark.parametrize(
    ("middle", "spread", "days", "served"),
    [
        (10.5, 2.0, 14, True),
        (10.5, 2.0, 13, False),  # too few issues to know
        (13.5, 2.0, 14, False),  # a larger error
        (10.5, 9.0, 14, False),  # a better middle in a useless interval
        (12.0, 2.0, 14, False),  # no better is not better
    ],
)
def test_a_model_is_served_when_error_and_interval_are_better_on_enough_issues(middle: float, spread: float, days: int, served: bool) -> None:
    """Against a baseline that is 2 off, a model must have a smaller error and a smaller CRPS on at least 14 issues."""
    assert beats_baseline(days_of(middle, spread, days), days_of(12.0, 2.0, 20)) == {1: served}


def test_each_series_is_decided_by_itself_and_only_where_both_scored() -> None:
    """Series 2 has no baseline to beat: it is not served, and does not disturb series 1."""
    model = joined([days_of(10.5, 2.0, 14), days_of(10.5, 2.0, 14, series=2)])
    assert beats_baseline(model, days_of(12.0, 2.0, 14)) == {1: True, 2: False}
