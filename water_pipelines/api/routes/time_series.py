"""Time series: what is measured, its values with their flags, and its metrics by buckets of time."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from water_pipelines.api import schemas, shape
from water_pipelines.api.respond import Body, Csv, Format, ListPage, OfValues, Time, ValuePage, listed, next_of
from water_pipelines.storage.served import metrics, observations, series
from water_pipelines.storage.served.columns import Columns
from water_pipelines.storage.served.metrics import Interval
from water_pipelines.storage.served.reading import Reading
from water_pipelines.storage.served.series import SeriesFilter

router = APIRouter(prefix="/api/v1/time-series", tags=["time series"])

SeriesId = Annotated[str, Query(description="UUID or natural id of a series.", examples=["STATION_123/discharge"])]
Start = Annotated[Time, Query(description="First time of the window (UTC), included. By default the window has no start.")]
End = Annotated[Time, Query(description="End of the window (UTC), not included. By default the window has no end.")]
AsRows = Annotated[bool, Query(alias="rows", description="Rows in place of columns.")]
AsFormat = Annotated[Format, Query(alias="format", description="With csv, the cursor of the next page is the header `Water-Next`.")]


@router.get("/metadata", responses=schemas.answers(schemas.SeriesPage, statuses=(400, 410, 422, 503)))
def list_series(
    respond: OfValues,
    page: ListPage,
    station: Annotated[str | None, Query(description="Only series of this station (UUID or natural id).")] = None,
    observed_property: Annotated[str | None, Query(alias="property", description="Only series of this property.")] = None,
    network: Annotated[str | None, Query(description="Only series of this water network.")] = None,
) -> Response:
    """Series by natural id: property, unit, expected interval, station, and the times of the first and the last value."""

    def read(state: Reading) -> Body:
        found, following = series.page(state, SeriesFilter(station, observed_property, network), page.after_text, page.limit)
        return listed(map(shape.series_item, found), following, state)

    return respond(read, page)


@router.get("/data", responses=schemas.answers(schemas.Values, csv="time,value,flag\r\n2026-03-01T00:00:00Z,12.4,1\r\n"))
def get_values(
    respond: OfValues,
    page: ValuePage,
    series_id: SeriesId,
    start: Start = None,
    end: End = None,
    flags: Annotated[
        str | None, Query(pattern="^[12349](,[12349])*$", description="Only values with these QARTOD flags, such as 1,3.", examples=["1,3"])
    ] = None,
    include: Annotated[
        str | None,
        Query(
            pattern="^(qualifier|failed|not_run)(,(qualifier|failed|not_run))*$",
            description="Beside each value: what the source wrote of it (qualifier), and the quality tests that it failed or could not be put to.",
            examples=["qualifier,failed,not_run"],
        ),
    ] = None,
    as_rows: AsRows = False,
    as_format: AsFormat = "json",
) -> Response:
    """Values of a series within [start, end), by time. A value that the source calls missing is null and has flag 9."""
    more = include.split(",") if include else ()
    wanted = {int(flag) for flag in flags.split(",")} if flags else set()

    def read(state: Reading) -> Body | Csv:
        found = series.find(state, series_id)
        columns, following = observations.read(state, found["series_id"], page.after_time or start, end, page.limit, wanted, more)
        values = shape.values(columns) if more else columns
        if as_format == "csv":
            return Csv(values, next_of(following, state))
        served = {"rows": shape.rows(values)} if as_rows else values
        return {**_head(found, state, start, end), **served, "next": next_of(following, state)}

    return respond(read, page)


@router.get("/aggregate", responses=schemas.answers(schemas.Aggregate, csv="time,count,...\r\n2026-03-01T00:00:00Z,2,...\r\n"))
def get_aggregate(
    respond: OfValues,
    page: ValuePage,
    series_id: SeriesId,
    interval: Annotated[Interval, Query(description="Length of a bucket; days are UTC days.")] = "hourly",
    start: Start = None,
    end: End = None,
    as_rows: AsRows = False,
    as_format: AsFormat = "json",
) -> Response:
    """Metrics of a series in buckets that start within [start, end), as the marts hold them: good values only, with completeness and shares."""

    def read(state: Reading) -> Body | Csv:
        found = series.find(state, series_id)
        (buckets,), following = metrics.read(state, interval, [found["series_id"]], page.after_time or start, end, page.limit)
        if as_format == "csv":
            return Csv(shape.columns(buckets), next_of(following, state))
        return {**_head(found, state, start, end), "interval": interval, **_served(buckets, as_rows), "next": next_of(following, state)}

    return respond(read, page)


def _head(found: dict[str, Any], state: Reading, start: datetime | None, end: datetime | None) -> dict[str, Any]:
    return {"series": shape.series_reference(found), "change": state.number, "start": start, "end": end}


def _served(buckets: Columns, as_rows: bool) -> dict[str, Any]:
    return {"rows": shape.rows(buckets)} if as_rows else {"buckets": shape.columns(buckets)}
