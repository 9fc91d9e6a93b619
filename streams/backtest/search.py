"""The search for a policy that keeps to a budget of false alerts and is quick."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from streams.backtest.candidate import Candidate
from streams.backtest.evaluation import Evaluation

__all__ = ["Goal", "chosen", "pareto", "policy_file", "refined"]


@dataclass(frozen=True, slots=True)
class Goal:
    """At most so many false alerts; then the least delay, a missed incident counting with its whole length."""

    false_per_device_day: float = 0.001

    def met_by(self, one: Evaluation) -> bool:
        return one.false_per_device_day <= self.false_per_device_day


def chosen(evaluations: Sequence[Evaluation], goal: Goal) -> Evaluation | None:
    """Return the best that meets the goal; None where none does. Among equals, the one with fewer false alerts."""
    meeting = [one for one in evaluations if goal.met_by(one)]
    return min(meeting, key=_rank, default=None)


def pareto(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return those that no other beats in both false alerts and delay, quietest first."""
    front: list[Evaluation] = []
    for one in sorted(evaluations, key=lambda one: (one.false_alerts, _delay(one), one.policy)):
        if not front or _delay(one) < _delay(front[-1]):
            front.append(one)
    return front


def refined(tried: Sequence[float]) -> list[float]:
    """Return values between those tried, halfway by ratio: a second, finer look.

    >>> refined([0.25, 1.0])
    [0.25, 0.5, 1.0]
    """
    ordered = sorted(set(tried))
    between = [math.sqrt(low * high) for low, high in pairwise(ordered) if low > 0]
    return sorted({*ordered, *(float(f"{value:.3g}") for value in between)})


def policy_file(candidate: Candidate, one: Evaluation, *, measured: str) -> str:
    """Return a policy document, ready for use, that says where its values come from."""
    told = [
        f"# Chosen by backtest over {measured}:",
        f"# {one.hits} of {one.incidents} incidents, {one.false_alerts} false alerts",
        f"# in {one.device_days:.1f} device-days,",
        f"# median delay {one.median_delay_ms / 60_000:.1f} minutes.",
    ]
    return "\n".join(told) + "\n\n" + candidate.document.lstrip()


def _rank(one: Evaluation) -> tuple[float, int, str]:
    return _delay(one), one.false_alerts, one.policy


def _delay(one: Evaluation) -> float:
    # Without incidents there is nothing to be quick about.
    return 0.0 if math.isnan(one.censored_delay_ms) else one.censored_delay_ms
