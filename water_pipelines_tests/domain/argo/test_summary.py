"""Summaries of casts: the numbers are those of the arrays, the words those of the numbers."""

import io
import json

import numpy as np

from water_pipelines.domain.argo.casts import Casts, concatenate
from water_pipelines.domain.argo.run import Beside, flag_casts
from water_pipelines.domain.argo.summary import region_names, summarise, to_statistics, to_text
from water_pipelines.parsers.argo import read_argo
from water_pipelines_tests.domain.argo.test_run import BESIDE, NAN, SMOOTH, a_cast
from water_pipelines_tests.shared_data import shared


def test_two_casts_in_words() -> None:
    """A good cast and one whose salinity is out of range throughout."""
    casts = concatenate(
        [
            a_cast(SMOOTH, at="2020-01-01"),
            a_cast({"PRES": [5.0, 10.0], "TEMP": [15.0, 14.0], "PSAL": [50.0, 51.0]}, cycle=2, at="2020-03-01", latitude=46.5, longitude=-29.0),
        ]
    )
    summary = summarise(casts, flag_casts(casts, BESIDE))
    assert (summary.floats, summary.casts, summary.levels, summary.deepest_dbar) == (1, 2, 7, 40.0)
    assert summary.regions == [("North Atlantic Ocean", 2)]
    assert {each.name: round(each.bad_share, 3) for each in summary.parameters} == {"PRES": 0.0, "TEMP": 0.0, "PSAL": 0.286}
    assert dict(summary.failed)["global_range"] == 1
    text = to_text(summary)
    assert text.startswith("2 casts of 1 float with 7 levels in the North Atlantic Ocean, from 2020-01-01 to 2020-03-01.")
    assert "between 45.0 N and 46.5 N, from 30.0 W to 29.0 W, down to 40 dbar" in text
    assert "found bad: 28.6 % of PSAL" in text


def test_missing_and_impossible_places_are_told_and_not_used() -> None:
    casts = concatenate(
        [a_cast(SMOOTH), a_cast(SMOOTH, cycle=2, latitude=NAN, longitude=NAN), a_cast(SMOOTH, cycle=3, latitude=95.0, at="1980-01-01")]
    )
    summary = summarise(casts, flag_casts(casts, BESIDE))
    assert (summary.south, summary.north) == (45.0, 45.0)
    assert "1 cast has an impossible position." in summary.findings
    assert "1 cast has no position." in summary.findings
    assert "1 cast has no possible date." in summary.findings


def test_the_date_line_is_crossed_the_short_way() -> None:
    casts = concatenate([a_cast(SMOOTH, longitude=179.0), a_cast(SMOOTH, cycle=2, longitude=-178.0, at="2020-06-01")])
    summary = summarise(casts, flag_casts(casts, BESIDE))
    assert (summary.west, summary.east) == (179.0, -178.0)
    assert "from 179.0 E eastward to 178.0 W" in to_text(summary)


def test_casts_without_anything_have_words_too() -> None:
    """No position, no date, no level: a summary still comes out; of no casts at all as well."""
    nothing = a_cast({"PRES": [NAN]}, latitude=NAN, longitude=NAN, at="NaT")
    summary = summarise(nothing, flag_casts(nothing, BESIDE))
    assert to_text(summary).startswith("1 cast of 1 float")
    none = nothing.take(np.array([], np.int64))
    assert to_text(summarise(none, flag_casts(none, BESIDE))) == "The dataset holds no casts."


def test_every_ocean_has_a_name() -> None:
    """Places in the open sea."""
    places = {
        "North Atlantic Ocean": (45, -30),
        "South Atlantic Ocean": (-20, -20),
        "North Pacific Ocean": (30, -150),
        "South Pacific Ocean": (-20, -120),
        "South Indian Ocean": (-20, 80),
        "Southern Ocean": (-60, 0),
        "Arctic Ocean": (80, 0),
        "Mediterranean Sea": (36, 18),
        "Red Sea": (20, 38),
        "Arabian Sea and western Indian Ocean": (15, 65),
        "Bay of Bengal and eastern Indian Ocean": (12, 88),
        "Baltic Sea": (58, 20),
    }
    latitude, longitude = np.array(list(places.values()), float).T
    assert region_names(latitude, longitude).tolist() == list(places)


def test_statistics_hold_no_measurement() -> None:
    """A real float: all of it is JSON, and no list in it is longer than the names of tests, seas and parameters."""
    path = shared("argo/argopy-data/dac/coriolis/1900857/1900857_prof.nc")
    casts = concatenate([each for each in read_argo(io.BytesIO(path.read_bytes())) if isinstance(each, Casts)])
    summary = summarise(casts, flag_casts(casts, Beside(np.datetime64("2026-01-01", "us"))))
    said = json.loads(json.dumps(to_statistics(summary), allow_nan=False))
    assert said["casts"] == len(casts)
    assert all(len(each) < 30 for each in said.values() if isinstance(each, list))
    assert "1900857" not in json.dumps(said)
