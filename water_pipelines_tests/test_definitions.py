"""The code location: what would fail silently in it."""

from importlib import import_module
from pkgutil import iter_modules

import dagster as dg
import pytest

from water_pipelines.definitions import defs
from water_pipelines.orchestration import assets, sensors
from water_pipelines.orchestration.io import NoPickles
from water_pipelines.orchestration.settle import SETTLED

repository = defs.get_repository_def()


def test_every_dependency_of_an_asset_is_an_asset() -> None:
    """A misspelt key in `deps` is no asset; Dagster would load it happily."""
    graph = repository.asset_graph
    missing = {key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).is_executable}
    assert missing == set()


def test_every_settled_asset_reads_only_assets() -> None:
    """What a settled asset reads, and so what makes it stale, exists."""
    known = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert {asset for each in SETTLED.values() for asset in each.reads} <= known
    assert set(SETTLED) <= known


@pytest.mark.parametrize("name", [module.name for module in iter_modules(assets.__path__)])
def test_every_asset_file_adds_an_asset(name: str) -> None:
    """A file of assets that adds none would be noticed by nobody."""
    module = import_module(f"{assets.__name__}.{name}")
    assert any(isinstance(each, dg.AssetsDefinition) for each in vars(module).values())


def test_every_sensor_and_schedule_runs_by_default() -> None:
    """A sensor that is stopped until somebody finds its switch is a platform that does nothing."""
    assert len(repository.sensor_defs) == len([m for m in iter_modules(sensors.__path__) if m.name != "busy"])
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in repository.sensor_defs)
    assert all(schedule.default_status is dg.DefaultScheduleStatus.RUNNING for schedule in repository.schedule_defs)


def test_every_asset_says_what_it_is() -> None:
    """Group, description, owners and kinds make the lineage readable."""
    graph = repository.asset_graph
    lacking = [
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if not (graph.get(key).description and graph.get(key).group_name != "default" and graph.get(key).owners and graph.get(key).kinds)
    ]
    assert lacking == []


def test_every_asset_is_named_after_its_table_and_has_its_columns() -> None:
    """`core/anomaly` writes `core.anomaly`, and its columns are described."""
    graph = repository.asset_graph
    for key in graph.get_all_asset_keys():
        metadata = graph.get(key).metadata
        assert metadata.get("dagster/table_name") == ".".join(key.path), key
        assert "dagster/column_schema" in metadata, key


def test_nothing_is_pickled_between_steps() -> None:
    """An asset that returns a value fails with what to do instead."""

    @dg.asset
    def returns_a_value() -> int:
        return 1

    with pytest.raises(TypeError, match="writes its table itself"):
        dg.materialize([returns_a_value], resources={"io_manager": NoPickles()})


def test_described_columns_are_those_of_the_tables(database_url: str) -> None:
    """A column schema shown in the UI names only columns that its table has."""
    import psycopg

    with psycopg.connect(database_url) as connection:
        for key in repository.asset_graph.get_all_asset_keys():
            described = repository.asset_graph.get(key).metadata["dagster/column_schema"].columns
            stored = {
                row[0]
                for row in connection.execute(
                    "select column_name from information_schema.columns where table_schema = %s and table_name = %s", tuple(key.path)
                )
            }
            assert {column.name for column in described} <= stored, key


def test_what_a_mart_reads_is_what_dbt_says_its_model_reads(database_url: str) -> None:
    """The line of `assets/marts.py` and the model's sources and refs name the same assets: else a change of one would not reach the mart."""
    import psycopg

    from water_pipelines.storage.marts import read_definitions

    with psycopg.connect(database_url) as connection:
        for mart in read_definitions(connection):
            assert set(SETTLED[mart.asset].reads) == set(mart.depends_on), mart.asset
