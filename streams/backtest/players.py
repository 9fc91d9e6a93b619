"""Players: what windows are fed to, and what tells the alerts that came of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import CohortPane
from streams.backtest.candidate import Candidate
from streams.backtest.cohort_teller import CohortTeller
from streams.backtest.happenings import Surroundings
from streams.backtest.history.entry import Entry
from streams.backtest.jury import Jury
from streams.drift.desk import Usable, stretch
from streams.drift.engine import Engine
from streams.drift.judge import needs_of
from streams.drift.labels import names_that_matter
from streams.drift.measured import Measured
from streams.drift.panes import pane_ms_of
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import Against, InForce, Rules, Timeline
from streams.drift.presence import Tally
from streams.drift.telling import GRACE_MS
from streams.drift.windows import Ints, Windows
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
    # What is told of cohorts.
    shares: list[CohortPane] = field(default_factory=list)


class Measure(NamedTuple):
    """What of a policy says how windows are measured, before anybody judges."""

    horizons_ms: tuple[int, ...]
    reference: str

    @classmethod
    def of(cls, rules: Rules) -> "Measure":
        return cls(rules.horizons_ms, rules.reference)

    @property
    def audience(self) -> str:
        """Return under which name goes what all who measure so are told of cohorts."""
        return f"{'-'.join(map(str, self.horizons_ms))}-{self.reference}"


class Candidates:
    """Any number of policies side by side: windows are measured once for all that measure alike.

    Some of them are told of cohorts.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        of_cohorts: Sequence[Candidate] = (),
        labels: Mapping[str, Mapping[str, str]] | None = None,
        twins: Collection[str] = (),
    ) -> None:
        self._by_measure: dict[Measure, list[Candidate]] = {}
        for one in candidates:
            self._by_measure.setdefault(Measure.of(one.rules), []).append(one)
        self._engines: dict[tuple[str, Measure], Engine] = {}
        self._juries = {
            measure: Jury({one.name: one.rules for one in alike}) for measure, alike in self._by_measure.items()
        }
        self._tellers: dict[Measure, CohortTeller] = {}
        for measure in self._by_measure:
            names = dict.fromkeys(
                name for one in of_cohorts if Measure.of(one.rules) == measure for name in one.rules.cohorts
            )
            if names:
                pane_ms = pane_ms_of(measure.horizons_ms)
                self._tellers[measure] = CohortTeller(pane_ms, list(names), labels or {}, twins)

    @property
    def panes_ms(self) -> set[int]:
        """Return how long the panes of cohorts are; before any of them is over, `tell` comes."""
        return {teller.pane_ms for teller in self._tellers.values()}

    def note(self, partition: int, grid_id: str, windows: Windows) -> None:
        """Note what arrived on a partition, and is played next."""
        for teller in self._tellers.values():
            teller.note(partition, grid_id, windows)

    def tell(self, arrived_ms: int) -> Iterator[tuple[str, CohortPane]]:
        """Yield the shares of cohorts that are due by then, each with its audience."""
        for measure, teller in self._tellers.items():
            engines = {grid_id: engine for (grid_id, mine), engine in self._engines.items() if mine == measure}
            for share in teller.tell(arrived_ms, engines):
                yield measure.audience, share

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

    def __init__(self, timeline: Timeline, surroundings: Surroundings, *, number: int) -> None:
        self._timeline, self._around, self._number = timeline, surroundings, number
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
            counting = policy or InForce()
            arrived_ms = arrivals_ms[mine]
            ticks = (arrived_ms - GRACE_MS) // pane_ms_of(counting.rules.horizons_ms)
            happened = self._around.turns(arrived_ms, offsets[mine])
            for some in _by_turn(mine, arrived_ms // HOUR_MS, ticks, happened):
                part = Usable(found.windows.take(some), found.against, [], set())
                self._work(part, counting, int(arrivals_ms[some[0]]), played)
        return played

    def end(self, at_ms: int) -> Played:
        """Let time pass after the last window, as its worker does where nothing arrives."""
        played = Played(alerts={AS_THEN: []})
        self._pass_ticks(at_ms, played)
        played.alerts[AS_THEN] += self._heed(at_ms)
        return played

    def _heed(self, at_ms: int, **reached: Any) -> list[DriftAlert]:
        book = None if self._partition is None else self._partition.book
        return self._around.pass_to(at_ms, book, **reached)

    def _pass_ticks(self, until_ms: int, played: Played, **reached: Any) -> None:
        """Tell the shares of cohorts that are due, each at its time."""
        partition = self._partition
        if partition is None:
            return
        for at_ms in partition.telling.ticks(until_ms):
            happened = self._heed(at_ms, **reached)
            played.alerts.setdefault(AS_THEN, []).extend([*happened, *partition.pass_time(at_ms)])
            played.shares += partition.tell(at_ms, self._around.labels.all, number=self._number)

    def _work(self, part: Usable, policy: InForce, arrived_ms: int, played: Played) -> None:
        offset = int(part.windows.offset[0])
        self._pass_ticks(arrived_ms, played, before=offset)
        happened = self._heed(arrived_ms, before=offset, is_next=True)
        partition = self._under(policy, offset)
        # Rings that were filled anew tell again.
        self._pass_ticks(arrived_ms, played, before=offset)
        partition.telling.take(arrived_ms)
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

    def play(self, topic: str, record: Any, entry: Entry) -> list[DriftAlert]:
        """Judge a record; returns the alerts that it, and what happened before it, changed."""
        is_clock = topic == HEALTH
        happened = self._heed(entry.at_ms, entry.offset) if is_clock else []
        partition = self._partition
        if partition is None:
            spans = self._timeline.spans
            partition = self._partition = HealthPartition(spans[0][1] if spans else InForce())
            self._around.furnish(partition.alerting.book)
        # Offsets of this one topic say which policy counts.
        policy = (self._timeline.at(entry.offset) or InForce()) if is_clock else partition.policy
        if partition.policy != policy:
            partition.take_up(policy)
        return [*happened, *partition.take(topic, record, arrived_ms=entry.at_ms)]

    def end(self, at_ms: int) -> list[DriftAlert]:
        """Heed what happened after the last record, up to a time; returns the alerts that this changed."""
        return self._heed(at_ms)

    def _heed(self, at_ms: int, offset: int | None = None) -> list[DriftAlert]:
        book = None if self._partition is None else self._partition.alerting.book
        if offset is None:
            return self._around.pass_to(at_ms, book)
        return self._around.pass_to(at_ms, book, before=offset, is_next=True)


def _by_turn(places: Ints, *marks: Ints) -> Iterator[Ints]:
    """Cut places where any of the marks changes: an hour of arrival, a tick, what had happened by then."""
    turns = np.flatnonzero(np.any([np.diff(one) != 0 for one in marks], axis=0)) + 1
    return (some for some in np.split(places, turns) if len(some))


def _changes_of_horizons(timeline: Timeline) -> Iterator[tuple[int, InForce]]:
    for (_, before), (offset, policy) in pairwise(timeline.spans):
        if policy.rules.horizons_ms != before.rules.horizons_ms:
            yield offset, policy
