"""Writing the summaries of Argo datasets: by the template always, by a language model where one is set and answers sensibly.

Only statistics leave the machine. A model that fails is not asked again within a settle, so that it holds up nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from water_pipelines.clients.llm import NoWords, Words
from water_pipelines.domain.argo.summary import summarise, to_statistics, to_text
from water_pipelines.orchestration.resources import Platform
from water_pipelines.orchestration.settle import Numbered, Numbers
from water_pipelines.storage import argo_flags, argo_summaries
from water_pipelines.storage.argo_casts import StoredCasts, read_casts_of
from water_pipelines.storage.argo_summaries import Written

log = logging.getLogger(__name__)

BY_DATASET = Numbered(every=argo_summaries.datasets, weights=argo_summaries.levels_of, at_once=1_000_000)
"""The units of summaries: arrivals that hold casts, as many at once as hold that many levels."""

TEMPLATE = "template"
_ASKED_AT_ONCE = 50

_REPLACED = " not current: a delayed-mode or later file of the same cycle stands."


def write(platform: Platform, arrivals: Numbers) -> tuple[dict[str, Any], bool]:
    """The summaries of datasets, by arrival, as the keyword argument of the asset's function; nothing lands for them."""
    numbers = [int(arrival) for arrival in arrivals]
    with platform.database.snapshot() as snapshot:
        held, current = argo_summaries.casts_of(snapshot, numbers)
        stored = read_casts_of(snapshot, sorted({number for those in current.values() for number in those}))
        flags = argo_flags.read_judged(snapshot, stored) if stored is not None else None
    written: dict[int, Written] = {}
    for arrival in numbers:
        if arrival not in held:
            continue
        if stored is None or flags is None or arrival not in current:
            count = held[arrival]
            text = (f"1 cast was read, and is{_REPLACED}" if count == 1 else f"{count:,} casts were read, and are{_REPLACED}").strip()
            written[arrival] = Written({"casts": 0, "casts_read": count}, text, TEMPLATE)
            continue
        where = _places(stored, current[arrival])
        summary = summarise(stored.casts.take(where), argo_flags.take(flags, stored.casts, where))
        written[arrival] = Written(to_statistics(summary), to_text(summary), TEMPLATE)
    return {"summaries": _in_other_words(written, _describe(platform))}, False


def _places(stored: StoredCasts, numbers: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.flatnonzero(np.isin(stored.profile_id, numbers)).astype(np.int64)


def _describe(platform: Platform) -> Words | None:
    settings = platform.settings
    if settings.llm_url is None or settings.llm_model is None:
        return None
    key = settings.llm_key.get_secret_value() if settings.llm_key is not None else None
    return Words(settings.llm_url, settings.llm_model, key, settings.llm_timeout_s)


def _in_other_words(written: Mapping[int, Written], words: Words | None) -> dict[int, Written]:
    """The same, the largest datasets first, in a model's words, as long as it has some."""
    found = dict(written)
    if words is None:
        return found
    describe: Callable[[Mapping[str, Any]], str] = words.describe
    largest = sorted((arrival for arrival in found if found[arrival].statistics["casts"]), key=lambda each: -found[each].statistics["casts"])
    for arrival in largest[:_ASKED_AT_ONCE]:
        try:
            text = describe(found[arrival].statistics)
        except NoWords as error:
            log.warning("summaries are written by the template: %s", error)
            break
        found[arrival] = Written(found[arrival].statistics, text, words.model)
    return found
