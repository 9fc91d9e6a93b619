"""The REST API, one router a subject."""

from console.api import (
    account,
    alerts,
    audit,
    backtests,
    devices,
    events,
    models,
    policies,
    rollouts,
    service,
    signing_in,
    trainings,
)
from console.api.context import Context

__all__ = ["ROUTERS", "Context"]

ROUTERS = tuple(
    module.router
    for module in (
        devices,
        alerts,
        rollouts,
        models,
        trainings,
        policies,
        backtests,
        audit,
        events,
        signing_in,
        account,
        service,
    )
)
