"""One way from a question to an answer: every route of data reads through a `Responder`.

It opens one state of the database, as of the change that was asked for, hands it to the route's function and sends what that gives
back, with the state's change number as its `ETag`. Routes of values take `OfValues`; routes that tell what goes on at present
(jobs, status), which no change number orders, take `OfThePresent`. Add here what must hold for all routes alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import orjson
from fastapi import Depends, Header, Query, Request, Response
from pydantic import BeforeValidator, WithJsonSchema

from water_pipelines.api.access import Access, access
from water_pipelines.api.cursors import BadCursor, Cursor, Key
from water_pipelines.storage.served.reading import Reading, reading

CHANGE_HEADER = "Water-Change"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC

Body = Mapping[str, Any]
Format = Literal["json", "csv"]
T = TypeVar("T")
_needs_quotes = re.compile(r'[",\r\n]|^\s|\s$').search


def as_utc(value: Any) -> Any:
    """A time as clients write it: ISO 8601, UTC unless it names an offset."""
    if not isinstance(value, str):
        return value
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{value!r} is no time; write ISO 8601 such as 2026-03-01T00:30:00Z (UTC unless an offset is given, whose + is written %2B)"
        ) from None


def as_of_value(value: Any) -> Any:
    """A change number or a time."""
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 19 else as_utc(value)


Time = Annotated[
    datetime | None, BeforeValidator(as_utc), WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T00:00:00Z"]})
]
AsOf = Annotated[
    int | datetime | None,
    BeforeValidator(as_of_value),
    WithJsonSchema({"type": "string", "examples": ["42", "2026-03-01T12:00:00Z"]}),
    Query(description="Read the state as of this change number, or as of the last change recorded up to this time. By default the last change."),
]


@dataclass(frozen=True)
class Page:
    """How much of a list is asked for, and from where on."""

    limit: int
    cursor: Cursor | None

    @property
    def after(self) -> Key | None:
        """The key after which the page begins."""
        return self.cursor.key if self.cursor else None

    @property
    def after_text(self) -> str | None:
        """The same, of a list whose keys are texts."""
        if not isinstance(self.after, str | None):
            raise BadCursor("the cursor belongs to another list")
        return self.after

    @property
    def after_number(self) -> int | None:
        """The same, of a list whose keys are numbers."""
        if not isinstance(self.after, int | None):
            raise BadCursor("the cursor belongs to another list")
        return self.after

    @property
    def after_time(self) -> datetime | None:
        """The same, of values: the time at which the page begins."""
        try:
            return None if self.after_text is None else datetime.fromisoformat(self.after_text)
        except ValueError:
            raise BadCursor("the cursor belongs to another list") from None


_CURSOR = Query(description="`next` of the answer before; leave it out to begin.")


async def list_page(
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many items.")] = 100, cursor: Annotated[str | None, _CURSOR] = None
) -> Page:
    """A page of a list of things."""
    return Page(limit, Cursor.read(cursor) if cursor else None)


async def value_page(
    limit: Annotated[int, Query(ge=1, le=100_000, description="At most so many points of a series.")] = 10_000,
    cursor: Annotated[str | None, _CURSOR] = None,
) -> Page:
    """A page of values."""
    return Page(limit, Cursor.read(cursor) if cursor else None)


ListPage = Annotated[Page, Depends(list_page)]
ValuePage = Annotated[Page, Depends(value_page)]


@dataclass(frozen=True)
class Csv:
    """An answer as comma-separated values; `following` is where the next page begins."""

    columns: Mapping[str, Any]
    following: str | None


@dataclass(frozen=True)
class File:
    """An answer as a file that is made of what was read: the same state gives the same bytes."""

    content: bytes
    media_type: str
    name: str


class Responder:
    """Answers one request of one reader from one state of the database."""

    def __init__(self, request: Request, access: Access, *, as_of: int | datetime | None, if_none_match: str | None, is_of_values: bool) -> None:
        self._request = request
        self._access = access
        self._as_of = as_of
        self._known = {tag.strip() for tag in (if_none_match or "").split(",")}
        self._is_of_values = is_of_values

    def find(self, read: Callable[[Reading], T]) -> T:
        """What `read` finds at present, for an answer that is not made of it alone."""
        with reading(self._request.app.state.database) as state:
            return read(state)

    def __call__(self, read: Callable[[Reading], Body | Csv | File], page: Page | None = None) -> Response:
        """Send what `read` finds in the state that is asked for; a later page is read in the state of the first."""
        pinned = page.cursor.change if page and page.cursor else None
        if self._is_of_values and page and page.cursor and pinned is None:
            raise BadCursor("the cursor belongs to another list")
        as_of = self._as_of if self._as_of is not None else pinned
        with reading(self._request.app.state.database, as_of) as state:
            if pinned is not None and pinned != state.number:
                raise BadCursor(f"the cursor belongs to change {pinned}, and as_of names change {state.number}; leave one of them out")
            if not self._is_of_values:
                return _encode(read(state), {"Cache-Control": "no-store"})
            tag = f'W/"{state.number}-{self._request.app.version}"'
            headers = {"ETag": tag, CHANGE_HEADER: str(state.number), "Cache-Control": "no-cache"}
            if tag in self._known:
                return Response(status_code=304, headers=headers)
            return _encode(read(state), headers)


async def of_values(
    request: Request,
    access: Annotated[Access, Depends(access)],
    as_of: AsOf = None,
    if_none_match: Annotated[str | None, Header(description="`ETag` of an answer that is kept: 304 where nothing has changed since.")] = None,
) -> Responder:
    """The responder of a route whose body is a function of the query and the change number."""
    return Responder(request, access, as_of=as_of, if_none_match=if_none_match, is_of_values=True)


async def of_the_present(request: Request, access: Annotated[Access, Depends(access)]) -> Responder:
    """The responder of a route that tells what goes on at present."""
    return Responder(request, access, as_of=None, if_none_match=None, is_of_values=False)


OfValues = Annotated[Responder, Depends(of_values)]
OfThePresent = Annotated[Responder, Depends(of_the_present)]


def listed(items: Iterable[Any], following: Key | None, state: Reading | None) -> Body:
    """The envelope of a list. `state` is what its later pages are to be read in; none for lists of what goes on at present."""
    return {"items": list(items), "next": next_of(following, state)}


def next_of(following: Key | datetime | None, state: Reading | None) -> str | None:
    """The cursor of the page that begins after a key, or at a time."""
    if following is None:
        return None
    key = following.isoformat() if isinstance(following, datetime) else following
    return str(Cursor(key, state.number if state else None))


def _encode(answer: Body | Csv | File, headers: dict[str, str]) -> Response:
    if isinstance(answer, File):
        named = {**headers, "Content-Disposition": f'attachment; filename="{answer.name}"', "X-Content-Type-Options": "nosniff"}
        return Response(answer.content, media_type=answer.media_type, headers=named)
    if isinstance(answer, Csv):
        if answer.following:
            headers = {**headers, "Water-Next": answer.following}
        return Response(_csv(answer.columns), media_type="text/csv; charset=utf-8", headers=headers)
    return Response(_json(answer), media_type="application/json", headers=headers)


def _json(answer: Body) -> bytes:
    try:
        return orjson.dumps(answer, option=_OPTIONS)
    except TypeError:  # what a source says of a station or a float may hold integers of more than 64 bits
        return orjson.dumps(_of_64_bits(answer), option=_OPTIONS)


def _of_64_bits(value: Any) -> Any:
    """The same with integers that are too long for JSON's readers as floating-point numbers."""
    if isinstance(value, Mapping):
        return {name: _of_64_bits(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_of_64_bits(each) for each in value]
    return float(value) if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64 else value


def _csv(columns: Mapping[str, Any]) -> bytes:
    """Columns as lines, in the words of the JSON answer: a missing value is empty, and names in a list are parted by spaces."""
    fields = [_texts(column) if isinstance(column, list) else _numbers(column) for column in columns.values()]
    lines = [b",".join(name.encode() for name in columns)]
    if len(next(iter(columns.values()))):
        lines += [b",".join(row) for row in zip(*fields, strict=True)]
    return b"\r\n".join(lines) + b"\r\n"


def _numbers(column: Any) -> list[bytes]:
    """An array of numbers or times, in bulk."""
    return orjson.dumps(column, option=_OPTIONS)[1:-1].replace(b'"', b"").replace(b"null", b"").split(b",")


def _texts(column: Sequence[Any]) -> list[bytes]:
    """Texts, names or numbers one by one, in quotes where RFC 4180 asks for them."""
    texts = ["" if each is None else " ".join(each) if isinstance(each, list) else str(each) for each in column]
    return [('"' + text.replace('"', '""') + '"' if _needs_quotes(text) else text).encode() for text in texts]
