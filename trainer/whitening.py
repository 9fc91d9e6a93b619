"""Whitening: features that move together are turned into directions that do not, each of spread 1.

A temperature that rises with the load says nothing; one that rises without it says much. Only after whitening do
a forest's cuts, which look at one column at a time, see the difference.
"""

from dataclasses import dataclass

import numpy as np

from trainer.data.dataset import Floats, Vectors

__all__ = ["DISTANCES", "Whitening"]

# How many columns each distance gets.
DISTANCES = 4

# Rows farther out than this share are left aside when the spread is measured: they would widen it.
_TRIM = 0.1
_ROUNDS = 3
# Directions with less than this part of the largest spread are copies of others, and only noise.
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Whitening:
    """An affine map in double precision, so that rounding cannot carry a value over a tree's cut."""

    centre: Floats
    turn: Floats  # features x directions

    @classmethod
    def learn(cls, prepared: Vectors) -> "Whitening":
        values = prepared.astype(np.float64)
        kept = values
        for _ in range(_ROUNDS):
            learned = cls._of(kept)
            distance = (learned.apply(values) ** 2).sum(axis=1)
            kept = values[distance <= np.quantile(distance, 1 - _TRIM)]
        return cls._of(kept)

    @classmethod
    def _of(cls, values: Floats) -> "Whitening":
        centre, spread = values.mean(axis=0), values.std(axis=0)
        spread[spread == 0] = 1.0
        variances, directions = np.linalg.eigh(
            np.cov((values - centre) / spread, rowvar=False).reshape(len(spread), -1)
        )
        kept = variances > _FLAT * variances[-1]
        turn = directions[:, kept] / np.sqrt(variances[kept])
        return cls(centre=centre, turn=turn / spread[:, None])

    def apply(self, prepared: Vectors | Floats) -> Floats:
        turned: Floats = (prepared.astype(np.float64) - self.centre) @ self.turn
        return turned

    def columns(self, prepared: Vectors) -> Vectors:
        """Return the whitened directions and how far out the vector is: in all of them together, and in its worst.

        The distances come several times, because a forest picks its column by lot.
        """
        turned = self.apply(prepared)
        squares = turned * turned
        length = np.log1p(squares.sum(axis=1, keepdims=True))
        largest = np.log1p(squares.max(axis=1, keepdims=True))
        return np.hstack((turned, *(length, largest) * DISTANCES)).astype(np.float32)
