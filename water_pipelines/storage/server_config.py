"""The embedded server's configuration, computed from the size of the machine. Written anew at every start.

Add a setting here with the reason for its value. Operators override any of them with `ALTER SYSTEM`, which PostgreSQL keeps in a
file of its own. Keep out: anything that reads or starts something, but for measuring the machine.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 1 << 20
GIB = 1 << 30

# One role, one way in: TCP on the loopback with a password. `trust` would give every local user COPY PROGRAM.
HBA = "# Written at every start; changes are lost.\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Machine:
    """What the server may use: bytes of memory (a container's limit counts), processors, bytes free for its data and in /dev/shm."""

    memory: int
    processors: int
    disk_free: int
    shared_memory: int

    @classmethod
    def measure(cls, data: Path) -> "Machine":
        """The machine as this process sees it; `data` is a folder on the disk that holds the data."""
        memory = psutil.virtual_memory().total
        for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            try:
                said = Path(limit).read_text().strip()
            except OSError:
                continue
            if said.isdecimal():
                memory = min(memory, int(said))
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        shared = shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else 0
        return cls(memory, processors, shutil.disk_usage(data).free, shared)


def postgresql_conf(machine: Machine, port: int) -> str:
    """The text of `postgresql.conf`."""
    max_wal = _between(machine.disk_free // 10, 256 * MIB, 4 * GIB)
    values: dict[str, str | int] = {
        # who may come: no socket file, whose folder would have to be shared between users
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        # Dagster's processes, each run's workers, loaders and the API
        "max_connections": 200,
        # one statement over all years locks every partition and each of its indexes
        "max_locks_per_transaction": 256,
        # memory: an eighth is ours, the rest belongs to the Python processes and to the page cache, which we count on
        "shared_buffers": _megabytes(machine.memory // 8, 64 * MIB, 4 * GIB),
        "effective_cache_size": _megabytes(machine.memory // 2, 128 * MIB, 256 * GIB),
        "work_mem": _megabytes(machine.memory // 400, 4 * MIB, 64 * MIB),
        "maintenance_work_mem": _megabytes(machine.memory // 32, 64 * MIB, 1 * GIB),
        # a container's /dev/shm is often 64 MB, which parallel queries exhaust
        "dynamic_shared_memory_type": "mmap" if machine.shared_memory < 256 * MIB else "posix",
        # durable: what was committed survives kill -9 and power loss
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # bulk loads: few, spread checkpoints; never more than a tenth of the free disk
        "wal_compression": "on",
        "max_wal_size": f"{max_wal // MIB}MB",
        "min_wal_size": f"{max_wal // 4 // MIB}MB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        # short queries on solid-state disks; compiling one costs more than it gives
        "random_page_cost": "1.1",
        "jit": "off",
        "max_worker_processes": max(8, machine.processors),
        "max_parallel_workers": machine.processors,
        "max_parallel_workers_per_gather": _between(machine.processors // 2, 1, 4),
        "max_parallel_maintenance_workers": _between(machine.processors // 2, 1, 4),
        # append-mostly tables of millions of rows: keep the visibility map and the statistics fresh
        "autovacuum_naptime": "30s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_vacuum_insert_scale_factor": "0.1",
        "autovacuum_analyze_scale_factor": "0.02",
        "autovacuum_vacuum_cost_limit": 2000,
        # times are UTC, texts are English, the log is for accidents
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %q%d %a ",
        "cluster_name": "water_pipelines",
    }
    lines = [f"{name} = '{value}'" for name, value in values.items()]
    return "\n".join(["# Written at every start from the size of the machine; changes are lost, ALTER SYSTEM is kept.", *lines, ""])


def _between(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _megabytes(value: int, low: int, high: int) -> str:
    return f"{_between(value, low, high) // MIB}MB"
