"""Every value accounted for: operators' acts, tombstones, what each change did to which series, how far back the history goes, progress."""

from alembic import op

revision = "0004"
down_revision = "0003"

ACTS = """
create table raw.act (
    arrival bigint primary key references raw.source_file (arrival),
    act text not null check (act in ('withdraw', 'reinstate', 'delete')),
    subject jsonb not null,
    reason text not null,
    counts jsonb not null,
    change bigint not null references core.change (n)
);
comment on table raw.act is 'What operators did to the data, in the order of arrival: each landed as an object, so that a rebuild does it again.';

create table core.tombstone (
    subject text not null check (subject in ('station', 'series')),
    natural_id text not null,
    series_id integer,
    arrival bigint not null references raw.source_file (arrival),
    since bigint not null,
    primary key (subject, natural_id, arrival)
);
comment on table core.tombstone is 'What was deleted for ever: nothing that arrived before the tombstone is loaded or replayed again.';

create or replace function core.refuse_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('water.deletes', true) = 'on' then
        return null;
    end if;
    raise exception 'core.% is append-only: what was trained or decided is a fact; add a row instead', tg_table_name;
end $$;
comment on function core.refuse_change() is 'Only the deletion of a series, an act of its own, takes facts away.';
"""

CHANGES = """
create table core.series_change (
    n bigint not null,
    series_id integer not null,
    kind text not null check (kind in ('added', 'changed', 'withdrawn', 'flagged', 'deleted')),
    start_at timestamptz not null,
    end_at timestamptz not null,
    rows bigint not null,
    primary key (n, series_id, kind, start_at)
);
comment on table core.series_change is
    'The changes feed: within [start_at, end_at), whole UTC days, what change n did to the values of a series or to their flags.';
"""

HISTORY = """
create table core.history_horizon (is_only boolean primary key default true check (is_only), n bigint not null);
insert into core.history_horizon (n) values (0);
comment on table core.history_horizon is 'One row. States before change n can no longer be told; what was superseded before it is gone.';
"""

JOBS = """
alter table raw.source_file add column progress double precision check (progress between 0 and 1);
comment on column raw.source_file.progress is 'Share of the file that a running load has read; none where no load runs.';

create view core.processing_jobs as
select c.asset, c.unit as partition, c.run, ch.recorded_at as changed_at, c.computed_at, c.logged_at, c.rows, c.read, c.made, c.code_version,
    case when s.asset is null then 'succeeded' else 'stale' end as status
from core.computed as c
left join core.stale as s using (asset, unit)
left join core.change as ch on ch.n = c.made
union all
select s.asset, s.unit, null, null, null, null, null, s.since, null, null, 'pending'
from core.stale as s
where not exists (select from core.computed as c where c.asset = s.asset and c.unit = s.unit);
comment on view core.processing_jobs is 'The run behind each partition of each asset, and the partitions that wait for one.';
"""


SERIES = """
alter table core.series alter column kind set default 'imported';
comment on column core.series.kind is
    'sensor: read live from where it is measured; imported: from files that were dropped; computed: from other series, by the platform.';
"""


def upgrade() -> None:
    for statements in (ACTS, CHANGES, HISTORY, JOBS, SERIES):
        op.execute(statements)
