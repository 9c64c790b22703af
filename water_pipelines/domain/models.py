"""A trained forecaster: ridge regression on lags and the calendar, with conformal intervals; one for all series of a kind.

Add a model here when it learns from `Hourly` values at a weekly cut-off and answers with a `Forecast`. Whether it is served is for the
scores and the champion ledger to say.

What is forecast is how far the coming hour lies from its usual value: the median of the same local hour of the last six weeks. The
regression says how much of the deviations of the last hours, days and weeks is still there then; a missing lag is no deviation. There is one
regression a day ahead, shared by all series of the kind in units of their own deviations, and each series leaves it as far as its own
data say. The intervals are quantiles of the errors of the last weeks, in units of the usual error of the hour.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.forecasts import HISTORY, HOUR, LEADS, QUANTILES, Forecast, Hourly, LocalHours, not_negative, quantiles_of_sorted, shifted
from water_pipelines.domain.known import mean_of_known, median_of_known
from water_pipelines.domain.npz import from_npz, to_npz
from water_pipelines.domain.series import BoolArray, FloatArray, Int32Array, Int64Array, TimeArray
from water_pipelines.domain.zones import Zones, zone_names

WHOLE, HALF = np.timedelta64(180, "D"), np.timedelta64(365, "D")
"""Issue days up to 180 days before the cut-off are all learned from, up to 365 days half of them, older ones one in ten."""

_WEEK, _DAYS = 168, LEADS // 24
_USUAL_WEEKS = 6
_LEAST_ISSUES = 28
_RIDGE = 3.0
_OWN = 150.0  # how many hours of its own a series needs to leave the regression of its kind half-way
_HUBER = 0.5  # of the mean error: beyond it an error counts as it is, not squared, for the marks are absolute errors
_RECENT_WEEKS, _ADAPTING_WEEKS, _STEP = 10, 14, 0.1
_MIDDLE = QUANTILES.index(0.5)
_CHUNK_DAYS = 30  # 720 rows x 17 columns: below the size at which OpenBLAS starts threads, so that sums do not depend on their number


@dataclass(frozen=True)
class ForecastModel:
    """What was learned up to a cut-off. All arrays are aligned with `series`.

    Parameters
    ----------
    cutoff : datetime64[us]
        Nothing at or after it was used.
    series : int32[s]
        Ascending; those of which enough was known.
    zone : str[s]
        IANA zone whose clock counts.
    scale : float64[s]
        Mean absolute deviation from the usual value, in the series' unit, > 0.
    weight : float64[s, 7, f]
        Of the features, by day ahead.
    error : float64[s, 7, 24]
        Usual absolute error by day ahead and UTC hour, in units of `scale`.
    quantile : float64[s, 7, 7]
        Of the errors by day ahead, at `QUANTILES`, in units of `error`.
    floor : float64[s]
        0 where no value was negative, else -inf.
    count : int32[s]
        Hours learned from, for the first day ahead.
    """

    cutoff: np.datetime64
    series: Int32Array
    zone: NDArray[np.str_]
    scale: FloatArray
    weight: FloatArray
    error: FloatArray
    quantile: FloatArray
    floor: FloatArray
    count: Int32Array

    def to_bytes(self) -> bytes:
        """An ``.npz`` without pickle; the same model gives the same bytes."""
        return to_npz({field.name: np.asarray(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> ForecastModel:
        """The model that `to_bytes` wrote; ValueError when the bytes are something else."""
        arrays = from_npz(data)
        wrong = set(arrays) ^ {field.name for field in fields(cls)}
        if wrong:
            raise ValueError(f"these arrays are no forecast model ({', '.join(sorted(wrong))}): train it again from its cut-off")
        return cls(**{**arrays, "cutoff": arrays["cutoff"][()]})  # type: ignore[arg-type]


def sample_of(days: TimeArray, cutoff: np.datetime64, seed: int) -> BoolArray:
    """Which issue days to learn from: the last 180 days whole, 180 to 365 days half of them, older ones one in ten.

    Parameters
    ----------
    days : datetime64[D][n]
        Before the cut-off.
    cutoff : datetime64
        An age of exactly 180 (365) days belongs to the older group.
    seed : int
        Each day's draw depends on the seed and the day alone, so that more history does not change the sample of the recent days.

    >>> bool(sample_of(np.array(["2024-03-01"], "datetime64[D]"), np.datetime64("2024-05-13"), 0)[0])
    True
    >>> len(sample_of(np.array(["1941-01-01"], "datetime64[D]"), np.datetime64("2024-05-13"), 0))
    1
    """
    age = cutoff.astype("datetime64[us]") - days.astype("datetime64[us]")
    share = np.where(age < WHOLE, 1.0, np.where(age < HALF, 0.5, 0.1))
    draw = [
        np.random.default_rng((seed, int(day))).random() if some < 1 else 0.0
        for day, some in zip(days.astype("datetime64[D]").astype(np.int64).view(np.uint64), share)  # days before 1970 are negative
    ]
    return np.array(draw, dtype=np.float64) < share


def train(hourly: Hourly, cutoff: np.datetime64, zones: Zones | None = None, seed: int = 0) -> ForecastModel:
    """Learn from all series of a kind up to a cut-off.

    Parameters
    ----------
    hourly : Hourly
        As much history as there is; hours at or after the cut-off are not looked at. Learning starts `HISTORY` after the first.
    cutoff : datetime64
        Monday 00:00 UTC.
    zones : mapping of series to IANA zone, optional
        Whose clock counts; UTC where it is not named.
    seed : int
        Of the sample of older days.

    Returns
    -------
    ForecastModel
        Without the series that have fewer than four weeks of issue days to learn from, or never deviate from the usual.
    """
    cutoff = cutoff.astype("datetime64[h]")
    first = hourly.start.astype("datetime64[D]") + 1
    known = hourly.window(first.astype("datetime64[h]"), cutoff)
    zone = zone_names(known.series, zones)
    days = np.arange((first + HISTORY).astype("datetime64[D]"), cutoff.astype("datetime64[D]"))
    days = days[sample_of(days, cutoff, seed)] if len(days) else days
    past = _Past.of(LocalHours.of(known, zone))
    issue = ((days.astype("datetime64[h]") - known.start) / HOUR).astype(np.int64)
    weight, error, quantile, count = _learn(past, issue)
    enough = (past.scale > 0) & np.isfinite(quantile).all(axis=(1, 2))
    floor = np.where(not_negative(known.value), 0.0, -np.inf)
    parts: dict[str, Any] = {
        "series": known.series.astype(np.int32),
        "zone": zone,
        "scale": past.scale,
        "weight": weight,
        "error": error,
        "quantile": quantile,
    }
    parts |= {"floor": floor, "count": count}
    return ForecastModel(cutoff.astype("datetime64[us]"), **{name: part[enough] for name, part in parts.items()})


def forecast(model: ForecastModel, hourly: Hourly, issue: np.datetime64) -> Forecast:
    """What a model expects of the 168 hours from an issue time on.

    Parameters
    ----------
    model : ForecastModel
        Trained at a cut-off at or before `issue`.
    hourly : Hourly
        The hours before `issue`, `HISTORY` of them or more; later ones are not looked at.
    issue : datetime64
        UTC, a full hour; the model is trained for 00:00.

    Returns
    -------
    Forecast
        Of the series that are in both. There are no rows for hours that have no usual value: nothing in that hour of the last six weeks, nor
        on the days before the last week.

    Raises
    ------
    ValueError
        When the model knows more than was known at the issue time.
    """
    issue = issue.astype("datetime64[h]")
    if model.cutoff > issue:
        raise ValueError(f"a model trained up to {model.cutoff} must not forecast at {issue}: take the one of the last cut-off before")
    known = hourly.window(issue - HISTORY, issue)
    series, of_model, of_known = np.intersect1d(model.series, known.series, return_indices=True)
    scale = model.scale[of_model]
    local = LocalHours.of(Hourly(series, known.start, known.value[of_known]), model.zone[of_model])
    past = _Past.of(local, scale)
    hour = np.array([known.value.shape[1]])
    recent = past.recent(hour)
    centre = np.empty((len(series), _DAYS, 24))
    for ahead in range(_DAYS):
        features, usual, _ = past.rows(hour, ahead, recent)
        centre[:, ahead] = (usual + _applied(model.weight[of_model, ahead], features))[:, 0]
    clock = (int(issue.astype(np.int64)) + np.arange(24)) % 24
    error = model.error[of_model][:, :, clock]
    quantile = (centre[..., None] + error[..., None] * model.quantile[of_model][:, :, None]) * scale[:, None, None, None]
    quantile = np.maximum(quantile, model.floor[of_model][:, None, None, None])
    return Forecast.of_leads(series, issue, quantile.reshape(len(series), LEADS, len(QUANTILES)))


@dataclass(frozen=True)
class _Past:
    """Local hours with their usual values and deviations, in units of each series' scale: where the features come from."""

    local: LocalHours
    scale: FloatArray
    value: FloatArray
    usual: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, local: LocalHours, scale: FloatArray | None = None) -> _Past:
        usual = _usual(local.value)
        if scale is None:
            scale = mean_of_known(np.abs(local.value - usual))
        unit = np.where(scale > 0, scale, np.nan)[:, None]
        value, usual = local.value / unit, usual / unit
        return cls(local, scale, value, usual, value - usual)

    def recent(self, issue: Int64Array) -> tuple[FloatArray, ...]:
        """Mean deviations [s, d, 1] of the last hour, six hours, day, three days and week before issue hours [d]; 0 where none is known."""
        end = self.local.at(issue - 1) + 1
        known = np.isfinite(self.deviation)
        total, number = np.cumsum(np.where(known, self.deviation, 0.0), axis=1), np.cumsum(known, axis=1)
        means = []
        for hours in (1, 6, 24, 72, _WEEK):
            count = _at(number, end - 1) - _at(number, end - 1 - hours)
            mean = (_at(total, end - 1) - _at(total, end - 1 - hours)) / np.maximum(count, 1)
            means.append(np.where(count > 0, mean, 0.0)[..., None])
        return tuple(means)

    def rows(self, issue: Int64Array, ahead: int, recent: tuple[FloatArray, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Features [s, d, 24, f], usual value [s, d, 24] and truth [s, d, 24] of the hours of a day ahead, for issue hours [d]."""
        one, six, day, three, week = recent
        target = self.local.at(issue[:, None] + ahead * 24 + np.arange(24))
        usual = _at(self.usual, target)
        last, before = (np.where(np.isfinite(lag), lag, day) for lag in (_at(self.deviation, target - 24 * (ahead + back)) for back in (1, 2)))
        weeks = [np.nan_to_num(_at(self.value, target - _WEEK * back) - usual) for back in (1, 2, 3)]
        angle = 2 * np.pi / 24 * self.local.clock(target)
        cos, sin = np.cos(angle), np.sin(angle)
        fade = np.exp(-(ahead * 24 + np.arange(24)) / 6.0)
        columns = (1.0, *weeks, last, before, one, one * fade, six, day, three, week, day * cos, day * sin, cos, sin)
        features = np.empty((*target.shape, len(columns)))
        for number, column in enumerate(columns):
            features[..., number] = column
        return features, usual, _at(self.value, target)


def _learn(past: _Past, issue: Int64Array) -> tuple[FloatArray, FloatArray, FloatArray, Int32Array]:
    """Weights [s, 7, f], usual errors [s, 7, 24], quantiles [s, 7, 7] and hours learned from [s]."""
    learned, recent = [], past.recent(issue)
    for ahead in range(_DAYS):
        features, usual, truth = past.rows(issue, ahead, recent)
        deviation = truth - usual
        known = np.isfinite(deviation)
        deviation = np.where(known, deviation, 0.0)
        weight = _ridge(features[:, ::2], deviation[:, ::2], known[:, ::2].astype(np.float64))  # a first guess, for the trust in each hour
        size = np.abs(deviation - _applied(weight, features))
        typical = mean_of_known(np.where(known, size, np.nan).reshape(len(size), -1))[:, None, None]
        weight = _ridge(features, deviation, known * np.minimum(1.0, _HUBER * typical / np.maximum(size, 1e-12)))
        rest = np.where(known, deviation - _applied(weight, features), np.nan)
        error = _smooth(mean_of_known(np.moveaxis(np.abs(rest), 1, 2)))
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = rest / error[:, None]
        learned.append((weight, error, _adapted_quantiles(relative[:, : len(issue) - ahead]), known.sum(axis=(1, 2))))
    weight, error, quantile, count = (np.stack(part, axis=1) for part in zip(*learned, strict=True))
    enough = count[:, 0] >= _LEAST_ISSUES * 24
    return weight, error, np.where(enough[:, None, None], quantile, np.nan), count[:, 0].astype(np.int32)


def _adapted_quantiles(relative: FloatArray) -> FloatArray:
    """Quantiles [s, 7] of the errors [s, d, 24] of the last ten weeks, at levels that were corrected week by week.

    Adaptive conformal inference (Gibbs and Candes 2021) for each quantile: a week in which more errors lay below it than should lowers its
    level, by a tenth of the excess. The middle is that of all weeks: that of ten follows the season too late.
    """
    series, days, _ = relative.shape
    wanted = np.array(QUANTILES)
    level = np.tile(wanted, (series, 1))
    weeks = min(_ADAPTING_WEEKS, days // 7 - _RECENT_WEEKS)
    for week in range(weeks, 0, -1):
        end = days - 7 * week
        limit = _at_levels(relative[:, end - 7 * _RECENT_WEEKS : end, ::2], level)  # every other hour tells as much
        test = relative[:, end : end + 7, ::2].reshape(series, -1, 1)
        known = np.isfinite(test).sum(axis=1)
        with np.errstate(invalid="ignore"):
            below = (test <= limit[:, None]).sum(axis=1) / np.maximum(known, 1)
        level = np.where((known > 0) & np.isfinite(limit), np.clip(level + _STEP * (wanted - below), 0.002, 0.998), level)
    recent = np.sort(_at_levels(relative[:, max(days - 7 * _RECENT_WEEKS, 0) :], level), axis=1)
    return recent - recent[:, [_MIDDLE]] + _at_levels(relative, np.array([0.5]))


def _at_levels(relative: FloatArray, level: FloatArray) -> FloatArray:
    """Quantiles [s, q] of errors [s, d, 24] at levels [s, q]; NaN of too few."""
    ordered = np.sort(relative.reshape(len(relative), -1), axis=1)
    return quantiles_of_sorted(ordered, _LEAST_ISSUES * 6, level)


def _ridge(features: FloatArray, deviation: FloatArray, trust: FloatArray) -> FloatArray:
    """Weights [s, f] of weighted ridge regressions, each drawn to the one of all series together."""
    series, days, _, number = features.shape
    rows = np.zeros((series, -(-max(days, 1) // _CHUNK_DAYS) * _CHUNK_DAYS, 24, number + 1))
    root = np.sqrt(trust)
    rows[:, :days, :, :number] = features * root[..., None]
    rows[:, :days, :, number] = deviation * root
    chunks = rows.reshape(series, -1, _CHUNK_DAYS * 24, number + 1)
    products = (chunks.swapaxes(2, 3) @ chunks).sum(axis=1)
    gram, moment = products[:, :number, :number], products[:, :number, number:]
    unit = np.eye(number)
    of_kind = np.linalg.solve(gram.sum(axis=0) + _RIDGE * unit, moment.sum(axis=0))
    own: FloatArray = (of_kind + np.linalg.solve(gram + _OWN * unit, moment - gram @ of_kind))[..., 0]
    return own


def _applied(weight: FloatArray, features: FloatArray) -> FloatArray:
    """The deviations [s, d, 24] that weights [s, f] give; a plain sum, which no number of threads can reorder."""
    applied: FloatArray = np.einsum("sdhf,sf->sdh", features, weight)
    return applied


def _usual(value: FloatArray) -> FloatArray:
    """Median of the same hour of the last six weeks [s, c]; with fewer than two of them the median of that hour eight to 28 days before.

    A median, because floods and storms are no habit: rivers and rain are forecast a quarter to a half better with it than with a mean.
    """
    usual = median_of_known(np.stack([shifted(value, _WEEK * weeks) for weeks in range(1, _USUAL_WEEKS + 1)], axis=-1), least=2)
    gaps = ~np.isfinite(usual)
    daily = np.stack([shifted(value, 24 * days)[gaps] for days in range(8, 29)], axis=-1)
    usual[gaps] = median_of_known(daily)
    return usual


def _at(table: FloatArray | Int64Array, cell: Int64Array) -> FloatArray:
    """Values of each row at cells [s, ...]."""
    row = np.arange(len(cell)).reshape(-1, *(1,) * (cell.ndim - 1))
    return table[row, cell].astype(np.float64, copy=False)


def _smooth(error: FloatArray) -> FloatArray:
    """Errors [s, 24] averaged with their neighbours around the clock, none below a fifth of the mean."""
    smooth = (2 * error + np.roll(error, 1, axis=1) + np.roll(error, -1, axis=1)) / 4
    mean = mean_of_known(error)[:, None]
    return np.maximum(np.where(np.isfinite(smooth), smooth, mean), mean / 5)
