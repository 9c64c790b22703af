"""Records of before 2023 are held against the tests of CHLA that were in force then."""

from alembic import op

revision = "0014"
down_revision = "0013"

JUDGED_AGAIN = """
insert into core.stale (asset, unit, since)
select distinct 'core/argo_flag', wmo::text, (select n from core.clock) from core.argo_profile
where 'CHLA' = any(parameters) and coalesce(core_said -> 'tests', bgc_said -> 'tests') is not null
on conflict do nothing;
"""


def upgrade() -> None:
    op.execute(JUDGED_AGAIN)
