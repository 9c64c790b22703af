"""`water retry`: exactly the files that were named are loaded again, as they are or under a mended mapping."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import water_pipelines.definitions  # noqa: F401  # registers every asset
from water_pipelines.commands import acts
from water_pipelines.orchestration.operations.acts import CannotAct
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.resources import Platform, platform_of
from water_pipelines.settings import Settings
from water_pipelines.storage import source_files

NAIVE = b"time,level [m]\n2026-03-02 00:00,1.5\n2026-03-02 00:15,1.6\n"


@pytest.fixture
def platform(database_url: str, tmp_path: Path) -> Iterator[Platform]:
    """A platform with two files that lie in quarantine for want of a time zone."""
    found = platform_of(Settings(_env_file=None, home=tmp_path / "home", database_url=database_url))
    for name in ("a", "b"):
        found.store.put(f"inbox/{name}/level.csv", NAIVE + name.encode())
    empty_inbox(found)
    yield found
    found.database.close()


def states(platform: Platform) -> dict[str, tuple[str, int]]:
    """Folder -> status and attempts of its latest file."""
    with platform.database.connection() as connection:
        rows = connection.execute("select prefix, status, attempts from raw.source_file order by arrival").fetchall()
    return {prefix: (status, attempts) for prefix, status, attempts in rows}


def test_a_mended_mapping_replays_the_named_file_alone(platform: Platform, tmp_path: Path) -> None:
    """By the first digits of its hash, under a mapping that tells the zone: its values are there, the other file lies as it lay."""
    assert states(platform) == {"a": ("quarantined", 1), "b": ("quarantined", 1)}
    (file,) = source_files.named(platform.database, "1")
    mapping = tmp_path / "mended.yaml"
    mapping.write_text("time_zone: UTC\nstation: GAUGE\n")
    (again,) = acts.retry(platform.settings, [file.sha256[:12]], (), mapping)
    assert (again.arrival, again.prefix) == (1, "a")
    assert empty_inbox(platform) == 1
    assert states(platform) == {"a": ("succeeded", 1), "b": ("quarantined", 1)}
    with platform.database.connection() as connection:
        stored = connection.execute("select array_agg(value order by time) from core.observation").fetchone()
    assert stored == ([1.5, 1.6],)


def test_a_retry_as_it_is_loads_the_named_file_alone(platform: Platform) -> None:
    """Nothing was mended: it is tried, and set aside again; the other one is not tried."""
    (file,) = source_files.named(platform.database, "2")
    acts.retry(platform.settings, [file.sha256], (), None)
    assert states(platform)["b"][0] == "pending"
    empty_inbox(platform)
    assert states(platform) == {"a": ("quarantined", 1), "b": ("quarantined", 1)}
    with pytest.raises(CannotAct, match="no file has"):
        acts.retry(platform.settings, ["f" * 64], (), None)
