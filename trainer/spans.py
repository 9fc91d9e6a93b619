"""How much longer stretches wobble: dispersion over several windows together.

Readings that remember (a rolling mean, a tank that warms up, the time of day) do not average out as windows add up,
so what was learned of single windows makes a horizon of many look far too certain. Here stretches of `length`
consecutive windows are compared with the whole reference, overlapping ones too.
"""

from dataclasses import dataclass

import numpy as np

from trainer.data.dataset import Floats, Ints

__all__ = ["SpanDispersion", "WindowSums", "over_spans", "span_dispersion"]

# Fewer disjoint stretches than this say too little.
_LEAST_STRETCHES = 4


@dataclass(frozen=True)
class WindowSums:
    """Windows of equal length in the order of their devices and times; windows × features (× bins)."""

    counts: Floats
    mean: Floats
    m2: Floats
    # Windows that follow each other without a gap share a number, and stand together.
    stretch: Ints


@dataclass(frozen=True)
class SpanDispersion:
    """How much more stretches of so many windows differ than independent samples would, per feature."""

    length: int
    counts: Floats
    mean: Floats
    variance: Floats
    # Disjoint stretches of this length in the reference.
    stretches: int


def over_spans(sums: WindowSums, lengths: tuple[int, ...]) -> list[SpanDispersion]:
    """Learn the dispersion of stretches of these lengths, as far as the reference has enough of them."""
    found = (span_dispersion(sums, length) for length in lengths)
    return [one for one in found if one is not None]


def span_dispersion(sums: WindowSums, length: int) -> SpanDispersion | None:
    """Learn the dispersion of stretches of `length` windows; None where there are too few."""
    starts, disjoint = _starts(sums.stretch, length)
    if disjoint < _LEAST_STRETCHES:
        return None
    usable = sums.counts.sum(axis=2)
    mean, m2 = np.nan_to_num(sums.mean), np.nan_to_num(sums.m2)
    centre = (usable * mean).sum(axis=0) / np.maximum(usable.sum(axis=0), 1)
    away = mean - centre
    n = _summed(usable, starts, length)
    shift = _summed(usable * away, starts, length) / np.maximum(n, 1)
    squares = _summed(m2 + usable * away * away, starts, length)
    variance = (m2 + usable * away * away).sum(axis=0) / np.maximum(usable.sum(axis=0) - 1, 1)
    own = (squares - n * shift * shift) / np.maximum(n - 1, 1)
    # The whole is made of these very stretches, and so nearer to each than to a new one.
    nearer = 1 - length / max(len(sums.stretch), length + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_mean = shift * shift * n / variance
        of_variance = (own - variance) ** 2 * (n - 1) / (2 * variance**2)
    return SpanDispersion(
        length=length,
        counts=_at_least_one(_of_counts(sums.counts, starts, length) / nearer),
        mean=_at_least_one(_average(of_mean, n > 0) / nearer),
        variance=_at_least_one(_average(of_variance, n > 1) / nearer),
        stretches=disjoint,
    )


def _of_counts(counts: Floats, starts: Ints, length: int) -> Floats:
    total = counts.sum(axis=0)
    shares = total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    freedom = np.maximum((shares > 0).sum(axis=1) - 1, 1)
    pearson = np.zeros(len(shares))
    # Feature by feature: windows × features × bins of a long reference would not fit.
    for feature, share in enumerate(shares):
        live = _summed(counts[:, feature], starts, length)
        expected = live.sum(axis=1, keepdims=True) * share
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(expected > 0, (live - expected) ** 2 / expected, 0.0)
        pearson[feature] = terms.sum(axis=1).mean()
    found: Floats = pearson / freedom
    return found


def _starts(stretch: Ints, length: int) -> tuple[Ints, int]:
    """Return where whole stretches begin, and how many disjoint ones there are."""
    sizes = np.unique(stretch, return_counts=True)[1]
    last = np.arange(len(stretch)) + length - 1
    whole = last < len(stretch)
    whole[whole] = stretch[last[whole]] == stretch[whole]
    return np.flatnonzero(whole), int((sizes // length).sum())


def _summed(values: Floats, starts: Ints, length: int) -> Floats:
    running = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0, dtype=np.float64)])
    summed: Floats = running[starts + length] - running[starts]
    return summed


def _average(values: Floats, known: np.ndarray) -> Floats:
    good = known & np.isfinite(values)
    averaged: Floats = np.where(good, values, 0).sum(axis=0) / np.maximum(good.sum(axis=0), 1)
    return averaged


def _at_least_one(values: Floats) -> Floats:
    clipped: Floats = np.maximum(np.nan_to_num(values, nan=1.0, posinf=1.0), 1.0)
    return clipped
