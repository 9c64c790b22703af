"""Rebuilding a home's database from its landing zone, while the platform does not run. Keep out: what a rebuild means."""

from __future__ import annotations

from collections.abc import Callable

from water_pipelines.commands import databases
from water_pipelines.commands.drop import store_of
from water_pipelines.orchestration import assets
from water_pipelines.orchestration.operations import rebuild as rebuilding
from water_pipelines.orchestration.operations.rebuild import Plan, Rebuilt
from water_pipelines.orchestration.resources import platform_of
from water_pipelines.settings import Settings


def plan(settings: Settings) -> Plan:
    """What a rebuild would do; nothing is changed, and no database is made."""
    with databases.at_rest(settings) as server:
        if databases.revision(settings, server) is None:
            return rebuilding.plan(store_of(settings), None)
        database = databases.database_of(settings, server)
        try:
            return rebuilding.plan(store_of(settings), database)
        finally:
            database.close()


def rebuild(settings: Settings, said: Callable[[str], None]) -> Rebuilt:
    """Make the database where it is missing, and load into it what landed and what it does not hold yet."""
    with databases.at_rest(settings) as server:
        databases.start(settings, server)
        databases.bring_up_to_date(settings, server)
        assets.register()
        platform = platform_of(settings)
        try:
            return rebuilding.rebuild(platform, said)
        finally:
            platform.database.close()
