"""The composition root: settings to resources to one Dagster code location. Nothing imports it."""

from __future__ import annotations

import gc
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import dagster as dg

from water_pipelines.logs import configure
from water_pipelines.orchestration import assets, checks, jobs, schedules, sensors
from water_pipelines.orchestration.io import NoPickles
from water_pipelines.orchestration.resources import Platform, platform_of
from water_pipelines.settings import Settings


@cache
def _platform() -> Platform:
    settings = Settings()
    configure(settings)
    return platform_of(settings)


def _modules(package: str) -> list[object]:
    found = import_module(package)
    return [import_module(f"{package}.{module.name}") for module in iter_modules(found.__path__)]


defs = dg.Definitions(
    assets=dg.load_assets_from_modules(_modules(assets.__name__)),  # type: ignore[arg-type]  # modules
    asset_checks=dg.load_asset_checks_from_modules(_modules(checks.__name__)),  # type: ignore[arg-type]  # modules
    jobs=[each for each in vars(jobs).values() if isinstance(each, dg.JobDefinition)],
    sensors=[each for module in _modules(sensors.__name__) for each in vars(module).values() if isinstance(each, dg.SensorDefinition)],
    schedules=[each for each in vars(schedules).values() if isinstance(each, dg.ScheduleDefinition)],
    executor=dg.in_process_executor,
    resources={"platform": dg.ResourceDefinition(lambda _: _platform()), "io_manager": NoPickles()},
)

gc.freeze()  # what was imported stays: the collector need not walk through it whenever a page of many small lists is read
