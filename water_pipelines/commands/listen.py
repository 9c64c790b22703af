"""`water listen`: a thread for each broker that the settings name, until somebody asks us to stop."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from water_pipelines import logs
from water_pipelines.clients.messages import Source, SourceUnavailable
from water_pipelines.commands.interruptions import Interruptions
from water_pipelines.orchestration.operations.listening import Heard
from water_pipelines.orchestration.operations.listening import listen as listen_to
from water_pipelines.orchestration.resources import platform_of
from water_pipelines.settings import Settings

_LOOK_AGAIN_S = 0.2


def listen(settings: Settings) -> dict[str, Heard]:
    """Land what is sent until we are interrupted; gives what was done, by source.

    Raises
    ------
    SourceUnavailable
        The settings name no broker, or one that cannot be used as they name it.
    """
    logs.configure(settings, process="listener")
    sources = sources_of(settings)
    platform, stop, interruptions = platform_of(settings), Event(), Interruptions()
    heard = {source.name: Heard() for source in sources}
    try:
        with interruptions.heard(), ThreadPoolExecutor(len(sources)) as threads:
            listening = [threads.submit(listen_to, platform, source, stop, heard=heard[source.name]) for source in sources]
            try:
                while not interruptions.count and not any(each.done() for each in listening):
                    time.sleep(_LOOK_AGAIN_S)
            finally:
                stop.set()
            for each in listening:
                each.result()
    finally:
        platform.database.close()
    return heard


def sources_of(settings: Settings) -> list[Source]:
    """The sources that the settings name; nothing is opened."""
    sources: list[Source] = []
    if settings.mqtt_url is not None:
        from water_pipelines.clients.mqtt import MqttSource

        url, topics = settings.mqtt_url.get_secret_value(), _parts(settings.mqtt_topics)
        sources.append(MqttSource(url, topics, client_id=settings.mqtt_client_id, version=settings.mqtt_version))
    if settings.amqp_url is not None:
        from water_pipelines.clients.amqp import AmqpSource, broker_of
        from water_pipelines.clients.service_bus import ConnectionString, ServiceBusSource

        url, queues = settings.amqp_url.get_secret_value(), _parts(settings.amqp_addresses)
        is_service_bus = ConnectionString.is_one(url)
        sources.append(ServiceBusSource(ConnectionString.of(url), queues) if is_service_bus else AmqpSource(broker_of(url), queues))
    if not sources:
        raise SourceUnavailable("there is no broker to listen to; set WATER_MQTT_URL or WATER_AMQP_URL")
    return sources


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
