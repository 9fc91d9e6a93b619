"""Drift: does only the canary drift (the model), or its control as well (the world)?"""

from dataclasses import dataclass
from typing import Annotated

from schemas.rollouts import GateResult, GateVerdict
from streams.rollouts.documents import AtLeast, Share
from streams.rollouts.gates.evidence import Evidence, Group

__all__ = ["Drift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Alerts keep their own budget of false alarms, so shares of alerting devices are compared as they are."""

    # A group drifts when this share of its devices, and at least `min_devices`, have a firing alert.
    max_share: Share = 0.1
    min_devices: Annotated[int, AtLeast(1)] = 1
    # The control drifts as well when its share reaches this part of the canary's.
    like_control: Share = 0.5

    def judge(self, name: str, evidence: Evidence) -> GateResult:
        canary, control = evidence.canary, evidence.control
        if not canary.scored and not canary.alerting:
            return GateResult(gate=name, verdict=GateVerdict.NO_DATA, reason="no canary's drift was scored")
        verdict, reason = self._verdict(canary, control)
        return GateResult(
            gate=name,
            verdict=verdict,
            reason=reason,
            evidence={
                "canary_devices": float(_watched(canary)),
                "canary_alerting": float(len(canary.alerting)),
                "control_devices": float(_watched(control)),
                "control_alerting": float(len(control.alerting)),
            },
        )

    def _verdict(self, canary: Group, control: Group) -> tuple[GateVerdict, str]:
        here = f"{len(canary.alerting)} of {_watched(canary)} canaries drift"
        there = f"{len(control.alerting)} of {_watched(control)} of their control"
        drifts = len(canary.alerting) >= self.min_devices and _share(canary) > self.max_share
        if not drifts:
            return GateVerdict.PASS, here
        if not _watched(control):
            return GateVerdict.INCONCLUSIVE, f"{here}, and no control is left to tell whether the world does"
        if control.alerting and _share(control) >= self.like_control * min(_share(canary), 1.0):
            return GateVerdict.HOLD, f"{here} and {there}: the world changed"
        return GateVerdict.FAIL, f"{here}, {there}: {', '.join(sorted(set(canary.alerting.values())))}"


def _watched(group: Group) -> int:
    return len(group.scored | group.alerting.keys())


def _share(group: Group) -> float:
    return len(group.alerting) / _watched(group)
