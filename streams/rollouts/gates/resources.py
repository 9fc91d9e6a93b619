"""Resources: use of processor and memory against the control's; the graver of the two verdicts counts."""

from dataclasses import dataclass
from typing import Annotated

from schemas.rollouts import GateResult, GateVerdict
from streams.rollouts.documents import AtLeast
from streams.rollouts.gates.evidence import Evidence
from streams.rollouts.gates.metric import Metric, judge_metric

__all__ = ["Resources"]

_GRAVITY = [GateVerdict.PASS, GateVerdict.INCONCLUSIVE, GateVerdict.NO_DATA, GateVerdict.FAIL]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    max_cpu_rise: Annotated[float, AtLeast(0)] = 0.5
    min_cpu_rise: Annotated[float, AtLeast(0)] = 0.1
    max_memory_rise: Annotated[float, AtLeast(0)] = 0.5
    min_memory_rise_bytes: Annotated[float, AtLeast(0)] = 64.0 * 1024**2
    alpha: Annotated[float, AtLeast(0.000001, 0.5)] = 0.01

    def judge(self, name: str, evidence: Evidence) -> GateResult:
        limits = (
            Metric(metric="cpu_share", max_rise=self.max_cpu_rise, min_rise=self.min_cpu_rise, alpha=self.alpha),
            Metric(
                metric="memory_bytes",
                max_rise=self.max_memory_rise,
                min_rise=self.min_memory_rise_bytes,
                alpha=self.alpha,
            ),
        )
        results = [judge_metric(limit, name, evidence) for limit in limits]
        return max(results, key=lambda result: _GRAVITY.index(result.verdict))
