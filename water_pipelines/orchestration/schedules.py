"""Schedules: what happens by the clock."""

import dagster as dg

from water_pipelines.orchestration.jobs import expire_history_job, partitions_job, remove_superseded, retrain_job, tick_job

metric_refresh_30min = dg.ScheduleDefinition(
    job=tick_job,
    cron_schedule="*/30 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    name="metric_refresh_30min",
    description="Lands the half-hour's tick and refreshes what depends on the clock: closed buckets, completeness, missing data.",
)

weekly_retraining = dg.ScheduleDefinition(
    job=retrain_job,
    cron_schedule="40 0 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    name="weekly_retraining",
    description="Each Monday: trains what no model of the new cut-off covers yet, and decides whose forecasts are served from then on.",
)

yearly_partitions = dg.ScheduleDefinition(
    job=partitions_job,
    cron_schedule="0 3 1 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    name="yearly_partitions",
    description="Makes the tables' partitions of the years to come, long before a load needs them.",
)

history_retention = dg.ScheduleDefinition(
    job=expire_history_job,
    cron_schedule="20 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    run_config={"ops": {remove_superseded.name: {"config": {"apply": True}}}},
    name="history_retention",
    description="Each night: removes what was superseded longer ago than WATER_HISTORY_DAYS; nothing where that is not set.",
)
