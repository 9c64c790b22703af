"""When a sensor is late, silent or inactive, as the settings say."""

from typing import Annotated

from fastapi import Depends, Request

from water_pipelines.domain.reporting import ReportingLimits


async def reporting_limits(request: Request) -> ReportingLimits:
    """The limits that the application was made with."""
    limits: ReportingLimits = request.app.state.reporting_limits
    return limits


Limits = Annotated[ReportingLimits, Depends(reporting_limits)]
