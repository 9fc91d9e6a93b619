"""One metric of model health: the canary may not be worse than its control by more than a margin."""

import math
from dataclasses import dataclass
from typing import Annotated

from schemas.rollouts import GateResult, GateVerdict
from streams.rollouts.documents import AtLeast, OneOf
from streams.rollouts.gates.evidence import METRICS, Evidence, Sample
from streams.rollouts.gates.sequential import Difference, compare

__all__ = ["Metric", "judge_metric"]

_SHARES = ("anomaly_rate", "error_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Limits on one metric. The canary fails when it is surely worse and the loss reaches the margin."""

    metric: str
    worse: Annotated[str, OneOf(("higher", "lower"))] = "higher"
    # The margin: so much of the control's value, and in any case so much in the metric's own unit.
    max_rise: Annotated[float, AtLeast(0)] = 0.5
    min_rise: Annotated[float, AtLeast(0)] = 0.01
    # Beyond this value it fails whatever the control does.
    limit: float | None = None
    # The chance of a false verdict over the whole stage, however often it is asked for.
    alpha: Annotated[float, AtLeast(0.000001, 0.5)] = 0.01
    min_devices: Annotated[int, AtLeast(1)] = 1
    min_samples: Annotated[float, AtLeast(1)] = 100.0

    def judge(self, name: str, evidence: Evidence) -> GateResult:
        return judge_metric(self, name, evidence)


def judge_metric(gate: Metric, name: str, evidence: Evidence) -> GateResult:
    canary = evidence.canary.sample(gate.metric)
    if gate.metric not in METRICS:
        known = ", ".join(METRICS)
        return GateResult(gate=name, verdict=GateVerdict.NO_DATA, reason=f"no metric {gate.metric!r}; known: {known}")
    if not canary.total:
        return GateResult(gate=name, verdict=GateVerdict.NO_DATA, reason=f"no canary reported {gate.metric}")
    control, contemporary = evidence.control.sample(gate.metric), True
    if not control.total:
        control, contemporary = evidence.earlier.sample(gate.metric), False
    if _too_few(gate, canary):
        reason = f"{canary.devices} devices with {canary.total:g} samples, wanted {gate.min_devices}"
        return _said(name, GateVerdict.INCONCLUSIVE, f"{reason} and {gate.min_samples:g}", gate, canary, None)
    if gate.limit is not None and _beyond(gate, canary.value):
        reason = f"{gate.metric} is {canary.value:.4g}, the limit is {gate.limit:g}"
        return _said(name, GateVerdict.FAIL, reason, gate, canary, None)
    if not control.total:
        return _said(name, GateVerdict.NO_DATA, f"no control reported {gate.metric}", gate, canary, None)
    margin = max(gate.max_rise * abs(control.value), gate.min_rise)
    # Nothing lost counts as too much where no margin is left: keep the mixture's width above nothing.
    effect = margin or max(abs(control.value), 1.0) * 0.01
    found = compare(canary, control, effect=effect, alpha=gate.alpha, is_share=gate.metric in _SHARES)
    verdict, reason = _verdict(gate, found, margin, contemporary=contemporary)
    return _said(name, verdict, reason, gate, canary, found, margin=margin)


def _verdict(gate: Metric, found: Difference, margin: float, *, contemporary: bool) -> tuple[GateVerdict, str]:
    sign = 1 if gate.worse == "higher" else -1
    loss, low, high = sign * found.value, *sorted((sign * found.low, sign * found.high))
    values = f"{gate.metric} {found.canary:.4g} against {found.control:.4g}"
    if low > 0 and loss >= margin:
        if contemporary:
            return GateVerdict.FAIL, f"{values}, worse by {loss:.3g}; at most {margin:.3g} is allowed"
        # What changed since may be the world: nobody runs the old model any more to tell.
        return GateVerdict.INCONCLUSIVE, f"{values} of the stage before; no control is left to compare with"
    if high < margin:
        return GateVerdict.PASS, f"{values}, worse by {max(high, 0.0):.3g} at most"
    return GateVerdict.INCONCLUSIVE, f"{values}, worse by {low:.3g} to {high:.3g}; {margin:.3g} decides"


def _too_few(gate: Metric, canary: Sample) -> bool:
    windows_only = gate.metric not in (*_SHARES, "confidence", "score")
    return canary.devices < gate.min_devices or (not windows_only and canary.total < gate.min_samples)


def _beyond(gate: Metric, value: float) -> bool:
    limit = math.inf if gate.limit is None else gate.limit
    return value > limit if gate.worse == "higher" else value < limit


def _said(
    name: str,
    verdict: GateVerdict,
    reason: str,
    gate: Metric,
    canary: Sample,
    found: Difference | None,
    *,
    margin: float = math.nan,
) -> GateResult:
    evidence = {"canary_devices": float(canary.devices), "canary_samples": canary.total, "canary": canary.value}
    if found is not None:
        evidence |= {"control": found.control, "low": found.low, "high": found.high, "margin": margin}
    return GateResult(
        gate=name,
        verdict=verdict,
        reason=reason,
        evidence={key: value for key, value in evidence.items() if math.isfinite(value)},
    )
