"""What happened beside the telemetry: devices were labelled, operators asked for something; each at its broker time.

A worker heeds these as they come, between two of its runs. A replay heeds them before the first window that arrived
later: for a worker that kept up with its log, that is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.drift_alert import DriftAlert
from schemas.operators import OperatorRequest
from streams.drift.alerts import AlertBook
from streams.drift.labels import Labels
from streams.drift.requests import heed
from streams.drift.windows import Ints

__all__ = ["Asked", "Happening", "Labelled", "Surroundings"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """From then on a device had these labels."""

    at_ms: int
    device_id: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """An operator acknowledged or silenced alerts, or ended a silence."""

    at_ms: int
    request: OperatorRequest


Happening = Labelled | Asked


class Surroundings:
    """What one partition's worker knew of labels and silences; `happenings` are in order of time."""

    def __init__(self, happenings: Sequence[Happening]) -> None:
        self._happenings, self._heeded = happenings, 0
        self._at_ms = np.array([one.at_ms for one in happenings], np.int64)
        # What is silenced, by itself: a book without alerts.
        self._silences = AlertBook()
        self.labels = Labels()

    def turns(self, arrivals_ms: Ints) -> Ints:
        """Return how much had happened by each arrival."""
        return np.searchsorted(self._at_ms, arrivals_ms, side="right")

    def furnish(self, book: AlertBook) -> None:
        """Tell a new book what is silenced by now."""
        book.silences = dict(self._silences.silences)

    def pass_to(self, at_ms: int, book: AlertBook | None) -> list[DriftAlert]:
        """Heed what happened up to a time; returns the alerts that this changed."""
        changed: list[DriftAlert] = []
        while self._heeded < len(self._happenings) and self._at_ms[self._heeded] <= at_ms:
            one = self._happenings[self._heeded]
            self._heeded += 1
            if isinstance(one, Labelled):
                self.labels.put(one.device_id, one.labels)
                continue
            heed(self._silences, one.request)
            if book is not None:
                changed += heed(book, one.request)
        return changed
