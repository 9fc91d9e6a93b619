"""Which single predictions are sent: every anomaly with its context up to a rate, and some at random."""

import math
import uuid
from collections import deque
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from edge_gateway.config import SamplingConfig
from edge_gateway.inference import Decisions
from schemas.sample import SampledBecause
from sensing.tally import Ints

__all__ = ["Kept", "Sampler", "prediction_id"]

# Any fixed one will do; ids of the same prediction are the same wherever they are worked out.
_NAMESPACE = uuid.UUID("6f0e5f0a-3a5e-4d53-8f0c-3f1f6f6f3b5e")


def prediction_id(device_id: str, model_id: str, stream: str, at_ms: int) -> str:
    """Return the id that labels refer to."""
    return str(uuid.uuid5(_NAMESPACE, f"{device_id}/{model_id}/{stream}/{at_ms}"))


@dataclass(frozen=True, slots=True)
class Kept:
    """A prediction that is sent."""

    stream: str
    at_ms: int
    vector: NDArray[np.float32]
    score: float
    anomaly: bool
    confidence: float
    because: SampledBecause


@dataclass(slots=True)
class _Budget:
    """What is left of one window's share."""

    anomalies: int
    seen: int = 0
    # Which of the window's predictions is chosen next, and what the leap to the one after it hangs on.
    next: int = 0
    weight: float = 1.0
    uniform: list[Kept] = field(default_factory=list)


class Sampler:
    """Chooses among the predictions of one model; a uniform choice is known when its window closes."""

    def __init__(self, config: SamplingConfig, rng: Random) -> None:
        self._config = config
        self._rng = rng
        self._budget = _Budget(config.anomalies_per_window)
        self._past: dict[str, deque[Kept]] = {}

    def add(self, stream: str, at_ms: Ints, matrix: NDArray[np.float32], decisions: Decisions) -> list[Kept]:
        """Take note of predictions; return the anomalies to send now, each after its context."""
        chosen: list[Kept] = []
        context, behind = self._config.context, 0
        for row in np.flatnonzero(decisions.anomaly)[: self._budget.anomalies].tolist():
            past = self._remember(stream, range(max(row - context, behind), row), at_ms, matrix, decisions)
            chosen += [*past, _kept(stream, row, at_ms, matrix, decisions, SampledBecause.ANOMALY)]
            # Each vector goes out once, even where anomalies follow each other.
            past.clear()
            behind = row + 1
            self._budget.anomalies -= 1
        rows = len(matrix)
        self._remember(stream, range(max(rows - context, behind), rows), at_ms, matrix, decisions)
        self._draw(stream, at_ms, matrix, decisions)
        return chosen

    def close(self) -> list[Kept]:
        """End the window: return its uniform choice, and begin the next share."""
        chosen = self._budget.uniform
        self._budget = _Budget(self._config.anomalies_per_window)
        return chosen

    def _remember(
        self, stream: str, rows: range, at_ms: Ints, matrix: NDArray[np.float32], decisions: Decisions
    ) -> deque[Kept]:
        past = self._past.setdefault(stream, deque(maxlen=self._config.context))
        past.extend(_kept(stream, row, at_ms, matrix, decisions, SampledBecause.CONTEXT) for row in rows)
        return past

    def _draw(self, stream: str, at_ms: Ints, matrix: NDArray[np.float32], decisions: Decisions) -> None:
        """Li's algorithm L: after each prediction, all of the window were equally likely to be among the chosen."""
        budget, size = self._budget, self._config.uniform_per_window
        if not size:
            return
        first, budget.seen = budget.seen, budget.seen + len(matrix)
        while budget.next < budget.seen:
            kept = _kept(stream, budget.next - first, at_ms, matrix, decisions, SampledBecause.UNIFORM)
            if len(budget.uniform) < size:
                budget.uniform.append(kept)
            else:
                budget.uniform[self._rng.randrange(size)] = kept
            budget.next += 1 if len(budget.uniform) < size else self._leap(budget, size)

    def _leap(self, budget: _Budget, size: int) -> int:
        """How far it is to the next prediction that is chosen; ever farther, as the window fills."""
        # `random` is below 1 and may be 0.
        budget.weight *= (1 - self._rng.random()) ** (1 / size)
        if budget.weight >= 1:
            return 1
        return 1 + int(math.log(1 - self._rng.random()) / math.log1p(-budget.weight))


def _kept(
    stream: str,
    row: int,
    at_ms: Ints,
    matrix: NDArray[np.float32],
    decisions: Decisions,
    because: SampledBecause,
) -> Kept:
    return Kept(
        stream=stream,
        at_ms=int(at_ms[row]),
        vector=matrix[row].copy(),
        score=float(decisions.score[row]),
        anomaly=bool(decisions.anomaly[row]),
        confidence=float(decisions.confidence[row]),
        because=because,
    )
