"""A world in which values are judged by hand and marts are settled as the platform settles them.

Add a verb here when tests of marts and of checks need the same; what other tests need too belongs in `builders.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from water_pipelines.storage import marts
from water_pipelines.storage.flags import EVALUATION_TABLE, FLAG_TABLE
from water_pipelines.storage.staging import Applied, Staged, Table, settle, windows_of
from water_pipelines_tests.builders import World


class MartsWorld(World):
    """A world whose days are judged and settled by the names of their days."""

    def judge(self, days: Sequence[str], flags: Sequence[tuple[str, str, int, int]] = (), *, read: int | None = None) -> None:
        """Evaluate all series on some days, up to a change; each value is good but for (series, time, flag, failed tests)."""
        with self.database.connection() as connection:
            series = dict(connection.execute("select natural_id, series_id from core.series").fetchall())
        self.put(
            EVALUATION_TABLE,
            days,
            [
                {
                    "series_id": number,
                    "day": day,
                    "rule_set_id": 1,
                    "tests_run": 31,
                    "tests_not_run": 0,
                    "read": self.change if read is None else read,
                }
                for number in series.values()
                for day in days
            ],
        )
        rows = [{"series_id": series[name], "time": f"{time}Z", "flag": flag, "failed": failed, "not_run": 0} for name, time, flag, failed in flags]
        self.put(FLAG_TABLE, days, rows)

    def settle(self, days: Sequence[str], tables: Sequence[Table] = marts.MARTS) -> list[Applied]:
        """Settle marts on some days, one after the other."""
        units = np.array(sorted(days), dtype="datetime64[D]")
        return [
            settle(
                self.database,
                table.name.replace(".", "/"),
                units,
                lambda snapshot, due, table=table: Staged([marts.stage_mart(snapshot, table, windows_of(due))]),  # type: ignore[misc]
                [],
            )
            for table in tables
        ]

    def rows(self, table: Table, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
        """Rows of a mart by key, with times as ISO text without zone (UTC)."""
        with self.database.connection() as connection:
            found = connection.execute(f"select {columns} from {table.name} where {where} order by {', '.join(table.key)}")
            return found.fetchall()

    def row(self, table: Table, columns: str, where: str = "true") -> tuple[Any, ...]:
        """The only row of a mart under a condition."""
        (found,) = self.rows(table, columns, where)
        return found


def described(unit: str | None, interval_s: float | None = 900.0, **more: Any) -> Mapping[str, Any]:
    """Attributes of a series."""
    return {"unit": unit, "interval_s": interval_s, **more}
