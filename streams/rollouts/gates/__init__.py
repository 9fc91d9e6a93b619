"""Gates: what must hold before a stage counts as passed. A new one is a file here and a line below."""

from collections.abc import Mapping

from streams.rollouts.gates.anomaly_rate import AnomalyRate
from streams.rollouts.gates.base import Gate
from streams.rollouts.gates.confidence import Confidence
from streams.rollouts.gates.drift import Drift
from streams.rollouts.gates.error_rate import ErrorRate
from streams.rollouts.gates.evidence import METRICS, Evidence, Group
from streams.rollouts.gates.latency import Latency
from streams.rollouts.gates.metric import Metric
from streams.rollouts.gates.resources import Resources

__all__ = ["GATES", "METRICS", "Evidence", "Gate", "Group"]

GATES: Mapping[str, type[Gate]] = {
    "drift": Drift,
    "anomaly_rate": AnomalyRate,
    "confidence": Confidence,
    "latency": Latency,
    "error_rate": ErrorRate,
    "resources": Resources,
    "metric": Metric,
}
