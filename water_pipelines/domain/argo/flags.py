"""Flags of Argo casts: Argo's scale, the numbers of the real-time tests, and what the tests say of casts, positions and values.

Add a test at the end of `RealTimeTest` under its number in the manual; its bit is 2^number, as in HISTORY_QCTEST, and is never given to another
test, because stored rows keep it. What a test does is in the modules of the tests; `run.py` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from water_pipelines.domain.argo.casts import QcArray
from water_pipelines.domain.series import Int32Array

NOT_TESTED, GOOD, PROBABLY_GOOD, PROBABLY_BAD, BAD, INTERPOLATED, MISSING = 0, 1, 2, 3, 4, 8, 9
"""Argo reference table 2. Our own flags are 1 to 4, 9 where the value is missing, and 0 where no test could judge it."""


class RealTimeTest(IntEnum):
    """The real-time tests by their numbers in the Argo quality control manual. 0 is no test of the manual's list, but a rule beside it.

    >>> RealTimeTest.SPIKE.bit
    512
    """

    BAD_PRESSURE = 0
    PLATFORM_IDENTIFICATION = 1
    IMPOSSIBLE_DATE = 2
    IMPOSSIBLE_LOCATION = 3
    POSITION_ON_LAND = 4
    IMPOSSIBLE_SPEED = 5
    GLOBAL_RANGE = 6
    REGIONAL_RANGE = 7
    PRESSURE_INCREASING = 8
    SPIKE = 9
    GRADIENT = 11
    DIGIT_ROLLOVER = 12
    STUCK_VALUE = 13
    DENSITY = 14
    GREY_LIST = 15
    GROSS_SENSOR_DRIFT = 16
    FROZEN_PROFILE = 18
    DEEPEST_PRESSURE = 19
    NEAR_SURFACE_SALINITY = 21
    NEAR_SURFACE_MIXED_AIR_WATER = 22
    DEEP_FLOAT = 23
    RBR_CTD = 24
    MEDD = 25

    @property
    def bit(self) -> int:
        """2^number, as in HISTORY_QCTEST."""
        return 1 << self.value


def names_of(bits: int) -> list[str]:
    """The names of the tests whose bits are set, in the order of their numbers.

    >>> names_of(512 + 64)
    ['global_range', 'spike']
    """
    return [test.name.lower() for test in RealTimeTest if test.bit & bits]


@dataclass(frozen=True)
class ParameterFlags:
    """Our flags of one parameter at all levels.

    Parameters
    ----------
    flag : uint8[n]
        The worst over the tests: 1, 2, 3 or 4; 9 where the value is missing; 0 where no test judges the parameter.
    failed : int32[n]
        Bits of all tests that made it worse than good.
    """

    flag: QcArray
    failed: Int32Array


@dataclass(frozen=True)
class CastFlags:
    """Our flags of casts and of all their levels.

    Parameters
    ----------
    parameters : mapping of str to ParameterFlags
        By the names of `Casts.parameters`.
    juld, position : uint8[c]
        1, 2, 3 or 4; 9 where missing.
    juld_failed, position_failed : int32[c]
        Bits of the tests that date and position failed.
    performed, failed : int32[c]
        Bits of all tests that could be run for the cast, and of those that failed at least once, for date, position or any value.
    rules : str
        The name of the rules that were applied.
    """

    parameters: Mapping[str, ParameterFlags]
    juld: QcArray
    juld_failed: Int32Array
    position: QcArray
    position_failed: Int32Array
    performed: Int32Array
    failed: Int32Array
    rules: str
