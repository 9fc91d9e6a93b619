"""Players: what windows are fed to, and what tells the alerts that came of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert
from schemas.model_health import ModelHealth
from streams.backtest.candidate import Candidate
from streams.backtest.happenings import Surroundings
from streams.backtest.jury import Jury
from streams.drift.desk import Usable, stretch
from streams.drift.engine import Engine
from streams.drift.judge import needs_of
from streams.drift.labels import names_that_matter
from streams.drift.measured import Measured
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import Against, InForce, Timeline
from streams.drift.presence import Tally
from streams.drift.windows import Ints
from streams.health.partition import HEALTH, HealthPartition

__all__ = ["AS_THEN", "AsThen", "Candidates", "HealthAsThen", "Played"]

# The name under which stands what was alerted by the policies of then.
AS_THEN = "as then"
HOUR_MS = 3_600_000


@dataclass
class Played:
    """What came of a stretch: changed alerts by candidate, and what was measured on the first horizon."""

    alerts: dict[str, list[DriftAlert]] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class Measure(NamedTuple):
    """What of a policy says how windows are measured, before anybody judges."""

    horizons_ms: tuple[int, ...]
    reference: str


class Candidates:
    """Any number of policies side by side: windows are measured once for all that measure alike."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._by_measure: dict[Measure, list[Candidate]] = {}
        for one in candidates:
            self._by_measure.setdefault(Measure(one.rules.horizons_ms, one.rules.reference), []).append(one)
        self._engines: dict[tuple[str, Measure], Engine] = {}
        self._juries = {
            measure: Jury({one.name: one.rules for one in alike}) for measure, alike in self._by_measure.items()
        }

    def play(self, stretch: Stretch) -> Played:
        played = Played()
        for place, (measure, alike) in enumerate(self._by_measure.items()):
            engine = self._engine(stretch, measure, alike)
            admitted = engine.admit(stretch.windows, stretch.groups, stretch.which)
            fast = [one for one in admitted.measured if one.horizon_ms == measure.horizons_ms[0]]
            played.alerts |= self._juries[measure].judge(engine.grid_id, engine.shape, admitted.measured)
            if not place:
                played.measured, played.tally = fast, admitted.tally
        return played

    def _engine(self, stretch: Stretch, measure: Measure, alike: Sequence[Candidate]) -> Engine:
        grid = stretch.groups[0].against.grid
        engine = self._engines.get((grid.grid_id, measure))
        if engine is None:
            shape = GridShape(features=len(grid.features), bins=grid.bins)
            needs = needs_of([one.rules for one in alike], shape.bins)
            engine = Engine(grid_id=grid.grid_id, shape=shape, needs=needs, **measure._asdict())
            self._engines[grid.grid_id, measure] = engine
        return engine


class AsThen:
    """One partition, judged by the policy that counted for each offset and amid what happened, as its worker did."""

    def __init__(self, timeline: Timeline, surroundings: Surroundings) -> None:
        self._timeline, self._around = timeline, surroundings
        self._partition: Partition | None = None
        # Where horizons change, a worker fills rings anew from the log: what it then has, by the offset of the change.
        self._hold_past = any(policy.rules.reference == Against.EARLIER for _, policy in timeline.spans)
        self._next = {offset: self._fresh(policy) for offset, policy in _changes_of_horizons(timeline)}

    def play(self, found: Usable) -> Played:
        """Judge windows; the alerts are those that they, and what happened before them, changed."""
        played = Played()
        offsets, arrivals_ms = found.windows.offset, np.maximum.accumulate(found.windows.arrival_ms)
        for first, end, policy in self._timeline.pieces(int(offsets.min()), int(offsets.max()) + 1):
            mine = np.flatnonzero((offsets >= first) & (offsets < end))
            for some in _by_turn(mine, arrivals_ms[mine] // HOUR_MS, self._around.turns(arrivals_ms[mine])):
                part = Usable(found.windows.take(some), found.against, [], set())
                self._work(part, policy or InForce(), int(arrivals_ms[some[0]]), played)
        return played

    def end(self, at_ms: int) -> list[DriftAlert]:
        """Heed what happened after the last window, up to a time; returns the alerts that this changed."""
        return self._around.pass_to(at_ms, None if self._partition is None else self._partition.book)

    def _work(self, part: Usable, policy: InForce, arrived_ms: int, played: Played) -> None:
        happened = self.end(arrived_ms)
        partition = self._under(policy, int(part.windows.offset[0]))
        aged = partition.pass_time(arrived_ms)
        labels = self._around.labels
        labels.matter(names_that_matter(policy.rules))
        windows = stretch(part.windows, part.against, labels.mattering)
        outcome = partition.work([windows])
        played.alerts.setdefault(AS_THEN, []).extend([*happened, *aged, *outcome.alerts])
        played.tally.plus(outcome.tally)
        fast_ms = partition.rules.horizons_ms[0]
        played.measured += [one.measured for one in outcome.judged if one.measured.horizon_ms == fast_ms]
        for later in self._next.values():
            later.work([windows])

    def _under(self, policy: InForce, offset: int) -> Partition:
        partition = self._partition
        if partition is None:
            # What came before the first change is of the policy that counted there.
            self._next = {at: later for at, later in self._next.items() if at > offset}
            partition = self._partition = self._fresh(policy)
            self._around.furnish(partition.book)
            partition.book.labels = self._around.labels.all
        elif partition.rules.horizons_ms != policy.rules.horizons_ms:
            change = max(at for at in self._next if at <= offset)
            book, partition = partition.book, self._next.pop(change)
            book.policy_id, book.policy_revision = policy.policy_id, policy.revision
            partition.book, self._partition = book, partition
        if (partition.policy_id, partition.policy_revision) != (policy.policy_id, policy.revision):
            partition.take_up(policy.rules, policy_id=policy.policy_id, policy_revision=policy.revision)
        return partition

    def _fresh(self, policy: InForce) -> Partition:
        rules, revision = policy.rules, policy.revision
        return Partition(rules, policy_id=policy.policy_id, policy_revision=revision, hold_past=self._hold_past)


class HealthAsThen:
    """One partition of model health, judged as its worker did."""

    def __init__(self, timeline: Timeline, surroundings: Surroundings) -> None:
        self._timeline, self._around = timeline, surroundings
        self._partition: HealthPartition | None = None

    def play(self, record: ModelHealth, *, offset: int, arrived_ms: int) -> list[DriftAlert]:
        """Judge a window; returns the alerts that it, and what happened before it, changed."""
        happened = self.end(arrived_ms)
        policy, partition = self._timeline.at(offset) or InForce(), self._partition
        if partition is None:
            partition = self._partition = HealthPartition(policy)
            self._around.furnish(partition.alerting.book)
        elif partition.policy != policy:
            partition.take_up(policy)
        return [*happened, *partition.take(HEALTH, record, arrived_ms=arrived_ms)]

    def end(self, at_ms: int) -> list[DriftAlert]:
        """Heed what happened after the last window, up to a time; returns the alerts that this changed."""
        return self._around.pass_to(at_ms, None if self._partition is None else self._partition.alerting.book)


def _by_turn(places: Ints, hours: Ints, happened: Ints) -> Iterator[Ints]:
    """Cut places where an hour of arrival turns, and where something happened."""
    turns = np.flatnonzero((np.diff(hours) != 0) | (np.diff(happened) != 0)) + 1
    return (some for some in np.split(places, turns) if len(some))


def _changes_of_horizons(timeline: Timeline) -> Iterator[tuple[int, InForce]]:
    for (_, before), (offset, policy) in pairwise(timeline.spans):
        if policy.rules.horizons_ms != before.rules.horizons_ms:
            yield offset, policy
