"""Stations: where something is measured, what, and whether it reports."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from water_pipelines.api import schemas, shape
from water_pipelines.api.limits import Limits
from water_pipelines.api.respond import Body, ListPage, OfValues, listed
from water_pipelines.storage.served import stations
from water_pipelines.storage.served.reading import Reading
from water_pipelines.storage.served.stations import StationFilter

router = APIRouter(prefix="/api/v1/water-data/stations", tags=["stations"])


@router.get("", responses=schemas.answers(schemas.StationPage, statuses=(400, 410, 422, 503)))
def list_stations(
    respond: OfValues,
    page: ListPage,
    limits: Limits,
    network: Annotated[str | None, Query(description="Only stations of this water network.")] = None,
    zone: Annotated[str | None, Query(description="Only stations of this zone (district metered area).")] = None,
    kind: Annotated[str | None, Query(description="Only stations of this kind.")] = None,
    observed_property: Annotated[str | None, Query(alias="property", description="Only stations that measure this.")] = None,
) -> Response:
    """Stations by natural id, each with its status as of the last tick: online, late, silent or inactive by the expected interval."""
    wanted = StationFilter(network, zone, kind, observed_property)

    def read(state: Reading) -> Body:
        found, following = stations.page(state, wanted, page.after_text, page.limit)
        return listed(map(shape.station_item, stations.with_series(state, found, limits)), following, state)

    return respond(read, page)


@router.get("/{station_id:path}", responses=schemas.answers(schemas.StationDetail))
def get_station(
    respond: OfValues,
    limits: Limits,
    station_id: Annotated[str, Path(description="UUID or natural id, which may contain slashes.", examples=["STATION_123"])],
) -> Response:
    """A station with its series, their last values and the status of each sensor."""

    def read(state: Reading) -> Body:
        (found,) = stations.with_series(state, [stations.find(state, station_id)], limits)
        return shape.station_detail(found)

    return respond(read)
