"""What is learned from, and what it is judged by: later readings judge what was learned of earlier ones.

Where the world is known to have changed, both worlds are learned from and both judge. Split as one stretch, the new
one, being last, would only judge; and left to its few readings it would go under among those of the long past.
"""

from dataclasses import dataclass

import numpy as np

from sensing import pipeline_named
from trainer.data.dataset import Dataset
from trainer.errors import DatasetError

__all__ = ["Split", "in_equal_parts", "split_by_time"]


@dataclass(frozen=True, slots=True)
class Split:
    """What is learned from, and what it is judged by."""

    training: Dataset
    holdout: Dataset
    # Since when the world is another; 0 where it is not known to be.
    changed_ms: int = 0


def split_by_time(dataset: Dataset, *, holdout: float = 0.25, gap_ms: int | None = None, changed_ms: int = 0) -> Split:
    """Keep the last share of each world's time for judging; nothing within the gap around it is learned from.

    The gap defaults to the pipeline's look-back, so that no reading is in vectors of both sides.
    """
    if not 0 < holdout < 1:
        raise DatasetError(f"holdout is {holdout}; wanted: between 0 and 1")
    if not len(dataset):
        raise DatasetError("there is nothing to split: no vectors")
    pipeline = pipeline_named(dataset.pipeline)
    gap_ms = pipeline.span * pipeline.every_ms if gap_ms is None else gap_ms
    at_ms = dataset.at_ms
    learned, judging = np.zeros(len(dataset), dtype=bool), np.zeros(len(dataset), dtype=bool)
    for number, (begin_ms, end_ms) in enumerate(_worlds(dataset, changed_ms)):
        cut = end_ms - round((end_ms - begin_ms) * holdout)
        behind_the_other = begin_ms + gap_ms if number else begin_ms
        learned |= (at_ms >= behind_the_other) & (at_ms < cut - gap_ms)
        judging |= (at_ms >= cut) & (at_ms <= end_ms)
    return Split(training=dataset.rows(learned), holdout=dataset.rows(judging), changed_ms=changed_ms)


def in_equal_parts(dataset: Dataset, changed_ms: int) -> Dataset:
    """Thin the past evenly until it weighs no more than what came since; labelled vectors are too dear to go."""
    past = dataset.at_ms < changed_ms
    thinned = np.flatnonzero(past & ~dataset.labelled)
    kept = np.ones(len(dataset), dtype=bool)
    room = max(int((~past).sum()) - int((past & dataset.labelled).sum()), 0)
    if (~past).sum() > 0 and room < len(thinned):
        kept[thinned] = False
        kept[thinned[np.linspace(0, len(thinned) - 1, room).astype(np.intp)]] = True
    return dataset.rows(kept)


def _worlds(dataset: Dataset, changed_ms: int) -> list[tuple[int, int]]:
    """Return the first and the last moment of each world that the data have seen."""
    first, last = int(dataset.at_ms.min()), int(dataset.at_ms.max())
    return [(first, changed_ms - 1), (changed_ms, last)] if first < changed_ms <= last else [(first, last)]
