"""False alarms: the canary's anomaly rate against its control's."""

from dataclasses import dataclass

from streams.rollouts.gates.metric import Metric

__all__ = ["AnomalyRate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyRate(Metric):
    metric: str = "anomaly_rate"
