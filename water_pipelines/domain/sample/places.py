"""The stations and series of the sample world: an invented river, the town on it and its water network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ZONE = "Europe/Berlin"
"""People of the town draw water by this clock."""


@dataclass(frozen=True)
class SampleStation:
    """A place; `network` and `zone` (district metered area) are empty where it has none."""

    natural_id: str
    name: str
    kind: str
    longitude: float
    latitude: float
    elevation_m: float
    network: str = ""
    zone: str = ""


@dataclass(frozen=True)
class SampleSeries:
    """A series of a station; `number` is its place in the world's `Observations`, `decimals` what its sensor resolves."""

    number: int
    station: str
    observed_property: str
    unit: str
    decimals: int
    interval: np.timedelta64

    @property
    def natural_id(self) -> str:
        """`<station>/<property>`."""
        return f"{self.station}/{self.observed_property}"


STATIONS = (
    SampleStation("ALDER_UPPER", "Alder at Millbridge", "river gauge", 10.412, 51.702, 312.0),
    SampleStation("ALDER_MIDDLE", "Alder at Oakford", "river gauge", 10.468, 51.741, 243.0),
    SampleStation("ALDER_LOWER", "Alder at Saltweir", "river gauge", 10.531, 51.789, 181.0),
    SampleStation("RAIN_HILL", "Hill above Millbridge", "rain gauge", 10.398, 51.688, 455.0),
    SampleStation("RAIN_TOWN", "Town weather station", "rain gauge", 10.505, 51.772, 204.0),
    SampleStation("WORKS", "Waterworks, outgoing main", "district meter", 10.497, 51.765, 251.0, network="Alder town"),
    SampleStation("DMA_NORTH", "District North, inlet", "district meter", 10.509, 51.784, 214.0, network="Alder town", zone="north"),
    SampleStation("DMA_EAST", "District East, inlet", "district meter", 10.524, 51.774, 208.0, network="Alder town", zone="east"),
    SampleStation("DMA_SOUTH", "District South, inlet", "district meter", 10.503, 51.757, 222.0, network="Alder town", zone="south"),
    SampleStation("LOGGER_NORTH", "Hydrant in District North", "pressure logger", 10.512, 51.791, 217.0, network="Alder town", zone="north"),
    SampleStation("LOGGER_EAST", "Hydrant in District East", "pressure logger", 10.533, 51.777, 211.0, network="Alder town", zone="east"),
    SampleStation("LOGGER_SOUTH", "Hydrant in District South", "pressure logger", 10.500, 51.749, 229.0, network="Alder town", zone="south"),
)
DISTRICTS = ("NORTH", "EAST", "SOUTH")
GAUGES = ("ALDER_UPPER", "ALDER_MIDDLE", "ALDER_LOWER")

MEASURED = (
    *((gauge, *what) for gauge in GAUGES for what in (("water_level", "m", 3), ("discharge", "m3/s", 3), ("water_temperature", "degC", 2))),
    ("ALDER_LOWER", "conductivity", "uS/cm", 1),
    ("RAIN_HILL", "rainfall", "mm", 1),
    ("RAIN_TOWN", "rainfall", "mm", 1),
    ("RAIN_TOWN", "air_temperature", "degC", 1),
    ("WORKS", "flow", "L/s", 2),
    *((f"DMA_{district}", "flow", "L/s", 2) for district in DISTRICTS),
    *((f"LOGGER_{district}", "pressure", "bar", 3) for district in DISTRICTS),
)
"""(station, property, unit, decimals) of each series."""

RULES = """\
# Quality rules of the sample's stations: limits that these places deserve. They lie over the default rules.
stations:
  ALDER_UPPER:
    water_level: {unit: m, gross_range: {suspect: [0, 6], fail: [-0.5, 10]}, spike: {suspect: 0.3, fail: 1}}
    discharge: {unit: m3/s, gross_range: {suspect: [0, 150], fail: [-1, 400]}, spike: {suspect: 12, fail: 40}}
  ALDER_MIDDLE:
    water_level: {unit: m, gross_range: {suspect: [0, 6], fail: [-0.5, 10]}, spike: {suspect: 0.3, fail: 1}}
    discharge: {unit: m3/s, gross_range: {suspect: [0, 250], fail: [-1, 700]}, spike: {suspect: 15, fail: 50}}
  ALDER_LOWER:
    water_level: {unit: m, gross_range: {suspect: [0, 6], fail: [-0.5, 10]}, spike: {suspect: 0.3, fail: 1}}
    discharge: {unit: m3/s, gross_range: {suspect: [0, 350], fail: [-1, 900]}, spike: {suspect: 20, fail: 60}}
    conductivity: {unit: uS/cm, gross_range: {suspect: [80, 900], fail: [0, 3000]}, spike: {suspect: 60, fail: 200}}
  RAIN_HILL:
    rainfall: {unit: mm, gross_range: {suspect: [0, 40], fail: [0, 80]}}
  RAIN_TOWN:
    rainfall: {unit: mm, gross_range: {suspect: [0, 40], fail: [0, 80]}}
    air_temperature: {unit: degC, gross_range: {suspect: [-30, 42], fail: [-40, 55]}, spike: {suspect: 4, fail: 10}}
  DMA_NORTH:
    flow: {unit: L/s, gross_range: {suspect: [0, 90], fail: [-5, 200]}, spike: {suspect: 18, fail: 60}, flat_line: {suspect: 6h}}
  DMA_EAST:
    flow: {unit: L/s, gross_range: {suspect: [0, 60], fail: [-5, 120]}, spike: {suspect: 12, fail: 40}, flat_line: {suspect: 6h}}
  DMA_SOUTH:
    flow: {unit: L/s, gross_range: {suspect: [0, 140], fail: [-5, 300]}, spike: {suspect: 28, fail: 90}, flat_line: {suspect: 6h}}
  LOGGER_NORTH:
    pressure: {unit: bar, gross_range: {suspect: [1, 8], fail: [0, 16]}, spike: {suspect: 0.5, fail: 2}}
  LOGGER_EAST:
    pressure: {unit: bar, gross_range: {suspect: [1, 8], fail: [0, 16]}, spike: {suspect: 0.5, fail: 2}}
  LOGGER_SOUTH:
    pressure: {unit: bar, gross_range: {suspect: [1, 8], fail: [0, 16]}, spike: {suspect: 0.5, fail: 2}}
"""
