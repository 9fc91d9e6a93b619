"""From verdicts to alerts: who is followed, and what the book makes of it."""

from collections.abc import Sequence
from dataclasses import replace

from schemas.drift_alert import DriftAlert
from streams.drift.alerts import AlertBook
from streams.drift.judge import Judged
from streams.drift.kinds import drifting, observations
from streams.drift.policy import Life

__all__ = ["follow"]

# Looks at a horizon overlap: a few of them say more than as many windows.
_FEW_LOOKS = 2


def follow(book: AlertBook, judged: Sequence[Judged]) -> list[DriftAlert]:
    """Tell a book what judged windows showed, in their order; returns the alerts that this changed."""
    heeded = [one for one in judged if one.rules.alerts_on(one.measured.horizon_ms)]
    # A quiet window matters where an alert lives, or is about to.
    followed = {*book.live, *(device for one in heeded for device in drifting(one))}
    if not followed:
        return []
    seen = [(place, one, shown) for one in heeded for place, shown in observations(one, followed)]
    changed = []
    for _, one, shown in sorted(seen, key=lambda three: three[0]):
        changed += book.observe(shown, _life(one))
    return changed


def _life(judged: Judged) -> Life:
    """How alerts live of which looks at this horizon decide."""
    life, measured = judged.rules.life, judged.measured
    if measured.alone is None:
        return life
    return replace(
        life,
        breaches=1,
        of_windows=1,
        resolve_after_windows=min(life.resolve_after_windows, _FEW_LOOKS),
        # What left the horizon and came back within its length is the same.
        flap_ms=max(life.flap_ms, measured.horizon_ms),
    )
