"""Logs: one JSON line an event, whoever logs it, with ids and without secrets."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
import structlog

from water_pipelines import logs
from water_pipelines.settings import Settings


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Other tests find the logging that pytest set up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(level: str = "INFO", **bound: Any) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(Settings(log_level=level), stream, **bound)
    return stream


def test_both_ways_of_logging_come_out_the_same() -> None:
    """The standard library's loggers, which every dependency uses, and structlog's give the same fields."""
    stream = configured(process="api")
    logging.getLogger("somebody").info("loaded %d rows", 3, extra={"file": "a.csv"})
    structlog.get_logger("ourselves").info("loaded 3 rows", file="a.csv")
    theirs, ours = lines(stream)
    assert theirs.pop("logger") == "somebody"
    assert ours.pop("logger") == "ourselves"
    assert theirs.pop("timestamp").endswith("Z")
    assert ours.pop("timestamp").endswith("Z")
    assert theirs == ours == {"event": "loaded 3 rows", "level": "info", "file": "a.csv", "process": "api"}


def test_run_and_request_ids_are_on_every_line_inside() -> None:
    """Lines of two requests served at once can be told apart, and nothing sticks afterwards."""
    stream = configured()
    with logs.bound(run_id="r1"):
        logging.getLogger("a").info("one")
        with logs.bound(request_id="q1"):
            structlog.get_logger("b").info("two")
            thread = threading.Thread(target=copy_context().run, args=(logging.getLogger("c").info, "three"))
            thread.start()
            thread.join()
    logging.getLogger("a").info("four")
    assert [(line["event"], line.get("run_id"), line.get("request_id")) for line in lines(stream)] == [
        ("one", "r1", None),
        ("two", "r1", "q1"),
        ("three", "r1", "q1"),
        ("four", None, None),
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (
            "connecting to postgresql://water:s3cr%40t@db:5432/river?sslmode=require",
            "connecting to postgresql://water:***@db:5432/river?sslmode=require",
        ),
        ("postgresql+psycopg2://u:a@b@host/db and redis://:pw@h", "postgresql+psycopg2://u:***@host/db and redis://:***@h"),
        ("host=db user=u password=hunter2 dbname=x", "host=db user=u password=*** dbname=x"),
        ("password='two words' port=1", "password=*** port=1"),
        ("GET /x?api_key=abc&station=1", "GET /x?api_key=***&station=1"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=***"),
        ("see http://host:8000/path?at=a@b", "see http://host:8000/path?at=a@b"),
        ("mail a@b, ratio 3:4@5", "mail a@b, ratio 3:4@5"),
    ],
)
def test_secrets_in_texts_are_redacted(written: str, shown: str) -> None:
    """A password never reaches the log by way of a message, whatever its form; other text stays as it is."""
    stream = configured()
    logging.getLogger("a").warning("%s", written)
    assert lines(stream)[0]["event"] == shown


def test_secrets_under_their_names_are_redacted() -> None:
    """Fields named after secrets are hidden at any depth; keys of objects and tables are none."""
    stream = configured()
    structlog.get_logger().info(
        "x", password="a", db_token="b", key="c", headers={"Authorization": "d", "x-api_key": "e", "Accept": "f"}, object_key="g", tries=[1]
    )
    line = lines(stream)[0]
    assert {name: line[name] for name in ("password", "db_token", "key", "headers", "object_key", "tries")} == {
        "password": "***",
        "db_token": "***",
        "key": "***",
        "headers": {"Authorization": "***", "x-api_key": "***", "Accept": "f"},
        "object_key": "g",
        "tries": [1],
    }


def test_an_exception_is_one_line_without_secrets() -> None:
    """A traceback belongs to its event, and drivers put URLs into their messages."""
    stream = configured()
    try:
        raise ConnectionError("cannot reach postgresql://u:hunter2@db/x")
    except ConnectionError:
        logging.getLogger("a").exception("failed")
    (line,) = lines(stream)
    assert "ConnectionError: cannot reach postgresql://u:***@db/x" in line["exception"]
    assert "hunter2" not in stream.getvalue()


def test_the_level_comes_from_the_settings() -> None:
    """WATER_LOG_LEVEL decides; talkative libraries are kept to warnings unless everything is asked for."""
    stream = configured("WARNING")
    logging.getLogger("a").info("no")
    structlog.get_logger().info("no")
    logging.getLogger("a").warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]
    stream = configured("INFO")
    logging.getLogger("botocore.hooks").info("no")
    assert lines(stream) == []


def test_configuring_again_replaces() -> None:
    """A line is written once, however often a process configures its logs."""
    first, second = configured(), configured()
    logging.getLogger("uvicorn.access").info("GET /")
    assert (len(lines(first)), len(lines(second))) == (0, 1)


def test_warnings_are_lines_too() -> None:
    """A warning of a library would break the reader of JSON lines."""
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("old", DeprecationWarning, "a.py", 1)
    assert "DeprecationWarning: old" in lines(stream)[0]["event"]


def test_a_terminal_gets_readable_text() -> None:
    """People read coloured columns, machines JSON."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    logs.configure(Settings(), terminal)
    logging.getLogger("a").info("hello")
    assert "hello" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_sentry_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is an error that says how to install it, not a platform that silently reports nothing."""
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(logs.SentryMissing, match=r"pip install 'water-pipelines\[sentry\]'"):
        logs.configure(Settings(sentry_dsn="https://public@sentry.invalid/1"), io.StringIO())


def test_sentry_gets_no_secrets() -> None:
    """What is reported is redacted like what is logged."""
    import sentry_sdk

    try:
        logs.configure(Settings(sentry_dsn="https://public@127.0.0.1:9/1", code_version="9f1c2ab"), io.StringIO())
        options = sentry_sdk.get_client().options
        event = options["before_send"]({"message": "postgresql://u:hunter2@db/x", "extra": {"token": "t"}}, {})
        assert event == {"message": "postgresql://u:***@db/x", "extra": {"token": "***"}}
        assert (options["release"], options["include_local_variables"]) == ("9f1c2ab", False)
        assert not sentry_sdk.get_client().should_send_default_pii()
    finally:
        sentry_sdk.init()
