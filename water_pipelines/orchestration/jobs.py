"""Jobs: what the sensors and schedules start, and what a person may launch by hand. Each is one op over the platform."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.following import follow
from water_pipelines.orchestration.operations.history import expire_history
from water_pipelines.orchestration.operations.inbox import empty_inbox, start_clock
from water_pipelines.orchestration.operations.loading import load_file, load_files
from water_pipelines.orchestration.operations.pushing import push
from water_pipelines.orchestration.operations.replay import Part, replay, span
from water_pipelines.orchestration.operations.telling import telling
from water_pipelines.orchestration.operations.ticks import tick
from water_pipelines.orchestration.operations.training import retrain
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import settle
from water_pipelines.storage import retries, source_files
from water_pipelines.storage.partitions import extend_partitions

_SETTLES = {"water/settles": "true"}
_FOLLOW_FOR_S = 300.0


@dg.op(out=dg.Out(dg.Nothing))
def land_load_and_settle(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Empty the inbox, load what landed or is due to be tried again, and compute what it made stale."""
    with platform.during(context.run.run_id) as working:
        start_clock(working, datetime.now(UTC))
        retried = retries.begin_again(working.database, working.settings.load_attempts)
        context.log.info("loads begun again: %s, given up: %s", retried.again or "none", retried.given_up or "none")
        landed = empty_inbox(working)
        context.log.info("%s files landed", landed)
        settle(working, telling(context, working))


@dg.op(out=dg.Out(dg.Nothing))
def settle_stale(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Compute what is stale."""
    with platform.during(context.run.run_id) as working:
        done = settle(working, telling(context, working))
        context.log.info("computed: %s", done or "nothing was stale")


@dg.op(out=dg.Out(dg.Nothing))
def land_tick_and_settle(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Land the half-hour that has passed, and compute what depends on the clock."""
    with platform.during(context.run.run_id) as working:
        file = tick(working, datetime.now(UTC))
        load_file(working, file.arrival)
        settle(working, telling(context, working))


@dg.op(out=dg.Out(dg.Nothing))
def follow_servers(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Pull SensorThings servers as they become due, and compute what that makes stale; it ends when the next poll is far or after some minutes."""
    with platform.during(context.run.run_id) as working:
        found = follow(working, for_s=_FOLLOW_FOR_S, settle=lambda: _settled(context, working))
        for name, pulled in found.servers.items():
            context.log.info("%s: %s pages, %s values changed, %s requests", name, pulled.pages, pulled.changes, pulled.requests)
            if pulled.error:
                context.log.warning("%s cannot be pulled: %s", name, pulled.error)
        for name, written in push(working).items():
            context.log.info("%s: %s observations created, %s changed, %s deleted", name, written.created, written.changed, written.deleted)
            for error in written.errors:
                context.log.warning("%s cannot be written to: %s", name, error)


def _settled(context: dg.OpExecutionContext, platform: Platform) -> None:
    settle(platform, telling(context, platform))


@dg.op(out=dg.Out(dg.Nothing))
def retrain_and_settle(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Compute what is stale, train every kind of model at the newest cut-off, and compute what that makes due: forecasts, scores, decisions."""
    with platform.during(context.run.run_id) as working:
        settle(working, telling(context, working))
        context.log.info("models trained: %s", retrain(working))
        settle(working, telling(context, working))


@dg.op(out=dg.Out(dg.Nothing))
def make_yearly_partitions(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Make the tables' partitions of the years to come."""
    made = extend_partitions(platform.database, platform.settings.first_day)
    context.log.info("%s partitions made", made)


class ActConfig(dg.Config):
    """What is to be done, to what; without `apply` it is only told what would be done.

    `files` (SHA-256, job ids or arrival numbers) for withdraw and reinstate; `stations`, `series` or `prefix` for delete.
    """

    act: str
    files: list[str] = Field(default_factory=list)
    stations: list[str] = Field(default_factory=list)
    series: list[str] = Field(default_factory=list)
    prefix: str | None = None
    reason: str = ""
    apply: bool = False


@dg.op(out=dg.Out(dg.Nothing))
def act_and_settle(context: dg.OpExecutionContext, config: ActConfig, platform: dg.ResourceParam[Platform]) -> None:
    """Withdraw or reinstate files, or delete stations and series, and compute what that makes stale."""
    now = datetime.now(UTC)
    with platform.during(context.run.run_id) as working:
        try:
            if config.act == "delete":
                fact = acts.deletion(working, stations=config.stations, series=config.series, prefix=config.prefix, reason=config.reason, at=now)
            elif config.act in acts.OF_FILES:
                fact = acts.OF_FILES[config.act](working, config.files, reason=config.reason, at=now)
            else:
                raise acts.CannotAct(f"{config.act!r} is no act; it is one of {', '.join(acts.ACTS)}")
            done = acts.do(working, fact) if config.apply else acts.ask(working, fact)
        except acts.CannotAct as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.info(
            "%s %s: %s; to be computed again: %s", config.act, "done" if config.apply else "would do", done.counts, done.stale or "nothing"
        )
        if config.apply:
            settle(working, telling(context, working))


class ReplayConfig(dg.Config):
    """What is to be read again; without `apply` it is only told what would differ.

    `files` (SHA-256, job ids or arrival numbers); or `prefix` and `arrived` (a day, or `2026-03-01..2026-03-05`); or event `days`, likewise.
    """

    files: list[str] = Field(default_factory=list)
    prefix: str | None = None
    arrived: str | None = None
    days: str | None = None
    apply: bool = False


@dg.op(out=dg.Out(dg.Nothing))
def replay_and_settle(context: dg.OpExecutionContext, config: ReplayConfig, platform: dg.ResourceParam[Platform]) -> None:
    """Read landed files again by the present parsers, write what differs, and compute what that makes stale."""
    with platform.during(context.run.run_id) as working:
        try:
            part = Part(config.files, config.prefix, span(config.arrived) if config.arrived else None, span(config.days) if config.days else None)
            done = replay(working, part, apply=config.apply)
        except (acts.CannotAct, ValueError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.info(
            "replay %s: %s values back, %s replaced, %s gone; files that differ: %s; refused now: %s",
            "done" if config.apply else "would do",
            *(done.added, done.changed, done.gone),
            [each.arrival for each in done.differing] or "none",
            {each.arrival: why for each, why in done.refused} or "none",
        )
        if config.apply:
            settle(working, telling(context, working))


class RetryConfig(dg.Config):
    """Which files are loaded again: `files` (SHA-256, job ids or arrival numbers), all that `failed`, all that were `quarantined`."""

    files: list[str] = Field(default_factory=list)
    failed: bool = False
    quarantined: bool = False


@dg.op(out=dg.Out(dg.Nothing))
def retry_and_settle(context: dg.OpExecutionContext, config: RetryConfig, platform: dg.ResourceParam[Platform]) -> None:
    """Load files that failed or were set aside again, and compute what that makes stale."""
    statuses = [name for name, is_meant in (("failed", config.failed), ("quarantined", config.quarantined)) if is_meant]
    with platform.during(context.run.run_id) as working:
        try:
            files = acts.to_retry(working, config.files, statuses)
        except acts.CannotAct as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        source_files.retry(working.database, [file.arrival for file in files])
        loaded = load_files(working, files)
        context.log.info("%s of %s files loaded", len(loaded), len(files))
        settle(working, telling(context, working))


class ExpireConfig(dg.Config):
    """Whether to do it, or only to tell what would be done."""

    apply: bool = False


@dg.op(out=dg.Out(dg.Nothing))
def remove_superseded(context: dg.OpExecutionContext, config: ExpireConfig, platform: dg.ResourceParam[Platform]) -> None:
    """Remove what was superseded longer ago than the history is kept."""
    with platform.during(context.run.run_id) as working:
        expired = expire_history(working, datetime.now(UTC), apply=config.apply)
        if expired is None:
            context.log.info("history is kept for ever: WATER_HISTORY_DAYS is not set")
        else:
            done = "rows removed" if config.apply else "rows that would be removed (launch with apply: true to do it)"
            context.log.info("the first change that can be read is %s; %s: %s", expired.horizon, done, expired.rows or "none")


@dg.job(
    executor_def=dg.in_process_executor,
    tags=_SETTLES,
    description="Empties the inbox: lands, loads and settles what the files touch.",
)
def load_job() -> None:
    """See `land_load_and_settle`."""
    land_load_and_settle()


@dg.job(executor_def=dg.in_process_executor, tags=_SETTLES, description="Computes exactly the units that are stale, in the order of the graph.")
def settle_job() -> None:
    """See `settle_stale`."""
    settle_stale()


@dg.job(executor_def=dg.in_process_executor, tags=_SETTLES, description="Refreshes what depends on the clock, as of the half-hour that has passed.")
def tick_job() -> None:
    """See `land_tick_and_settle`."""
    land_tick_and_settle()


@dg.job(
    executor_def=dg.in_process_executor, tags=_SETTLES, description="Trains the models of the newest cut-off and decides which forecasts are served."
)
def retrain_job() -> None:
    """See `retrain_and_settle`."""
    retrain_and_settle()


@dg.job(
    executor_def=dg.in_process_executor, description="Follows the SensorThings servers of the dropped sensorthings.yaml, and settles what they bring."
)
def sensorthings_job() -> None:
    """See `follow_servers`."""
    follow_servers()


@dg.job(executor_def=dg.in_process_executor, description="Makes the yearly partitions of all tables two years ahead.")
def partitions_job() -> None:
    """See `make_yearly_partitions`."""
    make_yearly_partitions()


@dg.job(
    executor_def=dg.in_process_executor,
    tags=_SETTLES,
    description="Withdraws or reinstates files, or deletes stations and series; only tells of it unless its op is configured with apply: true.",
)
def act_job() -> None:
    """See `act_and_settle`."""
    act_and_settle()


@dg.job(
    executor_def=dg.in_process_executor,
    tags=_SETTLES,
    description="Reads landed files again by the present parsers; only tells what would differ unless its op is configured with apply: true.",
)
def replay_job() -> None:
    """See `replay_and_settle`."""
    replay_and_settle()


@dg.job(executor_def=dg.in_process_executor, tags=_SETTLES, description="Loads files that failed or were set aside again.")
def retry_job() -> None:
    """See `retry_and_settle`."""
    retry_and_settle()


@dg.job(
    executor_def=dg.in_process_executor,
    description="Removes what was superseded longer ago than WATER_HISTORY_DAYS; only tells of it unless its op is configured with apply: true.",
)
def expire_history_job() -> None:
    """See `remove_superseded`."""
    remove_superseded()
