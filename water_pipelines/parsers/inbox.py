"""How the inbox is laid out: which folder, name, kind and mapping an object has by its key alone.

Add a kind that is told by its name to `KINDS`. Keep out: what becomes of an object, which is landing's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from water_pipelines.parsers.mapping import NO_MAPPING, InvalidMapping, Mapping

INBOX = "inbox/"
SIDECAR = ".mapping.yaml"
KINDS = {"mapping.yaml": "mapping", "rules.yaml": "rules", "argo_rules.yaml": "argo_rules", "sensorthings.yaml": "sensorthings"}


@dataclass(frozen=True)
class Place:
    """Where an inbox object stands: the folders below the inbox, and its name."""

    key: str
    prefix: str
    name: str

    @staticmethod
    def of(key: str) -> Place:
        """The place of a key.

        >>> Place.of("inbox/river/upper/gauge.csv")
        Place(key='inbox/river/upper/gauge.csv', prefix='river/upper', name='gauge.csv')
        """
        folders, _, name = key.removeprefix(INBOX).rpartition("/")
        return Place(key, folders, name)

    @property
    def kind(self) -> str:
        """What the object is, as far as its name tells: data, mapping, rules of a kind, or sensorthings."""
        return KINDS.get(self.name, "data")

    @property
    def sidecar(self) -> str:
        """Key of the mapping that is meant for this object alone."""
        return self.key + SIDECAR

    @property
    def folders(self) -> list[str]:
        """The folders whose mapping may be this object's, the nearest first.

        >>> Place.of("inbox/river/upper/gauge.csv").folders
        ['river/upper', 'river', '']
        """
        return [self.prefix.rsplit("/", n)[0] for n in range(self.prefix.count("/") + 1)] + [""] if self.prefix else [""]


def mapping_version(text: str) -> str:
    """The version of a mapping's text; one that is no mapping is told apart by its text, and refused when its file is loaded."""
    try:
        return Mapping.from_yaml(text).version
    except InvalidMapping:
        return hashlib.sha256(text.encode()).hexdigest()[:16]


__all__ = ["INBOX", "KINDS", "NO_MAPPING", "SIDECAR", "Place", "mapping_version"]
