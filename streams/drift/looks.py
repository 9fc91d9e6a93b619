"""Looks: windows put together until there are enough samples to judge by."""

from typing import Any

import numpy as np
import numpy.typing as npt

from streams.drift.growing import GrowingArray
from streams.drift.merging import merged_moments
from streams.drift.windows import Summary

__all__ = ["Looks"]

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]


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

    def add(self, rows: Rows, more: Summary, span_ms: Ints, need: int) -> tuple[Summary, Ints, npt.NDArray[np.bool_]]:
        """Add a window to each row's look; returns looks, their spans, and which of them are complete.

        Complete looks are closed; of the others the returned summary means nothing.
        """
        held = self._of("samples")[rows]
        complete = held + more.samples >= need
        pending = np.flatnonzero((held > 0) | ~complete)
        if not len(pending):
            return more, span_ms, complete
        joined, spans = self._joined(rows[pending], more[pending]), self._of("span_ms")[rows[pending]]
        spans = spans + span_ms[pending]
        closes = complete[pending]
        self._keep(rows[pending[~closes]], joined[~closes], spans[~closes])
        self.forget(rows[pending[closes]])
        return _replaced(more, pending, joined), _put(span_ms, pending, spans), complete

    def forget(self, rows: Rows) -> None:
        """Drop the open looks of some rows."""
        open_rows = rows[self._of("samples")[rows] > 0]
        for array in self.arrays.values():
            array.rows[open_rows] = 0

    def _joined(self, rows: Rows, more: Summary) -> Summary:
        held, missing = self._of("samples")[rows], self._of("missing")[rows]
        mean, m2 = merged_moments(
            held[:, np.newaxis] - missing,
            self._of("mean")[rows],
            self._of("m2")[rows],
            more.samples[:, np.newaxis] - more.missing.astype(np.int64),
            more.mean,
            more.m2,
        )
        return Summary(
            samples=held + more.samples,
            counts=self._of("counts")[rows] + more.counts,
            missing=missing + more.missing,
            out_of_range=self._of("out_of_range")[rows] + more.out_of_range,
            mean=mean,
            m2=m2,
        )

    def _keep(self, rows: Rows, look: Summary, span_ms: Ints) -> None:
        self._of("span_ms")[rows] = span_ms
        for name in ("samples", "counts", "missing", "out_of_range", "mean", "m2"):
            self._of(name)[rows] = getattr(look, name)

    def _of(self, name: str) -> npt.NDArray[Any]:
        return self.arrays[name].rows


def _replaced(all_of: Summary, places: Rows, by: Summary) -> Summary:
    names = ("samples", "counts", "missing", "out_of_range", "mean", "m2")
    return Summary(**{name: _put(getattr(all_of, name), places, getattr(by, name)) for name in names})


def _put(values: npt.NDArray[Any], places: Rows, by: npt.NDArray[Any]) -> npt.NDArray[Any]:
    changed = values.copy()
    changed[places] = by
    return changed
