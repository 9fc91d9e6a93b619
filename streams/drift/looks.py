"""Looks: windows put together until there are enough samples to judge by."""

import numpy as np
import numpy.typing as npt

from streams.drift.growing import GrowingArray
from streams.drift.kernels import OpenLooks, gather_looks
from streams.drift.windows import Ints, Rows, Summary

__all__ = ["Looks"]


class Looks:
    """The open look of each row; where each window has enough samples, nothing is ever open."""

    def __init__(self, *, features: int, bins: int) -> None:
        self.arrays = {
            "samples": GrowingArray((), np.int64),
            "span_ms": GrowingArray((), np.int64),
            "counts": GrowingArray((bins, features), np.uint32),
            "missing": GrowingArray((features,), np.uint32),
            "out_of_range": GrowingArray((features,), np.uint32),
            "mean": GrowingArray((features,), np.float32),
            "m2": GrowingArray((features,), np.float32),
        }

    def add(
        self, rows: Rows, changed: npt.NDArray[np.bool_], windows: Summary, span_ms: Ints, need: int
    ) -> tuple[Summary, Ints, Rows]:
        """Add windows to their rows' looks; returns the looks that they complete, their spans, and by which windows.

        Where a window `changed` the baseline, the look of before is dropped. Complete looks are closed.
        """
        held = self.arrays["samples"].rows
        if (windows.samples >= need).all() and not held[rows].any():
            return windows, span_ms, np.arange(len(rows))
        looks, spans = windows.take(np.arange(len(rows))), span_ms.copy()
        complete = np.zeros(len(rows), np.bool_)
        arrays = OpenLooks(*(self.arrays[name].rows for name in OpenLooks._fields))
        gather_looks(arrays, rows, changed, looks, spans, need, complete)
        at = np.flatnonzero(complete)
        return looks.take(at), spans[at], at

    def forget(self, rows: Rows) -> None:
        """Drop the open looks of some rows."""
        self.arrays["samples"].rows[rows] = 0
