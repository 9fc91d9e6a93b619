"""What a model is worth on a device: measured where labels come, estimated from its confidence where they do not."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.health.labels import Outcome

__all__ = ["Estimate", "Quality"]

# Outcomes without which nobody can say whether confidences are true, and how far they may be off.
_LEAST_OUTCOMES = 50
_MOST_OFF = 0.05


@dataclass(slots=True)
class Quality:
    """Accuracy, precision and recall over the last outcomes of one model on one device."""

    window: int = 200
    outcomes: "deque[tuple[bool, bool, float]]" = field(default_factory=deque)

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append((outcome.predicted, outcome.truth, outcome.confidence))
        self.trim()

    def trim(self) -> None:
        """Let go of what is older than the window."""
        while len(self.outcomes) > self.window:
            self.outcomes.popleft()

    def values(self) -> Mapping[str, float]:
        """Return what can be said; before the window is full, nothing can.

        >>> quality = Quality(window=4)
        >>> for predicted, truth in [(True, True), (True, False), (False, False), (False, False)]:
        ...     quality.add(Outcome("d", "m/1", predicted, truth, 0))
        >>> quality.values()
        {'accuracy': 0.75, 'precision': 0.5, 'recall': 1.0}
        """
        if len(self.outcomes) < self.window:
            return {}
        hits = sum(predicted and truth for predicted, truth, _ in self.outcomes)
        false_alarms = sum(predicted and not truth for predicted, truth, _ in self.outcomes)
        misses = sum(truth and not predicted for predicted, truth, _ in self.outcomes)
        return _rates(len(self.outcomes) - false_alarms - misses, hits, false_alarms, misses, prefix="")

    def confidence_is_true(self) -> bool:
        """Say whether the model was right about as often as it said it would be; without outcomes it is not known."""
        sure = [(confidence, predicted == truth) for predicted, truth, confidence in self.outcomes]
        sure = [(confidence, right) for confidence, right in sure if not math.isnan(confidence)]
        if len(sure) < _LEAST_OUTCOMES:
            return False
        promised = math.fsum(confidence for confidence, _ in sure) / len(sure)
        kept = sum(right for _, right in sure) / len(sure)
        # Beyond the tolerance, and beyond what chance does to so few.
        return abs(promised - kept) <= _MOST_OFF + math.sqrt(max(kept * (1 - kept), 1e-4) / len(sure))


@dataclass(slots=True)
class Estimate:
    """Confidence-based estimation: a model that says 0.9 and means it is right nine times of ten.

    Expected counts of hits and misses follow from the confidence of each decision, without any label; they are as
    true as the confidences are. Only samples that were kept at random count.
    """

    window: int = 200
    decisions: "deque[tuple[bool, float]]" = field(default_factory=deque)

    def add(self, predicted: bool, confidence: float) -> None:
        if math.isnan(confidence):
            return
        self.decisions.append((predicted, min(max(confidence, 0.0), 1.0)))
        self.trim()

    def trim(self) -> None:
        """Let go of what is older than the window."""
        while len(self.decisions) > self.window:
            self.decisions.popleft()

    def values(self) -> Mapping[str, float]:
        """Return what can be said; before the window is full, nothing can.

        >>> estimate = Estimate(window=4)
        >>> for predicted, confidence in [(True, 0.8), (False, 0.9), (False, 1.0), (False, 0.9)]:
        ...     estimate.add(predicted, confidence)
        >>> {name: round(value, 3) for name, value in estimate.values().items()}
        {'estimated_accuracy': 0.9, 'estimated_precision': 0.8, 'estimated_recall': 0.8}
        """
        if len(self.decisions) < self.window:
            return {}
        hits = math.fsum(confidence for predicted, confidence in self.decisions if predicted)
        false_alarms = math.fsum(1 - confidence for predicted, confidence in self.decisions if predicted)
        misses = math.fsum(1 - confidence for predicted, confidence in self.decisions if not predicted)
        return _rates(len(self.decisions) - false_alarms - misses, hits, false_alarms, misses, prefix="estimated_")


def _rates(right: float, hits: float, false_alarms: float, misses: float, *, prefix: str) -> dict[str, float]:
    values = {f"{prefix}accuracy": right / (right + false_alarms + misses)}
    if hits + false_alarms > 0:
        values[f"{prefix}precision"] = hits / (hits + false_alarms)
    if hits + misses > 0:
        values[f"{prefix}recall"] = hits / (hits + misses)
    return values
