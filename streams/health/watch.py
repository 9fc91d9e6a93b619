"""Watch one series of one model on one device.

It keeps three rules:

* the first windows of a model say what is normal, and alert nobody;
* a detector's signal counts only when the series has really moved, to its worse side;
* the state is its recent values: feeding them to a fresh detector gives the same detector, so that what is
  restored equals what was lost.
"""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.health.detectors import DetectorSpec
from streams.health.series import Series, Worse

__all__ = ["Shift", "Watch", "WatchPolicy"]

_CLIP = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPolicy:
    """How one series is watched."""

    detector: DetectorSpec
    # Windows that say what is normal; with `standardise` off there are none, and raw values are fed.
    warm_up: int = 30
    standardise: bool = True
    # How far the recent mean must have moved, in standard deviations; back below half of it, the shift is over.
    min_shift: float = 1.0
    recent: int = 10
    # Binary detectors are told that a window was bad when it is so many standard deviations off.
    bad_above: float = 2.0
    # A detector remembers this many windows at least, and twice as many at most.
    memory: int = 512


@dataclass(frozen=True, slots=True)
class Shift:
    """The series has changed for the worse and has not come back."""

    usual: float
    now: float
    # In standard deviations of the warm-up; above 0 is up.
    by: float


class Watch:
    """The state of one series; `step` is fed its windows in order."""

    __slots__ = ("_center", "_detector", "_policy", "_scale", "_series", "_shifted", "_values", "signals")

    def __init__(self, series: Series, policy: WatchPolicy) -> None:
        self._series = series
        self._policy = policy
        self._center, self._scale = 0.0, 0.0 if policy.standardise else 1.0
        self._values = _empty(self._scale)
        self._detector = policy.detector.start()
        self._shifted = False
        self.signals = 0

    def step(self, value: float) -> Shift | None:
        """Take one window's value; what is not finite is no value and changes nothing."""
        if not math.isfinite(value):
            return self._shift()
        if not self._scale:
            self._warm_up(value)
            return None
        signalled = self._feed(value)
        self._forget()
        self.signals += signalled
        moved = self._moved()
        if self._shifted:
            self._shifted = moved >= self._policy.min_shift / 2
        else:
            self._shifted = signalled and moved >= self._policy.min_shift
        return self._shift()

    @property
    def policy(self) -> WatchPolicy:
        return self._policy

    def state(self) -> dict[str, Any]:
        """Return what `restored` needs, as plain values."""
        return {
            "center": self._center,
            "scale": self._scale,
            "shifted": self._shifted,
            "signals": self.signals,
            "values": self._values.tobytes(),
        }

    @classmethod
    def restored(cls, series: Series, policy: WatchPolicy, state: Mapping[str, Any]) -> "Watch":
        watch = cls(series, policy)
        watch._center, watch._scale = state["center"], state["scale"]
        watch._shifted, watch.signals = state["shifted"], state["signals"]
        watch._values = _empty(watch._scale)
        watch._values.frombytes(state["values"])
        if watch._scale:
            watch._refeed()
        return watch

    def _warm_up(self, value: float) -> None:
        self._values.append(value)
        if len(self._values) < self._policy.warm_up:
            return
        count = len(self._values)
        self._center = math.fsum(self._values) / count
        variance = math.fsum((value - self._center) ** 2 for value in self._values) / max(count - 1, 1)
        floor = max(self._series.noise, self._series.noise_share * abs(self._center))
        self._scale = max(math.sqrt(variance), floor)
        # What was normal also opens the detector's memory; raw values make way for standardised ones.
        raw, self._values = self._values, _empty(self._scale)
        self._values.extend(self._standardised(value) for value in raw)
        self._refeed()

    def _standardised(self, value: float) -> float:
        return max(-_CLIP, min(_CLIP, (value - self._center) / self._scale)) if self._policy.standardise else value

    def _feed(self, value: float) -> bool:
        self._values.append(self._standardised(value))
        self._detector.update(self._told(self._values[-1]))
        return bool(self._detector.drift_detected)

    def _told(self, standardised: float) -> float:
        if not self._policy.detector.binary:
            return standardised
        return float(self._worse_by(standardised) > self._policy.bad_above)

    def _forget(self) -> None:
        if len(self._values) >= 2 * self._policy.memory:
            self._values = self._values[-self._policy.memory :]
            self._refeed()

    def _refeed(self) -> None:
        self._detector = self._policy.detector.start()
        for value in self._values:
            self._detector.update(self._told(value))

    def _recent_mean(self) -> float:
        recent = self._values[-self._policy.recent :]
        return math.fsum(recent) / len(recent)

    def _moved(self) -> float:
        return self._worse_by(self._recent_mean())

    def _worse_by(self, standardised: float) -> float:
        return abs(standardised) if self._series.worse is Worse.EITHER else standardised * self._series.worse.value

    def _shift(self) -> Shift | None:
        if not self._shifted:
            return None
        by = self._recent_mean()
        return Shift(usual=self._center, now=self._center + by * self._scale, by=by)


def _empty(scale: float) -> "array[float]":
    # Standardised values in single precision halve what a checkpoint carries; a restored detector is fed the very
    # same numbers as the live one was.
    return array("f" if scale else "d")
