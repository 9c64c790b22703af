"""Argo on the platform: current versions whatever the order of arrival, bad files, flags by float, and rules that are previewed."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import dagster as dg
import netCDF4
import pytest
import zstandard

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.assets.argo import argo_facts, argo_flag, argo_summary
from water_pipelines.orchestration.operations import acts, argo_flagging
from water_pipelines.orchestration.operations.acts import CannotAct
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import SETTLED, compute_units, settle
from water_pipelines.parsers import recognise
from water_pipelines.parsers.contract import Event, FileFacts, Head, UnreadableFile
from water_pipelines.parsers.facts import ActFact
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.storage.served import argo, argo_changes
from water_pipelines.storage.served.reading import reading
from water_pipelines_tests.argo_world import FLOAT, archived, bgc, cast, delayed, load, load_at_once, netcdf, oxygen, stored, zipped
from water_pipelines_tests.clients.test_llm import Model, completion, serving
from water_pipelines_tests.orchestration.histories import rows, settled
from water_pipelines_tests.parsers.argo_files import as_netcdf4
from water_pipelines_tests.shared_data import shared

FLAG = "core/argo_flag"
NUMBER = int(FLOAT)
CURRENT = "select natural_id, data_mode, levels, parameters from core.argo_profile order by 1"


def again(platform: Platform) -> dict[str, int]:
    """Judge all floats again; gives the rows that had to be written."""
    with platform.database.connection() as connection:
        wmos = [str(wmo) for wmo in argo_flagging.BY_FLOAT.every(connection)]
    return {table: count for table, count in compute_units(platform, FLAG, SETTLED[FLAG].units(wmos)).written.items() if count}


def status_of(platform: Platform, name: str) -> tuple[object, ...]:
    """How the load of a file ended, and why."""
    return rows(platform, f"select status, error, rejected from raw.source_file where name = '{name}' order by arrival desc")[0]


PARTS: dict[str, Callable[[], bytes]] = {
    "R6900001_001.nc": lambda: netcdf([cast(1)]),
    "D6900001_001.nc": lambda: netcdf([delayed(1)]),
    "BR6900001_001.nc": lambda: bgc([oxygen(1)]),
}


@pytest.mark.parametrize(
    "order", list(itertools.permutations(PARTS)), ids=["-".join(name[:2] for name in order) for order in itertools.permutations(PARTS)]
)
def test_a_cast_is_its_delayed_version_with_its_bgc_part_in_any_order(platform: Platform, order: tuple[str, ...]) -> None:
    """D replaces R, an R after it does not undo it, and the BGC file joins them, whichever comes first."""
    load(platform, {name: PARTS[name]() for name in order})
    assert rows(platform, CURRENT) == [(f"{FLOAT}_001", "D", 12, ["PRES", "TEMP", "PSAL", "DOXY"])]
    assert rows(platform, "select count(*), min(temp_adjusted) from core.argo_level") == [(12, pytest.approx(12.851))]
    assert rows(platform, "select count(*) from core.argo_bgc_level where value >= 239") == [(12,)]
    with reading(platform.database) as state:
        profile = argo.find_profile(state, f"{FLOAT}_001")
        revisions = argo.revisions(state, profile)
        levels = argo.levels(state, profile)
    assert [(each["file"], each["is_current"]) for each in revisions] == [(name, name[0] != "R") for name in order]
    assert levels.parameters["DOXY"]["raw"].tolist() == [250.0 - step for step in range(12)]
    assert levels.parameters["DOXY"]["qc"].tolist() == [3] * 12


def test_files_together_come_to_what_they_come_to_one_by_one(platform: Platform, rebuilt: Platform, tmp_path: Path) -> None:
    """Many files in one transaction, packed or not, and a zip of them leave the same tables."""
    rebuilt = replace(rebuilt, store=LocalStore(tmp_path / "other"))
    files = {name: made() for name, made in PARTS.items()} | {"R6900002_003.nc": netcdf([cast(3, wmo="6900002"), cast(3, wmo="6900002", levels=3)])}
    packed = {"D6900001_001.nc.gz": gzip.compress(files["D6900001_001.nc"]), "BR6900001_001.nc.zst": zstandard.compress(files["BR6900001_001.nc"])}
    load_at_once(platform, {name: data for name, data in files.items() if name.startswith("R")} | packed)
    assert rows(platform, "select count(*), count(distinct change) from raw.load") == [(4, 1)]
    load(rebuilt, {"all.zip": zipped({f"dac/coriolis/{name}": data for name, data in reversed(files.items())})})
    for each in (platform, rebuilt):
        settled(each)
    assert stored(platform) == stored(rebuilt)
    assert rows(platform, "select natural_id from core.argo_profile where wmo = 6900002 order by 1") == [("6900002_003",), ("6900002_003.2",)]


def test_the_same_file_twice_changes_nothing(platform: Platform) -> None:
    """The same bytes in the same folder are the same file; in another folder they are another arrival that says the same."""
    data = netcdf([cast(1), cast(2)])
    load(platform, {"6900001_prof.nc": data})
    settled(platform)
    before, change = stored(platform), rows(platform, "select n from core.clock")
    load(platform, {"6900001_prof.nc": data, "again.nc": data})
    assert (stored(platform), rows(platform, "select n from core.clock")) == (before, change)
    load(platform, {"elsewhere/6900001_prof.nc": data})
    settled(platform)
    assert stored(platform) == before
    assert again(platform) == {}


def test_a_profile_without_salinity_and_an_empty_cast_are_kept(platform: Platform) -> None:
    """Floats of 1997 have no PSAL; a cast whose values are all missing has no levels, but its place."""
    warm = {name: value for name, value in cast(1).items() if not name.startswith("PSAL")}
    nothing = {**warm, "PRES": [], "TEMP": [], "PRES_QC": "", "TEMP_QC": "", "CYCLE_NUMBER": 2}
    load(platform, {"13857_prof.nc": netcdf([warm, nothing])})
    settled(platform)
    assert rows(platform, CURRENT) == [(f"{FLOAT}_001", "R", 12, ["PRES", "TEMP"]), (f"{FLOAT}_002", "R", 0, ["PRES", "TEMP"])]
    assert rows(platform, "select count(*) from core.argo_flagged_level where psal_flag = 9 and temp_flag = 1") == [(12,)]


def test_the_content_of_a_file_is_recognised_once(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever road it takes: alone, in a group, or as a member of an archive, whose first one tells which road the archive takes."""
    seen = _Looks()
    monkeypatch.setattr(recognise, "PARSERS", (seen, *recognise.PARSERS))
    platform.store.put("inbox/level.csv", b"time,station,property,unit,value\n2026-01-01T00:00Z,A,stage,m,1\n")
    load_at_once(platform, {"1.nc": netcdf([cast(1)]), "2.nc": netcdf([cast(2)]), "large.bin": netcdf([cast(3)])})
    assert len(seen.heads) == 4
    load(platform, {"two.zip": zipped({"3.nc": netcdf([cast(4)]), "4.nc": netcdf([cast(5)])})})
    assert len(seen.heads) == 8
    assert rows(platform, "select count(*) from core.argo_profile") == [(5,)]


class _Looks:
    """A parser that knows no file, and notes which it was asked about."""

    name, version, kind = "looks", "1", "observations"

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def recognises(self, head: Head) -> bool:
        self.heads.append(head.start[:16])
        return False

    def parse(self, stream: BinaryIO, mapping: Mapping, file: FileFacts) -> Iterator[Event]:
        raise NotImplementedError


class TestBadFiles:
    """What cannot be read is set aside with a reason, and what is beside it is loaded."""

    @pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.zst"])
    def test_in_an_archive_the_good_members_are_loaded_and_the_bad_ones_named(self, platform: Platform, suffix: str) -> None:
        """An error page, a truncated file, one without JULD, a traversal, a member twice, an archive: each is a rejected row; two good ones load."""
        good = netcdf([cast(1)])
        packed = archived(
            suffix,
            {
                "dac/6900001/R6900001_001.nc": good,
                "dac/R6900001_002.nc": b"<!DOCTYPE html><html><title>503</title></html>",
                "dac/R6900001_003.nc": good[:700],
                "dac/R6900001_004.nc": netcdf([cast(4)], without=["JULD"]),
                "../../R6900001_005.nc": netcdf([cast(5)]),
                "README.txt": b"time,value\n2020-01-01T00:00Z,1\n",
                "inner.nc.gz": gzip.compress(good),
                "__MACOSX/._R6900001_006.nc": b"resource fork",
                "dac/R6900001_006.nc": netcdf([cast(6)]),
            },
            again="dac/6900001/R6900001_001.nc",
        )
        load(platform, {f"drop{suffix}": packed})
        assert status_of(platform, f"drop{suffix}") == ("succeeded", None, 7)
        assert [name for name, *_ in rows(platform, CURRENT)] == [f"{FLOAT}_001", f"{FLOAT}_006"]
        reasons = {str(text): str(reason) for text, reason in rows(platform, "select text, reason from raw.rejected_row order by position")}
        assert "web page titled '503'" in reasons["dac/R6900001_002.nc"]
        assert "JULD" in reasons["dac/R6900001_004.nc"]
        assert "outside of itself" in reasons["../../R6900001_005.nc"]
        assert "archive within" in reasons["inner.nc.gz"]
        assert "twice" in reasons["dac/6900001/R6900001_001.nc"]
        assert set(reasons) >= {"dac/R6900001_003.nc", "README.txt"}

    def test_a_packed_file_is_what_it_holds_and_a_packed_bomb_is_set_aside(self, platform: Platform) -> None:
        """A gzip of a cast and one of a grey list load; one of a cast without JULD, a truncated tar and a bomb name what is wrong."""
        tar = archived(".tar", {"a.nc": netcdf([cast(3)]), "b.nc": netcdf([cast(4)])})
        grey = f"PLATFORM_CODE,PARAMETER_NAME,START_DATE,END_DATE,QUALITY_CODE,COMMENT,DAC\n{FLOAT},PSAL,20200101,,3,drift,IF\n".encode()
        dropped = {
            "good.nc.gz": gzip.compress(netcdf([cast(1)])),
            "grey.txt.gz": gzip.compress(grey),
            "bare.nc.gz": gzip.compress(netcdf([cast(2)], without=["JULD"])),
            "cut.tar.gz": gzip.compress(tar[: len(tar) // 2]),
            "bomb.tar.gz": gzip.compress(archived(".tar", {"zeros.nc": b"CDF\x01" + bytes(80 << 20)})),
        }
        load(platform, dropped)
        found = {name: status_of(platform, name) for name in dropped}
        assert [found[name][0] for name in dropped] == ["succeeded", "succeeded", "quarantined", "quarantined", "quarantined"]
        assert "JULD" in str(found["bare.nc.gz"][1])
        assert "truncated" in str(found["cut.tar.gz"][1])
        assert "expands to more than" in str(found["bomb.tar.gz"][1])
        assert [name for name, *_ in rows(platform, CURRENT)] == [f"{FLOAT}_001"]
        assert rows(platform, "select count(*) from core.argo_grey_list") == [(1,)]

    def test_a_zip_without_any_good_member_is_set_aside(self, platform: Platform) -> None:
        """Nothing is stored, and the reasons are kept."""
        load(platform, {"bad.zip": zipped({"a/R1.nc": b"nothing", "R2.nc": b"CDF\x01" + bytes(20)})})
        status, error, rejected = status_of(platform, "bad.zip")
        assert (status, rejected) == ("quarantined", 2)
        assert "a/R1.nc" in str(error)
        assert rows(platform, CURRENT) == []

    @pytest.mark.parametrize("without", ["JULD", "LATITUDE", "PLATFORM_NUMBER", "PRES"])
    def test_a_file_without_what_it_must_have_names_the_variable(self, platform: Platform, without: str) -> None:
        """The good file of the same drop is loaded."""
        load_at_once(platform, {"bad.nc": netcdf([cast(1)], without=[without]), "good.nc": netcdf([cast(2)])})
        status, error, _ = status_of(platform, "bad.nc")
        assert status == "quarantined"
        assert without in str(error)
        assert [name for name, *_ in rows(platform, CURRENT)] == [f"{FLOAT}_002"]

    def test_a_float_must_have_a_number(self, platform: Platform) -> None:
        """Letters, or NULs alone, are no WMO number; a table that is named as files of Argo are has none either."""
        letters, nuls = (netcdf([cast(1, wmo=wmo)]) for wmo in ("Q69\0\0", "\0\0\0"))
        load_at_once(platform, {"letters.nc": letters, "nuls.nc": nuls, "table.nc": b"time,level\n2020-01-01T00:00:00Z,1\n"})
        assert [status_of(platform, name)[0] for name in ("letters.nc", "nuls.nc", "table.nc")] == ["quarantined"] * 3
        assert "PLATFORM_NUMBER" in str(status_of(platform, "letters.nc")[1])
        assert "of another kind (text)" in str(status_of(platform, "table.nc")[1])


class TestFlags:
    """Flags beside those of the data centre, a float at a time."""

    def test_a_spike_is_flagged_and_only_its_float_is_judged_again(self, platform: Platform) -> None:
        """Two floats; a new cast of one of them makes that one stale."""
        spike = cast(1)
        spike["TEMP"][6] += 9.0
        load_at_once(platform, {"a.nc": netcdf([spike]), "b.nc": netcdf([cast(1, wmo="6900002")])})
        assert sorted(settled(platform)[FLAG]) == [FLOAT, "6900002"]
        flagged = rows(
            platform, "select level, temp, temp_qc, temp_flag, temp_failed from core.argo_flagged_level where wmo = 6900001 and temp_flag = 4"
        )
        assert (6, pytest.approx(22.85), 1, 4) in [row[:4] for row in flagged]
        assert all(int(str(failed)) & 1 << 9 or level != 6 for level, *_, failed in flagged)
        load(platform, {"c.nc": netcdf([cast(2, wmo="6900002")])})
        assert settled(platform)[FLAG] == ["6900002"]
        assert again(platform) == {}

    def test_a_cast_that_comes_late_lets_the_next_one_be_judged_anew(self, platform: Platform) -> None:
        """Cycle 2 repeats cycle 1 to the last digit: frozen (test 18), as soon as cycle 1 is here."""
        frozen = {**cast(1, levels=40), "CYCLE_NUMBER": 2, "JULD": 25600.0, "JULD_LOCATION": 25600.0}
        load(platform, {"2.nc": netcdf([frozen])})
        settled(platform)
        query = "select distinct flag, failed & (1 << 18) > 0 from core.argo_flag join core.argo_profile using (profile_id) where cycle = 2"
        assert rows(platform, query) == []
        load(platform, {"1.nc": netcdf([cast(1, levels=40)])})
        settled(platform)
        assert (4, True) in rows(platform, query)

    def test_the_grey_list_reaches_the_floats_that_it_names(self, platform: Platform) -> None:
        """The first list concerns all floats, another those whose entries differ; one that names nothing clears it, and an empty file is no list."""
        load_at_once(platform, {"a.nc": netcdf([cast(1)]), "b.nc": netcdf([cast(1, wmo="6900002")])})
        settled(platform)
        header = "PLATFORM_CODE,PARAMETER_NAME,START_DATE,END_DATE,QUALITY_CODE,COMMENT,DAC\n"
        load(platform, {"ar_greylist.txt": f"{header}{FLOAT},PSAL,20200101,,3,drift,IF\n6999999,TEMP,20200101,,4,unknown here,IF\n".encode()})
        assert sorted(settled(platform)[FLAG]) == [FLOAT, "6900002"]
        assert rows(platform, "select distinct run >> 15 & 1 from core.argo_evaluation") == [(1,)]
        assert rows(platform, "select distinct psal_flag, psal_failed, temp_flag from core.argo_flagged_level where wmo = 6900001") == [
            (3, 1 << 15, 1)
        ]
        load(platform, {"ar_greylist.txt": f"{header}6900002,TEMP,20200101,,4,broken,IF\n".encode()})
        assert sorted(settled(platform)[FLAG]) == [FLOAT, "6900002"]
        assert rows(platform, "select count(*) from core.argo_flag where wmo = 6900001") == [(0,)]
        load(platform, {"empty/ar_greylist.txt": b""})
        assert status_of(platform, "ar_greylist.txt")[0] == "quarantined"
        assert rows(platform, "select count(*) > 0 from core.argo_flag") == [(True,)]
        load(platform, {"ar_greylist.txt": header.encode()})
        assert settled(platform)[FLAG] == ["6900002"]
        assert rows(platform, "select count(*) from core.argo_flag") == [(0,)]
        assert rows(platform, "select distinct run >> 15 & 1 from core.argo_evaluation") == [(1,)]
        acts.do(platform, acts.withdrawal(platform, _last_arrival(platform), reason="too early", at=AT))
        assert settled(platform)[FLAG] == ["6900002"]
        assert rows(platform, "select count(*) > 0 from core.argo_flag") == [(True,)]

    def test_other_rules_are_told_first_and_do_exactly_that(self, platform: Platform) -> None:
        """Test 8 before and after 2024: the preview writes nothing, the choice changes just what it named, and the old flags stay readable."""
        small, large = cast(1), cast(2)
        small["PRES"][5] = 44.0  # a fall of 1 dbar
        large["PRES"][5] = 20.0  # of 25 dbar
        load_at_once(platform, {"1.nc": netcdf([small]), "2.nc": netcdf([large]), "3.nc": netcdf([cast(3)])})
        settled(platform)
        before, change = stored(platform)["flags"], rows(platform, "select n from core.clock")[0][0]
        assert isinstance(change, int)
        rules = argo_flagging.choose(platform, test8="before-2024")
        preview = argo_flagging.preview(platform, rules)
        assert (stored(platform)["flags"], rows(platform, "select n from core.clock")) == (before, [(change,)])
        assert f"{FLOAT}_001" in [each.id for each in preview.changed]
        assert f"{FLOAT}_003" not in [each.id for each in preview.changed]
        argo_flagging.put_in_force(platform, rules)
        settled(platform)
        touched = rows(
            platform,
            "select distinct natural_id from core.argo_profile join (select profile_id from core.argo_flag where since > "
            f"{change} union select profile_id from history.argo_flag where until > {change}) as t using (profile_id) order by 1",
        )
        assert [name for (name,) in touched] == sorted(each.id for each in preview.changed)
        assert argo_flagging.preview(platform, rules).changed == []
        with reading(platform.database, change) as then, reading(platform.database) as now:
            flags = [argo.levels(state, argo.find_profile(state, f"{FLOAT}_001")).parameters["PRES"]["flag"].tolist() for state in (then, now)]
        assert flags[0] == [1] * 12
        assert 4 in flags[1]
        argo_flagging.put_in_force(platform, argo_flagging.choose(platform, test8="2024"))
        settled(platform)
        assert stored(platform)["flags"] == before

    def test_records_are_met_by_the_rules_of_their_day(self, platform: Platform) -> None:
        """A fall of 15 dbar failed test 8 in 2019 and does not today: flags go by today, the comparison with the record by its day."""
        of_2019 = cast(1, HISTORY=[(action, sum, "20190301000000", "IN", "INQC", "4.0") for action, sum in (("QCP$", "FFFE"), ("QCF$", "100"))])
        of_2019["PRES"][8] = 60.0
        load(platform, {"1.nc": netcdf([of_2019]), "2.nc": netcdf([cast(2)])})
        settled(platform)
        assert rows(platform, "select failed & 256, recorded_failed & 256, recorded_rules, rules like '%changes of 2024;%' from core.argo_evaluation"
                              " order by recorded_rules desc") == [(0, 256, "manual 3.0 (2016)", True), (0, 0, "", True)]  # fmt: skip
        with reading(platform.database) as state:
            (of_test_8,) = [each for each in argo.agreement(state, NUMBER) if each["test"] == 8]
        assert of_test_8 == {"test": 8, "compared": 1, "agree": 1, "ours_only": 0, "theirs_only": 0, "rules": ["manual 3.0 (2016)"]}

    @pytest.mark.parametrize("text", [b"era: never", b"settings: {reversal: deep}", b"- 8", b"settings: {nothing: 1}", b"\xff"])
    def test_a_file_that_chooses_no_rules_is_refused(self, platform: Platform, text: bytes) -> None:
        """With the eras that there are."""
        with pytest.raises(UnreadableFile, match=r"manual 3\.6"):
            argo_flagging.rules_of(text)
        platform.store.put("inbox/argo_rules.yaml", text)
        empty_inbox(platform)
        assert status_of(platform, "argo_rules.yaml")[0] == "quarantined"


def test_a_state_before_a_replacement_is_read_to_the_level(platform: Platform) -> None:
    """As of the change before the D file, the levels are those of the R file, and the flags those of then."""
    load(platform, {"R.nc": netcdf([cast(1, warmer=30.0)])})
    settled(platform)
    change = rows(platform, "select n from core.clock")[0][0]
    assert isinstance(change, int)
    load(platform, {"D.nc": netcdf([delayed(1)]), "late R.nc": netcdf([cast(1, warmer=20.0)])})
    settled(platform)
    with reading(platform.database, change) as then:
        profile = argo.find_profile(then, f"{FLOAT}_001")
        levels = argo.levels(then, profile)
        assert (profile["data_mode"], len(argo.revisions(then, profile))) == ("R", 1)
    assert levels.parameters["TEMP"]["raw"].tolist() == pytest.approx([45.05 - 0.2 * step for step in range(12)], abs=1e-5)
    assert levels.parameters["TEMP"]["flag"].tolist()[0] == 4  # above 40 degC


def test_a_rebuild_from_what_landed_is_equal(platform: Platform, rebuilt: Platform) -> None:
    """Files, a zip, a grey list and a choice of rules come back from the landing zone alone."""
    load(
        platform,
        {"D.nc": netcdf([delayed(1)]), "R.nc": netcdf([cast(1)]), "more.zip": zipped({"x/B.nc": bgc([oxygen(1)]), "x/2.nc": netcdf([cast(2)])})},
    )
    argo_flagging.put_in_force(platform, argo_flagging.choose(platform, test8="before-2024"))
    settled(platform)
    rebuild(rebuilt)
    assert stored(rebuilt) == stored(platform)


REAL = (
    "argopy-data/dac/coriolis/6903247/profiles/BR6903247_398.nc",
    "argopy-data/dac/coriolis/6903247/profiles/R6903247_398.nc",
    "argopy-data/dac/coriolis/6903247/6903247_meta.nc",
    "argopy-data/dac/coriolis/6903247/profiles/SR6903247_001.nc",
    "argopy-data/dac/csiro/5900865/5900865_prof.nc",
    "argopy-data/dac/csiro/5900865/5900865_meta.nc",
    "argopy-data/dac/csiro/5900865/5900865_tech.nc",
    "argopy-data/dac/csiro/5900865/5900865_Rtraj.nc",
    "argopy-data/dac/meds/4901079/profiles/D4901079_110.nc",
)


def test_real_files_in_any_order_and_container_leave_the_same_tables(platform: Platform, rebuilt: Platform, tmp_path: Path) -> None:
    """Profiles of all kinds, meta, technical and trajectory files: as they are, and as NetCDF-4 in the reverse order, are stored alike."""
    found = [path for name in REAL if (path := shared("argo") / name).exists()]
    assert len(found) >= 7
    files = {path.name: path.read_bytes() for path in found}
    load_at_once(platform, files)
    rebuilt = replace(rebuilt, store=LocalStore(tmp_path / "other"))
    load(rebuilt, {name: as_netcdf4(data, tmp_path / name) for name, data in reversed(files.items())})
    for each in (platform, rebuilt):
        settle(each, lambda units: None)
        assert rows(each, "select name, status, error from raw.source_file where status <> 'succeeded'") == []
    assert stored(platform) == stored(rebuilt)
    assert again(platform) == {}
    with netCDF4.Dataset("prof.nc", memory=files["5900865_prof.nc"]) as file:
        temp = file["TEMP"][:]
    assert rows(platform, "select count(*) from core.argo_flagged_level where wmo = 5900865 and temp <> 'NaN'") == [(int(temp.count()),)]
    counts = {
        source: int(str(count)) for source, count in rows(platform, "select source, count(*) from core.argo_position where wmo = 5900865 group by 1")
    }
    assert counts["launch"] == 1
    assert counts["trajectory"] > 100
    assert rows(
        platform, "select launch_at is not null, jsonb_array_length(properties #> '{meta,sensors}') > 1 from core.argo_float where wmo = 5900865"
    ) == [(True, True)]


def test_the_assets_show_casts_tracks_and_the_agreement(platform: Platform) -> None:
    """Materialising from the UI judges all floats again, which changes nothing, and shows plots; the day's facts tell their rows."""
    load_at_once(platform, {"a.nc": netcdf([cast(1), cast(2)]), "b.nc": bgc([oxygen(1)])})
    told = rows(platform, "select asset, rows from core.computed where asset like 'core/argo_%' order by 1")
    assert told == [("core/argo_float", 1), ("core/argo_level", 24), ("core/argo_position", 2), ("core/argo_profile", 2)]
    settled(platform)
    resources = {"platform": dg.ResourceDefinition.hardcoded_resource(platform)}
    derived = dg.materialize([argo_flag, argo_summary], resources=resources)
    day = str(rows(platform, "select arrived_on from raw.source_file where kind = 'data'")[0][0])
    facts = dg.materialize([argo_facts], partition_key=day, resources=resources)
    shown = {
        event.materialization.asset_key.to_user_string(): event.materialization.metadata
        for done in (derived, facts)
        for event in done.get_asset_materialization_events()
    }
    assert shown["core/argo_flag"]["rows_written"].value == 0
    assert {"profiles", "tracks", "agreement_with_data_centres"} <= set(shown["core/argo_flag"])
    assert str(shown["core/argo_level"]["profiles"].value).startswith("![plot](data:image/png;base64,")
    assert str(shown["core/argo_position"]["tracks"].value).startswith("![plot](data:image/png;base64,")
    assert {name: shown[f"core/argo_{name}"]["rows"].value for name in ("float", "profile", "level", "position")} == {
        "float": 1,
        "profile": 2,
        "level": 24,
        "position": 2,
    }


class TestWithdrawal:
    """A file that is taken out leaves what the remaining files say; asking first changes nothing."""

    def test_a_delayed_file_gives_way_to_the_versions_that_it_replaced(self, platform: Platform, rebuilt: Platform, tmp_path: Path) -> None:
        """D of cycle 1, alone with cycle 2, goes: R's values are back, cycle 2 is gone, flags follow, and a reinstatement undoes it all."""
        other = {name: (shared("argo") / f"argopy-data/dac/aoml/5900446/5900446_{name}.nc").read_bytes() for name in ("Rtraj", "Dtraj", "meta")}
        load(
            platform,
            {
                "Rtraj.nc": other["Rtraj"],
                "R.nc": netcdf([cast(1, warmer=30.0)]),
                "R2.nc": netcdf([cast(1, warmer=30.0)], levels=13),
                "B.nc": bgc([oxygen(1)]),
            },
        )
        settled(platform)
        only_r = stored(platform)
        load(platform, {"D.nc": netcdf([delayed(1), delayed(2)]), "meta.nc": other["meta"], "Dtraj.nc": other["Dtraj"]})
        settled(platform)
        whole, change = stored(platform), _change(platform)
        assert whole["positions"] != only_r["positions"]
        asked = acts.ask(platform, _taken(platform, "D.nc", "meta.nc", "Dtraj.nc"))
        assert (stored(platform), _change(platform)) == (whole, change)
        done = acts.do(platform, _taken(platform, "D.nc", "meta.nc", "Dtraj.nc"))
        assert done.counts == asked.counts == {"files": 3, "casts withdrawn": 1, "casts replaced": 1, "floats": 2}
        assert done.stale[FLAG] == 2
        settled(platform)
        assert stored(platform) == only_r
        assert again(platform) == {}
        with reading(platform.database, change) as then, reading(platform.database) as now:
            of_then, of_now = (argo.find_profile(state, f"{FLOAT}_001") for state in (then, now))
            assert (of_then["data_mode"], of_now["data_mode"]) == ("D", "R")
            assert [argo.levels(state, of).parameters["TEMP"]["raw"][0] for state, of in ((then, of_then), (now, of_now))] == pytest.approx(
                [15.05, 45.05]
            )
            assert [argo.levels(state, of).parameters["TEMP"]["flag"][0] for state, of in ((then, of_then), (now, of_now))] == [1, 4]
            assert [each["file"] for each in argo.revisions(now, of_now)] == ["R.nc", "R2.nc", "B.nc"]
            assert [(each["is_current"], each["file"]) for each in argo.revisions(then, of_then)][-1] == (True, "D.nc")
            told, _ = argo_changes.page(now, change, 100)
        assert [(each["kind"], each["casts"], each["first_cycle"]) for each in told] == [("changed", 1, 1), ("withdrawn", 1, 2), ("flagged", 1, 1)]
        acts.do(platform, acts.reinstatement(platform, _arrivals(platform, "D.nc", "meta.nc", "Dtraj.nc"), reason="", at=AT))
        settled(platform)
        assert stored(platform) == whole
        acts.do(platform, _taken(platform, "R2.nc", "D.nc"))
        settled(platform)
        assert rows(platform, "select core_arrival from core.argo_profile") == [(int(_arrivals(platform, "R.nc")[0]),)]
        rebuild(rebuilt)
        assert stored(rebuilt) == stored(platform)

    def test_what_no_other_file_speaks_of_is_gone(self, platform: Platform) -> None:
        """The only file of a float, its BGC file and a grey list: casts, flags, positions and the float go, and a list before is in force."""
        header = "PLATFORM_CODE,PARAMETER_NAME,START_DATE,END_DATE,QUALITY_CODE,COMMENT,DAC\n"
        load(platform, {"a.nc": netcdf([cast(1)]), "old.txt": f"{header}{FLOAT},PSAL,20200101,,3,drift,IF\n".encode()})
        settled(platform)
        before = stored(platform)
        load(
            platform,
            {
                "b.zip": zipped({"b.nc": netcdf([cast(1, wmo="6900002")]), "Bb.nc": bgc([oxygen(1, wmo="6900002")])}),
                "new.txt": f"{header}6900002,TEMP,20200101,,4,broken,IF\n".encode(),
            },
        )
        settled(platform)
        assert rows(platform, f"select count(*) from core.argo_flag where wmo = {FLOAT}") == [(0,)]
        acts.do(platform, _taken(platform, "b.zip", "new.txt"))
        settled(platform)
        assert stored(platform) == before
        assert rows(platform, f"select count(*) from core.argo_flag where wmo = {FLOAT}") == [(12,)]

    def test_files_of_both_kinds_are_not_withdrawn_at_once(self, platform: Platform) -> None:
        """One change is of one kind; both are named in the refusal."""
        platform.store.put("inbox/level.csv", b"time,station,property,unit,value\n2026-01-01T00:00Z,A,stage,m,1\n")
        load(platform, {"a.nc": netcdf([cast(1)])})
        with pytest.raises(CannotAct, match=r"level\.csv"):
            _taken(platform, "a.nc", "level.csv")


AT = datetime(2026, 1, 1, tzinfo=UTC)


def _arrivals(platform: Platform, *names: str) -> list[str]:
    return [str(rows(platform, f"select arrival from raw.source_file where name = '{name}'")[0][0]) for name in names]


def _last_arrival(platform: Platform) -> list[str]:
    return [str(rows(platform, "select max(arrival) from raw.source_file")[0][0])]


def _taken(platform: Platform, *names: str) -> ActFact:
    return acts.withdrawal(platform, _arrivals(platform, *names), reason="not ours", at=AT)


def _change(platform: Platform) -> int:
    return int(str(rows(platform, "select n from core.clock")[0][0]))


class TestSummaries:
    """A dataset in words, by the template or by a language model that is told only statistics."""

    def test_by_the_template(self, platform: Platform) -> None:
        """Casts, floats, span and depth; a file none of whose casts is current says so."""
        load(platform, {"D.nc": netcdf([delayed(1)]), "R.nc": netcdf([cast(1)]), "two.nc": netcdf([cast(2), cast(3)])})
        settled(platform)
        found = dict(_summaries(platform))
        assert found["two.nc"][0] == "template"
        assert found["two.nc"][1].startswith("2 casts of 1 float with 24 levels in the North Atlantic Ocean, from 2020-01-21 to 2020-01-31.")
        assert found["R.nc"][1].startswith("1 cast was read, and is not current")

    def test_by_a_model_and_by_the_template_when_it_fails(self, platform: Platform) -> None:
        """Its words are kept with its name; the first failure leaves the rest to the template."""
        model = Model()
        model.answer = lambda: (200, completion("The dataset holds 2 casts of one float in the North Atlantic, all of them good."))
        with serving(model) as url:
            told = replace(platform, settings=platform.settings.model_copy(update={"llm_url": url, "llm_model": "small", "llm_timeout_s": 30.0}))
            load(told, {"two.nc": netcdf([cast(2), cast(3)])})
            settled(told)
            assert dict(_summaries(told))["two.nc"][0] == "small"
            assert set(json.loads(model.asked[0][2]["messages"][1]["content"])) >= {"casts", "floats", "parameters", "failed"}
            model.answer = lambda: (500, b"")
            load_at_once(told, {"four.nc": netcdf([cast(4)]), "five.nc": netcdf([cast(5)])})
            settled(told)
        assert {name: by for name, (by, _) in _summaries(told)} == {"two.nc": "small", "four.nc": "template", "five.nc": "template"}
        assert len(model.asked) == 2


def _summaries(platform: Platform) -> list[tuple[str, tuple[str, str]]]:
    query = "select name, written_by, text from core.argo_summary join raw.source_file using (arrival)"
    return [(str(name), (str(by), str(text))) for name, by, text in rows(platform, query)]
