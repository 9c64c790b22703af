"""The language model's client, against a server on localhost that speaks its API: what it sends, and what it does not take for words."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from water_pipelines.clients.llm import NoWords, Words

SAID = "The dataset holds 1,234 casts of 7 floats in the North Atlantic Ocean; hardly anything is bad."
STATISTICS: dict[str, Any] = {"casts": 1234, "floats": 7, "regions": [["North Atlantic Ocean", 1234]]}


class Model:
    """A server that answers every completion alike and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answer: Callable[[], tuple[int, bytes]] = lambda: (200, completion(SAID))
        self.patience = threading.Event()


def completion(text: Any) -> bytes:
    """An answer with a text."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


@contextmanager
def serving(model: Model) -> Iterator[str]:
    """The address of a running server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.asked.append((self.path, dict(self.headers), body))
            status, answer = model.answer()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        model.patience.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_statistics_come_back_in_words_and_nothing_else_is_sent() -> None:
    """The model, the instruction and the statistics, with the key in the header."""
    model = Model()
    with serving(model) as url:
        assert Words(url, "small", "secret", 30).describe(STATISTICS) == SAID
    ((path, headers, body),) = model.asked
    assert (path, headers["Authorization"], body["model"]) == ("/v1/chat/completions", "Bearer secret", "small")
    assert json.loads(body["messages"][1]["content"]) == STATISTICS
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (500, b"", "answers 500"),
        (200, b"<html>", "something else"),
        (200, b"{}", "something else"),
        (200, json.dumps({"choices": []}).encode(), "something else"),
        (200, completion(None), "no text"),
        (200, completion("1234"), "no description"),
        (200, completion(SAID + " <script>alert(1)</script>"), "no description"),
        (200, completion("1234 " * 1000), "no description"),
        (200, completion("There are many casts of many floats in the sea, and all of them are good."), "how many casts"),
        (200, b"x" * 2_000_000, "does not stop"),
    ],
)
def test_nonsense_is_no_description(status: int, answer: bytes, reason: str) -> None:
    """Whatever is no description raises, with the reason."""
    model = Model()
    model.answer = lambda: (status, answer)
    with serving(model) as url, pytest.raises(NoWords, match=reason):
        Words(url, "small", None, 30).describe(STATISTICS)


def test_a_model_that_takes_too_long_or_is_not_there_is_given_up() -> None:
    """By the time-out, or at once."""
    model = Model()

    def slowly() -> tuple[int, bytes]:
        model.patience.wait(60)
        return 200, completion(SAID)

    model.answer = slowly
    with serving(model) as url, pytest.raises(NoWords, match="does not answer"):
        Words(url, "small", None, 0.2).describe(STATISTICS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(NoWords, match="does not answer"):  # held meanwhile, so that no other server gets the port
            Words(f"http://127.0.0.1:{probe.getsockname()[1]}/v1", "small", None, 5).describe(STATISTICS)
