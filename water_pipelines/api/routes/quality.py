"""Data quality of a node's series, by day."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from water_pipelines.api import schemas, shape
from water_pipelines.api.respond import Body, OfValues, Time, ValuePage, next_of
from water_pipelines.api.routes.nodes import NodeId, Property
from water_pipelines.storage.served import quality, series, stations
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/quality", tags=["quality"])


@router.get("/{node_id:path}", responses=schemas.answers(schemas.Quality))
def get_quality(
    respond: OfValues,
    page: ValuePage,
    node_id: NodeId,
    observed_property: Property = None,
    start: Annotated[Time, Query(description="First day of the window (UTC), included.")] = None,
    end: Annotated[Time, Query(description="End of the window (UTC), not included.")] = None,
) -> Response:
    """Expected and received values, values by flag, failures by test and the longest gap, of each UTC day that begins within [start, end)."""

    def read(state: Reading) -> Body:
        node = stations.find(state, node_id)
        found = series.of_stations(state, [node["station_id"]], observed_property)
        parts, following = quality.read(state, [each["series_id"] for each in found], page.after_time or start, end, page.limit)
        return {
            "node": shape.station_reference(node),
            "change": state.number,
            "start": start,
            "end": end,
            "series": [{**shape.series_reference(each), "days": shape.days(its)} for each, its in zip(found, parts, strict=True)],
            "next": next_of(following, state),
        }

    return respond(read, page)
