"""Lineage: where a served value comes from."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BeforeValidator, WithJsonSchema

from water_pipelines.api import schemas, shape
from water_pipelines.api.respond import Body, OfValues, as_utc
from water_pipelines.storage.served import lineage, series
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/lineage", tags=["lineage"])

At = Annotated[datetime, BeforeValidator(as_utc), WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T00:00:00Z"]})]


@router.get("", responses=schemas.answers(schemas.Lineage))
def explain_value(
    respond: OfValues,
    series_id: Annotated[str, Query(description="UUID or natural id of a series.", examples=["STATION_123/discharge"])],
    time: Annotated[At, Query(description="Time of the value (UTC); within a metric's bucket or an anomaly; the target of a forecast.")],
    of: Annotated[
        Literal["observation", "flag", "metric_30min", "metric_hourly", "metric_daily", "anomaly", "forecast"],
        Query(description="What is to be explained."),
    ] = "observation",
) -> Response:
    """The landed object and row, mapping, parser, load, run and code behind an observation, and what it superseded.

    Of what is derived: the change, run and code that made it, the rules or the model by which, and the files that gave the values of its
    bucket or day. Flags and anomalies look at values beside their day too, as far as the rules' reach.
    """

    def read(state: Reading) -> Body:
        found = series.find(state, series_id)
        return {
            "of": of,
            "series": shape.series_reference(found),
            "time": time,
            "change": state.number,
            "rules": None,
            "model": None,
            "source": None,
            "inputs": [],
            "superseded": [],
            **lineage.explain(state, found, time, of),
        }

    return respond(read)
