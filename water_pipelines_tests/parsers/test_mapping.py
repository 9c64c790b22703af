"""The mapping: what users may say, and what they are told when they cannot."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from water_pipelines.parsers.mapping import InvalidMapping, Mapping, offset_seconds


def test_an_empty_text_is_the_empty_mapping() -> None:
    """Nothing said, comments only and empty braces are all the mapping of version none."""
    assert [Mapping.from_yaml(text).version for text in ("", "# nothing\n", "{}")] == ["none"] * 3


def test_the_version_follows_what_is_said_and_not_how() -> None:
    """Order of keys, comments and a default written out leave the version; another value changes it."""
    first = Mapping.from_yaml("property: flow\nunit: L/s")
    assert first.version == Mapping.from_yaml("unit: L/s   # litres\nskip: 0\nproperty: flow").version
    assert first.version != Mapping.from_yaml("property: flow\nunit: m3/s").version
    assert len(first.version) == 16
    assert int(first.version, 16) >= 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tiem: a", "unknown key 'tiem'; did you mean 'time'?"),
        ("columns: {a: {proprety: flow}}", "columns.a: unknown key 'proprety'; did you mean 'property'?"),
        ("time_zone: Europe/Rom", "'Europe/Rom' is no time zone"),
        ("time_zone: '+25:00'", "further from UTC"),
        ("latitude: 45", "'latitude' and 'longitude' go together"),
        ("station: A\nstation_column: B", "exclude each other"),
        ("interval: soon", "'soon' is not an interval"),
        ("encoding: klingon", "no text encoding"),
        ("decimal: ','\nthousands: ','", "cannot be the same"),
        ("a: [", "not YAML at line 1"),
        ("just words", "write key: value lines"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, said: str) -> None:
    """The message names the key and what would be right."""
    with pytest.raises(InvalidMapping) as caught:
        Mapping.from_yaml(text)
    assert said in str(caught.value)


def test_yaml_does_not_change_what_users_write() -> None:
    """A station number keeps its zeros, an offset its sign, a marker its word."""
    mapping = Mapping.from_yaml("station: 0211\ntime_zone: +01:00\nmissing: [-9999, no, 12:30]\ninterval: 15min")
    assert (mapping.station, mapping.time_zone, mapping.missing, mapping.interval) == ("0211", "+01:00", ("-9999", "no", "12:30"), 900.0)


@settings(deadline=None)
@given(st.integers(-14 * 60, 14 * 60))
def test_every_offset_reads_back(minutes: int) -> None:
    """An offset means the same with and without colon and with UTC before it."""
    sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
    for text in (f"{sign}{hours:02d}:{rest:02d}", f"{sign}{hours:02d}{rest:02d}", f"UTC{sign}{hours}:{rest:02d}"):
        assert offset_seconds(text) == minutes * 60
