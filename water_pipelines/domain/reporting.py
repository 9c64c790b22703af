"""Whether a sensor reports: online, late, silent or inactive, by how many of its intervals passed since its last value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

STATUSES = ("online", "late", "silent", "inactive", "unknown")
"""From the best to the worst; unknown where no interval is expected or no clock has ticked."""


@dataclass(frozen=True)
class ReportingLimits:
    """After how many expected intervals without a value a sensor is late, silent, inactive."""

    late: float
    silent: float
    inactive: float


def status_of(last_at: datetime | None, interval_s: float | None, as_of: datetime | None, limits: ReportingLimits) -> str:
    """The status of a sensor as of a time.

    Parameters
    ----------
    last_at : time of its last value; none where it never sent one.
    interval_s : seconds between two values, as expected; none where that is not known.
    as_of : the time of the judgement; none where there was none yet.

    Examples
    --------
    >>> limits = ReportingLimits(late=2, silent=12, inactive=672)
    >>> status_of(datetime(2026, 3, 1, 12, 0), 900, datetime(2026, 3, 1, 12, 31), limits)
    'late'
    """
    if as_of is None or not interval_s:
        return "unknown"
    if last_at is None:
        return "inactive"
    missed = (as_of - last_at).total_seconds() / interval_s
    if missed <= limits.late:
        return "online"
    if missed <= limits.silent:
        return "late"
    return "silent" if missed <= limits.inactive else "inactive"


def status_of_station(statuses: Iterable[str]) -> str:
    """A station reports as well as the best of its sensors; without one it is unknown.

    >>> status_of_station(["silent", "late", "unknown"])
    'late'
    """
    return min(statuses, key=STATUSES.index, default="unknown")
