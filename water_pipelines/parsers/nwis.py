"""Words of the United States Geological Survey: parameter codes, statistics, units and clocks, as its formats share them.

Add a parameter here when its own description makes a poor name. Anything else is named after its description.
"""

from __future__ import annotations

import html
import re

from water_pipelines.parsers import names

PARAMETERS = {
    "00010": "water_temperature",
    "00020": "air_temperature",
    "00035": "wind_speed",
    "00036": "wind_direction",
    "00045": "precipitation",
    "00060": "discharge",
    "00065": "gage_height",
    "00095": "specific_conductance",
    "00300": "dissolved_oxygen",
    "00400": "ph",
    "63680": "turbidity",
    "72019": "depth_to_water_level",
    "72137": "discharge_tidally_filtered",
    "72255": "water_velocity",
}
_STATISTICS = {"00000": "", "00011": "", "00001": "maximum", "00002": "minimum", "00003": "mean", "00006": "sum", "00008": "median"}
_UNITS = {
    "cfs": "ft3/s",
    "cubic feet per second": "ft3/s",
    "feet": "ft",
    "inches": "in",
    "degrees celsius": "deg C",
    "milligrams per liter": "mg/l",
    "milligrams per liter as n": "mg/l as N",
    "microsiemens per centimeter at 25 degrees celsius": "uS/cm @25C",
    "standard units": "std units",
    "feet per second": "ft/sec",
    "meters": "m",
    "percent": "%",
    "tons per day": "tons/day",
    "miles per hour": "mph",
    "percent of saturation": "% saturatn",
    "formazin nephelometric units": "FNU",
}
ZONES = {
    "UTC": "UTC",
    "GMT": "UTC",
    "AST": "-04:00",
    "ADT": "-03:00",
    "EST": "-05:00",
    "EDT": "-04:00",
    "CST": "-06:00",
    "CDT": "-05:00",
    "MST": "-07:00",
    "MDT": "-06:00",
    "PST": "-08:00",
    "PDT": "-07:00",
    "AKST": "-09:00",
    "AKDT": "-08:00",
    "HST": "-10:00",
    "HDT": "-09:00",
    "SST": "-11:00",
    "GST": "+10:00",
    "CHST": "+10:00",
}
"""The clocks of the survey's ``tz_cd``: standard and daylight saving time have words of their own. GST is Guam's."""
MISSING = ("-999999", "Ice", "Eqp", "Bkw", "Ssn", "Mnt", "Dis", "Fld", "Rat", "Zfl", "Pr", "Dry", "Tst", "Ref", "UNT", "--", "***", "ZFL")
"""What stands in the place of a value: the survey's value status codes; the word is kept as the qualifier."""


def property_of(code: str | None, description: str | None) -> str:
    """The property of a parameter code.

    >>> property_of("00060", None), property_of("80154", "Suspended sediment concentration, milligrams per liter"), property_of("99999", None)
    ('discharge', 'suspended_sediment_concentration', 'parameter_99999')
    """
    if code in PARAMETERS:
        return PARAMETERS[code]
    said = re.sub(r"[\[(].*?[\])]", "", html.unescape(description or "")).strip(" ,")
    bare = said.rpartition(",")[0] or said
    return names.snake(bare) if bare else f"parameter_{code}"


def statistic_of(code: str | None) -> str:
    """A statistic in words; empty for instantaneous values.

    >>> statistic_of("00003"), statistic_of("00011"), statistic_of("30800")
    ('mean', '', 'statistic_30800')
    """
    return "" if not code else _STATISTICS.get(code, f"statistic_{code}")


def unit_of(said: str | None) -> str | None:
    """A unit, in the short spelling where the survey has a long and a short one.

    >>> unit_of("cubic feet per second"), unit_of("cfs"), unit_of("mg/l")
    ('ft3/s', 'ft3/s', 'mg/l')
    """
    text = html.unescape(said or "").strip()
    return _UNITS.get(text.lower(), text) or None
