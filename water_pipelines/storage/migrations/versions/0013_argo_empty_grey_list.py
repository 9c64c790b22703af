"""A grey list that names nothing clears the one before: it is kept, too."""

from alembic import op

revision = "0013"
down_revision = "0012"

EMPTY = """
alter table core.argo_grey_list alter column wmo drop not null, alter column start_on drop not null,
    add check (position = 0 or (wmo is not null and start_on is not null));
comment on table core.argo_grey_list is
    'Parameters of floats that the data centres distrust; the list that arrived last is in force as a whole. One that names nothing is a row'
    ' without a float.';
"""


def upgrade() -> None:
    op.execute(EMPTY)
