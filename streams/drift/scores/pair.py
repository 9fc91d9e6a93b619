"""What a score compares: one reference and one live summary, as arrays with the bins first.

Bins come first (bins × devices × features, or any trailing shape) because every sum over bins is then a
sum of whole rows: fast, and a row's result cannot depend on which other rows share the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Pair", "Reference", "Sample", "pair_of_counts", "side_by_side"]

Floats = npt.NDArray[np.floating[Any]]

# An empty bin would send a logarithm to infinity and drown the others.
SHARE_FLOOR = 1e-4


@dataclass(frozen=True)
class Sample:
    """Summaries of samples; `counts` has one axis more (the first) than the others."""

    counts: Floats
    missing: Floats
    out_of_range: Floats
    mean: Floats
    m2: Floats

    def only(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the summaries of some devices."""
        return replace(self, **{one.name: _of_devices(getattr(self, one.name), rows) for one in fields(self)})

    @cached_property
    def usable(self) -> Floats:
        """Samples that carry a value."""
        return _floats(self.counts.sum(axis=0))

    @cached_property
    def seen(self) -> Floats:
        """Samples with and without a value."""
        return _floats(self.usable + self.missing)

    @cached_property
    def shares(self) -> Floats:
        """Share of the usable samples in each bin; NaN without any."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return _floats(self.counts / self.usable)

    @cached_property
    def variance(self) -> Floats:
        """Unbiased variance; NaN below two samples."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return _floats(np.where(self.usable > 1, self.m2 / (self.usable - 1), np.nan))


@dataclass(frozen=True)
class Reference(Sample):
    """A sample with what else a reference knows of its features.

    The dispersions say how much more a window's statistic varies than independent samples would let it
    (1 is independent); `trials` is the number of windows that they were learned from.
    """

    # A representative value of each bin; NaN for categories, which have no distance.
    positions: Floats
    # Which bin counts unseen categories; -1 for numeric features.
    unseen_bin: npt.NDArray[np.int64]
    dispersion_counts: Floats
    dispersion_mean: Floats
    dispersion_variance: Floats
    trials: Floats

    @cached_property
    def deviation(self) -> Floats:
        """Standard deviation; 0 for a constant."""
        return _floats(np.sqrt(self.variance))

    @cached_property
    def spacing(self) -> Floats:
        """Distance from each bin's position to the next one's, in standard deviations."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return _floats(np.diff(self.positions, axis=0) / self.deviation)


@dataclass(frozen=True)
class Pair:
    """A reference and what is compared with it, with the steps that several scores share."""

    reference: Reference
    live: Sample

    def only(self, rows: npt.NDArray[np.intp]) -> "Pair":
        """Return the pair of some devices."""
        # A reference is one for all devices, or has a row for each.
        shared = self.reference.missing.shape[0] == 1
        return Pair(reference=self.reference if shared else self.reference.only(rows), live=self.live.only(rows))

    @cached_property
    def shift(self) -> Floats:
        """Live share less reference share, by bin."""
        return _floats(self.live.shares - self.reference.shares)

    @cached_property
    def log_ratio(self) -> Floats:
        """Logarithm of live share over reference share, by bin, both floored."""
        return _floats(np.log(self._floored[1] / self._floored[0]))

    @cached_property
    def floored_shift(self) -> Floats:
        return _floats(self._floored[1] - self._floored[0])

    @cached_property
    def cumulative_shift(self) -> Floats:
        """Live less reference cumulative share at the upper end of each bin."""
        # `np.cumsum` along the first axis walks it with a stride; whole rows are forty times faster.
        summed = self.shift.copy()
        for row in range(1, len(summed)):
            summed[row] += summed[row - 1]
        return summed

    @cached_property
    def bins_in_use(self) -> Floats:
        """Bins that either side has ever filled."""
        return _floats(((self.reference.counts + self.live.counts) > 0).sum(axis=0).astype(self.shift.dtype))

    @cached_property
    def _floored(self) -> tuple[Floats, Floats]:
        return np.maximum(self.reference.shares, SHARE_FLOOR), np.maximum(self.live.shares, SHARE_FLOOR)


def side_by_side(pairs: Sequence[Pair]) -> Pair:
    """Return pairs of single features, as `Measured.elements` has them, as one."""
    if len(pairs) == 1:
        return pairs[0]

    def joined(samples: Sequence[Sample]) -> dict[str, npt.NDArray[Any]]:
        names = [one.name for one in fields(samples[0])]
        return {name: np.concatenate([getattr(one, name) for one in samples], axis=-1) for name in names}

    return Pair(
        reference=Reference(**joined([one.reference for one in pairs])),
        live=Sample(**joined([one.live for one in pairs])),
    )


def pair_of_counts(
    reference: npt.ArrayLike, live: npt.ArrayLike, *, positions: npt.ArrayLike | None = None, unit: float = 1.0
) -> Pair:
    """Compare bare counts; positions are bin numbers unless given, `unit` is the reference's standard deviation."""
    before, now = np.asarray(reference, np.float64), np.asarray(live, np.float64)
    if before.shape[:1] != now.shape[:1]:
        raise ValueError(f"reference has {len(before)} bins, live has {len(now)}")
    places = np.arange(len(before), dtype=np.float64) if positions is None else np.asarray(positions, np.float64)
    zero, one = np.zeros(before.shape[1:]), np.ones(before.shape[1:])
    nothing = np.zeros(now.shape[1:])
    m2 = unit**2 * np.maximum(before.sum(axis=0) - 1, 0)
    return Pair(
        reference=Reference(
            counts=before, missing=zero, out_of_range=zero, mean=zero, m2=m2,
            positions=places.reshape(-1, *[1] * (before.ndim - 1)), unseen_bin=np.full(before.shape[1:], -1),
            dispersion_counts=one, dispersion_mean=one, dispersion_variance=one, trials=np.full_like(one, np.inf),
        ),
        live=Sample(counts=now, missing=nothing, out_of_range=nothing, mean=nothing, m2=nothing),
    )  # fmt: skip


def _of_devices(values: npt.NDArray[Any], rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    return values.take(rows, axis=values.ndim - 2)


def _floats(values: Any) -> Floats:
    floats: Floats = values
    return floats
