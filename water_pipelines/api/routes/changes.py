"""Changes: a feed by which a copy of the values and their flags is kept up to date."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from water_pipelines.api import schemas
from water_pipelines.api.respond import Body, OfValues
from water_pipelines.storage.served import changes
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/changes", tags=["changes"])


@router.get("", responses=schemas.answers(schemas.ChangePage, statuses=(400, 410, 422, 503)))
def list_changes(
    respond: OfValues,
    since: Annotated[int, Query(ge=0, description="`cursor` of the answer before; 0 to begin.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="About so many entries; those of one change are never parted.")] = 1000,
) -> Response:
    """What happened after a change, in order: values added, changed, withdrawn, deleted or flagged otherwise, by series and whole days.

    To keep a copy: read the values of each series within each window again, as of `cursor`; then ask with `since=cursor`. `complete` tells
    that nothing more had happened by then. Nothing is told twice, and nothing is missed, however many write at once. A cursor that lies ahead
    is answered by 400: the database was restored or rebuilt, and a copy starts over.
    """

    def read(state: Reading) -> Body:
        found, last = changes.page(state, since, limit)
        return {"items": found, "cursor": max(since, state.number) if last is None else last, "complete": last is None}

    return respond(read)
