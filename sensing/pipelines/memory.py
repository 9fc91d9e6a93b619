"""What a pipeline remembers: which vectors look back on a reading, gaps and fresh starts included."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensing.pipelines.base import Arrays, Channel, Feature, Pipeline, Vectors
from sensing.pipelines.rolling import RollingSums
from sensing.pipelines.stream import run_batch
from sensing.tally import Floats, Ints

__all__ = ["remembers"]


def remembers(pipeline: Pipeline, at_ms: ArrayLike, marked: ArrayLike, vectors: Vectors) -> NDArray[np.bool_]:
    """Say of each vector of a stream whether a marked reading is among those that it was made of.

    Readings that never came do not age a memory: a mean over 60 readings knows of a spike until 60 more have come.
    """
    marks = np.asarray(marked, dtype=np.float64)[:, np.newaxis]
    known = run_batch(_of_marks(pipeline), at_ms, marks)
    remembered: NDArray[np.bool_] = known.matrix[:, 0] > 0
    if len(remembered) == len(vectors.at_ms):
        return remembered
    # One vector of many readings: as of its newest one.
    newest = np.searchsorted(known.at_ms, vectors.at_ms, side="right") - 1
    return remembered[newest]


def _of_marks(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline that treats the order and the gaps of marks as the given one treats readings."""
    return replace(
        pipeline,
        channels=(Channel("marked", "", 0.0, 1.0),),
        features=(Feature(name="marked"),),
        kernel=lambda: _Marks(pipeline.span),
    )


class _Marks:
    def __init__(self, span: int) -> None:
        self._sums = RollingSums(span, 1)

    def extend(self, at_ms: Ints, rows: Floats) -> Vectors:
        # What was filled in is no reading, and marked by nobody.
        return Vectors(at_ms, self._sums.extend(np.nan_to_num(rows)).astype(np.float32))

    def freeze(self) -> Arrays:
        return self._sums.freeze()

    def thaw(self, state: Arrays) -> None:
        self._sums.thaw(state)
