"""What the command says: tables and lines for people, one JSON document a line for scripts.

Keep out: what is worth saying.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from water_pipelines.commands.platform import Platform

_PROGRESS_EVERY_S = 2.0


class Output:
    """Where a command's words go.

    Parameters
    ----------
    as_json : bool
        Standard output gets only JSON, one document a line; words for people are left out.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)
        self._progress_s = -_PROGRESS_EVERY_S

    def say(self, text: str) -> None:
        """A line for people; `[bold]` and the like are rich's."""
        if not self.as_json:
            self.console.print(text)

    def whisper(self, text: str) -> None:
        """A line for people about what is being done."""
        self.say(f"[dim]{escape(text)}[/dim]")

    def progress(self, text: str) -> None:
        """How far something is: said every few seconds at most, whoever listens."""
        if time.monotonic() - self._progress_s >= _PROGRESS_EVERY_S:
            self._progress_s = time.monotonic()
            self.whisper(text)
            self.tell(progress=text)

    def addresses(self, platform: Platform) -> None:
        """Where a platform answers."""
        self.facts({"Dagster UI": platform.ui, "API docs": f"{platform.api}/docs"})
        self.tell(ui=platform.ui, api=platform.api, docs=f"{platform.api}/docs", home=platform.settings.home)

    def tell(self, **facts: Any) -> None:
        """A document for scripts."""
        if self.as_json:
            self.console.print(json.dumps(facts, default=str), markup=False, emoji=False)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
        """A table for people; numbers stand right."""
        if self.as_json:
            return
        kept = [list(row) for row in rows]
        table = Table(title=title, title_justify="left", title_style="bold")
        for position, column in enumerate(columns):
            is_number = bool(kept) and all(isinstance(row[position], int | float) for row in kept)
            table.add_column(column, justify="right" if is_number else "left", overflow="fold")
        for row in kept:
            table.add_row(*map(shown, row))
        self.console.print(table)

    def draw(self, tree: Tree) -> None:
        """A tree for people."""
        if not self.as_json:
            self.console.print(tree)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Names and values, a line each, for people."""
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            self.say(f"[dim]{name:<{width}}[/dim]  {shown(value)}")


def shown(value: Any) -> str:
    r"""A value as people read it.

    >>> shown(1234567), shown(None), shown("a [b]")
    ('1,234,567', '-', 'a \\[b]')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(str(value))
