"""What-if: how likely each policy would have seen a fault of some strength, and how soon."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from streams.backtest.incidents import Incident
from streams.backtest.inject import Injection
from streams.backtest.intervals import share_interval
from streams.backtest.stories import Story

__all__ = ["Power", "incidents_of", "of_twins", "power_curves"]


@dataclass(frozen=True, slots=True)
class Power:
    """One point of the curves: one kind of fault at one strength under one policy."""

    policy: str
    kind: str
    strength: float
    injected: int
    found: int
    # Of those that were found; NaN where none was.
    median_delay_ms: float

    def row(self) -> dict[str, float | int | str]:
        """Return everything as one row of a table."""
        low, high = share_interval(self.found, self.injected)
        return {
            "policy": self.policy,
            "kind": self.kind,
            "strength": self.strength,
            "injected": self.injected,
            "found": self.found,
            "power": self.found / self.injected,
            "power_low": low,
            "power_high": high,
            "median_delay_s": self.median_delay_ms / 1000,
        }


def power_curves(policy: str, stories: Sequence[Story], injections: Sequence[Injection]) -> list[Power]:
    """Return the curves of one policy, in the order of kinds and strengths."""
    first: dict[str, int] = {}
    bounds = {one.twin: one for one in injections}
    for story in of_twins(stories, injections):
        for firing in story.firings:
            if firing.from_ms <= bounds[story.subject].to_ms:
                first[story.subject] = min(first.get(story.subject, firing.from_ms), firing.from_ms)
    points: dict[tuple[str, float], list[Injection]] = {}
    for one in injections:
        points.setdefault((one.kind, one.strength), []).append(one)
    return [
        _point(
            policy, kind, strength, [first[one.twin] - one.from_ms for one in alike if one.twin in first], len(alike)
        )
        for (kind, strength), alike in points.items()
    ]


def incidents_of(injections: Sequence[Injection]) -> list[Incident]:
    """Return the faults as incidents of their twins."""
    return [Incident(one.twin, one.from_ms, one.to_ms, name=f"{one.kind} {one.strength:g}") for one in injections]


def of_twins(stories: Sequence[Story], injections: Sequence[Injection]) -> list[Story]:
    """Return the stories of twins, without what fired before the fault: that is the real device's."""
    begins = {one.twin: one.from_ms for one in injections}
    found = []
    for story in stories:
        if story.subject in begins:
            since = [firing for firing in story.firings if firing.from_ms > begins[story.subject]]
            if since:
                found.append(
                    Story(
                        story.alert_id, story.subject, story.feature, story.kind, story.model_id, story.opened_ms,
                        story.severity, since,
                    )
                )  # fmt: skip
    return found


def _point(policy: str, kind: str, strength: float, delays: Sequence[int], injected: int) -> Power:
    return Power(policy, kind, strength, injected, len(delays), float(median(delays)) if delays else math.nan)
