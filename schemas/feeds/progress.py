"""Catching up: when is the state complete, and when has a reader been away for too long? No broker is asked here.

It keeps three rules:

* A partition has caught up when everything before its target was told, the target being its end when the feed began.
  The last offsets before it may hold nothing to tell: ends of transactions, aborted records, records compacted away.
  So what counts is the offset that comes next, which the end of a fetch tells as well as a record does.
* A tombstone lives for `delete.retention.ms` after it could first be compacted. A reader that moves on from a moment
  longer ago may have missed one, and would keep for ever a key that is gone: it reads the topic anew.
* Where nothing was written meanwhile, nothing was missed, however long it took.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Progress", "after_end", "after_records", "is_current", "may_have_missed"]

# Of a tombstone's life, what we count on: the broker's clock and ours differ.
_TRUSTED = 0.9


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a reader is on one partition, and how far it has to go."""

    next_offset: int
    target: int
    # Whatever is still to be read was written at this moment or later.
    as_of_ms: int


def after_records(progress: Progress, *, next_offset: int, newest_ms: int) -> Progress:
    """Records were read; `newest_ms` is the broker's time of the last one, 0 where the broker gives none."""
    return replace(progress, next_offset=next_offset, as_of_ms=max(progress.as_of_ms, newest_ms))


def after_end(progress: Progress, *, end_offset: int, seen_ms: int) -> Progress:
    """The log ended at `end_offset` at some moment after `seen_ms`, and everything before it has been read."""
    if end_offset < progress.next_offset:
        return progress
    return replace(progress, next_offset=end_offset, as_of_ms=max(progress.as_of_ms, seen_ms))


def is_current(partitions: Iterable[Progress]) -> bool:
    """Say whether all that was there at the beginning has been read; trivially so for no partitions.

    >>> is_current([Progress(next_offset=8, target=7, as_of_ms=0), Progress(next_offset=0, target=0, as_of_ms=0)])
    True
    """
    return all(progress.next_offset >= progress.target for progress in partitions)


def may_have_missed(progress: Progress, *, end_offset: int, now_ms: int, tombstone_life_ms: int) -> bool:
    """Say whether a tombstone between here and `end_offset` may be gone before it was read.

    >>> hour = 3_600_000
    >>> left = Progress(next_offset=5, target=5, as_of_ms=0)
    >>> may_have_missed(left, end_offset=9, now_ms=2 * hour, tombstone_life_ms=hour)
    True
    >>> may_have_missed(left, end_offset=5, now_ms=2 * hour, tombstone_life_ms=hour)
    False
    """
    return end_offset > progress.next_offset and now_ms - progress.as_of_ms > tombstone_life_ms * _TRUSTED
