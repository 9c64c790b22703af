"""The dbt project: what its files promise, held against the code that shares their meaning and against the database."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from water_pipelines.domain import units
from water_pipelines.domain.flags import Test
from water_pipelines.domain.rules import default_rules
from water_pipelines.storage import dbt, marts
from water_pipelines.storage.observations import FLAG

MACROS = dbt.project() / "macros"


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, options="-c timezone=UTC") as open_connection:
        yield open_connection


def body_of(macro: str, file: str) -> str:
    """The text of a macro, on one line."""
    found = re.search(rf"{{% macro {macro}\(.*?-?%}}(.*?){{%-? endmacro", (MACROS / file).read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{file} has no macro {macro}"
    return " ".join(found[1].split())


def test_the_served_flag_is_written_alike_in_sql_and_dbt() -> None:
    """The macro by which marts judge a value is the expression by which everything else does."""
    assert body_of("served_flag", "flag.sql").replace("{{ source('raw', 'load') }}", "raw.load") == " ".join(FLAG.split())


def test_quality_tests_have_the_bits_of_the_domain() -> None:
    """A test is counted in data_quality_daily under its own bit."""
    said = dict(re.findall(r"'(\w+)': (\d+)", body_of("quality_tests", "quantities.sql")))
    assert {name: int(bit) for name, bit in said.items()} == {str(test.name).lower(): int(test) for test in Test}


def test_flows_have_the_factors_of_the_domain() -> None:
    """Every spelling of a unit of flow that the domain knows is turned into m3/s by the same factor, and no other is."""
    said = {
        name: eval(factor.replace("^", "**"))  # arithmetic of our own file
        for factor, names in re.findall(r"'([\d. /^]+)': \[(.*?)\]", body_of("cubic_metres_per_second", "quantities.sql"))
        for name in re.findall(r"'(.*?)'", names)
    }
    flows = units._GROUPS["flow"]
    known = {spelling: flows[name][0] for spelling, name in {**{name: name for name in flows}, **units._SAME}.items() if name in flows}
    assert said == pytest.approx(known)


def test_every_name_of_rainfall_adds_up() -> None:
    """A property that the rules know as rainfall is summed in the marts."""
    names = {name for name, canonical in default_rules().names.items() if canonical == "rainfall"}
    assert len(names) >= 5
    assert names <= set(re.findall(r"'(\w+)'", body_of("is_additive", "quantities.sql")))


def test_models_and_tables_have_the_same_columns(connection: psycopg.Connection) -> None:
    """Each mart's table has the columns that its YAML documents, in their types and with a description, and the change that wrote the row."""
    for definition, table in zip(marts.describe_marts(), marts.MARTS, strict=True):
        stored = connection.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = %s::regclass and attnum > 0", (table.name,)
        ).fetchall()
        assert definition.asset == table.name.replace(".", "/")
        assert definition.at == table.at
        assert {(column.name, column.type) for column in definition.columns} | {("since", "bigint")} == set(stored)
        assert all(column.description for column in definition.columns)


def test_descriptors_have_the_keys_of_the_tables(connection: psycopg.Connection) -> None:
    """The key by which a mart's difference is found is its primary key, which its model names too."""
    for path in sorted((dbt.project() / "models" / "mart").glob("*.yml")):
        keys = re.findall(r"key: \[(.*?)\]", path.read_text(encoding="utf-8"))
        assert set(keys) <= {", ".join(table.key) for table in marts.MARTS}
    for table in marts.MARTS:
        primary = connection.execute(
            "select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)"
            " where i.indrelid = %s::regclass and i.indisprimary order by array_position(i.indkey::int[], a.attnum::int)",
            (table.name,),
        ).fetchall()
        assert tuple(name for (name,) in primary) == table.key


def test_what_dbt_said_is_what_the_files_say(connection: psycopg.Connection) -> None:
    """Descriptions, columns and tests that Dagster shows without dbt are those that dbt recorded; dbt adds lineage and compiled tests."""
    recorded, described = marts.read_definitions(connection), marts.describe_marts()
    for one, other in zip(recorded, described, strict=True):
        assert (one.asset, one.description, one.at, one.columns) == (other.asset, other.description, other.at, other.columns)
        assert [(test.name, test.description, test.severity) for test in one.tests] == [
            (test.name, test.description, test.severity) for test in other.tests
        ]
        assert len({test.name for test in one.tests}) == len(one.tests) >= 3
        assert all(test.description and test.sql and "settle_window" in test.sql for test in one.tests)
    assert {each.asset: each.depends_on for each in recorded} == {
        "mart/metric_30min": ("core/observation", "core/observation_flag", "core/series"),
        "mart/metric_hourly": ("core/series", "mart/metric_30min"),
        "mart/metric_daily": ("core/series", "mart/metric_hourly"),
        "mart/network_30min": ("core/series", "core/station", "mart/metric_30min"),
        "mart/data_quality_daily": ("core/observation", "core/observation_flag", "core/series", "mart/metric_daily"),
    }


def test_every_test_says_which_day_a_failing_row_belongs_to(connection: psycopg.Connection) -> None:
    """A failing row carries the mart's time or day, so that it can be kept by day."""
    for definition in marts.read_definitions(connection):
        for test in definition.tests:
            columns = connection.execute(f"select * from ({test.sql}) as t limit 0").description
            assert columns is not None
            assert definition.at in [column.name for column in columns], test.name


def test_dbt_runs_once_for_a_state_of_the_project(database_url: str, tmp_path: Path) -> None:
    """Where the views are those of the present files, dbt is not started: nothing is written to its folder."""
    assert not marts.define_marts(database_url, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_missing_views_are_made_again_without_a_trace_of_the_password(database_url: str, tmp_path: Path) -> None:
    """A dropped view makes dbt run; the project's folder is only read, and the password reaches neither dbt's files nor its arguments."""
    password = psycopg.conninfo.conninfo_to_dict(database_url).get("password")
    before = sorted(path for path in dbt.project().rglob("*"))
    with psycopg.connect(database_url) as connection:
        connection.execute("drop view mart.data_quality_daily_derived")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_PROFILES_DIR", str(tmp_path))  # a user's own settings of dbt are no business of ours
        assert marts.define_marts(database_url, tmp_path / "target")
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from mart.data_quality_daily_derived").fetchone() == (0,)
    assert sorted(path for path in dbt.project().rglob("*")) == before
    written = b"".join(path.read_bytes() for path in (tmp_path / "target").rglob("*") if path.is_file())
    assert b"metric_30min" in written
    assert not password or str(password).encode() not in written


def test_a_table_that_differs_from_its_model_is_refused(database_url: str, tmp_path: Path) -> None:
    """A column that only the database has ends dbt's run with the names of both sides, and what to do."""
    with psycopg.connect(database_url) as connection:
        connection.execute("alter table mart.network_30min add column extra integer")
        connection.execute("drop view mart.network_30min_derived")
    with pytest.raises(dbt.DbtFailed, match=r"network_30min.* has the columns .*extra integer.*(?s:.)*Write a migration"):
        marts.define_marts(database_url, tmp_path / "target")


def test_the_unit_tests_of_the_models_pass(database_url: str, tmp_path: Path) -> None:
    """dbt's own unit tests, on rows that are given in YAML, pass."""
    said = dbt.run(database_url, tmp_path / "target", "test", "--select", "test_type:unit")
    assert re.search(r"PASS=[2-9] WARN=0 ERROR=0 SKIP=0", said)


def test_connecting_takes_everything_from_the_url() -> None:
    """Host, port, user, password, database and sslmode of a URL become libpq's variables; a user's own are not mixed in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGHOST", "elsewhere")
        patch.setenv("PGSERVICE", "elsewhere")
        found = dbt._environment("postgresql://me:p%20w@db.example:6000/water?sslmode=require&options=-c%20statement_timeout%3D0")
    assert {name: value for name, value in found.items() if name.startswith("PG")} == {
        "PGHOST": "db.example",
        "PGPORT": "6000",
        "PGUSER": "me",
        "PGPASSWORD": "p w",
        "PGDATABASE": "water",
        "PGSSLMODE": "require",
        "PGOPTIONS": "-c statement_timeout=0 -c timezone=UTC -c jit=off",
    }


def test_an_installation_without_the_project_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the package does not lie in a clone, the error names the folder that is missing and what to do."""
    monkeypatch.setattr(dbt, "__file__", str(tmp_path / "site-packages" / "water_pipelines" / "storage" / "dbt.py"))
    dbt.project.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"site-packages/dbt_project is missing.*clone"):
        dbt.project()
    dbt.project.cache_clear()


def test_undefined_marts_say_what_to_do(connection: psycopg.Connection) -> None:
    """Before dbt has run, reading definitions names the command that runs it."""
    connection.execute("delete from mart.definition")
    with pytest.raises(marts.MartsUndefined, match="water migrate"):
        marts.read_definitions(connection)
