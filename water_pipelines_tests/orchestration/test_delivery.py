"""Under a stream of 200 messages a second the listener, the broker and PostgreSQL are killed; nothing is lost and nothing is there twice."""

from water_pipelines_tests.delivery.proof import prove
from water_pipelines_tests.orchestration.brokers import url_of


def test_every_message_is_stored_exactly_once_whatever_is_killed() -> None:
    """A short stream; `python -m water_pipelines_tests.delivery` runs longer ones, with an AMQP broker that is killed too."""
    url_of("WATER_TEST_MQTT_URL", "MQTT broker")  # where one is, the test may start another
    outcome = prove(7, seconds=9, rate=200, amqp=False, rounds=1)
    assert outcome.problems == []
    assert outcome.kills == {"listener": 1, "mosquitto": 1, "postgresql": 1}
    assert outcome.sent >= 1_500
