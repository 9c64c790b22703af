"""Sensors of facilities that are switched on and off."""

from alembic import op

from water_pipelines.storage.migrations.twin import keep_history

revision = "0008"
down_revision = "0007"

STATES = """
create table core.sensor_state (
    series_id integer not null,
    at timestamptz not null,
    arrival bigint not null references raw.source_file (arrival),
    is_active boolean not null,
    reason text,
    since bigint not null,
    primary key (series_id, at, arrival)
);
create index sensor_state_arrival on core.sensor_state (arrival);
comment on table core.sensor_state is
    'From when on a sensor is on or off, as each file said; of one sensor and time the latest arrival holds. Unless told so, a sensor is on.';
"""


def upgrade() -> None:
    op.execute(STATES)
    keep_history("core.sensor_state")
