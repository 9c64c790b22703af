"""The dashboard: how the whole stands, on one page."""

from fastapi import APIRouter, Response

from water_pipelines.api import schemas
from water_pipelines.api.limits import Limits
from water_pipelines.api.respond import Body, OfValues
from water_pipelines.storage.served import anomalies, forecasts, networks, quality, stations
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"])

QUALITY_DAYS = 7


@router.get("/summary", responses=schemas.answers(schemas.Summary, statuses=(400, 410, 422, 503)))
def get_summary(respond: OfValues, limits: Limits) -> Response:
    """Stations by status, networks in their last half-hour, data quality of the last days, open anomalies and forecasts, as of the last tick."""

    def read(state: Reading) -> Body:
        return {
            "change": state.number,
            "tick_at": state.tick(),
            "stations": stations.counts(state, limits),
            "networks": networks.latest(state),
            "quality": quality.totals(state, QUALITY_DAYS),
            "open_anomalies": anomalies.open_by_severity(state),
            "forecasts": forecasts.recent(state),
        }

    return respond(read)
