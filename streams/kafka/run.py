"""What an agent of a bulk topic is handed: one partition's fetched run of records, as columns."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Run"]

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Consecutive records of one partition; the n-th entry of each column belongs to the n-th record.

    Offsets rise but may have gaps: compaction and transactions leave some. Every record that the topic still holds
    from `start` up to but not including `end` is here, so state that stood at `start` stands at `end` afterwards.
    """

    topic: str
    partition: int
    start: int
    """Where reading began: at or before the first offset."""
    end: int
    """Where the next run begins; committed once this one is done."""
    follows: bool
    """Whether this agent's previous run of the partition ended at `start`.

    If not (the first run after a start, an assignment from elsewhere, or a jump), whatever state the agent keeps for
    the partition has to be brought to `start` before this run is judged.
    """
    offsets: Sequence[int]
    timestamps_ms: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    """`None` is a tombstone."""
    headers: Sequence[Headers]

    def __len__(self) -> int:
        return len(self.offsets)

    def between(self, start: int, end: int) -> "Run":
        """Return the part of the run from offset `start` up to but not including `end`."""
        if start <= self.start and end >= self.end:
            return self
        first, last = bisect_left(self.offsets, start), bisect_left(self.offsets, end)
        return replace(
            self,
            start=max(start, self.start),
            end=min(end, self.end),
            offsets=self.offsets[first:last],
            timestamps_ms=self.timestamps_ms[first:last],
            keys=self.keys[first:last],
            values=self.values[first:last],
            headers=self.headers[first:last],
        )
