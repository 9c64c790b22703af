"""The servers file, `sensorthings.yaml`: which SensorThings servers are followed, and how their Things are called here.

The file::

    servers:
      - name: agency                          # the first part of the ids of what has no better one
        url: https://sta.example.org/v1.1
        authentication: basic                 # none, basic, bearer or oidc; secrets stand in the environment
        username: reader                      # WATER_SENSORTHINGS_AGENCY_PASSWORD
        follow:
          things: ["Mill*", "42"]             # names or ids, with * and ?; all of them without it
          datastreams: ["*"]
        station_id: properties.station_id     # where a Thing says how it is called
        stations: {"42": STATION_42}          # or how single Things are, by id or name
        interval: 60s
        reconcile: {window: 2d, every: 1h}
        push: {forecasts: ["STATION_1/*"], series: ["network/*"]}

The newest file of a folder holds for the servers of that folder; one without servers ends following them. Add a key here and in
`docs/sensorthings.md`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from water_pipelines.parsers.mapping import PlainLoader, Seconds


class InvalidServers(ValueError):
    """The file cannot be used; the message names the key and what would be right."""


def _patterns(value: Any) -> Any:
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Follow(_Section):
    """Which Things and Datastreams are followed, by patterns on names and ids."""

    things: Patterns = ("*",)
    datastreams: Patterns = ("*",)

    @property
    def is_all(self) -> bool:
        """Whether everything is followed."""
        return "*" in self.things and "*" in self.datastreams


class Reconcile(_Section):
    """How often which stretch of the past is compared with the server, for corrections and deletions."""

    window: Seconds = 86_400.0
    every: Seconds = 3_600.0


class Push(_Section):
    """Which forecasts and series are written to the server, by patterns on natural ids."""

    forecasts: Patterns = ()
    series: Patterns = ()


class Server(_Section):
    """One SensorThings server."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    url: str
    authentication: Literal["none", "basic", "bearer", "oidc"] = "none"
    username: str | None = None
    token_url: str | None = None
    client_id: str | None = None
    scope: str | None = None
    accept_self_signed: bool = False
    pull: bool = True
    follow: Follow = Follow()
    station_id: str | None = None
    series_id: str | None = None
    stations: dict[str, str] = Field(default_factory=dict)
    interval: Seconds = 60.0
    interval_time: Literal["start", "end"] = "start"
    reconcile: Reconcile = Reconcile()
    catalogue_every: Seconds = 3_600.0
    push: Push = Push()

    @field_validator("url", "token_url")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is not of the form https://host/path")
        if parts.username or parts.password:
            raise ValueError("holds a password, which belongs in the environment (WATER_SENSORTHINGS_<NAME>_PASSWORD)")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _is_authenticated(self) -> Self:
        if self.authentication == "basic" and not self.username:
            raise ValueError("authentication: basic needs a username")
        if self.authentication == "oidc" and not (self.token_url and self.client_id):
            raise ValueError("authentication: oidc needs token_url and client_id")
        return self

    @property
    def prefix(self) -> str:
        """The folder under which its pages land."""
        return f"sensorthings/{self.name}"

    @property
    def secret_name(self) -> str | None:
        """The variable of the environment that holds its secret; none where it needs none.

        >>> Server(name="my-agency", url="https://a.example", authentication="bearer").secret_name
        'WATER_SENSORTHINGS_MY_AGENCY_TOKEN'
        """
        kind = {"basic": "PASSWORD", "bearer": "TOKEN", "oidc": "CLIENT_SECRET"}.get(self.authentication)
        return f"WATER_SENSORTHINGS_{re.sub(r'[^A-Z0-9]', '_', self.name.upper())}_{kind}" if kind else None


class _File(_Section):
    servers: tuple[Server, ...]

    @model_validator(mode="after")
    def _are_told_apart(self) -> Self:
        names = [server.name for server in self.servers]
        if len(set(names)) < len(names):
            raise ValueError("two servers have the same name")
        return self


def read_servers(text: str) -> tuple[Server, ...]:
    """The servers of a file.

    Raises
    ------
    InvalidServers
        Not YAML, an unknown key, a value that cannot be.
    """
    try:
        return _File.model_validate(yaml.load(text, PlainLoader)).servers  # a safe loader
    except yaml.YAMLError as error:
        raise InvalidServers(f"sensorthings.yaml is no YAML: {error}") from error
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors())
        raise InvalidServers(f"sensorthings.yaml cannot be used: {said}") from error


def matches(patterns: Sequence[str], *names: object) -> bool:
    """Whether one of some names fits one of some patterns.

    >>> matches(["Mill*", "42"], "Mill Race", 7), matches(["42"], "Mill", 42), matches([], "Mill")
    (True, True, False)
    """
    return any(fnmatchcase(str(name), pattern) for name in names if name is not None for pattern in patterns)
