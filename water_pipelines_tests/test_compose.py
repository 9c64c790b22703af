"""The container files: they are not run here, so a test reads what an engine would stumble over."""

import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from water_pipelines.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "water_pipelines"}
DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")

# what the Compose specification says of the keys that are used here
SERVICE_KEYS: dict[str, type | tuple[type, ...]] = {
    "build": str,
    "image": str,
    "restart": str,
    "entrypoint": list,
    "profiles": list,
    "command": list,
    "environment": dict,
    "ports": list,
    "volumes": list,
    "depends_on": dict,
    "healthcheck": dict,
    "shm_size": str,
}
HEALTHCHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
FOREIGN_VARIABLES = {
    *("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY", "DAGSTER_EVENT_BATCH_SIZE"),
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONUNBUFFERED"),
}


def environments() -> dict[str, dict[str, str]]:
    """The variables that each container, and the image, sets."""
    found = {name: service.get("environment", {}) for name, service in SERVICES.items()}
    (block,) = re.findall(r"^ENV (.+)$", DOCKERFILE, re.MULTILINE)
    return found | {"Dockerfile": dict(pair.split("=", 1) for pair in block.split())}


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def test_every_process_of_the_platform_has_a_container() -> None:
    """PostgreSQL with PostGIS, MinIO, code server, web server, daemon and API, and the migration before them; a listener where one is asked for."""
    assert set(SERVICES) == {"postgres", "minio", "migrate", "code", "webserver", "daemon", "api", "listener"}
    assert set(OURS) == {"migrate", "code", "webserver", "daemon", "api", "listener"}
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["listener"]
    assert SERVICES["postgres"]["image"].startswith("postgis/")


def test_the_file_says_that_it_was_not_run() -> None:
    """The header of the compose file names this test and says that no engine ran it."""
    header = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8").split("\nname:")[0]
    assert "water_pipelines_tests/test_compose.py" in header
    assert "not run" in header


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_the_keys_of_the_specification(name: str) -> None:
    """Keys are known and of their type; ports bind the loopback; volumes are declared; health checks and conditions are well formed."""
    service = SERVICES[name]
    for key, value in service.items():
        assert key in SERVICE_KEYS, key
        assert isinstance(value, SERVICE_KEYS[key]), key
    assert service["restart"] in ("no", "unless-stopped")
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    for volume in service.get("volumes", []):
        source, _, target = volume.partition(":")
        assert source in COMPOSE["volumes"]
        assert target.startswith("/")
    for other, how in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert set(how) == {"condition"}
        assert how["condition"] in CONDITIONS
        assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]
        assert how["condition"] != "service_completed_successfully" or SERVICES[other]["restart"] == "no"
    if "healthcheck" in service:
        assert set(service["healthcheck"]) <= HEALTHCHECK_KEYS
        assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", environments())
def test_every_variable_is_known(name: str) -> None:
    """A WATER_ variable is a setting; any other is one that PostgreSQL, MinIO, boto3, Dagster, numpy or Python reads. Values are text."""
    settings = {f"WATER_{field}".upper() for field in Settings.model_fields}
    for variable, value in environments()[name].items():
        assert variable in settings | FOREIGN_VARIABLES, variable
        assert isinstance(value, str), variable


def test_the_variables_make_valid_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With passwords filled in, the environment of our containers is accepted, and says a bucket and two databases."""
    monkeypatch.chdir(tmp_path)
    for variable, value in {**environments()["Dockerfile"], **SERVICES["api"]["environment"]}.items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value))
    settings = Settings()
    assert (settings.s3_bucket, settings.database, settings.dagster_database) == ("water", "water", "water_dagster")
    assert settings.home == Path("/var/lib/water")


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists_and_takes_its_options(name: str) -> None:
    """The program of a container and of its health check is a console script, and its subcommand knows every option that is used."""
    for command in filter(None, (OURS[name]["command"], OURS[name].get("healthcheck", {}).get("test", [])[1:])):
        if command[0] == "water":
            from water_pipelines.cli import app

            assert command[1] in [each.name or each.callback.__name__ for each in app.registered_commands if each.callback]
            continue
        script = shutil.which(command[0], path=str(Path(sys.executable).parent))
        assert script is not None, command[0]
        subcommands = [word for word in command[1:3] if word in ("api", "grpc", "grpc-health-check", "run")]
        told = subprocess.run(
            [script, *subcommands, "--help"], capture_output=True, text=True, check=True, env={"DAGSTER_DISABLE_TELEMETRY": "yes"}
        ).stdout
        for option in (word for word in command if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", told), option


def test_what_the_commands_name_exists() -> None:
    """The module of the code server, the factory of the API, and every file that the image copies."""
    assert "water_pipelines.definitions" in SERVICES["code"]["command"]
    assert importlib.util.find_spec("water_pipelines.definitions") is not None
    module, factory = SERVICES["api"]["command"][1].split(":")
    assert callable(getattr(importlib.import_module(module), factory))
    for sources in instructions("COPY"):
        *files, _ = sources.split()
        for file in files:
            assert (PROJECT / file).exists(), file


def test_ports_agree() -> None:
    """The code server listens where the others look for it, and published ports are those of the commands."""
    code = SERVICES["code"]["command"]
    assert code[code.index("-p") + 1] == SERVICES["daemon"]["environment"]["WATER_CODE_PORT"]
    assert SERVICES["daemon"]["environment"]["WATER_CODE_HOST"] in SERVICES
    for name in ("webserver", "api"):
        command = SERVICES[name]["command"]
        inside = command[-1]
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{inside}:{inside}"]


def test_secrets_are_not_in_the_image_nor_in_the_files() -> None:
    """Passwords come from the environment of who starts it, and `.env` and `.water` never reach the image."""
    text = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")
    for line in text.splitlines():
        if re.match(r"\s+\w*(PASSWORD|SECRET\w*):", line):
            assert re.search(r": \$\{\w+:\?", line), line
    ignored = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".env", ".water", ".git", ".venv"} <= set(ignored)
    assert instructions("USER") == ["water"]
