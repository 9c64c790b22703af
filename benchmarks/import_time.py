"""Race: importing the code location, which every run, sensor tick and server of Dagster pays before it does anything.

The least that is possible is dagster alone. The other end is what the project uses, imported where a careless location would: all at
the top. Each import is a process of its own; they take turns. Heavy libraries that the location imports nevertheless are named.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from _race import ratio, show, show_machine

_HEAVY = ("great_expectations", "dbt.cli.main", "geopandas", "sklearn", "xarray", "matplotlib.pyplot", "pandas", "polars", "scipy", "netCDF4")
_CONTESTANTS = {
    "python, nothing imported": "pass",
    "dagster alone": "import dagster",
    "ours, the code location": "import water_pipelines.definitions",
    "everything at the top": f"import water_pipelines.definitions, {', '.join(_HEAVY)}",
}
_TELL = "; import json, os, sys; used = os.times(); print(json.dumps([used.user + used.system, list(sys.modules)]))"


def imported(statement: str) -> tuple[float, float, list[str]]:
    """Wall seconds, CPU seconds, and the heavy libraries, of a process that imports something."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", statement + _TELL], capture_output=True, check=True, text=True, env=os.environ)
    wall = time.perf_counter() - began
    cpu, modules = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu, [name for name in _HEAVY if name in modules]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5, help="processes of each kind")
    parser.add_argument("--quick", action="store_true", help="one process of each kind")
    given = parser.parse_args()
    show_machine()
    rounds = [{name: imported(statement) for name, statement in _CONTESTANTS.items()} for _ in range(1 + (0 if given.quick else given.rows))]
    rounds = rounds[1:] or rounds  # the first one fills the page cache
    wall, cpu = ({name: statistics.median(each[name][i] for each in rounds) for name in _CONTESTANTS} for i in range(2))
    alone = "dagster alone"
    lines = [
        [
            name,
            f"{wall[name]:.2f}",
            f"{cpu[name]:.2f}",
            ratio(cpu[name] / cpu[alone], "<= 2") if name.startswith("ours") else f"{cpu[name] / cpu[alone]:.2f}x",
            ", ".join(rounds[0][name][2]),
        ]
        for name in _CONTESTANTS
    ]
    show("imports, each in a process of its own", ["", "s", "CPU s", "CPU, x dagster", "heavy libraries"], lines)


if __name__ == "__main__":
    main()
