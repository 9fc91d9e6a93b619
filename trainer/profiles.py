"""Hour-of-week profiles: what a Monday at nine looks like, where the data know enough Mondays."""

from typing import NamedTuple

import numpy as np

from schemas.grid import HOURS_OF_WEEK, Grid
from sensing import Binner
from sensing.tally import Tally
from sensing.week import hour_of_week, week
from trainer.data.dataset import Bools, Dataset, Floats, Ints

__all__ = ["WEEKS_AT_LEAST", "FeatureProfile", "profiles"]

# So many weeks must have been seen at an hour before it is told from the others.
WEEKS_AT_LEAST = 3


class FeatureProfile(NamedTuple):
    """One feature's share of the profile, as a baseline carries it."""

    hour_counts: tuple[int, ...] = ()
    hour_missing: tuple[int, ...] = ()
    hour_mean: tuple[float, ...] = ()
    hour_variance: tuple[float, ...] = ()


def profiles(grid: Grid, reference: Dataset) -> tuple[FeatureProfile, ...]:
    """Count the reference hour by hour of the week; empty profiles where no hour was seen in enough weeks."""
    hours = hour_of_week(reference.at_ms)
    known = _known_hours(hours, week(reference.at_ms))
    if not known.any():
        return tuple(FeatureProfile() for _ in grid.features)
    binner = Binner(grid)
    empty = Tally.empty(len(grid.features), grid.bins)
    tallies = [binner.count(reference.matrix[hours == hour]) if known[hour] else empty for hour in range(HOURS_OF_WEEK)]
    return tuple(_profile(tallies, row) for row in range(len(grid.features)))


def _known_hours(hours: Ints, weeks: Ints) -> Bools:
    seen = np.unique(np.stack((hours, weeks), axis=1), axis=0)
    enough: Bools = np.bincount(seen[:, 0], minlength=HOURS_OF_WEEK) >= WEEKS_AT_LEAST
    return enough


def _profile(tallies: list[Tally], row: int) -> FeatureProfile:
    usable: Floats = np.array([tally.usable[row] for tally in tallies], dtype=np.float64)
    means = np.array([tally.mean[row] for tally in tallies])
    squares = np.array([tally.m2[row] for tally in tallies])
    variances = np.where(usable > 1, squares / np.maximum(usable - 1, 1), 0.0)
    return FeatureProfile(
        hour_counts=tuple(np.concatenate([tally.counts[row] for tally in tallies]).tolist()),
        hour_missing=tuple(int(tally.missing[row]) for tally in tallies),
        hour_mean=tuple(np.where(usable > 0, means, 0.0).tolist()),
        hour_variance=tuple(variances.tolist()),
    )
