"""The sample world as files, the way such data arrives: long CSV, gzip, JSON, a wide export of a control system, late files, corrections.

Add a format here as one function of observations. All times and units are declared in the file or its mapping.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from water_pipelines.domain.sample.faults import Injected
from water_pipelines.domain.sample.places import ZONE, SampleSeries, SampleStation
from water_pipelines.domain.series import Observations
from water_pipelines.domain.zones import utc_offset

PLAIN_MONTHS = 3  # the last ones; older months come as gzip
WIDE_PREFIX = "network"
WIDE_TIME = "Zeit"


@dataclass(frozen=True)
class SampleFile:
    """One delivery: drop `content` as `inbox/<prefix>/<name>`, in ascending `order`; files of the same order may arrive together."""

    name: str
    prefix: str
    content: bytes
    order: int


def render(
    stations: Iterable[SampleStation], series: tuple[SampleSeries, ...], first: Observations, delivered: Observations, truth: Iterable[Injected]
) -> list[SampleFile]:
    """Stations and mapping (order 0), first deliveries (1), late files (2), corrections (3)."""
    by_id = {one.natural_id: one for one in series}
    wide = [one for one in series if one.observed_property in ("flow", "pressure")]
    from_json = [by_id["RAIN_HILL/rainfall"]]
    long = [one for one in series if one not in wide and one not in from_json]
    files = [
        SampleFile("stations.geojson", "", geojson(stations), 0),
        SampleFile("mapping.yaml", WIDE_PREFIX, wide_mapping(wide), 0),
        SampleFile("rain_hill.json", "weather", json_records(first, from_json), 1),
    ]
    months = np.unique(first.time.astype("datetime64[M]"))
    for month in months:
        of_month = first.take(first.time.astype("datetime64[M]") == month)
        content, name = long_csv(of_month, long), f"river_{month}.csv"
        if month <= months[-1] - PLAIN_MONTHS:
            content, name = gzip.compress(content, compresslevel=4, mtime=0), f"{name}.gz"
        files.append(SampleFile(name, "river", content, 1))
        files.append(SampleFile(f"network_{month}.csv", WIDE_PREFIX, wide_csv(of_month, wide), 1))
    for change in sorted(truth, key=lambda one: one.series):
        if change.kind in ("late", "corrected"):
            one = by_id[change.series]
            where = (delivered.series == one.number) & (delivered.time >= change.start) & (delivered.time <= change.end)
            name = f"{change.kind}_{one.station.lower()}_{one.observed_property}.csv"
            prefix, order = "river" if one in long else "logger", 2 if change.kind == "late" else 3
            files.append(SampleFile(name, prefix, long_csv(delivered.take(where), [one]), order))
    return sorted(files, key=lambda file: file.order)


def geojson(stations: Iterable[SampleStation]) -> bytes:
    """Stations as points (RFC 7946: longitude first, WGS 84)."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [one.longitude, one.latitude, one.elevation_m]},
            "properties": {"id": one.natural_id, "name": one.name, "kind": one.kind}
            | ({"network": one.network} if one.network else {})
            | ({"zone": one.zone} if one.zone else {}),
        }
        for one in stations
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, indent=1).encode()


def long_csv(observations: Observations, series: Iterable[SampleSeries]) -> bytes:
    """`time,station,property,unit,value`, a row an observation, ISO 8601 in UTC; needs no mapping."""
    return _long(observations, series).write_csv(None, datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()


def json_records(observations: Observations, series: Iterable[SampleSeries]) -> bytes:
    """A JSON array of records with the keys of the long CSV."""
    table = _long(observations, series).with_columns(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return table.write_json().encode()


def wide_csv(observations: Observations, series: list[SampleSeries]) -> bytes:
    """A column a series, semicolons, decimal commas, local clock: needs the mapping. An empty cell is no value."""
    of_wide = observations.take(np.isin(observations.series, [one.number for one in series]))
    time = np.unique(of_wide.time)
    local = time + (utc_offset(time, ZONE) * 1_000_000).astype("timedelta64[us]")
    columns: dict[str, object] = {WIDE_TIME: pl.Series(local).dt.strftime("%d.%m.%Y %H:%M")}
    for one in series:
        mine = of_wide.take(of_wide.series == one.number)
        values = np.full(len(time), np.nan)
        values[np.searchsorted(time, mine.time)] = mine.value
        columns[wide_header(one)] = pl.Series(values, nan_to_null=True)
    return pl.DataFrame(columns).write_csv(None, separator=";", decimal_comma=True).encode()


def wide_header(series: SampleSeries) -> str:
    """The column of a series in the wide export.

    >>> wide_header(SampleSeries(0, "DMA_EAST", "flow", "L/s", 2, np.timedelta64(15, "m")))
    'DMA_EAST flow [L/s]'
    """
    return f"{series.station} {series.observed_property} [{series.unit}]"


def wide_mapping(series: list[SampleSeries]) -> bytes:
    """What the wide export does not say: its clock, and what its columns are."""
    lines = [
        "# The control system of the waterworks exports its local clock.",
        f"time: {WIDE_TIME}",
        'time_format: "%d.%m.%Y %H:%M"',
        f"time_zone: {ZONE}",
        'separator: ";"',
        'decimal: ","',
        f"interval: {int(series[0].interval / np.timedelta64(1, 'm'))}min",
        "columns:",
        *(f'  "{wide_header(one)}": {{station: {one.station}, property: {one.observed_property}, unit: {one.unit}}}' for one in series),
    ]
    return ("\n".join(lines) + "\n").encode()


def _long(observations: Observations, series: Iterable[SampleSeries]) -> pl.DataFrame:
    """The observations of some series in the order of time."""
    known: Mapping[int, SampleSeries] = {one.number: one for one in series}
    mine = observations.take(np.isin(observations.series, list(known)))
    mine = mine.take(np.argsort(mine.time, kind="stable"))
    names = pl.DataFrame(
        {
            "number": pl.Series(list(known), dtype=pl.Int32),
            "station": [one.station for one in known.values()],
            "property": [one.observed_property for one in known.values()],
            "unit": [one.unit for one in known.values()],
        }
    )
    rows = pl.DataFrame({"time": pl.Series(mine.time, dtype=pl.Datetime("us")), "number": mine.series, "value": mine.value})
    return rows.join(names, on="number", how="left", maintain_order="left").select("time", "station", "property", "unit", "value")
