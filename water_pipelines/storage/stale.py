"""What is stale: an asset and a unit (a day, or a float), since which change. Written only by a transaction that holds the clock."""

from __future__ import annotations

from collections.abc import Sequence

from water_pipelines.storage.database import Connection


def mark(connection: Connection, asset: str, units: Sequence[str]) -> None:
    """Note that units of an asset no longer follow from their inputs, as of this transaction's change."""
    if units:
        connection.execute("select core.mark_stale(%s, %s)", (asset, list(units)))


def clear(connection: Connection, asset: str, units: Sequence[str], read: int) -> None:
    """Forget marks up to the change that a computation has read; a later mark stays."""
    connection.execute("delete from core.stale where asset = %s and unit = any(%s) and since <= %s", (asset, list(units), read))


def units(connection: Connection, asset: str) -> list[str]:
    """The stale units of an asset, in order."""
    return [row[0] for row in connection.execute("select unit from core.stale where asset = %s order by unit", (asset,))]


def are_any(connection: Connection, assets: Sequence[str]) -> bool:
    """Whether any unit of some assets is stale."""
    row = connection.execute("select exists (select from core.stale where asset = any(%s))", (list(assets),)).fetchone()
    return row == (True,)


def counts(connection: Connection) -> dict[str, int]:
    """How many units of each asset are stale."""
    return dict(connection.execute("select asset, count(*) from core.stale group by asset").fetchall())
