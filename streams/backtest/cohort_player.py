"""Cohorts, merged and judged as their worker does: shares in, alerts of cohorts out.

A share counts from the time as of which it was told: a worker that keeps up publishes it at that moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.catalogue import topic_named
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import CohortPane
from schemas.errors import BadRecordError
from schemas.partition import partition_of
from streams.backtest.happenings import Asked
from streams.drift.alerts import AlertBook
from streams.drift.cohort_log import TOPIC
from streams.drift.cohort_merger import Merger
from streams.drift.known import Known
from streams.drift.policy import InForce
from streams.drift.requests import heed

__all__ = ["CohortPlayer", "Since"]

_MANY = topic_named(TOPIC).partitions


@dataclass(frozen=True, slots=True)
class Since:
    """From then on this policy counted; broker time."""

    at_ms: int
    policy: InForce


class CohortPlayer:
    """All cohorts, under policies by partition of their topic and amid what operators asked; both in order of time."""

    def __init__(
        self, known: Known, policies: Mapping[int, Sequence[Since]], asked: Sequence[Asked] = (), *, settle_ms: int
    ) -> None:
        self._known, self._settle_ms = known, settle_ms
        self._players = {
            number: _Player(sorted([*since, *asked], key=lambda one: one.at_ms), settle_ms)
            for number, since in policies.items()
        }

    def take(self, share: CohortPane) -> list[DriftAlert]:
        """Take a share in, later than those before; returns the alerts that changed up to then."""
        player = self._players.get(partition_of(share.cohort, _MANY))
        if player is None:
            return []
        changed = player.pass_to(share.as_of_ms)
        against = self._known.against(share.model_id, share.grid_id)
        if not isinstance(against, str):
            try:
                player.merger.take(share, against, share.as_of_ms)
            except BadRecordError:
                # A worker makes a dead letter of it.
                return changed
        return changed

    def end(self, at_ms: int) -> list[DriftAlert]:
        """Let time pass though no share comes; returns the alerts that this changed."""
        return [alert for player in self._players.values() for alert in player.pass_to(at_ms)]


class _Player:
    """The cohorts of one partition."""

    def __init__(self, happenings: Sequence[Since | Asked], settle_ms: int) -> None:
        first = next((one.policy for one in happenings if isinstance(one, Since)), InForce())
        self.merger = Merger(first, settle_ms=settle_ms)
        # What is silenced, by itself: a book without alerts.
        self._silences = AlertBook()
        self._happenings, self._heeded = happenings, 0

    def pass_to(self, at_ms: int) -> list[DriftAlert]:
        changed: list[DriftAlert] = []
        while self._heeded < len(self._happenings) and self._happenings[self._heeded].at_ms <= at_ms:
            one = self._happenings[self._heeded]
            self._heeded += 1
            changed += self.merger.pass_time(one.at_ms).alerts
            if isinstance(one, Since):
                self.merger.take_up(one.policy)
            else:
                changed += self._asked(one)
        return [*changed, *self.merger.pass_time(at_ms).alerts]

    def _asked(self, one: Asked) -> list[DriftAlert]:
        heed(self._silences, one.request)
        self.merger.silences = self._silences.silences
        return self.merger.each_book(lambda book: heed(book, one.request))
