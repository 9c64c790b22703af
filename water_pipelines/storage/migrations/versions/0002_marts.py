"""The marts, whose rows dbt defines and settle writes; what dbt defined; and the outcome of checks."""

from alembic import op

from water_pipelines.storage.migrations.twin import keep_history

revision = "0002"
down_revision = "0001"

MOMENTS = """
create aggregate mart.moments (double precision) (sfunc = float8_accum, stype = double precision [], initcond = '{0,0,0}');
comment on aggregate mart.moments (double precision) is 'Number, sum and sum of squared deviations, updated as PostgreSQL updates variances.';
create aggregate mart.pooled (double precision []) (sfunc = float8_combine, stype = double precision [], initcond = '{0,0,0}');
comment on aggregate mart.pooled (double precision []) is 'The moments of all values together, from the moments of parts.';
"""

_METRIC = """
create table mart.{name} (
    series_id integer not null,
    start_at timestamptz not null,
    count integer not null,
    mean double precision,
    minimum double precision,
    maximum double precision,
    sum double precision,
    standard_deviation double precision,
    squared_deviations double precision,
    volume double precision,
    expected integer,
    completeness double precision,
    received integer not null,
    good_share double precision,
    suspect_share double precision,
    bad_share double precision,
    missing_share double precision,
    not_evaluated_share double precision,
    is_closed boolean not null,
    since bigint not null,
    primary key (series_id, start_at)
) partition by range (start_at);
"""
METRICS = ("metric_30min", "metric_hourly", "metric_daily")

OTHERS = """
create table mart.network_30min (
    network text not null,
    zone text not null,
    property text not null,
    start_at timestamptz not null,
    unit text,
    series integer not null,
    mean double precision,
    minimum double precision,
    maximum double precision,
    sum double precision,
    volume double precision,
    completeness double precision,
    since bigint not null,
    primary key (network, zone, property, start_at)
);
create index network_30min_start_at on mart.network_30min (start_at);

create table mart.data_quality_daily (
    series_id integer not null,
    day date not null,
    expected integer,
    received integer not null,
    good integer not null,
    suspect integer not null,
    bad integer not null,
    missing integer not null,
    not_evaluated integer not null,
    completeness double precision,
    gross_range_failed integer not null,
    spike_failed integer not null,
    rate_of_change_failed integer not null,
    flat_line_failed integer not null,
    gap_failed integer not null,
    longest_gap_s double precision not null,
    rule_set_id integer,
    since bigint not null,
    primary key (series_id, day)
);
create index data_quality_daily_day on mart.data_quality_daily (day);

create table mart.definition (
    is_only boolean primary key default true check (is_only),
    project_hash text not null,
    dbt_version text not null,
    marts jsonb not null,
    built_at timestamptz not null default clock_timestamp()
);
comment on table mart.definition is
    'One row: what dbt built the views from, and of each mart its documentation, lineage and compiled tests, so that dbt need not run again.';
"""

CHECKS = """
create table core.check_result (
    asset text not null,
    check_name text not null,
    day date not null,
    severity text not null check (severity in ('warn', 'error')),
    failing bigint not null,
    since bigint not null,
    primary key (asset, check_name, day)
);
create index check_result_day on core.check_result (day);

create table core.check_failure (
    asset text not null,
    check_name text not null,
    day date not null,
    position integer not null,
    row jsonb not null,
    since bigint not null,
    primary key (asset, check_name, day, position)
);
create index check_failure_day on core.check_failure (day);
"""


def upgrade() -> None:
    op.execute(MOMENTS)
    for name in METRICS:
        op.execute(_METRIC.format(name=name))
    op.execute(OTHERS)
    op.execute(CHECKS)
    for name in METRICS:
        keep_history(f"mart.{name}")
        op.execute(f"create index {name}_key on history.{name} (series_id, start_at)")
    for table in (
        "mart.network_30min",
        "mart.data_quality_daily",
        "core.check_result",
        "core.check_failure",
    ):
        keep_history(table)
    op.execute("create index network_30min_key on history.network_30min (network, zone, property, start_at)")
    op.execute("create index data_quality_daily_key on history.data_quality_daily (series_id, day)")
    op.execute("create index check_result_key on history.check_result (asset, check_name, day)")
    op.execute("create index check_failure_key on history.check_failure (asset, check_name, day, position)")
