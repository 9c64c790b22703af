"""Messages of facilities: their schemas are schemas, their examples are read, and what departs from them is refused where it does."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from water_pipelines.parsers import facilities
from water_pipelines.parsers.contract import SensorState, Series, Station
from water_pipelines_tests.parsers.reading import read
from water_pipelines_tests.parsers.test_messages import sent

SETUP = {"schema": "facility-setup/1", "facility": "WTP-4"}
RECORDS = {"schema": "data-collection/1", "facility": "WTP-4"}
OFF = {"schema": "sensor-deactivation/1", "facility": "WTP-4", "sensor": "L1", "time": "2026-03-01T06:00:00+01:00"}


@pytest.mark.parametrize("name", facilities.schema_names())
def test_a_schema_is_one_and_its_examples_are_read(name: str) -> None:
    """Each file is a JSON Schema (2020-12) of its kind and version, whose examples are valid and tell something."""
    schema = facilities.schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"] == {"const": name}
    assert schema["$id"].endswith(f"/{name}.json")
    assert schema["examples"]
    for example in schema["examples"]:
        assert list(facilities.told_by(example))


def test_a_setup_describes_a_facility_and_its_sensors() -> None:
    """Place, kind and what else is known become the station's; each sensor a series of its own."""
    told = list(facilities.told_by(facilities.schema("facility-setup/1")["examples"][0]))
    assert told == [
        Station(
            "WTP-4",
            {
                "name": "Treatment plant Riverside",
                "kind": "treatment_plant",
                "latitude": 52.1,
                "longitude": 5.2,
                "is_facility": True,
                "address": "Weir lane 1",
                "set_up_at": "2026-03-01T00:00:00Z",
            },
        ),
        Series("WTP-4/L1", "WTP-4", {"kind": "sensor", "unit": "m", "name": "Level in basin 1", "interval_s": 60, "property": "water_level"}),
        Series("WTP-4/Q1", "WTP-4", {"kind": "sensor", "unit": "l/s", "property": "flow"}),
    ]


def test_a_sensor_is_switched_off_from_a_time_on() -> None:
    """The time is that of the message, in UTC."""
    series, state = facilities.told_by({**OFF, "reason": "Calibration"})
    assert series == Series("WTP-4/L1", "WTP-4", {"kind": "sensor"})
    assert state == SensorState("WTP-4/L1", "WTP-4", datetime(2026, 3, 1, 5, tzinfo=UTC), False, "Calibration")


def test_a_batch_of_a_facility_is_read_whatever_its_queue_is_called() -> None:
    """Messages are known by their schema, not by their address; a value that cannot be stored costs only itself."""
    records = [
        {"sensor": "L1", "time": "2026-03-01T00:00:00Z", "value": 1.25},
        {"sensor": "L1", "time": "2026-03-01T00:01:00Z", "value": None, "qualifier": "maintenance"},
        {"sensor": "L1", "time": "2026-03-01T00:02:00", "value": 7},
    ]
    found = read(sent(("any/queue", {**SETUP, "sensors": [{"sensor": "L1", "property": "Water level"}]}), ("q", {**RECORDS, "records": records})))
    assert [(row["series"], row["qualifier"], row["source_row"]) for row in found.rows] == [("WTP-4/L1", None, 3), ("WTP-4/L1", "maintenance", 3)]
    assert "'2026-03-01T00:02:00' has no time zone" in found.reasons[3]
    assert found.series[0].attributes == {"kind": "sensor", "property": "water_level"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"schema": "facility-setup/9", "facility": "F"}, "the schema 'facility-setup/9' is not known; known are data-collection/1"),
        ({"schema": "facility-setup/1"}, "'facility' is a required property"),
        ({**SETUP, "place": {"latitude": 95, "longitude": 0}}, "at place.latitude: 95 is greater than the maximum of 90"),
        ({**SETUP, "sensors": [{"sensor": "a/b", "property": "x"}]}, "at sensors[0].sensor"),
        ({**SETUP, "colour": "red"}, "'colour' was unexpected"),
        ({**RECORDS, "records": []}, "at records"),
        ({**RECORDS, "records": [{"sensor": "L1", "time": "2026-03-01T00:00:00Z", "value": "1"}]}, "at records[0].value"),
        ({**RECORDS, "records": [{"sensor": "L1", "time": "2026-03-01T00:00", "value": 1}]}, "has no time zone"),
        ({**OFF, "time": "soon"}, "the time 'soon' cannot be read"),
        ({**OFF, "time": "2026-03-01T00:00:00"}, "has no offset"),
        ({**OFF, "time": "0001-01-01T00:00:00+01:00"}, "cannot be"),
    ],
)
def test_what_departs_from_its_schema_is_refused_where_it_does(message: dict[str, Any], reason: str) -> None:
    """The reason names the place in the message; the message beside it is taken."""
    good = {**RECORDS, "records": [{"sensor": "Q1", "time": "2026-03-01T00:00:00Z", "value": 1}]}
    found = read(sent(("q", orjson.dumps(message)), ("q", good)))
    assert reason in found.reasons[2], found.reasons
    assert [row["series"] for row in found.rows] == ["WTP-4/Q1"]
