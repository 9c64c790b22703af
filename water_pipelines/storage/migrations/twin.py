"""The history twin of a served table: what its rows were, and until which change."""

from alembic import op


def keep_history(table: str) -> None:
    """Give `schema.name`, which has a `since` column, a twin `history.name` with `until`, filled by triggers.

    The triggers are statement-level with transition tables, which forbid one trigger for several events, so there are two.
    They stand on the partitioned parent: changes must be made through it (inserts may go to a leaf).
    """
    name = table.split(".")[1]
    op.execute(f"create table history.{name} (like {table}, until bigint not null)")
    for event in ("update", "delete"):
        op.execute(
            f"create trigger keep_{event} after {event} on {table} referencing old table as gone for each statement execute function history.keep()"
        )
