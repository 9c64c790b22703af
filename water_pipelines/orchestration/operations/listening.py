"""Listening: what brokers send lands in batches, and a message is settled only when the batch that holds it is durable.

A kill anywhere loses nothing: what was not settled is delivered again, and what landed already says the same once more. Add what holds for
every source; what one source needs is its client's. Keep out: loading, which runs as for any landed file.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

from water_pipelines.clients.messages import Delivery, Source
from water_pipelines.clients.object_store import StoreUnavailable
from water_pipelines.orchestration.operations.landing import land_received
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.contract import FileFacts, Rows
from water_pipelines.parsers.mapping import InvalidMapping, Mapping
from water_pipelines.parsers.messages import Message, Messages, written
from water_pipelines.storage import source_files
from water_pipelines.storage.database import NOT_ANSWERING

_LARGEST_BYTES = 16 << 20
_LOOK_S = 0.2
_STALLED_AT = 20
"""Brokers that let only so many messages be unsettled (Mosquitto: 20 by default) fall silent until we settle."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0

_PASSING: tuple[type[Exception], ...] = (*NOT_ANSWERING, StoreUnavailable)

log = logging.getLogger(__name__)


@dataclass
class Heard:
    """What a listener did so far."""

    messages: int = 0
    refused: int = 0
    batches: int = 0


def listen(platform: Platform, source: Source, stop: Event, *, heard: Heard | None = None) -> Heard:
    """Land what a source sends, until `stop` is set; then what was gathered and did not land is left to be delivered again."""
    heard = heard or Heard()
    source.open()
    try:
        while not stop.is_set():
            batch = _gathered(platform, source, stop)
            if batch and not stop.is_set():
                _take_in(platform, source, batch, stop, heard)
    finally:
        source.close()
    return heard


def _gathered(platform: Platform, source: Source, stop: Event) -> list[Delivery]:
    """The messages of the next batch: those of a few seconds, fewer where they are many, large, or held back by the broker."""
    settings = platform.settings
    batch = source.take(_LOOK_S)
    ends_at = time.monotonic() + settings.listen_batch_seconds
    while batch and not stop.is_set() and len(batch) < settings.listen_batch_messages and sum(len(each.body) for each in batch) < _LARGEST_BYTES:
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            break
        more = source.take(min(_LOOK_S, left_s))
        if not more and len(batch) >= _STALLED_AT:
            break
        batch += more
    return batch


def _take_in(platform: Platform, source: Source, batch: Sequence[Delivery], stop: Event, heard: Heard) -> None:
    """Land a batch, those messages apart of which nothing can be used, and settle it."""
    arrived_at = datetime.now(UTC)
    parted: list[tuple[list[Delivery], list[tuple[Delivery, str]]]] = []

    def land() -> None:
        if not parted:
            parted.append(_parted(platform, source.name, batch, arrived_at))
        good, refused = parted[0]
        for deliveries, ending in ((good, ""), ([each for each, _ in refused], "-refused")):
            if deliveries:
                name = f"{arrived_at:%Y%m%dT%H%M%S.%fZ}{ending}.ndjson"
                land_received(platform, _bytes_of(deliveries), name=name, prefix=source.name, arrived_at=arrived_at)

    if not _persisting(stop, land):
        return
    good, refused = parted[0]
    source.accept(good)
    source.reject(refused)
    for each, reason in refused:
        log.warning("a message to %s was refused: %s", each.address, reason)
    heard.messages += len(batch)
    heard.refused += len(refused)
    heard.batches += 1
    log.info("%s messages of %s landed, %s of them refused", len(batch), source.name, len(refused))


def _persisting(stop: Event, act: Callable[[], object]) -> bool:
    """Do something for as long as the database or the store do not answer; whether it was done before `stop` was set."""
    pause_s = _FIRST_PAUSE_S
    while not stop.is_set():
        try:
            act()
            return True
        except _PASSING as error:
            log.warning("what was received waits to be landed: %s", str(error).strip().partition("\n")[0])
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return False


def _parted(platform: Platform, prefix: str, batch: Sequence[Delivery], arrived_at: datetime) -> tuple[list[Delivery], list[tuple[Delivery, str]]]:
    """The messages of which anything can be used, and the others with the reason: judged by the parser that will load them.

    A mapping that cannot be used refuses no message: the batch as a whole waits for a better one.
    """
    known = source_files.mapping_of(platform.database, prefix)
    try:
        mapping = Mapping.from_yaml(known[1] if known else "")
    except InvalidMapping:
        return list(batch), []
    facts = FileFacts("", prefix, arrived_at, platform.settings.first_day, platform.settings.future_tolerance)
    reasons: dict[int, str] = {}
    used: set[int] = set()
    for event in Messages().parse(io.BytesIO(_bytes_of(batch)), mapping, facts):
        if isinstance(event, Rows):
            used |= set(event.batch.column("source_row").to_numpy().tolist())
            reasons |= {each.source_row: each.reason for each in reversed(event.rejected)}
    refused = {row: reason for row, reason in reasons.items() if row not in used}
    numbered = list(enumerate(batch, start=2))
    return [each for row, each in numbered if row not in refused], [(each, refused[row]) for row, each in numbered if row in refused]


def _bytes_of(deliveries: Sequence[Delivery]) -> bytes:
    return written(Message(each.address, each.body, each.received_at, each.properties) for each in deliveries)
