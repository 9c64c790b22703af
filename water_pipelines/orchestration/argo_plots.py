"""Plots of Argo for the metadata of its assets: casts against pressure with their flags, and tracks on a map."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
import numpy as np

from water_pipelines.orchestration.plots import picture
from water_pipelines.storage import argo_flags
from water_pipelines.storage.argo_casts import read_casts_of
from water_pipelines.storage.database import Snapshot

_CASTS_SHOWN, _FLOATS_SHOWN = 6, 200
_COLOURS = {3: "#e08a00", 4: "#c8102e"}


def profile_plot(snapshot: Snapshot, wmos: Sequence[int]) -> dg.MarkdownMetadataValue:
    """Temperature and salinity against pressure of the latest casts of the float of which most is flagged, with what is flagged marked."""
    from matplotlib.figure import Figure

    numbers = argo_flags.shown_casts(snapshot.connection, wmos, _CASTS_SHOWN)
    stored = read_casts_of(snapshot, numbers)
    if stored is None:
        return dg.MarkdownMetadataValue("No casts.")
    casts, flags = stored.casts, argo_flags.read_flags(snapshot.connection, numbers)
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    for position, (name, unit) in enumerate((("TEMP", "degC"), ("PSAL", "psu")), start=1):
        axes = figure.add_subplot(1, 2, position)
        axes.set_xlabel(f"{name} [{unit}]", fontsize=8)
        axes.invert_yaxis()
        axes.tick_params(labelsize=7)
        if name not in casts.parameters or "PRES" not in casts.parameters:
            continue
        value, pressure = casts.parameters[name].raw, casts.parameters["PRES"].raw
        for cast in range(len(casts)):
            levels = slice(casts.first[cast], casts.first[cast + 1])
            axes.plot(value[levels], pressure[levels], color="#1f6fb2", linewidth=0.7, alpha=0.7)
            level, found = flags.get((int(stored.profile_id[cast]), name), (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)))
            for flag, colour in _COLOURS.items():
                bad = level[found == flag] + casts.first[cast]
                axes.scatter(value[bad], pressure[bad], s=14, color=colour, zorder=3)
    figure.suptitle(f"{casts.platform_number[0]}, cycles {casts.cycle.min()} to {casts.cycle.max()}; 3 orange, 4 red", fontsize=9)
    return picture(figure)


def track_map(snapshot: Snapshot, wmos: Sequence[int]) -> dg.MarkdownMetadataValue:
    """The positions of casts by float, joined in time."""
    from matplotlib.figure import Figure

    positions = argo_flags.read_positions(snapshot.connection, wmos[:_FLOATS_SHOWN])
    if not positions:
        return dg.MarkdownMetadataValue("No positions.")
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for wmo, track in positions.items():
        longitude, latitude = np.array(track, dtype=np.float64).T
        jumps = np.flatnonzero(np.abs(np.diff(longitude)) > 180) + 1  # the antimeridian parts the line
        axes.plot(np.insert(longitude, jumps, np.nan), np.insert(latitude, jumps, np.nan), linewidth=0.8, marker=".", markersize=3, label=str(wmo))
    if len(positions) <= 12:
        axes.legend(fontsize=6)
    axes.set_xlabel("longitude", fontsize=8)
    axes.set_ylabel("latitude", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(linewidth=0.3)
    return picture(figure)
