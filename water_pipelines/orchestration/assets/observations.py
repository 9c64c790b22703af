"""Observations and their quality flags.

Observations are written by loads; materialising a day here derives it again from its landed files. The tests are in
`domain/quality.py`, the rules in `domain/rules.py`.
"""

from functools import lru_cache
from typing import Any

import dagster as dg
import numpy as np

from water_pipelines.domain.quality import evaluations_by_day, flag_observations
from water_pipelines.domain.reach import SAME_DAY, Reach, margin
from water_pipelines.domain.rules import RuleSet, SeriesRules, default_rules
from water_pipelines.domain.sensor_states import with_states
from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.operations.loading import replay_days
from water_pipelines.orchestration.partitions import by_day
from water_pipelines.orchestration.plots import hydrograph
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import Days, settled
from water_pipelines.storage import flags, observations, rule_sets, sensor_states, series
from water_pipelines.storage.database import Connection, Snapshot
from water_pipelines.storage.staging import Staged


@dg.asset(
    key=["core", "observation"],
    deps=[["raw", "load_day"]],
    partitions_def=by_day,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="observations",
    kinds={"postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.observation"),
)
def observation(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[Any]:
    """Values of all series, each with the file, row and load that it came from; the latest arrival wins."""
    days = np.array(sorted(context.partition_keys), dtype="datetime64[D]")
    with platform.during(context.run.run_id) as working:
        loaded, _ = replay_days(working, days)
    return dg.MaterializeResult(metadata={"days_changed": len(loaded.days), "days_replayed": len(days)})


def rules_in_force(connection: Connection) -> tuple[int, RuleSet]:
    """The number and the content of the rule set in force."""
    known = rule_sets.in_force(connection)
    if known is None:
        raise LookupError("the database holds no rule set; run `water migrate`")
    return known.rule_set_id, _read_rules(known.text) if known.text else default_rules()


@lru_cache(maxsize=8)
def _read_rules(text: str) -> RuleSet:
    """Rules over the default ones; every load asks for their reach, and reading YAML takes longer than loading a small file."""
    return RuleSet.from_yaml(text, over=default_rules())


def reach_of_rules(connection: Connection) -> Reach:
    """How far the tests of the rules in force look."""
    return rules_in_force(connection)[1].reach()


def _plot(snapshot: Snapshot, days: Days) -> dict[str, Any]:
    return {"hydrograph": hydrograph(snapshot, days)}


@settled(
    key=["core", "observation_flag"],
    reads={"core/observation": reach_of_rules, "core/series": SAME_DAY},
    partitions_def=by_day,
    group_name="observations",
    kinds={"python", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.observation_flag"),
    metadata_of=_plot,
)
def observation_flag(snapshot: Snapshot, days: Days) -> Staged:
    """QARTOD flags of what is not plainly good, with the tests that failed and those that could not be run, by the rules in force.

    A value of a sensor that was switched off is suspect at best.
    """
    rule_set_id, rules = rules_in_force(snapshot.connection)
    found, loaded = observations.read_loaded(snapshot, margin(days, rules.reach()))
    limits = _limits(snapshot.connection, rules)
    judged = with_states(flag_observations(found, limits), found, sensor_states.read(snapshot.connection))
    evaluations = evaluations_by_day(found, judged, limits)
    return Staged(
        [
            flags.stage_flags(snapshot, days, found, judged),
            flags.stage_evaluations(snapshot, days, found, loaded, evaluations, rule_set_id),
        ],
        rule_set_id=rule_set_id,
    )


def _limits(connection: Connection, rules: RuleSet) -> dict[int, SeriesRules]:
    return {
        each.series_id: rules.for_series(
            each.observed_property,
            each.unit,
            each.station,
            each.natural_id,
            np.timedelta64(round(each.interval_s * 1e6), "us") if each.interval_s else None,
        )
        for each in series.read_all(connection)
    }
