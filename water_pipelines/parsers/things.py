"""Entities of a SensorThings server as stations and series: Things, Locations, Datastreams, MultiDatastreams and what hangs on them.

Nothing that a server says is lost: what has no column of its own stands in the properties. How a Thing or Datastream is called here is
decided when it is first seen (`name_station`, `components_of`) and never again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from water_pipelines.parsers.contract import Described, Series, Station, UnreadableFile
from water_pipelines.parsers.names import snake

OURS = "water_pipelines"
"""Key of the properties of what the platform itself writes to a server; such Datastreams are not read back."""


@dataclass(frozen=True)
class Component:
    """What a Datastream, or one component of a MultiDatastream, is called here."""

    series: str
    station: str
    property: str
    unit: str | None


def key_of(entity_id: Any, *, multi: bool = False) -> str:
    """The key by which pages call a Datastream.

    >>> key_of(5), key_of("a1", multi=True)
    ('D:5', 'M:a1')
    """
    return f"{'M' if multi else 'D'}:{entity_id}"


def entities(document: Any) -> list[dict[str, Any]]:
    """The entities of a collection, or the one entity that a document is; `UnreadableFile` where it is neither."""
    value = document.get("value", [document]) if isinstance(document, dict) else None
    if not isinstance(value, list) or not all(isinstance(each, dict) and "@iot.id" in each for each in value):
        raise UnreadableFile("The answer holds no entities with @iot.id.")
    return value


def is_thing(entity: Mapping[str, Any]) -> bool:
    """Whether an entity is a Thing, rather than a Datastream or MultiDatastream."""
    return "observationType" not in entity and "unitOfMeasurement" not in entity and "unitOfMeasurements" not in entity


def is_feature(entity: Mapping[str, Any]) -> bool:
    """Whether an entity is a FeatureOfInterest."""
    return "feature" in entity


def is_ours(entity: Mapping[str, Any]) -> bool:
    """Whether the platform itself wrote an entity."""
    properties = entity.get("properties")
    return isinstance(properties, dict) and OURS in properties


def is_multi(entity: Mapping[str, Any]) -> bool:
    """Whether an entity is a MultiDatastream."""
    return "unitOfMeasurements" in entity or "multiObservationDataTypes" in entity


def at_path(entity: Mapping[str, Any], path: str) -> str | None:
    """The text that stands at a path such as ``properties.station_id``; none where there is none.

    >>> at_path({"@iot.id": 7, "properties": {"station_id": "S1"}}, "properties.station_id"), at_path({"@iot.id": 7}, "@iot.id")
    ('S1', '7')
    """
    found: Any = entity
    for part in [path] if path in entity else path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    text = None if found is None or isinstance(found, dict | list) else str(found).strip()
    return text or None


def name_station(thing: Mapping[str, Any], server: str, *, path: str | None, given: Mapping[str, str]) -> str:
    """The natural id of a Thing: as the configuration gives it, as the Thing says at a path, else by the server and its id there.

    >>> name_station({"@iot.id": 7, "name": "Mill"}, "agency", path=None, given={})
    'agency/7'
    """
    for said in (str(thing["@iot.id"]), str(thing.get("name"))):
        if said in given:
            return given[said]
    return (at_path(thing, path) if path else None) or f"{server}/{thing['@iot.id']}"


def properties_of(datastream: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The observed properties of a Datastream (one) or MultiDatastream (one a component)."""
    if is_multi(datastream):
        return [dict(each) for each in datastream.get("ObservedProperties") or ()]
    return [dict(datastream.get("ObservedProperty") or {})]


def components_of(datastream: Mapping[str, Any], station: str, *, path: str | None, taken: Collection[str]) -> list[Component]:
    """What the components of a Datastream are called; a name that is taken is told apart by the Datastream's id.

    >>> datastream = {"@iot.id": 3, "unitOfMeasurement": {"symbol": "m"}, "ObservedProperty": {"name": "Water level"}}
    >>> components_of(datastream, "S1", path=None, taken={"S1/water_level"})
    [Component(series='S1/water_level/3', station='S1', property='water_level', unit='m')]
    """
    said, found = at_path(datastream, path) if path else None, list[Component]()
    properties, units = properties_of(datastream), _units(datastream)
    for number, each in enumerate(properties):
        observed = snake(str(each.get("name") or datastream.get("name") or "value"))
        name = f"{station}/{observed}" if said is None else said if len(properties) == 1 else f"{said}/{observed}"
        used = {*taken, *(one.series for one in found)}
        for more in ("", f"/{datastream['@iot.id']}", f"/{datastream['@iot.id']}/{number + 1}"):
            if name + more not in used:
                found.append(Component(name + more, station, observed, units[number] if number < len(units) else None))
                break
    return found


def _units(datastream: Mapping[str, Any]) -> list[str | None]:
    said = datastream.get("unitOfMeasurements") if is_multi(datastream) else [datastream.get("unitOfMeasurement")]
    return [_unit(each) for each in said or ()]


def _unit(said: Any) -> str | None:
    """UCUM where the definition says so, else the symbol, else the name."""
    if not isinstance(said, dict):
        return None
    definition = said.get("definition")
    if isinstance(definition, str) and definition.startswith("ucum:"):
        return definition.removeprefix("ucum:") or None
    return next((str(said[name]).strip() for name in ("symbol", "name") if said.get(name)), None)


def described(document: Any, server: str, stations: Mapping[str, str], series: Mapping[str, Sequence[Component]]) -> Described:
    """What entities say of the stations and series that have a name.

    Parameters
    ----------
    stations : id of a Thing -> natural id.
    series : key of a Datastream -> its components.
    """
    said_stations, said_series = list[Station](), list[Series]()
    features: dict[str, list[dict[str, Any]]] = {}
    for entity in entities(document):
        if is_feature(entity):
            for key in _observed_by(entity):
                features.setdefault(key, []).append({name: value for name, value in _kept(entity).items() if name != "Observations"})
        elif is_thing(entity):
            if str(entity["@iot.id"]) in stations:
                said_stations.append(_station(entity, server, stations[str(entity["@iot.id"])]))
        else:
            said_series += _series(entity, server, series.get(key_of(entity["@iot.id"], multi=is_multi(entity)), ()))
    for key, found in features.items():
        for each in series.get(key, ()):
            attributes = {"property": each.property, "feature_of_interest": found[0].get("name"), "features_of_interest": found}
            said_series.append(Series(each.series, each.station, _stated(attributes)))
    return Described(said_stations, said_series)


def _observed_by(feature: Mapping[str, Any]) -> Iterator[str]:
    """Keys of the Datastreams whose observations a FeatureOfInterest has, as far as the entity shows them."""
    for observation in feature.get("Observations") or ():
        for name, multi in (("Datastream", False), ("MultiDatastream", True)):
            if isinstance(observation.get(name), dict):
                yield key_of(observation[name].get("@iot.id"), multi=multi)


def _station(thing: Mapping[str, Any], server: str, natural_id: str) -> Station:
    places = [place for place in map(_place, thing.get("Locations") or ()) if place is not None]
    history = [
        {"time": each.get("time"), "locations": [_kept(place) for place in each.get("Locations") or ()]}
        for each in sorted(thing.get("HistoricalLocations") or (), key=lambda each: str(each.get("time")))
    ]
    attributes = {
        "name": thing.get("name"),
        "description": thing.get("description"),
        **(dict(zip(("longitude", "latitude", "elevation_m"), places[0], strict=False)) if places else {}),
        "server": server,
        "thing": thing["@iot.id"],
        "locations": [_kept(place) for place in thing.get("Locations") or ()],
        "historical_locations": history,
        "properties": thing.get("properties") or None,
    }
    return Station(natural_id, _stated(attributes))


def _series(datastream: Mapping[str, Any], server: str, components: Sequence[Component]) -> Iterator[Series]:
    for each, observed in zip(components, properties_of(datastream), strict=False):
        attributes = {
            "property": each.property,
            "unit": each.unit,
            "interval_s": _interval(datastream.get("properties")),
            "name": datastream.get("name"),
            "kind": "sensor",
            "description": datastream.get("description"),
            "server": server,
            "datastream": datastream["@iot.id"],
            "observation_type": datastream.get("observationType"),
            "observed_area": datastream.get("observedArea"),
            "observed_property": _kept(observed),
            "sensor": _kept(datastream.get("Sensor") or {}),
            "properties": datastream.get("properties") or None,
        }
        yield Series(each.series, each.station, _stated(attributes))


def _interval(properties: Any) -> float | None:
    """Seconds between two observations, where the properties of a Datastream state `interval_s`; SensorThings itself has no place for it."""
    said = properties.get("interval_s") if isinstance(properties, dict) else None
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < math.inf else None


def _kept(entity: Mapping[str, Any]) -> dict[str, Any]:
    """An entity without the server's links."""
    return {
        name: value for name, value in entity.items() if not name.endswith(("Link", "@iot.count")) and value is not None and name != "@iot.selfLink"
    }


def _stated(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value not in (None, [], {})}


def _place(location: Any) -> list[float] | None:
    """Longitude, latitude and height of a Location; the middle of what is more than a point."""
    found = location.get("location") if isinstance(location, dict) else None
    if isinstance(found, dict) and found.get("type") == "Feature":
        found = found.get("geometry")
    points = list(_points(found.get("coordinates"))) if isinstance(found, dict) else []
    points = [point for point in points if all(map(math.isfinite, point)) and abs(point[0]) <= 180 and abs(point[1]) <= 90]
    if not points:
        return None
    if len(points) == 1:
        return points[0][:3]
    return [(min(at) + max(at)) / 2 for at in zip(*(point[:2] for point in points), strict=True)]


def _points(coordinates: Any) -> Iterator[list[float]]:
    if not isinstance(coordinates, list):
        return
    if len(coordinates) >= 2 and all(isinstance(part, int | float) and not isinstance(part, bool) for part in coordinates):
        yield [float(part) for part in coordinates]
        return
    for part in coordinates:
        yield from _points(part)
