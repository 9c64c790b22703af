"""Every `WATER_*` variable, in one frozen class.

Add a variable here, with its default, its bounds and one line on what it does, and the same line to `.env.example`
(a test compares the two). Values derived from variables are properties. Keep out: an instance (the composition root makes
it), credentials of object stores (the S3 client reads `AWS_*` itself), and anything that opens a file or a connection.
"""

import os
from datetime import date, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DATABASE_NAME = "water"

Port = Annotated[int, Field(ge=0, le=65535)]


def package_version() -> str:
    """The installed version of the platform, or `unknown` when it runs from a folder that was never installed."""
    try:
        return version("water-pipelines")
    except PackageNotFoundError:
        return "unknown"


def secret(name: str) -> SecretStr | None:
    """A secret whose variable is named by a dropped file (`WATER_SENSORTHINGS_<NAME>_PASSWORD`): of the environment, else of `.env`."""
    held = os.environ.get(name) or dotenv_values(".env").get(name)
    return SecretStr(held) if held else None


class Settings(BaseSettings):
    """The platform's settings, read from the environment, then from `.env` in the working directory, then the defaults.

    An empty variable means "not set". A value out of bounds raises `pydantic.ValidationError`, which names the variable.
    """

    model_config = SettingsConfigDict(env_prefix="WATER_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Field(Path(".water"), description="Folder of all state: database, object store, Dagster. Two copies need two homes.")
    host: str = Field("127.0.0.1", description="Address on which the Dagster UI and the API listen.")
    ui_port: Port = Field(3000, description="Port of the Dagster UI; 0 chooses a free one.")
    api_port: Port = Field(8000, description="Port of the API; 0 chooses a free one.")
    code_host: str = Field("127.0.0.1", description="Address of the code server, from which the UI and the daemon read the assets and jobs.")
    code_port: Port = Field(0, description="Port of the code server; 0 chooses a free one.")
    db_port: Port = Field(0, description="Port of the embedded PostgreSQL; 0 chooses a free one and keeps it in the home.")

    database_url: SecretStr | None = Field(
        None, description="A PostgreSQL >= 15 in place of the embedded one: postgresql://user:password@host:5432/name."
    )
    dagster_database_url: SecretStr | None = Field(None, description="Dagster's own database, when it is not <name>_dagster on the same server.")

    store_url: str | None = Field(None, description="Object store: a folder, file:///folder or s3://bucket[/prefix]; empty is <home>/store.")
    s3_endpoint_url: str | None = Field(
        None, description="Address of an S3 API other than Amazon's, such as MinIO. Credentials come from AWS_* only."
    )
    s3_region: str = Field("us-east-1", description="Region of the S3 API.")

    first_day: date = Field(date(1950, 1, 1), description="First day of the store (UTC); earlier times are refused row by row.")
    future_tolerance_minutes: int = Field(60, ge=0, description="How far a time may lie after the arrival of its file before the row is refused.")
    rejected_share_limit: float = Field(0.5, ge=0, le=1, description="A file with a larger share of refused rows fails as a whole.")

    station_late_after: float = Field(2.0, gt=0, description="A station is late when its last value is older than this many expected intervals.")
    station_silent_after: float = Field(12.0, gt=0, description="The same for silent.")
    station_inactive_after: float = Field(672.0, gt=0, description="The same for inactive (672 is a week at 15 minutes).")

    history_days: int | None = Field(
        None, ge=1, description="What was superseded is kept so many days, and an as_of before them answers 410; empty keeps it for ever."
    )
    mqtt_url: SecretStr | None = Field(
        None, description="An MQTT broker to listen to: mqtt://user:password@host:1883, or mqtts:// for TLS; empty listens to none."
    )
    mqtt_topics: str = Field("v1.1/+/Observations", description="Topics of it, separated by commas; + is any one level, # all that follow.")
    mqtt_client_id: str = Field("water_pipelines", description="Names the session that the broker keeps; each platform needs its own.")
    mqtt_version: Literal["5", "3.1.1"] = Field("5", description="Version of MQTT: 5 or 3.1.1.")
    amqp_url: SecretStr | None = Field(
        None,
        description="An AMQP 1.0 broker to listen to: amqp(s)://user:password@host, or a Service Bus connection string; needs the extra `amqp`.",
    )
    amqp_addresses: str = Field("facilities", description="Queues of it, separated by commas.")
    listen_batch_seconds: float = Field(5.0, gt=0, description="Messages that are received within so many seconds land together.")
    listen_batch_messages: int = Field(2000, ge=1, description="At most so many messages land together.")

    load_attempts: int = Field(5, ge=1, description="How often a load that failed for reasons that may pass, or died, is begun before it is left.")

    hindcast_weeks: int = Field(
        8, ge=0, description="Weeks before the end of new data that are forecast from the past alone, so that models have scores from the start."
    )

    llm_url: str | None = Field(
        None, description="An OpenAI-compatible endpoint that puts statistics of datasets into words, such as http://localhost:11434/v1."
    )
    llm_model: str | None = Field(None, description="Model that is asked there; without it the words come from a template.")
    llm_key: SecretStr | None = Field(None, description="Key of that endpoint, where it asks for one.")
    llm_timeout_s: float = Field(20.0, gt=0, le=600, description="Seconds after which the words come from the template instead.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field("INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    sentry_dsn: SecretStr | None = Field(None, description="Sends errors to Sentry; needs the extra `sentry`.")
    code_version: str = Field(default_factory=package_version, description="Recorded with every change and run; empty is the version of the package.")

    demo_seed: int = Field(1, ge=0, description="Seed of the sample world.")
    demo_days: int = Field(365, ge=60, description="Days of sample data, ending at the start of the demo.")
    demo_live: bool = Field(True, description="Whether the demo goes on with a simulated station on a live SensorThings server; 0 is without.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, level: str) -> str:
        return level.upper()

    @field_validator("database_url", "dagster_database_url")
    @classmethod
    def _postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        parts = urlsplit(url.get_secret_value())
        if parts.scheme != "postgresql" or not parts.path.strip("/"):
            raise ValueError("is not of the form postgresql://user:password@host:5432/name")
        return url

    @field_validator("llm_url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("is not of the form http://host:port/v1 or https://host/v1")
        return url

    @field_validator("store_url")
    @classmethod
    def _store(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if "://" in url and parts.scheme not in ("s3", "file"):
            raise ValueError(f"{parts.scheme}:// is no store; use a folder, file:///folder or s3://bucket[/prefix]")
        if parts.scheme == "s3" and not parts.netloc:
            raise ValueError("names no bucket; write s3://bucket or s3://bucket/prefix")
        if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
            raise ValueError("a file URL has three slashes: file:///folder")
        return url

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.station_late_after < self.station_silent_after < self.station_inactive_after:
            raise ValueError("WATER_STATION_LATE_AFTER < WATER_STATION_SILENT_AFTER < WATER_STATION_INACTIVE_AFTER must hold")
        return self

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance folder (`DAGSTER_HOME`); never shared by two homes."""
        return self.home / "dagster"

    @property
    def database(self) -> str:
        """Name of the platform's database."""
        return DATABASE_NAME if self.database_url is None else _database_of(self.database_url)

    @property
    def dagster_database(self) -> str:
        """Name of the database of Dagster's storage."""
        return f"{self.database}_dagster" if self.dagster_database_url is None else _database_of(self.dagster_database_url)

    @property
    def store_root(self) -> Path | None:
        """Root folder of the object store; None when it is an S3 bucket."""
        if self.store_url is None:
            return self.home / "store"
        parts = urlsplit(self.store_url)
        if parts.scheme == "s3":
            return None
        return Path(unquote(parts.path) if parts.scheme == "file" else self.store_url).expanduser().absolute()

    @property
    def s3_bucket(self) -> str | None:
        """Bucket of the object store; None when it is a folder."""
        return urlsplit(self.store_url).netloc if self.store_url and self.store_root is None else None

    @property
    def s3_prefix(self) -> str:
        """Prefix of every key in the bucket: empty, or ending in a slash."""
        if self.store_url is None or self.store_root is not None:
            return ""
        prefix = urlsplit(self.store_url).path.strip("/")
        return f"{prefix}/" if prefix else ""

    @property
    def listens(self) -> bool:
        """Whether there is a broker to listen to."""
        return self.mqtt_url is not None or self.amqp_url is not None

    @property
    def future_tolerance(self) -> timedelta:
        """How far a time may lie after the arrival of its file."""
        return timedelta(minutes=self.future_tolerance_minutes)


def _database_of(url: SecretStr) -> str:
    return unquote(urlsplit(url.get_secret_value()).path.strip("/"))
