"""What our tests find by the rules of the day on which a data centre recorded its own: that is what its record is held against."""

from alembic import op

revision = "0011"
down_revision = "0010"

RECORDED = """
alter table core.argo_evaluation add column recorded_run bigint not null default 0, add column recorded_failed bigint not null default 0,
    add column recorded_rules text not null default '';
alter table history.argo_evaluation rename column until to ended;
alter table history.argo_evaluation add column recorded_run bigint not null default 0, add column recorded_failed bigint not null default 0,
    add column recorded_rules text not null default '', add column until bigint;
update history.argo_evaluation set until = ended;
alter table history.argo_evaluation drop column ended, alter column until set not null;
comment on column core.argo_evaluation.recorded_rules is
    'The rules of the day of the data centre''s record, by which recorded_run and recorded_failed are found; empty where it left none.';

create or replace view core.argo_recorded_test as
select p.wmo, p.profile_id, p.natural_id, n,
    (e.recorded_failed >> n) & 1 = 1 as ours, ((c.tests ->> 'failed')::bigint >> n) & 1 = 1 as theirs,
    c.tests ->> 'at' as recorded_at, c.tests ->> 'institution' as institution, c.tests ->> 'software' as software, e.recorded_rules as rules
from core.argo_profile as p
join core.argo_evaluation as e on e.wmo = p.wmo and e.profile_id = p.profile_id
cross join lateral (select coalesce(p.core_said -> 'tests', p.bgc_said -> 'tests') as tests) as c
cross join generate_series(1, 25) as n
where e.recorded_rules <> '' and (c.tests ->> 'has_performed')::boolean and (c.tests ->> 'has_failed')::boolean
    and (e.recorded_run >> n) & 1 = 1 and ((c.tests ->> 'performed')::bigint >> n) & 1 = 1;
comment on view core.argo_recorded_test is
    'For each cast and test n that both we and its data centre ran: whether it failed, by the rules of the day of the record.';

insert into core.stale (asset, unit, since)
select distinct 'core/argo_flag', wmo::text, (select n from core.clock) from core.argo_profile
where coalesce(core_said -> 'tests', bgc_said -> 'tests') is not null
on conflict do nothing;
"""


def upgrade() -> None:
    op.execute(RECORDED)
