"""Scripted trouble: what goes wrong with a simulated sensor, when, and how it shows in the readings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensing.errors import SensingError
from sensing.tally import Floats, Ints

__all__ = ["CHANGES", "Fault", "FaultKind", "Moment", "bit_of", "kinds_in"]


class FaultKind(StrEnum):
    """What can go wrong."""

    SPIKE = "spike"
    SLOW_DRIFT = "slow_drift"
    SUDDEN_DRIFT = "sudden_drift"
    DROPOUT = "dropout"
    STUCK = "stuck"
    DEAD = "dead"
    UNIT_CHANGE = "unit_change"
    NOISE = "noise"
    MISSING = "missing"
    CLOCK_SKEW = "clock_skew"


_ORDER = {kind: index for index, kind in enumerate(FaultKind)}


def bit_of(kind: FaultKind) -> int:
    """Return the bit that labels carry for a kind of fault."""
    return 1 << _ORDER[kind]


def kinds_in(label: int) -> tuple[FaultKind, ...]:
    """Read a label.

    >>> kinds_in(bit_of(FaultKind.SPIKE) | bit_of(FaultKind.MISSING))
    (<FaultKind.SPIKE: 'spike'>, <FaultKind.MISSING: 'missing'>)
    """
    return tuple(kind for kind in FaultKind if label & bit_of(kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One trouble of one channel; `first` and `last` count readings, `last` is left out.

    `size` is in standard deviations of the channel; for `missing`, `dropout` and `spike` `share` is the part of the
    readings that are hit; for `clock_skew` `size` is in milliseconds.
    """

    kind: FaultKind
    channel: int = 0
    first: int = 0
    last: int = 2**62
    size: float = 3.0
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.last:
            raise SensingError(
                f"fault {self.kind.value} from reading {self.first} to {self.last}; wanted: 0 <= first < last"
            )
        if not 0 < self.share <= 1:
            raise SensingError(f"fault {self.kind.value} has share {self.share}; wanted: above 0, at most 1")


class Moment(NamedTuple):
    """The readings that a fault covers, as far as one block goes."""

    values: Floats  # of the fault's channel
    steps: Ints  # of the readings, counted from the device's first
    scale: float  # one standard deviation of the channel
    rng: np.random.Generator
    held: float  # the channel's value just before the fault


# The changed values, and which of them the fault touched.
Changed = tuple[Floats, NDArray[np.bool_]]
Change = Callable[[Fault, Moment], Changed]


def _spike(fault: Fault, at: Moment) -> Changed:
    hit = at.rng.random(len(at.values)) < fault.share
    sign = np.where(at.rng.random(len(at.values)) < 0.5, -1.0, 1.0)
    return np.where(hit, at.values + sign * fault.size * at.scale, at.values), hit


def _slow_drift(fault: Fault, at: Moment) -> Changed:
    # `size` is reached after `1 / share` hundred readings, and the drift goes on beyond.
    grown = (at.steps - fault.first + 1) * fault.share / 100
    return at.values + grown * fault.size * at.scale, np.ones(len(at.values), dtype=bool)


def _sudden_drift(fault: Fault, at: Moment) -> Changed:
    return at.values + fault.size * at.scale, np.ones(len(at.values), dtype=bool)


def _stuck(_: Fault, at: Moment) -> Changed:
    return np.full(len(at.values), at.held), np.ones(len(at.values), dtype=bool)


def _dead(_: Fault, at: Moment) -> Changed:
    return np.zeros(len(at.values)), np.ones(len(at.values), dtype=bool)


def _unit_change(_: Fault, at: Moment) -> Changed:
    # As if somebody had set a sensor from Celsius to Fahrenheit.
    return at.values * 1.8 + 32, np.ones(len(at.values), dtype=bool)


def _noise(fault: Fault, at: Moment) -> Changed:
    more = at.rng.standard_normal(len(at.values)) * fault.size * at.scale
    return at.values + more, np.ones(len(at.values), dtype=bool)


def _missing(fault: Fault, at: Moment) -> Changed:
    hit = at.rng.random(len(at.values)) < fault.share
    return np.where(hit, np.nan, at.values), hit


# Dropouts and clock skew concern the reading as a whole; the device deals with them.
CHANGES: Mapping[FaultKind, Change] = {
    FaultKind.SPIKE: _spike,
    FaultKind.SLOW_DRIFT: _slow_drift,
    FaultKind.SUDDEN_DRIFT: _sudden_drift,
    FaultKind.STUCK: _stuck,
    FaultKind.DEAD: _dead,
    FaultKind.UNIT_CHANGE: _unit_change,
    FaultKind.NOISE: _noise,
    FaultKind.MISSING: _missing,
}
