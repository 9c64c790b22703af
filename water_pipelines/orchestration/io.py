"""A guard: assets and ops read and write what they need themselves, so nothing may be pickled from one to the next."""

from typing import Any

import dagster as dg


class NoPickles(dg.IOManager):
    """Refuses to store or load what a step returns."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Accept only that nothing is returned."""
        if obj is not None:
            raise TypeError(
                f"{context.step_key} returned {type(obj).__name__}; an asset writes its table itself and returns what it reports, an op nothing"
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """Never called for assets that name their `deps`."""
        raise TypeError(f"{context.name} asks for another step's output; read the table instead, and name the asset in `deps`")
