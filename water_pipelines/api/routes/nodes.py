"""Nodes: the stations of a water network, how they stand and how they stood."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from water_pipelines.api import schemas, shape
from water_pipelines.api.limits import Limits
from water_pipelines.api.respond import Body, ListPage, OfValues, Time, ValuePage, listed, next_of
from water_pipelines.storage.served import metrics, series, stations
from water_pipelines.storage.served.metrics import INTERVALS, Interval
from water_pipelines.storage.served.reading import Reading
from water_pipelines.storage.served.stations import StationFilter

router = APIRouter(prefix="/api/v1/nodes", tags=["nodes"])

NodeId = Annotated[str, Path(description="UUID or natural id of a node, which may contain slashes.", examples=["STATION_123"])]
Property = Annotated[str | None, Query(alias="property", description="Only series of this property.")]


@router.get("", responses=schemas.answers(schemas.StationPage, statuses=(400, 410, 422, 503)))
def list_nodes(
    respond: OfValues,
    page: ListPage,
    limits: Limits,
    network: Annotated[str | None, Query(description="Only nodes of this water network.")] = None,
    zone: Annotated[str | None, Query(description="Only nodes of this zone (district metered area).")] = None,
    kind: Annotated[str | None, Query(description="Only nodes of this kind.")] = None,
) -> Response:
    """The stations of water networks, by natural id, with their status as of the last tick."""
    wanted = StationFilter(network, zone, kind, is_node=True)

    def read(state: Reading) -> Body:
        found, following = stations.page(state, wanted, page.after_text, page.limit)
        return listed(map(shape.station_item, stations.with_series(state, found, limits)), following, state)

    return respond(read, page)


@router.get("/{node_id:path}/metrics", responses=schemas.answers(schemas.NodeMetrics))
def get_node_metrics(respond: OfValues, limits: Limits, node_id: NodeId) -> Response:
    """How a node stands as of the last tick: of each series the status, the last value, and the last closed bucket of each interval."""

    def read(state: Reading) -> Body:
        (node,) = stations.with_series(state, [stations.find(state, node_id, is_node=True)], limits)
        ids = [each["series_id"] for each in node["series"]]
        latest = {interval: metrics.latest(state, interval, ids) for interval in INTERVALS}
        return {
            "node": shape.station_reference(node),
            "change": state.number,
            "status": node["status"],
            "status_at": node["status_at"],
            "series": [
                {
                    **shape.series_reference(each),
                    "status": each["status"],
                    "last": each["last"],
                    "metrics": {interval: latest[interval].get(each["series_id"]) for interval in INTERVALS},
                }
                for each in node["series"]
            ],
        }

    return respond(read)


@router.get("/{node_id:path}/history", responses=schemas.answers(schemas.NodeHistory))
def get_node_history(
    respond: OfValues,
    page: ValuePage,
    node_id: NodeId,
    interval: Annotated[Interval, Query(description="Length of a bucket; days are UTC days.")] = "daily",
    observed_property: Property = None,
    start: Annotated[Time, Query(description="First time of the window (UTC), included.")] = None,
    end: Annotated[Time, Query(description="End of the window (UTC), not included.")] = None,
) -> Response:
    """Metrics of a node's series in buckets that start within [start, end). A page ends at one time for all series."""

    def read(state: Reading) -> Body:
        node = stations.find(state, node_id, is_node=True)
        found = series.of_stations(state, [node["station_id"]], observed_property)
        buckets, following = metrics.read(state, interval, [each["series_id"] for each in found], page.after_time or start, end, page.limit)
        return {
            "node": shape.station_reference(node),
            "change": state.number,
            "interval": interval,
            "start": start,
            "end": end,
            "series": [{**shape.series_reference(each), "buckets": shape.columns(its)} for each, its in zip(found, buckets, strict=True)],
            "next": next_of(following, state),
        }

    return respond(read, page)
