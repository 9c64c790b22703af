"""Files that a mapping declares complete: which windows of which series they give completely, told from their rows, whatever their format."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pyarrow as pa

from water_pipelines.parsers.contract import Complete, Event, Rows, Window
from water_pipelines.parsers.mapping import Mapping, offset_seconds

_TICK = timedelta(microseconds=1)


def told(events: Iterator[Event], mapping: Mapping) -> Iterator[Event]:
    """The same events, and at their end the windows from the first to the last time of each series.

    Where the mapping says that days, months or years are complete, windows reach over those of the first and the last time as a whole.
    """
    spans: dict[str, tuple[datetime, datetime]] = {}
    for event in events:
        if isinstance(event, Rows):
            for series, first, last in _spans(event.batch):
                known = spans.get(series, (first, last))
                spans[series] = min(first, known[0]), max(last, known[1])
        yield event
    if spans:
        yield Complete([_window(series, first, last, mapping) for series, (first, last) in spans.items()])


def _spans(batch: pa.RecordBatch) -> Iterator[tuple[str, datetime, datetime]]:
    """Each series of a batch with its first and last time (UTC)."""
    times = pa.Table.from_batches([batch]).select(["series", "time"])
    found = times.group_by("series").aggregate([("time", "min"), ("time", "max")])
    yield from zip(*(found[name].to_pylist() for name in ("series", "time_min", "time_max")), strict=True)


def _window(series: str, first: datetime, last: datetime, mapping: Mapping) -> Window:
    period = mapping.complete
    if isinstance(period, bool):
        return Window(series, first, last + _TICK)
    zone = _zone(mapping.time_zone or "UTC")
    start, end = (_begin(at.astimezone(zone), period) for at in (first, last))
    # 32 days after the first of a month, or 366 after that of a year, lie in the next one
    after = end + timedelta(days={"day": 1, "month": 32, "year": 366}[period])
    return Window(series, start.astimezone(UTC), _begin(after, period).astimezone(UTC))


def _begin(at: datetime, period: str) -> datetime:
    """When the day, month or year of a local time begins."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return midnight if period == "day" else midnight.replace(day=1, month=1 if period == "year" else midnight.month)


def _zone(name: str) -> tzinfo:
    offset = offset_seconds(name)
    return ZoneInfo(name) if offset is None else timezone(timedelta(seconds=offset))
