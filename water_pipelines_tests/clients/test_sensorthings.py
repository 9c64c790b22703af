"""The SensorThings client against servers that fail in the ways that servers do."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from water_pipelines.clients.sensorthings import (
    Access,
    BadAnswer,
    EndlessPages,
    ForeignLink,
    NotAllowed,
    NotUnderstood,
    SensorThings,
    SensorThingsError,
    TooLarge,
    Unreachable,
)


class Asked(BaseHTTPRequestHandler):
    """A request; `content` is the body of one that writes."""

    content = b""


Answering = Callable[[Asked, int], None]


def say(handler: BaseHTTPRequestHandler, body: Any, status: int = 200, **headers: str) -> None:
    """Answer with JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


@contextmanager
def serving(answer: Answering, *, certificate: Path | None = None) -> Iterator[str]:
    """A server that answers its n-th request (from 0) by `answer(handler, n)`; gives its address."""
    count = iter(range(1_000_000))

    class Handler(Asked):
        def do_GET(self) -> None:
            answer(self, next(count))

        def do_POST(self) -> None:
            self.content = self.rfile.read(int(self.headers["Content-Length"]))
            answer(self, next(count))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def client(url: str, **more: Any) -> SensorThings:
    """A client that does not wait between its attempts."""
    settings = {name: more.pop(name) for name in ("sleep", "now", "largest_bytes", "patience_s") if name in more}
    return SensorThings(Access(url, **more), **{"sleep": lambda seconds: None, "patience_s": 20.0, **settings})


def rows(first: int, count: int) -> list[dict[str, Any]]:
    return [{"@iot.id": first + number} for number in range(count)]


def test_a_server_that_is_busy_is_asked_again_when_it_says_so() -> None:
    """429 with Retry-After: 3, then 503 without: the first pause is 3 s, the second our own; the third answer counts."""
    pauses: list[float] = []

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 0:
            say(handler, {}, 429, Retry_After="3")
        elif number == 1:
            say(handler, {}, 503)
        else:
            say(handler, {"value": rows(1, 2)})

    with serving(answer) as url, client(url, sleep=pauses.append) as asking:
        assert [len(page.document["value"]) for page in asking.pages("Observations", {})] == [2]
    assert pauses[0] == 3.0
    assert 0.5 < pauses[1] < 2.0


def test_a_server_that_stays_away_is_unreachable() -> None:
    """After 4 attempts it is told so, whatever it said."""
    with (
        serving(lambda handler, number: say(handler, {}, 502)) as url,
        client(url) as asking,
        pytest.raises(Unreachable, match="4 times asked"),
    ):
        asking.one("Things")
    with client("http://127.0.0.1:9") as asking, pytest.raises(Unreachable):
        asking.one("Things")


def test_a_server_that_restarts_within_a_page_is_asked_for_it_again() -> None:
    """The first answer breaks off in the middle of its body; the second is whole, and each row comes once."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"value": [')
            handler.close_connection = True
            return
        link = {"@iot.nextLink": "Observations?$skip=2"} if number == 0 else {}
        say(handler, {"value": rows(1 if number == 0 else 3, 2), **link})

    with serving(answer) as url, client(url) as asking:
        found = [row["@iot.id"] for page in asking.pages("Observations", {}) for row in page.document["value"]]
    assert found == [1, 2, 3, 4]


@pytest.mark.parametrize("why", ["silent", "gateway", "too large"])
def test_a_page_that_does_not_come_is_asked_for_smaller(why: str) -> None:
    """Of 1,250 rows the first 1,000 come; whoever asks for more than 100 after them waits in vain. They come by the hundred, each once."""
    asked: list[tuple[int, int]] = []
    over = Event()

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        options = dict(parse_qsl(urlsplit(handler.path).query))
        skip, top = int(options.get("$skip", "0")), int(options["$top"])
        asked.append((skip, top))
        if skip and top > 100:
            if why == "silent":
                over.wait(60)
            say(handler, {"value": rows(1, 10_000)}, 200 if why == "too large" else 504)
            return
        link = {"@iot.nextLink": f"/Observations?$top={top}&$skip={skip + top}"} if skip + top < 1_250 else {}
        say(handler, {"value": rows(1 + skip, min(top, 1_250 - skip)), **link})

    with serving(answer) as url, client(url, patience_s=2.0, largest_bytes=100_000) as asking:
        found = [row["@iot.id"] for page in asking.pages("Observations", {"$top": "1000"}) for row in page.document["value"]]
        over.set()
        assert [len(page.document["value"]) for page in asking.pages("Observations", {"$top": "1000"})][:2] == [100, 100]
    assert found == list(range(1, 1_251))
    assert asked[:5] == [(0, 1000), (1000, 1000), (1000, 100), (1100, 100), (1200, 100)]


def test_a_page_that_never_comes_is_given_up() -> None:
    """Asked for 1,000, 100 and 10 rows, and for the last as often as anything else, the server is unreachable."""
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        asked.append(dict(parse_qsl(urlsplit(handler.path).query))["$top"])
        say(handler, {}, 504)

    with serving(answer) as url, client(url) as asking, pytest.raises(Unreachable, match="4 times asked"):
        list(asking.pages("Observations", {"$top": "1000"}))
    assert asked == ["1000", "100", "10", "10", "10", "10"]


def test_pages_that_lead_in_a_circle_end() -> None:
    """A next link that was read before is an error, not an endless poll."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        say(handler, {"value": rows(1, 1), "@iot.nextLink": f"/Observations?$skip={number % 2}"})

    with serving(answer) as url, client(url) as asking, pytest.raises(EndlessPages):
        list(asking.pages("Observations", {}))


def test_links_that_always_give_the_same_rows_end() -> None:
    """A server that counts `$skip` up in its links, and gives the first rows whatever it says."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        say(handler, {"value": rows(1, 2), "@iot.nextLink": f"/Observations?$skip={2 * number + 2}"})

    with serving(answer) as url, client(url) as asking, pytest.raises(EndlessPages, match="the rows of the page before"):
        list(asking.pages("Observations", {}))


def test_a_link_to_another_host_is_not_followed() -> None:
    """Not even asked: the other host would be given the credentials."""
    asked: list[str] = []

    def other(handler: BaseHTTPRequestHandler, number: int) -> None:
        asked.append(handler.path)
        say(handler, {"value": []})

    with serving(other) as elsewhere:
        with (
            serving(lambda handler, number: say(handler, {"value": rows(1, 1), "@iot.nextLink": f"{elsewhere}/Observations"})) as url,
            client(url, authentication="bearer", secret="hush") as asking,
            pytest.raises(ForeignLink) as caught,
        ):
            list(asking.pages("Observations", {}))
        assert asked == []
        assert "hush" not in str(caught.value)


def test_a_page_of_50_megabytes_is_read_and_an_absurd_one_is_not() -> None:
    """What is more than any sensible page is given up while it comes."""
    body = b'{"value": [{"@iot.id": 1, "name": "' + b"x" * (50 << 20) + b'"}]}'
    with serving(lambda handler, number: say(handler, body)) as url:
        with client(url) as asking:
            assert len(asking.one("Things").body) == len(body)
        with client(url, largest_bytes=1 << 20) as asking, pytest.raises(TooLarge):
            asking.one("Things")


def test_a_self_signed_certificate_is_taken_only_when_asked(tmp_path: Path) -> None:
    """Without `accept_self_signed` the message says what would take it."""
    certificate, key = tmp_path / "server.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    certificate.write_bytes(key.read_bytes() + certificate.read_bytes())
    with serving(lambda handler, number: say(handler, {"value": []}), certificate=certificate) as url:
        with client(url) as asking, pytest.raises(SensorThingsError, match="accept_self_signed"):
            asking.one("Things")
        with client(url, accept_self_signed=True) as asking:
            assert asking.one("Things").document == {"value": []}


def test_credentials_go_where_they_belong() -> None:
    """Basic and bearer are sent as they should be; 401 is told at once, without a second attempt."""
    seen: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        seen.append(handler.headers.get("Authorization"))
        say(handler, {"value": []}, 200 if seen[-1] else 401)

    with serving(answer) as url:
        with client(url, authentication="basic", username="reader", secret="hush") as asking:
            asking.one("Things")
        with client(url, authentication="bearer", secret="token") as asking:
            asking.one("Things")
        with client(url) as asking, pytest.raises(NotAllowed):
            asking.one("Things")
        assert asking.requests == 1
    assert seen == ["Basic cmVhZGVyOmh1c2g=", "Bearer token", None]


def test_a_token_is_fetched_once_and_again_when_it_is_refused() -> None:
    """Client credentials: one token for several requests; a 401 fetches another one, once."""
    tokens: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if handler.path == "/token":
            tokens.append(f"token-{len(tokens)}")
            say(handler, {"access_token": tokens[-1], "expires_in": 300})
        else:
            is_good = handler.headers["Authorization"] != "Bearer token-0" or handler.path != "/Late"
            say(handler, {"value": []}, 200 if is_good else 401)

    with serving(answer) as url, client(url, authentication="oidc", client_id="us", secret="hush", token_url=f"{url}/token") as asking:
        asking.one("Things")
        asking.one("Things")
        assert tokens == ["token-0"]
        asking.one("Late")
        assert tokens == ["token-0", "token-1"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(200, b"<html>", BadAnswer), (200, b"[]", BadAnswer), (302, b"", BadAnswer), (400, b"{}", NotUnderstood), (500, b"{}", NotUnderstood)],
)
def test_each_wrong_answer_has_its_error(status: int, body: bytes, error: type[SensorThingsError]) -> None:
    """A page of a proxy, a list, a redirect, a question that is not understood."""
    with serving(lambda handler, number: say(handler, body, status)) as url, client(url) as asking, pytest.raises(error):
        asking.one("Things")


def test_what_writes_is_not_repeated_when_it_may_have_been_done() -> None:
    """A POST whose answer breaks off is told; one that was turned away (503) is sent again."""

    def cut(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(201)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"[")
        handler.close_connection = True

    with serving(cut) as url, client(url) as asking:
        with pytest.raises(Unreachable, match="whether it was done is not known"):
            asking.create_observations([])
        assert asking.requests == 1
    with (
        serving(lambda handler, number: say(handler, ["error no such Datastream"], 503 if number == 0 else 201)) as url,
        client(url) as asking,
    ):
        assert asking.create_observations([]) == ["error no such Datastream"]
