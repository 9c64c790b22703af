"""Datasets: the files that users drop, one job each."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from water_pipelines.api import schemas
from water_pipelines.api.respond import Body, ListPage, OfThePresent, listed
from water_pipelines.storage.served import jobs
from water_pipelines.storage.served.jobs import JobFilter
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/datasets/jobs", tags=["datasets"])

Status = Literal["pending", "running", "succeeded", "failed", "quarantined"]


@router.get("", responses=schemas.answers(schemas.JobPage, statuses=(400, 422, 503)))
def list_jobs(
    respond: OfThePresent,
    page: ListPage,
    status: Annotated[Status | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[str | None, Query(description="Only files of this kind, such as data or mapping.")] = None,
    prefix: Annotated[str | None, Query(description="Only files that were dropped into this folder of the inbox.")] = None,
    name: Annotated[str | None, Query(description="Only files of this name.")] = None,
) -> Response:
    """Jobs, the latest arrival first: what became of each file that was dropped, and why."""

    def read(state: Reading) -> Body:
        found, following = jobs.page(state, JobFilter(status, kind, prefix, name), page.after_number, page.limit)
        return listed(found, following, None)

    return respond(read, page)


@router.get("/{job_id}", responses=schemas.answers(schemas.JobDetail))
def get_job(respond: OfThePresent, page: ListPage, job_id: Annotated[UUID, Path(description="The id that `water drop` printed.")]) -> Response:
    """A job with what its loads did and, in pages, the rows that were refused: `limit` and `cursor` go through these."""

    def read(state: Reading) -> Body:
        job = jobs.find(state, str(job_id))
        rejected, following = jobs.rejected_rows(state, job["arrival"], page.after_number, page.limit)
        return {**job, "rejected_rows": listed(rejected, following, None)}

    return respond(read, page)
