"""Counts: what became of the records of a stretch."""

from dataclasses import dataclass, field

from streams.drift.presence import Tally

__all__ = ["Counts"]


@dataclass
class Counts:
    """What became of the records of a stretch."""

    records: int = 0
    bad: int = 0
    refused: int = 0
    tally: Tally = field(default_factory=Tally)
    # Why records could not be judged, with how often.
    reasons: dict[str, int] = field(default_factory=dict)

    def note(self, why: str, times: int = 1) -> None:
        self.reasons[why] = self.reasons.get(why, 0) + times

    def plus(self, other: "Counts") -> None:
        self.records, self.bad, self.refused = (
            self.records + other.records, self.bad + other.bad, self.refused + other.refused,
        )  # fmt: skip
        self.tally.plus(other.tally)
        for why, times in other.reasons.items():
            self.note(why, times)
