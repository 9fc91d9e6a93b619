"""Which policy counts for which part of what a worker is handed of one partition.

What lies before `settled_to` may have been judged, and told of, by another worker: it is judged again as it was then.
From there on counts what is wanted now; where that is a change, the change is to be noted before anything is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.drift.policy.in_force import InForce
from streams.drift.policy.timeline import Timeline
from streams.drift.policy.wanted import Wanted

__all__ = ["Counting", "Piece"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of offsets that is judged by one policy."""

    start: int
    end: int
    policy: InForce


@dataclass(slots=True)
class Counting:
    """What was noted of one partition when this worker took it up, and since."""

    timeline: Timeline = field(default_factory=Timeline)
    settled_to: int = 0
    # Changes that no topic knows of yet.
    unnoted: list[tuple[int, InForce]] = field(default_factory=list)

    def before(self, offset: int, wanted: Wanted) -> InForce:
        """Return the policy by which the state at an offset came about."""
        return self.timeline.at(offset - 1) or self.timeline.at(offset) or wanted.after(None)

    def pieces(self, start: int, end: int, wanted: Wanted) -> Iterator[Piece]:
        """Cut a run; a change that is new is in `unnoted` when its piece is given."""
        settled = min(max(start, self.settled_to), end)
        for first, last, policy in list(self.timeline.pieces(start, settled)):
            yield self._noted(first, last, policy or wanted.after(None))
        if end > settled:
            yield self._noted(settled, end, wanted.after(self.timeline.at(settled)))

    def _noted(self, start: int, end: int, policy: InForce) -> Piece:
        if self.timeline.at(start) != policy:
            self.timeline = self.timeline.then(start, policy)
            self.unnoted.append((start, policy))
        return Piece(start, end, policy)

    def take_unnoted(self) -> list[tuple[int, InForce]]:
        """Return the changes that are to be told before anything that follows from them."""
        taken, self.unnoted = self.unnoted, []
        return taken
