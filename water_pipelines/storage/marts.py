"""The marts: tables that settle writes from the views that dbt defines, and what dbt's files say of them.

Add a `Table` here when a model is added to `dbt_project/models/mart`; a migration makes its table and its twin in `history`. What a
mart's numbers mean is said in the model and its YAML alone. Reading marts for users is in `served/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from water_pipelines.storage import dbt
from water_pipelines.storage.database import Connection, Snapshot, Window
from water_pipelines.storage.staging import StagedTable, Table, stage_query

METRIC_30MIN = Table("mart.metric_30min", ("series_id", "start_at"), "start_at")
METRIC_HOURLY = Table("mart.metric_hourly", ("series_id", "start_at"), "start_at")
METRIC_DAILY = Table("mart.metric_daily", ("series_id", "start_at"), "start_at")
NETWORK_30MIN = Table("mart.network_30min", ("network", "zone", "property", "start_at"), "start_at")
DATA_QUALITY_DAILY = Table("mart.data_quality_daily", ("series_id", "day"), "day")
MARTS = (METRIC_30MIN, METRIC_HOURLY, METRIC_DAILY, NETWORK_30MIN, DATA_QUALITY_DAILY)
"""In the order in which one is computed from another."""

_TEST, _MODEL, _SOURCE = "test.", "model.", "source."


class MartsUndefined(Exception):
    """dbt has not built the views of this project's state in this database."""


@dataclass(frozen=True)
class Column:
    """A column of a mart as its model documents it."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class MartTest:
    """A data test of a mart: `name` is unique within the mart, `severity` warn or error, `sql` selects the failing rows within the windows."""

    name: str
    description: str
    severity: str
    sql: str = ""


@dataclass(frozen=True)
class MartDefinition:
    """What dbt says of a mart.

    Parameters
    ----------
    asset : the asset's key, `mart/<name>`.
    at : the column that says which day a row belongs to.
    depends_on : keys of the assets that its view reads, sorted; empty where only the files were read.
    """

    asset: str
    description: str
    at: str
    columns: tuple[Column, ...]
    tests: tuple[MartTest, ...]
    depends_on: tuple[str, ...] = ()

    @staticmethod
    def of(stored: Mapping[str, Any]) -> MartDefinition:
        """From its JSON."""
        columns, tests = tuple(Column(**each) for each in stored["columns"]), tuple(MartTest(**each) for each in stored["tests"])
        return MartDefinition(**{**stored, "columns": columns, "tests": tests, "depends_on": tuple(stored["depends_on"])})


def stage_mart(snapshot: Snapshot, table: Table, windows: Sequence[Window]) -> StagedTable:
    """Stage the rows that a mart should have within windows of whole UTC days, from the view that dbt made of its model.

    Raises
    ------
    MartsUndefined
        Where dbt has not made it yet.
    """
    snapshot.set_windows(windows)
    # a series-year of half-hours is grouped in memory; compiling costs more than these queries
    snapshot.connection.execute("select set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
    schema, name = table.name.split(".")
    try:
        return stage_query(snapshot, table, sql.SQL("select * from {}").format(sql.Identifier(schema, f"{name}_derived")))
    except psycopg.errors.UndefinedTable as missing:
        raise MartsUndefined(f"the view {table.name}_derived is missing; run `water migrate`, by which dbt makes it") from missing


def define_marts(database_url: str, target_dir: Path) -> bool:
    """Let dbt make the views of the marts and keep what it says of them, unless it did so for the same project and schema.

    Parameters
    ----------
    database_url : a libpq URL of a migrated database.
    target_dir : where dbt may write its files.

    Returns
    -------
    bool
        Whether dbt ran.

    Raises
    ------
    dbt.DbtFailed
        With what dbt said. The views that were there before stay, or are replaced one by one.
    """
    with psycopg.connect(database_url, options="-c timezone=UTC -c jit=off", autocommit=True) as connection:
        state = _state(connection)
        if _is_defined(connection, state):
            return False
        built = dbt.build(database_url, target_dir)
        marts = [asdict(each) for each in _definitions(built)]
        connection.execute(
            "insert into mart.definition (project_hash, dbt_version, marts) values (%(state)s, %(version)s, %(marts)s)"
            " on conflict (is_only) do update set project_hash = excluded.project_hash, dbt_version = excluded.dbt_version, marts = excluded.marts,"
            " built_at = clock_timestamp()",
            {"state": state, "version": built.version, "marts": json.dumps(marts)},
        )
    return True


def read_definitions(connection: Connection) -> list[MartDefinition]:
    """What dbt said of each mart when it made the views, in the order of `MARTS`.

    Raises
    ------
    MartsUndefined
        Where dbt has not run on this database.
    """
    row = connection.execute("select marts from mart.definition").fetchone()
    if row is None:
        raise MartsUndefined("dbt has not run on this database; run `water migrate`")
    return _ordered(MartDefinition.of(each) for each in row[0])


def describe_marts() -> list[MartDefinition]:
    """What the files of the dbt project say of each mart, read without dbt and without a database: no lineage and no SQL."""
    models = [
        model
        for path in sorted((dbt.project() / "models" / "mart").glob("*.yml"))
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", ())
    ]
    return _ordered(
        MartDefinition(
            f"mart/{model['name']}",
            _one_line(model["description"]),
            model["config"]["meta"]["at"],
            tuple(Column(each["name"], each["data_type"], _one_line(each["description"])) for each in model["columns"]),
            tuple(sorted((_described_test(each) for each in model["data_tests"]), key=lambda test: test.name)),
        )
        for model in models
    )


def _described_test(test: str | Mapping[str, Any]) -> MartTest:
    kind, said = (test, {}) if isinstance(test, str) else next(iter(test.items()))
    config = said.get("config", {})
    return MartTest(config.get("meta", {}).get("check", kind), _one_line(said.get("description") or _comment(kind)), config.get("severity", "error"))


def _definitions(built: dbt.Built) -> Iterator[MartDefinition]:
    nodes, sources = built.manifest["nodes"], built.manifest["sources"]
    for model_id, model in nodes.items():
        if not model_id.startswith(_MODEL):
            continue
        parents = [
            sources[each]["config"]["meta"].get("asset") if each.startswith(_SOURCE) else _asset(nodes[each]) for each in model["depends_on"]["nodes"]
        ]
        tests = [
            MartTest(
                test["config"]["meta"].get("check", test["test_metadata"]["name"]),
                _one_line(test["description"] or _comment(test["test_metadata"]["name"])),
                test["config"]["severity"].lower(),
                built.compiled[test_id].strip(),
            )
            for test_id, test in nodes.items()
            if test_id.startswith(_TEST) and test["attached_node"] == model_id
        ]
        yield MartDefinition(
            _asset(model),
            _one_line(model["description"]),
            model["config"]["meta"]["at"],
            tuple(Column(each["name"], each["data_type"], _one_line(each["description"])) for each in model["columns"].values()),
            tuple(sorted(tests, key=lambda test: test.name)),
            tuple(sorted({parent for parent in parents if parent})),
        )


def _comment(kind: str) -> str:
    """What the file of a generic test says that the test holds: the comment it begins with."""
    text = (dbt.project() / "tests" / "generic" / f"{kind}.sql").read_text(encoding="utf-8")
    return text.removeprefix("{#-").partition("-#}")[0]


def _asset(model: Mapping[str, Any]) -> str:
    return f"{model['schema']}/{model['name']}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _ordered(definitions: Iterator[MartDefinition]) -> list[MartDefinition]:
    order = [table.name.replace(".", "/") for table in MARTS]
    return sorted(definitions, key=lambda each: order.index(each.asset))


def _state(connection: Connection) -> str:
    """Names what the views follow from: the project's files, and the tables as the migrations left them."""
    row = connection.execute("select version_num from alembic_version").fetchone()
    assert row is not None
    return f"{dbt.project_hash()}-{row[0]}"


def _is_defined(connection: Connection, state: str) -> bool:
    row = connection.execute(
        "select bool_and(to_regclass(name) is not null) and exists (select from mart.definition where project_hash = %s)"
        " from unnest(%s::text[]) as name",
        (state, [f"{table.name}_derived" for table in MARTS]),
    ).fetchone()
    return row == (True,)
