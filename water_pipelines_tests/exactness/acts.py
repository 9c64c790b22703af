"""Random sequences of what happens to a platform: files in any order, corrections, repetitions, withdrawals, mappings, rules, ticks.

Everything follows from a seed. Add an act by a method of `_Sequence` and its weight in `_WEIGHTS`. Files that are complete, and operators who
take them out, follow from a stream of their own, so that a sequence without them stays what it was. Keep out: how acts are carried out.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 60
WITHDRAWALS = b"#withdrawals\n"
"""How a file begins that withdraws values; see `parser.py`."""

_SERIES = (("GAUGE", "water_level", "m"), ("WEIR", "discharge", "m3/s"), ("WELL", "water_level", "m"), ("PUMP", "flow", "m3/h"))
_QUARTER = timedelta(minutes=15)

Row = tuple[datetime, str, str, str, float | None]


@dataclass(frozen=True)
class File:
    """An object of the inbox, with its sidecar mapping if it has one."""

    key: str
    data: bytes
    mapping: str = ""

    def __str__(self) -> str:
        text = self.data.decode(errors="replace")
        shown = text if len(text) < 400 else f"{text[:200]} ... {text[-100:]}"
        return f"{self.key}{f' under {self.mapping!r}' if self.mapping else ''}: {shown!r}"


@dataclass(frozen=True)
class Tick:
    """The clock reaches a time."""

    at: datetime


@dataclass(frozen=True)
class TakenOut:
    """An operator withdraws a file that was loaded in an earlier round, named by its key in the inbox."""

    key: str


@dataclass
class Round:
    """What happens between two quiet points: acts that are carried out at once, and the reach of the rules while they are."""

    acts: list[File | Tick | TakenOut] = field(default_factory=list)
    gaps_h: tuple[int, int] = (3, 3)
    flats_h: tuple[int, int] = (20, 20)


_WEIGHTS = {
    "late": 8,
    "correction": 6,
    "repetition": 2,
    "withdrawal": 3,
    "remapped": 2,
    "folder": 1,
    "rules": 1,
    "stations": 1,
    "tick": 2,
    "broken": 1,
}


def sequence(seed: int, rounds: int = 3, acts: int = 5, complete: int = 2) -> list[Round]:
    """The sequence of a seed, with up to `complete` more acts a round that have to do with files that are complete."""
    return _Sequence(random.Random(seed), random.Random(f"complete {seed}")).rounds(rounds, acts, complete)


class _Sequence:
    def __init__(self, rng: random.Random, of_complete: random.Random) -> None:
        self._rng, self._of_complete = rng, of_complete
        self._files: list[tuple[File, list[Row]]] = []
        self._complete: list[tuple[File, list[Row]]] = []
        self._alone: list[str] = []
        self._numbers = itertools.count(1)
        self._loaded: list[str] = []
        self._count = 0
        self._gap_h, self._flat_h = 3, 20
        self._clock = START + timedelta(days=rng.randrange(10, 50))

    def rounds(self, rounds: int, acts: int, complete: int) -> list[Round]:
        made = []
        for number in range(rounds):
            this = Round(gaps_h=(self._gap_h, self._gap_h), flats_h=(self._flat_h, self._flat_h))
            if number == 0:
                this.acts += [Tick(self._clock), self.dense(), self.late()]
            names = self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=self._rng.randrange(2, acts + 1))
            if names.count("rules") > 1:  # the reach of a round then has more than two sides
                names = [name for name in names if name != "rules"] + ["rules"]
            this.acts += [act for name in names if (act := getattr(self, name)()) is not None]
            for _ in range(self._of_complete.randrange(complete + 1)):
                this.acts.insert(self._of_complete.randrange(1, len(this.acts) + 1), self.taken_out() or self.complete())
            self._loaded = list(self._alone)
            this.gaps_h = (min(this.gaps_h[0], self._gap_h), max(this.gaps_h[0], self._gap_h))
            this.flats_h = (min(this.flats_h[0], self._flat_h), max(this.flats_h[0], self._flat_h))
            made.append(this)
        return made

    def dense(self) -> File:
        """Weeks of hourly values of one series, enough for bands to be learned in some sequences."""
        station, observed, unit = self._rng.choice(_SERIES)
        first = START + timedelta(days=self._rng.randrange(0, 20))
        count = 24 * self._rng.choice((3, 10, 30))
        return self._file([(first + n * timedelta(hours=1), station, observed, unit, self._value(n)) for n in range(count)])

    def late(self) -> File:
        """A few stretches anywhere within the days, some of single values, in no order."""
        rows: list[Row] = []
        for _ in range(self._rng.randrange(1, 4)):
            station, observed, unit = self._rng.choice(_SERIES)
            first = START + self._rng.randrange(DAYS * 96) * _QUARTER
            step = self._rng.choice((1, 2, 4)) * _QUARTER
            rows += [(first + n * step, station, observed, unit, self._value(n)) for n in range(self._rng.choice((1, 1, 5, 60)))]
        self._rng.shuffle(rows)
        return self._file(rows)

    def correction(self) -> File | None:
        """Some rows of an earlier file with other values."""
        rows = self._some_rows()
        return self._file([(*row[:4], self._value(n)) for n, row in enumerate(rows)]) if rows else None

    def repetition(self) -> File | None:
        """An earlier file again, under another name or the same; some with a row given twice."""
        if not self._files:
            return None
        file, rows = self._rng.choice(self._files)
        if rows and self._rng.random() < 0.5:
            return self._file([*rows, rows[0], (*rows[0][:4], self._value(0))])
        return File(f"inbox/again_{self._next()}.csv", file.data, file.mapping)

    def withdrawal(self) -> File | None:
        """Some values of earlier files, and one that never was, are withdrawn by their source."""
        rows = self._some_rows()
        if not rows:
            return None
        lines = "".join(f"{_iso(time)},{station},{observed}\n" for time, station, observed, _, _ in rows)
        return File(f"inbox/withdrawn_{self._next()}.txt", WITHDRAWALS + f"{lines}{_iso(START)},GHOST,water_level\n".encode())

    def complete(self) -> File:
        """A stretch of an earlier file without some rows and with others changed, which is complete within its days or months, or between its ends;
        or an earlier file as it was, now declared complete.
        """
        rng, mapping = self._of_complete, f"complete: {self._of_complete.choice(('true', 'day', 'day', 'month'))}\n"
        file, rows = rng.choice([each for each in (*self._files, *self._complete) if each[1]])
        number = next(self._numbers)
        key = f"inbox/complete_{number}.csv"
        if file.key not in self._alone and rng.random() < 0.2:
            given = File(key, file.data, mapping)
        else:
            first, share = rng.randrange(len(rows)), rng.choice((0.3, 0.9))
            kept = [row for row in rows[first : first + rng.choice((2, 30, 200))] if rng.random() < share] or rows[first : first + 1]
            rows = [row if rng.random() < 0.8 else (*row[:4], rng.choice((2.5, 3.5))) for row in kept]
            rows[0] = (*rows[0][:4], round(3 + number / 1000, 4))  # no other file has these bytes
            given = File(key, _table(rows), mapping)
            self._alone.append(key)
        self._complete.append((given, rows))
        return given

    def taken_out(self) -> TakenOut | None:
        """A complete file of an earlier round is withdrawn, in some cases."""
        if not self._loaded or self._of_complete.random() < 0.5:
            return None
        key = self._loaded.pop(self._of_complete.randrange(len(self._loaded)))
        self._alone.remove(key)
        self._complete = [each for each in self._complete if each[0].key != key]
        return TakenOut(key)

    def remapped(self) -> File | None:
        """The bytes of an earlier file under another mapping: it supersedes the earlier load."""
        if not self._files:
            return None
        file, _ = self._rng.choice(self._files)
        return File(
            f"inbox/remapped_{self._next()}.csv", file.data, self._rng.choice(("property: stage\n", "station: OTHER\n", "property: inflow\n"))
        )

    def folder(self) -> File:
        """A mapping for a folder, which files that are dropped there later have."""
        return File("inbox/mapped/mapping.yaml", f"station: FOLDER_{self._rng.randrange(3)}\n".encode())

    def rules(self) -> File:
        """Other rules, with another reach."""
        gap, flat = self._rng.choice((1, 4, 6)), self._rng.choice((10, 22, 30))
        self._gap_h, self._flat_h = max(3, gap), max(20, flat)
        flat_line, spike = f"{{suspect: {flat}h}}", f"{{suspect: {self._rng.choice((1, 2))}}}"
        text = f"any: {{gap: {{limit: {gap}h}}}}\nproperties:\n  water_level: {{unit: m, flat_line: {flat_line}, spike: {spike}}}\n"
        return File("inbox/rules.yaml", f"{text}# {self._next()}\n".encode())

    def stations(self) -> File:
        """Stations are described, or described otherwise."""
        rows = "".join(
            f"{name},{name.title()} {self._rng.randrange(100)},46.{self._rng.randrange(10)},11.1,{self._rng.choice(('north', 'south'))}\n"
            for name, _, _ in self._rng.sample(_SERIES, 2)
        )
        return File(f"inbox/stations_{self._next()}.csv", f"station,name,latitude,longitude,network\n{rows}".encode())

    def tick(self) -> Tick:
        """The clock goes on, or an old half-hour comes late."""
        if self._rng.random() < 0.2:
            return Tick(self._clock - timedelta(days=1))
        self._clock += timedelta(minutes=30 * self._rng.randrange(1, 200))
        return Tick(self._clock)

    def broken(self) -> File:
        """A file that is refused."""
        return File(f"inbox/broken_{self._next()}.bin", bytes(self._rng.randrange(256) for _ in range(300)))

    def _file(self, rows: Sequence[Row]) -> File:
        folder = "mapped/" if self._rng.random() < 0.15 else ""
        file = File(f"inbox/{folder}file_{self._next()}.csv", _table(rows))
        self._files.append((file, list(rows)))
        return file

    def _some_rows(self) -> list[Row]:
        written = [rows for _, rows in self._files if rows]
        if not written:
            return []
        rows = self._rng.choice(written)
        first = self._rng.randrange(len(rows))
        return rows[first : first + self._rng.choice((1, 2, 30))]

    def _value(self, n: int) -> float | None:
        chance = self._rng.random()
        if chance < 0.02:
            return None
        if chance < 0.05:
            return 500.0
        return round(2 + 0.01 * (n % 40) + self._rng.choice((0.0, 0.0, 0.005)) + self._rng.randrange(3) / 1000, 4)

    def _next(self) -> int:
        self._count += 1
        return self._count


def _table(rows: Sequence[Row]) -> bytes:
    lines = "".join(f"{_iso(time)},{station},{observed},{unit},{'' if value is None else value}\n" for time, station, observed, unit, value in rows)
    return f"time,station,property,unit,value\n{lines}".encode()


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
