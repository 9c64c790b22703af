"""Whatever way the same readings are written, the same observations come out."""

import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines_tests.parsers.reading import read

STEPS = st.integers(0, 500_000)
THOUSANDTHS = st.integers(-(10**6), 10**6).map(lambda n: n / 1000)
READINGS = st.lists(st.tuples(STEPS, THOUSANDTHS), min_size=2, max_size=30, unique_by=lambda reading: reading[0])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
ZONES = st.sampled_from(["UTC", "Asia/Kolkata", "America/Phoenix", "+01:00", "-03:30"])
ISO, DAY_FIRST = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y%m%d%H%M"], ["%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d-%b-%Y %H:%M"]
FORMATS = st.sampled_from([*ISO, *DAY_FIRST, "%m/%d/%y %I:%M %p"])
ENDS = st.sampled_from(["\n", "\r\n"])


def _zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if name[0] not in "+-" else None


def _local(moment: datetime, zone: str) -> datetime:
    rules = _zone(zone)
    if rules is not None:
        return moment.astimezone(rules)
    sign = -1 if zone[0] == "-" else 1
    return moment + sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))


@settings(max_examples=150, deadline=None)
@given(READINGS, st.sampled_from([";", "\t", "|", ","]), st.sampled_from([".", ","]), ENCODINGS, ZONES, FORMATS, ENDS, st.booleans())
def test_readings_survive_every_way_of_writing_them(
    readings: list[tuple[int, float]], separator: str, decimal: str, encoding: str, zone: str, pattern: str, end: str, quoted: bool
) -> None:
    """Separator, decimal mark, encoding, zone, format of time, line ends and quotes do not matter, once they are declared where they must be."""
    moments = [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * step) for step, _ in readings]
    quote = '"' if quoted or decimal == separator else ""
    rows = [
        separator.join(f"{quote}{cell}{quote}" for cell in (f"{_local(moment, zone):{pattern}}", "Größe", f"{value:.3f}".replace(".", decimal)))
        for moment, (_, value) in zip(moments, readings, strict=True)
    ]
    text = end.join([separator.join(["time", "note", "value"]), *rows]) + end
    day_first = "true" if pattern.startswith("%d") else "false"
    found = read(text.encode(encoding), f"time_zone: '{zone}'\nday_first: {day_first}\nproperty: flow\ndecimal: '{decimal}'\nencoding: {encoding}")
    assert found.rejected == []
    assert [(row["time"], row["value"]) for row in found.rows] == [(moment, value) for moment, (_, value) in zip(moments, readings, strict=True)]
    assert found.source_rows == list(range(2, len(readings) + 2))


@settings(max_examples=100, deadline=None)
@given(READINGS, st.sampled_from([";", "\t", "|"]), ENCODINGS.filter(lambda name: name not in ("utf-16-le", "utf-16-be")))
def test_separator_encoding_and_decimal_comma_are_seen(readings: list[tuple[int, float]], separator: str, encoding: str) -> None:
    """Nothing but the mark of one value has to be said, and not even that when a value has not exactly three decimals."""
    begin = datetime(2001, 1, 1, tzinfo=UTC)
    rows = [f"{begin + timedelta(minutes=step):%Y-%m-%dT%H:%M:%SZ}{separator}{value:.4f}".replace(".", ",") for step, value in readings]
    text = f"Zeit{separator}Füllstand (m)\n" + "\n".join(rows)
    found = read(text.encode(encoding), "property: level")
    assert found.values == [value for _, value in readings]
    assert found.series[0].attributes["unit"] == "m"


COLUMNS = ["time", "station", "property", "unit", "value", "quality", "note"]


@settings(max_examples=60, deadline=None)
@given(READINGS, st.permutations(COLUMNS), st.sampled_from([";", "\t", "|", ","]), st.booleans())
def test_columns_may_stand_in_any_order(readings: list[tuple[int, float]], order: list[str], separator: str, ends: bool) -> None:
    """A long table with its columns in any order, each line with or without a separator at its end: the same series, times, values and flags."""
    begin = datetime(2001, 1, 1, tzinfo=UTC)
    rows = [
        {
            "time": f"{begin + timedelta(minutes=15 * step):%Y-%m-%dT%H:%M:%SZ}",
            "station": f"S{number % 2}",
            "property": "level",
            "unit": "m",
            "value": f"{value:.4f}",
            "quality": "AB"[number % 2],
            "note": f"seen by {number}",
        }
        for number, (step, value) in enumerate(readings)
    ]
    end = separator * ends + "\n"
    text = end.join([separator.join(order), *(separator.join(row[name] for name in order) for row in rows)]) + end
    found = read(text, "")
    assert found.rejected == []
    assert {one.attributes.get("unit") for one in found.series} == {"m"}
    told = [(row["series"], row["time"], row["value"], row["qualifier"]) for row in found.rows]
    wanted = [
        (f"S{number % 2}/level", begin + timedelta(minutes=15 * step), value, "AB"[number % 2]) for number, (step, value) in enumerate(readings)
    ]
    assert told == wanted


BEGINNINGS = [b"", b"time,value\n", b"PK\x03\x04", b"\x1f\x8b\x08", b"PAR1", b"{", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"stations:\n"]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_lead_to_anything_but_events_or_a_refusal(content: bytes) -> None:
    """Garbage, alone or behind the beginning of a known kind, is read row by row or refused."""
    for start in BEGINNINGS:
        with contextlib.suppress(UnreadableFile):
            read(start + content)
