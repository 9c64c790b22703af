"""From what storage gives to what is served: references, columns and rows. No arithmetic, no SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from water_pipelines.domain.argo.flags import RealTimeTest
from water_pipelines.domain.flags import names_of
from water_pipelines.storage.served.columns import Columns
from water_pipelines.storage.served.forecasts import Forecast
from water_pipelines.storage.served.observations import NOT_JUDGED

_OPTIONAL_NUMBERS = ("expected", "rule_set_id")  # storage gives -1 where they are missing
_OWN = ("series_id", "station_id", "station", "station_natural_id", "station_name")
_REFERENCE = ("id", "natural_id", "name", "property", "unit", "interval_s")


def series_reference(series: Mapping[str, Any]) -> dict[str, Any]:
    """A series, as far as its values need it."""
    return {name: series[name] for name in _REFERENCE}


def station_reference(station: Mapping[str, Any]) -> dict[str, Any]:
    """A station, as far as its series need it."""
    return {name: station[name] for name in ("id", "natural_id", "name")}


def series_item(series: Mapping[str, Any]) -> dict[str, Any]:
    """A series in a list of series."""
    station = {"id": series["station"], "natural_id": series["station_natural_id"], "name": series["station_name"]}
    return {**without_own(series), "station": station}


def station_item(station: Mapping[str, Any]) -> dict[str, Any]:
    """A station in a list of stations."""
    return {name: value for name, value in station.items() if name not in ("station_id", "series")}


def station_detail(station: Mapping[str, Any]) -> dict[str, Any]:
    """A station with its series."""
    return {**station_item(station), "series": [without_own(each) for each in station["series"]]}


def without_own(series: Mapping[str, Any]) -> dict[str, Any]:
    """A series without the numbers that only the database knows and without its station."""
    return {name: value for name, value in series.items() if name not in _OWN}


def columns(found: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as they are served: null where a number is missing."""
    return {name: _with_nulls(column) if name in _OPTIONAL_NUMBERS else column for name, column in found.items()}


def days(found: Columns) -> dict[str, Any]:
    """The same of what is told by day: `day` in place of `time`."""
    served = columns(found)
    return {"day": np.datetime_as_string(served.pop("time"), unit="D").tolist(), **served}


def forecast(found: Forecast) -> dict[str, Any]:
    """A forecast with its targets and quantiles by column."""
    return {
        "issued_at": found.issued_at,
        "kind": found.kind,
        "champion": found.champion,
        "reason": found.reason,
        **found.columns,
        "model": found.models,
        "scores": found.scores,
    }


def argo_agreement(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How our tests of Argo casts agree with those of the data centres, by the names of the tests."""
    names = {test.value: test.name.lower() for test in RealTimeTest}
    return [{**row, "name": names[row["test"]]} for row in rows if row["test"] in names]


def values(found: Columns) -> dict[str, Any]:
    """Values as they are served: tests by name, and null where a value was not evaluated."""
    served: dict[str, Any] = dict(found)
    for name in ("failed", "not_run"):
        if name in found:
            bits, position = np.unique(found[name], return_inverse=True)
            names = [None if each == NOT_JUDGED else names_of(each) for each in bits.tolist()]
            served[name] = [names[at] for at in position.tolist()]
    if "qualifier" in found:
        served["qualifier"] = found["qualifier"].tolist()
    return served


def rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns as a list of rows."""
    served = columns(found)
    # a time stays numpy's, which is serialised as in a column
    plain: list[Sequence[Any]] = [list(column) if name == "time" else _plain(column) for name, column in served.items()]
    return [dict(zip(served, row, strict=True)) for row in zip(*plain, strict=True)]


def _plain(column: Any) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def _with_nulls(column: Any) -> list[int | None]:
    return [None if number < 0 else number for number in column.tolist()]
