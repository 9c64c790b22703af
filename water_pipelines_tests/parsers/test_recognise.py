"""The right parser by content, whatever the file is called; everything else is refused with what to do."""

import gzip
import io

import pytest

from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.recognise import PARSERS, TEXTS, describe
from water_pipelines_tests.parsers.reading import read


@pytest.mark.parametrize(
    ("content", "parser", "kind"),
    [
        (b"time,value\n2020-01-01T00:00:00Z,1\n", "text", "observations"),
        (b'[{"time": "2020-01-01T00:00:00Z", "value": 1}]', "json", "observations"),
        (b'{"time": 1, "value": 1}\n{"time": 2, "value": 1}\n', "ndjson", "observations"),
        (gzip.compress(b"x"), "gzip", "archive"),
        (b"station_id,latitude,longitude\nA,1,2\n", "station table", "stations"),
        (b"# our gauges\nstations:\n- {id: A}\n", "station yaml", "stations"),
        (b'{"type": "FeatureCollection", "features": []}', "station geojson", "stations"),
    ],
)
def test_content_tells_the_kind(content: bytes, parser: str, kind: str) -> None:
    """No name is needed, and the version of the parser is known for the ledger."""
    found = describe(io.BytesIO(content), Mapping())
    assert (found.kind, found.parser) == (kind, parser)
    assert found.version in {each.version for each in (*PARSERS, *TEXTS) if each.name == parser}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n \n", "nothing but blanks"),
        (bytes(5000), "nothing but blanks or zeros"),
        (b"<!DOCTYPE html><html><head><title>Sign in &amp; go</title>", "a web page titled 'Sign in & go'"),
        (b"ERROR 500\n<html><body>", "a web page"),
        (b"<?xml version='1.0'?><TimeSeries>", "XML (TimeSeries)"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"CDF\x01" + bytes(40), "NetCDF"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\x89PNG\r\n", "picture"),
        (b"# Title : Profile directory file\nfile,date,latitude,date_update\naoml/1.nc,20200101,1,20210101\n", "an index of the Argo archive"),
        (b"7z\xbc\xaf'\x1c", "Pack it as zip"),
        (b"\x00\x01\x02\xff" * 200, "binary"),
    ],
)
def test_foreign_content_is_refused_by_name(content: bytes, said: str) -> None:
    """Also when it is called data.csv."""
    with pytest.raises(UnreadableFile) as caught:
        read(content, name="data.csv")
    assert said in str(caught.value)


def test_names_of_parsers_are_unique() -> None:
    """The ledger keeps a parser by its name."""
    names = [parser.name for parser in (*PARSERS, *TEXTS)]
    assert len(set(names)) == len(names)
