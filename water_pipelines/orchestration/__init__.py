"""The only Dagster: assets, checks, sensors, operations, and the settling of what is stale."""
