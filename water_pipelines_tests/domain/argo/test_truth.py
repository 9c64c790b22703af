"""Our flags against what the data centres recorded: agreement does not fall, and no disagreement is without a cause."""

from pathlib import Path

from water_pipelines.domain.argo.flags import RealTimeTest
from water_pipelines_tests import argo_truth
from water_pipelines_tests.shared_data import shared

LEAST = {
    RealTimeTest.GLOBAL_RANGE: 0.97,
    RealTimeTest.PRESSURE_INCREASING: 0.94,
    RealTimeTest.SPIKE: 0.975,
    RealTimeTest.DIGIT_ROLLOVER: 0.955,
    RealTimeTest.STUCK_VALUE: 0.935,
    RealTimeTest.DENSITY: 0.94,
}


def test_records_of_the_data_centres_are_met() -> None:
    """By the rule of the day at least as often as measured; by what the programs do in 99 % of the casts whose files hold what was tested."""
    agreements, disagreements = argo_truth.compare(argo_truth.read_folder(shared("argo")))
    for test, each in agreements.items():
        assert each.compared > 100, test
        assert each.share >= LEAST[test], test
        assert each.share_of_held >= 0.99, test
    assert [found for found in disagreements if found.cause == argo_truth.UNEXPLAINED] == []
    page = (Path(__file__).parents[3] / "docs" / "argo.md").read_text()
    assert argo_truth.report(agreements, disagreements) in page
