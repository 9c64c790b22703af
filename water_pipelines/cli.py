"""The `water` command: reads arguments, calls `commands/`, prints what these give.

Add a command as a function here and what it does as a file there. Every command has `--json`, and an exit code that is listed in its help.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from water_pipelines.clients.object_store import StoreError
from water_pipelines.commands.home import AlreadyRunning
from water_pipelines.commands.interruptions import Interrupted
from water_pipelines.commands.output import Output
from water_pipelines.commands.platform import FileMissing, PortTaken, started, stopped
from water_pipelines.commands.processes import ProgramFailed
from water_pipelines.settings import Settings
from water_pipelines.storage.binaries import BinariesMissing
from water_pipelines.storage.server import ServerError

DONE, INCOMPLETE, WRONG_USAGE, NOT_RUNNING, BROKEN, INTERRUPTED = 0, 1, 2, 3, 4, 130

_CODES = """
Exit codes: 0 done; 1 something is missing, was refused or is not served (the output says what); 2 wrong arguments or settings;
3 the platform does not run or cannot be reached; 4 the platform could not start, or broke; 130 stopped before it was done.
"""

app = typer.Typer(
    name="water", help="The water platform, from a dropped file to served results.", epilog=_CODES, no_args_is_help=True, add_completion=False
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document a line, for scripts.")]


@app.command(epilog=_CODES)
def up(as_json: AsJson = False) -> None:
    """Start the platform of WATER_HOME and look after it until Ctrl-C or `water down`."""
    output = Output(as_json=as_json)
    with _explained(output), started(_settings(), output.whisper) as platform:
        waiting: list[str] = []
        while platform.waiting:
            if platform.waiting != waiting:
                waiting = platform.waiting
                output.whisper(f"waiting for {', '.join(waiting)}")
            platform.look()
        output.addresses(platform)
        while True:
            platform.look()


@app.command(epilog=_CODES)
def down(as_json: AsJson = False) -> None:
    """Stop the platform of WATER_HOME, wherever it was started, with all that a killed one left. Nothing to stop is fine."""
    output = Output(as_json=as_json)
    with _explained(output):
        was_running = stopped(_settings())
    output.say("stopped" if was_running else "nothing was running")
    output.tell(stopped=was_running)


@app.command(epilog=_CODES)
def status(as_json: AsJson = False) -> None:
    """Tell how the platform is: processes, database, files by status, what is stale, the last tick. Starts nothing; 3 when it does not run."""
    from water_pipelines.commands.status import condition_of

    output = Output(as_json=as_json)
    with _explained(output):
        condition = condition_of(_settings())
    output.tell(**asdict(condition))
    running = f"process {condition.supervisor}, {'ready' if condition.is_ready else 'starting'}" if condition.is_running else "not running"
    output.facts({"home": condition.home, "platform": running, "database": condition.database, **condition.addresses})
    if condition.programs:
        output.table(("program", "process"), [(name, "not running" if pid is None else str(pid)) for name, pid in condition.programs.items()])
    if condition.holds is None:
        output.say(f"[yellow]{condition.reason}[/yellow]")
    else:
        holds = condition.holds
        output.facts(
            {"last tick": holds["tick_at"], "change": holds["change"], **{name: holds[name] for name in ("stations", "series", "observations")}}
        )
        output.table(("files", "number"), [*holds["files"].items()])
        if condition.jobs:
            title = "Files that failed or were set aside (mended by `water retry ARRIVAL --mapping FILE`, or dropped again), or are being loaded"
            output.table(("arrival", "file", "status", "attempts", "why"), map(_job, condition.jobs), title=title)
        if condition.partly_loaded:
            partly = [(str(job["arrival"]), job["name"], job["rows"], job["rejected"], job["id"]) for job in condition.partly_loaded]
            title = "The latest files that were loaded but for some rows or members; /api/v1/datasets/ID/rejected tells which, and why"
            output.table(("arrival", "file", "rows", "refused", "id"), partly, title=title)
        stages = [(each["asset"], each["rows"], each["computed_units"], each["stale_units"], each["computed_at"]) for each in holds["stages"]]
        output.table(("stage", "rows", "units", "stale", "computed at"), stages)
        sources = [(each["name"], each["state"], each["url"], each["reached_at"], each["error"] or "") for each in holds["sources"]]
        if sources:
            output.table(("source", "state", "address", "answered at", "what is wrong"), sources)
    raise typer.Exit(DONE if condition.is_running else NOT_RUNNING)


@app.command(epilog=_CODES)
def drop(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, or folders with all they hold.", show_default=False)],
    prefix: Annotated[str, typer.Option(help="Folder of the inbox, such as river/upper; it chooses the mapping in force.")] = "",
    mapping: Annotated[Path | None, typer.Option(help="A mapping for these files alone.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Drop files into the inbox and print the id of each one's job at once."""
    from water_pipelines.commands import drop as dropping

    output = Output(as_json=as_json)
    with _explained(output):
        try:
            dropped = dropping.drop(_settings(), dropping.wanted(files, prefix, mapping))
        except (dropping.CannotDrop, StoreError, OSError) as error:
            _fail(output, str(error), INCOMPLETE)
    for each in dropped:
        output.tell(file=str(each.path), key=each.key, kind=each.kind, bytes=each.bytes, job_id=each.job_id)
    output.table(("job", "file", "kind", "bytes"), [(each.job_id and str(each.job_id), each.key, each.kind, each.bytes) for each in dropped])
    if any(each.job_id is None for each in dropped):
        output.say("[yellow]A job without an id depends on the mapping in force, which only a running database tells.[/yellow]")


@app.command(epilog=_CODES)
def listen(as_json: AsJson = False) -> None:
    """Land what the brokers of the settings send, until Ctrl-C; `water up` runs it where a broker is named. 2 when none is, or it cannot be used."""
    from water_pipelines.clients.messages import SourceUnavailable
    from water_pipelines.commands.listen import listen as listen_to

    output = Output(as_json=as_json)
    with _explained(output):
        try:
            heard = listen_to(_settings())
        except SourceUnavailable as error:
            _fail(output, str(error), WRONG_USAGE)
    output.tell(**{name: asdict(each) for name, each in heard.items()})
    output.table(("source", "messages", "refused", "batches"), [(name, each.messages, each.refused, each.batches) for name, each in heard.items()])


@app.command(epilog=_CODES)
def migrate(as_json: AsJson = False) -> None:
    """Make the databases and bring them to the present schema; an embedded server that does not run is started for it."""
    from water_pipelines.commands import databases

    output, settings = Output(as_json=as_json), _settings()
    with _explained(output):
        server = databases.server_of(settings)
        was_running = databases.is_running(server)
        try:
            databases.start(settings, server)
            databases.bring_up_to_date(settings, server)
        finally:
            if not was_running:
                databases.stop(server)
    output.say("the database is up to date")
    output.tell(database=settings.database, dagster_database=settings.dagster_database, migrated=True)


@app.command(epilog=_CODES)
def verify(
    url: Annotated[str | None, typer.Option("--api", help="Address of the API; that of the running platform by default.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the running API for stations, their series and data, and how these are linked, and say what is missing; 1 when something is."""
    from water_pipelines.commands.asking import Api, NotReachable, api_of
    from water_pipelines.commands.verify import verify as look_at_everything

    output = Output(as_json=as_json)
    with _explained(output):
        try:
            with Api(url) if url else api_of(_settings()) as api:
                found = look_at_everything(api)
        except NotReachable as error:
            _fail(output, str(error), NOT_RUNNING)
    output.tell(**asdict(found))
    output.facts({"stations": found.stations, "series": found.series, "observations": found.observations})
    if found.missing:
        output.table(("missing to", "what"), [(each.subject, each.what) for each in found.missing])
        raise typer.Exit(INCOMPLETE)
    output.say("[green]nothing is missing[/green]")


@app.command(epilog=_CODES)
def demo(
    data: Annotated[Path | None, typer.Option(help="A file or folder of yours in place of the sample.", show_default=False)] = None,
    mapping: Annotated[Path | None, typer.Option(help="A mapping for it.", show_default=False)] = None,
    oneshot: Annotated[bool, typer.Option("--oneshot", help="Stop when everything is served; 1 when a stage of the sample is missing.")] = False,
    patience: Annotated[float, typer.Option(help="Seconds without any progress after which it is given up.")] = 240,
    timeout: Annotated[float, typer.Option(help="Seconds after which it is given up in any case.")] = 3600,
    as_json: AsJson = False,
) -> None:
    """Start the platform, drop the sample (a river and a water network of a year) or your own data, and show how it becomes results."""
    from water_pipelines.commands import demo as demonstration
    from water_pipelines.commands import drop as dropping

    output, settings = Output(as_json=as_json), _settings()
    with _explained(output, when_interrupted=INTERRUPTED if oneshot else DONE):
        try:
            own = dropping.wanted([data], mapping=mapping) if data is not None else None
            complete = demonstration.run(settings, own, output, oneshot=oneshot, patience_s=patience, timeout_s=timeout)
        except (dropping.CannotDrop, StoreError, OSError) as error:
            _fail(output, str(error), INCOMPLETE)
    raise typer.Exit(DONE if complete else INCOMPLETE)


Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="SHA-256 (or its first 8 digits), job id or arrival number.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the act.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only told what would be done.")]


@app.command(epilog=_CODES)
def withdraw(files: Files, reason: Reason = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Take files out: their days come to what the remaining files say. `water reinstate` takes it back."""
    from water_pipelines.orchestration.operations.acts import withdrawal

    _act(lambda platform: withdrawal(platform, files, reason=reason, at=datetime.now(UTC)), yes=yes, as_json=as_json)


@app.command(epilog=_CODES)
def reinstate(files: Files, reason: Reason = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Take back what was withdrawn: the files are loaded again, at the place in the order of arrival that they had."""
    from water_pipelines.orchestration.operations.acts import reinstatement

    _act(lambda platform: reinstatement(platform, files, reason=reason, at=datetime.now(UTC)), yes=yes, as_json=as_json)


@app.command(epilog=_CODES)
def delete(
    station: Annotated[list[str] | None, typer.Option(help="A station (UUID or natural id), with all its series.", show_default=False)] = None,
    series: Annotated[list[str] | None, typer.Option(help="A series (UUID or natural id).", show_default=False)] = None,
    prefix: Annotated[str | None, typer.Option(help="A folder: what only files below it speak of.", show_default=False)] = None,
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete stations or series for ever, with everything derived of them and its history; what landed stays in the landing zone."""
    from water_pipelines.orchestration.operations.acts import deletion

    if not station and not series and prefix is None:
        raise typer.BadParameter("name what is to be deleted: --station, --series or --prefix")
    _act(
        lambda platform: deletion(platform, stations=station or (), series=series or (), prefix=prefix, reason=reason, at=datetime.now(UTC)),
        yes=yes,
        as_json=as_json,
    )


@app.command(epilog=_CODES)
def retry(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE...]", help="SHA-256 (or its first 8 digits), job id or arrival number.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    quarantined: Annotated[bool, typer.Option("--quarantined", help="All that were set aside.")] = False,
    mapping: Annotated[Path | None, typer.Option(help="Load the same bytes under this mapping.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Let files be loaded again by the next run, such as after a mapping was mended."""
    from water_pipelines.commands import acts as acting
    from water_pipelines.commands import drop as dropping
    from water_pipelines.orchestration.operations.acts import CannotAct

    output, statuses = Output(as_json=as_json), [name for name, is_meant in (("failed", failed), ("quarantined", quarantined)) if is_meant]
    if not files and not statuses:
        raise typer.BadParameter("name files, or give --failed or --quarantined")
    with _explained(output):
        try:
            again = acting.retry(_settings(), files or (), statuses, mapping)
        except (CannotAct, dropping.CannotDrop, StoreError) as error:
            _fail(output, str(error), INCOMPLETE)
    for each in again:
        output.tell(arrival=each.arrival, job_id=each.job_id, file=each.name, was=each.status)
    output.table(("arrival", "job", "file", "was"), [(each.arrival, str(each.job_id), each.name, each.status) for each in again])
    output.say("the next run loads them" if again else "there is nothing to retry")


@app.command(epilog=_CODES)
def replay(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE...]", help="SHA-256 (or its first 8 digits), job id or arrival number.")] = None,
    prefix: Annotated[str | None, typer.Option(help="All files below a folder of the inbox.", show_default=False)] = None,
    arrived: Annotated[str | None, typer.Option(help="All files of a day of arrival, or of FROM..TO (UTC).", show_default=False)] = None,
    days: Annotated[str | None, typer.Option(help="Observations of a day, or of FROM..TO (UTC), whatever files they are from.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Read landed files again by the present parsers, such as after an upgrade, and write what differs. Nothing lands."""
    from water_pipelines.commands import acts as acting
    from water_pipelines.orchestration.operations.acts import CannotAct
    from water_pipelines.orchestration.operations.replay import Part, span

    output = Output(as_json=as_json)
    try:
        part = Part(files or (), prefix, span(arrived) if arrived else None, span(days) if days else None)
    except ValueError as error:
        raise typer.BadParameter(f"write a day as 2026-03-01, or days as 2026-03-01..2026-03-05 ({error})") from None
    with _explained(output):
        try:
            done = acting.replay(_settings(), part, output.progress, yes=yes)
        except (CannotAct, StoreError) as error:
            _fail(output, str(error), INCOMPLETE)
    counts = {"files": done.files, "days": done.days, "values back": done.added, "values replaced": done.changed, "values gone": done.gone}
    refused = [(each.arrival, each.name, why) for each, why in done.refused]
    output.tell(**counts, differing=[each.arrival for each in done.differing], refused=refused, done=yes)
    output.table(("what", "number"), list(counts.items()), title=f"replay: {'done' if yes else 'would do'}")
    if done.differing:
        output.table(("arrival", "file that differs", "folder"), [(str(each.arrival), each.name, each.prefix) for each in done.differing])
    if refused:
        output.table(("arrival", "file that is refused now; what was loaded stands", "why"), [(str(number), *rest) for number, *rest in refused])
    if not yes:
        output.say("nothing was changed; add --yes to do it")


@app.command(epilog=_CODES)
def backup(
    target: Annotated[str, typer.Argument(help="A folder that does not exist yet, or s3://bucket/prefix.", show_default=False)],
    despite_damage: Annotated[
        bool, typer.Option("--despite-damage", help="Leave out landed objects that are missing or damaged, and name them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the database and the landing zone, consistent with each other, while the platform runs or not; `sha256sum -c SHA256SUMS` checks it."""
    from water_pipelines.commands import backup as backing_up
    from water_pipelines.orchestration.operations.backup import CannotBackUp

    output = Output(as_json=as_json)
    with _explained(output):
        try:
            made = backing_up.back_up(_settings(), target, output.progress, despite_damage=despite_damage)
        except (CannotBackUp, StoreError, OSError) as error:
            _fail(output, str(error), INCOMPLETE)
    _tell_backup(output, made, target=target, done=True)


@app.command(epilog=_CODES)
def restore(
    source: Annotated[str, typer.Argument(help="A backup: a folder, or s3://bucket/prefix.", show_default=False)],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fill an empty platform that does not run from a backup, after every byte of it was checked."""
    from water_pipelines.commands import backup as backing_up
    from water_pipelines.orchestration.operations.backup import CannotBackUp, CannotRestore

    output, settings = Output(as_json=as_json), _settings()
    with _explained(output):
        try:
            held, is_ahead = backing_up.restore(settings, source, output.progress, yes=yes)
        except (CannotBackUp, CannotRestore, StoreError, OSError) as error:
            _fail(output, str(error), INCOMPLETE)
    _tell_backup(output, held, target=str(settings.home), done=yes)
    if is_ahead:
        output.say("the landing zone is the backup's own, and more has landed since: only the database is restored; `water rebuild` then goes on")
    elif yes:
        output.say("restored; `water up` starts the platform, which tells Dagster of all that was computed")
    if not yes:
        output.say("the backup is whole and this platform can take it; nothing was changed; add --yes to restore it")


@app.command(epilog=_CODES)
def rebuild(yes: Yes = False, as_json: AsJson = False) -> None:
    """Bring the database of a platform that does not run up to what landed: an empty one from nothing, a restored one from where it stands."""
    from water_pipelines.commands import rebuild as rebuilding
    from water_pipelines.orchestration.operations.rebuild import CannotRebuild

    output, settings = Output(as_json=as_json), _settings()
    with _explained(output):
        try:
            plan = rebuilding.plan(settings)
            done = rebuilding.rebuild(settings, output.progress) if yes else None
        except (CannotRebuild, StoreError) as error:
            _fail(output, str(error), INCOMPLETE)
    announced, loaded = len(plan.announced), plan.waiting + len(plan.announced)
    output.tell(
        files=plan.files,
        bytes=plan.bytes,
        unknown=announced,
        to_load=loaded,
        left_over=plan.left_over,
        done=yes,
        **({"statuses": done.files, "units": done.units} if done else {}),
    )
    output.facts({"landed bytes": plan.bytes, "files that the database does not know": announced, "files to load": loaded})
    if plan.left_over:
        output.facts({"objects that landings left which were cut off": plan.left_over})
    output.table(("landed", "files"), list(plan.files.items()))
    if done is None:
        output.say("nothing was changed; add --yes to do it. A rebuild that is cut off goes on where it stood")
        return
    output.table(("status", "files"), list(done.files.items()))
    output.table(("computed", "units"), list(done.units.items()))
    if done.files.get("failed"):
        output.say("[yellow]files failed: `water up`, then `water status` tells why[/yellow]")
        raise typer.Exit(INCOMPLETE)


@app.command(epilog=_CODES)
def explain(
    series: Annotated[str, typer.Argument(help="UUID or natural id of a series.")],
    time: Annotated[str, typer.Argument(help="Time of the value, ISO 8601, UTC unless an offset is given.")],
    of: Annotated[str, typer.Option(help="observation, flag, metric_30min, metric_hourly, metric_daily, anomaly or forecast.")] = "observation",
    as_of: Annotated[str | None, typer.Option(help="As of this change number or time.", show_default=False)] = None,
    url: Annotated[str | None, typer.Option("--api", help="Address of the API; that of the running platform by default.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Tell where a served value comes from: bytes, row, mapping, parser, load, run and code; rules, model and files of what is derived."""
    from water_pipelines.commands.asking import Api, NotReachable, api_of
    from water_pipelines.commands.explain import explain as ask
    from water_pipelines.commands.explain import tree

    output = Output(as_json=as_json)
    with _explained(output):
        try:
            with Api(url) if url else api_of(_settings()) as api:
                found = ask(api, series, time, of, as_of)
        except NotReachable as error:
            _fail(output, str(error), INCOMPLETE)
    output.tell(**found)
    output.draw(tree(found))


argo_app = typer.Typer(name="argo", help="Argo floats.", epilog=_CODES, no_args_is_help=True)
app.add_typer(argo_app)


@argo_app.command("rules", epilog=_CODES)
def argo_rules(
    test8: Annotated[
        str | None, typer.Option("--test8", help="Version of test 8 (pressure increasing): 2024 or before-2024.", show_default=False)
    ] = None,
    era: Annotated[str | None, typer.Option(help="All tests as of a manual, such as 'manual 3.5 (2021)'.", show_default=False)] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Tell which profiles other versions of the real-time tests would flag otherwise; with --yes, let all be flagged by them."""
    from water_pipelines.commands import argo
    from water_pipelines.orchestration.operations.acts import CannotAct
    from water_pipelines.orchestration.operations.argo_flagging import CannotChange

    if test8 is None and era is None:
        raise typer.BadParameter("name what is to change: --test8 or --era")
    output = Output(as_json=as_json)
    with _explained(output):
        try:
            found = argo.change_rules(_settings(), era=era, test8=test8, yes=yes)
        except (CannotAct, CannotChange, StoreError) as error:
            _fail(output, str(error), INCOMPLETE)
    for each in found.changed:
        output.tell(**asdict(each))
    output.tell(rules=found.rules.name, casts=found.casts, changed=len(found.changed), done=yes)
    rows = [(each.id, each.values, ", ".join(each.failed), ", ".join(each.would_fail)) for each in found.changed]
    output.table(
        ("profile", "values", "failed", "fails by these rules"), rows, title=f"{found.rules.name}: {len(rows)} of {found.casts} casts change"
    )
    output.say("all casts are stale; the next settle flags them" if yes else "nothing was changed; add --yes to do it")


def _act(make: Any, *, yes: bool, as_json: bool) -> None:
    """Ask or do an act, and tell."""
    from water_pipelines.commands import acts as acting
    from water_pipelines.orchestration.operations.acts import CannotAct

    output = Output(as_json=as_json)
    with _explained(output):
        try:
            done = acting.act(_settings(), make, yes=yes)
        except (CannotAct, StoreError) as error:
            _fail(output, str(error), INCOMPLETE)
    output.tell(act=done.fact.act, subject=done.fact.subject, done=yes, counts=done.counts, stale=done.stale)
    if done.files:
        output.table(("arrival", "file", "folder", "SHA-256"), [(each.arrival, each.name, each.prefix, each.sha256[:16]) for each in done.files])
    else:
        output.facts({kind: ", ".join(names) for kind, names in done.fact.subject.items() if names})
    output.table(("what", "number"), list(done.counts.items()), title=f"{done.fact.act}: {'done' if yes else 'would do'}")
    if done.stale:
        output.table(("to be computed again", "units"), list(done.stale.items()))
    if not yes:
        output.say("nothing was changed; add --yes to do it")


def _tell_backup(output: Output, manifest: Any, *, target: str, done: bool) -> None:
    """What a backup holds."""
    said = asdict(manifest)
    kept = ("made_at", "change", "schema", "code_version", "objects", "object_bytes", "waiting", "damaged")
    output.tell(**{name: said[name] for name in kept}, rows=manifest.rows, tables=len(manifest.tables), target=target, done=done)
    output.facts(
        {
            "made at": manifest.made_at,
            "change": manifest.change,
            "tables": len(manifest.tables),
            "rows": manifest.rows,
            "landed files": manifest.objects,
            "files that waited": manifest.waiting,
            "bytes of objects": manifest.object_bytes,
            "in": target,
        }
    )
    if manifest.damaged:
        output.table(("missing or damaged, left out",), [(key,) for key in manifest.damaged])


def main() -> None:
    """The console script."""
    app()


def _job(job: dict[str, Any]) -> tuple[str, str, str, int, str]:
    """What people need to know of a job; how far it is where it is at work."""
    is_running = job["status"] == "running"
    why = "" if is_running and job["progress"] is None else f"{job['progress']:.0%} read" if is_running else str(job["error"])
    return str(job["arrival"]), "/".join(filter(None, (job["prefix"], job["name"]))), job["status"], job["attempts"], why


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for each in error.errors():
            name = "_".join(map(str, each["loc"])).upper()
            typer.echo(f"WATER_{name}: {each['msg']}" if name else each["msg"], err=True)
        raise typer.Exit(WRONG_USAGE) from None


@contextmanager
def _explained(output: Output, *, when_interrupted: int = DONE) -> Iterator[None]:
    """What went wrong, in its own words and by its exit code."""
    try:
        yield
    except Interrupted:
        output.say("stopped; no process is left")
        output.tell(stopped=True)
        raise typer.Exit(when_interrupted) from None
    except KeyboardInterrupt:
        _fail(output, "stopped before it was done", INTERRUPTED)
    except (AlreadyRunning, PortTaken, ServerError, BinariesMissing, FileMissing, ProgramFailed) as error:
        _fail(output, str(error), BROKEN)


def _fail(output: Output, message: str, code: int) -> NoReturn:
    if not output.as_json:
        typer.echo(message, err=True)
    output.tell(error=message, exit_code=code)
    raise typer.Exit(code)


if __name__ == "__main__":
    main()
