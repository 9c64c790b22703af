"""Pulling SensorThings servers: what is new since the cursor, what Things there are, and what was corrected or deleted behind the cursor.

Every page lands before it is loaded, and the cursor of a server follows from its landed pages: a pull that dies is repeated from there,
lands the same bytes, and changes nothing. How a server answers is the client's, what an answer says the parser's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from water_pipelines.clients.sensorthings import FORMS, Access, Answer, Form, NotUnderstood, SensorThings, SensorThingsError, literal
from water_pipelines.domain.series import Int64Array
from water_pipelines.orchestration.operations import pages
from water_pipelines.orchestration.operations.landing import land_bytes
from water_pipelines.orchestration.operations.loading import load_file
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers import things
from water_pipelines.parsers.contract import FileFacts, UnreadableFile
from water_pipelines.parsers.sensorthings import Head, Observed, Page, read_rows, read_times
from water_pipelines.parsers.servers import Server, matches
from water_pipelines.parsers.things import Component
from water_pipelines.settings import secret
from water_pipelines.storage import sensorthings
from water_pipelines.storage.database import Connection
from water_pipelines.storage.loads import Loaded
from water_pipelines.storage.sensorthings import Named, Word

log = logging.getLogger(__name__)

_IDS_A_SET = 100_000
_FEWEST_IDS_A_SET = 100
_IDS_UNDER_WAY = 10_000
_DAY = timedelta(days=1)
_SHORTEST_SET = timedelta(seconds=30)
_SETS_A_POLL = 20
_ASKED_ALONE = 20
_FOLLOWED_BY_NAME = 30
_OVERLAP = timedelta(minutes=10)
_AWAY = timedelta(hours=1)
_FEATURE_PAGES = 2
_FORGET_AFTER = 3
_LONGEST_WAIT_S = 900.0
_LATEST_ROWS = 1_000
_LANDED_BYTES = 8 << 20
_STILL = {
    "Datastreams": "id,name,description,unitOfMeasurement,observationType,properties",
    "MultiDatastreams": "id,name,description,unitOfMeasurements,observationType,multiObservationDataTypes,properties",
}
"""What is asked of Datastreams: not the times of their observations, which differ at every look."""


@dataclass
class Pulled:
    """What one pull of a server did."""

    pages: int = 0
    rows: int = 0
    changes: int = 0
    requests: int = 0
    error: str | None = None

    def add(self, loaded: Loaded | None) -> None:
        """Count a page that was loaded."""
        self.pages += 1
        if loaded is not None:
            self.rows += loaded.rows
            self.changes += loaded.new + loaded.changed + loaded.gone


def servers_of(platform: Platform) -> dict[str, Server]:
    """The servers that are configured, by name."""
    with platform.database.connection() as connection:
        return {name: Server.model_validate(said) for name, said in sensorthings.servers(connection).items()}


def access_to(server: Server) -> Access:
    """How a server is reached; its secret comes from the environment.

    Raises
    ------
    SensorThingsError
        The secret is not there; the message names the variable.
    """
    held = secret(server.secret_name) if server.secret_name else None
    if server.secret_name and held is None:
        raise SensorThingsError(f"{server.secret_name} is not set in the environment, so {server.name} cannot be asked")
    return Access(
        server.url,
        server.authentication,
        username=server.username or "",
        secret=held.get_secret_value() if held else "",
        token_url=server.token_url or "",
        client_id=server.client_id or "",
        scope=server.scope or "",
        accept_self_signed=server.accept_self_signed,
    )


def pull(platform: Platform, server: Server, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), patience_s: float = 30.0) -> Pulled | None:
    """Pull one server; none where another process does. What is wrong with the server is noted with it, and hurts nobody else."""
    with sensorthings.turn(platform.database, server.name) as is_ours:
        if not is_ours:
            return None
        pulled = Pulled()
        with platform.database.connection() as connection:
            before = sensorthings.poll(connection, server.name)
        try:
            with SensorThings(access_to(server), patience_s=patience_s) as client:
                work = _Pull(platform, server, client, pulled, now)
                try:
                    work.run(before)
                finally:
                    pulled.requests = client.requests
            with platform.database.connection() as connection:
                sensorthings.note_poll(connection, server.name, form=work.form, due_in_s=server.interval, requests=pulled.requests)
        except (SensorThingsError, UnreadableFile, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            # what a stranger's server answers may be of any shape, and must not end the pulls of the others
            is_told = isinstance(error, SensorThingsError | UnreadableFile)
            pulled.error = str(error) if is_told else f"an answer of {server.name} cannot be understood ({type(error).__name__}: {error})"
            log.warning("%s could not be pulled: %s", server.name, pulled.error, exc_info=None if is_told else error)
            failures = before.failures + 1
            with platform.database.connection() as connection:
                sensorthings.note_failure(
                    connection,
                    server.name,
                    pulled.error,
                    due_in_s=min(server.interval * 2 ** min(failures, 10), max(_LONGEST_WAIT_S, server.interval)),
                    forget_form=isinstance(error, NotUnderstood) and failures >= _FORGET_AFTER,
                )
    return pulled


@dataclass
class _Set:
    """A question whose pages belong together: only when the last of them is here does the cursor move.

    Parameters
    ----------
    is_settled : whether nothing is still to come between its ids.
    ids : the latest of the rows so far, where they are numbers, after the one before the set.
    """

    after: dict[str, Any] | None
    condition: str
    upto: dict[str, Any] | None = None
    kind: str = "id"
    is_settled: bool = False
    newest: Any = None
    latest: dict[str, str] = field(default_factory=dict)
    ids: Int64Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))


class _Pull:
    """One pull of one server."""

    def __init__(self, platform: Platform, server: Server, client: SensorThings, pulled: Pulled, now: Callable[[], datetime]) -> None:
        self.form: str | None = None
        self._platform, self._server, self._client, self._pulled, self._now = platform, server, client, pulled, now
        self._series: dict[str, list[Named]] = {}
        self._stations: dict[str, str] = {}
        self._taken: set[str] = set()

    def run(self, before: sensorthings.Poll) -> None:
        """All that is due: entities, news, the past of what is newly followed, and the comparison with the past."""
        server, now = self._server, self._now()
        self.form = before.form
        with self._platform.database.connection() as connection:
            self._series = sensorthings.series(connection, server.name)
            self._stations = sensorthings.stations(connection, server.name)
            self._taken = sensorthings.taken_names(connection, server.name)
            cursor = sensorthings.cursor(connection, server.name)
        if before.entities_at is None or now - before.entities_at >= timedelta(seconds=server.catalogue_every):
            self._list_entities(is_first=cursor is None)
        if not server.pull:
            return
        self._pull_news(cursor, was_away=before.reached_at is None or now - before.reached_at > _AWAY, failures=before.failures)
        self._fill()
        if before.reconciled_at is None and cursor is None:
            self._note(partial(sensorthings.note_reconciled, before=None))  # what was pulled a moment ago needs no comparison
            return
        is_due = before.reconciled_at is None or now - before.reconciled_at >= timedelta(seconds=server.reconcile.every)
        if is_due and self._are_loaded():
            self.reconcile(before.reconciled_at or now, now)
            self._note(partial(sensorthings.note_reconciled, before=before.reconciled_at))

    def _note(self, what: Callable[[Connection, str, datetime], None]) -> None:
        with self._platform.database.connection() as connection:
            what(connection, self._server.name, self._now())

    # Entities

    def _list_entities(self, *, is_first: bool) -> None:
        collections = self._client.collections()
        for answer in self._client.entities("Things", ("Locations,HistoricalLocations($expand=Locations)", "Locations", None)):
            self._take_things(answer)
        for name, still in _STILL.items():
            if name in collections:
                for answer in self._client.datastreams(name, still):
                    self._take_datastreams(answer, is_filled=is_first)
        if "FeaturesOfInterest" in collections:
            self._take_features()
        self._note(sensorthings.note_entities)

    def _take_things(self, answer: Answer) -> None:
        found = things.entities(answer.document)
        for thing in found:
            identity = str(thing["@iot.id"])
            if identity not in self._stations:
                self._stations[identity] = things.name_station(thing, self._server.name, path=self._server.station_id, given=self._server.stations)
        named = {str(thing["@iot.id"]): self._stations[str(thing["@iot.id"])] for thing in found}
        if named:
            self._land(Head(self._server.name, "entities", answer.url, stations=named), [answer.body])

    def _take_datastreams(self, answer: Answer, *, is_filled: bool) -> None:
        follow, named, followed = self._server.follow, dict[str, list[Named]](), dict[str, list[Component]]()
        for datastream in things.entities(answer.document):
            thing = datastream.get("Thing") or {}
            station = self._stations.get(str(thing.get("@iot.id")))
            if station is None or things.is_ours(datastream):
                continue
            key = things.key_of(datastream["@iot.id"], multi=things.is_multi(datastream))
            known = self._series.get(key)
            taken = self._taken.difference(each.natural_id for each in known or ())
            parts = things.components_of(datastream, station, path=self._server.series_id, taken=taken)
            if known is not None and len(known) == len(parts):
                parts = [Component(old.natural_id, old.station, new.property, new.unit) for old, new in zip(known, parts, strict=True)]
            is_followed = matches(follow.things, thing.get("@iot.id"), thing.get("name"), station) and matches(
                follow.datastreams, datastream["@iot.id"], datastream.get("name"), *(each.series for each in parts)
            )
            was_filled = all(each.is_filled and each.is_followed for each in known) if known else is_filled
            named[key] = [Named(each.series, each.station, each.property, each.unit, is_followed, was_filled) for each in parts]
            self._taken.update(each.series for each in parts)
            if is_followed:
                followed[key] = parts
        self._series |= named
        with self._platform.database.connection() as connection:
            sensorthings.keep_series(connection, self._server.name, named)
        if followed:
            self._land(Head(self._server.name, "entities", answer.url, stations={}, series=followed), [answer.body])

    def _take_features(self) -> None:
        """What is observed, of the first pages: a server may have a feature of its own for each observation."""
        inner = "Observations($top=1;$orderby=id;$select=id;$expand=Datastream($select=id))"
        found = self._client.understood("FeaturesOfInterest", {"$expand": inner, "$orderby": "id", "$top": "100"})
        for _, answer in zip(range(_FEATURE_PAGES), found or (), strict=False):
            if answer.document["value"]:
                series = {key: _components(parts) for key, parts in self._series.items() if parts[0].is_followed}
                self._land(Head(self._server.name, "entities", answer.url, series=series), [answer.body])

    def _learn(self, keys: Iterable[str]) -> None:
        """Ask for Datastreams that appeared since the entities were listed."""
        unknown = [key for key in keys if key and key not in self._series]
        if not unknown:
            return
        if len(unknown) > _ASKED_ALONE:
            self._list_entities(is_first=True)
            return
        for key in unknown:
            kind, _, identity = key.partition(":")
            path, properties = ("MultiDatastreams", "ObservedProperties") if kind == "M" else ("Datastreams", "ObservedProperty")
            try:
                answer = self._client.one(f"{path}({literal(identity)})", {"$expand": f"Thing,Sensor,{properties}"})
                thing = str((answer.document.get("Thing") or {}).get("@iot.id"))
                if thing not in self._stations:
                    self._take_things(self._client.one(f"Things({literal(thing)})", {"$expand": "Locations"}))
            except NotUnderstood:
                log.info("%s: the Datastream %s was deleted since it was observed", self._server.name, key)
                continue
            self._take_datastreams(answer, is_filled=True)

    # News

    def _pull_news(self, cursor: dict[str, Any] | None, *, was_away: bool, failures: int) -> None:
        """Pull what is new; in sets where it may be much, or the last pull did not come to its end, each half as large as those of that pull."""
        if cursor is None:
            newest = self._extreme(None, "desc")
            if newest is None:
                return
            kind = _kind(newest)
        else:
            kind = _kind(cursor["id"]) if "id" in cursor else "time"
        if kind == "time":
            self._take(_Set(cursor, _since(cursor), kind=kind))
            return
        after = cursor["id"] if cursor else None
        for _ in range(_SETS_A_POLL if was_away or failures else 0):
            newest, first = self._extreme(after, "desc"), self._extreme(after, "asc")
            if newest is None or first is None:
                break
            upper = _beyond(first, failures)
            is_settled = _order(upper) < _order(_settled(newest))
            if not is_settled and not (failures and isinstance(newest, int) and upper < newest):
                break
            self._take(_Set(_cursor(after), _between(after, upper), upto=_cursor(upper), kind=kind, is_settled=is_settled))
            after = upper
        self._take(_Set(_cursor(after), _between(after, None), kind=kind))

    def _extreme(self, after: Any, direction: str) -> Any:
        """The lowest or highest id after one; none where there is none."""
        options = {"$orderby": f"id {direction}", "$top": "1"}
        condition = _between(after, None)
        answer = self._client.one("Observations", options | ({"$filter": condition} if condition else {}))
        rows = things.entities(answer.document)
        return rows[0]["@iot.id"] if rows else None

    def _take(self, wanted: _Set) -> None:
        """Land and load the pages of a set, as many small ones together as make a load worth its fixed cost."""
        held, is_begun = list[_Kept](), False
        for key, answer, observed in self._observations(wanted.condition, "resultTime" if wanted.kind == "time" else "id"):
            self._learn(observed.keys if key is None else ())
            if observed.ids:
                _advance(wanted, observed)
                held.append(_Kept(answer.url, answer.body, observed.keys, observed))
            is_end = answer.is_last and (key is None or key == self._last_key)
            if not is_end and key is None and sum(len(each.body) for each in held) < _LANDED_BYTES:
                continue
            if is_end and not held and (is_begun or wanted.upto is not None):
                held.append(_Kept(answer.url, answer.body, (), observed))  # only to tell where the cursor stands
            if held:
                self._land(
                    Head(
                        self._server.name,
                        "observations",
                        held[0].url,
                        after=wanted.after,
                        upto=(wanted.upto or self._reached(wanted)) if is_end else None,
                        gaps=_gaps(wanted.ids) if is_end and not wanted.is_settled else [],
                        series={each: _components(self._series[each]) for kept in held for each in kept.keys if self._is_followed(each)},
                        of=key,
                        interval_time=self._server.interval_time,
                    ),
                    [each.body for each in held],
                    [each.observed for each in held if each.observed is not None],
                )
                held, is_begun = [], True

    def _reached(self, wanted: _Set) -> dict[str, Any] | None:
        """Where the cursor stands after a set that was open to what is new."""
        if wanted.kind == "time":
            now = self._now().isoformat(timespec="microseconds")
            return {name: min(latest, now) for name, latest in wanted.latest.items()} or wanted.after
        if wanted.newest is None:
            return wanted.after
        newest = wanted.newest
        if isinstance(newest, str):
            newest = _earlier(newest, sensorthings.GAP_GRACE)
            if wanted.after is not None and _order(newest) < _order(wanted.after["id"]):
                newest = wanted.after["id"]
        return {"id": newest}

    def _is_followed(self, key: str) -> bool:
        return key in self._series and self._series[key][0].is_followed

    def _restricted(self, condition: str) -> str:
        """The condition, for the few Datastreams that are followed where the server has many others."""
        followed = [key for key in self._series if self._is_followed(key)]
        if self._server.follow.is_all or not 0 < len(followed) <= _FOLLOWED_BY_NAME or any(key.startswith("M:") for key in followed):
            return condition
        chosen = " or ".join(f"Datastream/id eq {literal(key.partition(':')[2])}" for key in followed)
        return f"({condition}) and ({chosen})" if condition else chosen

    def _observations(self, condition: str, order: str) -> Iterator[tuple[str | None, Answer, Observed]]:
        """The pages of observations under a condition, in the form that the server understands: (Datastream asked or none, answer, rows)."""
        has_multi = any(key.startswith("M:") for key in self._series)
        names = [form.name for form in FORMS]
        known = FORMS[names.index(self.form)] if self.form in names else None
        restricted = self._restricted(condition)
        options = {"$orderby": order} | ({"$filter": restricted} if restricted else {})
        for form in (known,) if known else FORMS:
            if "$expand" in form.options and not self._client.trusts_expand:
                continue
            if not form.names_datastream:
                self.form = form.name
                yield from self._one_by_one(form, {"$orderby": order} | ({"$filter": condition} if condition else {}))
                return
            found = self._client.understood("Observations", form.of(has_multi) | options)
            if found is None:
                continue
            first = next(found, None)
            if first is None or not _fits(form, first):
                continue
            if first.document["value"]:
                self.form = form.name
            for answer in chain([first], found):
                yield None, answer, Observed.of(answer.document)
            return
        raise NotUnderstood(f"{self._server.url}/Observations does not answer as it did ({self.form}); how it can be asked is found anew in a while")

    def _one_by_one(self, form: Form, options: Mapping[str, str]) -> Iterator[tuple[str | None, Answer, Observed]]:
        keys = [key for key in self._series if self._is_followed(key)]
        self._last_key = keys[-1] if keys else None
        for key in keys:
            for answer in self._client.pages(_observations_of(key), {**form.options, **options}):
                yield key, answer, Observed.of(answer.document, key)

    _last_key: str | None = None

    def _fill(self) -> None:
        """Pull the past of Datastreams that are followed since the cursor went by."""
        waiting = [key for key, parts in self._series.items() if self._is_followed(key) and not parts[0].is_filled]
        for key in waiting[:_ASKED_ALONE]:
            for answer in self._client.observations(_observations_of(key), {"$orderby": "id"}):
                if answer.document["value"]:
                    head = Head(
                        self._server.name,
                        "observations",
                        answer.url,
                        series={key: _components(self._series[key])},
                        of=key,
                        interval_time=self._server.interval_time,
                    )
                    self._land(head, [answer.body])
            with self._platform.database.connection() as connection:
                sensorthings.note_filled(connection, self._server.name, key)

    # The past

    def _are_loaded(self) -> bool:
        """Whether all pages of the server are loaded: one that came to be loaded after a comparison could bring back what was deleted before it."""
        with self._platform.database.connection() as connection:
            waiting = sensorthings.waiting(connection, self._server.name)
        for arrival in waiting:
            self._pulled.add(load_file(self._platform, arrival))
        with self._platform.database.connection() as connection:
            left = sensorthings.waiting(connection, self._server.name)
        if left:
            log.warning("%s is not compared with what is stored of it until its pages %s are loaded", self._server.name, left)
        return not left

    def reconcile(self, since: datetime, now: datetime) -> None:
        """Compare the last days before the last comparison, and what came since, with the server; land what differs, and what is there no more."""
        start = min(since, now) - timedelta(seconds=self._server.reconcile.window)
        while start < now:
            end = min(start + _DAY, now)
            self._compare(start, end)
            start = end

    def _compare(self, start: datetime, end: datetime) -> None:
        series = {key: _components(parts) for key, parts in self._series.items() if self._is_followed(key)}
        if not series:
            return
        head = Head(self._server.name, "window", "", series=series, interval_time=self._server.interval_time)
        names = sorted({each.series for parts in series.values() for each in parts})
        theirs, answers, longest = self._window(head, names, start, end)
        margin = timedelta(microseconds=longest)
        if start + margin >= end - margin:
            return
        begin, until = _micros(start + margin), _micros(end - margin)
        theirs = theirs.within(begin, until)
        with self._platform.database.connection() as connection:
            ours = sensorthings.stored(connection, self._server.prefix, names, start + margin, end - margin)
            basis = sensorthings.last_arrival(connection, self._server.name)
        changed, missing = _difference(theirs, ours, begin, until)
        if len(missing) and len(answers) > 1:
            # rows may slip between pages that are counted off while others are deleted: what is missing must be missing twice
            again = self._window(head, names, start, end)[0].within(begin, until)
            missing = missing[np.isin(ours.code(begin, until)[missing], again.code(begin, until), invert=True)]
        if len(changed) or len(missing):
            with self._platform.database.connection() as connection:
                said, ended = sensorthings.taken_back(connection, self._server.prefix, names, start + margin, end - margin)
            changed, missing = _news(theirs, changed, ours, said), _news(ours, missing, ours, ended)
        if not len(changed) and not len(missing):
            return
        used = sorted(set(theirs.answer[changed].tolist()))
        of = {key for number in used for key in answers[number].keys}
        self._land(
            Head(
                self._server.name,
                "window",
                answers[0].url if answers else self._server.url,
                window=[(start + margin).isoformat(), (end - margin).isoformat()],
                series={key: parts for key, parts in series.items() if key in of or any(names[at] in _of(parts) for at in ours.series[missing])},
                taken=_by_series(names, theirs.series[changed], theirs.micros[changed]),
                withdrawn=_by_series(names, ours.series[missing], ours.micros[missing]),
                interval_time=self._server.interval_time,
                basis=basis,
            ),
            [answers[number].body for number in used],
        )

    def _window(self, head: Head, names: Sequence[str], start: datetime, end: datetime) -> tuple[_Theirs, list[_Kept], int]:
        """All that the server holds within a window, its answers, and the longest interval (microseconds) among its rows."""
        condition = f"phenomenonTime ge {_iso(start)} and phenomenonTime le {_iso(end)}"
        facts = FileFacts("", "", self._now(), self._platform.settings.first_day, self._platform.settings.future_tolerance)
        numbers, parts, answers, longest = {name: number for number, name in enumerate(names)}, list[_Theirs](), list[_Kept](), 0
        for key, answer, observed in self._observations(condition, "id"):
            batch = read_rows(
                Head(head.server, head.what, "", series=head.series, of=key, interval_time=head.interval_time), observed, facts, 0
            ).batch
            longest = max(longest, read_times(observed, head.interval_time).longest)
            series: Any = batch.column("series")
            own = np.array([numbers[name] for name in series.dictionary.to_pylist()], dtype=np.int64)
            parts.append(
                _Theirs(
                    own[series.indices.to_numpy()] if len(own) else np.empty(0, dtype=np.int64),
                    batch.column("time").cast(pa.int64()).to_numpy(),
                    batch.column("value").to_numpy(),
                    np.array(batch.column("qualifier").to_pylist(), dtype=object),
                    np.full(batch.num_rows, len(answers), dtype=np.int64),
                )
            )
            answers.append(_Kept(answer.url, answer.body, observed.keys))
        return _Theirs.joined(parts), answers, longest

    # Landing

    def _land(self, head: Head, bodies: Sequence[bytes], read: Sequence[Observed] | None = None) -> None:
        """Land answers and load them; those that were `read` are not read again."""
        file = land_bytes(
            self._platform, head.with_bodies(bodies), kind="data", name=f"{self._server.name}-{head.what}.json", prefix=self._server.prefix
        )
        pages.note(self._platform, file, head)
        self._pulled.add(load_file(self._platform, file.arrival, Page(read)))


@dataclass(frozen=True)
class _Kept:
    """What is kept of an answer until it lands, or while its window is compared."""

    url: str
    body: bytes = field(repr=False)
    keys: Sequence[str]
    observed: Observed | None = None


@dataclass(frozen=True)
class _Theirs:
    """What a server holds within a window, in the order of its answers; `answer` is the number of the answer that a row stands in."""

    series: Int64Array
    micros: Int64Array
    value: NDArray[np.float64]
    qualifier: NDArray[Any]
    answer: Int64Array

    @classmethod
    def joined(cls, parts: Sequence[_Theirs]) -> _Theirs:
        """The rows of several answers, sorted by series and time; of equal ones the last."""
        kinds = {"series": np.int64, "micros": np.int64, "value": np.float64, "qualifier": object, "answer": np.int64}
        columns = [np.concatenate([np.empty(0, dtype=kind), *(getattr(part, name) for part in parts)]) for name, kind in kinds.items()]
        order = np.lexsort((columns[1], columns[0]))
        columns = [column[order] for column in columns]
        is_last = np.append((columns[0][1:] != columns[0][:-1]) | (columns[1][1:] != columns[1][:-1]), True)[: len(order)]
        return cls(*(column[is_last] for column in columns))

    def within(self, begin: int, until: int) -> _Theirs:
        """The rows of a half-open window."""
        keep = (self.micros >= begin) & (self.micros < until)
        return _Theirs(self.series[keep], self.micros[keep], self.value[keep], self.qualifier[keep], self.answer[keep])

    def code(self, begin: int, until: int) -> Int64Array:
        """One number for series and time."""
        return sensorthings.code_of(self.series, self.micros, begin, until)


def _difference(theirs: _Theirs, ours: sensorthings.Stored, begin: int, until: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of theirs that are not stored or differ, and rows of ours that a page of theirs brought and they do not hold any more."""
    code, stored = theirs.code(begin, until), ours.code(begin, until)
    at = np.minimum(np.searchsorted(stored, code), max(len(stored) - 1, 0))
    is_stored = stored[at] == code if len(stored) else np.zeros(len(code), dtype=np.bool_)
    is_changed = ~is_stored
    both = np.flatnonzero(is_stored)
    is_same = (theirs.value[both] == ours.value[at[both]]) | (np.isnan(theirs.value[both]) & np.isnan(ours.value[at[both]]))
    is_same &= np.array([one == other for one, other in zip(theirs.qualifier[both], ours.qualifier[at[both]], strict=True)], dtype=np.bool_)
    is_changed[both] = ~is_same & ours.is_theirs[at[both]]
    return np.flatnonzero(is_changed), np.flatnonzero(ours.is_theirs & np.isin(stored, code, invert=True))


def _news(of: _Theirs | sensorthings.Stored, rows: NDArray[np.intp], ours: sensorthings.Stored, taken_back: Mapping[Word, int]) -> NDArray[np.intp]:
    """The rows that were not taken back by an operator, or of whose time something else was stored since."""
    if not taken_back:
        return rows
    stored = dict(zip(zip(ours.series.tolist(), ours.micros.tolist(), strict=True), ours.change.tolist(), strict=True))
    times = list(zip(of.series[rows].tolist(), of.micros[rows].tolist(), strict=True))
    words = [(*time, repr(value), word) for time, value, word in zip(times, of.value[rows].tolist(), of.qualifier[rows].tolist(), strict=True)]
    return rows[[stored.get(time, 0) > taken_back.get(word, -1) for time, word in zip(times, words, strict=True)]]


def _by_series(names: Sequence[str], series: Int64Array, micros: Int64Array) -> dict[str, list[int]]:
    return {names[number]: micros[series == number].tolist() for number in np.unique(series).tolist()}


def _of(components: Sequence[Component]) -> set[str]:
    return {each.series for each in components}


def _components(named: Sequence[Named]) -> list[Component]:
    return [Component(each.natural_id, each.station, each.property, each.unit) for each in named]


def _fits(form: Form, answer: Answer) -> bool:
    """Whether an answer came in the form that was asked for, with the ids that the cursor needs."""
    value = answer.document["value"]
    if not value or not form.names_datastream:
        return True
    if "$resultFormat" in form.options:
        return all("dataArray" in group and {"id", "@iot.id"} & set(group.get("components") or ()) for group in value)
    return all("@iot.id" in row and ("Datastream" in row or "MultiDatastream" in row) for row in value)


def _observations_of(key: str) -> str:
    kind, _, identity = key.partition(":")
    return f"{'MultiDatastreams' if kind == 'M' else 'Datastreams'}({literal(identity)})/Observations"


def _kind(identity: Any) -> str:
    """'id' where ids grow with time (numbers, and UUIDs of version 7), else 'time'."""
    if isinstance(identity, int):
        return "id"
    try:
        return "id" if UUID(str(identity)).version == 7 else "time"
    except ValueError:
        return "time"


def _order(identity: Any) -> int:
    return identity if isinstance(identity, int) else UUID(str(identity)).int


def _at(milliseconds: int) -> str:
    """The first UUID of version 7 of a millisecond."""
    return str(UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62)))


def _beyond(identity: Any, failures: int) -> Any:
    """The end of a set that begins with an id; nearer after each failure.

    >>> _beyond(7, 0), _beyond(7, 3), _beyond(7, 30)
    (100007, 12507, 107)
    """
    if isinstance(identity, int):
        return identity + max(_IDS_A_SET >> failures, _FEWEST_IDS_A_SET)
    lasts = max(_DAY / 2**failures, _SHORTEST_SET)
    return _at((UUID(identity).int >> 80) + int(lasts.total_seconds() * 1000))


def _settled(newest: Any) -> Any:
    """The id below which nothing is still to come, given the newest: transactions under way are not older."""
    return newest - _IDS_UNDER_WAY if isinstance(newest, int) else _earlier(newest, sensorthings.GAP_GRACE)


def _earlier(identity: str, by: timedelta) -> str:
    return _at(max((UUID(identity).int >> 80) - int(by.total_seconds() * 1000), 0))


def _cursor(identity: Any) -> dict[str, Any] | None:
    return None if identity is None else {"id": identity}


def _between(after: Any, upto: Any) -> str:
    parts = [f"id {word} {literal(str(value))}" for word, value in (("gt", after), ("le", upto)) if value is not None]
    return " and ".join(parts)


def _since(cursor: Mapping[str, str] | None) -> str:
    """What may have come since a cursor of times: late by result time, or new by phenomenon time."""
    names = {"result": "resultTime", "phenomenon": "phenomenonTime"}
    parts = [f"{names[each]} ge {_iso(datetime.fromisoformat(at) - _OVERLAP)}" for each, at in sorted((cursor or {}).items())]
    return " or ".join(parts)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _micros(at: datetime) -> int:
    return int(np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us").astype(np.int64))


def _advance(wanted: _Set, observed: Observed) -> None:
    """Note how far the rows of a page go."""
    if wanted.kind == "id":
        if isinstance(observed.ids[0], int):
            ids, before = np.sort(np.array(observed.ids, dtype=np.int64)), [] if wanted.after is None else [wanted.after["id"]]
            latest = np.unique(np.concatenate((wanted.ids, np.array(before, dtype=np.int64), ids[-_LATEST_ROWS:])))
            wanted.ids = latest[latest >= max(before, default=latest[0])][-_LATEST_ROWS:]
            highest = int(ids[-1])
        else:
            highest = max(observed.ids, key=str.lower)
        wanted.newest = highest if wanted.newest is None else max(wanted.newest, highest, key=_order)
        return
    for name, written in (("result", observed.result_times), ("phenomenon", observed.times)):
        instants = read_times(Observed(code=observed.code, times=written, result_times=written), "start")
        if instants.is_known.any():
            latest = (
                np.datetime64(int(instants.micros[instants.is_known].max()), "us")
                .astype(datetime)
                .replace(tzinfo=UTC)
                .isoformat(timespec="microseconds")
            )
            wanted.latest[name] = max(wanted.latest.get(name, latest), latest)


def _gaps(ids: Int64Array) -> list[int]:
    """Ids that are missing between others; the first of each stretch.

    >>> _gaps(np.array([1, 2, 5, 7]))
    [3, 6]
    """
    return [int(each) + 1 for each in ids[:-1][np.diff(ids) > 1]]
