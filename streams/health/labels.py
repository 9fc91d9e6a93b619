"""Late labels: what predictions should have been, joined to them by id within a bounded time."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, Protocol, TypeVar

from schemas.sample import Label, Sample

__all__ = ["LabelJoin", "Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One prediction beside its truth."""

    device_id: str
    model_id: str
    predicted: bool
    truth: bool
    at_ms: int
    # How sure the model was; `nan` if unknown.
    confidence: float = math.nan


@dataclass(frozen=True, slots=True)
class _Predicted:
    """What of a sample is kept until its label comes."""

    device_id: str
    model_id: str
    anomaly: bool
    confidence: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class _Labelled:
    truth: bool
    at_ms: int


class _Waiting(Protocol):
    @property
    def at_ms(self) -> int: ...


W = TypeVar("W", bound=_Waiting)


class LabelJoin:
    """Predictions wait for their labels, and labels for their predictions: either may come first.

    Who has waited longer than `wait_ms` of event time, or is the oldest of more than `most`, is let go and counted.
    """

    def __init__(self, *, wait_ms: int, most: int) -> None:
        self._wait_ms = wait_ms
        self._most = most
        self._predicted: OrderedDict[str, _Predicted] = OrderedDict()
        self._labelled: OrderedDict[str, _Labelled] = OrderedDict()
        self._newest_ms = 0
        self.expired = 0

    def predicted(self, sample: Sample) -> Outcome | None:
        said = _Predicted(sample.device_id, sample.model_id, sample.anomaly, sample.confidence, sample.at_ms)
        label = self._labelled.pop(sample.prediction_id, None)
        if label is not None:
            return _outcome(said, label)
        self._predicted[sample.prediction_id] = said
        self._let_go(sample.at_ms)
        return None

    def labelled(self, label: Label) -> Outcome | None:
        told = _Labelled(label.value >= 0.5, label.at_ms)
        said = self._predicted.pop(label.prediction_id, None)
        if said is not None:
            return _outcome(said, told)
        self._labelled[label.prediction_id] = told
        self._let_go(label.at_ms)
        return None

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, fit for JSON."""
        return {
            "predicted": [[name, *astuple(said)] for name, said in self._predicted.items()],
            "labelled": [[name, *astuple(told)] for name, told in self._labelled.items()],
            "newest_ms": self._newest_ms,
            "expired": self.expired,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._predicted = OrderedDict((name, _Predicted(*said)) for name, *said in state["predicted"])
        self._labelled = OrderedDict((name, _Labelled(*told)) for name, *told in state["labelled"])
        self._newest_ms, self.expired = state["newest_ms"], state["expired"]

    def _let_go(self, at_ms: int) -> None:
        self._newest_ms = max(self._newest_ms, at_ms)
        self.expired += _drop_oldest(self._predicted, self._most, self._newest_ms - self._wait_ms)
        self.expired += _drop_oldest(self._labelled, self._most, self._newest_ms - self._wait_ms)


def _drop_oldest(waiting: "OrderedDict[str, W]", most: int, since_ms: int) -> int:
    dropped = 0
    while waiting and (len(waiting) > most or next(iter(waiting.values())).at_ms < since_ms):
        waiting.popitem(last=False)
        dropped += 1
    return dropped


def _outcome(said: _Predicted, label: _Labelled) -> Outcome:
    return Outcome(
        device_id=said.device_id,
        model_id=said.model_id,
        predicted=said.anomaly,
        truth=label.truth,
        at_ms=label.at_ms,
        confidence=said.confidence,
    )
