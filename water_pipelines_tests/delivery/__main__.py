"""The command: minutes of messages to real brokers of its own, with everything killed again and again.

Needs Mosquitto and, unless told otherwise, Artemis and python-qpid-proton (`.ci/services`, `make amqp`).
"""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m water_pipelines_tests.delivery", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long messages are sent (120)")
    parser.add_argument("--rate", type=float, default=200, help="messages a second (200)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each kind of process is killed (2)")
    parser.add_argument("--seed", type=int, default=1, help="of the order and the times of the kills")
    parser.add_argument("--without-amqp", action="store_true", help="MQTT alone")
    given = parser.parse_args()

    from water_pipelines_tests.delivery.proof import prove

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    outcome = prove(given.seed, seconds=given.seconds, rate=given.rate, amqp=not given.without_amqp, rounds=given.rounds, say=say)
    say(f"{outcome.sent} messages in {outcome.batches} batches; killed: {outcome.kills}; delivered once more and unchanged: {outcome.unchanged}")
    say("\n".join(outcome.problems) or "every message is stored exactly once")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
