"""Settings: what each variable becomes, and that none is undocumented."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from water_pipelines.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No WATER_* variable and no .env of the machine reaches these tests."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"WATER_{field}".upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def documented() -> dict[str, str]:
    """The `NAME=value` lines of .env.example, the commented ones included."""
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.removeprefix("#").split("=", 1) for line in lines if line.removeprefix("#").startswith("WATER_"))


def shown(default: object) -> str:
    return "" if default is None else str(default)


def test_every_variable_is_in_the_example_with_its_default() -> None:
    """A variable missing from .env.example, or standing there with another default, misleads the operator; so does one that is not a setting."""
    expected = {f"WATER_{name}".upper(): "" if field.default_factory else shown(field.default) for name, field in Settings.model_fields.items()}
    assert documented() == expected


def test_the_example_is_a_valid_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying .env.example unchanged gives the defaults."""
    plain = Settings()
    for name, value in documented().items():
        monkeypatch.setenv(name, value)
    assert Settings() == plain


def test_a_relative_home_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Processes with other working directories must mean the same folder."""
    monkeypatch.setenv("WATER_HOME", "state")
    settings = Settings()
    assert settings.home == tmp_path / "state"
    assert settings.dagster_home == tmp_path / "state" / "dagster"
    assert settings.store_root == tmp_path / "state" / "store"


def test_dagster_lives_beside_the_platform() -> None:
    """Dagster's database is <name>_dagster on the same server unless its own URL says otherwise."""
    assert (Settings().database, Settings().dagster_database) == ("water", "water_dagster")
    external = Settings(database_url="postgresql://u:p@db:5432/river?sslmode=require")
    assert (external.database, external.dagster_database) == ("river", "river_dagster")
    own = Settings(database_url="postgresql://u:p@db/river", dagster_database_url="postgresql://u:p@other/runs")
    assert own.dagster_database == "runs"


@pytest.mark.parametrize(
    ("url", "root", "bucket", "prefix"),
    [
        ("/srv/water", Path("/srv/water"), None, ""),
        ("file:///srv/my%20water", Path("/srv/my water"), None, ""),
        ("s3://landing", None, "landing", ""),
        ("s3://landing/site/a/", None, "landing", "site/a/"),
    ],
)
def test_a_store_url_is_a_folder_or_a_bucket(url: str, root: Path | None, bucket: str | None, prefix: str) -> None:
    """One URL tells where objects are kept."""
    settings = Settings(store_url=url)
    assert (settings.store_root, settings.s3_bucket, settings.s3_prefix) == (root, bucket, prefix)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WATER_UI_PORT", "70000"),
        ("WATER_STORE_URL", "ftp://host/folder"),
        ("WATER_STORE_URL", "s3:///no-bucket"),
        ("WATER_DATABASE_URL", "mysql://u:p@host/db"),
        ("WATER_DATABASE_URL", "postgresql://u:p@host"),
        ("WATER_REJECTED_SHARE_LIMIT", "1.5"),
        ("WATER_STATION_LATE_AFTER", "50"),
        ("WATER_LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A typing error stops the platform at the start, naming the variable."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=f"(?i){name.removeprefix('WATER_')}"):
        Settings()


def test_typed_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates, minutes and levels arrive as what they are."""
    monkeypatch.setenv("WATER_FIRST_DAY", "1900-01-01")
    monkeypatch.setenv("WATER_FUTURE_TOLERANCE_MINUTES", "90")
    monkeypatch.setenv("WATER_LOG_LEVEL", "debug")
    settings = Settings()
    assert settings.first_day == date(1900, 1, 1)
    assert settings.future_tolerance == timedelta(hours=1, minutes=30)
    assert settings.log_level == "DEBUG"


def test_settings_do_not_change() -> None:
    """A setting that changed while the platform runs would make two halves of one run disagree."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().home = Path("/elsewhere")  # type: ignore[misc]


def test_secrets_do_not_print() -> None:
    """A password in a URL must not reach a log by way of the settings."""
    settings = Settings(database_url="postgresql://water:hunter2@db/river", sentry_dsn="https://hunter2@sentry.invalid/1")
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_the_code_version_is_the_packages_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change is stamped with a code version, set by the deployment or the installed package."""
    assert Settings().code_version
    monkeypatch.setenv("WATER_CODE_VERSION", "9f1c2ab")
    assert Settings().code_version == "9f1c2ab"
