"""Imports go one way: the contracts of import-linter, in every test run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "water_pipelines"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of this project over the package that lies in `folder`."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", PROJECT / "pyproject.toml"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_kept() -> None:
    """definitions and cli stand on orchestration and api, these on settings, then clients, storage and parsers, then the domain."""
    found = lint(PROJECT)
    assert found.returncode == 0, found.stdout
    assert "4 kept, 0 broken" in found.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("domain/series.py", "import water_pipelines.storage.server", "Imports go one way"),
        ("storage/server.py", "import water_pipelines.settings", "Imports go one way"),
        ("clients/object_store.py", "import water_pipelines.storage.server", "Imports go one way"),
        ("domain/series.py", "import httpx", "The science and the parsers touch nothing outside"),
        ("storage/server.py", "import dagster", "Only orchestration and the composition root know Dagster"),
        ("clients/object_store.py", "import psycopg", "Only storage knows the database drivers"),
        ("forgotten.py", "", "Imports go one way"),
    ],
)
def test_a_broken_contract_is_found(tmp_path: Path, file: str, line: str, contract: str) -> None:
    """The contracts would notice: an import against the direction, a driver in the wrong room, a module that is in no layer."""
    for source in PACKAGE.rglob("*.py"):
        copy = tmp_path / source.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    with (tmp_path / "water_pipelines" / file).open("a", encoding="utf-8") as changed:
        changed.write(f"\n{line}\n")
    found = lint(tmp_path)
    assert found.returncode != 0
    assert f"{contract} BROKEN" in found.stdout or "forgotten" in found.stdout


def test_importing_the_package_reads_no_environment_and_opens_nothing() -> None:
    """Modules of the lower layers load in a process without any setting, and load no orchestrator."""
    code = (
        "import sys, water_pipelines.settings, water_pipelines.logs, water_pipelines.storage.server, water_pipelines.clients.object_store\n"
        "print([name for name in ('dagster', 'boto3', 'pandas', 'fastapi') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(PROJECT)}, cwd="/", capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"
