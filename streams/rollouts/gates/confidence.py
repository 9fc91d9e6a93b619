"""Confidence: the canary may not be less sure of itself than its control by more than a margin."""

from dataclasses import dataclass

from streams.rollouts.gates.metric import Metric

__all__ = ["Confidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence(Metric):
    metric: str = "confidence"
    worse: str = "lower"
    max_rise: float = 0.1
    min_rise: float = 0.02
