"""The replay of some partitions: windows of a stretch of time, through the live engine, under any number of policies.

What a device gets depends on its own windows alone, so partitions may be replayed together or apart, in one process
or several: the answer is the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.drift_alert import DriftAlert
from schemas.stats_run import only
from streams.backtest.abreast import Piece, abreast, by_tick, joined
from streams.backtest.counts import Counts
from streams.backtest.health_replay import HealthReplay
from streams.backtest.history import Share, StatsBatch
from streams.backtest.inject import Injector
from streams.backtest.logbook import Logbook
from streams.backtest.midway import Midway
from streams.backtest.players import AS_THEN, AsThen, Candidates, Played
from streams.backtest.share_files import ShareFiles
from streams.backtest.stories import Stories
from streams.backtest.task import Task, Then
from streams.drift.desk import SOURCE, Usable, stretch, usable
from streams.drift.known import Known
from streams.drift.partition import Stretch
from streams.drift.policy import Timeline

__all__ = ["Replayed", "replay"]

_OF_THIS_PROCESS = ("_task", "_told", "_midway", "_shares")


@dataclass
class Replayed:
    """What a replay found."""

    stories: dict[str, Stories]
    logbook: Logbook = field(default_factory=Logbook)
    counts: Counts = field(default_factory=Counts)
    # Every change of an alert of then, in order, where that was asked for.
    as_then: list[DriftAlert] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    # How much was told of cohorts, by file.
    shares: Mapping[str, int] = field(default_factory=dict)


def replay(
    task: Task, shares: Path, told: Callable[[int], None] = lambda _: None, midway: Midway | None = None
) -> Replayed:
    """Replay some partitions, and leave in the folder `shares` what they tell of cohorts.

    `told` hears how many more records are done, `midway` keeps what is under way.
    """
    return _Replay(task, ShareFiles(shares), told, midway or Midway(None, every_s=0, shared={})).run()


class _Replay:
    def __init__(self, task: Task, shares: ShareFiles, told: Callable[[int], None], midway: Midway) -> None:
        self._task, self._shares, self._told, self._midway = task, shares, told, midway
        self._known = Known(task.grids, task.baselines)
        names = [one.name for one in task.candidates]
        self._found = Replayed(
            {name: Stories() for name in names}, Logbook(step_ms=task.step_ms, split_ms=task.split_ms)
        )
        self._candidates = self._made_candidates()
        self._injector = Injector(task.injections) if task.injections else None
        self._then: dict[int, AsThen] = {}
        # Comes when all windows were taken.
        self._health: HealthReplay | None = None
        # How far windows were taken, in the warm-up (False) and behind it, by partition; how many records that is.
        self._reached: dict[tuple[bool, int], int] = {}
        self._done = 0
        self._troubles: list[str] = []
        # How far the files of shares count.
        self._told_of: Mapping[str, int] = {}
        if task.then is not None:
            self._found.stories[AS_THEN] = Stories()

    def _made_candidates(self) -> Candidates | None:
        task = self._task
        if not task.candidates:
            return None
        twins = {one.twin for one in task.injections}
        return Candidates(task.candidates, task.cohort_candidates, task.all_labels, twins)

    def run(self) -> Replayed:
        self._go_on()
        for shares, counts in ((self._task.warm_up, False), (self._task.shares, True)):
            for pieces in abreast([self._reader(share, counts) for share in shares]):
                for some in by_tick(pieces, self._candidates.panes_ms if self._candidates else ()):
                    self._tell(min(int(piece.arrival_ms[piece.first]) for piece in some))
                    self._take(some, counts)
                for piece in pieces:
                    self._reached[counts, piece.partition] = int(piece.batch.offsets[piece.end - 1])
                if self._midway.is_due():
                    self._keep_on_the_way()
            if not counts:
                self._let_pass(self._task.span.from_ms, counts=False)
        health = self._health = HealthReplay(self._task, self._found.counts)
        for shares, counts in zip(self._task.health, (False, True), strict=True):
            for name, alerts in health.play(self._task, shares, self._told, counts=counts):
                self._told_of_health(name, alerts, counts)
            if not counts:
                self._let_pass(self._task.span.from_ms, counts=False)
        self._let_pass(self._task.span.to_ms, counts=True)
        self._tell(self._task.span.to_ms - 1)
        self._shares.flush()
        self._found.shares = self._shares.lengths
        self._found.troubles += [*self._troubles, *self._task.history.troubles]
        return self._found

    def _reader(self, share: Share, counts: bool) -> tuple[int, Iterator[StatsBatch]]:
        left = replace(share, after=self._reached.get((counts, share.partition), -1))
        return share.partition, self._task.history.stats(left, self._known.shape_of)

    def _go_on(self) -> None:
        """Be where an interrupted replay was."""
        found = self._midway.find()
        if found is not None and self._shares.begin(found["_told_of"]):
            vars(self).update(found)
            self._told(self._done)
        else:
            self._shares.begin({})

    def _keep_on_the_way(self) -> None:
        self._troubles += self._task.history.troubles
        self._task.history.troubles.clear()
        self._shares.flush()
        self._told_of = dict(self._shares.lengths)
        self._midway.keep({name: held for name, held in vars(self).items() if name not in _OF_THIS_PROCESS})

    def _tell(self, arrived_ms: int) -> None:
        """Have partitions tell what is due of cohorts."""
        if self._candidates is not None:
            for audience, share in self._candidates.tell(arrived_ms):
                self._shares.write(audience, share.source_partition, [share])

    def _told_of_health(self, name: str, alerts: list[DriftAlert], counts: bool) -> None:
        if name:
            self._found.stories[name].take(alerts)
        else:
            self._told_then(alerts, counts)

    def _let_pass(self, until_ms: int, *, counts: bool) -> None:
        """Heed what happened before a time, though no window came to remind of it."""
        for partition, drift in self._then.items():
            self._play_on(partition, drift.end(until_ms - 1), counts)
        for alerts in self._health.end(until_ms - 1) if self._health is not None else ():
            self._told_then(alerts, counts)

    def _play_on(self, partition: int, played: Played, counts: bool) -> None:
        self._told_then(played.alerts.pop(AS_THEN, []), counts)
        self._shares.write(AS_THEN, partition, played.shares)

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
                if self._candidates is not None:
                    self._candidates.note(piece.partition, part.grid_id, found.windows)
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
            self._then[partition] = AsThen(timeline, then.surroundings(SOURCE, partition), number=partition)
        played = self._then[partition].play(found)
        self._play_on(partition, played, counts)
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


def _shortened(why: str) -> str:
    """Leave out what differs from record to record, so that reasons can be counted."""
    return why.partition(" s after its arrival")[0].rstrip("0123456789 ") if " s after its arrival" in why else why
