"""A baseline that knows the hours of the week: nights are cold, days are warm."""

from dataclasses import replace

import numpy as np

from schemas.canonical import with_content_id
from schemas.grid import HOURS_OF_WEEK
from sensing import bin_counts


def usual(hour):
    """Nights are cold, days are warm."""
    return 1.0 if 6 <= hour % 24 < 18 else -1.0


def profiled(fleet, unknown=()):
    """A baseline whose first feature has a profile; nobody has seen enough weeks of the unknown hours."""
    rng = np.random.default_rng(3)
    grid = replace(fleet.grid, features=fleet.grid.features[:1])
    readings = {hour: rng.normal(usual(hour), size=(0 if hour in unknown else 600, 1)) for hour in range(HOURS_OF_WEEK)}
    tallies = [bin_counts(grid, readings[hour]) for hour in range(HOURS_OF_WEEK)]
    whole = bin_counts(grid, np.concatenate([rng.normal(usual(hour), size=(600, 1)) for hour in range(HOURS_OF_WEEK)]))
    first, second = fleet.baseline.features
    first = replace(
        first,
        counts=tuple(whole.counts[0].tolist()), mean=float(whole.mean[0]), variance=float(whole.m2[0] / whole.samples),
        hour_counts=tuple(np.concatenate([one.counts[0] for one in tallies]).tolist()),
        hour_missing=(0,) * HOURS_OF_WEEK,
        hour_mean=tuple(float(np.nan_to_num(one.mean[0])) for one in tallies),
        hour_variance=tuple(float(one.m2[0]) / max(one.samples - 1, 1) for one in tallies),
    )  # fmt: skip
    return with_content_id(replace(fleet.baseline, baseline_id="", features=(first, second)))
