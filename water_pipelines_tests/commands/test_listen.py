"""`water listen`: which sources the settings name, and where it is run."""

import sys
from typing import Any

import pytest
from pydantic import SecretStr

from water_pipelines.clients.messages import SourceUnavailable
from water_pipelines.commands.listen import sources_of
from water_pipelines.commands.platform import programs_of
from water_pipelines.settings import Settings

MQTT = SecretStr("mqtt://user:secret@127.0.0.1")
AMQP = SecretStr("amqp://user:secret@127.0.0.1")
SERVICE_BUS = SecretStr("Endpoint=sb://demo.servicebus.windows.net/;SharedAccessKeyName=listen;SharedAccessKey=c2VjcmV0")


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **{"mqtt_url": None, "amqp_url": None, **given})


def test_a_listener_runs_where_a_broker_is_named() -> None:
    """`water up` has no program for it otherwise."""
    assert "listener" not in [each.name for each in programs_of(settings(), {})]
    for named in ({"mqtt_url": MQTT}, {"amqp_url": AMQP}):
        (listener,) = (each for each in programs_of(settings(**named), {}) if each.name == "listener")
        assert (listener.command[-1], listener.after) == ("listen", ("migration",))


def test_each_address_is_a_source_of_its_kind() -> None:
    """A connection string is told from an address by its first word."""
    kinds = [type(each).__name__ for url in (AMQP, SERVICE_BUS) for each in sources_of(settings(mqtt_url=MQTT, amqp_url=url))]
    assert kinds == ["MqttSource", "AmqpSource", "MqttSource", "ServiceBusSource"]


def test_nothing_to_listen_to_is_said() -> None:
    """The message names the variables."""
    with pytest.raises(SourceUnavailable, match="set WATER_MQTT_URL or WATER_AMQP_URL"):
        sources_of(settings())


def test_an_extra_that_is_missing_is_said_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any connection is tried."""
    monkeypatch.setitem(sys.modules, "proton", None)
    (source,) = sources_of(settings(amqp_url=AMQP))
    with pytest.raises(SourceUnavailable, match=r"pip install -r requirements-amqp.lock"):
        source.open()
