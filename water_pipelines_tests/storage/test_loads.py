"""Loads: the latest arrival wins whatever the order of loading, and nothing is lost or written twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, LiteralString

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from water_pipelines.domain.reach import SAME_DAY, Reach
from water_pipelines.storage import loads, source_files, stale
from water_pipelines.storage.claims import Claims, prepare
from water_pipelines.storage.database import Connection, Database
from water_pipelines.storage.loads import Loaded, Parsed
from water_pipelines.storage.source_files import SourceFile
from water_pipelines.storage.spool import Spool
from water_pipelines.storage.staging import Edge

START = np.datetime64("2026-03-01T00:00", "us")
STEP = np.timedelta64(6, "h")
Row = tuple[str, int, float | None]  # station, step, value (none: the source withdraws it)
Window = tuple[str, int, int]  # station, first step, and the step up to which a file gives all of it


class Files:
    """Files by what they say; they land in the order in which they are made, and are loaded when the test says so."""

    def __init__(self, database: Database, edges: list[Edge]) -> None:
        self.database = database
        self.edges = edges
        self.rows: dict[int, list[Row]] = {}
        self.windows: dict[int, list[Window]] = {}

    def land(self, rows: list[Row], *, complete: Sequence[Window] = (), mapping_version: str = "none", sha256: str | None = None) -> SourceFile:
        with source_files.landing(self.database) as arrival:
            file = source_files.announce(
                self.database,
                arrival=arrival,
                sha256=sha256 or f"{arrival:064d}",
                size=1,
                name=f"{arrival}.csv",
                prefix="",
                kind="data",
                mapping_version=mapping_version,
                mapping="",
                arrived_at=datetime(2026, 3, 20, tzinfo=UTC),
            )
        source_files.landed(self.database, file.arrival)
        self.rows[file.arrival], self.windows[file.arrival] = rows, list(complete)
        return file

    def load(self, file: SourceFile, connection: Connection | None = None) -> Loaded:
        """Load a file, in a transaction of its own or in one that the caller commits."""
        with source_files.loading(self.database, file.arrival) as held, self.spool(file.arrival) as spool:
            assert held is not None
            windows = [(f"{station}/level", at(start), at(end)) for station, start, end in self.windows[file.arrival]]
            stations = sorted({name.split("/")[0] for name in (*spool.series, *(name for name, _, _ in windows))})
            claims = Claims(
                {name: {} for name in stations}, {f"{name}/level": {"station": name, "property": "level", "unit": "m"} for name in stations}
            )
            with nullcontext(connection) if connection else self.database.connection() as within:
                parsed = Parsed(spool, claims, [], "test", "1", windows=windows)
                return loads.load_within(self.database, within, held, parsed, edges=lambda _: self.edges, reparse=self.spool)

    def withdraw(self, *files: SourceFile) -> Loaded:
        arrivals = [file.arrival for file in files]
        with self.database.connection() as connection:
            done = loads.withdraw(self.database, connection, arrivals, edges=lambda _: self.edges, series_edges=[], reparse=self.spool)
        for arrival in arrivals:
            del self.rows[arrival], self.windows[arrival]
        return done

    def spool(self, arrival: int) -> Spool:
        rows = self.rows[arrival]
        spool = Spool()
        spool.append(
            pa.RecordBatch.from_arrays(
                [
                    pa.array([f"{station}/level" for station, _, _ in rows], pa.string()).dictionary_encode(),
                    pa.array([START + step * STEP for _, step, _ in rows], pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
                    pa.array([np.nan if value is None else value for _, _, value in rows], pa.float64()),
                    pa.array([None] * len(rows), pa.string()).dictionary_encode(),
                    pa.array(range(1, len(rows) + 1), pa.int32()),
                    pa.array([value is None for _, _, value in rows]).cast(pa.int8()),
                ],
                names=["series", "time", "value", "qualifier", "source_row", "op"],
            )
        )
        return spool

    def stored(self) -> dict[tuple[str, int], tuple[float, int, int]]:
        """(station, step) -> (value, arrival it is credited to, row in that file)."""
        query = (
            "select st.natural_id, o.time::timestamp, o.value, l.arrival, o.source_row from core.observation as o"
            " join core.series as s using (series_id) join core.station as st using (station_id) join raw.load as l using (load_id)"
        )
        with self.database.connection() as connection:
            return {
                (station, int((np.datetime64(time) - START) / STEP)): (value, arrival, row)
                for station, time, value, arrival, row in connection.execute(query)
            }

    def folded(self) -> dict[tuple[str, int], tuple[float, int, int]]:
        """What the last words of the files come to, in the order of arrival; a repeated value keeps its origin."""
        stands: dict[tuple[str, int], tuple[float, int, int]] = {}
        for arrival, rows in sorted(self.rows.items()):
            words: dict[tuple[str, int], tuple[float | None, int]] = {}
            for number, (station, step, value) in enumerate(rows, start=1):
                if (station, step) not in words or words[station, step][0] != value:
                    words[station, step] = (value, number)
            within = {(station, step) for station, start, end in self.windows[arrival] for step in range(start, end)}
            for key in within.intersection(stands).difference(words):
                del stands[key]
            for key, (value, number) in words.items():
                if value is None:
                    stands.pop(key, None)
                elif key not in stands or stands[key][0] != value:
                    stands[key] = (value, arrival, number)
        return stands


class Interrupted:
    """A connection on which something happens before one of the statements."""

    def __init__(self, connection: Connection, statement: int, what: Callable[[], object]) -> None:
        self._connection, self._statement, self._what = connection, statement, what
        self.executed = 0

    def execute(self, query: LiteralString, parameters: Sequence[object] = ()) -> psycopg.Cursor[Any]:
        if self.executed == self._statement:
            self._what()
        self.executed += 1
        return self._connection.execute(query, parameters)


def at(step: int) -> datetime:
    return (START + step * STEP).astype(datetime).replace(tzinfo=UTC)  # type: ignore[no-any-return]


@pytest.fixture
def files(database_url: str) -> Iterator[Files]:
    database = Database(database_url, code_version="test", run="run")
    yield Files(database, [Edge("core/observation_flag", SAME_DAY)])
    database.close()


def test_a_value_that_arrived_between_two_others_and_was_loaded_last_does_not_win(files: Files) -> None:
    """A=5, then C=7, then B=5; loaded A, B, C: the store says 5, of B."""
    first, between, last = files.land([("A", 0, 5.0)]), files.land([("A", 0, 7.0)]), files.land([("A", 0, 5.0)])
    for file in (first, last, between):
        files.load(file)
    assert files.stored() == {("A", 0): (5.0, 3, 1)}


def test_what_was_superseded_stays_in_history_with_the_change_that_ended_it(files: Files) -> None:
    """A correction from 1 to 2 leaves the 1, by load 1, until the change of load 2."""
    files.load(files.land([("A", 0, 1.0), ("A", 1, 8.0)]))
    corrected = files.load(files.land([("A", 0, 2.0)]))
    with files.database.connection() as connection:
        assert connection.execute("select value, load_id, until from history.observation").fetchall() == [(1.0, 1, corrected.change)]


def test_the_same_values_in_another_file_write_nothing(files: Files) -> None:
    """A second delivery of the same 8 values counts 8 unchanged, and marks nothing stale."""
    rows: list[Row] = [("A", step, float(step)) for step in range(8)]
    files.load(files.land(rows))
    with files.database.connection() as connection:
        connection.execute("delete from core.stale")
    loaded = files.load(files.land(rows))
    assert (loaded.new, loaded.changed, loaded.unchanged) == (0, 0, 8)
    with files.database.connection() as connection:
        assert stale.units(connection, "core/observation_flag") == []


def test_one_late_value_makes_stale_exactly_the_days_within_reach(files: Files) -> None:
    """A value at 18:00 with a reach of 6 h ahead in time touches its own day and the next."""
    files.edges = [Edge("core/observation_flag", Reach(np.timedelta64(6, "h"), np.timedelta64(0, "h")))]
    files.load(files.land([("A", 3, 1.0)]))
    with files.database.connection() as connection:
        assert stale.units(connection, "core/observation_flag") == ["2026-03-01", "2026-03-02"]


def test_what_reads_a_value_is_asked_when_no_other_rules_can_come_between(files: Files) -> None:
    """Rules whose reach is longer come into force under the clock: a load that was asked before, and marked after, would leave a day out."""
    is_held: list[bool] = []

    def readers(connection: Connection) -> list[Edge]:
        with psycopg.connect(files.database.url) as other:
            is_held.append(other.execute("select from core.clock for update skip locked").rowcount == 0)
        return []

    file = files.land([("A", 0, 1.0)])
    with source_files.loading(files.database, file.arrival) as held, files.spool(file.arrival) as spool:
        assert held is not None
        claims = Claims({"A": {}}, {"A/level": {"station": "A", "property": "level", "unit": "m"}})
        loads.load(files.database, held, Parsed(spool, claims, [], "test", "1"), edges=readers, reparse=files.spool)
    with files.database.connection() as connection:
        loads.withdraw(files.database, connection, [file.arrival], edges=readers, series_edges=[], reparse=files.spool)
    assert is_held == [True, True]


def test_the_same_bytes_under_a_newer_mapping_supersede_the_earlier_load(files: Files) -> None:
    """Station A, mapped anew as station B: the values of A are gone, those of B are there."""
    files.load(files.land([("A", 0, 1.0), ("A", 1, 2.0)], mapping_version="one", sha256="s" * 64))
    old = dict(files.rows)
    newer = files.land([("B", 0, 1.0), ("B", 1, 2.0)], mapping_version="two", sha256="s" * 64)
    files.load(newer)
    del old[1]
    assert files.stored() == {("B", 0): (1.0, 2, 1), ("B", 1): (2.0, 2, 2)}
    assert source_files.get(files.database, 1).superseded_by == 2


def test_a_repeated_time_with_another_value_keeps_the_later_row_and_says_so(files: Files) -> None:
    """Rows 1 and 2 give one time two values: row 2 stands, row 1 is kept as rejected."""
    loaded = files.load(files.land([("A", 0, 1.0), ("A", 0, 2.0)]))
    assert files.stored() == {("A", 0): (2.0, 1, 2)}
    assert loaded.rejected == 1
    with files.database.connection() as connection:
        row = connection.execute("select source_row, reason from raw.rejected_row").fetchone()
    assert row == (1, "the time is given again with another value, in row 2; the later row was kept")


def test_a_series_that_another_load_makes_meanwhile_is_one_series(files: Files) -> None:
    """A load that looks while another one, which is about to commit, makes the same series writes under the number that the other gave it."""
    first, second = files.land([("A", 0, 1.0)]), files.land([("A", 1, 2.0)])
    with psycopg.connect(files.database.url) as meanwhile, ThreadPoolExecutor(1) as beside:
        meanwhile.execute("lock table raw.description in access exclusive mode")  # whoever looks for what is known waits half-way
        files.load(first, meanwhile)
        loaded = beside.submit(files.load, second)
        while not meanwhile.execute(
            "select 1 from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())"
        ).fetchone():
            assert not loaded.done()
        meanwhile.commit()
        loaded.result()
    assert files.stored() == {("A", 0): (1.0, 1, 1), ("A", 1): (2.0, 2, 1)}


def test_a_load_that_fails_leaves_nothing_but_its_ledger_row(files: Files) -> None:
    """A file that breaks within its transaction leaves no station, series, value or load behind."""
    file = files.land([("A", 0, 1.0)])
    files.edges = [Edge("core/observation_flag", SAME_DAY, lambda first, last: [0])]  # type: ignore[list-item]  # breaks at the very end
    with pytest.raises(psycopg.Error):
        files.load(file)
    with files.database.connection() as connection:
        counts = connection.execute(
            "select (select count(*) from core.station) + (select count(*) from core.series) + (select count(*) from core.observation)"
            " + (select count(*) from raw.load) + (select count(*) from raw.claim)"
        ).fetchone()
    assert counts == (0,)


def test_what_a_complete_window_does_not_give_is_withdrawn_and_counted(files: Files) -> None:
    """Six values; a file gives steps 1 to 4 completely with the values of 1 and 3: 2 and 4 go, 1 and 3 keep their origin, 0 and 5 stay."""
    files.load(files.land([("A", step, float(step)) for step in range(6)]))
    with files.database.connection() as connection:
        connection.execute("delete from core.stale")
    loaded = files.load(files.land([("A", 1, 1.0), ("A", 3, 9.0)], complete=[("A", 1, 5)]))
    assert (loaded.new, loaded.changed, loaded.unchanged, loaded.gone) == (0, 1, 1, 2)
    assert files.stored() == {("A", step): (9.0 if step == 3 else step, 2 if step == 3 else 1, 2 if step == 3 else step + 1) for step in (0, 1, 3, 5)}
    with files.database.connection() as connection:
        assert stale.units(connection, "core/observation_flag") == ["2026-03-01", "2026-03-02"]
        told = connection.execute("select kind, start_at::date::text, rows from core.series_change where n = %s order by 1, 2", (loaded.change,))
        assert told.fetchall() == [("changed", "2026-03-01", 1), ("withdrawn", "2026-03-01", 2)]


def test_a_complete_window_hides_what_is_loaded_late_and_not_what_arrives_later(files: Files) -> None:
    """On a day of which the complete file gives nothing: an earlier arrival, loaded after it, stores nothing there; a later one is stored."""
    late, complete, later = (
        files.land([("A", 4, 1.0), ("A", 5, 1.0)]),
        files.land([("A", 0, 2.0)], complete=[("A", 0, 5)]),
        files.land([("A", 4, 3.0)]),
    )
    for file in (complete, late, later):
        files.load(file)
    assert files.stored() == files.folded() == {("A", 0): (2.0, 2, 1), ("A", 4): (3.0, 3, 1), ("A", 5): (1.0, 1, 2)}


def test_what_a_withdrawn_window_hid_comes_back(files: Files) -> None:
    """A window without any value hides two files' values, one of which was loaded after it; the file is withdrawn, and both are back."""
    early, late = files.land([("A", 0, 1.0)]), files.land([("A", 4, 2.0)])
    window = files.land([], complete=[("A", 0, 12)])
    for file in (early, window, late):
        files.load(file)
    assert files.stored() == {}
    done = files.withdraw(window)
    assert files.stored() == {("A", 0): (1.0, 1, 1), ("A", 4): (2.0, 2, 1)}
    assert done.gone == 0
    with files.database.connection() as connection:
        assert connection.execute("select from raw.complete_window").fetchall() == []


@pytest.mark.parametrize("statement", range(4))
def test_a_series_that_another_file_makes_meanwhile_keeps_its_number(files: Files, statement: int) -> None:
    """Another file with the same new series is committed before any of the statements by which a file is told to bring news."""
    other, claims = files.land([("A", 0, 1.0)]), Claims({"A": {}}, {"A/level": {"station": "A", "property": "level", "unit": "m"}})
    with files.database.connection() as connection:
        meanwhile = Interrupted(connection, statement, lambda: files.load(other))
        provision = prepare(meanwhile, {2: claims})  # type: ignore[arg-type]
        assert meanwhile.executed > statement
        assert connection.execute("select natural_id, series_id from core.series").fetchall() == list(provision.series_ids.items())


_rows = st.lists(
    st.tuples(st.sampled_from(["A", "B"]), st.integers(0, 11), st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.0]))), min_size=1, max_size=8
)
_windows = st.lists(
    st.tuples(st.sampled_from(["A", "B"]), st.integers(0, 11), st.integers(1, 8)).map(lambda said: (said[0], said[1], said[1] + said[2])), max_size=2
)
_said = st.lists(st.tuples(_rows, _windows), min_size=1, max_size=6)


@given(_said.flatmap(lambda said: st.tuples(st.just(said), st.permutations(range(len(said))), st.sets(st.integers(0, len(said) - 1), max_size=2))))
@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_loading_ends_in_what_the_arrivals_say_in_their_order(
    files: Files, case: tuple[list[tuple[list[Row], list[Window]]], list[int], set[int]]
) -> None:
    """Random files over two stations and three days, some with complete windows, loaded in any order: values, origins and rows equal the fold by
    arrival, also when some are withdrawn, one after the other.
    """
    said, order, withdrawn = case
    with files.database.connection() as connection:
        connection.execute("truncate raw.source_file, raw.description, core.station, core.series, core.stale, core.computed cascade")
        connection.execute("truncate core.observation, history.observation")
    files.rows.clear()
    landed = [files.land(rows, complete=windows) for rows, windows in said]
    for position in order:
        files.load(landed[position])
    assert files.stored() == files.folded()
    for position in withdrawn:
        files.withdraw(landed[position])
        assert files.stored() == files.folded()
