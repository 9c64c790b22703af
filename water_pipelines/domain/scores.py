"""Scores of forecasts: errors, quantile loss, coverage and skill, by series, issue and lead bucket; and who may be served.

Add a measure here when it compares a `Forecast` with what came true. Who is champion, and since when, is kept by the ledger that asks
`beats_baseline`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.forecasts import HOUR, QUANTILES, Forecast, Hourly
from water_pipelines.domain.series import BoolArray, FloatArray, Int32Array, TimeArray

BUCKETS = ((1, 6), (7, 24), (25, 72), (73, 168))
"""First and last lead of each bucket, in hours."""

LEAST_ISSUES = 14
_MIDDLE = QUANTILES.index(0.5)


@dataclass(frozen=True)
class Scores:
    """How good forecasts were; a row a series, issue and lead bucket.

    Parameters
    ----------
    series : int32[n]
        Ascending, then issue, then lead.
    issue : datetime64[h][n]
    lead_from_h, lead_to_h : int16[n]
        Of the bucket, both included.
    count : int32[n]
        Hours that were scored.
    missing : int32[n]
        Hours that were forecast but whose truth is missing, or not known yet: skipped.
    mae : float64[n]
        Mean absolute error of the median, in the series' unit; like all measures NaN where `count` is 0.
    crps : float64[n]
        Continuous ranked probability score, in the series' unit: twice the quantile (pinball) loss, averaged over the quantiles.
    coverage : float64[n]
        Share of truths within the 90 % interval, its ends included.
    width : float64[n]
        Mean width of the 90 % interval, in the series' unit.
    skill : float64[n]
        1 - mae / mae of the baseline on the hours that both forecast: 1 is perfect, 0 as good as the baseline. NaN without a baseline, or
        where the baseline was perfect.
    """

    series: Int32Array
    issue: TimeArray
    lead_from_h: NDArray[np.int16]
    lead_to_h: NDArray[np.int16]
    count: Int32Array
    missing: Int32Array
    mae: FloatArray
    crps: FloatArray
    coverage: FloatArray
    width: FloatArray
    skill: FloatArray

    def __len__(self) -> int:
        return len(self.series)


def score(forecast: Forecast, truth: Hourly, baseline: Forecast | None = None) -> Scores:
    """Score one issue of a forecast against what came true.

    Parameters
    ----------
    forecast : Forecast
    truth : Hourly
        As it is known now; NaN, or hours and series that are not in it, are skipped and counted.
    baseline : Forecast, optional
        Of the same issue.

    Raises
    ------
    ValueError
        When the baseline was issued at another time.
    """
    if baseline is not None and baseline.issue != forecast.issue:
        raise ValueError(f"a forecast issued at {forecast.issue} must be compared with a baseline of that time, not of {baseline.issue}")
    observed = _observed(forecast, truth)
    known = np.isfinite(observed)
    series, row = np.unique(forecast.series, return_inverse=True)
    bucket = np.searchsorted([last for _, last in BUCKETS], forecast.lead_h)
    cell, size = row * len(BUCKETS) + bucket, len(series) * len(BUCKETS)

    low, middle, high = (forecast.quantile[:, at] for at in (0, _MIDDLE, -1))
    error = np.abs(observed - middle)
    over = observed[:, None] - forecast.quantile
    level = np.array(QUANTILES)
    crps = 2 * np.maximum(level * over, (level - 1) * over).mean(axis=1)
    covered = (observed >= low) & (observed <= high)
    there = np.bincount(cell, minlength=size)
    count = np.bincount(cell[known], minlength=size)
    mae, mean_crps, coverage, width = (_mean(values, cell, known, size) for values in (error, crps, covered.astype(np.float64), high - low))
    skill = np.full(size, np.nan)
    if baseline is not None:
        other = np.abs(observed - _median_of(baseline, forecast))
        both = known & np.isfinite(other)
        ours, theirs = (_mean(values, cell, both, size) for values in (error, other))
        with np.errstate(invalid="ignore", divide="ignore"):
            skill = np.where(theirs > 0, 1 - ours / theirs, np.nan)
    bounds = np.tile(np.array(BUCKETS, dtype=np.int16), (len(series), 1))
    every = Scores(
        np.repeat(series, len(BUCKETS)),
        np.full(size, forecast.issue),
        bounds[:, 0],
        bounds[:, 1],
        count.astype(np.int32),
        (there - count).astype(np.int32),
        mae,
        mean_crps,
        coverage,
        width,
        skill,
    )
    return _take(every, there > 0)


def joined(scores: list[Scores]) -> Scores:
    """The scores of several issues as one, sorted by series, issue and lead.

    Raises
    ------
    ValueError
        When there are none.
    """
    every = Scores(**{field.name: np.concatenate([getattr(one, field.name) for one in scores]) for field in fields(Scores)})
    return _take(every, np.lexsort((every.lead_from_h, every.issue, every.series)))


def beats_baseline(model: Scores, baseline: Scores, least_issues: int = LEAST_ISSUES) -> dict[int, bool]:
    """Decide for each series whether the model may be served in place of the baseline.

    Parameters
    ----------
    model, baseline : Scores
        Of hindcasts. Only issues and buckets that both scored count, each by its hours.
    least_issues : int
        On how many issues a model must have shown itself.

    Returns
    -------
    dict of series to bool
        Of the series of `model`. True where, over all issues, the mean absolute error and the CRPS are both below the baseline's: a better
        middle with a worse interval is no improvement to whoever acts on the interval.
    """
    keys = [list(zip(one.series.tolist(), one.issue.astype(np.int64).tolist(), one.lead_from_h.tolist(), strict=True)) for one in (model, baseline)]
    place = {key: row for row, key in enumerate(keys[1])}
    pairs = np.array([(row, place[key]) for row, key in enumerate(keys[0]) if key in place], dtype=np.intp).reshape(-1, 2)
    ours, theirs = _take(model, pairs[:, 0]), _take(baseline, pairs[:, 1])
    hours = np.minimum(ours.count, theirs.count)
    better: dict[int, bool] = {}
    for series in np.unique(model.series).tolist():
        mine = (ours.series == series) & (hours > 0)
        enough = len(np.unique(ours.issue[mine])) >= least_issues
        better[series] = enough and all(
            float(np.dot(getattr(ours, name)[mine] - getattr(theirs, name)[mine], hours[mine])) < 0 for name in ("mae", "crps")
        )
    return better


def _observed(forecast: Forecast, truth: Hourly) -> FloatArray:
    """The truth of each row of a forecast; NaN where it is not known."""
    if len(truth.series) == 0 or truth.value.shape[1] == 0:
        return np.full(len(forecast), np.nan)
    row = np.minimum(np.searchsorted(truth.series, forecast.series), len(truth.series) - 1)
    hour = ((forecast.time - truth.start.astype("datetime64[h]")) / HOUR).astype(np.int64)
    inside = (truth.series[row] == forecast.series) & (hour >= 0) & (hour < truth.value.shape[1])
    return np.where(inside, truth.value[row, np.where(inside, hour, 0)], np.nan)


def _median_of(baseline: Forecast, forecast: Forecast) -> FloatArray:
    """The baseline's median for each row of a forecast of the same issue; NaN where it has none."""
    series = np.unique(np.concatenate([baseline.series, forecast.series]))
    table = np.full((len(series), int(max(baseline.lead_h.max(initial=0), forecast.lead_h.max(initial=0))) + 1), np.nan)
    table[np.searchsorted(series, baseline.series), baseline.lead_h] = baseline.quantile[:, _MIDDLE]
    found: FloatArray = table[np.searchsorted(series, forecast.series), forecast.lead_h]
    return found


def _mean(values: FloatArray, cell: NDArray[np.integer], where: BoolArray, size: int) -> FloatArray:
    number = np.bincount(cell[where], minlength=size)
    return np.where(number > 0, np.bincount(cell[where], values[where], size) / np.maximum(number, 1), np.nan)


def _take(scores: Scores, where: NDArray[np.generic]) -> Scores:
    return Scores(**{field.name: getattr(scores, field.name)[where] for field in fields(Scores)})
