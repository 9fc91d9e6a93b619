"""The replay of some partitions: windows of a stretch of time, through the live engine, under any number of policies.

What a device gets depends on its own windows alone, so partitions may be replayed together or apart, in one process
or several: the answer is the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.catalogue import topic_named
from schemas.drift_alert import DriftAlert
from schemas.errors import BadRecordError
from schemas.grid import Baseline, Grid
from schemas.stats_run import only
from streams.backtest.abreast import Piece, abreast, joined
from streams.backtest.candidate import Candidate
from streams.backtest.history import History, Share
from streams.backtest.history.entry import made
from streams.backtest.inject import Injection, Injector
from streams.backtest.logbook import Logbook
from streams.backtest.players import AsThen, Candidates, Played
from streams.backtest.span import Span
from streams.backtest.stories import Stories
from streams.drift.desk import Usable, stretch, usable
from streams.drift.known import Known
from streams.drift.partition import Stretch
from streams.drift.policy import InForce, Timeline
from streams.drift.presence import Tally
from streams.health.partition import HEALTH, HealthPartition

__all__ = ["AS_THEN", "Counts", "Replayed", "Task", "replay"]

AS_THEN = "as then"
_HEALTH = topic_named(HEALTH)


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
    # Model health: its shares, before the span and within, and the policies by which it is judged.
    health: tuple[Sequence[Share], Sequence[Share]] = ((), ())
    health_candidates: Sequence[Candidate] = ()
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
        self._health: dict[int, dict[str, HealthPartition]] = {}
        if task.timelines is not None:
            self._found.stories[AS_THEN] = Stories()

    def run(self) -> Replayed:
        for shares, counts in ((self._task.warm_up, False), (self._task.shares, True)):
            history = self._task.history
            readers = [(share.partition, history.stats(share, self._known.shape_of)) for share in shares]
            for pieces in abreast(readers):
                self._take(pieces, counts)
        for shares, counts in zip(self._task.health, (False, True), strict=True):
            for share in shares:
                self._take_health(share, counts)
        self._found.troubles += self._task.history.troubles
        return self._found

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

    def _take(self, pieces: Sequence[Piece], counts: bool) -> None:
        by_grid: dict[str, list[tuple[Usable, npt.NDArray[np.int64]]]] = {}
        for piece in pieces:
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
                if self._task.timelines is not None:
                    self._play_then(piece.partition, found, counts)
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

    def _play_then(self, partition: int, found: Usable, counts: bool) -> None:
        played = self._as_then(partition, stretch(found.windows, found.against, self._task.labels))
        if counts:
            self._found.as_then += played.alerts[AS_THEN]
        self._keep(played, counts, measured=self._candidates is None)

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
