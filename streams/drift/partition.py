"""One partition of the feature statistics: windows in, scores, alerts, roll-ups and shares of cohorts out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import CohortPane, DriftScores
from schemas.feature_stats import FeatureStats
from streams.drift.alerts import AlertBook
from streams.drift.cohort_shares import shares_of
from streams.drift.engine import Engine
from streams.drift.following import follow
from streams.drift.hours import hours_turned
from streams.drift.judge import Judge, Judged, needs_of
from streams.drift.measured import Group
from streams.drift.objectives import allowed_alarms
from streams.drift.panes import pane_ms_of
from streams.drift.policy import PolicyError, Rules
from streams.drift.presence import Tally
from streams.drift.report import report
from streams.drift.telling import Telling
from streams.drift.windows import Ints, Windows
from streams.drift.writing import Written, written

__all__ = ["Outcome", "Partition", "Stretch"]

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Stretch:
    """Windows on one grid, and what each is compared with: window i is of `groups[which[i]]`."""

    windows: Windows
    groups: Sequence[Group]
    which: Ints


@dataclass
class Outcome:
    """What came of a run."""

    policy_id: str = ""
    policy_revision: int = 0
    alerts: list[DriftAlert] = field(default_factory=list)
    rollups: list[FeatureStats] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    # By model that has promised something: false alarms that were allowed meanwhile.
    allowed: dict[str, float] = field(default_factory=dict)

    @cached_property
    def scores(self) -> list[DriftScores]:
        """The score records of what was judged."""
        return report(self.judged, self.policy_id, self.policy_revision)

    @cached_property
    def written(self) -> list[Written]:
        """The same records as they are sent; whoever has several outcomes has them `written` together."""
        return written([self])[0]


class Partition:
    """The state of one partition's devices; whoever holds it is the only one to touch it."""

    def __init__(
        self, rules: Rules, *, policy_id: str = "default", policy_revision: int = 0, hold_past: bool = False
    ) -> None:
        self.rules = rules
        # Also while no policy asks for the devices' past, as one may that is to come.
        self.hold_past = hold_past
        self.policy_id, self.policy_revision = policy_id, policy_revision
        # By grid.
        self.engines: dict[str, Engine] = {}
        self.judges: dict[str, Judge] = {}
        self.book = AlertBook(policy_id=policy_id, policy_revision=policy_revision)
        # The arrival hour that is going on.
        self.hour = 0
        self.telling = Telling(pane_ms_of(rules.horizons_ms))

    def work(self, stretches: Sequence[Stretch]) -> Outcome:
        """Take in the windows of one run, a stretch for each grid."""
        outcome = Outcome(self.policy_id, self.policy_revision)
        for stretch in stretches:
            if not len(stretch.windows):
                continue
            grid = stretch.groups[0].against.grid
            engine = self.engine_of(grid.grid_id, GridShape(features=len(grid.features), bins=grid.bins))
            admitted = engine.admit(stretch.windows, stretch.groups, stretch.which)
            self.telling.note(grid.grid_id, stretch.windows)
            judged = self.judges[grid.grid_id].judge(admitted.measured)
            outcome.judged += judged
            outcome.rollups += admitted.rollups
            outcome.tally.plus(admitted.tally)
            outcome.alerts += follow(self.book, judged)
            self._allow(stretch, outcome.allowed)
        return outcome

    def take_up(self, rules: Rules, *, policy_id: str, policy_revision: int) -> bool:
        """Judge by another policy from the next window on; evidence gathered so far stays.

        Returns whether the devices' past is wanted now and was not before: the roll-ups still have it.
        The horizons are the partition's own, for its rings were laid out for them: `PolicyError` for others.
        """
        if rules.horizons_ms != self.rules.horizons_ms:
            found, wanted = ([ms // 60_000 for ms in each] for each in (rules.horizons_ms, self.rules.horizons_ms))
            raise PolicyError("horizons_minutes", found, f"{wanted}, with which this worker was started")
        self.rules, self.policy_id, self.policy_revision = rules, policy_id, policy_revision
        self.book.policy_id, self.book.policy_revision = policy_id, policy_revision
        lacks_past = False
        for grid_id, engine in self.engines.items():
            engine.provide(needs_of([rules], engine.shape.bins))
            lacks_past |= engine.compare_with(rules.reference, hold_past=self.hold_past)
            self.judges[grid_id].rules = rules
        return lacks_past

    def pass_time(self, arrived_ms: int) -> list[DriftAlert]:
        """Escalate alerts and end silences when an hour of arrival turns; returns the alerts that this changed.

        Whoever wants what a worker publishes calls it with the arrival of each batch, before its windows, and with
        batches that lie within an hour.
        """
        turned = hours_turned(self.hour, arrived_ms)
        self.hour = max(arrived_ms // HOUR_MS, self.hour)
        return [alert for at_ms in turned for alert in self.book.pass_time(at_ms, self.rules.life)]

    def is_due(self, now_ms: int) -> bool:
        """Say whether an arrival by now would have alerts grow old, or cohorts told of."""
        return self.telling.is_due(now_ms) or (bool(self.book.live) and now_ms // HOUR_MS > self.hour)

    def tell(self, arrived_ms: int, labels: Mapping[str, Mapping[str, str]], *, number: int) -> list[CohortPane]:
        """Return the shares of cohorts that are to be told; they count as told. `labels` are those of each device.

        It is called with the arrival of each batch, before its windows, and with batches that lie within a tick.
        """
        return [
            share
            for grid_id, due in self.telling.take(arrived_ms).items()
            for share in shares_of(self.engines[grid_id], due, self.rules.cohorts, labels, partition=number)
        ]

    def evict(self, now_ms: int) -> int:
        """Forget devices that have been silent for longer than the rings reach."""
        return sum(engine.evict(now_ms) for engine in self.engines.values())

    def engine_of(self, grid_id: str, shape: GridShape) -> Engine:
        """Return the engine of a grid, a new one where there is none."""
        engine = self.engines.get(grid_id)
        if engine is None:
            needs = needs_of([self.rules], shape.bins)
            engine = Engine(
                grid_id=grid_id, shape=shape, horizons_ms=self.rules.horizons_ms, needs=needs,
                reference=self.rules.reference,
            )  # fmt: skip
            engine.compare_with(self.rules.reference, hold_past=self.hold_past)
            self.engines[grid_id] = engine
            self.judges[grid_id] = Judge(self.rules, shape=shape)
        return engine

    def _allow(self, stretch: Stretch, allowed: dict[str, float]) -> None:
        windows = stretch.windows
        watched_ms = np.bincount(stretch.which, windows.end_ms - windows.start_ms, minlength=len(stretch.groups))
        for group, ms in zip(stretch.groups, watched_ms.tolist(), strict=True):
            model_id = group.against.model_id
            objectives = self.rules.for_device(model_id, group.labels).objectives
            if objectives.false_alarms_per_device_day is not None:
                allowed[model_id] = allowed.get(model_id, 0.0) + allowed_alarms(objectives, ms)
