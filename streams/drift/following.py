"""From verdicts to alerts: who is followed, and what the book makes of it."""

from collections.abc import Sequence

from schemas.drift_alert import DriftAlert
from streams.drift.alerts import AlertBook
from streams.drift.judge import Judged
from streams.drift.kinds import drifting, observations

__all__ = ["follow"]


def follow(book: AlertBook, judged: Sequence[Judged]) -> list[DriftAlert]:
    """Tell a book what judged windows showed, in their order; returns the alerts that this changed."""
    fast = [one for one in judged if one.measured.alone is None]
    # A quiet window matters where an alert lives, or is about to.
    followed = {*book.live, *(device for one in fast for device in drifting(one))}
    if not followed:
        return []
    seen = [(place, one, shown) for one in fast for place, shown in observations(one, followed)]
    changed = []
    for _, one, shown in sorted(seen, key=lambda three: three[0]):
        changed += book.observe(shown, one.rules.life)
    return changed
