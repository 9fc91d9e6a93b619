"""Evidence that a feature has drifted, gathered look by look.

A look is one window, or as many as it takes to have enough samples. Each look turns into normal scores, one
for each way to drift; each score feeds one or two sums (see `calibration`). A sum that is not fed falls back
to 0, so there is no window length to choose: a large shift is proven in two looks, a small one in as many as
the information takes. Everything is element-wise: what a device gets never depends on its batch.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.drift.calibration import credit
from streams.drift.policy import Floors
from streams.drift.scores import SCORES, Floats, Pair, psi_bias
from streams.drift.scores.mean_shift import shift_z
from streams.drift.scores.missing_rate import missing_z
from streams.drift.scores.out_of_range import out_of_range_z
from streams.drift.scores.unseen_category import unseen_z

__all__ = [
    "COMPONENTS",
    "Gathered",
    "Kind",
    "Look",
    "SumsAndRuns",
    "floors_of",
    "gather",
    "look_at",
    "mind_floors",
    "nothing_gathered",
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

KIND_OF = np.array([component.kind for component in COMPONENTS])
_STEP = np.array([component.step for component in COMPONENTS], np.float32)[:, np.newaxis]
_LOG_SHARE = np.log([component.share for component in COMPONENTS]).astype(np.float32)[:, np.newaxis]
# What a sum must be raised by to be compared with the others, by rate.
_HANDICAP = _LOG_SHARE + np.array([credit(one.step) for one in COMPONENTS], np.float32)[:, np.newaxis]
# The first so many components have a direction.
_DIRECTED = sum(one.kind <= Kind.SPREAD_DOWN for one in COMPONENTS)

# Level above the one needed at which sums stop rising, so that an end of the drift is soon seen.
_HEADROOM = 3.0
# Standard errors that a reference is taken to be off by.
_OFF_BY = 1.0
# An effect that is infinite (a dead sensor's log variance ratio) must not spoil a run's mean.
_LARGEST_EFFECT = 30.0


@dataclass(frozen=True)
class Look:
    """Scores and effects of one look: devices × kinds × features; NaN where there is nothing to go by."""

    score: Floats
    effect: Floats


@dataclass(frozen=True)
class SumsAndRuns:
    """What is remembered of all looks so far: devices × components × features."""

    sums: Floats
    # Looks since each sum last stood at 0, and their summed effects.
    run: Floats
    run_effect: Floats


@dataclass(frozen=True)
class Gathered:
    """Evidence after a look: devices × components × features."""

    state: SumsAndRuns
    # A healthy feature reaches level L, by all components together, once in exp(L) looks.
    level: Floats
    # Mean effect of the run, corrected for the part that chance adds.
    effect: Floats


def nothing_gathered(devices: int, features: int) -> SumsAndRuns:
    none = np.zeros((devices, len(COMPONENTS), features), np.float32)
    return SumsAndRuns(sums=none, run=none, run_effect=none)


def look_at(pair: Pair) -> Look:
    """Score what one look shows, in every way to drift."""
    devices, features = pair.live.usable.shape
    score = np.empty((devices, len(Kind), features), np.float32)
    effect = np.empty_like(score)
    shift, moved = SCORES["mean_shift"](pair), shift_z(pair)
    with np.errstate(divide="ignore"):
        spread = np.clip(np.log(SCORES["variance_ratio"](pair)), -_LARGEST_EFFECT, _LARGEST_EFFECT)
    spread_z = SCORES["variance_z"](pair)
    up, down = _tempered(moved, pair)
    score[:, Kind.MEAN_UP], score[:, Kind.MEAN_DOWN] = up, down
    effect[:, Kind.MEAN_UP], effect[:, Kind.MEAN_DOWN] = shift, -shift
    up, down = _tempered(spread_z, pair)
    score[:, Kind.SPREAD_UP], score[:, Kind.SPREAD_DOWN] = up, down
    effect[:, Kind.SPREAD_UP], effect[:, Kind.SPREAD_DOWN] = spread, -spread
    score[:, Kind.SHAPE] = SCORES["shape_z"](pair)
    effect[:, Kind.SHAPE] = SCORES["psi"](pair) - psi_bias(pair)
    _rates(score, effect, pair)
    return Look(score=score, effect=effect)


def mind_floors(look: Look, floors: Floors) -> Look:
    """Let rates that are up by less than half their floor speak for health: they are nobody's concern."""
    score = look.score
    for kind, floor in (
        (Kind.MISSING, floors.missing_rate),
        (Kind.OUT_OF_RANGE, floors.out_of_range),
        (Kind.UNSEEN, floors.unseen_category),
    ):
        small = (look.effect[:, kind] < floor / 2) & (score[:, kind] > 0)
        if small.any():
            score = score.copy() if score is look.score else score
            score[:, kind][small] = 0
    return Look(score=score, effect=look.effect)


def gather(state: SumsAndRuns, look: Look, *, cap: Floats, ceiling: Floats) -> Gathered:
    """Add a look to the evidence; `cap` and `ceiling` bound, per device, one look's part and the sum."""
    score, effect = look.score[:, KIND_OF], look.effect[:, KIND_OF]
    known = ~np.isnan(score)
    gain = np.minimum(_STEP * score - _STEP * _STEP / 2, cap[:, np.newaxis, np.newaxis])
    highest = ceiling[:, np.newaxis, np.newaxis] + _HEADROOM - _HANDICAP
    sums = np.minimum(np.maximum(state.sums + np.where(known, gain, 0), 0), highest)
    alive = sums > 0
    run = np.where(alive, state.run + known, 0).astype(np.float32)
    run_effect = np.where(alive, state.run_effect + np.where(known, effect, 0), 0).astype(np.float32)
    return Gathered(
        state=SumsAndRuns(sums=_floats(sums), run=_floats(run), run_effect=_floats(run_effect)),
        level=_floats(sums + _HANDICAP),
        effect=_corrected(run, run_effect, effect, score),
    )


def gathered_at_once(look: Look) -> Gathered:
    """Take a single look for all the evidence there is: what a horizon shows by itself."""
    score, effect = np.nan_to_num(look.score[:, KIND_OF], nan=0), np.nan_to_num(look.effect[:, KIND_OF], nan=0)
    once = np.ones_like(score)
    # A normal tail's logarithm, shared out like the sums' budgets; below 1 there is nothing to tell.
    tail = score * score / 2 + np.log(np.maximum(score, 1) * np.sqrt(2 * np.pi))
    level = np.where(score > 1, tail + _LOG_SHARE, 0)
    return Gathered(
        state=SumsAndRuns(sums=score, run=once, run_effect=effect),
        level=_floats(level),
        effect=_corrected(once, effect, effect, score),
    )


def floors_of(floors: Floors) -> npt.NDArray[np.float32]:
    """The smallest effect that matters, by component."""
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
    return np.array([floor[component.kind] for component in COMPONENTS], np.float32)


def _tempered(z: Floats, pair: Pair) -> tuple[Floats, Floats]:
    """Both directions of a score, less what a reference of limited size and known spread might feign.

    A reference that is a little off is off for ever, in every look alike; sums would take that for evidence.
    """
    reference = pair.reference
    off = _OFF_BY * np.sqrt(pair.live.usable / np.maximum(reference.usable, 1))
    certain = 1 + 0.5 / np.sqrt(2 * reference.trials)
    return _floats((z - off) / certain), _floats((-z - off) / certain)


def _rates(score: Floats, effect: Floats, pair: Pair) -> None:
    reference, live = pair.reference, pair.live
    with np.errstate(invalid="ignore", divide="ignore"):
        effect[:, Kind.MISSING] = SCORES["missing_rate_change"](pair)
        effect[:, Kind.OUT_OF_RANGE] = live.out_of_range / live.usable - reference.out_of_range / reference.usable
        unseen = SCORES["unseen_category"](pair)
        effect[:, Kind.UNSEEN] = unseen
    for kind, z in ((Kind.MISSING, missing_z), (Kind.OUT_OF_RANGE, out_of_range_z), (Kind.UNSEEN, unseen_z)):
        # A rate that is not up is nobody's concern, and its score is costly: it speaks for health.
        column = effect[:, kind]
        score[:, kind] = np.where(np.isnan(column), np.nan, 0)
        up = (column > 0).any(axis=1)
        if up.any():
            rows = np.flatnonzero(up)
            found = z(pair.only(rows))
            score[rows, kind] = np.where(column[rows] > 0, found, score[rows, kind])


def _corrected(run: Floats, run_effect: Floats, effect: Floats, score: Floats) -> Floats:
    """Mean effect of the run, without what noise alone adds to its square; shape and rates have no such bias left."""
    length = np.maximum(run, 1)
    mean = run_effect / length
    with np.errstate(invalid="ignore", divide="ignore"):
        error = effect[:, :_DIRECTED] / score[:, :_DIRECTED]
        bias = np.nan_to_num(error * error, nan=0, posinf=0) / length[:, :_DIRECTED]
    directed = mean[:, :_DIRECTED]
    mean[:, :_DIRECTED] = np.copysign(np.sqrt(np.maximum(directed * directed - bias, 0)), directed)
    return _floats(mean)


def _floats(values: Any) -> Floats:
    floats: Floats = values
    return floats
