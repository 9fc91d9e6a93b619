"""A panel: calibrated policies whose looks are the same, weighing evidence together as long as they agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert, Evidence
from streams.drift.alerts import AlertBook, Breach, Observation, Shown
from streams.drift.calibration import look_budget, needed
from streams.drift.evidence import COMPONENTS, Gathered, Kind, Look, SumsAndRuns, floors_of, gather, mind_floors
from streams.drift.growing import GrowingArray
from streams.drift.judge import need_of
from streams.drift.kinds import family_of, kind_name
from streams.drift.measured import Looked, Measured
from streams.drift.policy import Rules
from streams.drift.scores import Pair
from streams.drift.verdicts import SEVERITIES, Found, Grade, by_floors

__all__ = ["Panel"]

Rows = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]

_LEAST_LOOK_MS, _LONGEST_LOOK_MS = 1000, 7 * 24 * 3_600_000
_PARTS = ("sums", "run", "run_effect")
# Sums stop rising this far above what an alert takes; well before, a row is weighed for each policy apart.
_NEAR = 2.9
# Rounding must not hide that a bound was reached.
_SLACK = 1e-3
_NO_EVIDENCE = Evidence(scores={}, samples=0, reference="", horizon_ms=0)


@dataclass(frozen=True)
class _Drifting:
    """One policy's last verdict on a row that drifts: by feature."""

    grade: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]
    severity: npt.NDArray[np.uint8]


class Panel:
    """Policies that agree on how a look is made; rows are those of one engine."""

    def __init__(self, policies: Mapping[str, Rules], books: Mapping[str, AlertBook], shape: GridShape) -> None:
        self._names, self._rules = list(policies), list(policies.values())
        self._books = [books[name] for name in self._names]
        self._features, self._need = shape.features, need_of(self._rules[0], shape.bins)
        self._floor = np.stack([floors_of(rules.floors) for rules in self._rules])[:, :, np.newaxis]
        self._rate = np.array([rules.budget.false_alarms_per_device_day for rules in self._rules])
        self._window_share = np.array([rules.budget.window_share for rules in self._rules])
        self._common = {name: GrowingArray((len(COMPONENTS), shape.features), np.float32) for name in _PARTS}
        self._rows = {
            "life": GrowingArray((), np.int64),
            "apart": GrowingArray((), np.bool_),
            # Features with enough data, as of the last look.
            "known": GrowingArray((shape.features,), np.bool_),
            # By policy: a verdict of drift holds, an alert is open.
            "drifts": GrowingArray((len(policies),), np.bool_),
            "open": GrowingArray((len(policies),), np.bool_),
        }
        # By row weighed apart: policies × components × features.
        self._apart: dict[int, dict[str, Floats]] = {}
        self._drifting: dict[tuple[int, int], _Drifting] = {}

    def judge(self, measured: Measured, told: dict[str, list[DriftAlert]]) -> None:
        """Judge windows of one horizon, and add the alerts that changed to each policy's."""
        self._reserve(int(measured.rows.max(initial=-1)) + 1)
        self._begin_anew(measured)
        assert measured.looks is not None  # noqa: S101  (only the first horizon comes here)
        looked = measured.looks[self._need]
        if len(looked.at):
            self._weigh(measured.rows[looked.at], looked)
        self._tell(measured, told)

    def _weigh(self, rows: Rows, looked: Looked) -> None:
        spans = np.clip(looked.span_ms, _LEAST_LOOK_MS, _LONGEST_LOOK_MS).astype(float)
        # Policies × rows.
        budget = np.stack([look_budget(float(rate), spans) for rate in self._rate])
        bar = needed(budget, self._features).astype(np.float32)
        look = mind_floors(looked.look, self._rules[0].floors)
        self._rows["known"].rows[rows] = ~looked.few
        apart = self._rows["apart"].rows[rows]
        together = np.flatnonzero(~apart)
        if len(together):
            parted = self._weigh_together(rows, together, look, looked.few, budget, bar)
            apart[parted] = True
        mine = np.flatnonzero(apart)
        if len(mine):
            self._weigh_apart(rows, mine, look, looked.few, budget, bar)

    def _weigh_together(
        self, rows: Rows, at: Rows, look: Look, few: Booleans, budget: npt.NDArray[np.float64], bar: Floats
    ) -> Rows:
        """Weigh rows on which all agree, once; returns the entries that came near a bound, not weighed yet."""
        mine = rows[at]
        before = SumsAndRuns(*(self._common[name].rows[mine] for name in _PARTS))
        unbounded = np.full(len(at), np.inf, np.float32)
        gathered = gather(before, _some(look, at), cap=unbounded, ceiling=unbounded)
        rise = (gathered.state.sums - before.sums).max(axis=(1, 2))
        level = gathered.level.max(axis=(1, 2))
        least_cap = (self._window_share[:, np.newaxis] * bar[:, at]).min(axis=0)
        near = (rise > least_cap - _SLACK) | (level > bar[:, at].min(axis=0) + _NEAR)
        for place in np.flatnonzero(near).tolist():
            self._part(int(mine[place]), before, place)
        agreed = np.flatnonzero(~near)
        for name in _PARTS:
            self._common[name].rows[mine[agreed]] = getattr(gathered.state, name)[agreed]
        self._settle(mine[agreed])
        # By Benjamini and Hochberg's rule nothing below this can be found, in however many features.
        lowest = -np.log(budget[:, at])
        for policy, place in np.argwhere((level >= lowest) & ~near).tolist():
            one = np.array([place])
            found = by_floors(_gathered(gathered, one), self._floor[policy : policy + 1], budget[policy, at[one]])
            self._note(policy, int(mine[place]), found, 0, few[at[place]])
        parted: Rows = at[near]
        return parted

    def _weigh_apart(
        self, rows: Rows, at: Rows, look: Look, few: Booleans, budget: npt.NDArray[np.float64], bar: Floats
    ) -> None:
        """Weigh rows for each policy: what was a row is now as many as there are policies."""
        policies, count = len(self._names), len(at)
        held = [self._apart[row] for row in rows[at].tolist()]
        # Policies × rows, flat.
        before = SumsAndRuns(*(np.stack([one[name] for one in held], axis=1).reshape(-1, *held[0][name].shape[1:])
                               for name in _PARTS))  # fmt: skip
        repeated = np.tile(at, policies)
        bars = bar[:, at].reshape(-1)
        share = np.repeat(self._window_share, count)
        gathered = gather(before, _some(look, repeated), cap=(share * bars).astype(np.float32), ceiling=bars)
        found = by_floors(gathered, np.repeat(self._floor, count, axis=0), budget[:, at].reshape(-1))
        drifts = (found.grade == Grade.DRIFT).any(axis=1).reshape(policies, count)
        after = {
            name: getattr(gathered.state, name).reshape(policies, count, *held[0][name].shape[1:]) for name in _PARTS
        }
        self._settle(rows[at])
        for place, row in enumerate(rows[at].tolist()):
            for policy in np.flatnonzero(drifts[:, place]).tolist():
                self._note(policy, row, found, policy * count + place, few[at[place]])
            self._keep(row, {name: values[:, place] for name, values in after.items()})

    def _keep(self, row: int, state: dict[str, Floats]) -> None:
        """Remember a row's evidence by policy, or once for all if they agree again."""
        if all((values == values[:1]).all() for values in state.values()):
            for name, values in state.items():
                self._common[name].rows[row] = values[0]
            self._apart.pop(row, None)
            self._rows["apart"].rows[row] = False
        else:
            self._apart[row] = {name: values.copy() for name, values in state.items()}

    def _part(self, row: int, before: SumsAndRuns, place: int) -> None:
        many = len(self._names)
        self._apart[row] = {name: np.repeat(getattr(before, name)[place][np.newaxis], many, axis=0) for name in _PARTS}
        self._rows["apart"].rows[row] = True

    def _settle(self, rows: Rows) -> None:
        """Take back verdicts of drift: a look replaces them."""
        drifts = self._rows["drifts"].rows
        for row in rows[drifts[rows].any(axis=1)].tolist():
            for policy in np.flatnonzero(drifts[row]).tolist():
                del self._drifting[row, policy]
            drifts[row] = False

    def _note(self, policy: int, row: int, found: Found, place: int, few: Booleans) -> None:
        grade = found.grade[place].copy()
        if not (grade == Grade.DRIFT).any():
            return
        grade[few & (grade == Grade.STABLE)] = Grade.NOT_ENOUGH_DATA
        self._drifting[row, policy] = _Drifting(grade, found.kind[place].copy(), found.severity[place].copy())
        self._rows["drifts"].rows[row, policy] = True

    def _tell(self, measured: Measured, told: dict[str, list[DriftAlert]]) -> None:
        """Tell the books what matters to them: drift, and quiet where an alert is open."""
        rows = measured.rows
        drifts, opened = self._rows["drifts"].rows, self._rows["open"].rows
        matters = np.argwhere(drifts[rows] | opened[rows])
        if not len(matters):
            return
        close = _Close(measured, np.unique(matters[drifts[rows][matters[:, 0], matters[:, 1]], 0]))
        for place, policy in matters.tolist():
            row = int(rows[place])
            verdict = self._drifting.get((row, policy))
            shown = close.observation(place, verdict, self._rows["known"].rows[row])
            told[self._names[policy]] += self._books[policy].observe(shown, self._rules[policy].life)
            opened[row, policy] = shown.subject in self._books[policy]

    def _begin_anew(self, measured: Measured) -> None:
        lives = self._rows["life"].rows
        changed = measured.rows[lives[measured.rows] != measured.life]
        if not len(changed):
            return
        self._settle(changed)
        for name in _PARTS:
            self._common[name].rows[changed] = 0
        for row in changed.tolist():
            self._apart.pop(row, None)
        self._rows["apart"].rows[changed] = False
        self._rows["known"].rows[changed] = False
        lives[measured.rows] = measured.life
        # The row may be another device's now; its alerts, if it had any, are found by its name.
        anew = set(changed.tolist())
        for row, device in zip(measured.rows.tolist(), measured.device_id, strict=True):
            if row in anew:
                self._rows["open"].rows[row] = [device in book for book in self._books]

    def _reserve(self, rows: int) -> None:
        for array in (*self._common.values(), *self._rows.values()):
            array.reserve(rows)


class _Close:
    """What windows that drift look like, worked out once for all policies."""

    def __init__(self, measured: Measured, places: Rows) -> None:
        self._measured = measured
        self._names = measured.group.against.features
        self._at = {place: i for i, place in enumerate(places.tolist())}
        self._pair: Pair | None = measured.pair.only(places) if len(places) else None
        self._breaches: dict[tuple[Any, ...], Breach] = {}

    def observation(self, place: int, verdict: _Drifting | None, known: Booleans) -> Observation:
        measured = self._measured
        if verdict is None:
            unknown, drifted = np.flatnonzero(~known), []
        else:
            unknown = np.flatnonzero(verdict.grade == Grade.NOT_ENOUGH_DATA)
            drifted = np.flatnonzero(verdict.grade == Grade.DRIFT).tolist()
        return Observation(
            subject=measured.device_id[place],
            model_id=measured.group.against.model_id,
            at_ms=int(measured.end_ms[place]),
            breaches=tuple(
                self._breach(place, feature, int(verdict.kind[feature]), int(verdict.severity[feature]))
                for feature in drifted
                if verdict is not None
            ),
            unknown=frozenset(self._names[feature] for feature in unknown.tolist()),
            labels=measured.group.labels,
        )

    def _breach(self, place: int, feature: int, kind: int, severity: int) -> Breach:
        key = (place, feature, kind, severity)
        breach = self._breaches.get(key)
        if breach is None:
            assert self._pair is not None  # noqa: S101  (a breach is of a place that drifts)
            ratio = float(self._measured.score("variance_ratio")[place, feature])
            name = kind_name(Kind(kind), ratio, self._pair, self._at[place], feature)
            breach = self._breaches[key] = Breach(
                feature=self._names[feature], family=family_of(name), severity=SEVERITIES[severity],
                closer=partial(Shown, kind=name, evidence=_NO_EVIDENCE),
            )  # fmt: skip
        return breach


def _some(look: Look, at: Rows) -> Look:
    return Look(score=look.score[at], effect=look.effect[at])


def _gathered(gathered: Gathered, at: Rows) -> Gathered:
    """Return the evidence of some rows, without what is remembered."""
    return Gathered(state=gathered.state, level=gathered.level[at], effect=gathered.effect[at])
