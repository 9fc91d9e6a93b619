"""A panel: calibrated policies whose looks are the same, weighing evidence together as long as they agree.

Policies differ only where evidence comes near what they bound: one look's part, the sum's ceiling, the level that an
alert takes. A healthy device is far from all of that, so it is weighed once for all of them, without bounds. A row
that comes near any bound gets a slot, where each strand (policies of one budget) weighs it, and each set of floors
judges it, until all of them agree on it again and have nothing to tell. An alert that goes on as it was is not told
again window by window: it would change nothing.
"""

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert, Evidence
from streams.backtest.steady import same_until_ms
from streams.backtest.weighing import NOBODY, Held, Looks, News, Slots, Trial, give_back, take_slot, weigh_for_all
from streams.drift.alerts import AlertBook
from streams.drift.calibration import look_budget
from streams.drift.evidence import COMPONENTS, Kind, bars_of, parts_of
from streams.drift.growing import GrowingArray
from streams.drift.judge import lengths_of, need_of
from streams.drift.kinds import family_of, kind_name, usual_name
from streams.drift.measured import Measured
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.policy import Rules
from streams.drift.scores import SCORES
from streams.drift.verdicts import SEVERITIES, Grade

__all__ = ["Panel"]

Rows = npt.NDArray[np.intp]

_FEWEST_SLOTS = 8
_NO_EVIDENCE = Evidence(scores={}, samples=0, reference="", horizon_ms=0)
# Plain numbers: they are compared with whole rows.
_NO_DATA, _DRIFT = int(Grade.NOT_ENOUGH_DATA), int(Grade.DRIFT)
# By kind.
_FAMILIES = [family_of(usual_name(kind)) for kind in Kind]


class Panel:
    """Policies that agree on how a look is made; rows are those of one engine."""

    def __init__(self, policies: Mapping[str, Rules], books: Mapping[str, AlertBook], shape: GridShape) -> None:
        self._names, self._rules = list(policies), list(policies.values())
        self._books = [books[name] for name in self._names]
        self._features, self._need = shape.features, need_of(self._rules[0], shape.bins)
        strands = list(dict.fromkeys(map(_strand, self._rules)))
        verdicts = list(dict.fromkeys((_strand(rules), rules.floors) for rules in self._rules))
        self._rate, self._share = (np.array(one)[:, np.newaxis] for one in zip(*strands, strict=True))
        self._trial = Trial(
            parts=parts_of(self._rules[0].floors),
            floors=np.stack([parts_of(floors).floor for _, floors in verdicts]),
            strand_of=np.array([strands.index(strand) for strand, _ in verdicts]),
            verdict_of=np.array([verdicts.index((_strand(rules), rules.floors)) for rules in self._rules]),
            family_of=np.array([_FAMILIES.index(family) for family in _FAMILIES]),
        )
        self._common = {
            **{
                name: GrowingArray((len(COMPONENTS), shape.features), np.float32)
                for name in ("sums", "run", "run_effect")
            },
            "slot": GrowingArray((), np.int64),
            # The life that the evidence is of.
            "life": GrowingArray((), np.int64),
        }
        self._slots = self._emptied(_FEWEST_SLOTS)

    def judge(self, measured: Measured, told: dict[str, list[DriftAlert]]) -> None:
        """Judge windows of one horizon, and add the alerts that changed to each policy's."""
        for array in self._common.values():
            array.reserve(int(measured.rows.max(initial=-1)) + 1)
        self._begin_anew(measured)
        looks, held = self._looks(measured), self._held()
        most = len(measured) * len(self._names)
        news = News(np.empty(most, np.int64), np.empty(most, np.int64))
        place, many = 0, 0
        while place < len(measured):
            place, many = weigh_for_all(
                place, measured.rows, measured.end_ms, looks, self._trial, held, self._slots, news
            )  # fmt: skip
            self._tell(measured, zip(news.entry[:many].tolist(), news.policy[:many].tolist(), strict=True), told)
            if place < len(measured):
                self._grow()

    def _looks(self, measured: Measured) -> Looks:
        assert measured.looks is not None  # noqa: S101  (only the first horizon comes here)
        looked = measured.looks[self._need]
        bars = bars_of(look_budget(self._rate, lengths_of(looked)), self._features, share=self._share)
        look_of = np.full(len(measured), -1)
        look_of[looked.at] = np.arange(len(looked.at))
        return Looks(look_of, looked.look.score, looked.look.effect, looked.few, bars.cap, bars.drift, bars.warning)

    def _tell(self, measured: Measured, news: Iterable[tuple[int, int]], told: dict[str, list[DriftAlert]]) -> None:
        """Tell the books what matters to them: drift, and quiet where an alert is open."""
        slots, slot_of = self._slots, self._common["slot"].rows
        close = _Close(measured, self._trial, slots)
        for entry, policy in news:
            slot, book, life = int(slot_of[measured.rows[entry]]), self._books[policy], self._rules[policy].life
            seen = close.observation(entry, slot, int(self._trial.verdict_of[policy]))
            told[self._names[policy]] += book.observe(seen, life)
            slots.open[slot, policy] = seen.subject in book
            slots.same_until_ms[slot, policy] = same_until_ms(book, seen, life)

    def _begin_anew(self, measured: Measured) -> None:
        lives, rows = self._common["life"].rows, measured.rows
        changed = np.flatnonzero(lives[rows] != measured.life)
        if not len(changed):
            return
        lives[rows] = measured.life
        held, slots = self._held(), self._slots
        for name in ("sums", "run", "run_effect"):
            self._common[name].rows[rows[changed]] = 0
        for entry in changed.tolist():
            if held.slot[rows[entry]] != NOBODY:
                give_back(held, rows[entry], slots)
            # The row may be another device's now; its alerts, if it had any, are found by its name.
            opened = [measured.device_id[entry] in book for book in self._books]
            if any(opened):
                if not slots.height[0]:
                    self._grow()
                    slots = self._slots
                take_slot(held, rows[entry], slots)
                slots.open[held.slot[rows[entry]]] = opened

    def _held(self) -> Held:
        return Held(*(self._common[name].rows for name in Held._fields))

    def _grow(self) -> None:
        """Have twice as many slots."""
        before = self._slots
        many = len(before.drifts)
        self._slots = self._emptied(2 * many)
        for name in Slots._fields[:-2]:
            getattr(self._slots, name)[:many] = getattr(before, name)
        free = int(before.height[0])
        self._slots.free[many : many + free] = before.free[:free]
        self._slots.height[0] = many + free

    def _emptied(self, many: int) -> Slots:
        """Return so many slots; the upper half of them is free, or all but the one that is nobody's."""
        gathered = (many, len(self._rate), len(COMPONENTS), self._features)
        verdicts, policies = len(self._trial.strand_of), len(self._names)
        first = 1 if many == _FEWEST_SLOTS else many // 2
        free = np.zeros(many, np.int64)
        free[: many - first] = np.arange(many - 1, first - 1, -1)
        sums, run, run_effect = (np.empty(gathered, np.float32) for _ in range(3))
        grade, kind, severity = (np.empty((many, verdicts, self._features), np.uint8) for _ in range(3))
        return Slots(
            sums=sums, run=run, run_effect=run_effect, grade=grade, kind=kind, severity=severity,
            drifts=np.empty((many, verdicts), np.bool_), open=np.empty((many, policies), np.bool_),
            same_until_ms=np.empty((many, policies), np.int64), free=free, height=np.array([many - first]),
        )  # fmt: skip


class _Close:
    """What windows that drift look like, worked out once for all policies."""

    def __init__(self, measured: Measured, trial: Trial, slots: Slots) -> None:
        self._measured, self._slots = measured, slots
        self._observations: dict[tuple[int, int], Observation] = {}

    def observation(self, entry: int, slot: int, verdict: int) -> Observation:
        seen = self._observations.get((entry, verdict))
        if seen is None:
            seen = self._observations[entry, verdict] = self._observed(entry, slot, verdict)
        return seen

    def _observed(self, entry: int, slot: int, verdict: int) -> Observation:
        measured, against = self._measured, self._measured.group.against
        grade, kind, severity = (
            getattr(self._slots, name)[slot, verdict] for name in ("grade", "kind", "severity")
        )  # fmt: skip
        return Observation(
            subject=measured.device_id[entry],
            model_id=against.model_id,
            at_ms=int(measured.end_ms[entry]),
            breaches=tuple(
                Breach(
                    feature=against.features[feature], family=_FAMILIES[kind[feature]],
                    severity=SEVERITIES[severity[feature]],
                    closer=partial(self._shown, entry, feature, Kind(int(kind[feature]))),
                )
                for feature in np.flatnonzero(grade == _DRIFT).tolist()
            ),
            unknown=frozenset(against.features[feature] for feature in np.flatnonzero(grade == _NO_DATA).tolist()),
            labels=measured.group.labels,
        )  # fmt: skip

    def _shown(self, entry: int, feature: int, kind: Kind) -> Shown:
        pair = self._measured.pair_of(np.array([entry]))
        ratio = float(SCORES["variance_ratio"](pair)[0, feature])
        return Shown(kind=kind_name(kind, ratio, pair, 0, feature), evidence=_NO_EVIDENCE)


def _strand(rules: Rules) -> tuple[float, float]:
    return rules.budget.of_looks, rules.budget.window_share
