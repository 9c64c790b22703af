"""One SensorThings server over HTTP: pages, negotiated with what it can do; entities and observations written to it.

What FROST and other servers were seen to do is handled here (silently capped `$top`, 500 for a query that is not understood, a 201 that
holds errors). Add what a server does over HTTP. Keep out: what is asked when, and what becomes of the answers.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import httpx
import orjson

from water_pipelines.domain.storable import storable

log = logging.getLogger(__name__)
T = TypeVar("T")

LARGEST_BYTES = 128 << 20
FEWEST_ROWS = 10
_ATTEMPTS = 4
_TRICKLES = 10
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0
_GATEWAY_TIMEOUT = 504
_PASSING = frozenset({408, 425, 429, 502, 503, _GATEWAY_TIMEOUT})
_NOT_UNDERSTOOD = frozenset({400, 404, 405, 406, 414, 422, 500, 501})
_PLAIN = {"$select": "id,phenomenonTime,resultTime,result,resultQuality,parameters"}
_TOKEN_MARGIN_S = 30.0
_ADDRESS = re.compile(r"\(([^()]+)\)/?$")
_IN_QUERY = "$,()'/:*;=@+-._~"


class SensorThingsError(Exception):
    """A server could not be used; the message says which, and why."""


class Unreachable(SensorThingsError):
    """It does not answer, or not now: trying again later may help."""


class TooSlow(Unreachable):
    """It does not give in time what was asked for; less of it may do."""


class NotAllowed(SensorThingsError):
    """It wants other credentials."""


class NotUnderstood(SensorThingsError):
    """It does not answer this question; another form of it may do."""


class BadAnswer(SensorThingsError):
    """It answers with what is no SensorThings."""


class TooLarge(BadAnswer):
    """An answer has more bytes than any sensible page."""


class EndlessPages(BadAnswer):
    """A link to the next page leads back to what was read."""


class ForeignLink(BadAnswer):
    """A link leads to another host, which is given neither a request nor credentials."""


@dataclass(frozen=True)
class Access:
    """How a server is reached. Nothing of it is ever logged."""

    url: str
    authentication: str = "none"
    username: str = ""
    secret: str = field(default="", repr=False)
    token_url: str = ""
    client_id: str = ""
    scope: str = ""
    accept_self_signed: bool = False


@dataclass(frozen=True)
class Answer:
    """One page: what was asked, the bytes as they came, but for what cannot be stored, and the same read as JSON."""

    url: str
    body: bytes
    document: dict[str, Any]

    @property
    def is_last(self) -> bool:
        """Whether no page follows: a page without a row has nothing behind it, whatever its link says."""
        return not self.document.get("@iot.nextLink") or not self.document.get("value")


@dataclass(frozen=True)
class Form:
    """One form in which observations can be asked for.

    Parameters
    ----------
    options : query options that every question of this form has.
    names_datastream : whether each row tells its Datastream; else each Datastream is asked by itself.
    """

    name: str
    options: Mapping[str, str]
    names_datastream: bool = True

    def of(self, has_multi: bool) -> dict[str, str]:
        """The options, for a server with or without MultiDatastreams."""
        options = dict(self.options)
        if "$expand" in options and has_multi:
            options["$expand"] += ",MultiDatastream($select=id)"
        return options


def literal(identity: Any) -> str:
    """An id as it stands in a path or a filter.

    >>> literal(12), literal("o'1")
    ('12', "'o''1'")
    """
    if str(identity).isdecimal():
        return str(identity)
    quoted = str(identity).replace("'", "''")
    return f"'{quoted}'"


_EXPAND = {"$expand": "Datastream($select=id)"}
FORMS = (
    Form("data array, 10,000 a page", {"$resultFormat": "dataArray", "$top": "10000"}),
    Form("data array, 1,000 a page", {"$resultFormat": "dataArray", "$top": "1000"}),
    Form("data array", {"$resultFormat": "dataArray"}),
    Form("selected, 10,000 a page", {**_EXPAND, **_PLAIN, "$top": "10000"}),
    Form("selected, 1,000 a page", {**_EXPAND, **_PLAIN, "$top": "1000"}),
    Form("selected, 100 a page", {**_EXPAND, **_PLAIN, "$top": "100"}),
    Form("expanded", {"$expand": "Datastream"}),
    Form("a Datastream at a time", {}, names_datastream=False),
)
"""From the cheapest to what every server must be able to do."""


class SensorThings:
    """A client of one server. Opens nothing until it is asked; used by one thread at a time.

    Parameters
    ----------
    access : Access
    patience_s : how long the server may be silent; an answer that trickles may take ten times as long.
    sleep, now : the clock, for tests.
    """

    def __init__(
        self,
        access: Access,
        *,
        patience_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        largest_bytes: int = LARGEST_BYTES,
    ) -> None:
        self.requests = 0
        self.trusts_expand = True
        self._access = access
        self._base = access.url.rstrip("/") + "/"
        self._sleep, self._now = sleep, now
        self._largest, self._patience_s = largest_bytes, patience_s
        self._most_rows: int | None = None
        self._token, self._token_until = "", 0.0
        self._http = httpx.Client(
            timeout=httpx.Timeout(patience_s, connect=min(patience_s, 10.0)),
            verify=not access.accept_self_signed,
            auth=(access.username, access.secret) if access.authentication == "basic" else None,
            headers={"Accept": "application/json", "User-Agent": "water-pipelines"},
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> SensorThings:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    # Asking

    def collections(self) -> set[str]:
        """The names of the collections that the server has."""
        document = self._get(self._base).document
        listed = document.get("value")
        if not isinstance(listed, list):
            raise BadAnswer(f"{self._base} is no root of a SensorThings server: it lists no collections")
        return {str(each.get("name")) for each in listed if isinstance(each, dict)}

    def one(self, path: str, options: Mapping[str, str] | None = None) -> Answer:
        """One answer, without its further pages."""
        return self._get(self._url(path, options or {}))

    def pages(self, path: str, options: Mapping[str, str]) -> Iterator[Answer]:
        """The pages of a collection, one after the other, by the server's own links.

        A page that does not come in time, or is too large, is asked for with a tenth of its rows, and so is all that comes after it: a server
        that is slow would be asked for the same in vain for ever.

        Raises
        ------
        EndlessPages, ForeignLink, TooLarge, BadAnswer, NotUnderstood, NotAllowed, Unreachable
        """
        options, passed, before = self._limited(options), 0, None
        url: str | None = self._url(path, options)
        seen: set[str] = set()
        while url is not None:
            if url in seen:
                raise EndlessPages(f"the pages of {self._shown(url)} lead back to where they were: the server's @iot.nextLink is wrong")
            seen.add(url)
            rows = int(options.get("$top", "0"))
            try:
                answer = self._get(url, may_be_less=rows > FEWEST_ROWS)
            except (TooSlow, TooLarge) as error:
                if rows <= FEWEST_ROWS:
                    raise
                self._most_rows = max(rows // 10, FEWEST_ROWS)
                log.info("%s; its pages are asked for with %s rows from here on", error, self._most_rows)
                options = self._limited(options)
                url = self._url(path, {**options, "$skip": str(passed)})
                continue
            value = answer.document.get("value")
            if not isinstance(value, list):
                raise BadAnswer(f"the answer to {self._shown(url)} holds no list (value)")
            if value and value == before:
                raise EndlessPages(f"{self._shown(url)} gives the rows of the page before it: the server does not keep to the links that it gives")
            before = value
            passed += sum(len(each["dataArray"]) if isinstance(each, dict) and "dataArray" in each else 1 for each in value)
            yield answer
            url = self._next(answer)

    def _limited(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Options with no more rows than the server gives in time."""
        if "$top" not in options or self._most_rows is None:
            return options
        return {**options, "$top": str(min(int(options["$top"]), self._most_rows))}

    def understood(self, path: str, options: Mapping[str, str]) -> Iterator[Answer] | None:
        """The pages of a question, of which the first was asked; none where the server does not understand it."""
        answers = self.pages(path, options)
        try:
            first = next(answers)
        except NotUnderstood:
            return None
        return chain([first], answers)

    def entities(self, path: str, expands: Sequence[str | None], select: str | None = None) -> Iterator[Answer]:
        """The pages of a collection, in the first form that the server understands.

        Parameters
        ----------
        expands : what is wanted with each entity, the most telling first.
        select : properties that are enough.
        """
        for expand in expands:
            for selected in dict.fromkeys((select, None)):
                for top in ("1000", "100", None):
                    options = {"$expand": expand, "$select": selected, "$top": top, "$orderby": "id"}
                    found = self.understood(path, {name: value for name, value in options.items() if value is not None})
                    if found is not None:
                        yield from found
                        return
        raise NotUnderstood(f"{self._shown(self._base + path)} cannot be listed with what belongs to each entity")

    def datastreams(self, path: str, select: str) -> Iterator[Answer]:
        """The pages of Datastreams or MultiDatastreams, each entity with its Thing, Sensor and observed properties.

        A server was seen that gives every entity of a collection the Sensor of the first. Where it does, what belongs together is found
        from the other end, and the pages are composed of both.
        """
        many = path == "MultiDatastreams"
        properties = "ObservedProperties" if many else "ObservedProperty"
        answers = self.entities(path, (f"Thing($select=id,name),Sensor,{properties}", f"Thing,Sensor,{properties}"), select)
        first = next(answers, None)
        if first is None:
            return
        relations = {"Thing": "Things", "Sensor": "Sensors"} | ({} if many else {"ObservedProperty": "ObservedProperties"})
        self.trusts_expand = all(self._is_right(path, first.document["value"], name, of) for name, of in relations.items())
        if self.trusts_expand:
            yield from chain([first], answers)
            return
        owners = {name: self._owners(of, path) for name, of in relations.items()}
        for answer in self.entities(path, ("ObservedProperties", None) if many else (None,), select):
            for entity in answer.document["value"]:
                entity |= {name: owner for name, by_id in owners.items() if (owner := by_id.get(str(entity["@iot.id"]))) is not None}
            yield Answer(answer.url, orjson.dumps(answer.document), answer.document)

    def _is_right(self, path: str, entities: Sequence[dict[str, Any]], name: str, collection: str) -> bool:
        """Whether entities that are all said to have the same owner do: it must have as many of them."""
        owners = {str(entity[name].get("@iot.id")) for entity in entities if isinstance(entity.get(name), dict)}
        if len(entities) < 2 or len(owners) != 1:
            return True
        try:
            answer = self.one(f"{collection}({literal(owners.pop())})/{path}", {"$count": "true", "$top": "1"})
        except NotUnderstood:
            return True
        count = answer.document.get("@iot.count")
        return not isinstance(count, int) or count >= len(entities)

    def _owners(self, collection: str, path: str) -> dict[str, dict[str, Any]]:
        """Which entity of a collection each Datastream belongs to, by the Datastream's id."""
        found: dict[str, dict[str, Any]] = {}
        for answer in self.entities(collection, (f"{path}($select=id)", path)):
            for owner in answer.document["value"]:
                plain = {key: value for key, value in owner.items() if not key.startswith(path)}
                owned = owner.get(path) or []
                if owner.get(f"{path}@iot.nextLink"):
                    owned = [
                        each
                        for more in self.entities(f"{collection}({literal(owner['@iot.id'])})/{path}", (None,), "id")
                        for each in more.document["value"]
                    ]
                found |= {str(each["@iot.id"]): plain for each in owned}
        return found

    def _next(self, answer: Answer) -> str | None:
        if answer.is_last:
            return None
        url = urljoin(answer.url, str(answer.document["@iot.nextLink"]))
        ours, theirs = urlsplit(self._base), urlsplit(url)
        if (ours.scheme, ours.hostname, ours.port) != (theirs.scheme, theirs.hostname, theirs.port):
            raise ForeignLink(
                f"the next page of {self._shown(answer.url)} is said to be at {theirs.scheme}://{theirs.netloc.rpartition('@')[2]}, which is not the"
                " server that was configured; configure the address by which the server calls itself, or mend its service root"
            )
        return url

    def find(self, path: str, name: str, marks: Callable[[Mapping[str, Any]], bool]) -> str | None:
        """The id of the entity of a name that bears our mark; none where there is none."""
        quoted = name.replace("'", "''")
        found = self.understood(path, {"$filter": f"name eq '{quoted}'"})
        for answer in found if found is not None else self.entities(path, (None,)):
            for entity in answer.document["value"]:
                if entity.get("name") == name and marks(entity.get("properties") or {}):
                    return str(entity["@iot.id"])
        return None

    def observations(self, path: str, options: Mapping[str, str]) -> Iterator[Answer]:
        """The pages of observations of one Datastream, as a data array where the server offers it (which keeps fractions of a second)."""
        for form in FORMS:
            if "$expand" not in form.options:
                found = self.understood(path, {**form.options, **options})
                if found is not None:
                    yield from found
                    return
        raise NotUnderstood(f"{self._shown(self._base + path)} gives no observations")

    # Writing

    def create(self, path: str, entity: Mapping[str, Any]) -> str:
        """Create an entity; gives its id."""
        answer = self._send("POST", self._url(path, {}), orjson.dumps(entity))
        found = _ADDRESS.search(answer.headers.get("location") or "")
        if found is not None:
            return found[1].strip("'")
        raise BadAnswer(f"{self._shown(self._url(path, {}))} created an entity and does not tell where it is")

    def update(self, path: str, identity: Any, entity: Mapping[str, Any]) -> None:
        """Change an entity (PATCH)."""
        self._send("PATCH", self._url(f"{path}({literal(identity)})", {}), orjson.dumps(entity))

    def delete(self, path: str, identity: Any) -> None:
        """Delete an entity."""
        self._send("DELETE", self._url(f"{path}({literal(identity)})", {}), None)

    def create_observations(self, groups: Sequence[Mapping[str, Any]]) -> list[str]:
        """Create observations in bulk; gives for each row, in order, its address or what is wrong with it (beginning with `error`)."""
        said = self._send("POST", self._url("CreateObservations", {}), orjson.dumps(groups))
        try:
            outcome = orjson.loads(said.content)
        except orjson.JSONDecodeError as error:
            raise BadAnswer("the answer to CreateObservations is no JSON") from error
        if not isinstance(outcome, list):
            raise BadAnswer("the answer to CreateObservations is no list")
        return [str(each) for each in outcome]

    def create_in_batch(self, path: str, entities: Sequence[Mapping[str, Any]]) -> list[str]:
        """Create entities of a collection in one request (`$batch`, in JSON); gives the same as `create_observations`.

        Raises
        ------
        NotUnderstood
            The server has no batches in JSON: some answer a success that says nothing of the parts.
        """
        parts: list[dict[str, Any]] = [{"id": str(number), "method": "post", "url": path, "body": entity} for number, entity in enumerate(entities)]
        url = self._url("$batch", {})
        said = self._send("POST", url, orjson.dumps({"requests": parts}))
        try:
            outcome = {str(each["id"]): each for each in orjson.loads(said.content)["responses"]}
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise NotUnderstood(f"the answer to {self._shown(url)} holds no responses") from error
        return [_outcome(outcome.get(part["id"], {})) for part in parts]

    # HTTP

    def _url(self, path: str, options: Mapping[str, str]) -> str:
        query = "&".join(f"{name}={quote(value, safe=_IN_QUERY)}".replace("+", "%2B") for name, value in options.items())
        return self._base + path + (f"?{query}" if query else "")

    def _get(self, url: str, *, may_be_less: bool = False) -> Answer:
        def read() -> bytes:
            ends_at = self._now() + _TRICKLES * self._patience_s
            with self._http.stream("GET", url, headers=self._credentials()) as response:
                if response.status_code != 200:
                    response.read()
                    self._refuse(response)
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > self._largest:
                        raise TooLarge(f"the answer to {self._shown(url)} has more than {self._largest >> 20} MiB")
                    if self._now() > ends_at:
                        raise TooSlow(f"the answer to {self._shown(url)} came too slowly to wait for its end")
                return bytes(body)

        body = storable(self._patiently(url, read, may_be_less=may_be_less))
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadAnswer(f"the answer to {self._shown(url)} is no JSON: {error}") from error
        if not isinstance(document, dict):
            raise BadAnswer(f"the answer to {self._shown(url)} is no JSON object")
        return Answer(url, body, document)

    def _send(self, method: str, url: str, content: bytes | None) -> httpx.Response:
        def send() -> httpx.Response:
            headers = {**self._credentials(), **({"Content-Type": "application/json"} if content is not None else {})}
            response = self._http.request(method, url, content=content, headers=headers)
            if response.status_code not in (200, 201, 204):
                self._refuse(response)
            return response

        return self._patiently(url, send, may_repeat=method != "POST")

    def _patiently(self, url: str, ask: Callable[[], T], *, may_repeat: bool = True, may_be_less: bool = False) -> T:
        """Ask, again after a pause where that may help.

        Parameters
        ----------
        may_repeat : what writes is only asked again where it was not done.
        may_be_less : what does not come in time is not asked again, but `TooSlow`: each such question costs the server its whole answer.
        """
        was_refreshed = False
        for attempt in range(_ATTEMPTS):
            try:
                self.requests += 1
                return ask()
            except _Wait as wait:
                if may_be_less and wait.is_gateway:
                    raise TooSlow(f"{self._shown(url)} is not answered in time ({wait})") from wait
                pause, said = wait.pause_s, str(wait)
            except NotAllowed:
                if was_refreshed or self._access.authentication != "oidc":
                    raise
                was_refreshed, self._token = True, ""
                continue
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise SensorThingsError(
                        f"the certificate of {self._shown(url)} cannot be verified: {error}; accept_self_signed: true takes it nevertheless"
                    ) from error
                pause, said = None, f"{type(error).__name__}: {error}"
            except httpx.HTTPError as error:
                if may_be_less and isinstance(error, httpx.ReadTimeout):
                    raise TooSlow(f"{self._shown(url)} is not answered within {self._patience_s:g} s") from error
                if not may_repeat:
                    raise Unreachable(
                        f"{self._shown(url)} was cut off ({type(error).__name__}: {error}); whether it was done is not known"
                    ) from error
                pause, said = None, f"{type(error).__name__}: {error}"
            if attempt + 1 < _ATTEMPTS:
                self._sleep(pause if pause is not None else _FIRST_PAUSE_S * 2**attempt * random.uniform(0.8, 1.2))
        raise Unreachable(f"{self._shown(url)} does not answer, {_ATTEMPTS} times asked: {said}")

    def _refuse(self, response: httpx.Response) -> None:
        """Raise what an answer other than success means."""
        status, url = response.status_code, self._shown(str(response.url))
        said = response.text[:300]
        if status in _PASSING:
            raise _Wait(f"{status} {said}", _pause(response.headers.get("retry-after")), is_gateway=status == _GATEWAY_TIMEOUT)
        if status in (401, 403):
            raise NotAllowed(f"{url} answers {status}: the credentials are wrong, or lack a role")
        if status in _NOT_UNDERSTOOD:
            raise NotUnderstood(f"{url} answers {status}: {said}")
        if 300 <= status < 400:
            raise BadAnswer(f"{url} leads on to {response.headers.get('location', 'nowhere')}: configure that address")
        raise BadAnswer(f"{url} answers {status}: {said}")

    def _credentials(self) -> dict[str, str]:
        if self._access.authentication == "bearer":
            return {"Authorization": f"Bearer {self._access.secret}"}
        if self._access.authentication != "oidc":
            return {}
        if not self._token or self._now() >= self._token_until:
            self._fetch_token()
        return {"Authorization": f"Bearer {self._token}"}

    def _fetch_token(self) -> None:
        wanted = {"grant_type": "client_credentials"} | ({"scope": self._access.scope} if self._access.scope else {})
        response = self._http.post(self._access.token_url, data=wanted, auth=(self._access.client_id, self._access.secret))
        if response.status_code != 200:
            if response.status_code in _PASSING or response.status_code >= 500:
                raise _Wait(f"the token's server answers {response.status_code}", _pause(response.headers.get("retry-after")))
            raise SensorThingsError(f"{self._access.token_url} gives no token: {response.status_code}")
        try:
            said = orjson.loads(response.content)
            self._token = str(said["access_token"])
            self._token_until = self._now() + max(float(said.get("expires_in", 60)) - _TOKEN_MARGIN_S, 1.0)
        except (ValueError, KeyError, TypeError) as error:
            raise SensorThingsError(f"{self._access.token_url} gives no token: its answer holds no access_token") from error

    @staticmethod
    def _shown(url: str) -> str:
        return url if len(url) <= 200 else f"{url[:200]}..."


class _Wait(Exception):
    """Ask again after a pause; none where the server names none. A gateway says it of a server behind it that was too slow."""

    def __init__(self, message: str, pause_s: float | None, *, is_gateway: bool = False) -> None:
        super().__init__(message)
        self.pause_s, self.is_gateway = pause_s, is_gateway


def _outcome(part: Mapping[str, Any]) -> str:
    """What a part of a batch says: the address of what was created, or what is wrong.

    >>> _outcome({"status": 201, "location": "http://x/Observations(1)"}), _outcome({"status": 400, "body": {"message": "no result"}})
    ('http://x/Observations(1)', 'error 400: no result')
    """
    if part.get("status") == 201:
        return str(part.get("location") or (part.get("headers") or {}).get("location") or "created")
    body = part.get("body")
    said = body.get("message", body) if isinstance(body, dict) else body
    return f"error {part.get('status', 'without an answer')}" + (f": {said}"[:300] if said else "")


def _pause(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After, which is a number or a date, within reason.

    >>> _pause("3"), _pause("100000"), _pause("soon"), _pause(None)
    (3.0, 60.0, None, None)
    """
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE_S)
