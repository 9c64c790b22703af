"""The only Dagster: assets, checks, sensors, operations, and the settling of what is stale."""

import warnings

from dagster import BetaWarning

# Single-run back-fills are what a settle's days need; `pyproject.toml` pins the minor version within which they may not change.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=BetaWarning)
