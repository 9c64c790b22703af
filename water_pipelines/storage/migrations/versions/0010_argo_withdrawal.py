"""What every file says of a float is kept, so that a file can be withdrawn; what happened to casts is found by its change."""

from alembic import op

revision = "0010"
down_revision = "0009"

SAID = """
alter table raw.argo_said drop constraint argo_said_pkey, add primary key (wmo, source, arrival);
create index argo_said_arrival on raw.argo_said (arrival);
comment on table raw.argo_said is
    'What the files say of a float, of profile files the latest alone: the latest of each kind, delayed mode first, make up core.argo_float.';
create index argo_profile_since on core.argo_profile (since);
create index argo_profile_since on history.argo_profile (since);
create index argo_profile_until on history.argo_profile (until);
create index argo_evaluation_since on core.argo_evaluation (since);
create index argo_evaluation_since on history.argo_evaluation (since);
create index argo_flag_since on core.argo_flag (since);
create index argo_flag_since on history.argo_flag (since);
create index argo_flag_until on history.argo_flag (until);
"""


def upgrade() -> None:
    op.execute(SAID)
