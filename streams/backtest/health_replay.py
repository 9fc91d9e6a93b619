"""The replay of model health, samples and labels: partition by partition, by the health worker's rules."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence

from schemas.catalogue import topic_named
from schemas.drift_alert import DriftAlert
from schemas.errors import BadRecordError
from streams.backtest.candidate import Candidate
from streams.backtest.counts import Counts
from streams.backtest.history import Share
from streams.backtest.history.entry import Entry, made
from streams.backtest.players import HealthAsThen
from streams.backtest.task import Task
from streams.drift.policy import InForce, Timeline
from streams.health.partition import HEALTH, LABELS, SAMPLES, HealthPartition

__all__ = ["HealthReplay"]

# How records of one moment come: which prediction a label is about should be known.
_READ = (HEALTH, SAMPLES, LABELS)
_TOPICS = {name: topic_named(name) for name in _READ}


class HealthReplay:
    """The partitions of one task."""

    def __init__(self, task: Task, counts: Counts) -> None:
        self._candidates, self._then, self._counts = task.health_candidates, task.then, counts
        self._partitions: dict[int, dict[str, HealthPartition]] = {}
        self._as_then: dict[int, HealthAsThen] = {}

    def play(
        self, task: Task, shares: Sequence[Share], told: Callable[[int], None], *, counts: bool
    ) -> Iterator[tuple[str, list[DriftAlert]]]:
        """Replay shares, each partition's in the order of arrival.

        Yields a policy's name with the alerts that changed; those of then have none.
        """
        for number in sorted({share.partition for share in shares}):
            mine = sorted(
                (share for share in shares if share.partition == number), key=lambda one: _READ.index(one.topic)
            )
            streams = [_entries(task, share, told) for share in mine]
            players = self._partitions.setdefault(number, _players(self._candidates))
            for topic, entry in heapq.merge(*streams, key=lambda pair: pair[1].at_ms):
                try:
                    record = made(_TOPICS[topic], entry)
                except BadRecordError as bad:
                    self._counts.bad += counts
                    self._counts.note(str(bad), int(counts))
                    continue
                for name, player in players.items():
                    yield name, player.take(topic, record, arrived_ms=entry.at_ms)
                if self._then is not None and entry.offset not in self._then.left_out[topic].get(number, ()):
                    yield "", self._player_then(number).play(topic, record, entry)

    def end(self, at_ms: int) -> Iterable[list[DriftAlert]]:
        """Heed what happened up to a time, though no record came to remind of it."""
        return [player.end(at_ms) for player in self._as_then.values()]

    def _player_then(self, number: int) -> HealthAsThen:
        assert self._then is not None  # noqa: S101  (the caller looked)
        if number not in self._as_then:
            timeline = self._then.timelines[HEALTH].get(number, Timeline())
            self._as_then[number] = HealthAsThen(timeline, self._then.surroundings(HEALTH, number))
        return self._as_then[number]


def _entries(task: Task, share: Share, told: Callable[[int], None]) -> Iterator[tuple[str, Entry]]:
    for entries in task.history.entries(share):
        told(len(entries))
        yield from ((share.topic, entry) for entry in entries)


def _players(candidates: Sequence[Candidate]) -> dict[str, HealthPartition]:
    return {
        one.name: HealthPartition(InForce(policy_id=one.name, document=one.document, rules=one.rules))
        for one in candidates
    }
