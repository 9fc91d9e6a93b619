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

_LAST = 2**62


class Surroundings:
    """What one partition's worker knew of labels and silences; `happenings` are in order of time.

    `heeded_from` says, by request, before which offset the worker heeded it, where it said so.
    """

    def __init__(self, happenings: Sequence[Happening], heeded_from: Mapping[str, int] | None = None) -> None:
        known = heeded_from or {}
        placed = [one for one in happenings if isinstance(one, Asked) and one.request.request_id in known]
        # Once one request is heeded, so are those before it: offsets rise with time.
        self._placed = sorted(placed, key=lambda one: known[one.request.request_id])
        self._offsets = np.array([known[one.request.request_id] for one in self._placed], np.int64)
        names = {one.request.request_id for one in self._placed}
        self._timed = [one for one in happenings if not (isinstance(one, Asked) and one.request.request_id in names)]
        self._at_ms = np.array([one.at_ms for one in self._timed], np.int64)
        self._heeded, self._heeded_placed = 0, 0
        # What is silenced, by itself: a book without alerts.
        self._silences = AlertBook()
        self.labels = Labels()

    def turns(self, arrivals_ms: Ints, offsets: Ints) -> Ints:
        """Return how much had happened by each arrival."""
        by_time = np.searchsorted(self._at_ms, arrivals_ms, side="right")
        return by_time + np.searchsorted(self._offsets, offsets, side="right")

    def furnish(self, book: AlertBook) -> None:
        """Tell a new book what is silenced by now."""
        book.silences = dict(self._silences.silences)

    def pass_to(
        self, at_ms: int, book: AlertBook | None, *, before: int = _LAST, is_next: bool = False
    ) -> list[DriftAlert]:
        """Heed what happened up to a time; returns the alerts that this changed.

        `before` is the offset of the record to come; if it `is_next`, its place says what was heeded by then.
        """
        changed: list[DriftAlert] = []
        while self._heeded < len(self._timed) and self._at_ms[self._heeded] <= at_ms:
            one = self._timed[self._heeded]
            self._heeded += 1
            if isinstance(one, Labelled):
                self.labels.put(one.device_id, one.labels)
            else:
                changed += self._heed(one, book)
        while self._heeded_placed < len(self._placed) and self._offsets[self._heeded_placed] <= before:
            placed = self._placed[self._heeded_placed]
            if placed.at_ms > at_ms and not is_next:
                break
            self._heeded_placed += 1
            changed += self._heed(placed, book)
        return changed

    def _heed(self, one: Asked, book: AlertBook | None) -> list[DriftAlert]:
        heed(self._silences, one.request)
        return [] if book is None else heed(book, one.request)
