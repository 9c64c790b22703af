"""Units of measurement that limits and series are written in, and the way from one to the other.

Add a unit here when sources use it: its name after `normalised`, what it measures, and the factor and offset to the first unit of its
group. A full unit library is left out: limits need a few dozen units, and an unknown one must be seen as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

_SPELLING = str.maketrans({"³": "3", "²": "2", "µ": "u", "μ": "u", "°": "deg", "^": "", "*": "", " ": "", "_": "", "[": "", "]": ""})

# what is measured: {unit: (factor, offset)}, so that value * factor + offset is in the group's first unit
_GROUPS: dict[str, dict[str, tuple[float, float]]] = {
    "length": {"m": (1, 0), "cm": (0.01, 0), "mm": (0.001, 0), "ft": (0.3048, 0), "in": (0.0254, 0)},
    "flow": {
        "m3/s": (1, 0),
        "l/s": (1e-3, 0),
        "m3/h": (1 / 3600, 0),
        "m3/d": (1 / 86400, 0),
        "l/min": (1e-3 / 60, 0),
        "l/h": (1e-3 / 3600, 0),
        "ml/d": (1e3 / 86400, 0),  # megalitres: nobody measures a river or a main in millilitres a day
        "ft3/s": (0.3048**3, 0),
        "gpm": (3.785411784e-3 / 60, 0),
        "mgd": (3785.411784 / 86400, 0),
    },
    "pressure": {
        "bar": (1, 0),
        "mbar": (1e-3, 0),
        "dbar": (0.1, 0),
        "pa": (1e-5, 0),
        "hpa": (1e-3, 0),
        "kpa": (0.01, 0),
        "mpa": (10, 0),
        "psi": (0.0689475729, 0),
        "mh2o": (0.0980665, 0),
    },
    "temperature": {"degc": (1, 0), "degf": (5 / 9, -160 / 9), "k": (1, -273.15)},
    "conductivity": {"us/cm": (1, 0), "ms/cm": (1e3, 0), "s/m": (1e4, 0), "ms/m": (10, 0)},
    "concentration": {"mg/l": (1, 0), "ug/l": (1e-3, 0), "g/m3": (1, 0)},
    "turbidity": {"ntu": (1, 0), "fnu": (1, 0), "ftu": (1, 0)},  # differ by the light used, far less than any limit of a rule
    "salinity": {"psu": (1, 0), "pss": (1, 0), "g/kg": (1, 0), "ppt": (1, 0)},
    "acidity": {"ph": (1, 0)},
    "share": {"%": (1, 0), "percent": (1, 0)},
}
_SAME = {
    "meter": "m",
    "metre": "m",
    "meters": "m",
    "metres": "m",
    "ftus": "ft",
    "fti": "ft",
    "feet": "ft",
    "foot": "ft",
    "ini": "in",
    "inch": "in",
    "inches": "in",
    "m3s-1": "m3/s",
    "m3.s-1": "m3/s",
    "cms": "m3/s",
    "cumecs": "m3/s",
    "lps": "l/s",
    "ls-1": "l/s",
    "m3/hr": "m3/h",
    "cmh": "m3/h",
    "m3/day": "m3/d",
    "l/hr": "l/h",
    "mld": "ml/d",
    "cfs": "ft3/s",
    "cft/s": "ft3/s",
    "cfti/s": "ft3/s",
    "gal/min": "gpm",
    "lb/in2": "psi",
    "mwc": "mh2o",
    "cel": "degc",
    "celsius": "degc",
    "c": "degc",
    "degreecelsius": "degc",
    "fahrenheit": "degf",
    "f": "degf",
    "kelvin": "k",
    "usiemens/cm": "us/cm",
    "uscm-1": "us/cm",
    "psu78": "psu",
    "phunits": "ph",
    "standardunits": "ph",
    "stdunits": "ph",
}
_DIMENSIONLESS = {"", "1", "-", "dimensionless", "unitless"}
_HAVE_NO_UNIT = {"acidity", "salinity"}  # pH and practical salinity are pure numbers, and many sources write them so


@dataclass(frozen=True)
class Conversion:
    """From one unit to another: `value * factor + offset`; differences and rates take the factor alone."""

    factor: float
    offset: float


def normalised(unit: str) -> str:
    """One spelling for the many ways in which sources write a unit.

    >>> normalised("m³ / s"), normalised("ft^3/s"), normalised("°C"), normalised("cfs")
    ('m3/s', 'ft3/s', 'degc', 'ft3/s')
    """
    spelling = unit.strip().casefold().translate(_SPELLING)
    return _SAME.get(spelling, spelling)


def conversion(source: str, target: str) -> Conversion | None:
    """How values in `source` become values in `target`; None where one is not known or they measure different things.

    >>> conversion("ft", "m")
    Conversion(factor=0.3048, offset=0.0)
    >>> conversion("m", "degC") is None
    True
    """
    one, other = normalised(source), normalised(target)
    if one == other:
        return Conversion(1.0, 0.0)
    for group, units in _GROUPS.items():
        has = [name in units or (group in _HAVE_NO_UNIT and name in _DIMENSIONLESS) for name in (one, other)]
        if all(has):
            (factor, offset), (target_factor, target_offset) = units.get(one, (1.0, 0.0)), units.get(other, (1.0, 0.0))
            return Conversion(factor / target_factor, (offset - target_offset) / target_factor)
    return None
