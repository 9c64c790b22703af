"""Descriptions: what all claims of a station or a series come to, kept so that another claim that says the same costs nothing."""

from alembic import op

revision = "0009"
down_revision = "0008"

DESCRIPTIONS = """
create table raw.description (
    subject text not null check (subject in ('station', 'series')),
    natural_id text not null,
    attributes jsonb not null,
    found_by bigint,
    primary key (subject, natural_id)
);
comment on table raw.description is 'The claims of a station or a series, merged in the order of arrival.';
comment on column raw.description.found_by is
    'The arrival in whose data the interval of a series was found: an earlier one that is loaded later overrules it.';

insert into raw.description (subject, natural_id, attributes, found_by)
select subject, natural_id,
    raw.merged(attributes order by arrival) || case when bool_or(attributes ? 'inferred_interval_s') then jsonb_build_object(
        'inferred_interval_s',
        (array_agg(attributes -> 'inferred_interval_s' order by arrival) filter (where attributes ? 'inferred_interval_s'))[1]
    ) else '{}' end,
    min(arrival) filter (where attributes ? 'inferred_interval_s')
from raw.claim group by subject, natural_id;
"""


def upgrade() -> None:
    op.execute(DESCRIPTIONS)
