"""Anomalies: events of unusual behaviour, with the band that was expected."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from water_pipelines.api import schemas
from water_pipelines.api.cursors import BadCursor
from water_pipelines.api.respond import Body, ListPage, OfValues, Page, Time, listed
from water_pipelines.storage.served import anomalies
from water_pipelines.storage.served.anomalies import AnomalyFilter
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/anomalies", tags=["anomalies"])


@router.get("", responses=schemas.answers(schemas.AnomalyPage, statuses=(400, 410, 422, 503)))
def list_anomalies(
    respond: OfValues,
    page: ListPage,
    series: Annotated[str | None, Query(description="Only events of this series (UUID or natural id).")] = None,
    station: Annotated[str | None, Query(description="Only events of this station (UUID or natural id).")] = None,
    kind: Annotated[str | None, Query(description="Only events of this kind.")] = None,
    severity: Annotated[Literal["low", "medium", "high"] | None, Query(description="Only events of this severity.")] = None,
    status: Annotated[Literal["open", "closed"] | None, Query(description="Only events that go on, or that have ended.")] = None,
    start: Annotated[Time, Query(description="Only events that last beyond this time (UTC).")] = None,
    end: Annotated[Time, Query(description="Only events that begin before this time (UTC).")] = None,
) -> Response:
    """Events, the latest start first: an event is within [start, end) where it has a part in it."""
    wanted = AnomalyFilter(series, station, kind, severity, status, start, end)

    def read(state: Reading) -> Body:
        found, following = anomalies.page(state, wanted, _before(page), page.limit)
        return listed(map(_item, found), f"{following[0].isoformat()} {following[1]}" if following else None, state)

    return respond(read, page)


def _before(page: Page) -> tuple[datetime, UUID] | None:
    if page.after_text is None:
        return None
    start, _, event = page.after_text.partition(" ")
    try:
        return datetime.fromisoformat(start), UUID(event)
    except ValueError:
        raise BadCursor("the cursor belongs to another list") from None


def _item(event: dict[str, Any]) -> dict[str, Any]:
    series = {"id": event.pop("series"), "natural_id": event.pop("series_natural_id"), "name": event.pop("series_name")}
    series |= {name: event.pop(name) for name in ("property", "unit", "interval_s")}
    station = {"id": event.pop("station"), "natural_id": event.pop("station_natural_id"), "name": event.pop("station_name")}
    return {**event, "series": series, "station": station}
