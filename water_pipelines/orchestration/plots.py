"""Small plots for the metadata of assets, as Markdown with an inline picture."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from water_pipelines.storage import forecasts, observations, series
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.staging import windows_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DAYS_SHOWN = 7
_SERIES_SHOWN = 4
_DAY = np.timedelta64(1, "D")
_FLAG_COLOURS = {2: "#8a8f98", 3: "#e08a00", 4: "#c8102e"}


def hydrograph(snapshot: Snapshot, days: NDArray[np.datetime64]) -> dg.MarkdownMetadataValue:
    """The last days of a few series, with what is suspect, bad or not evaluated marked."""
    from matplotlib.figure import Figure

    shown = observations.read_flagged(snapshot, windows_of(days[-_DAYS_SHOWN:]))
    names = {each.series_id: each for each in series.read_all(snapshot.connection)}
    spans = sorted(shown.spans(), key=lambda span: -int((shown.flag[span[1]] > 2).sum()) if shown.flag is not None else 0)[:_SERIES_SHOWN]
    if not spans:
        return dg.MarkdownMetadataValue("No values on these days.")
    figure = Figure(figsize=(9, 1.9 * len(spans)), layout="constrained")
    for position, (number, where) in enumerate(spans, start=1):
        axes = figure.add_subplot(len(spans), 1, position)
        time, value, flag = shown.time[where], shown.value[where], shown.flag[where] if shown.flag is not None else None
        axes.plot(time, value, color="#1f6fb2", linewidth=0.9)
        for code, colour in _FLAG_COLOURS.items():
            if flag is not None and (flag == code).any():
                axes.scatter(time[flag == code], value[flag == code], s=14, color=colour, zorder=3)
        axes.set_title(f"{names[number].natural_id} [{names[number].unit or '-'}]", fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
    return picture(figure)


def forecast_fan(snapshot: Snapshot, days: NDArray[np.datetime64]) -> dg.MarkdownMetadataValue:
    """What is served of a few series for the week after the last of some issue days, after the days that led to it."""
    from matplotlib.figure import Figure

    shown = forecasts.read_served(snapshot, days[-1])
    if shown is None:
        return dg.MarkdownMetadataValue("Nothing was issued on this day.")
    issue = shown.issue.astype("datetime64[us]")
    past = forecasts.read_hourly(snapshot, [(issue - _DAYS_SHOWN * _DAY, issue)])
    names = {each.series_id: each for each in series.read_all(snapshot.connection)}
    numbers = np.unique(shown.series)[:_SERIES_SHOWN]
    figure = Figure(figsize=(9, 1.9 * len(numbers)), layout="constrained")
    for position, number in enumerate(numbers.tolist(), start=1):
        axes = figure.add_subplot(len(numbers), 1, position)
        of_series, row = shown.series == number, past.series == number
        if row.any():
            axes.plot(past.start + np.arange(past.value.shape[1]), past.value[row][0], color="#1f6fb2", linewidth=0.9)
        time, quantile = shown.time[of_series], shown.quantile[of_series]
        for level in range(quantile.shape[1] // 2):
            axes.fill_between(time, quantile[:, level], quantile[:, -1 - level], color="#e08a00", alpha=0.2, linewidth=0)
        axes.plot(time, quantile[:, quantile.shape[1] // 2], color="#e08a00", linewidth=0.9)
        axes.set_title(f"{names[number].natural_id} [{names[number].unit or '-'}]", fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
    return picture(figure)


def picture(figure: Figure) -> dg.MarkdownMetadataValue:
    """A figure as inline Markdown."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return dg.MarkdownMetadataValue(f"![plot](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
