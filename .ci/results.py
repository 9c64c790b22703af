"""Judge the suite's JUnit reports: every run passed as many tests as the floor says at least, failed none and skipped none.

`results.py FLOOR REPORT...`; prints one line a run and one for all, and ends with code 1 where something does not hold.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree


def main() -> int:
    """Judge; gives the exit code."""
    floor = int(Path(sys.argv[1]).read_text(encoding="utf-8"))
    complaints, total, bad = [], 0, 0
    for report in map(Path, sys.argv[2:]):
        cases = list(ElementTree.parse(report).iter("testcase"))
        skipped = [case for case in cases if case.find("skipped") is not None]
        failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
        passed = len(cases) - len(skipped) - len(failed)
        total, bad = total + passed, bad + len(failed)
        sys.stdout.write(f"{report.stem}: {passed} passed, {len(failed)} failed, {len(skipped)} skipped\n")
        for case in skipped:
            reason = case.find("skipped")
            complaints.append(
                f"{report.stem}: {case.get('classname')}::{case.get('name')} was skipped: {reason.get('message') if reason is not None else ''}"
            )
        complaints += [f"{report.stem}: {case.get('classname')}::{case.get('name')} failed" for case in failed]
        if passed < floor:
            complaints.append(f"{report.stem}: {passed} tests passed, {floor} did before; a test that goes needs a lower number in {sys.argv[1]}")
    sys.stdout.write("".join(f"{complaint}\n" for complaint in complaints))
    sys.stdout.write(f"{total} passed, {bad} failed\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
