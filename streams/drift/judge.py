"""The judge: what measurements amount to under one policy; the second half of the seam.

Judges look at the same measurements and never change them, so any number of policies can be judged side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.columns import GridShape
from streams.drift.calibration import look_budget, needed
from streams.drift.evidence import COMPONENTS, SumsAndRuns, gather, gathered_at_once, look_at, mind_floors
from streams.drift.growing import GrowingArray
from streams.drift.measured import Looked, Measured
from streams.drift.policy import Mode, Rules
from streams.drift.verdicts import Found, Grade, by_evidence, by_limits
from streams.drift.windows import Rows

__all__ = ["Judge", "Judged", "need_of", "needs_of"]

_LEAST_LOOK_MS, _LONGEST_LOOK_MS = 1000, 7 * 24 * 3_600_000
_EVIDENCE = ("sums", "run", "run_effect")
_VERDICT = ("grade", "kind", "severity")


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
            **{name: GrowingArray((len(COMPONENTS), features), np.float32) for name in _EVIDENCE},
            **{name: GrowingArray((features,), np.uint8) for name in _VERDICT},
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
        if measured.looks is None:
            complete = np.zeros(len(measured), np.bool_)
            found = _alone(measured, rules) if rules.mode == Mode.CALIBRATED else _limited(measured, rules)
            return Judged(measured, rules, found, complete)
        self.reserve(int(measured.rows.max(initial=-1)) + 1)
        self._begin_anew(measured)
        complete = self._told(measured, rules)
        if rules.mode == Mode.THRESHOLDS:
            return Judged(measured, rules, _limited(measured, rules), complete)
        looked = measured.looks[need_of(rules, self.bins)]
        if len(looked.at):
            self._weigh(measured.rows[looked.at], looked, rules)
        found = Found(*(self.arrays[name].rows[measured.rows] for name in _VERDICT))
        return Judged(measured, rules, found, complete)

    def _begin_anew(self, measured: Measured) -> None:
        """Forget what is of an earlier life of a row."""
        lives = self.arrays["life"].rows[measured.rows]
        changed = measured.rows[lives != measured.life]
        if len(changed):
            for name in (*_EVIDENCE, *_VERDICT, "untold"):
                self.arrays[name].rows[changed] = 0
            self.arrays["life"].rows[measured.rows] = measured.life

    def _told(self, measured: Measured, rules: Rules) -> npt.NDArray[np.bool_]:
        untold = self.arrays["untold"].rows[measured.rows]
        complete: npt.NDArray[np.bool_] = (untold == 0) | (untold >= rules.reporting.complete_every)
        self.arrays["untold"].rows[measured.rows] = np.where(complete, 1, untold + 1)
        return complete

    def _weigh(self, rows: Rows, looked: Looked, rules: Rules) -> None:
        """Add complete looks to the evidence of their rows."""
        spans = np.clip(looked.span_ms, _LEAST_LOOK_MS, _LONGEST_LOOK_MS).astype(float)
        budget = look_budget(rules.budget.false_alarms_per_device_day, spans)
        features = looked.look.score.shape[-1]
        bar = needed(budget, features).astype(np.float32)
        before = SumsAndRuns(*(self.arrays[name].rows[rows] for name in _EVIDENCE))
        look = mind_floors(looked.look, rules.floors)
        gathered = gather(before, look, cap=rules.budget.window_share * bar, ceiling=bar)
        found = by_evidence(gathered, rules.floors, budget)
        found.grade[looked.few & (found.grade == Grade.STABLE)] = Grade.NOT_ENOUGH_DATA
        for name in _EVIDENCE:
            self.arrays[name].rows[rows] = getattr(gathered.state, name)
        for name in _VERDICT:
            self.arrays[name].rows[rows] = getattr(found, name)


def need_of(rules: Rules, bins: int) -> int:
    """Samples that a look takes under these rules."""
    return max(rules.minimum.samples, rules.minimum.per_bin * bins)


def needs_of(policies: Sequence[Rules], bins: int) -> tuple[int, ...]:
    """Samples that looks take under any of some policies, overrides included: what an engine must provide."""
    every = [rules for policy in policies for rules in (policy, *(one.rules for one in policy.overrides))]
    return tuple(sorted({need_of(rules, bins) for rules in every}))


def _alone(measured: Measured, rules: Rules) -> Found:
    """Judge a horizon by itself, as a single look."""
    pair = measured.pair
    budget = look_budget(
        rules.budget.false_alarms_per_device_day, np.full(len(measured), float(measured.horizon_ms))
    )  # fmt: skip
    found = by_evidence(gathered_at_once(mind_floors(look_at(pair), rules.floors)), rules.floors, budget)
    return _mind_few(found, measured, rules)


def _limited(measured: Measured, rules: Rules) -> Found:
    found = by_limits(dict(rules.limits), {name: measured.score(name) for name in rules.limits}, rules.alert_from)
    return _mind_few(found, measured, rules)


def _mind_few(found: Found, measured: Measured, rules: Rules) -> Found:
    live = measured.pair.live
    need = need_of(rules, live.counts.shape[0])
    few = live.usable < need
    found.grade[few & (found.grade == Grade.STABLE)] = Grade.NOT_ENOUGH_DATA
    found.grade[live.seen < need] = Grade.NOT_ENOUGH_DATA
    return found
