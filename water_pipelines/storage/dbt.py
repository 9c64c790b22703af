"""Running dbt: a process of its own, once for each state of `dbt_project`, told by its environment where the database is.

What the models say is in `dbt_project`, what is kept of a run in `marts.py`. Keep dbt itself out of our processes: its import and its
parser take seconds, and its start-up must not be in the path of a refresh.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

_ENVIRONMENT = {"dbname": "PGDATABASE", "application_name": "PGAPPNAME", "hostaddr": "PGHOST"}
_SESSION = "-c timezone=UTC -c jit=off"  # compiling a query over all partitions takes seconds where the query takes none


class DbtFailed(Exception):
    """dbt ended with an error; the message is what it said."""


@dataclass(frozen=True)
class Built:
    """What a run of dbt leaves: its manifest, and the SQL of each test by the test's id."""

    version: str
    manifest: Mapping[str, Any]
    compiled: Mapping[str, str]


@cache
def project() -> Path:
    """The folder of the dbt project, beside the package.

    Raises
    ------
    FileNotFoundError
        Where the package was installed without it.
    """
    folder = Path(__file__).resolve().parents[2] / "dbt_project"
    if not (folder / "dbt_project.yml").is_file():
        raise FileNotFoundError(
            f"{folder} is missing: dbt_project lies beside the package in a clone. Run from a clone (make setup), which installs the package in place"
        )
    return folder


def project_hash() -> str:
    """64 hexadecimal digits that name the content of the project and the version of dbt that reads it."""
    found = hashlib.sha256(version("dbt-core").encode())
    for path in sorted(
        path for folder in ("macros", "models", "tests") for path in (project() / folder).rglob("*") if path.suffix in (".sql", ".yml")
    ):
        found.update(f"\0{path.relative_to(project()).as_posix()}\0".encode() + path.read_bytes())
    found.update((project() / "dbt_project.yml").read_bytes())
    return found.hexdigest()


def build(database_url: str, target_dir: Path) -> Built:
    """Make the views of all models, and run all data tests over no rows, which compiles them.

    Parameters
    ----------
    database_url : a libpq URL of a migrated database.
    target_dir : where dbt may write; made if it is missing. The project's folder is only read.

    Raises
    ------
    DbtFailed
        With what dbt said.
    """
    run(database_url, target_dir, "build", "--exclude-resource-type", "unit_test", "--vars", json.dumps({"settle": True}))
    manifest, results = (json.loads((target_dir / name).read_text(encoding="utf-8")) for name in ("manifest.json", "run_results.json"))
    return Built(manifest["metadata"]["dbt_version"], manifest, {each["unique_id"]: each["compiled_code"] for each in results["results"]})


def run(database_url: str, target_dir: Path, *arguments: str) -> str:
    """Run a command of dbt on the project and give back what it said; the parameters are those of `build`."""
    folders = ["--project-dir", project(), "--profiles-dir", project(), "--target-path", target_dir, "--log-path", target_dir / "logs"]
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--no-version-check", *arguments, *map(str, folders)]
    done = subprocess.run(
        command,
        env=_environment(database_url),
        cwd=_made(target_dir),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DbtFailed(f"dbt {arguments[0]} failed; its files are in {target_dir}\n{done.stdout}")
    return done.stdout


def _environment(database_url: str) -> dict[str, str]:
    """Our environment with libpq's variables for a URL; the password is in no file and no argument."""
    told = {_ENVIRONMENT.get(name, f"PG{name.upper()}"): str(value) for name, value in conninfo_to_dict(database_url).items() if value is not None}
    options = f"{told.get('PGOPTIONS', '')} {_SESSION}".strip()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "DBT_"))}
    return {**kept, "PGPORT": "5432", **told, "PGOPTIONS": options, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "PYTHONDONTWRITEBYTECODE": "1"}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
