"""Structured logs: one JSON line an event, or readable text on a terminal, with the run's and the request's id and without secrets.

`configure` is called once by each process. Everywhere else write `logging.getLogger(__name__)` or `structlog.get_logger()`: both come out
the same. Add a name to `SECRET_NAMES` when a new kind of secret could be logged. Keep out: what is worth logging.
"""

import logging
import logging.config
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from pydantic import SecretStr

from water_pipelines.settings import Settings

REDACTED = "***"
SECRET_NAMES = ("password", "passwd", "secret", "token", "credential", "credentials", "authorization", "dsn", "cookie")

# of the names that end in `key` only these: keys of objects and of tables are no secrets
_secret_name = re.compile(rf"(?i)(?:^|[_-])(?:{'|'.join(SECRET_NAMES)}|(?:access|api|private|secret)[_-]?key)$|^key$")
_password_in_url = re.compile(r"(?P<before>[a-zA-Z][\w+.-]*://[^\s:/@]*:)[^\s/]+(?=@)")
_assignment = re.compile(
    r"(?i)\b(?P<name>\w*(?:password|passwd|secret|token|access_key|api_key))(?P<sign>\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)"
)

# libraries that tell at INFO what only their authors want to know
_QUIET = ("alembic", "botocore", "boto3", "s3transfer", "urllib3", "httpx", "httpcore", "matplotlib", "asyncio")
# servers that bring handlers of their own
_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


class SentryMissing(Exception):
    """`WATER_SENTRY_DSN` is set, and the optional package is not installed."""


def configure(settings: Settings, stream: TextIO | None = None, **bound: Any) -> None:
    """Route every log of this process through one formatter; calling it again replaces the first call.

    Parameters
    ----------
    settings : Settings
        `log_level` and `sentry_dsn` are used.
    stream : text stream, optional
        Where lines go; standard error by default. On a terminal they are coloured text, else JSON.
    **bound
        Added to every line of this process, such as `process="api"`.

    Raises
    ------
    SentryMissing
        Sentry is wanted but not installed; says how to install it.
    """
    stream = stream or sys.stderr
    structlog.contextvars.clear_contextvars()

    def add_bound(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in bound.items():
            event.setdefault(name, value)
        return event

    def drop_rendered(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name in ("message", "asctime"):  # another handler's formatter left them on the record, where they look like extra fields
            event.pop(name, None)
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_bound,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if stream.isatty():
        last: list[Any] = [structlog.processors.format_exc_info, _redacting, structlog.dev.ConsoleRenderer(colors=True)]
    else:
        last = [structlog.processors.format_exc_info, _redacting, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, drop_rendered], processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    handler.set_name("water_pipelines")
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "water_pipelines"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    quiet = max(logging.WARNING, root.level) if root.level > logging.DEBUG else logging.INFO
    for name in _QUIET:
        logging.getLogger(name).setLevel(quiet)
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(True)
    if settings.sentry_dsn is not None:
        _start_sentry(settings, settings.sentry_dsn)


@contextmanager
def bound(*, run_id: str | None = None, request_id: str | None = None, **more: Any) -> Iterator[None]:
    """Add ids to every line that is logged inside, in this thread or task and those it starts with its context."""
    given = {"run_id": run_id, "request_id": request_id, **more}
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in given.items() if value is not None}):
        yield


def redacted(value: Any, name: str = "") -> Any:
    """The same value without its secrets: what stands under a secret's name, passwords in URLs and in `password=...`.

    >>> redacted({"url": "postgresql://water:hunter2@db/river", "rows": 3, "api_key": "abc"})
    {'url': 'postgresql://water:***@db/river', 'rows': 3, 'api_key': '***'}
    """
    if value is not None and name and _secret_name.search(name):
        return REDACTED
    if isinstance(value, str):
        return _assignment.sub(rf"\g<name>\g<sign>{REDACTED}", _password_in_url.sub(rf"\g<before>{REDACTED}", value))
    if isinstance(value, dict):
        return {inner: redacted(content, str(inner)) for inner, content in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(content) for content in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redacted(str(value))


def _redacting(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: redacted(value, name) for name, value in event.items()}


def _start_sentry(settings: Settings, dsn: SecretStr) -> None:
    try:
        import sentry_sdk
    except ImportError as error:
        raise SentryMissing(
            "WATER_SENTRY_DSN is set, but sentry-sdk is not installed; run `pip install 'water-pipelines[sentry]'`, or unset it"
        ) from error

    sentry_sdk.init(
        dsn=dsn.get_secret_value(),
        release=settings.code_version,
        include_local_variables=False,
        before_send=lambda event, _: redacted(event),
        before_breadcrumb=lambda crumb, _: redacted(crumb),
    )
