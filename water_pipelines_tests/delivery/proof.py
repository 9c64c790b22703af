"""A stream of messages to real brokers, a listener in a process of its own, and what is killed meanwhile.

Mosquitto acknowledges a message before it has written it, which it does every second here: killed, it has forgotten those of the last. Devices
that must not lose them send these again, and so do ours.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from water_pipelines.clients.object_store import LocalStore
from water_pipelines.orchestration.operations.inbox import empty_inbox
from water_pipelines.orchestration.operations.landing import land_bytes
from water_pipelines.orchestration.operations.loading import load_files
from water_pipelines.orchestration.resources import Platform
from water_pipelines.settings import Settings
from water_pipelines.storage.database import NOT_ANSWERING, Database
from water_pipelines.storage.migrate import migrate
from water_pipelines.storage.server import EmbeddedServer
from water_pipelines_tests.orchestration.brokers import Publisher, Sender, rows

SERVICES = Path(__file__).resolve().parents[2] / ".ci" / "services"
_START = datetime(2026, 3, 1, tzinfo=UTC)
_STATIONS = 20
_AGAIN_S = 10.0
_MAPPING = "messages: [{topic: 'proof/{station}/{property}', unit: m}]"
_PATIENCE_S = 240

_COUNT = """
select split_part(natural_id, '/', 1) as kind, count(*), sum(value)::bigint, count(distinct value)
from core.observation join core.series using (series_id)
where value >= 0 group by 1 order by 1
"""


@dataclass
class Outcome:
    """What a proof found: messages that were sent, and how often each kind of process was killed; no problems is a success."""

    sent: int = 0
    batches: int = 0
    unchanged: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


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


class Stream(threading.Thread):
    """Sends numbered messages at a steady rate, for some seconds and until all is killed; each is one observation, whose value is its number."""

    def __init__(self, send: Callable[[int], None], rate: float, seconds: float, until: threading.Event) -> None:
        super().__init__(daemon=True)
        self._send, self._rate, self._seconds, self._until = send, rate, seconds, until
        self.sent = 0
        self.failed: BaseException | None = None

    def run(self) -> None:
        began = time.monotonic()
        try:
            while (elapsed := time.monotonic() - began) < self._seconds or not self._until.is_set():
                while self.sent < elapsed * self._rate:
                    self._send(self.sent)
                    self.sent += 1
                time.sleep(0.005)
        except BaseException as error:  # noqa: BLE001  # told by whoever waits for the end
            self.failed = error


class Device:
    """Publishes to MQTT, and again what it published in the last seconds before its broker was killed."""

    def __init__(self, url: str) -> None:
        self._publisher = Publisher(url)
        self._last: deque[tuple[float, int]] = deque(maxlen=5_000)

    def send(self, number: int) -> None:
        self._last.append((time.monotonic(), number))
        self._publish(number)

    def send_again(self, since: float) -> None:
        for at, number in list(self._last):
            if at >= since:
                self._publish(number)

    def finish(self) -> bool:
        """Whether the broker has taken all."""
        return self._publisher.taken >= self._publisher.sent

    def close(self) -> None:
        self._publisher.close()

    def _publish(self, number: int) -> None:
        body = orjson.dumps({"time": time_of(number), "value": number})
        self._publisher.publish(f"proof/mqtt/p{number % _STATIONS}", body)


def time_of(number: int, stations: int = _STATIONS) -> str:
    """When the observation of a number was made, where each station makes one a second."""
    return (_START + timedelta(seconds=number // stations)).isoformat()


def _record(number: int) -> bytes:
    record = {"sensor": f"s{number % _STATIONS}", "time": time_of(number), "value": number}
    return orjson.dumps({"schema": "data-collection/1", "facility": "bus", "records": [record]})


class Proof:
    """A platform in a folder of its own, brokers, and a listener.

    Parameters
    ----------
    amqp : whether facilities send to an AMQP broker too.
    """

    def __init__(self, *, amqp: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="water-delivery-"))
        self.folder.chmod(0o755)  # else root's server would keep its data below /var/lib
        self._home = self.folder / "home"
        self._home.mkdir()
        self.mosquitto = Broker("mosquitto.sh", self.folder / "mosquitto")
        self.artemis = Broker("artemis.sh", self.folder / "artemis") if amqp else None
        self.server = EmbeddedServer(self._home)
        self.server.ensure_running()
        self.server.ensure_database("water")
        migrate(self.server.url("water"))
        self.platform = Platform(
            Settings(home=self._home), Database(self.server.url("water"), code_version="proof"), LocalStore(self._home / "store")
        )
        load_files(self.platform, [land_bytes(self.platform, _MAPPING.encode(), kind="mapping", name="mapping.yaml", prefix="mqtt")])
        self._listener: subprocess.Popen[bytes] | None = None
        self.start_listener()

    def start_listener(self) -> None:
        """Start `water listen`."""
        environment = os.environ | {
            "WATER_HOME": str(self._home),
            "WATER_MQTT_URL": self.mosquitto.url,
            "WATER_MQTT_TOPICS": "proof/#",
            "WATER_LISTEN_BATCH_SECONDS": "1",
            "WATER_AMQP_URL": self.artemis.url if self.artemis else "",
        }
        environment.pop("WATER_DATABASE_URL", None)
        with (self.folder / "listener.log").open("ab") as log:
            self._listener = subprocess.Popen([sys.executable, "-m", "water_pipelines.cli", "listen"], env=environment, stdout=log, stderr=log)

    def kill_listener(self) -> None:
        """Kill it, and start another."""
        assert self._listener is not None
        self._listener.kill()
        self._listener.wait()
        self.start_listener()

    def kill_database(self) -> None:
        """Kill PostgreSQL's first process, and start it again a little later."""
        pid = self.server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(2)
        self.server.ensure_running()

    def close(self) -> None:
        """Stop everything, and leave nothing."""
        if self._listener is not None:
            self._listener.terminate()
            try:
                self._listener.wait(30)
            except subprocess.TimeoutExpired:
                self._listener.kill()
                self._listener.wait()
        self.platform.database.close()
        self.mosquitto.stop()
        if self.artemis:
            self.artemis.stop()
        self.server.stop("immediate")
        shutil.rmtree(self.folder)

    def log(self) -> str:
        """The last words of the listener."""
        return "\n".join((self.folder / "listener.log").read_text().splitlines()[-20:])


def prove(seed: int, *, seconds: float, rate: float, amqp: bool, rounds: int, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Send messages for some seconds and kill everything in turn, in an order and at times that the seed gives.

    Parameters
    ----------
    rate : messages a second, of all streams together.
    rounds : how often each kind of process is killed.
    """
    outcome, proof, rng = Outcome(), Proof(amqp=amqp), random.Random(seed)
    device, facility = Device(proof.mosquitto.url), Sender(proof.artemis.url, "facilities") if proof.artemis else None
    try:
        _wait(lambda: _is_subscribed(proof), proof, "the listener hears the first message", hello=device)
        all_killed = threading.Event()
        streams = [Stream(device.send, rate / (2 if facility else 1), seconds, all_killed)]
        if facility is not None:
            streams.append(Stream(lambda number: facility.send(_record(number)), rate / 2, seconds, all_killed))
        for stream in streams:
            stream.start()
        kills: dict[str, Callable[[], None]] = {
            "listener": proof.kill_listener,
            "mosquitto": lambda: _kill_and_send_again(proof.mosquitto, device),
            "postgresql": proof.kill_database,
        }
        if proof.artemis is not None:
            kills["artemis"] = proof.artemis.kill
        turns = [name for _ in range(rounds) for name in rng.sample(sorted(kills), len(kills))]
        began = time.monotonic()
        for number, name in enumerate(turns):
            time.sleep(max(0.0, began + seconds * (number + rng.uniform(0.2, 0.8)) / len(turns) - time.monotonic()))
            kills[name]()
            outcome.kills[name] = outcome.kills.get(name, 0) + 1
            say(f"{time.monotonic() - began:5.1f} s: killed {name}")
        all_killed.set()
        for stream in streams:
            stream.join(seconds + _PATIENCE_S)
            if stream.is_alive() or stream.failed:
                outcome.problems.append(f"a stream did not end: {stream.failed}")
        outcome.sent = sum(stream.sent for stream in streams)
        _wait(device.finish, proof, "the broker has taken all")
        wanted = [("mqtt", *_sums(streams[0].sent))] if facility is None else [("bus", *_sums(streams[1].sent)), ("mqtt", *_sums(streams[0].sent))]
        ends_at = time.monotonic() + _PATIENCE_S
        while ((found := _loaded(proof)) != wanted or not _is_at_rest(proof)) and time.monotonic() < ends_at:
            time.sleep(1)
        if found != wanted:
            outcome.problems.append(f"stored (kind, count, sum, distinct) {found}, sent {wanted}\n{proof.log()}")
        _examine(proof, outcome)
    finally:
        device.close()
        if facility is not None:
            facility.close()
        proof.close()
    return outcome


def _sums(sent: int) -> tuple[int, int, int]:
    return sent, sent * (sent - 1) // 2, sent


def _loaded(proof: Proof) -> list[tuple[object, ...]]:
    """Load what landed, and count; nothing where a connection turns out to be one to a server that was killed."""
    try:
        empty_inbox(proof.platform)
        return rows(proof.platform, _COUNT)
    except NOT_ANSWERING:
        return []


def _is_at_rest(proof: Proof) -> bool:
    """Whether nothing is being landed; what is delivered once more may come after all was counted."""
    return rows(proof.platform, "select count(*) from raw.source_file where landed_at is null or status in ('pending', 'running')") == [(0,)]


def _examine(proof: Proof, outcome: Outcome) -> None:
    """What must hold beside the counts: nothing was set aside, nothing ever changed a value, no landing was left unfinished."""
    queries = {
        "files that could not be loaded": "select count(*) from raw.source_file where status in ('failed', 'quarantined')",
        "files whose landing was never ended": "select count(*) from raw.source_file where landed_at is null",
        "rows that were refused": "select count(*) from raw.rejected_row",
        "values that changed": "select count(*) from history.observation",
    }
    for what, query in queries.items():
        ((number,),) = rows(proof.platform, query)
        if number:
            outcome.problems.append(f"{number} {what}")
    ((outcome.batches, outcome.unchanged),) = rows(
        proof.platform, "select count(distinct load_id)::int, coalesce(sum(unchanged), 0)::int from raw.load_day"
    )


def _kill_and_send_again(broker: Broker, device: Device) -> None:
    since = time.monotonic() - _AGAIN_S
    broker.kill()
    device.send_again(since)


def _is_subscribed(proof: Proof) -> bool:
    return bool(list(proof.platform.store.list("landed/")) and len(list(proof.platform.store.list("landed/"))) > 2)


def _wait(is_so: Callable[[], bool], proof: Proof, what: str, hello: Device | None = None) -> None:
    ends_at = time.monotonic() + _PATIENCE_S
    while not is_so():
        if hello is not None:
            hello._publisher.publish("proof/hello/x", orjson.dumps({"time": time_of(0), "value": -1}))
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{what}: not within {_PATIENCE_S} s\n{proof.log()}")
        time.sleep(0.5)
