"""Real files of networks, gauges and loggers: those with an example mapping load, and no other leads to a traceback."""

from pathlib import Path

import pyarrow as pa
import pytest

from water_pipelines.parsers.contract import Described, Rows, UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.recognise import parse_file
from water_pipelines_tests.parsers.reading import facts
from water_pipelines_tests.shared_data import ROOT, shared

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "mappings"

LOADS = [
    ("bwdf_inflow_until_W2.csv", "bwdf_inflow", (151953, 0, 10)),
    ("bwdf_inflow_until_W2.xlsx", "bwdf_inflow", (151953, 0, 10)),
    ("WeatherData.xlsx", "bwdf_weather", (78716, 0, 4)),
    ("feed.Toilet.csv", "weusedto_end_use", (1188, 0, 1)),
    ("feed_WholeHouse.MYD.csv", "weusedto_whole_house", (18895, 0, 1)),
    ("Leak_p193.xlsx", "battledim_leak", (105120, 0, 1)),
    ("slovenia_sample.csv", "slovenia", (1067, 0, 3)),
    ("uk_readings_discharge.json", "uk_hydrology", (31, 0, 1)),
    ("france_hubeau_sample.json", "france_hubeau", (3, 0, 1)),
    ("lithuania_aunuvenu-vms_2024-01.json", "lithuania", (62, 0, 2)),
    ("czech_data_sample.json", "czech", (5, 0, 1)),
    ("02064000_streamflow_qc.txt", "camels_streamflow", (1096, 0, 1)),
    ("02064000_lump_cida_forcing_leap.txt", "camels_forcing", (7672, 0, 7)),
    ("01022500_streamflow_qc.txt", "camels_streamflow", (1096, 0, 1)),
    ("01022500_lump_cida_forcing_leap.txt", "camels_forcing", (10227, 0, 7)),
    ("410730_daily_ts_201510.csv", "bom_streamflow", (18808, 0, 1)),
    ("IDN60901.94767.json", "bom_weather", (447, 0, 3)),
    ("mult.parquet", "hydrofunctions", (4980, 0, 164)),
    ("groundwater.parquet", "hydrofunctions", (5952, 0, 2)),
    ("DeadRun_Instant.parquet", "hydrofunctions", (17856, 0, 2)),
    ("wqp_results.txt", "water_quality_portal", (5, 0, 1)),
    ("Charlies_AW_20170726_20170926.csv", "hobo", (14880, 0, 5)),
    ("ECO66G12_AW_20160128_20160418.csv", "hobo", (19424, 0, 5)),
    ("EXAMPLE_DO_RUSSWOOD--02M_DO_20180918_20190610.csv", "hobo", (25085, 0, 5)),
    ("2019-12-15_161700Z.txt", "minidot", (98, 0, 2)),
    ("export-18032111-2018-06-26_0715-2019-08-01_0700-G2.4.txt", "ellitrack", (76984, 0, 2)),
    ("BAOL034X_F9154.csv", "inbo_diver", (47997, 0, 2)),
    ("DYLP127B_W1134.csv", "inbo_diver", (15910, 0, 2)),
    ("DYLP085A_80769.csv", "inbo_diver", (14341, 0, 2)),
    ("ff_b29d_090429160100_C4080.MON", "diver_mon", (14398, 1, 2)),
    ("pw02a_20170308.csv", "utah_level", (7640, 1, 2)),
    ("manual_measurements_example_file.csv", "utah_manual", (2621, 9, 76)),
    ("Treeline_HrlySummary_2014.csv", "dry_creek", (17528, 0, 8)),
    ("argo-profiles-2902402-1.csv", "ifremer_buoy", (14481, 0, 9)),
    ("tsg-FMLW-1.csv", "ifremer_buoy", (2030, 0, 5)),
    ("mooring-buoys-time-series-62069.csv", "ifremer_buoy", (18116, 2, 11)),
    ("incomplete-line.csv", "examind_time_series", (8, 0, 4)),
    ("tabulation.tsv", "examind_tabs", (2, 0, 1)),
    ("8137_PBF.csv", "wiski", (76166, 2, 1)),
    ("P58A0001.csv", "dino_staff_gauge", (775, 0, 1)),
    ("B33F0080001_1.csv", "dino_groundwater", (3988, 0, 1)),
    ("B58A0092005_1.csv", "dino_groundwater", (5464, 0, 1)),
    ("B31H0759001.csv", "dino_groundwater", (393, 0, 1)),
    ("20231023_017.csv", "waterinfo", (5, 0, 1)),
    ("210915-112052-_.csv", "ysi_handheld", (3, 0, 3)),
    ("chla_2021_7_14.csv", "chlorophyll_lab", (62, 0, 62)),
]


def _walk() -> list[str]:
    folders = ("water_network", "gauges", "messy_loggers")
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())


def _find(name: str) -> Path:
    """A real file by its own name, which is unique among them."""
    found = [path for path in _walk() if Path(path).name == name]
    return shared(found[0] if found else name)


def _count(path: Path, mapping: Mapping) -> tuple[int, int, int]:
    rows = rejected = series = 0
    with path.open("rb") as stream:
        for event in parse_file(stream, mapping, facts(path.name)):
            if isinstance(event, Rows):
                rows, rejected = rows + event.batch.num_rows, rejected + len(event.rejected)
            else:
                assert isinstance(event, Described)
                series += len(event.series)
    return rows, rejected, series


@pytest.mark.parametrize(("name", "example", "counts"), LOADS)
def test_a_real_file_loads_with_its_example_mapping(name: str, example: str, counts: tuple[int, int, int]) -> None:
    """Observations, rejections and series are as many as the file holds."""
    mapping = Mapping.from_yaml((EXAMPLES / f"{example}.yaml").read_text(encoding="utf-8"))
    assert _count(_find(name), mapping) == counts


def test_the_doubled_hour_of_a_real_network_is_two_hours() -> None:
    """02:00 stands twice on 2021-10-31 in the inflow of ten district areas: lines 7275 and 7276 are midnight and one o'clock UTC."""
    mapping = Mapping.from_yaml((EXAMPLES / "bwdf_inflow.yaml").read_text(encoding="utf-8"))
    with _find("bwdf_inflow_until_W2.csv").open("rb") as stream:
        batches = [event.batch for event in parse_file(stream, mapping, facts()) if isinstance(event, Rows)]
    rows = pa.Table.from_batches(batches).to_pandas().query("source_row in (7275, 7276) and series == 'DMA 1/inflow'")
    assert rows["value"].tolist() == [6.55, 6.4825]
    assert [f"{time:%Y-%m-%dT%H:%M}" for time in rows["time"]] == ["2021-10-31T00:00", "2021-10-31T01:00"]


def test_every_example_mapping_is_tried_on_a_real_file() -> None:
    """No example is kept that nothing proves."""
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {example for _, example, _ in LOADS}


@pytest.mark.parametrize("path", _walk() or ["gauges"])
def test_a_real_file_without_mapping_is_read_or_refused_in_words(path: str) -> None:
    """Neither a traceback nor an empty message, for any file."""
    try:
        rows, rejected, series = _count(shared(path), Mapping())
    except UnreadableFile as refused:
        assert len(str(refused)) > 20  # noqa: PT017 (a refusal is one of two right outcomes)
    else:
        assert rows > rejected or (series and not rejected)  # a service may describe a series and have no values of it
