"""Trained models and the champion ledger: facts that land, are verified, and are never changed."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import numpy as np
import psycopg
import pytest

from water_pipelines.orchestration.assets.models import model_version
from water_pipelines.orchestration.io import NoPickles
from water_pipelines.orchestration.jobs import retrain_job
from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.facts import land_fact
from water_pipelines.orchestration.operations.loading import load_file
from water_pipelines.orchestration.operations.models import open_bands
from water_pipelines.orchestration.operations.training import retrain, train
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import compute_units
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.facts import ChampionFact, Decision
from water_pipelines.storage import champions
from water_pipelines_tests.orchestration.histories import DAY, START, WEEK, demand, flagged, load, rows
from water_pipelines_tests.orchestration.test_acts import AT, arrival_of

CUTOFF = START + 8 * WEEK


def history(platform: Platform) -> None:
    """Nine weeks of two districts, loaded and flagged, and not settled beyond that."""
    for seed, name in enumerate(("NORTH", "SOUTH")):
        load(platform, f"{name}.csv", name, *demand(63, seed=seed))
    flagged(platform)


def test_a_cut_off_is_trained_once(platform: Platform) -> None:
    """The first call trains one model for both series of the property, from the twelve weeks before; the second finds nothing to do."""
    history(platform)
    assert train(platform, "band", np.array([CUTOFF])) == 1
    assert train(platform, "band", np.array([CUTOFF])) == 0
    found = rows(platform, "select scope, version, cutoff_at at time zone 'UTC', summary from core.model_version")
    assert found == [("flow", 1, CUTOFF.astype(datetime), {"series": 2, "without": []})]


def test_a_cut_off_that_the_clock_has_not_reached_is_not_trained(platform: Platform) -> None:
    """Data ends on a Sunday: the Monday after it cannot be trained yet, for the rest of the Sunday would be missing from it for ever."""
    history(platform)
    assert train(platform, "band", np.array([START + 9 * WEEK])) == 0


def test_a_series_of_which_nothing_can_be_learned_is_tried_again_only_with_new_data(platform: Platform) -> None:
    """A meter that never moves has no band: this is noted with the model, and a file that brings it values leads to another attempt."""
    history(platform)
    time, value = demand(63)
    load(platform, "still.csv", "STILL", time, np.full_like(value, 7.0))
    flagged(platform)
    assert train(platform, "band", np.array([CUTOFF])) == 1
    assert rows(platform, "select summary -> 'without' from core.model_version") == [(["STILL/flow"],)]
    assert train(platform, "band", np.array([CUTOFF])) == 0
    load(platform, "moves.csv", "STILL", time, value)
    flagged(platform)
    assert train(platform, "band", np.array([CUTOFF])) == 1
    assert rows(platform, "select version, summary -> 'series' from core.model_version order by 1") == [(1, 2), (2, 1)]


def test_late_data_that_makes_a_series_known_well_enough_trains_the_later_bands(platform: Platform) -> None:
    """Fifteen days before a cut-off are too few for it; ten more that come late make it, though no day that uses it changed."""
    time, value = demand(84)
    day = ((time - START) / DAY).astype(int)
    trained = f"select count(*) from core.model_version where cutoff_at = '{START + 11 * WEEK}Z'"
    for name, kept in (("early", (day < 15) | (day >= 80)), ("late", (day >= 20) & (day < 30))):
        load(platform, f"{name}.csv", "NORTH", time[kept], value[kept])
        flagged(platform)
        compute_units(platform, "core/anomaly", np.unique(time[kept].astype("datetime64[D]")))
        assert rows(platform, trained) == [(int(name == "late"),)]


def test_what_is_withdrawn_is_not_trained(platform: Platform) -> None:
    """A series of a file that is withdrawn, or superseded, by then is no attempt of the cut-off: as if the file had not been loaded before."""
    history(platform)
    time, value = demand(63)
    load(platform, "still.csv", "STILL", time, np.full_like(value, 7.0))
    flagged(platform)
    acts.do(platform, acts.withdrawal(platform, [arrival_of(platform, "still.csv")], reason="mistaken", at=AT))
    flagged(platform)
    assert train(platform, "band", np.array([CUTOFF])) == 1
    assert rows(platform, "select summary -> 'without' from core.model_version") == [([],)]


def test_a_model_whose_bytes_were_changed_is_not_opened(platform: Platform) -> None:
    """One byte of the object differs: its hash is not the ledger's, and the message says which object to put back."""
    history(platform)
    train(platform, "band", np.array([CUTOFF]))
    ((key,),) = rows(platform, "select object_key from core.model_version")
    damaged = bytearray(platform.store.read(str(key)))
    damaged[len(damaged) // 2] ^= 1
    platform.store.delete(str(key))
    platform.store.put(str(key), bytes(damaged))
    with platform.database.connection() as connection, pytest.raises(UnreadableFile, match=str(key)):
        open_bands(platform, connection, np.array([CUTOFF]))


def test_materialising_a_cut_off_trains_all_kinds(platform: Platform) -> None:
    """The Monday's partition trains bands; ridge forecasts lack their twelve weeks and are left out without failing."""
    history(platform)
    partition = str(CUTOFF.astype("datetime64[D]"))
    result = dg.materialize([model_version], resources={"platform": platform, "io_manager": NoPickles()}, partition_key=partition)
    metadata = result.asset_materializations_for_node("core__model_version")[0].metadata
    assert {name: each.value for name, each in metadata.items() if name in ("band_trained", "ridge_trained", "models")} == {
        "band_trained": 1,
        "ridge_trained": 0,
        "models": 1,
    }


def decided(platform: Platform, week: int, champion: str) -> None:
    """Land and load a decision on the series of the north."""
    at = (START + week * WEEK).astype(datetime).replace(tzinfo=UTC)
    fact = ChampionFact("forecast", at, 0, [Decision("NORTH/flow", champion, None, f"week {week}")])
    load_file(platform, land_fact(platform, fact, "champion", f"{week}.json").arrival)


def test_the_champion_at_any_time_is_one_and_stays_what_it_was(platform: Platform) -> None:
    """The baseline from the start, ridge from week 5, the baseline again from week 7; a decision on week 6 that comes later changes nothing."""
    history(platform)
    ((number,),) = rows(platform, "select series_id from core.series where natural_id = 'NORTH/flow'")
    decided(platform, 5, "ridge")
    decided(platform, 7, "seasonal")
    decided(platform, 6, "seasonal")
    with platform.database.connection() as connection:
        times = [(START + week * WEEK - DAY).astype(datetime).replace(tzinfo=UTC) for week in (1, 5, 6, 7, 8)]
        assert [champions.champion_at(connection, int(str(number)), at) for at in times] == ["seasonal", "seasonal", "ridge", "ridge", "seasonal"]


@pytest.mark.parametrize(
    "statement", ["update core.champion set champion = 'seasonal'", "delete from core.champion", "delete from core.model_version"]
)
def test_ledgers_of_facts_refuse_to_change(platform: Platform, statement: str) -> None:
    """An update or a delete of what was decided or trained is an error, whoever asks."""
    history(platform)
    decided(platform, 5, "ridge")
    with platform.database.connection() as connection, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        connection.execute(statement)


def test_weekly_retraining_trains_the_newest_cut_off_of_every_kind(platform: Platform) -> None:
    """The job settles, trains what the newest Monday lacks and settles again; a second run has nothing to train."""
    for seed, name in enumerate(("NORTH", "SOUTH")):
        load(platform, f"{name}.csv", name, *demand(15 * 7 + 1, seed=seed))
    resources = {"platform": platform, "io_manager": NoPickles()}
    assert retrain_job.execute_in_process(resources=resources).success
    newest = rows(platform, "select kind, summary -> 'series' from core.model_version order by cutoff_at desc, kind limit 2")
    assert newest == [("band", 2), ("ridge", 2)]
    assert rows(platform, "select max(cutoff_at) at time zone 'UTC' from core.model_version") == [((START + 15 * WEEK).astype(datetime),)]
    assert retrain(platform) == {"band": 0, "ridge": 0}
