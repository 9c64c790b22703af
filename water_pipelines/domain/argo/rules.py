"""Which version of each real-time test is applied: the choices that the Argo quality control manual changed over the years.

Add a choice here when a manual changes a test, with the manual before as its other value, and give each era its own. The tests themselves are in
the modules beside. The manual is Wong, Keeley, Carval and the Argo Data Management Team: Argo Quality Control Manual for CTD and Trajectory Data,
https://doi.org/10.13155/33951; where it leaves a choice, the decoder of Coriolis (add_rtqc_to_profile_file, by its release notes) decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rules:
    """One version of every test whose rule ever changed.

    Parameters
    ----------
    name : str
        What flags are stored under: the manual's version and year.
    reversal : float
        Test 8, dbar: a level is bad where pressure falls back by at least so much; 0 for the rule before 2024, by which any level that does not
        increase is bad.
    bad_pressure : bool
        Since 2024: what is measured at a bad pressure is bad.
    negative_pressure : bool
        Test 6 since manual 3.3: PRES from -5 to -2.4 dbar is probably bad, and TEMP and PSAL are flagged with it. Before, PRES under -5 alone is bad.
    least_red_sea_temperature : float
        Test 7, degC: 21.7 before manual 3.2.
    stuck_near_surface : bool
        Test 13 for near-surface casts, whose values may well be the same: run until the beginning of 2016.
    gradient_of_core : bool
        Test 11 for TEMP and PSAL, dropped in manual 3.3.
    medd : bool
        Test 25, which replaced it.
    deepest_pressure : str
        Test 19: ``tenth`` (a tenth above the configured pressure), ``linear`` (more for shallow casts, since 2019), or ``hundred`` (100 dbar
        more from 1000 dbar on, since manual 3.6).
    rbr : bool
        Test 24, since manual 3.6.
    first_chla : bool
        Tests 6 and 9 for CHLA by its manual of 2014: a narrower range, and spikes downwards are bad. The one of 2023 has no spike test.
    deep_adjusted : int
        Test 23: flag of adjusted salinity below 2000 dbar, 3 before 2021.
    frozen_temperature : float
        Test 18, degC: largest mean difference of TEMP from the cast before. 0.02 in the manual; the decoder of Coriolis has 0.002.
    """

    name: str
    reversal: float = 20.0
    bad_pressure: bool = True
    negative_pressure: bool = True
    least_red_sea_temperature: float = 21.0
    stuck_near_surface: bool = False
    gradient_of_core: bool = False
    medd: bool = True
    deepest_pressure: str = "hundred"
    rbr: bool = True
    first_chla: bool = False
    deep_adjusted: int = 2
    frozen_temperature: float = 0.02

    def __post_init__(self) -> None:
        if self.deepest_pressure not in ("tenth", "linear", "hundred"):
            raise ValueError(f"deepest_pressure is tenth, linear or hundred, not {self.deepest_pressure!r}")
        if self.reversal < 0 or self.deep_adjusted not in (2, 3) or self.frozen_temperature <= 0:
            raise ValueError("reversal is at least 0 dbar, deep_adjusted 2 or 3, frozen_temperature above 0 degC")

    def settings(self) -> dict[str, Any]:
        """All choices but the name, as they are stored."""
        settings = asdict(self)
        del settings["name"]
        return settings


_FIRST = Rules(
    "manual 2.9 and before",
    reversal=0.0,
    bad_pressure=False,
    negative_pressure=False,
    least_red_sea_temperature=21.7,
    stuck_near_surface=True,
    gradient_of_core=True,
    medd=False,
    deepest_pressure="tenth",
    rbr=False,
    first_chla=True,
    deep_adjusted=3,
)
_CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("2016-02-11", "manual 3.0 (2016)", {"stuck_near_surface": False}),
    ("2019-07-15", "manual 3.2 (2019)", {"least_red_sea_temperature": 21.0, "deepest_pressure": "linear"}),
    ("2020-02-25", "manual 3.3 (2020)", {"negative_pressure": True, "gradient_of_core": False, "medd": True}),
    ("2021-06-03", "manual 3.5 (2021)", {"deep_adjusted": 2}),
    ("2022-04-04", "manual 3.6 (2022)", {"deepest_pressure": "hundred", "rbr": True}),
    ("2023-04-26", "manual 3.6 with CHLA of 2023", {"first_chla": False}),
    ("2024-01-19", "manual 3.6 with the changes of 2024", {"reversal": 20.0, "bad_pressure": True}),
)
"""From which day on, and what each version changed."""


def _eras() -> tuple[tuple[np.datetime64, Rules], ...]:
    eras = [(np.datetime64("1997-01-01", "us"), _FIRST)]
    for day, name, changed in _CHANGES:
        eras.append((np.datetime64(day, "us"), replace(eras[-1][1], name=name, **changed)))
    return tuple(eras)


ERAS = _eras()
CURRENT = ERAS[-1][1]


_DECODER_RELEASES = ((2, 0), (4, 3), (4, 5), (5, 2), (5, 8), (6, 1), (6, 5))
"""The releases of Coriolis' decoder (COQC) that began the eras after the first."""


def rules_at(day: np.datetime64) -> Rules:
    """The rules that were in force on a day; the first ones for NaT.

    >>> rules_at(np.datetime64("2021-01-01")).name
    'manual 3.3 (2020)'
    """
    place = 0
    if not np.isnat(day):
        place = max(0, int(np.searchsorted([since for since, _ in ERAS], day.astype("datetime64[us]"), side="right")) - 1)
    return ERAS[place][1]


def rules_of_record(day: np.datetime64, software: str, release: str) -> Rules:
    """The rules by which a record of HISTORY_QCTEST was made: by the release of Coriolis' decoder where it made it, else by the day.

    >>> rules_of_record(np.datetime64("2024-03-01"), "COQC", "6.2").reversal
    0.0
    """
    parts = release.split(".")
    if software != "COQC" or not all(part.isdigit() for part in parts):
        return rules_at(day)
    version = tuple(int(part) for part in parts)
    return ERAS[sum(version >= each for each in _DECODER_RELEASES)][1]


def named(name: str, settings: Mapping[str, Any] | None = None) -> Rules:
    """Rules by the name of an era, or own ones: the settings given, and those in force today for all others.

    Raises
    ------
    ValueError
        There is no such choice, or a value is not one of its values.
    """
    known = {rules.name: rules for _, rules in ERAS}
    if settings is None:
        if name not in known:
            raise ValueError(f"there are no rules called {name!r}; there are {', '.join(known)}")
        return known[name]
    choices = {each.name for each in fields(Rules)} - {"name"}
    unknown = sorted(set(settings) - choices)
    if unknown:
        raise ValueError(f"there is no choice {unknown[0]!r}; there are {', '.join(sorted(choices))}")
    base = CURRENT.settings()
    for choice, value in settings.items():
        if type(value) is not type(base[choice]) and not (isinstance(base[choice], float) and type(value) is int):
            raise ValueError(f"{choice} is of another type than {base[choice]!r}")
    return replace(CURRENT, name=name, **settings)
