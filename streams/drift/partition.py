"""One partition of the feature statistics: windows in, scores, alerts and roll-ups out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import DriftScores
from schemas.feature_stats import FeatureStats
from streams.drift.alerts import AlertBook
from streams.drift.engine import Engine, Judged, Judging, Tally
from streams.drift.kinds import drifting, observations
from streams.drift.policy import Rules
from streams.drift.report import report
from streams.drift.windows import Ints, Windows

__all__ = ["Outcome", "Partition", "Stretch"]


@dataclass(frozen=True)
class Stretch:
    """Windows on one grid, and how each is judged: window i as `judgings[which[i]]` says."""

    windows: Windows
    judgings: Sequence[Judging]
    which: Ints


@dataclass
class Outcome:
    """What came of a run."""

    scores: list[DriftScores] = field(default_factory=list)
    alerts: list[DriftAlert] = field(default_factory=list)
    rollups: list[FeatureStats] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class Partition:
    """The state of one partition's devices; whoever holds it is the only one to touch it."""

    def __init__(self, rules: Rules, *, policy_id: str = "default", policy_revision: int = 0) -> None:
        self.rules = rules
        self.policy_id, self.policy_revision = policy_id, policy_revision
        self.engines: dict[str, Engine] = {}
        self.book = AlertBook(policy_id=policy_id, policy_revision=policy_revision)

    def work(self, stretches: Sequence[Stretch]) -> Outcome:
        """Take in the windows of one run, a stretch for each grid."""
        outcome = Outcome()
        for stretch in stretches:
            if not len(stretch.windows):
                continue
            engine = self._engine(stretch.judgings[0])
            admitted = engine.admit(stretch.windows, stretch.judgings, stretch.which)
            outcome.judged += admitted.judged
            outcome.rollups += admitted.rollups
            outcome.tally.plus(admitted.tally)
            outcome.alerts += self._alerts(admitted.judged)
        outcome.scores = report(outcome.judged, self.policy_id, self.policy_revision)
        return outcome

    def evict(self, now_ms: int) -> int:
        """Forget devices that have been silent for longer than the rings reach."""
        return sum(engine.evict(now_ms) for engine in self.engines.values())

    def _engine(self, judging: Judging) -> Engine:
        grid = judging.against.grid
        engine = self.engines.get(grid.grid_id)
        if engine is None:
            shape = GridShape(features=len(grid.features), bins=grid.bins)
            engine = Engine(grid_id=grid.grid_id, shape=shape, horizons_ms=self.rules.horizons_ms)
            self.engines[grid.grid_id] = engine
        return engine

    def _alerts(self, judged: Sequence[Judged]) -> list[DriftAlert]:
        fast = [one for one in judged if one.horizon_ms == self.rules.horizons_ms[0]]
        # A quiet window matters where an alert lives, or is about to.
        followed = {*self.book.live, *(device for one in fast for device in drifting(one))}
        if not followed:
            return []
        seen = [(place, one, shown) for one in fast for place, shown in observations(one, followed)]
        changed = []
        for _, one, shown in sorted(seen, key=lambda three: three[0]):
            changed += self.book.observe(shown, one.judging.rules.life)
        return changed
