"""A simulated station that posts to a SensorThings server every few seconds, as a logger in the field would.

Run it with `python -m water_pipelines.commands.live_station URL SECONDS`; it goes on until it is told to end, and through restarts of the server.
"""

from __future__ import annotations

import math
import random
import sys
import time
from datetime import UTC, datetime
from typing import Any

from water_pipelines.clients.sensorthings import Access, SensorThings, Unreachable, literal

STATION = "LIVE_1"
PROPERTIES = {"Water level": ("m", 1.2, 0.15), "Water temperature": ("Cel", 9.0, 1.5)}
"""Observed property -> unit, level and swing of what the station measures."""

_MEASUREMENT = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"
_ABOUT = {
    "name": STATION,
    "description": "A simulated station",
    "properties": {"station_id": STATION},
    "Locations": [
        {
            "name": STATION,
            "description": "at the mill",
            "encodingType": "application/geo+json",
            "location": {"type": "Point", "coordinates": [5.2, 52.1]},
        }
    ],
}
_SWING_S = 600.0
_TRY_AGAIN_S = 2.0


def value_at(level: float, swing: float, at: datetime, noise: float) -> float:
    """What is measured at a time: a slow swing, so that a newcomer sees it move, and some noise (of standard deviation 1).

    >>> value_at(1.0, 0.5, datetime(1970, 1, 1, 0, 2, 30, tzinfo=UTC), 0.0)
    1.5
    """
    return round(level + swing * math.sin(2 * math.pi * at.timestamp() / _SWING_S) + 0.02 * swing * noise, 4)


def set_up(client: SensorThings, every_s: float) -> dict[str, Any]:
    """The station's Datastreams by observed property; those that are not there yet are made."""
    things = client.one("Things", {"$filter": f"name eq '{STATION}'", "$top": "1"}).document["value"]
    thing = str(things[0]["@iot.id"]) if things else client.create("Things", _ABOUT)
    listed = client.one(f"Things({literal(thing)})/Datastreams", {"$select": "id,name"}).document["value"]
    found = {str(each["name"]): each["@iot.id"] for each in listed}
    for name, (unit, _, _) in PROPERTIES.items():
        if name in found:
            continue
        probe = {"name": f"probe of {name}", "description": "simulated", "encodingType": "text/html", "metadata": "https://example.org/probe"}
        observed = {"name": name, "definition": f"https://example.org/{name.replace(' ', '_')}", "description": name}
        datastream = {
            "name": name,
            "description": f"{name} of {STATION}",
            "observationType": _MEASUREMENT,
            "properties": {"interval_s": every_s},
            "unitOfMeasurement": {"name": unit, "symbol": unit, "definition": f"ucum:{unit}"},
            "Thing": {"@iot.id": thing},
            "Sensor": {"@iot.id": client.create("Sensors", probe)},
            "ObservedProperty": {"@iot.id": client.create("ObservedProperties", observed)},
        }
        found[name] = client.create("Datastreams", datastream)
    return found


def run(url: str, every_s: float) -> None:
    """Post until the process ends."""
    noise = random.Random(1)
    with SensorThings(Access(url), patience_s=10) as client:
        datastreams: dict[str, Any] | None = None
        while True:
            try:
                datastreams = datastreams or set_up(client, every_s)
                now = datetime.now(UTC)
                groups = [
                    {
                        "Datastream": {"@iot.id": datastreams[name]},
                        "components": ["phenomenonTime", "result"],
                        "dataArray": [[f"{now:%Y-%m-%dT%H:%M:%SZ}", value_at(level, swing, now, noise.gauss(0, 1))]],
                    }
                    for name, (_, level, swing) in PROPERTIES.items()
                ]
                client.create_observations(groups)
            except Unreachable:
                time.sleep(_TRY_AGAIN_S)
            time.sleep(every_s)


if __name__ == "__main__":
    run(sys.argv[1], float(sys.argv[2]))
