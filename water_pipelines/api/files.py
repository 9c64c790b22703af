"""The bytes of one object as an answer: whole or in a range, streamed from the object store, never in memory at once.

Keep out: which object may be asked for; a route finds its key in the ledger and takes none from the client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from functools import cache
from http import HTTPStatus
from mimetypes import guess_type
from typing import Annotated, BinaryIO, NamedTuple
from urllib.parse import quote

from fastapi import Depends, Header, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from water_pipelines.clients.object_store import CHUNK, ObjectStore, store_from_settings
from water_pipelines.settings import Settings
from water_pipelines.storage.served.datasets import File

PRESIGNED_S = 300
_one_range = re.compile(r"bytes=(\d*)-(\d*)").fullmatch


def store_of(settings: Settings) -> Callable[[], ObjectStore]:
    """Gives the object store that the settings name; it is opened when it is first asked for."""

    @cache
    def opened() -> ObjectStore:
        if settings.store_root is not None:
            return store_from_settings(settings)
        import boto3
        from botocore.config import Config

        signed = Config(signature_version="s3v4")  # else URLs are signed in a way that buckets made since 2020 refuse
        client = boto3.client("s3", endpoint_url=settings.s3_endpoint_url, region_name=settings.s3_region, config=signed)
        return store_from_settings(settings, client)

    return opened


class Wanted(NamedTuple):
    """What of a file is asked for, as the headers of the request say."""

    range: str | None
    if_range: str | None
    known: frozenset[str]


async def wanted(
    range: Annotated[str | None, Header(description="One range of bytes, such as `bytes=0-1023`: 206.", examples=["bytes=0-1023"])] = None,
    if_range: Annotated[str | None, Header(description="`ETag` of what is there already; of another file all is sent.")] = None,
    if_none_match: Annotated[str | None, Header(description="`ETag` of a file that is kept: 304.")] = None,
) -> Wanted:
    """The headers that choose among the bytes of a file."""
    return Wanted(range, if_range, frozenset(tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")))


def store_of_request(request: Request) -> ObjectStore:
    """The object store of the application."""
    store: ObjectStore = request.app.state.store()
    return store


FileWanted = Annotated[Wanted, Depends(wanted)]
Store = Annotated[ObjectStore, Depends(store_of_request)]


def presigned(store: ObjectStore, file: File) -> Response | None:
    """Send the client to the store itself, for a few minutes and this object only; none where the store is a folder."""
    url = store.presigned(file.key, file.name, PRESIGNED_S)
    return None if url is None else RedirectResponse(url, HTTPStatus.TEMPORARY_REDIRECT, headers={"Cache-Control": "no-store"})


def answer(store: ObjectStore, file: File, wanted: Wanted) -> Response:
    """Send a file as it landed; a range that cannot be given is a 416, several ranges are answered by the whole file."""
    tag = f'"{file.sha256}"'
    media_type, encoding = guess_type(file.name)
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Last-Modified": format_datetime(file.arrived_at.replace(microsecond=0), usegmt=True),
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "Content-Encoding": "identity",  # as it landed: neither unpacked nor packed on the way
        "X-Content-Type-Options": "nosniff",
    }
    if tag in wanted.known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    span = _span(wanted.range, file.bytes) if wanted.if_range in (None, tag) else None
    if span is not None and not span:
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers={**headers, "Content-Range": f"bytes */{file.bytes}"})
    status = HTTPStatus.OK if span is None else HTTPStatus.PARTIAL_CONTENT
    if span is None:
        span = range(file.bytes)
    else:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{file.bytes}"
    headers["Content-Length"] = str(len(span))
    kind = "application/octet-stream" if media_type is None or encoding else media_type
    return StreamingResponse(_chunks(store.open(file.key), span), status, headers, kind)


def _span(header: str | None, size: int) -> range | None:
    """The positions of the bytes that are asked for; none for all, empty where there are no such bytes.

    >>> _span("bytes=2-3", 10), _span("bytes=-4", 10), _span("bytes=8-", 10), _span("bytes=10-", 10), _span("bytes=0-1,4-5", 10)
    (range(2, 4), range(6, 10), range(8, 10), range(0, 0), None)
    """
    found = _one_range(header) if header else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    return range(start, stop) if start < stop else range(0)


def _chunks(stream: BinaryIO, span: range) -> Iterator[bytes]:
    with stream:
        stream.seek(span.start)
        left = len(span)
        while left and (chunk := stream.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
