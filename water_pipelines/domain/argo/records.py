"""What our tests say of a cast by the rules of the time at which its data centre recorded its own: the two that may be compared.

By the rules of today a cast of 2019 would differ from its record because the rules changed. Why a record differs all the same is looked into by
`water_pipelines_tests/argo_truth.py`, and told in `docs/argo.md`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.argo.casts import Casts
from water_pipelines.domain.argo.rules import Rules, rules_of_record
from water_pipelines.domain.argo.run import Beside, flag_casts
from water_pipelines.domain.series import Int32Array


def failed_then(casts: Casts, beside: Beside) -> tuple[Int32Array, Int32Array]:
    """Bits of the tests that were performed on each cast, and of those that failed, by the rules of the cast's record; 0 where it has no record.

    Parameters
    ----------
    casts : Casts
        All casts of the floats concerned: tests 5, 16 and 18 look at the casts before.
    beside : Beside
    """
    performed, failed = np.zeros(len(casts), np.int32), np.zeros(len(casts), np.int32)
    for rules, places in _by_rules(casts).values():
        floats = np.flatnonzero(np.isin(casts.platform_number, casts.platform_number[places]))
        flags = flag_casts(casts.take(floats), beside.take(floats), rules)
        own = np.searchsorted(floats, places)
        performed[places], failed[places] = flags.performed[own], flags.failed[own]
    return performed, failed


def _by_rules(casts: Casts) -> dict[str, tuple[Rules, NDArray[np.int64]]]:
    """The casts that have a record of failures, by the rules of it."""
    recorded = np.flatnonzero(casts.tests.has_failed)
    tests = casts.tests.take(recorded)
    columns = zip(tests.at, tests.software.tolist(), tests.release.tolist(), strict=True)
    found = [rules_of_record(at, software, release) for at, software, release in columns]
    names = np.array([rules.name for rules in found])
    return {rules.name: (rules, recorded[names == rules.name]) for rules in found}
