"""The partitions of all assets: UTC days, today included. The first day is a setting, which the composition root hands over."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from water_pipelines.settings import Settings

_first_day = Settings().first_day

by_day = dg.DailyPartitionsDefinition(
    start_date=datetime(_first_day.year, _first_day.month, _first_day.day, tzinfo=UTC), timezone="UTC", end_offset=1
)
"""Event days of assets on observations."""

by_arrival_day = by_day
"""Days of arrival of landed files: the same calendar, another meaning."""

by_cutoff = dg.WeeklyPartitionsDefinition(
    start_date=datetime(_first_day.year, _first_day.month, _first_day.day, tzinfo=UTC), timezone="UTC", day_offset=1, end_offset=1
)
"""Cut-offs, named by their Monday, this week's included: a model of a Monday is known, and used, from that Monday on."""
