"""The command: minutes of messages to real brokers of its own, or of observations to a SensorThings server, for a real platform (`water up`),
with everything killed again and again.

Brokers need Mosquitto and, unless told otherwise, Artemis and python-qpid-proton (`.ci/services`, `make amqp`); the server needs the extra `live`.
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
    parser.add_argument("--sensorthings", action="store_true", help="observations that are pulled from a SensorThings server, instead of brokers")
    given = parser.parse_args()

    from water_pipelines_tests.delivery.platforms import Up
    from water_pipelines_tests.delivery.proof import prove_delivered
    from water_pipelines_tests.delivery.pulled import prove_pulled

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    if given.sensorthings:
        outcome = prove_pulled(Up, given.seed, seconds=given.seconds, rate=given.rate, rounds=given.rounds, say=say)
    else:
        outcome = prove_delivered(Up, given.seed, seconds=given.seconds, rate=given.rate, amqp=not given.without_amqp, rounds=given.rounds, say=say)
    say(f"{outcome.sent} sent, stored by {outcome.batches} loads; killed: {outcome.kills}; delivered once more and unchanged: {outcome.unchanged}")
    say("\n".join(outcome.problems) or "everything is stored exactly once")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
