"""`vibration`: acceleration at 1 kHz, looked at in windows of 1024 readings that overlap by three quarters.

A window gives nine numbers of its signal without its mean: strength, shape, and energy in four bands. One missing
reading makes its windows missing; a constant signal has no shape, so kurtosis, crest factor and skew are missing.
"""

import itertools

import numpy as np

from sensing.pipelines.base import Arrays, Channel, Feature, Gap, Pipeline, Vectors
from sensing.tally import Floats, Ints

__all__ = ["VIBRATION"]

_WINDOW = 1024
_HOP = _WINDOW // 4
_RATE_HZ = 1000.0
_BANDS_HZ = (0.0, 62.5, 125.0, 250.0, 500.0)

# Band i holds the spectral lines from edge i up to, and not including, edge i+1; the last one its end as well.
_LINES_HZ = np.fft.rfftfreq(_WINDOW, 1 / _RATE_HZ)
_BAND_STARTS = np.searchsorted(_LINES_HZ, _BANDS_HZ[:-1])
# Parseval: all lines but the first and the last stand for two.
_WEIGHTS = np.where((_LINES_HZ == 0) | (_LINES_HZ == _RATE_HZ / 2), 1.0, 2.0) / _WINDOW**2


class _VibrationKernel:
    def __init__(self) -> None:
        self._signal = np.empty(0)
        self._times: Ints = np.empty(0, dtype=np.int64)

    def extend(self, at_ms: Ints, rows: Floats) -> Vectors:
        signal = np.concatenate((self._signal, rows[:, 0]))
        times = np.concatenate((self._times, at_ms))
        starts = range(0, len(signal) - _WINDOW + 1, _HOP)
        described = [_describe(signal[start : start + _WINDOW]) for start in starts]
        ends = times[[start + _WINDOW - 1 for start in starts]] if described else times[:0]
        kept = len(described) * _HOP
        self._signal, self._times = signal[kept:].copy(), times[kept:].copy()
        return Vectors(ends, np.array(described, dtype=np.float32).reshape(-1, 9))

    def freeze(self) -> Arrays:
        return {"signal": self._signal, "times": self._times}

    def thaw(self, state: Arrays) -> None:
        self._signal, self._times = state["signal"].copy(), state["times"].copy()


def _describe(window: Floats) -> Floats:
    if not np.isfinite(window).all():
        return np.full(9, np.nan)
    signal = window - window.mean()
    squares = signal * signal
    power = squares.mean()
    peak = np.abs(signal).max()
    energies = np.add.reduceat(np.abs(np.fft.rfft(signal)) ** 2 * _WEIGHTS, _BAND_STARTS)
    # Rounding alone leaves some 1e-16 of a constant's size.
    if peak <= 1e-12 * max(abs(window[0]), 1e-300):
        return np.array([0.0, 0.0, np.nan, np.nan, np.nan, 0.0, 0.0, 0.0, 0.0])
    rms = np.sqrt(power)
    kurtosis = (squares * squares).mean() / power**2
    skew = (squares * signal).mean() / (power * rms)
    return np.array([rms, peak, kurtosis, peak / rms, skew, *energies])


VIBRATION = Pipeline(
    name="vibration",
    version=1,
    channels=(Channel("acceleration", "g", -50.0, 50.0),),
    features=(
        Feature(name="rms", low=0.0, high=50.0),
        Feature(name="peak", low=0.0, high=100.0),
        Feature(name="kurtosis", low=1.0),
        Feature(name="crest_factor", low=1.0),
        Feature(name="skew"),
        *(Feature(name=f"energy_{low:g}_{high:g}_hz", low=0.0) for low, high in itertools.pairwise(_BANDS_HZ)),
    ),
    every_ms=1,
    gap=Gap(max_ms=10),
    kernel=_VibrationKernel,
    span=_WINDOW,
    hop=_HOP,
)
