"""Argo: floats, casts, levels and positions as their files state them, the flags of the real-time tests, and a summary of each dataset.

Facts are written by loads; materialising a day of arrival here loads what arrived on it and is not loaded yet. The tests are in
`domain/argo/`, what they go by in `operations/argo_flagging.py`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from water_pipelines.domain.reach import SAME_DAY
from water_pipelines.orchestration.argo_plots import profile_plot, track_map
from water_pipelines.orchestration.columns import column_schema
from water_pipelines.orchestration.operations.argo_flagging import BY_FLOAT, judge, rules_in_force
from water_pipelines.orchestration.operations.argo_summaries import BY_DATASET, write
from water_pipelines.orchestration.operations.loading import load_files
from water_pipelines.orchestration.partitions import by_arrival_day
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import IN_ORDER, Numbers, settled
from water_pipelines.storage import argo_flags, argo_summaries, source_files
from water_pipelines.storage.argo import arrived_on
from water_pipelines.storage.argo_summaries import Written
from water_pipelines.storage.database import Snapshot
from water_pipelines.storage.staging import Staged

_FACTS = {
    "argo_float": ("Floats by WMO number: type, maker, data centre, launch, sensors and missions.", ["raw", "source_file"]),
    "argo_profile": ("Casts in their current version: a delayed-mode one before any other, else the one that arrived last.", ["core", "argo_float"]),
    "argo_level": ("Levels of casts: raw and adjusted values, errors, and the data centre's flags.", ["core", "argo_profile"]),
    "argo_position": ("The track of each float: launch, positions of its casts, and surface fixes.", ["core", "argo_profile"]),
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["core", name],
            deps=[reads],
            description=description,
            group_name="argo",
            kinds={"postgres"},
            owners=["team:platform"],
            metadata=column_schema(f"core.{name}"),
        )
        for name, (description, reads) in _FACTS.items()
    ],
    partitions_def=by_arrival_day,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def argo_facts(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[dg.MaterializeResult[Any]]:
    """Load what arrived on the days asked for and waits for its load."""
    days = sorted(context.partition_keys)
    with platform.during(context.run.run_id) as working:
        load_files(working, (file for file in source_files.to_load(working.database) if str(file.arrived_at.date()) in days))
        with working.database.snapshot() as snapshot:
            counts, wmos = arrived_on(snapshot.connection, days)
            shown = {"argo_level": {"profiles": profile_plot(snapshot, wmos)}, "argo_position": {"tracks": track_map(snapshot, wmos)}}
    for name in _FACTS:
        yield dg.MaterializeResult(asset_key=["core", name], metadata={"rows": counts[name], **shown.get(name, {})})


def _shown(snapshot: Snapshot, wmos: Numbers) -> dict[str, Any]:
    numbers = [int(wmo) for wmo in wmos]
    rows = argo_flags.agreement(snapshot.connection)
    columns = ("test", "compared", "agree", "ours only", "theirs only")
    table = dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(columns[0]), *(dg.TableColumn(name, "int") for name in columns[1:])]),
    )
    return {"profiles": profile_plot(snapshot, numbers), "tracks": track_map(snapshot, numbers), "agreement_with_data_centres": table}


@settled(
    key=["core", "argo_flag"],
    reads={"core/argo_level": SAME_DAY, "core/argo_position": SAME_DAY},
    numbered=BY_FLOAT,
    metadata_of=_shown,
    group_name="argo",
    kinds={"python", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.argo_flag"),
)
def argo_flag(snapshot: Snapshot, wmos: Numbers) -> Staged:
    """What the real-time tests of the Argo manual find not to be good, with the failed tests, by the versions in force; unit by unit a float.

    All casts of a float are judged together, since some tests look at the cast before; all floats are judged at once when it is
    materialised. Flags of the data centres stand beside, in `core/argo_level`.
    """
    return Staged(argo_flags.stage_flags(snapshot, judge(snapshot, [int(wmo) for wmo in wmos], rules_in_force(snapshot.connection))))


@settled(
    key=["core", "argo_summary"],
    reads={"core/argo_flag": IN_ORDER},
    numbered=BY_DATASET,
    prepare=write,
    group_name="argo",
    kinds={"python", "postgres"},
    owners=["team:platform"],
    metadata=column_schema("core.argo_summary"),
)
def argo_summary(snapshot: Snapshot, arrivals: Numbers, summaries: Mapping[int, Written]) -> Staged:
    """What each dataset holds, in words: region, time span, casts, parameters, depth range, flagged shares and findings.

    Written when its casts were first flagged, by a template or, where WATER_LLM_URL and WATER_LLM_MODEL are set, by that model from the statistics.
    """
    return Staged([argo_summaries.stage_summaries(snapshot, summaries)])
