"""Which single predictions are sent: every anomaly with its context up to a rate, and some at random."""

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
        if not self._config.anomalies_per_window or not decisions.anomaly.any():
            self._remember(
                stream, range(max(len(matrix) - self._config.context, 0), len(matrix)), at_ms, matrix, decisions
            )
        else:
            for row in range(len(matrix)):
                chosen += self._with_context(stream, row, at_ms, matrix, decisions)
        self._draw(stream, at_ms, matrix, decisions)
        return chosen

    def close(self) -> list[Kept]:
        """End the window: return its uniform choice, and begin the next share."""
        chosen = self._budget.uniform
        self._budget = _Budget(self._config.anomalies_per_window)
        return chosen

    def _with_context(
        self, stream: str, row: int, at_ms: Ints, matrix: NDArray[np.float32], decisions: Decisions
    ) -> list[Kept]:
        past = self._past.setdefault(stream, deque(maxlen=self._config.context))
        if not decisions.anomaly[row] or self._budget.anomalies <= 0:
            self._remember(stream, range(row, row + 1), at_ms, matrix, decisions)
            return []
        self._budget.anomalies -= 1
        found = [*past, _kept(stream, row, at_ms, matrix, decisions, SampledBecause.ANOMALY)]
        # Each vector goes out once, even where anomalies follow each other.
        past.clear()
        return found

    def _remember(
        self, stream: str, rows: range, at_ms: Ints, matrix: NDArray[np.float32], decisions: Decisions
    ) -> None:
        past = self._past.setdefault(stream, deque(maxlen=self._config.context))
        past.extend(_kept(stream, row, at_ms, matrix, decisions, SampledBecause.CONTEXT) for row in rows)

    def _draw(self, stream: str, at_ms: Ints, matrix: NDArray[np.float32], decisions: Decisions) -> None:
        """Vitter's algorithm R: after each prediction, all of the window were equally likely to be among the chosen."""
        budget, size = self._budget, self._config.uniform_per_window
        if not size:
            return
        for row in range(len(matrix)):
            budget.seen += 1
            place = budget.seen - 1 if budget.seen <= size else self._rng.randrange(budget.seen)
            if place < size:
                kept = _kept(stream, row, at_ms, matrix, decisions, SampledBecause.UNIFORM)
                budget.uniform[place : place + 1] = [kept]


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
