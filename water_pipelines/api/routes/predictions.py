"""Predictions: the forecast that is served of a node's series, with its intervals and how well such forecasts did."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from water_pipelines.api import schemas, shape
from water_pipelines.api.respond import Body, OfValues, Time
from water_pipelines.api.routes.nodes import NodeId, Property
from water_pipelines.storage.served import forecasts, series, stations
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/predictions", tags=["predictions"])


@router.get("/{node_id:path}", responses=schemas.answers(schemas.Predictions))
def get_predictions(
    respond: OfValues,
    node_id: NodeId,
    observed_property: Property = None,
    issued_at: Annotated[Time, Query(description="The last forecast issued up to this time (UTC); by default the last of all.")] = None,
) -> Response:
    """Quantiles of the hourly mean for the week after the issue, of each series that is forecast; `model` says whose they are, hour by hour."""

    def read(state: Reading) -> Body:
        node = stations.find(state, node_id)
        found = series.of_stations(state, [node["station_id"]], observed_property)
        latest = forecasts.latest(state, [each["series_id"] for each in found], issued_at)
        return {
            "node": shape.station_reference(node),
            "change": state.number,
            "series": [
                {**shape.series_reference(each), **shape.forecast(latest[each["series_id"]])} for each in found if each["series_id"] in latest
            ],
        }

    return respond(read)
