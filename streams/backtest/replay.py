"""The replay of some partitions: windows of a stretch of time, through the live engine, under any number of policies.

What a device gets depends on its own windows alone, so partitions may be replayed together or apart, in one process
or several: the answer is the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from schemas.catalogue import topic_named
from schemas.drift_alert import DriftAlert
from schemas.errors import BadRecordError
from schemas.model_health import ModelHealth
from schemas.stats_run import only
from streams.backtest.abreast import Piece, abreast, joined
from streams.backtest.candidate import Candidate
from streams.backtest.history import Share, StatsBatch
from streams.backtest.history.entry import Entry, made
from streams.backtest.inject import Injector
from streams.backtest.logbook import Logbook
from streams.backtest.midway import Midway
from streams.backtest.players import AS_THEN, AsThen, Candidates, HealthAsThen, Played
from streams.backtest.stories import Stories
from streams.backtest.task import Task, Then
from streams.drift.desk import SOURCE, Usable, stretch, usable
from streams.drift.known import Known
from streams.drift.partition import Stretch
from streams.drift.policy import InForce, Timeline
from streams.drift.presence import Tally
from streams.health.partition import HEALTH, HealthPartition

__all__ = ["Counts", "Replayed", "replay"]

_HEALTH = topic_named(HEALTH)
_OF_THIS_PROCESS = ("_task", "_told", "_midway")


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


def replay(task: Task, told: Callable[[int], None] = lambda _: None, midway: Midway | None = None) -> Replayed:
    """Replay some partitions; `told` hears how many more records are done, `midway` keeps what is under way."""
    return _Replay(task, told, midway or Midway(None, every_s=0, shared={})).run()


class _Replay:
    def __init__(self, task: Task, told: Callable[[int], None], midway: Midway) -> None:
        self._task, self._told, self._midway = task, told, midway
        self._known = Known(task.grids, task.baselines)
        names = [one.name for one in task.candidates]
        self._found = Replayed(
            {name: Stories() for name in names}, Logbook(step_ms=task.step_ms, split_ms=task.split_ms)
        )
        self._candidates = Candidates(task.candidates) if task.candidates else None
        self._injector = Injector(task.injections) if task.injections else None
        self._then: dict[int, AsThen] = {}
        # How far windows were taken, in the warm-up (False) and behind it, by partition; how many records that is.
        self._reached: dict[tuple[bool, int], int] = {}
        self._done = 0
        self._troubles: list[str] = []
        self._health: dict[int, dict[str, HealthPartition]] = {}
        self._health_then: dict[int, HealthAsThen] = {}
        if task.then is not None:
            self._found.stories[AS_THEN] = Stories()

    def run(self) -> Replayed:
        self._go_on()
        for shares, counts in ((self._task.warm_up, False), (self._task.shares, True)):
            for pieces in abreast([self._reader(share, counts) for share in shares]):
                self._take(pieces, counts)
                for piece in pieces:
                    self._reached[counts, piece.partition] = int(piece.batch.offsets[piece.end - 1])
                if self._midway.is_due():
                    self._keep_on_the_way()
            if not counts:
                self._let_pass(self._task.span.from_ms, counts=False)
        for shares, counts in zip(self._task.health, (False, True), strict=True):
            for share in shares:
                self._take_health(share, counts)
            if not counts:
                self._let_pass(self._task.span.from_ms, counts=False)
        self._let_pass(self._task.span.to_ms, counts=True)
        self._found.troubles += [*self._troubles, *self._task.history.troubles]
        return self._found

    def _reader(self, share: Share, counts: bool) -> tuple[int, Iterator[StatsBatch]]:
        left = replace(share, after=self._reached.get((counts, share.partition), -1))
        return share.partition, self._task.history.stats(left, self._known.shape_of)

    def _go_on(self) -> None:
        """Be where an interrupted replay was."""
        found = self._midway.find()
        if found is not None:
            vars(self).update(found)
            self._told(self._done)

    def _keep_on_the_way(self) -> None:
        self._troubles += self._task.history.troubles
        self._task.history.troubles.clear()
        self._midway.keep({name: held for name, held in vars(self).items() if name not in _OF_THIS_PROCESS})

    def _take_health(self, share: Share, counts: bool) -> None:
        """Replay one partition of model health, as the health worker judges it."""
        players = self._health.setdefault(share.partition, _health_players(self._task.health_candidates))
        for entries in self._task.history.entries(share):
            self._told(len(entries))
            for entry in entries:
                try:
                    record = made(_HEALTH, entry)
                except BadRecordError as bad:
                    self._found.counts.bad += counts
                    self._found.counts.note(str(bad), int(counts))
                    continue
                for name, player in players.items():
                    self._found.stories[name].take(player.take(HEALTH, record, arrived_ms=entry.at_ms))
                self._play_health_then(record, entry, counts)

    def _play_health_then(self, record: ModelHealth, entry: Entry, counts: bool) -> None:
        then, partition = self._task.then, entry.partition
        if then is None or entry.offset in then.left_out[HEALTH].get(partition, ()):
            return
        if partition not in self._health_then:
            timeline = then.timelines[HEALTH].get(partition, Timeline())
            self._health_then[partition] = HealthAsThen(timeline, then.surroundings(partition))
        player = self._health_then[partition]
        self._told_then(player.play(record, offset=entry.offset, arrived_ms=entry.at_ms), counts)

    def _let_pass(self, until_ms: int, *, counts: bool) -> None:
        """Heed what happened before a time, though no window came to remind of it."""
        for drift in self._then.values():
            self._told_then(drift.end(until_ms - 1), counts)
        for health in self._health_then.values():
            self._told_then(health.end(until_ms - 1), counts)

    def _told_then(self, alerts: list[DriftAlert], counts: bool) -> None:
        self._found.stories[AS_THEN].take(alerts)
        if counts:
            self._found.as_then += alerts

    def _take(self, pieces: Sequence[Piece], counts: bool) -> None:
        by_grid: dict[str, list[tuple[Usable, npt.NDArray[np.int64]]]] = {}
        for piece in pieces:
            self._done += piece.end - piece.first
            self._told(piece.end - piece.first)
            if counts:
                self._count(piece)
            for part in piece.batch.sorted.runs:
                mine = (part.positions >= piece.first) & (part.positions < piece.end)
                if not mine.any():
                    continue
                found = usable(part if mine.all() else only(part, mine), piece.batch.offsets, piece.batch.at_ms,
                               self._known)  # fmt: skip
                if counts:
                    self._refuse(found)
                if not len(found.windows):
                    continue
                if self._task.then is not None:
                    self._play_then(self._task.then, piece.partition, found, counts)
                places = np.searchsorted(piece.batch.offsets, found.windows.offset)
                by_grid.setdefault(part.grid_id, []).append((found, piece.arrival_ms[places]))
        for together in by_grid.values():
            windows = joined([found.windows for found, _ in together], [arrived for _, arrived in together])
            against = {model: one for found, _ in together for model, one in found.against.items()}
            self._play(stretch(windows, against, self._task.labels), counts)

    def _play(self, windows: Stretch, counts: bool) -> None:
        if counts:
            self._found.logbook.note_windows(windows.windows)
        if self._candidates is None:
            return
        self._keep(self._candidates.play(windows), counts, measured=True)
        if self._injector is not None:
            for more in self._injector.injected(windows):
                self._keep(self._candidates.play(more), counts, measured=False)

    def _play_then(self, then: Then, partition: int, found: Usable, counts: bool) -> None:
        missing = then.left_out[SOURCE].get(partition)
        if missing:
            there = np.flatnonzero(~np.isin(found.windows.offset, list(missing)))
            found = Usable(found.windows.take(there), found.against, [], set())
        if not len(found.windows):
            return
        if partition not in self._then:
            timeline = then.timelines[SOURCE].get(partition, Timeline())
            self._then[partition] = AsThen(timeline, then.surroundings(partition))
        played = self._then[partition].play(found)
        self._told_then(played.alerts.pop(AS_THEN, []), counts)
        self._keep(played, counts, measured=self._candidates is None)

    def _keep(self, played: Played, counts: bool, *, measured: bool) -> None:
        for name, alerts in played.alerts.items():
            if alerts:
                self._found.stories[name].take(alerts)
        if counts and measured:
            self._found.counts.tally.plus(played.tally)
            self._found.logbook.note_scores(played.measured)

    def _count(self, piece: Piece) -> None:
        counts, found = self._found.counts, piece.batch.sorted
        counts.records += piece.end - piece.first
        for bad in found.bad:
            if piece.first <= bad.position < piece.end:
                counts.bad += 1
                counts.note(_shortened(str(bad.why)))
        for unread in found.unread:
            if piece.first <= unread.position < piece.end:
                counts.note(_shortened(str(unread.why)))
        for grid_id, positions in found.unknown_grids.items():
            mine = sum(piece.first <= position < piece.end for position in positions)
            counts.refused += mine
            if mine:
                counts.note(f"grid {grid_id:.12}: found no such grid, wanted one on models.grids", mine)

    def _refuse(self, found: Usable) -> None:
        self._found.counts.refused += len(found.refused)
        for _, why in found.refused:
            self._found.counts.note(_shortened(why))


def _health_players(candidates: Sequence[Candidate]) -> dict[str, HealthPartition]:
    return {
        one.name: HealthPartition(InForce(policy_id=one.name, document=one.document, rules=one.rules))
        for one in candidates
    }


def _shortened(why: str) -> str:
    """Leave out what differs from record to record, so that reasons can be counted."""
    return why.partition(" s after its arrival")[0].rstrip("0123456789 ") if " s after its arrival" in why else why
