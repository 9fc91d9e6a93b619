"""How much evidence an alert takes: from a budget of false alarms to a height that evidence must reach.

Evidence for drift is gathered like Page's CUSUM does: each look adds the log likelihood ratio of a normal
score having moved by `step` against not having moved, and the sum never falls below 0. By Ville's and
Lorden's argument such a sum reaches height T once in at least exp(T) looks while nothing is wrong. That
bound holds however the scores are spread below it, but it is generous: for normal scores the mean time is
longer by a known factor (Siegmund 1985), which `credit` returns as a logarithm. Heights are then compared
by rate: at level L a healthy feature gets there once in exp(L) looks.
"""

import math

import numpy as np
import numpy.typing as npt

__all__ = ["credit", "look_budget", "needed"]

DAY_MS = 86_400_000


def credit(step: float) -> float:
    """Logarithm of how much rarer normal scores reach a height than the bound says.

    >>> round(credit(1.2), 2), round(credit(3.4), 2)
    (1.76, 1.96)
    """
    half = step / 2
    density = math.exp(-half * half / 2) / math.sqrt(2 * math.pi)
    below = 0.5 * math.erfc(-half / math.sqrt(2))
    overshoot = (2 / step) * (below - 0.5) / (half * below + density)
    return -math.log(step * step * overshoot * overshoot / 2)


def look_budget(
    false_alarms_per_device_day: float | npt.NDArray[np.float64], look_ms: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """False alarms that one look at one device may raise.

    >>> round(float(1 / look_budget(0.001, np.array(60_000.0))))
    1440000
    """
    return np.asarray(false_alarms_per_device_day * look_ms / DAY_MS, np.float64)


def needed(budget: npt.NDArray[np.float64], features: int) -> npt.NDArray[np.float64]:
    """Level that one feature of a device must reach so that all of them together keep to the budget of a look."""
    return np.asarray(np.log(features / budget), np.float64)
