"""Processing jobs: how the partitions of the assets stand."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from water_pipelines.api import schemas
from water_pipelines.api.respond import Body, ListPage, OfThePresent, listed
from water_pipelines.storage.served import processing
from water_pipelines.storage.served.processing import ProcessingFilter
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/processing-jobs", tags=["processing"])


@router.get("", responses=schemas.answers(schemas.ProcessingJobPage, statuses=(400, 422, 503)))
def list_processing_jobs(
    respond: OfThePresent,
    page: ListPage,
    asset: Annotated[str | None, Query(description="Only partitions of this asset.", examples=["core/anomaly"])] = None,
    status: Annotated[
        Literal["succeeded", "stale", "pending"] | None,
        Query(description="stale: computed, and to be computed again; pending: never computed yet."),
    ] = None,
    run: Annotated[str | None, Query(description="Only partitions that this Dagster run computed last.")] = None,
) -> Response:
    """By asset and partition (a UTC day, a week's cut-off or an issue day): the run that computed it last, when, from which change, and its rows."""

    def read(state: Reading) -> Body:
        found, following = processing.page(state, ProcessingFilter(asset, status, run), page.after_text, page.limit)
        return listed(found, following, None)

    return respond(read, page)
