"""The command: many sequences, with progress, until one fails or all are done."""

from __future__ import annotations

import argparse
import os
import sys
import time


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m water_pipelines_tests.exactness", description=__doc__)
    parser.add_argument("--sequences", type=int, default=200, help="how many (200)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first; the next ones count on from it")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first sequence that fails")
    given = parser.parse_args()
    os.environ.setdefault("WATER_HINDCAST_WEEKS", "1")  # read when the platform is imported: fewer forecasts, the same ways

    from water_pipelines_tests.exactness.acts import START, sequence
    from water_pipelines_tests.exactness.proof import prove
    from water_pipelines_tests.worlds import Worlds

    say = sys.stdout.write
    failed, files, units, began = 0, 0, 0, time.monotonic()
    worlds = Worlds(is_durable=False, first_day=START.date())
    try:
        for done, seed in enumerate(range(given.seed, given.seed + given.sequences), start=1):
            rounds = sequence(seed)
            outcome = prove(worlds, rounds, seed)
            files, units = files + outcome.files, units + outcome.units
            say(f"{done}/{given.sequences} seed {seed}: {'FAILED' if outcome.problems else 'ok'}, {outcome.files} files, {outcome.units} units, "
                f"{(time.monotonic() - began) / done:.1f} s a sequence\n")  # fmt: skip
            sys.stdout.flush()
            if outcome.problems:
                failed += 1
                say(f"\nCounterexample: python -m water_pipelines_tests.exactness --sequences 1 --seed {seed}\n")
                for number, each in enumerate(rounds, start=1):
                    say(f"  round {number}: gap limits {each.gaps_h} h, flat lines {each.flats_h} h\n")
                    say("".join(f"    {act}\n" for act in each.acts))
                say("  what was found:\n" + "".join(f"    {problem}\n" for problem in outcome.problems))
                if not given.keep_going:
                    break
    finally:
        worlds.close()
    say(f"{files} files and {units} computed units; {failed} sequences failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
