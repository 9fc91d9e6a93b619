"""How a batch is cut such that what comes of it never depends on where the stream was: by hours, and into rounds."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from streams.drift.windows import Ints, Rows

__all__ = ["by_arrival_hour", "rounds"]


def by_arrival_hour(hours: Ints) -> Iterator[tuple[int, int]]:
    """Cut a batch where a later arrival hour begins; a record stamped earlier belongs to the hour going on."""
    running = np.maximum.accumulate(hours) if len(hours) else hours
    cuts = [0, *(np.flatnonzero(np.diff(running)) + 1).tolist(), len(hours)]
    return ((first, end) for first, end in pairwise(cuts) if end > first)


def rounds(rows: Rows) -> Iterator[Rows]:
    """Part entries such that each row comes once a round, in its own order."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(rows) else order
    if len(begins) == len(rows):
        yield np.arange(len(rows))
        return
    turn = np.empty(len(rows), np.intp)
    turn[order] = np.arange(len(rows)) - np.repeat(begins, np.diff(np.r_[begins, len(rows)]))
    for one in range(int(turn.max()) + 1):
        yield np.flatnonzero(turn == one)
