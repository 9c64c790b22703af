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
    parser.add_argument("--sample", type=int, default=6, help="places an operation (6)")
    parser.add_argument("--operation", action="append", help="only this operation; may be given several times")
    parser.add_argument("--victim", choices=("worker", "server"), help="only this one is killed")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    given = parser.parse_args()
    os.environ.setdefault("WATER_HINDCAST_WEEKS", "1")  # read when the platform is imported

    from water_pipelines_tests.crashes.harness import Harness
    from water_pipelines_tests.crashes.operations import OPERATIONS

    say, rng = sys.stdout.write, random.Random(given.seed)
    struck = failed = 0
    harness = Harness()
    try:
        for name in given.operation or OPERATIONS:
            began, places = time.monotonic(), harness.places(name)
            places = [place for place in places if given.victim in (None, place.victim)]
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
