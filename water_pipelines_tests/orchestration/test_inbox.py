"""The inbox: what is dropped lands once, loads once, and whatever goes wrong with one file is said and harms no other."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any, LiteralString

import orjson
import pytest

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.landing import land_inbox
from water_pipelines.orchestration.resources import Platform
from water_pipelines.storage import source_files
from water_pipelines.storage.database import Database
from water_pipelines.storage.source_files import SourceFile

CSV = b"time,station,property,unit,value\n2026-03-02T00:00:00Z,GAUGE,water_level,m,1.5\n2026-03-02T00:15:00Z,GAUGE,water_level,m,1.6\n"
NAIVE = b"time,level [m]\n2026-03-02 00:00,1.5\n2026-03-02 00:15,1.6\n"
ZONE = b"time_zone: Europe/Prague\nstation: GAUGE\n"


def files(platform: Platform) -> list[SourceFile]:
    with platform.database.connection() as connection:
        arrivals = [row[0] for row in connection.execute("select arrival from raw.source_file order by 1")]
    return [source_files.get(platform.database, arrival) for arrival in arrivals]


def one(platform: Platform, query: LiteralString) -> Any:
    with platform.database.connection() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_a_dropped_file_lies_in_the_landed_area_with_its_facts_and_the_inbox_is_empty(platform: Platform) -> None:
    """The bytes under arrival 1 and their hash, the facts beside them, nothing in the inbox."""
    platform.store.put("inbox/upper valley/März.csv", CSV)
    assert empty_inbox(platform) == 1
    (file,) = files(platform)
    assert platform.store.read(file.key) == CSV
    assert file.key.endswith(f"/000000000001-{file.sha256}")
    facts = orjson.loads(platform.store.read(f"{file.key}.json"))
    assert (facts["prefix"], facts["name"], facts["kind"], facts["arrival"]) == ("upper valley", "März.csv", "data", 1)
    assert list(platform.store.list("inbox/")) == []
    assert (file.status, file.rows, file.rejected) == ("succeeded", 2, 0)


def test_the_same_bytes_again_change_nothing_but_under_another_prefix_they_are_another_logger(platform: Platform) -> None:
    """Twice under one prefix: one ledger row. Under a second prefix: a second one."""
    for prefix in ("a", "a", "b"):
        platform.store.put(f"inbox/{prefix}/x.csv", CSV)
        empty_inbox(platform)
    assert [file.prefix for file in files(platform)] == ["a", "b"]
    assert one(platform, "select count(*) from core.observation") == 2
    assert len(list(platform.store.list("landed/"))) == 4


def test_a_mapping_dropped_with_its_files_holds_for_them_and_for_later_ones(platform: Platform) -> None:
    """mapping.yaml declares the zone of its folder: both naive files load, the second a day later."""
    platform.store.put("inbox/valley/a.csv", NAIVE)
    platform.store.put("inbox/valley/mapping.yaml", ZONE)
    empty_inbox(platform)
    platform.store.put("inbox/valley/deep/b.csv", NAIVE.replace(b"03-02", b"03-03"))
    empty_inbox(platform)
    assert [file.status for file in files(platform)] == ["succeeded"] * 3
    assert str(one(platform, "select min(time) from core.observation")) == "2026-03-01 23:00:00+00:00"
    assert one(platform, "select count(*) from core.observation") == 4


def test_the_same_bytes_under_a_newer_mapping_supersede_the_earlier_load(platform: Platform) -> None:
    """Dropped again with a sidecar that names another zone: the values stand at the new times only."""
    for zone in ("Europe/Prague", "UTC"):
        platform.store.put("inbox/a.csv.mapping.yaml", ZONE.replace(b"Europe/Prague", zone.encode()))
        platform.store.put("inbox/a.csv", NAIVE)
        empty_inbox(platform)
    assert one(platform, "select array_agg(to_char(time, 'HH24:MI') order by time) from core.observation") == ["00:00", "00:15"]
    assert files(platform)[0].superseded_by == 2


def test_a_file_without_a_time_zone_is_set_aside_with_what_to_do_and_the_rest_goes_on(platform: Platform) -> None:
    """A naive file is quarantined and tells how to declare the zone; its neighbour loads."""
    platform.store.put("inbox/naive.csv", NAIVE)
    platform.store.put("inbox/good.csv", CSV)
    empty_inbox(platform)
    by_name = {file.name: file for file in files(platform)}
    assert by_name["good.csv"].status == "succeeded"
    assert by_name["naive.csv"].status == "quarantined"
    assert "time_zone:" in (by_name["naive.csv"].error or "")


def test_a_file_of_which_too_many_rows_are_bad_is_refused_as_a_whole_and_every_bad_row_is_kept(platform: Platform) -> None:
    """3 of 5 rows bad, the limit is a half: nothing is stored, 3 reasons are."""
    platform.store.put("inbox/bad.csv", CSV + b"".join(b"2026-03-02T00:3%d:00Z,GAUGE,water_level,m,broken\n" % n for n in range(3)))
    empty_inbox(platform)
    (file,) = files(platform)
    assert (file.status, file.rejected, one(platform, "select count(*) from core.observation")) == ("quarantined", 3, 0)
    assert "WATER_REJECTED_SHARE_LIMIT" in (file.error or "")
    assert one(platform, "select count(*) from raw.rejected_row") == 3


def test_a_file_that_is_still_written_is_left_alone(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that grows between two looks stays in the inbox; when it has come to rest it lands."""
    assert isinstance(platform.store, LocalStore)
    path = platform.store.root / "inbox" / "growing.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(CSV[:60])
    monkeypatch.setattr("water_pipelines.orchestration.operations.landing.time.sleep", lambda _: path.write_bytes(CSV))
    assert list(land_inbox(platform)) == []
    monkeypatch.undo()
    assert empty_inbox(platform) == 1


@pytest.mark.parametrize("point", ["move_into", "put", "delete"])
def test_a_landing_that_is_cut_off_is_taken_up_again_under_its_number(platform: Platform, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """Killed before the copy, before the facts, or before the inbox object goes: afterwards the file is there once, with everything."""
    platform.store.put("inbox/x.csv", CSV)

    def cut_off(original: Callable[..., Any]) -> Callable[..., Any]:
        def cut(*arguments: Any, **named: Any) -> Any:
            if point == "move_into":
                original(*arguments, **named)
            raise KeyboardInterrupt

        return cut

    monkeypatch.setattr(LocalStore, point, cut_off(getattr(LocalStore, point)))
    with pytest.raises(KeyboardInterrupt):
        empty_inbox(platform)
    monkeypatch.undo()
    empty_inbox(platform)
    (file,) = files(platform)
    assert (file.arrival, file.status) == (1, "succeeded")
    assert [info.key for info in platform.store.list("landed/")] == [file.key, f"{file.key}.json"]
    assert list(platform.store.list("inbox/")) == []


def test_rules_that_are_dropped_are_in_force_and_make_every_day_stale(platform: Platform) -> None:
    """A gross range of 0 to 1 m for water levels makes 1.5 and 1.6 bad after the next settle."""
    from water_pipelines.orchestration.settle import settle

    platform.store.put("inbox/x.csv", CSV)
    empty_inbox(platform)
    settle(platform, lambda units: None)
    assert one(platform, "select count(*) from core.observation_flag where flag > 2") == 0
    platform.store.put("inbox/rules.yaml", b"properties:\n  water_level:\n    unit: m\n    gross_range: {fail: [0, 1]}\n")
    empty_inbox(platform)
    settle(platform, lambda units: None)
    assert [(file.name, file.status, file.error) for file in files(platform)][1] == ("rules.yaml", "succeeded", None)
    assert one(platform, "select count(*) from core.observation_flag where flag = 4") == 2
    assert one(platform, "select count(*) from history.evaluation") > 0


def test_every_refused_row_is_kept_however_many_there_are(platform: Platform) -> None:
    """Of 130,000 rows 60,000 are no numbers, less than the limit: each is kept with its line, and the count agrees."""
    lines = [f"2026-03-02T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z,GAUGE,water_level,m,{n}\n" for n in range(70_000)]
    lines += ["2026-03-03T00:00:00Z,GAUGE,water_level,m,broken\n"] * 60_000
    platform.store.put("inbox/partly.csv", ("time,station,property,unit,value\n" + "".join(lines)).encode())
    empty_inbox(platform)
    (file,) = files(platform)
    assert (file.status, file.rows, file.rejected) == ("succeeded", 70_000, 60_000)
    assert one(platform, "select array[count(*), min(source_row), max(source_row)] from raw.rejected_row") == [60_000, 70_002, 130_001]


def test_a_load_tells_its_progress_and_forgets_it_when_it_ends(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of the file that go up, and none once the load is done."""
    told: list[float] = []
    note = source_files.note_progress

    def noted(database: Database, arrival: int, share: float) -> None:
        told.append(share)
        note(database, arrival, share)

    monkeypatch.setattr(source_files, "note_progress", noted)
    monkeypatch.setattr("water_pipelines.orchestration.operations.loading._PROGRESS_EVERY_S", 0.0)
    platform.store.put("inbox/x.csv", CSV)
    empty_inbox(platform)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert one(platform, "select progress from raw.source_file") is None


def test_a_file_for_which_the_disk_has_no_room_fails_with_what_is_needed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve is larger than the disk: the file has failed, not been set aside, and loads once there is room."""
    monkeypatch.setattr("water_pipelines.storage.room.RESERVE_BYTES", 1 << 60)
    platform.store.put("inbox/x.csv", CSV)
    empty_inbox(platform)
    monkeypatch.undo()
    (file,) = files(platform)
    assert file.status == "failed"
    assert "Reading x.csv needs about 0 MiB" in (file.error or "")
    assert "make room" in (file.error or "")
    source_files.retry(platform.database, [file.arrival])
    empty_inbox(platform)
    assert files(platform)[0].status == "succeeded"


def test_a_file_of_which_every_row_is_refused_is_set_aside_with_the_reason(platform: Platform) -> None:
    """Nothing is left of it to load: it waits for a mapping, and is not tried again and again."""
    platform.store.put("inbox/words.csv", CSV.replace(b",1.5\n", b",x\n").replace(b",1.6\n", b",y\n"))
    empty_inbox(platform)
    (file,) = files(platform)
    assert (file.status, file.rejected) == ("quarantined", 2)
    assert "2 of 2 rows were refused" in str(file.error)


def test_many_files_that_correct_one_another_are_written_in_their_order(platform: Platform) -> None:
    """40 files of one gauge, each correcting the one before: the changes follow the arrivals, and the bad one in the midst harms none."""
    hour = "2026-03-02T{:02d}:00:00Z,GAUGE,water_level,m,{}\n"
    head = "time,station,property,unit,value\n"
    for number in range(40):
        text = "not a table" if number == 20 else head + "".join(hour.format(each, number + 1) for each in (number % 20, number % 20 + 1))
        platform.store.put(f"inbox/river/{number:02d}.csv", text.encode())
    assert empty_inbox(platform) == 40
    ordered = sorted(files(platform), key=lambda file: file.name)
    assert [file.arrival for file in ordered] == list(range(1, 41))
    assert [file.status for file in ordered] == ["succeeded"] * 20 + ["quarantined"] + ["succeeded"] * 19
    changes = one(platform, "select array_agg(arrival order by change) from raw.load where reason = 'load'")
    assert changes == [arrival for arrival in range(1, 41) if arrival != 21]
    stored = one(platform, "select array_agg(value order by time) from core.observation")
    assert stored == [1.0, *range(22, 41), 40.0]


_BY_FILE = """
select array_agg(array[dense_rank, rows, rejected, attempts, new, changed, unchanged] order by arrival) from (
    select arrival, dense_rank() over (order by change), f.rows, f.rejected, attempts, d.new, changed, unchanged
    from raw.load join raw.source_file as f using (arrival) join raw.load_day as d using (load_id)
) as by_file
"""


def test_small_files_that_only_add_share_a_transaction_and_any_other_has_its_own(platform: Platform) -> None:
    """Hours in files that overlap and agree, a correction, further hours: three changes, the same values and counts as one by one."""
    said = [{0: 1, 1: 2}, {1: 2, 2: 3}, {3: 4}, {1: 9}, {4: 5}, {4: 5, 5: 6}]
    for number, values in enumerate(said):
        rows = "".join(f"2026-03-02T{hour:02d}:00:00Z,GAUGE,water_level,m,{value}\n" for hour, value in values.items())
        platform.store.put(f"inbox/river/{number}.csv", f"time,station,property,unit,value\n{rows}never,GAUGE,water_level,m,1\n".encode())
    lenient = platform.settings.model_copy(update={"rejected_share_limit": 0.5})
    empty_inbox(Platform(lenient, platform.database, platform.store))
    assert one(platform, _BY_FILE) == [
        [1, 2, 1, 1, 2, 0, 0],
        [1, 2, 1, 1, 1, 0, 1],
        [1, 1, 1, 1, 1, 0, 0],
        [2, 1, 1, 1, 0, 1, 0],
        [3, 1, 1, 1, 1, 0, 0],
        [3, 2, 1, 1, 1, 0, 1],
    ]
    credited = one(platform, "select array_agg(array[value, arrival] order by time) from core.observation join raw.load using (load_id)")
    assert credited == [[1, 1], [9, 4], [3, 2], [4, 3], [5, 5], [6, 6]]
    assert one(platform, "select array_agg(value) from history.observation") == [2]
    assert one(platform, "select count(*) from raw.rejected_row") == 6


def test_of_files_that_fail_together_only_the_one_at_fault_fails(platform: Platform) -> None:
    """The store has no place for the year of one of three files."""
    with platform.database.connection() as connection:
        connection.execute("drop table core.observation_2025")
    for number, year in enumerate((2024, 2025, 2026)):
        platform.store.put(f"inbox/{number}.csv", CSV.replace(b"2026", b"%d" % year))
    empty_inbox(platform)
    assert [(file.status, file.attempts) for file in files(platform)] == [("succeeded", 1), ("failed", 1), ("succeeded", 1)]
    assert "observation_2025" in (files(platform)[1].error or "")
    assert one(platform, "select count(*) from core.observation") == 4
    assert one(platform, "select array_agg(distinct arrival order by arrival) from raw.load") == [1, 3]


def test_poison_is_set_aside_and_leaves_nothing_on_the_disk(platform: Platform) -> None:
    """Packed zeros, a zip of which no member can be read, a truncated workbook: each has its reason, their neighbour loads, the scratch is empty."""
    bad_member = io.BytesIO()
    with zipfile.ZipFile(bad_member, "w") as archive:
        archive.writestr("manual.pdf", b"%PDF-1.7")
        archive.writestr("bad.csv", b"\x00\x01\x02" * 100)
    poison = {"zeros.csv.gz": gzip.compress(bytes(64 << 20)), "member.zip": bad_member.getvalue(), "cut.xlsx": b"PK\x03\x04" + bytes(26) + b"xl/"}
    for name, content in poison.items():
        platform.store.put(f"inbox/{name}", content)
    platform.store.put("inbox/good.csv", CSV)
    empty_inbox(platform)
    told = {file.name: (file.status, file.error) for file in files(platform)}
    assert told.pop("good.csv") == ("succeeded", None)
    assert {name: status for name, (status, _) in told.items()} == dict.fromkeys(poison, "quarantined")
    assert "manual.pdf" in (told["member.zip"][1] or "")
    assert all(len(error or "") > 20 for _, error in told.values())
    assert one(platform, "select count(*) from core.observation") == 2
    assert list((platform.settings.home / "scratch").iterdir()) == []
