"""What is behind a served value, as a tree. Keep out: finding it, which is the API's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from water_pipelines.commands.asking import Api


def explain(api: Api, series: str, time: str, of: str, as_of: str | None) -> dict[str, Any]:
    """What the API says of a value."""
    return api.get("/api/v1/lineage", series_id=series, time=time, of=of, **({"as_of": as_of} if as_of else {}))


def tree(found: Mapping[str, Any]) -> Tree:
    """The chain from a value to the bytes behind it."""
    series = found["series"]
    root = Tree(f"[bold]{escape(found['of'])}[/bold] of {escape(series['natural_id'])} at {found['time']}, as of change {found['change']}")
    value = root.add("value")
    for name, each in found["value"].items():
        value.add(f"{name}: {escape(str(each))}")
    _made(root, "made by", found["made"])
    if found["source"]:
        _source(root, "from", found["source"])
    if found["rules"]:
        rules = root.add(f"rules: version {found['rules']['version']}, in force since change {found['rules']['change']}")
        rules.add(f"object {found['rules']['object']}" if found["rules"]["object"] else "those that come with the platform")
    if found["model"]:
        model = found["model"]
        trained = root.add(f"model: {model['kind']} of {model['scope']}, cut-off {model['cutoff_at']}, from data as of change {model['read']}")
        trained.add(f"object {model['object']}")
        trained.add(f"SHA-256 {model['sha256']}")
    if found["inputs"]:
        inputs = root.add("values from")
        for each in found["inputs"]:
            file = _source(inputs, f"{each['values']:,} values of", each)
            file.add(f"{each['first_at']} to {each['last_at']}")
    if found["superseded"]:
        earlier = root.add("before that")
        for each in found["superseded"]:
            old = earlier.add(f"{each['value']}{' ' + escape(each['qualifier']) if each['qualifier'] else ''}")
            _made(old, "made by", each["made"])
            _made(old, "until", each["until"])
            _source(old, "from", each["source"])
    return root


def _made(parent: Tree, word: str, made: Mapping[str, Any]) -> None:
    parent.add(
        f"{word} change {made['change']} ({escape(made['kind'])}), {made['recorded_at']}, run {made['run']}, code {escape(made['code_version'])}"
    )


def _source(parent: Tree, word: str, source: Mapping[str, Any]) -> Tree:
    folder = f"{source['prefix']}/" if source["prefix"] else ""
    branch = parent.add(f"{word} {escape(folder + source['name'])}, arrival {source['arrival']}, {source['arrived_at']}")
    branch.add(f"object {source['object']}")
    branch.add(f"SHA-256 {source['sha256']}")
    branch.add(f"mapping {source['mapping_version']}")
    if "row" in source:
        branch.add(f"row {source['row']}, read by {escape(source['parser'])} {escape(source['parser_version'])}")
    return branch
