"""The demo: a platform, files dropped into it, and how they become results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.live import Live
from rich.table import Table

from water_pipelines.commands.asking import Api
from water_pipelines.commands.dagster_ui import NotLaunched, launch
from water_pipelines.commands.drop import Wanted, drop, store_of
from water_pipelines.commands.live import LiveData
from water_pipelines.commands.output import Output, shown
from water_pipelines.commands.platform import Platform, started
from water_pipelines.commands.sample import sample_of
from water_pipelines.commands.watching import Progress, Watch
from water_pipelines.settings import Settings

_LOOK_EVERY_S = 1.0
_LINE_EVERY_S = 5.0
_HALF_HOUR = timedelta(minutes=30)


def run(settings: Settings, own: Sequence[Wanted] | None, output: Output, *, oneshot: bool, patience_s: float, timeout_s: float) -> bool:
    """Start the platform, drop the sample or files of the user's own, and show their way until everything is served.

    Without `oneshot` the platform runs on until somebody stops it.

    Returns
    -------
    bool
        Whether every stage of the sample holds something, or, of own files, whether any was loaded.
    """
    began = time.monotonic()
    with started(settings, output.whisper) as platform, Api(platform.api, timeout_s=10) as api:
        while "code server" in platform.waiting:
            platform.look()
        dropped = drop(settings, own if own is not None else sample_of(settings, datetime.now(UTC)))
        output.say(f"dropped {len(dropped)} files into the inbox")
        output.addresses(platform)
        watch = Watch(api, store_of(settings), dropped)
        reason = _follow(platform, watch, output, patience_s=patience_s, deadline=began + timeout_s)
        found = watch.progress
        if own is not None:
            _tell_refused(watch, output)
        expected = not found.missing and not found.refused if own is None else len(found.refused) < len(dropped)
        complete = expected and reason is None
        _summarise(found, reason, output, is_sample=own is None, complete=complete, seconds=time.monotonic() - began)
        output.addresses(platform)
        if not oneshot:
            live = LiveData(platform, settings, api, output)
            is_live = settings.demo_live and live.start()
            output.say("Ctrl-C stops the platform; what was loaded stays")
        while not oneshot:
            platform.look()
            if is_live:
                live.tell()
    return complete


def _follow(platform: Platform, watch: Watch, output: Output, *, patience_s: float, deadline: float) -> str | None:
    """Show progress until everything is served; gives the reason where that is given up."""
    with Live(console=output.console, auto_refresh=False, transient=True) as live:
        look_at, line_at, last_line, has_ticked = 0.0, 0.0, "", False
        waiting, started_at = platform.waiting, time.monotonic()
        while not watch.progress.is_done:
            platform.look()
            now = time.monotonic()
            if platform.waiting != waiting:
                waiting, started_at = platform.waiting, now
            if now < look_at:
                continue
            progress = watch.look()
            if not has_ticked and progress.stages and "web server" not in platform.waiting:
                has_ticked = True
                if _is_past(progress.tick_at):
                    _tick(platform, output)
            look_at = time.monotonic() + _LOOK_EVERY_S
            if live.console.is_terminal and not output.as_json:
                live.update(_table(progress, platform), refresh=True)
            elif now >= line_at:
                line_at = now + _LINE_EVERY_S
                if (line := _line(progress, platform)) != last_line:
                    output.whisper(line)
                last_line = line
                output.tell(
                    progress={stage.name: stage.rows for stage in progress.stages}, waiting={s.name: s.waiting for s in progress.stages if s.waiting}
                )
            if now - max(progress.moved_at, started_at) > patience_s:
                return f"nothing has moved for {patience_s:.0f} s"
            if now > deadline:
                return "the time that was given is over"
    return None


def _is_past(tick_at: str | None) -> bool:
    """Whether a home has ticked, and not in this half-hour. A new home's clock is started by its first load; a tick's run would keep that waiting."""
    return tick_at is not None and datetime.now(UTC) - datetime.fromisoformat(tick_at) > _HALF_HOUR


def _tick(platform: Platform, output: Output) -> None:
    """Let the clock tick once now: the schedule's first tick may be half an hour away."""
    try:
        launch(platform.ui, "tick_job")
    except NotLaunched as error:
        output.say(f"[yellow]the clock ticks at the next half-hour only: {error}[/yellow]")


def _tell_refused(watch: Watch, output: Output) -> None:
    """Say of which files rows, or members of an archive, were refused, and where the reasons are."""
    for job in watch.partly_loaded():
        output.say(f"[yellow]{_name(job)} was loaded but for {job['rejected']} rows or members: /api/v1/datasets/{job['id']}/rejected[/yellow]")


def _summarise(progress: Progress, reason: str | None, output: Output, *, is_sample: bool, complete: bool, seconds: float) -> None:
    """Say what every stage holds, and what is missing."""
    for job in progress.refused:
        output.say(f"[yellow]{_name(job)} was not loaded: {shown(job['error'])}[/yellow]")
    rows = [(stage.name, stage.rows or ("missing" if is_sample else "no input"), stage.latest) for stage in progress.stages]
    output.table(("stage", "rows", "latest"), rows, title=f"served after {seconds:.0f} s")
    held = {stage.name: stage.rows for stage in progress.stages}
    if not complete:
        missing = f"without any row: {', '.join(progress.missing)}" if progress.missing else f"{len(progress.refused)} files were not loaded"
        output.say(f"[red]not everything is served: {'; '.join(filter(None, (reason, missing)))}[/red]; the logs are in logs/ of the home")
    refused = [{key: job[key] for key in ("id", "prefix", "name", "status", "error")} for job in progress.refused]
    output.tell(complete=complete, seconds=round(seconds, 1), reason=reason, stages=held, missing=progress.missing, refused=refused)


def _name(job: dict[str, Any]) -> str:
    return shown("/".join(filter(None, (job["prefix"], job["name"]))))


def _table(progress: Progress, platform: Platform) -> Table:
    table = Table("stage", "rows", "waiting", box=None)
    for name in platform.waiting:
        table.add_row(f"[dim]{name}[/dim]", "", "starting")
    for stage in progress.stages:
        style = "green" if stage.rows and not stage.waiting else ""
        table.add_row(stage.name, shown(stage.rows), shown(stage.waiting) if stage.waiting else "", style=style)
    return table


def _line(progress: Progress, platform: Platform) -> str:
    begun = [stage for stage in progress.stages if stage.rows or stage.waiting]
    said = [f"{stage.name} {stage.rows:,}" + (f" ({stage.waiting:,} to do)" if stage.waiting else "") for stage in begun]
    return "  ".join([*said, *(f"[{name} starts]" for name in platform.waiting)]) or "waiting for the API"
