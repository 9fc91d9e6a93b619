"""Players: what windows are fed to, and what tells the alerts that came of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert
from streams.backtest.candidate import Candidate
from streams.backtest.jury import Jury
from streams.drift.engine import Engine
from streams.drift.judge import needs_of
from streams.drift.measured import Measured
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import InForce, Timeline
from streams.drift.presence import Tally

__all__ = ["AsThen", "Candidates", "Played"]


HOUR_MS = 3_600_000


@dataclass
class Played:
    """What came of a stretch: changed alerts by candidate, and what was measured on the first horizon."""

    alerts: dict[str, list[DriftAlert]] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class Candidates:
    """Any number of policies side by side: windows are measured once for all that have the same horizons."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._by_horizons: dict[tuple[int, ...], list[Candidate]] = {}
        for one in candidates:
            self._by_horizons.setdefault(one.rules.horizons_ms, []).append(one)
        self._engines: dict[tuple[str, tuple[int, ...]], Engine] = {}
        self._juries = {
            horizons: Jury({one.name: one.rules for one in alike}) for horizons, alike in self._by_horizons.items()
        }

    def play(self, stretch: Stretch) -> Played:
        played = Played()
        for place, (horizons_ms, alike) in enumerate(self._by_horizons.items()):
            engine = self._engine(stretch, horizons_ms, alike)
            admitted = engine.admit(stretch.windows, stretch.groups, stretch.which)
            fast = [one for one in admitted.measured if one.horizon_ms == horizons_ms[0]]
            played.alerts |= self._juries[horizons_ms].judge(engine.grid_id, engine.shape, fast)
            if not place:
                played.measured, played.tally = fast, admitted.tally
        return played

    def _engine(self, stretch: Stretch, horizons_ms: tuple[int, ...], alike: Sequence[Candidate]) -> Engine:
        grid = stretch.groups[0].against.grid
        engine = self._engines.get((grid.grid_id, horizons_ms))
        if engine is None:
            shape = GridShape(features=len(grid.features), bins=grid.bins)
            needs = needs_of([one.rules for one in alike], shape.bins)
            engine = Engine(grid_id=grid.grid_id, shape=shape, horizons_ms=horizons_ms, needs=needs)
            self._engines[grid.grid_id, horizons_ms] = engine
        return engine


class AsThen:
    """One partition, judged by the policy that counted for each offset, as its worker did."""

    def __init__(self, name: str, timeline: Timeline, fallback: InForce) -> None:
        self._name, self._timeline, self._fallback = name, timeline, fallback
        self._partition: Partition | None = None
        # Where horizons change, a worker fills rings anew from the log: what it then has, by the offset of the change.
        self._next = {offset: _fresh(policy) for offset, policy in _changes_of_horizons(timeline)}

    def play(self, stretch: Stretch) -> Played:
        played = Played(alerts={self._name: []})
        offsets, hours = stretch.windows.offset, np.maximum.accumulate(stretch.windows.arrival_ms) // HOUR_MS
        for first, end, policy in self._timeline.pieces(int(offsets.min()), int(offsets.max()) + 1):
            mine = np.flatnonzero((offsets >= first) & (offsets < end))
            for hour in np.unique(hours[mine]).tolist():
                self._work(_part(stretch, mine[hours[mine] == hour]), policy or self._fallback, hour, played)
        return played

    def _work(self, part: Stretch, policy: InForce, hour: int, played: Played) -> None:
        offset = int(part.windows.offset[0])
        partition = self._under(policy, offset)
        played.alerts[self._name] += partition.pass_time(hour * HOUR_MS)
        outcome = partition.work([part])
        played.alerts[self._name] += outcome.alerts
        played.tally.plus(outcome.tally)
        fast_ms = partition.rules.horizons_ms[0]
        played.measured += [one.measured for one in outcome.judged if one.measured.horizon_ms == fast_ms]
        for later in self._next.values():
            later.work([part])

    def _under(self, policy: InForce, offset: int) -> Partition:
        partition = self._partition
        if partition is None:
            # What came before the first change is of the policy that counted there.
            self._next = {at: later for at, later in self._next.items() if at > offset}
            partition = self._partition = _fresh(policy)
        elif partition.rules.horizons_ms != policy.rules.horizons_ms:
            change = max(at for at in self._next if at <= offset)
            book, partition = partition.book, self._next.pop(change)
            book.policy_id, book.policy_revision = policy.policy_id, policy.revision
            partition.book, self._partition = book, partition
        if (partition.policy_id, partition.policy_revision) != (policy.policy_id, policy.revision):
            partition.take_up(policy.rules, policy_id=policy.policy_id, policy_revision=policy.revision)
        return partition


def _changes_of_horizons(timeline: Timeline) -> Iterator[tuple[int, InForce]]:
    for (_, before), (offset, policy) in pairwise(timeline.spans):
        if policy.rules.horizons_ms != before.rules.horizons_ms:
            yield offset, policy


def _fresh(policy: InForce) -> Partition:
    return Partition(policy.rules, policy_id=policy.policy_id, policy_revision=policy.revision)


def _part(stretch: Stretch, places: npt.NDArray[np.int64]) -> Stretch:
    return Stretch(stretch.windows.take(places), stretch.groups, stretch.which[places])
