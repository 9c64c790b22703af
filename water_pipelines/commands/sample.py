"""The sample world on disk: its files, and beside them the truth about what was injected, which is never dropped."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from water_pipelines.commands.drop import Wanted
from water_pipelines.domain.sample import Injected, make_world
from water_pipelines.parsers.inbox import INBOX, Place
from water_pipelines.settings import Settings


def sample_of(settings: Settings, now: datetime) -> list[Wanted]:
    """The files of the home's sample in the order of their deliveries; made at the first call, ending at `now`, and kept.

    Dropping a kept sample again changes nothing.
    """
    folder = settings.home / "sample"
    truth = folder / "truth.json"
    if not truth.exists():
        _make(settings, now, folder)
    files: list[str] = json.loads(truth.read_text(encoding="utf-8"))["files"]
    return [Wanted(folder / "files" / name, Place.of(INBOX + name)) for name in files]


def _make(settings: Settings, now: datetime, folder: Path) -> None:
    world = make_world(np.datetime64(now.astimezone(UTC).replace(tzinfo=None)), seed=settings.demo_seed, days=settings.demo_days)
    contents = {"rules.yaml": world.rules_yaml.encode()}
    contents |= {"/".join(filter(None, (file.prefix, file.name))): file.content for file in world.files()}
    for name, content in contents.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    truth = {
        "seed": settings.demo_seed,
        "days": settings.demo_days,
        "end": f"{world.clean.time[-1]}Z",
        "series": [one.natural_id for one in world.series],
        "files": list(contents),
        "injected": [_as_json(one) for one in world.truth],
    }
    # comes last: an interrupted sample is made again
    (folder / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")


def _as_json(one: Injected) -> dict[str, object]:
    magnitude = None if math.isnan(one.magnitude) else one.magnitude
    return {"kind": one.kind, "series": one.series, "start": f"{one.start}Z", "end": f"{one.end}Z", "magnitude": magnitude}
