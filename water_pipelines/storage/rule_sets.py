"""The rule sets that were ever in force, each with the change since which it was; the latest is in force."""

from __future__ import annotations

from typing import NamedTuple

from water_pipelines.storage.database import Connection, Database


class RuleSetInForce(NamedTuple):
    """A stored rule set. An empty text stands for the rules that the project comes with."""

    rule_set_id: int
    version: str
    text: str


def in_force(connection: Connection) -> RuleSetInForce | None:
    """The rule set in force: that of the latest arrival, else the project's own."""
    row = connection.execute(
        "select rule_set_id, version, text from core.rule_set order by arrival desc nulls last, rule_set_id desc limit 1"
    ).fetchone()
    return RuleSetInForce(*row) if row else None


def use_defaults(database: Database, version: str) -> None:
    """Put the project's own rules in force where none are, or where an upgrade changed them and no file has replaced them."""
    with database.connection() as connection:
        connection.execute("lock table core.rule_set in share row exclusive mode")
        known = in_force(connection)
        if known is None or (known.text == "" and known.version != version):
            change = database.take_number(connection, "rules")
            connection.execute("insert into core.rule_set (version, text, since) values (%s, '', %s)", (version, change))
            mark_all_stale(connection)


def put_in_force(connection: Connection, arrival: int, version: str, text: str) -> None:
    """Put the rules of a landed file in force, unless a later file's are; call it with the clock held."""
    connection.execute("insert into core.rule_set (arrival, version, text, since) values (%s, %s, %s, core.this_change())", (arrival, version, text))
    mark_all_stale(connection)


def mark_all_stale(connection: Connection) -> None:
    """Mark the flags of every day that holds observations as stale, as of this transaction's change."""
    connection.execute("select core.mark_stale('core/observation_flag', array(select distinct day::text from raw.load_day))")
