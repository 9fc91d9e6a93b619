"""A ring of panes for each device: what it saw of late, cut by event time."""

import numpy as np
import numpy.typing as npt

from streams.drift.growing import GrowingArray
from streams.drift.kernels import Panes, Totals, add_panes, sum_panes
from streams.drift.windows import Ints, Rows, Summary

__all__ = ["Ring"]


class Ring:
    """`slots` panes of `pane_ms` for each row; pane p holds windows that end within (p, p + 1] pane lengths.

    What a ring holds follows from the set of windows alone, not from their order: the panes within reach of
    the row's newest one.
    """

    def __init__(self, *, pane_ms: int, slots: int, features: int, bins: int) -> None:
        self.pane_ms, self.slots = pane_ms, slots
        self.arrays = {
            # Pane number plus one; 0 is an empty slot.
            "pane": GrowingArray((slots,), np.int64),
            # Likewise.
            "newest": GrowingArray((), np.int64),
            "first_offset": GrowingArray((slots,), np.int64),
            "samples": GrowingArray((slots,), np.int64),
            "counts": GrowingArray((slots, bins, features), np.uint32),
            "missing": GrowingArray((slots, features), np.uint32),
            "out_of_range": GrowingArray((slots, features), np.uint32),
            "mean": GrowingArray((slots, features), np.float32),
            "m2": GrowingArray((slots, features), np.float32),
        }

    @property
    def panes(self) -> Panes:
        """The arrays as they now stand, for a loop."""
        return Panes(*(self.arrays[name].rows for name in Panes._fields))

    def pane_of(self, end_ms: Ints) -> Ints:
        """Return the pane of windows by their (exclusive) ends."""
        return (end_ms - 1) // self.pane_ms

    def newest(self, rows: Rows) -> Ints:
        """Return the newest pane of each row; -1 where there is none."""
        newest: Ints = self.arrays["newest"].rows[rows] - 1
        return newest

    def add(self, rows: Rows, panes: Ints, more: Summary, offsets: Ints) -> npt.NDArray[np.bool_]:
        """Add summaries, one after the other, where their panes are within reach.

        Returns which had no room left in 32 bits, and changed nothing.
        """
        full = np.zeros(len(rows), np.bool_)
        add_panes(self.panes, rows, panes, more, offsets, full)
        return full

    def sum(self, rows: Rows, back: int, last: Ints | None = None) -> Totals:
        """Add up `back` panes of each row up to and with its `last` one: its newest, unless said."""
        bins, features = self.arrays["counts"].rows.shape[2:]
        total = Totals.empty(len(rows), bins, features)
        sum_panes(self.panes, rows, self.newest(rows) if last is None else last, back, total)
        return total

    def held(self, rows: Rows, back: int, last: Ints) -> Ints:
        """Count, for each row, how many of `back` panes up to and with its `last` the ring holds."""
        panes = self.arrays["pane"].rows[rows] - 1
        ends = last[:, np.newaxis]
        # An empty slot stands for pane -1.
        count: Ints = ((panes >= 0) & (panes > ends - back) & (panes <= ends)).sum(axis=1)
        return count

    def forget(self, rows: Rows) -> None:
        """Empty the rings of some rows."""
        self.arrays["pane"].rows[rows] = 0
        self.arrays["newest"].rows[rows] = 0

    def drop_up_to(self, rows: Rows, panes: Ints) -> None:
        """Empty the slots of panes up to the given one."""
        held = self.arrays["pane"].rows[rows]
        self.arrays["pane"].rows[rows] = np.where(held <= panes[:, np.newaxis] + 1, 0, held)
