"""Datasets: the files that landed, of whatever kind, their bytes, and the job of each."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from water_pipelines.api import files, schemas, shape
from water_pipelines.api.files import FileWanted, Store
from water_pipelines.api.respond import Body, Csv, Format, ListPage, OfThePresent, Time, listed, next_of
from water_pipelines.storage.served import argo, datasets, jobs
from water_pipelines.storage.served.datasets import DatasetFilter
from water_pipelines.storage.served.jobs import JobFilter
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])

Status = Literal["pending", "running", "succeeded", "failed", "quarantined"]
OfStatus = Annotated[Status | None, Query(description="Only files whose load stands so.")]
OfKind = Annotated[str | None, Query(description="Only files of this kind: data, mapping, rules, tick, act, model, forecast or champion.")]
OfPrefix = Annotated[str | None, Query(description="Only files that were dropped into this folder of the inbox.")]
DatasetId = Annotated[UUID, Path(description="The id that `water drop` printed.")]


@router.get("", responses=schemas.answers(schemas.DatasetPage, statuses=(400, 422, 503)))
def list_datasets(
    respond: OfThePresent,
    page: ListPage,
    status: OfStatus = None,
    kind: OfKind = None,
    prefix: OfPrefix = None,
    start: Annotated[Time, Query(description="Only files that arrived from this time on (UTC).")] = None,
    end: Annotated[Time, Query(description="Only files that arrived before this time (UTC).")] = None,
) -> Response:
    """Every file that landed, the latest arrival first: users' data, mappings and rules, and the platform's own ticks, models and acts."""

    def read(state: Reading) -> Body:
        found, following = datasets.page(state, DatasetFilter(status, kind, prefix, start, end), page.after_number, page.limit)
        return listed(map(_linked, found), following, None)

    return respond(read, page)


@router.get("/jobs", responses=schemas.answers(schemas.JobPage, statuses=(400, 422, 503)))
def list_jobs(
    respond: OfThePresent,
    page: ListPage,
    status: OfStatus = None,
    kind: OfKind = None,
    prefix: OfPrefix = None,
    name: Annotated[str | None, Query(description="Only files of this name.")] = None,
) -> Response:
    """Jobs, the latest arrival first: what became of each file that landed, how far it is, how often it was tried, and why it failed."""

    def read(state: Reading) -> Body:
        found, following = jobs.page(state, JobFilter(status, kind, prefix, name), page.after_number, page.limit)
        return listed(found, following, None)

    return respond(read, page)


@router.get("/jobs/{job_id}", responses=schemas.answers(schemas.JobDetail, statuses=(400, 404, 422, 503)))
def get_job(respond: OfThePresent, page: ListPage, job_id: DatasetId) -> Response:
    """A job with what its loads did and, in pages, the rows that were refused: `limit` and `cursor` go through these."""

    def read(state: Reading) -> Body:
        job = jobs.find(state, str(job_id))
        rejected, following = jobs.rejected_rows(state, job["arrival"], page.after_number, page.limit)
        return {**job, "rejected_rows": listed(rejected, following, None)}

    return respond(read, page)


@router.get("/{dataset_id}", responses=schemas.answers(schemas.DatasetDetail, statuses=(404, 422, 503)))
def get_dataset(respond: OfThePresent, dataset_id: DatasetId) -> Response:
    """All facts of a file: where it came from, under which mapping and by which parser it was read, and what it says of which series."""

    def read(state: Reading) -> Body:
        found = datasets.find(state, str(dataset_id))
        of_argo = argo.of_dataset(state, found["arrival"])
        return {**_linked(found), "argo": of_argo and {**of_argo, "agreement": shape.argo_agreement(of_argo["agreement"])}}

    return respond(read)


@router.get("/{dataset_id}/file", response_class=Response, responses=schemas.BINARY)
def get_file(
    respond: OfThePresent,
    store: Store,
    wanted: FileWanted,
    dataset_id: DatasetId,
    redirect: Annotated[bool, Query(description="Where the object store is S3: 307 to a URL there, good for five minutes.")] = False,
) -> Response:
    """The bytes of a file exactly as they landed, whole or one range of them."""
    file = respond.find(lambda state: datasets.file(state, str(dataset_id)))
    return (files.presigned(store, file) if redirect else None) or files.answer(store, file, wanted)


@router.get(
    "/{dataset_id}/rejected",
    responses=schemas.answers(schemas.RejectedPage, csv="source_row,text,reason\r\n17,...,n/a is no number\r\n", statuses=(400, 404, 422, 503)),
)
def list_rejected_rows(
    respond: OfThePresent,
    page: ListPage,
    dataset_id: DatasetId,
    as_format: Annotated[Format, Query(alias="format", description="With csv, the cursor of the next page is the header `Water-Next`.")] = "json",
) -> Response:
    """The rows of a file that were refused, each with its line and the reason, in the order of the file."""

    def read(state: Reading) -> Body | Csv:
        rejected, following = jobs.rejected_rows(state, datasets.arrival_of(state, str(dataset_id)), page.after_number, page.limit)
        if as_format == "csv":
            return Csv({name: [row[name] for row in rejected] for name in ("source_row", "text", "reason")}, next_of(following, None))
        return listed(rejected, following, None)

    return respond(read, page)


def _linked(found: dict[str, Any]) -> dict[str, Any]:
    """A dataset with where to go on from it."""
    here = f"{router.prefix}/{found['id']}"
    return {**found, "links": {"file": f"{here}/file", "rejected": f"{here}/rejected", "job": f"{router.prefix}/jobs/{found['id']}"}}
