"""SensorThings: servers that are followed, pages that were pulled, what Things and Datastreams are called here, and how the polls go."""

from alembic import op

revision = "0007"
down_revision = "0006"

FACTS = """
create table raw.sensorthings_server (
    server text primary key,
    arrival bigint not null references raw.source_file (arrival),
    prefix text not null,
    said jsonb not null
);
comment on table raw.sensorthings_server is 'Servers that are followed, by the newest sensorthings.yaml of each folder. Without secrets.';

create table raw.sensorthings_page (
    arrival bigint primary key references raw.source_file (arrival),
    server text not null,
    what text not null check (what in ('observations', 'window', 'entities')),
    url text not null,
    after jsonb,
    upto jsonb,
    gaps bigint[] not null default '{}'
);
create index sensorthings_page_server on raw.sensorthings_page (server, arrival desc);
comment on table raw.sensorthings_page is
    'Pages as they landed. The cursor of a server is what its last complete set of pages reached, so it follows from what landed.';

create table raw.sensorthings_station (
    server text not null,
    thing text not null,
    natural_id text not null,
    primary key (server, thing)
);
comment on table raw.sensorthings_station is 'What a Thing is called here, decided when it was first seen.';

create table raw.sensorthings_series (
    server text not null,
    datastream text not null,
    component smallint not null,
    natural_id text not null,
    station text not null,
    property text not null,
    unit text,
    is_followed boolean not null,
    is_filled boolean not null,
    primary key (server, datastream, component)
);
comment on table raw.sensorthings_series is
    'What a Datastream (D:id), or a component of a MultiDatastream (M:id), is called here; is_filled: its past was pulled, too.';
"""

STATE = """
create table raw.sensorthings_poll (
    server text primary key,
    tried_at timestamptz,
    reached_at timestamptz,
    failures integer not null default 0,
    error text,
    due_at timestamptz,
    interval_s double precision not null,
    form text,
    entities_at timestamptz,
    reconciled_at timestamptz,
    requests integer not null default 0
);
comment on table raw.sensorthings_poll is 'How the polls of a server go: no fact, and rebuilt by polling.';
"""

PUSHED = """
create table raw.sensorthings_pushed (
    server text not null,
    subject text not null check (subject in ('forecast', 'series')),
    natural_id text not null,
    datastream text not null,
    change bigint not null,
    rows bigint not null,
    pushed_at timestamptz not null default clock_timestamp(),
    primary key (server, subject, natural_id)
);
comment on table raw.sensorthings_pushed is
    'What was written to SensorThings servers, up to which change. It only saves questions: what a server holds is compared before it is written.';
"""


def upgrade() -> None:
    for statements in (FACTS, STATE, PUSHED):
        op.execute(statements)
