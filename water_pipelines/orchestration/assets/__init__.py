"""Assets, one file a noun. The composition root collects every asset of every module here; a test counts that none adds nothing."""

from importlib import import_module
from pkgutil import iter_modules


def register() -> None:
    """Import every asset, for whoever marks stale without Dagster's code location: an asset is known once its file is imported."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
