"""Ready-made trouble for demos and benchmarks: a fair share of every kind of fault, spread over a stretch."""

from collections.abc import Sequence

import numpy as np

from sensing.pipelines import pipeline_named
from sensing.simulator.faults import Fault, FaultKind

__all__ = ["scripted_faults"]

_SIZES = {FaultKind.SPIKE: 8.0, FaultKind.SLOW_DRIFT: 4.0, FaultKind.SUDDEN_DRIFT: 4.0, FaultKind.NOISE: 4.0}
_SHARES = {FaultKind.SPIKE: 0.2, FaultKind.MISSING: 0.3, FaultKind.DROPOUT: 0.5}
# Skewed clocks make readings late rather than strange; they have tests of their own.
_KINDS = tuple(kind for kind in FaultKind if kind is not FaultKind.CLOCK_SKEW)


def scripted_faults(
    fleet: str,
    readings: int,
    *,
    seed: int = 0,
    share: float = 0.1,
    length: int = 100,
    kinds: Sequence[FaultKind] = _KINDS,
) -> tuple[Fault, ...]:
    """Spread faults of `length` readings over a stretch so that about `share` of it is in trouble, kinds in turn."""
    rng = np.random.default_rng([seed, readings])
    channels = len(pipeline_named(f"{fleet}/1").channels)
    count = int(readings * share / length)
    places = np.sort(rng.choice(max(readings // length, 1), size=count, replace=False)) * length
    return tuple(
        Fault(
            kind=kind,
            channel=int(rng.integers(channels)),
            first=int(first),
            last=int(first) + length,
            size=_SIZES.get(kind, 3.0),
            share=_SHARES.get(kind, 1.0),
        )
        for first, kind in zip(places, (kinds[i % len(kinds)] for i in range(count)), strict=True)
    )
