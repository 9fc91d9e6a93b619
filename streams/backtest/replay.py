"""The replay of some partitions: windows of a stretch of time, through the live engine, under any number of policies.

What a device gets depends on its own windows alone, so partitions may be replayed together or apart, in one process
or several: the answer is the same.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.drift_alert import DriftAlert
from schemas.grid import Baseline, Grid
from streams.backtest.candidate import Candidate
from streams.backtest.history import History, Share, StatsBatch
from streams.backtest.inject import Injection, Injector
from streams.backtest.logbook import Logbook
from streams.backtest.players import AsThen, Candidates, Played
from streams.backtest.span import Span
from streams.backtest.stories import Stories
from streams.drift.desk import stretch, usable
from streams.drift.known import Known
from streams.drift.partition import Stretch
from streams.drift.policy import InForce, Timeline
from streams.drift.presence import Tally

__all__ = ["AS_THEN", "Counts", "Replayed", "Task", "replay"]

AS_THEN = "as then"
_SOURCE = "telemetry.feature-stats"


@dataclass(frozen=True)
class Task:
    """What one process replays: shares of partitions, what they are judged against, and by which policies."""

    history: History
    # The stretch to report on, and before it what only warms state up.
    shares: Sequence[Share]
    warm_up: Sequence[Share]
    span: Span
    candidates: Sequence[Candidate]
    grids: Mapping[str, Grid]
    baselines: Mapping[str, Baseline]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # By partition, where alerts are to be those of then: what counted, and what was not judged.
    timelines: Mapping[int, Timeline] | None = None
    left_out: Mapping[int, frozenset[int]] = field(default_factory=dict)
    injections: Sequence[Injection] = ()
    # Scores are noted once in so long.
    step_ms: int = 15 * 60_000
    # Event time at which device-days are split in two; 0 for nowhere.
    split_ms: int = 0


@dataclass
class Counts:
    """What became of the records of a stretch."""

    records: int = 0
    bad: int = 0
    refused: int = 0
    tally: Tally = field(default_factory=Tally)
    # Why records could not be judged, with how often.
    reasons: dict[str, int] = field(default_factory=dict)

    def note(self, why: str, times: int = 1) -> None:
        self.reasons[why] = self.reasons.get(why, 0) + times

    def plus(self, other: "Counts") -> None:
        self.records, self.bad, self.refused = (
            self.records + other.records, self.bad + other.bad, self.refused + other.refused,
        )  # fmt: skip
        self.tally.plus(other.tally)
        for why, times in other.reasons.items():
            self.note(why, times)


@dataclass
class Replayed:
    """What a replay found."""

    stories: dict[str, Stories]
    logbook: Logbook = field(default_factory=Logbook)
    counts: Counts = field(default_factory=Counts)
    # Every change of an alert of then, in order, where that was asked for.
    as_then: list[DriftAlert] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def replay(task: Task, told: Callable[[int], None] = lambda _: None) -> Replayed:
    """Replay some partitions; `told` hears how many more records are done."""
    return _Replay(task, told).run()


class _Replay:
    def __init__(self, task: Task, told: Callable[[int], None]) -> None:
        self._task, self._told = task, told
        self._known = Known(task.grids, task.baselines)
        names = [one.name for one in task.candidates]
        self._found = Replayed(
            {name: Stories() for name in names}, Logbook(step_ms=task.step_ms, split_ms=task.split_ms)
        )
        self._candidates = Candidates(task.candidates) if task.candidates else None
        self._injector = Injector(task.injections) if task.injections else None
        self._then: dict[int, AsThen] = {}
        if task.timelines is not None:
            self._found.stories[AS_THEN] = Stories()

    def run(self) -> Replayed:
        for shares, counts in ((self._task.warm_up, False), (self._task.shares, True)):
            for partition, batch in _by_arrival(self._task.history, shares, self._known):
                self._take(partition, batch, counts)
        self._found.troubles += self._task.history.troubles
        return self._found

    def _take(self, partition: int, batch: StatsBatch, counts: bool) -> None:
        self._told(len(batch.offsets))
        if counts:
            self._count(batch)
        for part in batch.sorted.runs:
            found = usable(part, batch.offsets, batch.at_ms, self._known)
            if counts:
                self._found.counts.refused += len(found.refused)
                for _, why in found.refused:
                    self._found.counts.note(_shortened(why))
            if not len(found.windows):
                continue
            self._play(partition, stretch(found.windows, found.against, self._task.labels), counts)

    def _play(self, partition: int, windows: Stretch, counts: bool) -> None:
        if self._task.timelines is not None:
            played = self._as_then(partition, windows)
            if counts:
                self._found.as_then += played.alerts[AS_THEN]
            self._keep(played, counts, measured=self._candidates is None)
        if counts:
            self._found.logbook.note_windows(windows.windows)
        if self._candidates is None:
            return
        played = self._candidates.play(windows)
        self._keep(played, counts, measured=True)
        if self._injector is not None:
            for more in self._injector.injected(windows):
                self._keep(self._candidates.play(more), counts, measured=False)

    def _keep(self, played: Played, counts: bool, *, measured: bool) -> None:
        for name, alerts in played.alerts.items():
            if alerts:
                self._found.stories[name].take(alerts)
        if counts and measured:
            self._found.counts.tally.plus(played.tally)
            self._found.logbook.note_scores(played.measured)

    def _as_then(self, partition: int, windows: Stretch) -> Played:
        task = self._task
        assert task.timelines is not None  # noqa: S101  (who asks has looked)
        player = self._then.get(partition)
        if player is None:
            timeline = task.timelines.get(partition, Timeline())
            player = self._then[partition] = AsThen(AS_THEN, timeline, InForce())
        missing = task.left_out.get(partition)
        if missing:
            there = [i for i, offset in enumerate(windows.windows.offset.tolist()) if offset not in missing]
            windows = Stretch(windows.windows.take(np.array(there, np.int64)), windows.groups, windows.which[there])
        return player.play(windows) if len(windows.windows) else Played({AS_THEN: []})

    def _count(self, batch: StatsBatch) -> None:
        counts = self._found.counts
        counts.records += len(batch.offsets)
        counts.bad += len(batch.sorted.bad)
        for bad in batch.sorted.bad:
            counts.note(_shortened(str(bad.why)))
        for unread in batch.sorted.unread:
            counts.note(_shortened(str(unread.why)))
        for grid_id, positions in batch.sorted.unknown_grids.items():
            counts.refused += len(positions)
            counts.note(f"grid {grid_id:.12}: found no such grid, wanted one on models.grids", len(positions))


def _by_arrival(history: History, shares: Sequence[Share], known: Known) -> Iterator[tuple[int, StatsBatch]]:
    """Yield batches of all shares, those that begin earliest first: partitions keep about the same time."""
    readers = [history.stats(share, known.shape_of) for share in shares]
    waiting: list[tuple[int, int, StatsBatch]] = []

    def next_of(place: int) -> None:
        for batch in readers[place]:
            if len(batch.offsets):
                heapq.heappush(waiting, (int(batch.at_ms[0]), place, batch))
                return

    for place in range(len(readers)):
        next_of(place)
    while waiting:
        _, place, batch = heapq.heappop(waiting)
        yield shares[place].partition, batch
        next_of(place)


def _shortened(why: str) -> str:
    """Leave out what differs from record to record, so that reasons can be counted."""
    return why.partition(" s after its arrival")[0].rstrip("0123456789 ") if " s after its arrival" in why else why
