"""Evidence that a feature has drifted, gathered look by look.

A look is one window, or as many as it takes to have enough samples. Each look turns into normal scores, one
for each way to drift; each score feeds one or two sums (see `calibration`). A sum that is not fed falls back
to 0, so there is no window length to choose: a large shift is proven in two looks, a small one in as many as
the information takes. Each row and feature is weighed by itself: what a device gets never depends on its batch.

The arithmetic is that of `streams.drift.kernels.weigh`.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from streams.drift.calibration import credit, needed
from streams.drift.kernels import Bars, Parts
from streams.drift.policy import Floors
from streams.drift.windows import Singles

__all__ = [
    "COMPONENTS",
    "Kind",
    "Look",
    "bars_of",
    "parts_of",
]


class Kind(IntEnum):
    """Ways to drift, in the order in which arrays hold them."""

    MEAN_UP = 0
    MEAN_DOWN = 1
    SPREAD_UP = 2
    SPREAD_DOWN = 3
    SHAPE = 4
    MISSING = 5
    OUT_OF_RANGE = 6
    UNSEEN = 7


@dataclass(frozen=True, slots=True)
class Component:
    """One sum: what feeds it, the move of the score it is quickest for, and its share of the budget."""

    kind: Kind
    step: float
    share: float


COMPONENTS = (
    Component(Kind.MEAN_UP, 3.4, 0.28),
    Component(Kind.MEAN_DOWN, 3.4, 0.28),
    Component(Kind.MEAN_UP, 1.2, 0.07),
    Component(Kind.MEAN_DOWN, 1.2, 0.07),
    Component(Kind.SPREAD_UP, 3.0, 0.03),
    Component(Kind.SPREAD_DOWN, 3.0, 0.03),
    Component(Kind.SPREAD_UP, 1.2, 0.03),
    Component(Kind.SPREAD_DOWN, 1.2, 0.03),
    Component(Kind.SHAPE, 2.5, 0.06),
    Component(Kind.MISSING, 2.5, 0.06),
    Component(Kind.OUT_OF_RANGE, 2.5, 0.03),
    Component(Kind.UNSEEN, 2.5, 0.03),
)

# Level above the one needed at which sums stop rising, so that an end of the drift is soon seen.
_HEADROOM = 3.0
# Evidence that a hundred times the budget would take is worth a warning.
_WARNING_ODDS = 100.0


@dataclass(frozen=True)
class Look:
    """Scores and effects of one look: devices × kinds × features; NaN where there is nothing to go by."""

    score: Singles
    effect: Singles


def bars_of(budget: npt.NDArray[np.float64], features: int, *, share: float | npt.NDArray[np.float64] = 1.0) -> Bars:
    """Return what verdicts take of looks with these budgets; one look counts for at most `share` of it."""
    drift = needed(budget, features)
    return Bars(
        cap=(share * drift).astype(np.float32), drift=drift, warning=needed(budget * _WARNING_ODDS, features)
    )  # fmt: skip


@lru_cache(maxsize=256)
def parts_of(floors: Floors) -> Parts:
    """Return the components as the loops see them, with the smallest effects that matter."""
    spread = float(np.log(floors.variance_ratio))
    floor = {
        Kind.MEAN_UP: floors.mean_shift,
        Kind.MEAN_DOWN: floors.mean_shift,
        Kind.SPREAD_UP: spread,
        Kind.SPREAD_DOWN: spread,
        Kind.SHAPE: floors.psi,
        Kind.MISSING: floors.missing_rate,
        Kind.OUT_OF_RANGE: floors.out_of_range,
        Kind.UNSEEN: floors.unseen_category,
    }
    log_share = np.log([one.share for one in COMPONENTS])
    return Parts(
        kind=np.array([one.kind for one in COMPONENTS], np.int64),
        step=np.array([one.step for one in COMPONENTS], np.float32),
        handicap=(log_share + [credit(one.step) for one in COMPONENTS]).astype(np.float32),
        log_share=log_share.astype(np.float32),
        floor=np.array([floor[one.kind] for one in COMPONENTS], np.float32),
        directed=sum(one.kind <= Kind.SPREAD_DOWN for one in COMPONENTS),
        headroom=_HEADROOM,
    )
