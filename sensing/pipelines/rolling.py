"""Rolling sums in O(1) a row that never drift and do not depend on how rows arrive.

A running sum that adds the new and subtracts the old gathers rounding errors for years. Here the stream is cut
into blocks as long as the window; a window is the tail of one block and the head of the next, and both are sums
that were only ever added up (van Herk's and Gil and Werman's trick for running minima).
"""

import numpy as np

from sensing.pipelines.base import Arrays
from sensing.tally import Floats

__all__ = ["Lags", "RollingSums"]


class RollingSums:
    """Sums of the last `window` rows, column by column; rows before the first count as zero."""

    def __init__(self, window: int, columns: int) -> None:
        self._window = window
        self._filled = 0
        self._head = np.zeros(columns)
        self._block = np.zeros((window, columns))
        # tails[i]: the sum of rows i and later of the previous block.
        self._tails = np.zeros((window + 1, columns))

    def extend(self, rows: Floats) -> Floats:
        if len(rows) == 1:
            return self._one(rows)
        sums = np.empty_like(rows)
        done = 0
        while done < len(rows):
            first = self._filled
            part = rows[done : done + self._window - first]
            last = first + len(part)
            # Starting from what is there, not adding it afterwards, keeps the order of additions.
            heads = np.cumsum(np.vstack((self._head, part)), axis=0)[1:]
            sums[done : done + len(part)] = self._tails[first + 1 : last + 1] + heads
            self._block[first:last] = part
            self._head, self._filled = heads[-1], last
            done += len(part)
            if last == self._window:
                self._turn()
        return sums

    def freeze(self) -> Arrays:
        # These two are written into; whoever keeps the state may look at it later.
        block, tails = self._block.copy(), self._tails.copy()
        return {"filled": np.array(self._filled), "head": self._head, "block": block, "tails": tails}

    def thaw(self, state: Arrays) -> None:
        self._filled = int(state["filled"])
        self._head, self._block, self._tails = (state[name].copy() for name in ("head", "block", "tails"))

    def _one(self, rows: Floats) -> Floats:
        """What a live sensor needs, in a third of the time; the additions are the same."""
        self._head = self._head + rows[0]
        self._block[self._filled] = rows[0]
        self._filled += 1
        sums: Floats = (self._tails[self._filled] + self._head)[np.newaxis]
        if self._filled == self._window:
            self._turn()
        return sums

    def _turn(self) -> None:
        self._tails[: self._window] = np.cumsum(self._block[::-1], axis=0)[::-1]
        self._head = np.zeros_like(self._head)
        self._filled = 0


class Lags:
    """The last rows, to look back on; NaN before the first."""

    def __init__(self, deepest: int, columns: int) -> None:
        self._past = np.full((deepest, columns), np.nan)

    def extend(self, rows: Floats) -> Floats:
        """Return all rows that the lags of `rows` need: the past ones, then `rows`."""
        known = np.vstack((self._past, rows))
        self._past = known[len(rows) :]
        return known

    def freeze(self) -> Arrays:
        return {"past": self._past}

    def thaw(self, state: Arrays) -> None:
        self._past = state["past"].copy()
