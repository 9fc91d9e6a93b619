"""Players: what windows are fed to, and what tells the alerts that came of them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert
from streams.backtest.candidate import Candidate
from streams.backtest.jury import Jury
from streams.drift.engine import Engine
from streams.drift.judge import needs_of
from streams.drift.measured import Measured
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import InForce, PolicyError, Timeline
from streams.drift.presence import Tally

__all__ = ["AsThen", "Candidates", "Played"]


@dataclass
class Played:
    """What came of a stretch: changed alerts by candidate, and what was measured on the first horizon."""

    alerts: dict[str, list[DriftAlert]] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class Player(Protocol):
    def play(self, stretch: Stretch) -> Played:
        """Take in windows in the order in which they arrived."""


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
            fast = [one for one in admitted.measured if one.looks is not None]
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
    """One partition, judged by the policy that counted for each offset."""

    def __init__(self, name: str, timeline: Timeline, fallback: InForce) -> None:
        self._name, self._timeline, self._fallback = name, timeline, fallback
        self._partition: Partition | None = None

    def play(self, stretch: Stretch) -> Played:
        played = Played(alerts={self._name: []})
        offsets = stretch.windows.offset
        for first, end, policy in self._timeline.pieces(int(offsets.min()), int(offsets.max()) + 1):
            mine = np.flatnonzero((offsets >= first) & (offsets < end))
            if not len(mine):
                continue
            outcome = self._under(policy or self._fallback).work(
                [Stretch(stretch.windows.take(mine), stretch.groups, stretch.which[mine])]
            )
            played.alerts[self._name] += outcome.alerts
            played.tally.plus(outcome.tally)
            played.measured += [one.measured for one in outcome.judged if one.measured.looks is not None]
        return played

    def _under(self, policy: InForce) -> Partition:
        named = {"policy_id": policy.policy_id, "policy_revision": policy.revision}
        if self._partition is None:
            self._partition = Partition(policy.rules, **named)  # type: ignore[arg-type]
        elif (self._partition.policy_id, self._partition.policy_revision) != (policy.policy_id, policy.revision):
            # What does not fit, the worker refused as well, and went on by the one before.
            with suppress(PolicyError):
                self._partition.take_up(policy.rules, **named)  # type: ignore[arg-type]
        return self._partition


def labels_of(devices: Mapping[str, object]) -> dict[str, Mapping[str, str]]:
    """Return the labels of devices as they now stand."""
    return {name: getattr(device, "labels", {}) for name, device in devices.items()}
