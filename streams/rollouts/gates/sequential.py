"""Sequential tests: a verdict that may be asked for every minute without growing more often wrong.

The difference between canary and control is judged by a confidence sequence from a normal mixture (Robbins 1970;
Johari et al., "Always valid inference", 2022): with chance 1 - alpha it holds the true difference at *every* look.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np

from streams.rollouts.gates.evidence import Sample

__all__ = ["Difference", "compare", "devices_needed", "half_width"]

# Devices that a group needs for its own spread to be believed alone.
_OWN_SPREAD = 5
_POWER_Z = 0.8416


@dataclass(frozen=True, slots=True)
class Difference:
    """Canary minus control, with bounds that hold at every look."""

    canary: float
    control: float
    half_width: float

    @property
    def value(self) -> float:
        return self.canary - self.control

    @property
    def low(self) -> float:
        return self.value - self.half_width

    @property
    def high(self) -> float:
        return self.value + self.half_width


def compare(canary: Sample, control: Sample, *, effect: float, alpha: float, is_share: bool) -> Difference:
    """Compare two groups; the bounds are narrowest for differences about the size of `effect`.

    Devices are the units, because a device's windows resemble each other. A small canary borrows the control's
    spread between devices; with fewer than three devices in all there is no spread, and the bounds are infinite
    (a share then still has its binomial spread).
    """
    spread = _pooled_spread(canary, control)
    variance = sum(_variance(sample, spread, is_share=is_share) for sample in (canary, control))
    return Difference(canary.value, control.value, half_width(variance, effect=effect, alpha=alpha))


def half_width(variance: float, *, effect: float, alpha: float) -> float:
    """Return how far a two-sided confidence sequence reaches to each side of its estimate."""
    if not math.isfinite(variance) or variance < 0:
        return math.inf
    if variance == 0:
        return 0.0
    # The square of an effect close to nothing is nothing, by which nobody can divide.
    mixing = max(effect * effect, sys.float_info.min)
    width = (2 * variance * (variance + mixing) / mixing) * (
        math.log(1 / alpha) + 0.5 * math.log((variance + mixing) / variance)
    )
    return math.sqrt(width)


def devices_needed(
    rate: float,
    effect: float,
    *,
    samples_per_device: float,
    control_devices: int,
    alpha: float,
    spread: float = 0.0,
    most: int = 1_000_000,
) -> int | None:
    """Return the canary devices after which `effect` on a share is seen in 4 of 5 cases; None: not by `most`.

    `spread` is the standard deviation of the rate between devices, beside chance.

    >>> devices_needed(0.02, 0.02, samples_per_device=7200, control_devices=40, alpha=0.01)
    2
    """

    def seen_by(devices: int) -> bool:
        variance = 0.0
        for share, count in ((min(rate + effect, 1.0), devices), (rate, control_devices)):
            per_device = share * (1 - share) / samples_per_device + spread * spread
            variance += per_device / max(count, 1)
        return effect >= half_width(variance, effect=effect, alpha=alpha) + _POWER_Z * math.sqrt(variance)

    if not control_devices or not seen_by(most):
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if seen_by(middle) else (middle + 1, high)
    # One device is no group: its own peculiarity cannot be told from the model's.
    return max(low, 2)


def _pooled_spread(canary: Sample, control: Sample) -> float:
    """Return the variance of the metric between devices of one group, estimated from both."""
    residuals, freedom = 0.0, -2
    for sample in (canary, control):
        if sample.devices:
            own = sample.numerators / sample.denominators
            residuals += float(((own - sample.value) ** 2).sum())
            freedom += sample.devices
    return residuals / freedom if freedom > 0 else math.nan


def _variance(sample: Sample, spread: float, *, is_share: bool) -> float:
    if not sample.total:
        return math.inf
    weights = sample.denominators / sample.total
    variance = spread * float((weights**2).sum())
    if sample.devices >= _OWN_SPREAD:
        residuals = weights * (sample.numerators / sample.denominators - sample.value)
        own = float((residuals**2).sum()) * sample.devices / (sample.devices - 1)
        variance = np.nanmax([variance, own])
    if is_share:
        # Half an event each way: no events in few samples are no proof of none.
        smoothed = (float(sample.numerators.sum()) + 0.5) / (sample.total + 1)
        chance = smoothed * (1 - smoothed) / sample.total
        variance = chance if math.isnan(variance) else max(variance, chance)
    return math.inf if math.isnan(variance) else float(variance)
