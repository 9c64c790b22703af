"""QARTOD flags and the names of the tests, as they are stored.

Add a test at the end of `Test` with the next free bit; a bit is never given to another test, because stored rows keep it. What a test
does is in `quality`.
"""

from __future__ import annotations

from enum import IntFlag

GOOD, NOT_EVALUATED, SUSPECT, BAD, MISSING = 1, 2, 3, 4, 9
"""QARTOD's primary flags (U.S. IOOS, Manual for the Use of Real-Time Oceanographic Data Quality Control Flags)."""


class Test(IntFlag):
    """The quality tests, one bit each.

    >>> Test(9)
    <Test.GROSS_RANGE|FLAT_LINE: 9>
    """

    __test__ = False  # pytest would collect it by its name

    GROSS_RANGE = 1
    SPIKE = 2
    RATE_OF_CHANGE = 4
    FLAT_LINE = 8
    GAP = 16


ALL_TESTS = Test(sum(Test))


def names_of(bits: int) -> list[str]:
    """The names of the tests whose bits are set, in the order of the bits.

    >>> names_of(10)
    ['spike', 'flat_line']
    """
    return [str(test.name).lower() for test in Test if test & bits]
