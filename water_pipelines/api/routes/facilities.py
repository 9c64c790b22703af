"""Facilities: plants, pumping stations and the like that report over a message bus, their sensors and what these have measured."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from water_pipelines.api import schemas, shape
from water_pipelines.api.limits import Limits
from water_pipelines.api.respond import Body, ListPage, OfValues, Time, ValuePage, listed, next_of
from water_pipelines.storage.served import observations, sensors, series, stations
from water_pipelines.storage.served.reading import Reading
from water_pipelines.storage.served.stations import StationFilter

router = APIRouter(prefix="/api/v1", tags=["facilities"])

FacilityId = Annotated[str, Path(description="UUID or id of a facility, which may contain slashes.", examples=["WTP-4"])]


@router.get("/facilities", responses=schemas.answers(schemas.FacilityPage, statuses=(400, 410, 422, 503)))
def list_facilities(
    respond: OfValues,
    page: ListPage,
    limits: Limits,
    network: Annotated[str | None, Query(description="Only facilities of this water network.")] = None,
    zone: Annotated[str | None, Query(description="Only facilities of this zone (district metered area).")] = None,
    kind: Annotated[str | None, Query(description="Only facilities of this kind.", examples=["treatment_plant"])] = None,
) -> Response:
    """Facilities that were set up by a message, by id, each with its status as of the last tick."""
    wanted = StationFilter(network, zone, kind, is_facility=True)

    def read(state: Reading) -> Body:
        found, following = stations.page(state, wanted, page.after_text, page.limit)
        return listed(map(shape.station_item, stations.with_series(state, found, limits)), following, state)

    return respond(read, page)


@router.get("/facilities/{facility_id:path}/sensors", responses=schemas.answers(schemas.Sensors))
def get_sensors(respond: OfValues, limits: Limits, facility_id: FacilityId) -> Response:
    """The sensors of a facility: what each measures, whether it reports as of the last tick, and whether it is switched on."""

    def read(state: Reading) -> Body:
        (found,) = stations.with_series(state, [stations.find_facility(state, facility_id)], limits)
        items = sensors.with_states(state, found["series"])
        return {"facility": shape.station_reference(found), "change": state.number, "items": [shape.without_own(each) for each in items]}

    return respond(read)


@router.get("/facilities/{facility_id:path}", responses=schemas.answers(schemas.FacilityDetail))
def get_facility(respond: OfValues, limits: Limits, facility_id: FacilityId) -> Response:
    """A facility with its sensors, as the messages that set it up say."""

    def read(state: Reading) -> Body:
        (found,) = stations.with_series(state, [stations.find_facility(state, facility_id)], limits)
        items = sensors.with_states(state, found["series"])
        return {**shape.station_item(found), "sensors": [shape.without_own(each) for each in items]}

    return respond(read)


@router.get("/sensors/{sensor_id:path}/records", responses=schemas.answers(schemas.SensorRecords))
def get_records(
    respond: OfValues,
    page: ValuePage,
    sensor_id: Annotated[str, Path(description="UUID or natural id of a sensor's series: facility/sensor.", examples=["WTP-4/L1"])],
    start: Annotated[Time, Query(description="First time of the window (UTC), included.")] = None,
    end: Annotated[Time, Query(description="End of the window (UTC), not included.")] = None,
) -> Response:
    """What a sensor has measured within [start, end), by time, with the flag of each value and whether the sensor was switched on then."""

    def read(state: Reading) -> Body:
        found = series.find(state, sensor_id)
        columns, following = observations.read(state, found["series_id"], page.after_time or start, end, page.limit, include=("qualifier",))
        return {
            "sensor": shape.series_reference(found),
            "change": state.number,
            "start": start,
            "end": end,
            **shape.values(columns),
            "state": sensors.states_at(state, found["series_id"], columns["time"]),
            "next": next_of(following, state),
        }

    return respond(read, page)
