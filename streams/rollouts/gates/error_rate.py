"""Failed inferences: against the control's, and never above a limit."""

from dataclasses import dataclass

from streams.rollouts.gates.metric import Metric

__all__ = ["ErrorRate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRate(Metric):
    metric: str = "error_rate"
    min_rise: float = 0.005
    limit: float | None = 0.05
