"""What every proof of delivery does: numbers are sent at a steady rate while processes are killed in turn, and each is stored exactly once.

Add here what holds whatever is sent, and however. Which servers and brokers there are, and how a number is sent, belongs in `proof` and
`pulled`; what a platform is, in `platforms`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from water_pipelines_tests.delivery.platforms import Killable

PATIENCE_S = 900.0
"""How long anything may take."""
_START = datetime(2026, 3, 1, tzinfo=UTC)

_STORED: LiteralString = """
select split_part(natural_id, '/', 1) as station, count(*), sum(value)::bigint, count(distinct value)
from core.observation join core.series using (series_id)
where value >= 0 group by 1 order by 1
"""
_UNDER_WAY: LiteralString = "select count(*) from raw.source_file where landed_at is null or status in ('pending', 'running')"
_LOADS: LiteralString = "select count(distinct load_id)::int, coalesce(sum(unchanged), 0)::int from raw.load_day"
_MUST_BE_NONE: Mapping[str, LiteralString] = {
    "files that could not be loaded": "select count(*) from raw.source_file where status <> 'succeeded'",
    "values that changed": "select count(*) from history.observation",
}


@dataclass
class Outcome:
    """What a proof found: observations that were sent in so many seconds, and how often each was killed; no problems is a success."""

    sent: int = 0
    seconds: float = 0.0
    batches: int = 0
    unchanged: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Stream(threading.Thread):
    """Sends numbers at a steady rate, for some seconds and until all is killed; each is an observation, whose value is the number.

    Parameters
    ----------
    send : sends the numbers of a range, and comes back when whoever gets them has said that it has them.
    rate : numbers a second.
    at_once : how many are sent together.
    """

    def __init__(self, send: Callable[[range], None], rate: float, *, at_once: int = 1) -> None:
        super().__init__(daemon=True)
        self._send, self._rate, self._at_once = send, rate, at_once
        self.until = threading.Event()
        self.sent = 0
        self.failed: BaseException | None = None

    def run(self) -> None:
        began = time.monotonic()
        try:
            while not self.until.is_set():
                while self.sent + self._at_once <= (time.monotonic() - began) * self._rate:
                    self._send(range(self.sent, self.sent + self._at_once))
                    self.sent += self._at_once
                time.sleep(0.005)
        except BaseException as error:  # noqa: BLE001  # told by whoever waits for the end
            self.failed = error


def time_of(number: int, stations: int) -> str:
    """When the observation of a number was made, where each station makes one a second."""
    return (_START + timedelta(seconds=number // stations)).isoformat()


def prove(
    platform: Killable,
    streams: Mapping[str, Stream],
    kills: Mapping[str, Callable[[], None]],
    outcome: Outcome,
    *,
    seed: int,
    seconds: float,
    rounds: int,
    say: Callable[[str], None],
    must_be_none: Mapping[str, LiteralString] | None = None,
) -> None:
    """Let streams run for some seconds while everything is killed in turn, and wait until what was sent is stored.

    Parameters
    ----------
    streams : by the station as which the platform stores them.
    kills : in an order and at times that the seed gives; how often each is the number of rounds.
    outcome : is filled.
    must_be_none : what else is counted at the end, and may not be there.
    """
    rng, began = random.Random(seed), time.monotonic()
    for stream in streams.values():
        stream.start()
    turns = [name for _ in range(rounds) for name in rng.sample(sorted(kills), len(kills))]
    for number, name in enumerate(turns):
        time.sleep(max(0.0, began + seconds * (number + rng.uniform(0.2, 0.8)) / len(turns) - time.monotonic()))
        at = time.monotonic() - began
        kills[name]()
        outcome.kills[name] = outcome.kills.get(name, 0) + 1
        say(f"{at:5.1f} s: killed {name}; there again after {time.monotonic() - began - at:.1f} s")
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    for stream in streams.values():
        stream.until.set()
    for stream in streams.values():
        stream.join(PATIENCE_S)
        if stream.is_alive() or stream.failed:
            outcome.problems.append(f"a stream did not end: {stream.failed!r}")
    outcome.seconds = time.monotonic() - began
    outcome.sent = sum(stream.sent for stream in streams.values())
    say(f"{outcome.seconds:5.1f} s: {outcome.sent} sent, {outcome.sent / outcome.seconds:.0f} a second")
    wanted = [(name, stream.sent, stream.sent * (stream.sent - 1) // 2, stream.sent) for name, stream in sorted(streams.items())]
    found = _awaited(platform, wanted)
    say(f"{time.monotonic() - began:5.1f} s: {sum(each[1] for each in found or [])} stored")
    if found != wanted:
        outcome.problems.append(f"stored (station, count, sum, distinct) {found}, sent {wanted}\n{platform.log()}")
    for what, query in {**_MUST_BE_NONE, **(must_be_none or {})}.items():
        if (number_found := platform.rows(query)) != [(0,)]:
            outcome.problems.append(f"{number_found} {what}")
    ((outcome.batches, outcome.unchanged),) = platform.rows(_LOADS) or [(0, 0)]


def _awaited(platform: Killable, wanted: object) -> list[tuple[Any, ...]] | None:
    """What is stored once it is what was wanted and nothing is being loaded (what is delivered once more may come after), or time is over."""
    ends_at = time.monotonic() + PATIENCE_S
    while ((found := platform.rows(_STORED)) != wanted or platform.rows(_UNDER_WAY) != [(0,)]) and time.monotonic() < ends_at:
        time.sleep(0.5)
    return found
