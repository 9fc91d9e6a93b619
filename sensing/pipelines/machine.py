"""`machine`: temperature, vibration, pressure and current of a rotating machine, one reading a second.

Each channel gives its value, its mean and standard deviation over the last 60 readings, and its change over the
last 10. Means use the values that are there; a deviation needs two.
"""

import numpy as np

from sensing.pipelines.base import Arrays, Channel, Feature, Gap, Pipeline, Vectors
from sensing.pipelines.rolling import Lags, RollingSums
from sensing.pipelines.state import join, part
from sensing.tally import Floats, Ints

__all__ = ["MACHINE"]

_WINDOW = 60
_LAG = 10

_CHANNELS = (
    Channel("temperature", "°C", -40.0, 200.0),
    Channel("vibration", "mm/s", 0.0, 100.0),
    Channel("pressure", "bar", 0.0, 40.0),
    Channel("current", "A", 0.0, 200.0),
)
_N = len(_CHANNELS)
# Squares are summed of differences from these, so that a deviation keeps its digits.
_TYPICAL = np.array([60.0, 2.5, 6.0, 12.0])


class _MachineKernel:
    def __init__(self) -> None:
        self._sums = RollingSums(_WINDOW, 3 * len(_CHANNELS))
        self._lags = Lags(_LAG, len(_CHANNELS))

    def extend(self, at_ms: Ints, rows: Floats) -> Vectors:
        there = np.isfinite(rows)
        # A reading beyond all bounds becomes infinite, and counts as missing: that is no matter for a warning.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            offsets = np.where(there, rows - _TYPICAL, 0.0)
            sums = self._sums.extend(np.concatenate((offsets, offsets * offsets, there), axis=1))
            # As `np.hsplit` does, which takes longer than all the arithmetic of a single reading.
            total, squares, present = sums[:, :_N], sums[:, _N : 2 * _N], sums[:, 2 * _N :]
            shift = total / present
            spread = (squares - total * shift) / np.where(present > 1, present - 1, np.nan)
            earlier = self._lags.extend(rows)[: len(rows)]
            parts = (rows, _TYPICAL + shift, np.sqrt(np.maximum(spread, 0.0)), rows - earlier)
            return Vectors(at_ms, np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind"))

    def freeze(self) -> Arrays:
        return join(sums=self._sums.freeze(), lags=self._lags.freeze())

    def thaw(self, state: Arrays) -> None:
        self._sums.thaw(part(state, "sums"))
        self._lags.thaw(part(state, "lags"))


MACHINE = Pipeline(
    name="machine",
    version=1,
    channels=_CHANNELS,
    features=(
        *(Feature(name=channel.name, low=channel.low, high=channel.high) for channel in _CHANNELS),
        *(Feature(name=f"{channel.name}_mean_60", low=channel.low, high=channel.high) for channel in _CHANNELS),
        *(Feature(name=f"{channel.name}_std_60", low=0.0) for channel in _CHANNELS),
        *(Feature(name=f"{channel.name}_change_10") for channel in _CHANNELS),
    ),
    every_ms=1000,
    gap=Gap(max_ms=60_000),
    kernel=_MachineKernel,
    span=_WINDOW,
)
