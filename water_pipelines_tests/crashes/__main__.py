"""The command: every operation, a sample of the places at which it is killed or all of them."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m water_pipelines_tests.crashes", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every place, instead of a sample")
    parser.add_argument("--kinds", action="store_true", help="of places that are one write point, the same statement after the same ones, only one")
    parser.add_argument("--sample", type=int, default=6, help="places an operation (6)")
    parser.add_argument("--operation", action="append", help="only this operation; may be given several times")
    parser.add_argument(
        "--victim", choices=("worker", "server", "daemon"), help="only this one is killed; the daemon of a whole platform --sample times"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    given = parser.parse_args()
    os.environ.setdefault("WATER_HINDCAST_WEEKS", "1")  # read when the platform is imported

    from water_pipelines_tests.crashes.harness import Harness
    from water_pipelines_tests.crashes.operations import OPERATIONS

    say, rng = sys.stdout.write, random.Random(given.seed)
    if given.victim == "daemon":
        from water_pipelines_tests.crashes import daemon

        problems = daemon.prove(given.sample, rng, say)
        say("".join(f"    {problem}\n" for problem in problems) + f"{given.sample} kills, {len(problems)} problems\n")
        return 1 if problems else 0
    struck = failed = 0
    harness = Harness()
    try:
        for name in given.operation or OPERATIONS:
            began, places = time.monotonic(), harness.places(name)
            places = [place for place in places if given.victim in (None, place.victim)]
            if given.kinds:
                rng.shuffle(places)
                places = list({place.kind: place for place in places}.values())
            chosen = places if given.all else rng.sample(places, min(given.sample, len(places)))
            bad = 0
            for place in chosen:
                problems = harness.strike(place)
                struck, bad = struck + 1, bad + bool(problems)
                if problems:
                    say(f"FAILED {place}\n" + "".join(f"    {problem}\n" for problem in problems))
                sys.stdout.flush()
            failed += bad
            say(f"{name}: {len(chosen)} of {len(places)} places, {bad} failed, {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    finally:
        harness.close()
    say(f"{struck} kills, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
