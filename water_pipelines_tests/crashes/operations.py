"""What is interrupted: each operation that writes, on a platform that holds enough for it to take all of its ways.

Add an operation to `OPERATIONS`: what goes before it, and the work that is killed. Keep out: killing and comparing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.landing import land_inbox
from water_pipelines.orchestration.operations.loading import load_file, load_files
from water_pipelines.orchestration.operations.ticks import tick
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import settle
from water_pipelines.parsers.facts import ActFact
from water_pipelines.storage import retries, source_files
from water_pipelines_tests.argo_world import FLOAT, bgc, cast, delayed, netcdf, oxygen, zipped

FIRST_DAY = date(2026, 1, 1)
"""No operation touches an earlier year."""

_START = datetime(2026, 2, 2, tzinfo=UTC)
_CLOCK = datetime(2026, 2, 27, 12, tzinfo=UTC)
_AT = datetime(2026, 3, 1, tzinfo=UTC)
Work = Callable[[Platform], object]


@dataclass(frozen=True)
class Operation:
    """The state before (on `base`, or on an empty platform), and the work whose writes are the points at which it is killed.

    `again` is the retry of the run that was killed, where it does more than what `recover` does; `beside` is what another process does
    meanwhile, so that some points may not be reached.
    """

    before: Work
    work: Work
    again: Work | None = None
    beside: Work | None = None
    on_base: bool = True


def base(platform: Platform) -> None:
    """Three weeks and more of hourly values, so that bands are trained and forecasts issued, settled as of a tick."""
    _first_loaded(platform)
    _settle(platform)


def _first_loaded(platform: Platform) -> None:
    load_file(platform, tick(platform, _CLOCK).arrival)
    _drop(platform, "weeks.csv", 24 * 24, 1.0)
    _drop(platform, "other.csv", 30, 3.0, station="OTHER")
    empty_inbox(platform)


def recover(platform: Platform) -> None:
    """What the sensors and their retried jobs do, whatever happened: empty the inbox, load what waits, settle and tell."""
    empty_inbox(platform)
    _settle(platform)


def _settle(platform: Platform) -> None:
    settle(platform, lambda units: None)


def _drop(platform: Platform, name: str, hours: int, value: float, *, station: str = "GAUGE", first: datetime = _START) -> None:
    rows = "".join(f"{first + n * timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ},{station},water_level,m,{value + n % 24 / 100:.3f}\n" for n in range(hours))
    platform.store.put(f"inbox/{name}", f"time,station,property,unit,value\n{rows}".encode())


def _corrections(platform: Platform) -> None:
    """Three overlapping corrections, files that only add, a mapping, rules and the first file under another mapping wait in the inbox."""
    for number in range(3):
        _drop(platform, f"correction{number}.csv", 20, 1.5 + number, first=_START + timedelta(days=number, hours=6))
        _drop(platform, f"more{number}.csv", 10, 4.0, station="MORE", first=_START + timedelta(hours=8 * number))
    _drop(platform, "folder/mapped.csv", 5, 2.0)
    platform.store.put("inbox/folder/mapping.yaml", b"station: FOLDER\n")
    _drop(platform, "remapped.csv", 30, 3.0, station="OTHER")
    platform.store.put("inbox/remapped.csv.mapping.yaml", b"property: stage\n")
    platform.store.put("inbox/rules.yaml", b"any: {gap: {limit: 4h}}\n")


def _landed(platform: Platform) -> None:
    _corrections(platform)
    for _ in land_inbox(platform):
        pass


def _land(platform: Platform) -> None:
    for batch in land_inbox(platform):
        load_files(platform, (file for file in batch if file.kind == "mapping"))


def _load_backwards(platform: Platform) -> None:
    """The latest arrival first, so that days are replayed from their landed files."""
    for file in reversed(source_files.to_load(platform.database)):
        load_file(platform, file.arrival)


def _loaded(platform: Platform) -> None:
    _landed(platform)
    _load_in_order(platform)


def _tick(platform: Platform) -> None:
    load_file(platform, tick(platform, _CLOCK + timedelta(days=1)).arrival)


def _file(platform: Platform, name: str) -> str:
    with platform.database.connection() as connection:
        row = connection.execute("select arrival::text from raw.source_file where name = %s", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def _withdraw(platform: Platform) -> None:
    _act(platform, lambda: acts.withdrawal(platform, [_file(platform, "weeks.csv")], reason="wrong sensor", at=_AT))


def _reinstate(platform: Platform) -> None:
    _act(platform, lambda: acts.reinstatement(platform, [_file(platform, "weeks.csv")], reason="right after all", at=_AT))


def _delete(platform: Platform) -> None:
    _act(platform, lambda: acts.deletion(platform, stations=["OTHER"], reason="private", at=_AT))


def _act(platform: Platform, asked: Callable[[], ActFact]) -> None:
    acts.do(platform, asked())


def _unless_done(work: Work) -> Work:
    """An act again, at the time at which its run was asked for; what it did already cannot be done twice."""

    def again(platform: Platform) -> None:
        with suppress(acts.CannotAct):
            work(platform)

    return again


def _withdrawn(platform: Platform) -> None:
    _withdraw(platform)
    _settle(platform)


def _load_in_order(platform: Platform) -> None:
    load_files(platform, source_files.to_load(platform.database))


def _failed(platform: Platform) -> None:
    """Landed files, two of which failed and one of which was being loaded by a process that is gone."""
    _landed(platform)
    with platform.database.connection() as connection:
        connection.execute(
            "update raw.source_file set status = 'failed', attempts = 1, finished_at = now() - interval '1 day' where name ~ 'n[01].csv'"
        )
        connection.execute("update raw.source_file set status = 'running', attempts = 1, run = 'gone' where name = 'correction2.csv'")


def _retry(platform: Platform) -> None:
    retries.begin_again(platform.database, platform.settings.load_attempts)
    _load_in_order(platform)


def _retry_later(platform: Platform) -> None:
    """The same an hour on, when what failed since has rested: a load that outlived its server noted that it failed."""
    with platform.database.connection() as connection:
        connection.execute("update raw.source_file set finished_at = finished_at - interval '1 hour' where status = 'failed'")
    _retry(platform)


def _casts(platform: Platform) -> None:
    """Two groups of small files of Argo have landed, with an archive between them that has a bad member, and a grey list after them."""
    grey = f"PLATFORM_CODE,PARAMETER_NAME,START_DATE,END_DATE,QUALITY_CODE,COMMENT,DAC\n{FLOAT},PSAL,20200101,,3,drift,IF\n"
    files = {
        "1.nc": netcdf([cast(1, warmer=30.0)]),
        "2.nc": netcdf([cast(2, wmo="6900002"), cast(3, wmo="6900002")]),
        "3.zip": zipped({"BR.nc": bgc([oxygen(1)]), "bad.nc": b"CDF", "D.nc": netcdf([delayed(1)])}),
        "4.nc": netcdf([cast(1, warmer=1.0)]),
        "5.nc": netcdf([delayed(2, wmo="6900002")]),
        "6.txt": grey.encode(),
    }
    for name, data in files.items():
        platform.store.put(f"inbox/argo/{name}", data)
        for _ in land_inbox(platform):
            pass


def _casts_loaded(platform: Platform) -> None:
    _casts(platform)
    _load_in_order(platform)


def _casts_settled(platform: Platform) -> None:
    _casts_loaded(platform)
    _settle(platform)


def _withdraw_casts(platform: Platform) -> None:
    """The D version of one float's cast goes with its archive, and a file whose casts others have in part."""
    _act(platform, lambda: acts.withdrawal(platform, [_file(platform, name) for name in ("2.nc", "3.zip")], reason="test float", at=_AT))


def _nothing(platform: Platform) -> None:
    pass


OPERATIONS: Mapping[str, Operation] = {
    "land": Operation(_corrections, _land),
    "load": Operation(_landed, _load_in_order),
    "load backwards": Operation(_landed, _load_backwards),
    "load beside another": Operation(_landed, _load_backwards, again=_retry_later, beside=_load_in_order),
    "retry": Operation(_failed, _retry, again=_retry),
    "settle": Operation(_loaded, _settle),
    "first settle": Operation(_first_loaded, _settle, on_base=False),
    "tick": Operation(_nothing, _tick, again=_tick),
    "withdraw": Operation(_nothing, _withdraw, again=_unless_done(_withdraw)),
    "reinstate": Operation(_withdrawn, _reinstate, again=_unless_done(_reinstate)),
    "load casts": Operation(_casts, _load_in_order, on_base=False),
    "settle casts": Operation(_casts_loaded, _settle, on_base=False),
    "withdraw casts": Operation(_casts_settled, _withdraw_casts, again=_unless_done(_withdraw_casts), on_base=False),
    "delete": Operation(_nothing, _delete, again=_unless_done(_delete)),
}
"""Name -> operation; the first settle trains models and issues forecasts."""
