"""Telling Dagster what was computed: one materialisation for each unit, under its asset's own key, and the checks as they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, DagsterEventType, StepMaterializationData, generate_event_batch_id

from water_pipelines.orchestration.checks.marts import evaluations
from water_pipelines.orchestration.resources import Platform
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
        for _, of_asset in groupby(units, key=lambda unit: unit.asset):
            batch, together = generate_event_batch_id(), list(of_asset)  # type: ignore[no-untyped-call]  # Dagster's
            for position, unit in enumerate(together, start=1):
                event = DagsterEvent(
                    event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                    job_name=run.job_name,
                    message=f"Computed {unit.asset} {unit.unit} as of change {unit.read}.",
                    event_specific_data=StepMaterializationData(_materialisation(unit)),
                )
                is_last = position == len(together)
                context.instance.report_dagster_event(event, run.run_id, batch_metadata=DagsterEventBatchMetadata(batch, is_last))
        if any(unit.asset == _CHECKS for unit in units):
            for evaluation in evaluations(platform.database):
                context.log_event(evaluation)  # type: ignore[arg-type]  # it takes check evaluations; its annotation does not say so

    return tell


def _materialisation(unit: Unlogged) -> dg.AssetMaterialization:
    metadata: dict[str, Any] = {"dagster/partition_row_count": unit.rows, "change_read": unit.read, "change_made": unit.made}
    return dg.AssetMaterialization(asset_key=unit.asset.split("/"), partition=unit.unit, metadata=metadata)
