"""What a float carries, as far as the real-time tests go by it: test 24.

Add a rule here that hangs on a sensor of the meta file. The tests of values are in the modules beside.
"""

from __future__ import annotations

import numpy as np

from water_pipelines.domain.argo.casts import FloatMeta

RBR_MENDED = np.datetime64("2021-04-01", "us")
"""Test 24: since then RBR corrects the compressibility of its conductivity cells in the factory."""


def has_old_rbr(meta: FloatMeta, first_at: np.datetime64) -> bool:
    """Whether the CTD of a float is one of RBR made before April 2021, whose salinity is probably bad.

    Meta files do not say when a sensor was made: it is older than the launch of its float, and than its first cast. Other sensors of RBR, such as
    optodes, do not matter.

    Parameters
    ----------
    first_at : datetime64[us]
        Of the first cast that is known, for floats whose launch is not stated; NaT where there is none.
    """
    since = first_at if np.isnat(meta.launch_at) else meta.launch_at
    is_rbr = any(
        each.name.upper().startswith("CTD_") and (each.maker.upper() == "RBR" or each.model.upper().startswith("RBR")) for each in meta.sensors
    )
    return is_rbr and bool(since < RBR_MENDED)
