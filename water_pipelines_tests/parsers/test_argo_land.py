"""The land mask of test 4: the grid of the package, without its 933 MB."""

import numpy as np

from water_pipelines.parsers.argo_land import land_mask


def test_continents_are_land_and_oceans_are_not() -> None:
    """Paris, Kansas, Antarctica and New Guinea; the Atlantic, the Pacific at the date line, the Mediterranean; a missing and an impossible place."""
    mask = land_mask()
    land = mask.is_land(np.array([48.8, 38.5, -80.0, -5.0]), np.array([2.3, -98.0, 10.0, 141.5]))
    sea = mask.is_land(np.array([0.0, 40.0, 40.0, 36.0]), np.array([-30.0, -180.0, 180.0, 18.0]))
    assert land.tolist() == [True] * 4
    assert sea.tolist() == [False] * 4
    assert mask.is_land(np.array([np.nan, 99.0]), np.array([0.0, 0.0])).tolist() == [False, False]
    assert mask.changes.nbytes < 4_000_000
    assert "global-land-mask 1." in mask.variant
