"""Grey lists: floats, parameters and days."""

import io

import numpy as np
import pytest

from water_pipelines.parsers.argo_grey_list import read_grey_list
from water_pipelines.parsers.contract import UnreadableFile
from water_pipelines.parsers.mapping import Mapping
from water_pipelines.parsers.recognise import describe
from water_pipelines_tests.shared_data import shared

HEADER = b"PLATFORM_CODE,PARAMETER_NAME,START_DATE,END_DATE,QUALITY_CODE,COMMENT,DAC\n"


def test_an_open_end_still_holds() -> None:
    listed = read_grey_list(HEADER + b'1900432,PSAL,20071129,,3,"drift, slow",AO\n1900433,PSAL,20071129,20080101,4,,AO\n')
    assert listed.start.tolist() == [np.datetime64("2007-11-29").item()] * 2
    assert np.isnat(listed.end[0])
    assert listed.flag.tolist() == [3, 4]
    assert listed.comment[0] == "drift, slow"


def test_the_list_of_the_archive_is_read() -> None:
    data = shared("argo/argopy-data/ar_greylist.txt").read_bytes()
    assert describe(io.BytesIO(data), Mapping()).kind == "argo"
    assert len(read_grey_list(data).flag) == 2_330


@pytest.mark.parametrize(
    "line", [b"1900432,PSAL,2007,,3,x,AO\n", b"1900432,PSAL,20071329,,3,x,AO\n", b",PSAL,20071129,,3,x,AO\n", b"1,PSAL,20071129,,z,x,AO\n"]
)
def test_a_line_that_is_not_understood_is_named(line: bytes) -> None:
    with pytest.raises(UnreadableFile, match="Line 3"):
        read_grey_list(HEADER + b"1900432,PSAL,20071129,,3,x,AO\n" + line)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(UnreadableFile, match="END_DATE"):
        read_grey_list(b"PLATFORM_CODE,PARAMETER_NAME,START_DATE,QUALITY_CODE\n")


def test_a_list_may_name_nothing_but_not_end_within_its_header() -> None:
    assert len(read_grey_list(HEADER).flag) == 0
    for cut in (HEADER[:-1], HEADER[:-5]):
        with pytest.raises(UnreadableFile, match="cut off"):
            read_grey_list(cut)
