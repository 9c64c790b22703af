"""Lineage: a thousand served values, taken at random, are derived again from the landed bytes that their lineage names."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

from water_pipelines.orchestration.operations import acts
from water_pipelines.orchestration.operations.rebuild import rebuild
from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.facts import ForecastFact
from water_pipelines.storage.served import lineage, series
from water_pipelines.storage.served.reading import Reading, reading
from water_pipelines_tests.orchestration.histories import DAY, HOUR, START, demand, load, rows, settled, tick_at

DAYS = 15 * 7 + 0.5
EACH = 200
_TIMES = {
    "observation": "select s.natural_id, o.time from core.observation as o join core.series as s using (series_id)",
    "flag": "select s.natural_id, f.time from core.observation_flag as f join core.series as s using (series_id)"
    " union all (select s.natural_id, o.time from core.observation as o join core.series as s using (series_id) limit 1000)",
    "metric": "select s.natural_id, m.start_at from mart.metric_30min as m join core.series as s using (series_id) where m.received > 0",
    "anomaly": "select s.natural_id, a.start_at from core.anomaly as a join core.series as s using (series_id)",
    "forecast": "select distinct s.natural_id, f.target_at from core.forecast as f join core.series as s using (series_id)",
}


def arranged(platform: Platform) -> None:
    """Two districts of fifteen weeks with corrections, a withdrawn file and a fault, settled on a Monday noon."""
    for seed, station in enumerate(("NORTH", "SOUTH")):
        time, value = demand(DAYS, seed=seed)
        value[-200:-190] = 900.0
        value[-60:-20] = value[-60]
        load(platform, f"{station}.csv", station, time, value)
    load(platform, "corrected.csv", "NORTH", START + 90 * DAY + np.arange(40) * HOUR, np.linspace(40, 60, 40))
    load(platform, "wrong.csv", "SOUTH", START + 95 * DAY + np.arange(40) * HOUR, np.full(40, 5.0))
    (arrival,) = rows(platform, "select arrival from raw.source_file where name = 'wrong.csv'")[0]
    acts.do(platform, acts.withdrawal(platform, [str(arrival)], reason="wrong gauge", at=datetime(2026, 4, 20, tzinfo=UTC)))
    tick_at(platform, f"{(START + round(DAYS * 24) * HOUR).astype('datetime64[s]')}")
    settled(platform)


def asked(platform: Platform, rng: np.random.Generator) -> Iterator[tuple[str, str, datetime]]:
    """(kind, series, time) of values that are served, the same number of each kind."""
    for kind, query in _TIMES.items():
        found = sorted(rows(platform, query), key=str)
        assert found, kind
        for place in rng.integers(0, len(found), EACH):
            name, time = found[place]
            assert isinstance(time, datetime)
            yield rng.choice(sorted(lineage.METRICS)) if kind == "metric" else kind, str(name), time


def explained(state: Reading, name: str, time: datetime, of: str) -> dict[str, Any]:
    return lineage.explain(state, series.find(state, name), time, of)


def test_a_thousand_served_values_follow_from_the_landed_bytes(platform: Platform, rebuilt: Platform) -> None:
    """Observations stand in the named row of the named bytes; what is derived comes out again, by equal rules and files, of a rebuild from them."""
    arranged(platform)
    second = Platform(rebuilt.settings, rebuilt.database, platform.store)
    rebuild(second)

    @cache
    def landed(key: str, sha256: str) -> bytes:
        data = platform.store.read(key)
        assert hashlib.sha256(data).hexdigest() == sha256
        return data

    @cache
    def lines(key: str, sha256: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(landed(key, sha256).decode())))

    @cache
    def issued() -> set[tuple[Any, ...]]:
        keys = rows(platform, "select key, sha256 from raw.source_file where kind = 'forecast'")
        facts = [ForecastFact.from_bytes(landed(str(key), str(sha256))) for key, sha256 in keys]
        return {
            (row["series"], row["issued_at"], row["model"], row["target_at"], np.float32(row["q05"]), np.float32(row["q95"]))
            for fact in facts
            for row in fact.rows.to_pylist()
        }

    checked = dict.fromkeys(("observation", "flag", *lineage.METRICS, "anomaly", "forecast"), 0)
    with ExitStack() as stack:
        first, again = (stack.enter_context(reading(each.database)) for each in (platform, second))
        for of, name, time in asked(platform, np.random.default_rng(4)):
            found, derived = explained(first, name, time, of), explained(again, name, time, of)
            assert found["value"] == derived["value"], (of, name, time)
            for told in ("rules", "model"):
                known, other = found.get(told), derived.get(told)
                assert (known and (known["object"], known["version"])) == (other and (other["object"], other["version"])), (of, name, time)
            assert [(each["sha256"], each["values"]) for each in found.get("inputs", [])] == [
                (each["sha256"], each["values"]) for each in derived.get("inputs", [])
            ]
            if of == "observation":
                source = found["source"]
                row = lines(source["object"], source["sha256"])[source["row"] - 1]
                assert (datetime.fromisoformat(row[0]), f"{row[1]}/{row[2]}", float(row[4])) == (time, name, found["value"]["value"])
            elif of == "forecast":
                value = found["value"]
                assert (name, value["issued_at"], value["model"], time, np.float32(value["q05"]), np.float32(value["q95"])) in issued()
            checked[of] += 1
    assert sum(checked.values()) == 1000
    assert min(checked.values()) > 30


def test_what_a_value_was_before_is_told_with_when_and_by_which_load(platform: Platform) -> None:
    """A value is corrected, and the correction withdrawn: both earlier values are told, the latest first, each with its file."""
    time = START + np.arange(3) * HOUR
    load(platform, "first.csv", "NORTH", time, np.array([1.0, 2.0, 3.0]))
    load(platform, "second.csv", "NORTH", time[:1], np.array([7.0]))
    (arrival,) = rows(platform, "select arrival from raw.source_file where name = 'second.csv'")[0]
    acts.do(platform, acts.withdrawal(platform, [str(arrival)], reason="", at=datetime(2026, 4, 20, tzinfo=UTC)))
    with reading(platform.database) as state:
        found = explained(state, "NORTH/flow", datetime(2026, 1, 5, tzinfo=UTC), "observation")
    assert (found["value"]["value"], found["source"]["name"], found["source"]["reason"]) == (1.0, "first.csv", "replay")
    assert [(each["value"], each["source"]["name"], each["until"]["kind"]) for each in found["superseded"]] == [
        (7.0, "second.csv", "withdraw"),
        (1.0, "first.csv", "load"),
    ]
