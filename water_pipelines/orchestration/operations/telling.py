"""Telling Dagster what was computed: one materialisation for each day, under its asset's own key, and the checks as they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, DagsterEventType, StepMaterializationData, generate_event_batch_id

from water_pipelines.orchestration.checks.marts import evaluations
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import SETTLED
from water_pipelines.storage.computed import Unlogged

_CHECKS = "core/check_result"


def telling(context: dg.OpExecutionContext, platform: Platform) -> Callable[[Sequence[Unlogged]], None]:
    """A function that reports computed units on behalf of a run, and the checks where their outcome was computed.

    Dagster writes events of one batch in one statement, as many at a time as DAGSTER_EVENT_BATCH_SIZE says; logging them one by one
    through the context costs 5-13 ms each. Each asset has batches of its own: Dagster notes only the last event of a batch as the
    latest of its asset, and shows no partition of an asset that has none.
    """
    run = context.run

    def tell(units: Sequence[Unlogged]) -> None:
        for asset, group in groupby(units, key=attrgetter("asset")):
            batch, computed = generate_event_batch_id(), _materialisations(asset, list(group))  # type: ignore[no-untyped-call]  # Dagster's
            for position, (message, materialisation) in enumerate(computed, start=1):
                event = DagsterEvent(
                    event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                    job_name=run.job_name,
                    message=message,
                    event_specific_data=StepMaterializationData(materialisation),
                )
                context.instance.report_dagster_event(event, run.run_id, batch_metadata=DagsterEventBatchMetadata(batch, position == len(computed)))
        if any(unit.asset == _CHECKS for unit in units):
            for evaluation in evaluations(platform.database):
                context.log_event(evaluation)  # type: ignore[arg-type]  # it takes check evaluations; its annotation does not say so

    return tell


def _materialisations(asset: str, units: Sequence[Unlogged]) -> list[tuple[str, dg.AssetMaterialization]]:
    """One for each day; of an asset without partitions, whose units are numbers, one for all of them."""
    if _is_numbered(asset):
        message = f"Computed {len(units)} units of {asset} as of change {max(unit.read for unit in units)}."
        return [(message, _materialisation(asset, units, None))]
    return [(f"Computed {asset} {unit.unit} as of change {unit.read}.", _materialisation(asset, [unit], unit.unit)) for unit in units]


def _is_numbered(asset: str) -> bool:
    return asset in SETTLED and SETTLED[asset].numbered is not None


def _materialisation(asset: str, units: Sequence[Unlogged], partition: str | None) -> dg.AssetMaterialization:
    metadata: dict[str, Any] = {
        "dagster/partition_row_count" if partition else "rows": sum(unit.rows for unit in units),
        "change_read": max(unit.read for unit in units),
        "change_made": max(unit.made for unit in units),
    }
    if partition is None:
        metadata["units"] = len(units)
    return dg.AssetMaterialization(asset_key=asset.split("/"), partition=partition, metadata=metadata)
