"""What a deletion may do to facts: it takes the name of a series from what models say that they learned nothing of."""

from alembic import op

revision = "0005"
down_revision = "0004"

REFUSE = """
create or replace function core.refuse_change() returns trigger language plpgsql as $$
begin
    if current_setting('water.deletes', true) = 'on' then
        return null;
    end if;
    raise exception 'core.% is append-only: what was trained or decided is a fact; add a row instead', tg_table_name;
end $$;
"""


def upgrade() -> None:
    op.execute(REFUSE)
