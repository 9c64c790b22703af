"""A stream of messages to real brokers, a platform that listens to them, and what is killed meanwhile.

Mosquitto acknowledges a message before it has written it, which it does every second here: killed, it has forgotten those of the last. Devices
that must not lose them send these again, and so do ours.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import orjson

from water_pipelines_tests.delivery.killing import PATIENCE_S, Outcome, Stream, prove, time_of
from water_pipelines_tests.delivery.platforms import Killable
from water_pipelines_tests.e2e.outside import until
from water_pipelines_tests.orchestration.brokers import Publisher, Sender

SERVICES = Path(__file__).resolve().parents[2] / ".ci" / "services"
_SENSORS = 20
_AGAIN_S = 10.0
_MAPPING = "messages: [{topic: 'proof/{station}/{property}', unit: m}]"
_REFUSED = {"rows that were refused": "select count(*) from raw.rejected_row"}


class Broker:
    """A real broker, run by the script of `.ci/services` in a folder of its own, which can be killed and started again."""

    def __init__(self, script: str, folder: Path) -> None:
        self._script, self._folder = SERVICES / script, folder
        self._port = ""
        self.url = self.start()

    def start(self) -> str:
        """Start it, on the port that it had."""
        done = subprocess.run(
            [str(self._script), "start", str(self._folder), *([self._port] if self._port else [])], capture_output=True, text=True, check=True
        )
        url = done.stdout.strip().splitlines()[-1]
        self._port = url.rpartition(":")[2]
        return url

    def kill(self) -> None:
        """Kill it, and start it again with what it kept."""
        os.kill(int((self._folder / "pid").read_text()), signal.SIGKILL)
        time.sleep(0.3)
        self.start()

    def stop(self) -> None:
        subprocess.run([str(self._script), "stop", str(self._folder)], check=False)


class Device:
    """Publishes to MQTT, and again what it published in the last seconds before its broker was killed."""

    def __init__(self, url: str) -> None:
        self._publisher = Publisher(url)
        self._last: deque[tuple[float, int]] = deque(maxlen=5_000)

    def send(self, numbers: range) -> None:
        for number in numbers:
            self._last.append((time.monotonic(), number))
            self._publish(number)

    def send_again(self, since: float) -> None:
        for at, number in list(self._last):
            if at >= since:
                self._publish(number)

    def hello(self) -> None:
        """Publish what is no number of the stream."""
        self._publish(-1)

    def close(self) -> None:
        self._publisher.close()

    def _publish(self, number: int) -> None:
        body = orjson.dumps({"time": time_of(number, _SENSORS), "value": number})
        self._publisher.publish(f"proof/mqtt/p{number % _SENSORS}", body)


class Facility:
    """Sends records to an AMQP broker, which are settled one by one."""

    def __init__(self, url: str) -> None:
        self._sender = Sender(url, "facilities")

    def send(self, numbers: range) -> None:
        for number in numbers:
            record = {"sensor": f"s{number % _SENSORS}", "time": time_of(number, _SENSORS), "value": number}
            self._sender.send(orjson.dumps({"schema": "data-collection/1", "facility": "bus", "records": [record]}))

    def close(self) -> None:
        self._sender.close()


def prove_delivered(
    platform_of: Callable[[Path, dict[str, str]], Killable],
    seed: int,
    *,
    seconds: float,
    rate: float,
    amqp: bool,
    rounds: int,
    spares: frozenset[str] = frozenset(),
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Send messages for some seconds, and kill brokers and platform in turn.

    Parameters
    ----------
    platform_of : makes the platform, of a home and settings.
    rate : messages a second, of all streams together.
    amqp : whether facilities send to an AMQP broker too.
    rounds : how often each is killed, but for what the proof `spares`.
    """
    outcome = Outcome()
    folder = Path(tempfile.mkdtemp(prefix="water-delivery-"))
    folder.chmod(0o755)  # else root's server would keep its data below /var/lib
    closing: list[Callable[[], None]] = [lambda: shutil.rmtree(folder)]
    try:
        mosquitto = Broker("mosquitto.sh", folder / "mosquitto")
        closing.append(mosquitto.stop)
        device = Device(mosquitto.url)
        closing.append(device.close)
        streams = {"mqtt": Stream(device.send, rate / (2 if amqp else 1))}
        kills = {"mosquitto": lambda: _kill_and_send_again(mosquitto, device)}
        settings = {"WATER_MQTT_URL": mosquitto.url, "WATER_MQTT_TOPICS": "proof/#", "WATER_LISTEN_BATCH_SECONDS": "1"}
        if amqp:
            artemis = Broker("artemis.sh", folder / "artemis")
            closing.append(artemis.stop)
            facility = Facility(artemis.url)
            closing.append(facility.close)
            streams["bus"] = Stream(facility.send, rate / 2)
            kills["artemis"] = artemis.kill
            settings["WATER_AMQP_URL"] = artemis.url
        platform = platform_of(folder / "home", settings)
        closing.append(platform.close)
        platform.drop("mqtt/mapping.yaml", _MAPPING)
        until(lambda: platform.rows("select 1 from raw.source_file where kind = 'mapping' and status = 'succeeded'"), PATIENCE_S, said=platform.log)
        until(lambda: _is_heard(platform, device), PATIENCE_S, said=platform.log)
        kills = {name: kill for name, kill in {**kills, **platform.kills}.items() if name not in spares}
        prove(platform, streams, kills, outcome, seed=seed, seconds=seconds, rounds=rounds, say=say, must_be_none=_REFUSED)
    finally:
        for close in reversed(closing):
            close()
    return outcome


def _kill_and_send_again(broker: Broker, device: Device) -> None:
    since = time.monotonic() - _AGAIN_S
    broker.kill()
    device.send_again(since)


def _is_heard(platform: Killable, device: Device) -> bool:
    """Whether a message came to be stored: the session of the listener is there, and the broker keeps what comes from now on."""
    device.hello()
    return bool(platform.rows("select 1 from core.observation limit 1"))
