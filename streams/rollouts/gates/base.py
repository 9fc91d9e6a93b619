"""What a gate is: limits that people set, and a verdict over the evidence that canary and control gave."""

from typing import Protocol

from schemas.rollouts import GateResult
from streams.rollouts.gates.evidence import Evidence

__all__ = ["Gate"]


class Gate(Protocol):
    """A frozen dataclass of limits."""

    def judge(self, name: str, evidence: Evidence) -> GateResult:
        """Say what the evidence amounts to; the same evidence gives the same verdict."""
