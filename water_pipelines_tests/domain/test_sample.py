"""The sample world: what it holds, that its files say exactly that, and that its faults can be found."""

import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import yaml

from water_pipelines.domain.flags import SUSPECT
from water_pipelines.domain.quality import flag_observations
from water_pipelines.domain.rules import RuleSet, default_rules
from water_pipelines.domain.sample import SampleFile, World, make_world
from water_pipelines.domain.series import Observations

END = np.datetime64("2026-11-05T09:37", "us")
MINUTE = np.timedelta64(60_000_000, "us")


@pytest.fixture(scope="module")
def year() -> World:
    return make_world(END)


@pytest.fixture(scope="module")
def files(year: World) -> list[SampleFile]:
    return year.files()


def values(world: World, natural_id: str, observations: Observations | None = None) -> pd.Series:
    number = next(one.number for one in world.series if one.natural_id == natural_id)
    mine = (observations or world.clean).take((observations or world.clean).series == number)
    return pd.Series(mine.value, index=pd.DatetimeIndex(mine.time, tz="UTC"))


def test_a_year_of_twenty_series_ends_now(year: World) -> None:
    """20 series of 365 days at 15 minutes, the last value at the last quarter before the end, sorted and unique."""
    assert (len(year.series), len(year.clean)) == (20, 20 * 365 * 96)
    assert str(year.clean.time.max()) == "2026-11-05T09:30:00.000000"
    for observations in (year.clean, year.first, year.delivered):
        order = np.lexsort((observations.time, observations.series))
        assert np.array_equal(order, np.arange(len(observations)))
        assert len(set(zip(observations.series[-5000:].tolist(), observations.time[-5000:].tolist(), strict=True))) == 5000


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Files are reproducible byte by byte; another seed is another world."""
    one, same, other = (make_world(END, seed=seed, days=20).files() for seed in (3, 3, 4))
    assert one == same != other


def read(file: SampleFile, mapping: dict[str, Any]) -> dict[tuple[str, datetime], float]:
    """What a file says, read without the platform's parsers."""
    content = gzip.decompress(file.content) if file.name.endswith(".gz") else file.content
    if file.name.endswith(".json"):
        records = json.loads(content)
    elif file.prefix == "network":
        return read_wide(content, mapping)
    else:
        records = pd.read_csv(io.BytesIO(content)).to_dict("records")
    return {(f"{r['station']}/{r['property']}", datetime.fromisoformat(r["time"])): r["value"] for r in records}


def read_wide(content: bytes, mapping: dict[str, Any]) -> dict[tuple[str, datetime], float]:
    """The doubled hour of autumn stands twice, summer time first."""
    table = pd.read_csv(io.BytesIO(content), sep=mapping["separator"], decimal=mapping["decimal"])
    zone = ZoneInfo(mapping["time_zone"])
    said: dict[Any, Any] = {}
    seen: set[Any] = set()
    for row in table.to_dict("records"):
        local = datetime.strptime(row[mapping["time"]], mapping["time_format"]).replace(tzinfo=zone)
        at = local.replace(fold=local in seen).astimezone(UTC)
        seen.add(local)
        said |= {(f"{v['station']}/{v['property']}", at): row[name] for name, v in mapping["columns"].items() if not np.isnan(row[name])}
    return said


def test_the_files_say_what_was_delivered() -> None:
    """Read in their order, later values over earlier ones, the first files give `first` and all files `delivered`, over a clock change too."""
    world = make_world(END, days=40)
    files = world.files()
    mapping = yaml.safe_load(next(file.content for file in files if file.name == "mapping.yaml"))
    assert [file.order for file in files] == sorted(file.order for file in files)
    assert {file.order for file in files} == {0, 1, 2, 3}
    names = {one.number: one.natural_id for one in world.series}
    stored: dict[tuple[str, datetime], float] = {}
    for order, expected in ((1, world.first), (3, world.delivered)):
        for file in files:
            if file.order and order - 2 < file.order <= order:
                stored |= read(file, mapping)
        times = expected.time.astype(object)
        truth = {(names[s], t.replace(tzinfo=UTC)): v for s, t, v in zip(expected.series.tolist(), times, expected.value.tolist(), strict=True)}
        assert stored == truth


def test_stations_are_declared_as_points(year: World, files: list[SampleFile]) -> None:
    """12 stations with kind and place; districts and their loggers share a zone."""
    features = json.loads(next(file.content for file in files if file.name == "stations.geojson"))["features"]
    assert len(features) == 12
    assert {f["properties"]["id"] for f in features} == {one.station for one in year.series}
    east = [f["properties"] for f in features if f["properties"].get("zone") == "east"]
    assert [(p["id"], p["kind"], p["network"]) for p in east] == [
        ("DMA_EAST", "district meter", "Alder town"),
        ("LOGGER_EAST", "pressure logger", "Alder town"),
    ]


def test_the_year_is_modest_in_size(files: list[SampleFile]) -> None:
    """All files of the year together are below 20 MB, in several kinds."""
    assert 5_000_000 < sum(len(file.content) for file in files) < 20_000_000
    assert {file.name.split(".", 1)[1] for file in files} == {"geojson", "yaml", "json", "csv", "csv.gz"}


def test_a_flood_travels_downstream(year: World) -> None:
    """The lower gauge carries more water, and follows the upper one by several hours."""
    upper, lower = (values(year, "ALDER_UPPER/discharge"), values(year, "ALDER_LOWER/discharge"))
    assert lower.mean() > 1.5 * upper.mean()
    by_lag = {lag: upper.corr(lower.shift(-lag)) for lag in range(0, 97, 4)}
    assert 16 <= max(by_lag, key=by_lag.__getitem__) <= 60  # 4 to 15 hours
    assert upper.max() > 3 * upper.median()


def test_people_draw_water_by_clock_week_and_weather(year: World) -> None:
    """Nights are low, Sundays differ from Tuesdays, hot days take more, and last week is a fair but not a perfect guess."""
    flow = values(year, "DMA_NORTH/flow")
    local = pd.DatetimeIndex(flow.index).tz_convert("Europe/Berlin")
    by_hour = flow.groupby(local.hour).mean()
    assert by_hour.idxmin() in (2, 3, 4)
    assert by_hour.min() < 0.45 * by_hour.max()
    assert flow[(local.day_of_week == 1) & (local.hour == 7)].mean() > 1.4 * flow[(local.day_of_week == 6) & (local.hour == 7)].mean()
    daily, warmth = (flow.resample("D").mean(), values(year, "RAIN_TOWN/air_temperature").resample("D").mean())
    assert daily[warmth > 21].mean() > 1.03 * daily[(warmth > 5) & (warmth < 15)].mean()
    last_week = (flow - flow.shift(7 * 96)).abs().mean() / flow.mean()
    assert 0.03 < last_week < 0.12


def test_the_leak_grows_and_stays(year: World) -> None:
    """District East takes 4 L/s more at the end than three weeks before, at night half as much again, with less pressure."""
    leak = next(one for one in year.truth if one.kind == "leak" and one.series == "DMA_EAST/flow")
    assert (leak.end - leak.start, leak.magnitude) == (np.timedelta64(12, "D"), 4.0)
    flow, pressure = values(year, "DMA_EAST/flow"), values(year, "LOGGER_EAST/pressure")
    begun, grown = (pd.Timestamp(leak.start, tz="UTC"), pd.Timestamp(leak.start, tz="UTC") + pd.Timedelta(days=5))
    before, after = slice(begun - pd.Timedelta(days=14), begun), slice(grown, None)
    night = flow[pd.DatetimeIndex(flow.index).tz_convert("Europe/Berlin").hour.isin([2, 3])]
    assert night[after].mean() - night[before].mean() == pytest.approx(4, abs=0.6)
    assert night[after].mean() > 1.5 * night[before].mean()
    assert pressure[before].median() - pressure[after].median() > 0.2
    north = values(year, "DMA_NORTH/flow")
    assert abs(north[after].mean() / north[before].mean() - 1) < 0.1


def test_the_truth_is_what_differs_from_the_clean_world(year: World) -> None:
    """Outside the injected stretches every delivered value is the clean one; within, each fault does what it says."""
    clean, delivered = ({one.natural_id: values(year, one.natural_id, o) for one in year.series} for o in (year.clean, year.delivered))
    sensor_faults = [one for one in year.truth if one.kind not in ("leak", "late", "corrected")]
    assert {one.kind for one in sensor_faults} == {"spike", "stuck", "drift", "shift", "out_of_range", "dropout"}
    for natural_id in clean:
        difference = (delivered[natural_id].reindex(clean[natural_id].index) - clean[natural_id]).fillna(np.inf)
        touched = np.zeros(len(difference), dtype=bool)
        for fault in (one for one in sensor_faults if one.series == natural_id):
            where = slice(pd.Timestamp(fault.start, tz="UTC"), pd.Timestamp(fault.end, tz="UTC"))
            touched |= (difference.index >= where.start) & (difference.index <= where.stop)
            match fault.kind:
                case "spike" | "shift":
                    assert difference[where].to_numpy() == pytest.approx(fault.magnitude, abs=1e-9)
                case "drift":
                    assert difference[where].iloc[-1] == pytest.approx(fault.magnitude, abs=0.01)
                case "stuck" | "out_of_range":
                    assert set(delivered[natural_id][where]) == {fault.magnitude}
                case "dropout":
                    assert np.isinf(difference[where]).all()
        assert (difference[~touched] == 0).all()


@pytest.mark.parametrize("seed", range(100, 106))
def test_the_rules_find_the_gross_faults_and_little_else(seed: int) -> None:
    """In worlds of other seeds every spike, stuck sensor and value out of range is flagged, and at most one good value in 10,000."""
    world = make_world(END, seed=seed)
    rules = RuleSet.from_yaml(world.rules_yaml, default_rules())
    limits = {one.number: rules.for_series(one.observed_property, one.unit, one.station, one.natural_id, one.interval) for one in world.series}
    assert all(not limit.reasons for limit in limits.values())
    flagged = flag_observations(world.delivered, limits).flag >= SUSPECT
    number = {one.natural_id: one.number for one in world.series}
    explained = np.zeros(len(flagged), dtype=bool)
    for one in (one for one in world.truth if one.kind not in ("leak", "late", "corrected")):
        series = world.delivered.series == number[one.series]
        explained |= series & (world.delivered.time >= one.start - 15 * MINUTE) & (world.delivered.time <= one.end + 15 * MINUTE)
        if one.kind in ("spike", "stuck", "out_of_range"):
            assert flagged[series & (world.delivered.time >= one.start) & (world.delivered.time <= one.end)].any(), one
    assert np.count_nonzero(flagged & ~explained) <= len(flagged) / 10_000


@pytest.mark.parametrize("days", [10, 30, 100])
def test_shorter_worlds_are_whole_too(days: int) -> None:
    """A short world has its leak, its rules, and faults as far as there is room for them."""
    world = make_world(END, days=days, interval_minutes=30)
    assert len(world.clean) == 20 * days * 48
    kinds = {one.kind for one in world.truth}
    assert {"leak", "spike", "late", "corrected"} <= kinds


def test_impossible_worlds_are_refused() -> None:
    """The message says what is needed."""
    with pytest.raises(ValueError, match="at least 10 days and an interval that divides an hour, not 3 days at 7 minutes"):
        make_world(END, days=3, interval_minutes=7)
