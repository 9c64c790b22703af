"""Asking the API of a running platform, as any other program would."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx

from water_pipelines.commands.home import Home
from water_pipelines.commands.platform import url_of
from water_pipelines.settings import Settings

_PAGE = 500


class NotReachable(Exception):
    """The API does not answer, or answers with an error of its own."""


class Api:
    """The API at an address; open it with `with`."""

    def __init__(self, url: str, *, timeout_s: float = 30) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """An answer.

        Raises
        ------
        NotReachable
            With what the API says is wrong.
        """
        try:
            answer = self._client.get(path, params=query)
        except httpx.HTTPError as error:
            raise NotReachable(
                f"{self.url}{path} does not answer ({str(error) or type(error).__name__}); is the platform running? `water status` tells"
            ) from error
        if answer.status_code != 200:
            raise NotReachable(f"{self.url}{path} answers {answer.status_code}: {_problem(answer)}")
        found: dict[str, Any] = answer.json()
        return found

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, limit=_PAGE, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return


def api_of(settings: Settings) -> Api:
    """The API of the platform that runs in the home, else the one at the port of the settings."""
    record = Home(settings.home).record()
    return Api(record.addresses["api"] if record is not None and record.addresses else url_of(settings.host, settings.api_port))


def _problem(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:200]
    return str(problem.get("detail") or problem.get("reasons") or problem)
