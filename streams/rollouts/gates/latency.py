"""Latency: the slowest hundredth of inferences against the control's, and never above a limit."""

from dataclasses import dataclass

from streams.rollouts.gates.metric import Metric

__all__ = ["Latency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Metric):
    metric: str = "latency_p99_ms"
    max_rise: float = 0.2
    min_rise: float = 1.0
    limit: float | None = 1_000.0
