"""The judge: what measurements amount to under one policy; the second half of the seam.

Judges look at the same measurements and never change them, so any number of policies can be judged side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.columns import GridShape
from streams.drift.calibration import look_budget
from streams.drift.evidence import COMPONENTS, Look, bars_of, parts_of
from streams.drift.growing import GrowingArray
from streams.drift.kernels import Remembered, Verdicts, weigh, weigh_alone
from streams.drift.measured import Looked, Measured
from streams.drift.policy import Mode, Rules
from streams.drift.verdicts import Found, Grade, by_limits

__all__ = ["Judge", "Judged", "lengths_of", "need_of", "needs_of"]

_LEAST_LOOK_MS, _LONGEST_LOOK_MS = 1000, 7 * 24 * 3_600_000


@dataclass(frozen=True)
class Judged:
    """Measurements with their verdicts: an entry (or row) each."""

    measured: Measured
    rules: Rules
    found: Found
    # All features are to be told.
    complete: npt.NDArray[np.bool_]


class Judge:
    """One policy's judgement of one engine's measurements, with the evidence that it remembers of each row."""

    def __init__(self, rules: Rules, *, shape: GridShape) -> None:
        features, self.bins = shape
        self.rules = rules
        self.arrays = {
            **{name: GrowingArray((len(COMPONENTS), features), np.float32) for name in ("sums", "run", "run_effect")},
            **{name: GrowingArray((features,), np.uint8) for name in ("grade", "kind", "severity")},
            # The life that the evidence is of.
            "life": GrowingArray((), np.int64),
            # Windows since all features were last told, that one included; 0 before the first.
            "untold": GrowingArray((), np.int64),
        }

    def judge(self, measured: Sequence[Measured]) -> list[Judged]:
        """Judge measurements in the order in which the engine made them."""
        return [self._judged(one) for one in measured]

    def reserve(self, rows: int) -> None:
        """Have room for so many rows."""
        for array in self.arrays.values():
            array.reserve(rows)

    def _judged(self, measured: Measured) -> Judged:
        rules = self.rules.for_device(measured.group.against.model_id, measured.group.labels)
        verdicts = _blank(len(measured), measured.totals.missing.shape[1])
        if measured.alone is None:
            self._weigh(measured, rules, verdicts)
        elif rules.mode == Mode.CALIBRATED:
            _weigh_alone(measured, measured.alone, rules, verdicts)
        found = Found(verdicts.grade, verdicts.kind, verdicts.severity)
        if rules.mode == Mode.THRESHOLDS:
            limits = {name: measured.score(name) for name in rules.limits}
            found = by_limits(dict(rules.limits), limits, rules.alert_from)
        if rules.mode == Mode.THRESHOLDS or measured.alone is not None:
            _mind_few(found, measured, need_of(rules, self.bins))
        return Judged(measured, rules, found, verdicts.complete)

    def _weigh(self, measured: Measured, rules: Rules, verdicts: Verdicts) -> None:
        """Add complete looks to the evidence of their rows."""
        self.reserve(int(measured.rows.max(initial=-1)) + 1)
        looked = _NOTHING
        if rules.mode == Mode.CALIBRATED and measured.looks is not None:
            looked = measured.looks[need_of(rules, self.bins)]
        budget = look_budget(rules.budget.of_looks, lengths_of(looked))
        bars = bars_of(budget, looked.look.score.shape[-1], share=rules.budget.window_share)
        look_of = np.full(len(measured), -1)
        look_of[looked.at] = np.arange(len(looked.at))
        state = Remembered(*(self.arrays[name].rows for name in Remembered._fields))
        look = looked.look
        weigh(
            state, measured.rows, measured.life, look_of, look.score, look.effect, looked.few, bars,
            parts_of(rules.floors), rules.reporting.complete_every, verdicts,
        )  # fmt: skip


def lengths_of(looked: Looked) -> npt.NDArray[np.float64]:
    """How long looks took, milliseconds, as far as a budget is concerned."""
    return np.clip(looked.span_ms, _LEAST_LOOK_MS, _LONGEST_LOOK_MS).astype(float)


def need_of(rules: Rules, bins: int) -> int:
    """Samples that a look takes under these rules."""
    return max(rules.minimum.samples, rules.minimum.per_bin * bins)


def needs_of(policies: Sequence[Rules], bins: int) -> tuple[int, ...]:
    """Samples that looks take under any of some policies, overrides included: what an engine must provide."""
    every = [rules for policy in policies for rules in (policy, *(one.rules for one in policy.overrides))]
    return tuple(sorted({need_of(rules, bins) for rules in every}))


_NOTHING = Looked(
    at=np.empty(0, np.intp),
    look=Look(score=np.empty((0, 0, 0), np.float32), effect=np.empty((0, 0, 0), np.float32)),
    span_ms=np.empty(0, np.int64),
    few=np.empty((0, 0), np.bool_),
)


def _blank(entries: int, features: int) -> Verdicts:
    grade, kind, severity = (np.zeros((entries, features), np.uint8) for _ in range(3))
    return Verdicts(grade, kind, severity, complete=np.zeros(entries, np.bool_))


def _weigh_alone(measured: Measured, look: Look, rules: Rules, verdicts: Verdicts) -> None:
    """Judge a horizon by itself, as a single look.

    Such looks overlap, and each is given what its own part of the time may raise: that holds however alike they are.
    """
    every_ms = np.full(len(measured), float(measured.every_ms))
    budget = look_budget(rules.budget.of_others(len(rules.horizons_ms) - 1), every_ms)
    bars = bars_of(budget, look.score.shape[-1])
    weigh_alone(look.score, look.effect, bars, parts_of(rules.floors), verdicts)


def _mind_few(found: Found, measured: Measured, need: int) -> None:
    seen = measured.totals.samples[:, np.newaxis]
    few = (seen - measured.totals.missing) < need
    if measured.group.against.past_ms:
        few |= measured.reference.usable < need
    found.grade[few & (found.grade == Grade.STABLE)] = Grade.NOT_ENOUGH_DATA
    nothing = seen < need
    if measured.is_filled is not None:
        nothing |= ~measured.is_filled[:, np.newaxis]
    found.grade[np.broadcast_to(nothing, few.shape)] = Grade.NOT_ENOUGH_DATA
