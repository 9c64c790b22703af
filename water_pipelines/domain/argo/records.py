"""What our tests say of a cast by the rules of the time at which its data centre recorded its own: the two that may be compared.

By the rules of today a cast of 2019 would differ from its record because the rules changed. Why a record differs all the same is looked into by
`water_pipelines_tests/argo_truth.py`, and told in `docs/argo.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from water_pipelines.domain.argo.casts import Casts, StringArray
from water_pipelines.domain.argo.flags import CastFlags
from water_pipelines.domain.argo.rules import Rules, rules_of_record
from water_pipelines.domain.argo.run import Beside, flag_casts
from water_pipelines.domain.series import Int32Array


@dataclass(frozen=True)
class Then:
    """What our tests say by the rules of the records.

    Parameters
    ----------
    performed, failed : int32[c]
        Bits of the tests that were performed on each cast, and of those that failed; 0 where it has no record of failures.
    rules : str[c]
        The name of the rules; empty where it has none.
    """

    performed: Int32Array
    failed: Int32Array
    rules: StringArray


def failed_then(casts: Casts, beside: Beside, known: tuple[Rules, CastFlags] | None = None) -> Then:
    """Judge each cast that has a record of failures by the rules of that record.

    Parameters
    ----------
    casts : Casts
        All casts of the floats concerned: tests 5, 16 and 18 look at the casts before.
    beside : Beside
    known : (Rules, CastFlags), optional
        What all casts were judged by already, and came to.
    """
    performed, failed = np.zeros(len(casts), np.int32), np.zeros(len(casts), np.int32)
    names = [""] * len(casts)
    for rules, places in _by_rules(casts).values():
        for place in places.tolist():
            names[place] = rules.name
        if known is not None and known[0].settings() == rules.settings():
            performed[places], failed[places] = known[1].performed[places], known[1].failed[places]
            continue
        floats = np.flatnonzero(np.isin(casts.platform_number, casts.platform_number[places]))
        flags = flag_casts(casts.take(floats), beside.take(floats), rules)
        own = np.searchsorted(floats, places)
        performed[places], failed[places] = flags.performed[own], flags.failed[own]
    return Then(performed, failed, np.array(names, np.str_))


def _by_rules(casts: Casts) -> dict[str, tuple[Rules, NDArray[np.int64]]]:
    """The casts that have a record of failures, by the rules of it."""
    recorded = np.flatnonzero(casts.tests.has_failed)
    tests = casts.tests.take(recorded)
    columns = zip(tests.at, tests.software.tolist(), tests.release.tolist(), strict=True)
    found = [rules_of_record(at, software, release) for at, software, release in columns]
    names = np.array([rules.name for rules in found])
    return {rules.name: (rules, recorded[names == rules.name]) for rules in found}
