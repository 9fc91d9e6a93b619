"""A ring of panes for each device: what it saw of late, cut by event time."""

from typing import Any

import numpy as np
import numpy.typing as npt

from streams.drift.growing import GrowingArray
from streams.drift.merging import merged_moments
from streams.drift.windows import Summary

__all__ = ["Ring"]

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]

_MOST = np.iinfo(np.uint32).max


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
            "newest": GrowingArray((), np.int64),
            "first_offset": GrowingArray((slots,), np.int64),
            "samples": GrowingArray((slots,), np.int64),
            "counts": GrowingArray((slots, bins, features), np.uint32),
            "missing": GrowingArray((slots, features), np.uint32),
            "out_of_range": GrowingArray((slots, features), np.uint32),
            "mean": GrowingArray((slots, features), np.float32),
            "m2": GrowingArray((slots, features), np.float32),
        }

    def pane_of(self, end_ms: Ints) -> Ints:
        """Return the pane of windows by their (exclusive) ends."""
        return (end_ms - 1) // self.pane_ms

    def newest(self, rows: Rows) -> Ints:
        """Return the newest pane of each row; -1 where there is none."""
        newest: Ints = self._of("newest")[rows] - 1
        return newest

    def holds(self, rows: Rows, panes: Ints) -> npt.NDArray[np.bool_]:
        """Say which panes are within reach, or ahead."""
        return panes > self.newest(rows) - self.slots

    def add(self, rows: Rows, panes: Ints, more: Summary, offsets: Ints) -> npt.NDArray[np.bool_]:
        """Add a summary to a pane of each row; rows are distinct, and hold their panes.

        Returns which rows had no room left in 32 bits, and were left as they are.
        """
        slot = panes % self.slots
        fresh = self._of("pane")[rows, slot] != panes + 1
        if fresh.any():
            self._clear(rows[fresh], slot[fresh], panes[fresh], offsets[fresh])
        held_samples = self._of("samples")[rows, slot]
        full = held_samples + more.samples > _MOST
        if full.any():
            fits = ~full
            self.add(rows[fits], panes[fits], more[fits], offsets[fits])
            return full
        at = (rows, slot)
        missing = self._of("missing")[at]
        mean, m2 = merged_moments(
            held_samples[:, np.newaxis] - missing,
            self._of("mean")[at],
            self._of("m2")[at],
            more.samples[:, np.newaxis] - more.missing.astype(np.int64),
            more.mean,
            more.m2,
        )
        self._of("mean")[at], self._of("m2")[at] = mean, m2
        self._of("samples")[at] = held_samples + more.samples
        self._of("missing")[at] = missing + more.missing
        self._of("out_of_range")[at] += more.out_of_range
        self._of("counts")[at] += more.counts
        self._of("newest")[rows] = np.maximum(self._of("newest")[rows], panes + 1)
        return full

    def add_held(self, rows: Rows, panes: Ints, more: Summary, offsets: Ints) -> None:
        """Add where panes are within reach; rows are distinct."""
        held = self.holds(rows, panes)
        if held.any():
            self.add(rows[held], panes[held], more[held], offsets[held])

    def sum(self, rows: Rows, back: int) -> Summary:
        """Add up the newest `back` panes of each row."""
        newest = self._of("newest")[rows]
        total: Summary | None = None
        for age in range(back):
            wanted = newest - age
            at = (rows, (wanted - 1) % self.slots)
            there = (self._of("pane")[at] == wanted) & (wanted > 0)
            total = self._plus(total, at, there)
        assert total is not None  # noqa: S101  (back is 1 or more)
        return total

    def forget(self, rows: Rows) -> None:
        """Empty the rings of some rows."""
        self._of("pane")[rows] = 0
        self._of("newest")[rows] = 0

    def drop_up_to(self, rows: Rows, panes: Ints) -> None:
        """Empty the slots of panes up to the given one."""
        held = self._of("pane")[rows]
        self._of("pane")[rows] = np.where(held <= panes[:, np.newaxis] + 1, 0, held)

    def _plus(self, total: Summary | None, at: Any, there: npt.NDArray[np.bool_]) -> Summary:
        here = there[:, np.newaxis]
        samples = np.where(there, self._of("samples")[at], 0)
        counts = self._of("counts")[at]
        if not there.all():
            counts[~there] = 0
        missing = np.where(here, self._of("missing")[at], 0)
        out_of_range = np.where(here, self._of("out_of_range")[at], 0)
        mean, m2 = self._of("mean")[at], np.where(here, self._of("m2")[at], 0)
        if total is None:
            return Summary(
                samples=samples, counts=counts.astype(np.float32), missing=missing.astype(np.int64),
                out_of_range=out_of_range.astype(np.int64), mean=mean.astype(np.float64), m2=m2.astype(np.float64),
            )  # fmt: skip
        usable, more = total.samples[:, np.newaxis] - total.missing, samples[:, np.newaxis] - missing.astype(np.int64)
        both_mean, both_m2 = merged_moments(usable, total.mean, total.m2, more, mean, m2)
        return Summary(
            samples=total.samples + samples,
            counts=np.add(total.counts, counts, out=total.counts, casting="unsafe"),
            missing=total.missing + missing,
            out_of_range=total.out_of_range + out_of_range,
            mean=both_mean,
            m2=both_m2,
        )

    def _clear(self, rows: Rows, slot: Ints, panes: Ints, offsets: Ints) -> None:
        at = (rows, slot)
        self._of("pane")[at] = panes + 1
        self._of("first_offset")[at] = offsets
        for name in ("samples", "counts", "missing", "out_of_range", "mean", "m2"):
            self._of(name)[at] = 0

    def _of(self, name: str) -> npt.NDArray[Any]:
        return self.arrays[name].rows
