"""Files that are complete, end to end: what a source deleted is gone, is still read as of before, and comes back when the file is withdrawn."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.inbox import empty_inbox, start_clock
from water_pipelines.orchestration.operations.loading import replay_file
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage.served import lineage, observations, series
from water_pipelines.storage.served.reading import NothingFound, reading
from water_pipelines_tests.orchestration.test_acts import AT, START, arrival_of, drop, level, rows, settled
from water_pipelines_tests.parsers.test_archives import zipped

LEVEL = "GAUGE/water_level"


def complete(platform: Platform, name: str, values: dict[int, Any], says: str = "day") -> None:
    """Drop a file of levels under a mapping that declares it complete, and load it."""
    platform.store.put(f"inbox/{name}.mapping.yaml", f"complete: {says}\n".encode())
    drop(platform, name, values)


def served(platform: Platform, as_of: int | None = None) -> list[float]:
    """The values of the level that are read, as of a change."""
    with reading(platform.database, as_of) as state:
        values: list[float] = observations.read(state, series.find(state, LEVEL)["series_id"], None, None, 1000)[0]["value"].tolist()
        return values


def test_what_a_complete_file_leaves_out_is_gone_until_it_is_withdrawn(platform: Platform, rebuilt: Platform) -> None:
    """Two days; the second is given again without its first two hours and with one value more: 8 values are gone, and everything derived follows."""
    start_clock(platform, AT)
    drop(platform, "level.csv", level(2))
    settled(platform)
    before, (number,) = rows(platform), served_change(platform)
    given = {step: value for step, value in level(2).items() if step >= 104} | {150: 9.0}
    complete(platform, "second_day.csv", given)
    settled(platform)
    now = served(platform)
    assert (len(now), 9.0 in now) == (184, True)
    assert served(platform, number) == list(level(2).values())
    hidden = datetime(2026, 3, 3, 1, tzinfo=UTC)
    with reading(platform.database, number) as state:
        assert lineage.explain(state, series.find(state, LEVEL), hidden, "observation")["source"]["name"] == "level.csv"
    with reading(platform.database, None) as state, pytest.raises(NothingFound):
        lineage.explain(state, series.find(state, LEVEL), hidden, "observation")
    second = Platform(rebuilt.settings, rebuilt.database, platform.store)
    rebuild(second)
    assert rows(second) == rows(platform)
    assert replay_file(platform, int(arrival_of(platform, "second_day.csv")), apply=True) is None
    fact = acts.withdrawal(platform, [arrival_of(platform, "second_day.csv")], reason="not complete after all", at=AT)
    assert acts.ask(platform, fact).counts == {"files": 1, "values withdrawn": 0, "values replaced": 1, "values back": 8}
    acts.do(platform, fact)
    settled(platform)
    assert rows(platform) == before
    acts.do(platform, acts.reinstatement(platform, [arrival_of(platform, "second_day.csv")], reason="", at=AT))
    assert served(platform) == now


def served_change(platform: Platform) -> tuple[int]:
    """The change that is read now."""
    with platform.database.snapshot() as snapshot:
        return (snapshot.number,)


def test_a_complete_file_with_a_row_that_cannot_be_read_takes_nothing_away(platform: Platform) -> None:
    """One of its values is a word: as a gap it would delete, so the file is set aside with the row and the reason, and mended by another drop."""
    start_clock(platform, AT)
    drop(platform, "level.csv", level(1))
    complete(platform, "again.csv", {**level(1), 5: "broken"}, "true")
    assert len(served(platform)) == 96
    with platform.database.connection() as connection:
        ((status, error),) = connection.execute("select status, error from raw.source_file where name = 'again.csv'").fetchall()
    assert status == "quarantined"
    assert error.startswith("1 rows were refused of a file that is declared complete, so that they would count as deleted. The first: row 7: ")
    complete(platform, "again.csv", {step: value for step, value in level(1).items() if step != 5}, "true")
    assert len(served(platform)) == 95


def test_a_manual_beside_complete_files_does_not_hold_them_up(platform: Platform) -> None:
    """A zip of a day and its manual is loaded, and what the day leaves out is gone; the manual is told as refused, but is no row."""
    start_clock(platform, AT)
    drop(platform, "level.csv", level(1))
    some = "time,station,water_level (m)\n" + "".join(f"{START + step * np.timedelta64(1, 'h')}Z,GAUGE,{step}\n" for step in range(6))
    platform.store.put("inbox/all.zip.mapping.yaml", b"complete: day")
    platform.store.put("inbox/all.zip", zipped(manual__pdf=b"%PDF-1.7", day__csv=some.encode()))
    empty_inbox(platform)
    assert served(platform) == [0, 1, 2, 3, 4, 5]
    with platform.database.connection() as connection:
        found = connection.execute("select source_row, text, status from raw.rejected_row join raw.source_file using (arrival)").fetchall()
    assert found == [(0, "manual.pdf", "succeeded")]
