"""Changing the versions of Argo's real-time tests from the command line: told first, done with --yes."""

from __future__ import annotations

from water_pipelines.commands.acts import opened
from water_pipelines.orchestration.operations import argo_flagging
from water_pipelines.orchestration.operations.argo_flagging import Preview
from water_pipelines.settings import Settings


def change_rules(settings: Settings, *, era: str | None, test8: str | None, yes: bool) -> Preview:
    """Which casts other rules would flag otherwise; with `yes`, these rules are in force from now on."""
    with opened(settings) as platform:
        rules = argo_flagging.choose(platform, era=era, test8=test8)
        found = argo_flagging.preview(platform, rules)
        if yes:
            argo_flagging.put_in_force(platform, rules)
    return found
