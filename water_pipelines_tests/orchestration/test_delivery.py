"""Under a steady stream each process in their way is killed; nothing is lost and nothing is there twice.

The platform here is its own functions in a loop; `python -m water_pipelines_tests.delivery` does the same to `water up`, and for longer.
"""

from water_pipelines_tests.delivery.platforms import Loop
from water_pipelines_tests.delivery.proof import prove_delivered
from water_pipelines_tests.delivery.pulled import prove_pulled
from water_pipelines_tests.orchestration.brokers import url_of


def test_every_message_is_stored_exactly_once_whatever_is_killed() -> None:
    """Listener, broker and PostgreSQL are killed once each; the command has an AMQP broker that is killed too."""
    url_of("WATER_TEST_MQTT_URL", "MQTT broker")  # where one is, the test may start another
    outcome = prove_delivered(Loop, 7, seconds=6, rate=200, amqp=False, rounds=1, spares=frozenset({"platform"}))
    assert outcome.problems == []
    assert outcome.kills == {"listener": 1, "mosquitto": 1, "platform's postgresql": 1}
    assert outcome.sent >= 1_000


def test_every_observation_of_a_server_is_stored_exactly_once_whatever_is_killed() -> None:
    """The SensorThings server, alone and with its PostgreSQL, and the whole platform are killed; what was answered 201 is stored once."""
    outcome = prove_pulled(Loop, 3, seconds=6, rate=100, rounds=1)
    assert outcome.problems == []
    assert outcome.kills == {"sensorthings": 1, "sensorthings and its postgresql": 1, "platform": 1}
    assert outcome.sent >= 500
