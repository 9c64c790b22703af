"""Schedules: what happens by the clock."""

import dagster as dg

from water_pipelines.orchestration.jobs import tick_job

metric_refresh_30min = dg.ScheduleDefinition(
    job=tick_job,
    cron_schedule="*/30 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    name="metric_refresh_30min",
    description="Lands the half-hour's tick and refreshes what depends on the clock: closed buckets, completeness, missing data.",
)
