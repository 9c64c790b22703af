"""Windows that files give completely."""

from alembic import op

revision = "0012"
down_revision = "0011"

WINDOWS = """
create table raw.complete_window (
    series_id integer not null,
    arrival bigint not null references raw.source_file (arrival),
    start_at timestamptz not null,
    end_at timestamptz not null check (end_at > start_at),
    primary key (series_id, arrival, start_at)
);
create index complete_window_arrival on raw.complete_window (arrival);
comment on table raw.complete_window is
    'From start_at up to, not including, end_at a loaded file gives all there is of a series: what arrived before and it does not give is withdrawn.';
"""


def upgrade() -> None:
    op.execute(WINDOWS)
