"""Late labels: what predictions should have been, joined to them by id within a bounded time."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.sample import Label, Sample

__all__ = ["LabelJoin", "Outcome", "Quality"]

S = TypeVar("S", Sample, Label)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One prediction beside its truth."""

    device_id: str
    model_id: str
    predicted: bool
    truth: bool
    at_ms: int


class LabelJoin:
    """Predictions wait for their labels, and labels for their predictions: either may come first.

    Who has waited longer than `wait_ms` of event time, or is the oldest of more than `most`, is let go and counted.
    """

    def __init__(self, *, wait_ms: int, most: int) -> None:
        self._wait_ms = wait_ms
        self._most = most
        self._samples: OrderedDict[str, Sample] = OrderedDict()
        self._labels: OrderedDict[str, Label] = OrderedDict()
        self._newest_ms = 0
        self.expired = 0

    def predicted(self, sample: Sample) -> Outcome | None:
        label = self._labels.pop(sample.prediction_id, None)
        if label is None:
            self._samples[sample.prediction_id] = sample
            self._let_go(sample.at_ms)
            return None
        return _outcome(sample, label)

    def labelled(self, label: Label) -> Outcome | None:
        sample = self._samples.pop(label.prediction_id, None)
        if sample is None:
            self._labels[label.prediction_id] = label
            self._let_go(label.at_ms)
            return None
        return _outcome(sample, label)

    def _let_go(self, at_ms: int) -> None:
        self._newest_ms = max(self._newest_ms, at_ms)
        self.expired += _drop_oldest(self._samples, self._most, self._newest_ms - self._wait_ms)
        self.expired += _drop_oldest(self._labels, self._most, self._newest_ms - self._wait_ms)


def _drop_oldest(waiting: "OrderedDict[str, S]", most: int, since_ms: int) -> int:
    dropped = 0
    while waiting and (len(waiting) > most or next(iter(waiting.values())).at_ms < since_ms):
        waiting.popitem(last=False)
        dropped += 1
    return dropped


def _outcome(sample: Sample, label: Label) -> Outcome:
    return Outcome(
        device_id=sample.device_id,
        model_id=sample.model_id,
        predicted=sample.anomaly,
        truth=label.value >= 0.5,
        at_ms=label.at_ms,
    )


@dataclass(slots=True)
class Quality:
    """Accuracy, precision and recall over the last outcomes of one model on one device."""

    window: int = 200
    _outcomes: deque[tuple[bool, bool]] = field(default_factory=deque)
    _table: dict[tuple[bool, bool], int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        cell = (outcome.predicted, outcome.truth)
        self._outcomes.append(cell)
        self._table[cell] = self._table.get(cell, 0) + 1
        if len(self._outcomes) > self.window:
            self._table[self._outcomes.popleft()] -= 1

    def values(self) -> Mapping[str, float]:
        """Return what can be said; before the window is full, nothing can.

        >>> quality = Quality(window=4)
        >>> for predicted, truth in [(True, True), (True, False), (False, False), (False, False)]:
        ...     quality.add(Outcome("d", "m/1", predicted, truth, 0))
        >>> quality.values()
        {'accuracy': 0.75, 'precision': 0.5, 'recall': 1.0}
        """
        if len(self._outcomes) < self.window:
            return {}
        hits, false_alarms, misses = (self._table.get(cell, 0) for cell in ((True, True), (True, False), (False, True)))
        values = {"accuracy": 1.0 - (false_alarms + misses) / self.window}
        if hits + false_alarms:
            values["precision"] = hits / (hits + false_alarms)
        if hits + misses:
            values["recall"] = hits / (hits + misses)
        return values
