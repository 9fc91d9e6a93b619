"""Counts and moments of feature vectors: what a window, a roll-up and a baseline are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "Tally"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Tally:
    """What a number of vectors look like on a grid; tallies add up.

    `mean`, `min` and `max` are NaN for a feature without usable values.
    """

    samples: int
    counts: Ints  # features x bins
    missing: Ints
    out_of_range: Ints
    mean: Floats
    m2: Floats
    min: Floats
    max: Floats

    @classmethod
    def empty(cls, features: int, bins: int) -> "Tally":
        unknown = np.full(features, np.nan)
        return cls(
            samples=0,
            counts=np.zeros((features, bins), dtype=np.int64),
            missing=np.zeros(features, dtype=np.int64),
            out_of_range=np.zeros(features, dtype=np.int64),
            mean=unknown.copy(),
            m2=np.zeros(features),
            min=unknown.copy(),
            max=unknown.copy(),
        )

    @property
    def usable(self) -> Ints:
        """Usable values per feature."""
        return self.samples - self.missing

    def add(self, other: "Tally") -> None:
        """Take in what `other` counted: counts exactly, moments to rounding (Chan, Golub and LeVeque)."""
        if self.counts.shape != other.counts.shape:
            raise ValueError(f"a tally of shape {other.counts.shape} does not add to one of {self.counts.shape}")
        if not self.samples:
            self._be_as(other)
            return
        mine, theirs = self.usable, other.usable
        both = np.maximum(mine + theirs, 1)
        before, now = np.nan_to_num(self.mean), np.nan_to_num(other.mean)
        delta = now - before
        # A side without values keeps the other side's moments bit by bit.
        merged = np.where(mine == 0, now, before + delta * (theirs / both))
        self.mean = np.where(mine + theirs == 0, np.nan, merged)
        self.m2 = self.m2 + other.m2 + np.where((mine == 0) | (theirs == 0), 0.0, delta**2 * (mine * (theirs / both)))
        self.min = np.fmin(self.min, other.min)
        self.max = np.fmax(self.max, other.max)
        self.samples += other.samples
        self.counts += other.counts
        self.missing += other.missing
        self.out_of_range += other.out_of_range

    def _be_as(self, other: "Tally") -> None:
        self.samples = other.samples
        self.counts, self.missing, self.out_of_range = (
            other.counts.copy(),
            other.missing.copy(),
            other.out_of_range.copy(),
        )
        self.mean, self.m2, self.min, self.max = other.mean.copy(), other.m2.copy(), other.min.copy(), other.max.copy()
