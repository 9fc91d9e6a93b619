"""A panel of policies with fixed limits: scores are looked at once for all of them.

Most windows reach nobody's limits, which their highest scores show. The others are judged for each set of limits, and
a policy is told only of what it has not seen already: an alert that goes on as it was would not change.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert, Evidence
from streams.backtest.limits_weighing import Doubles, Flags, Limits, Scored, Seen, hold_against_all
from streams.backtest.shared_books import SharedBooks
from streams.backtest.weighing import News
from streams.drift.alerts import AlertBook
from streams.drift.growing import GrowingArray
from streams.drift.judge import need_of
from streams.drift.kinds import family_of
from streams.drift.measured import Measured
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.policy import Limit, Rules
from streams.drift.scores import Floats
from streams.drift.verdicts import SEVERITIES
from streams.drift.windows import Rows

__all__ = ["LimitsPanel"]

_NO_EVIDENCE = Evidence(scores={}, samples=0, reference="", horizon_ms=0)


class _Axis(NamedTuple):
    """A score, and which way it is grave."""

    name: str
    below: bool
    either_way: str

    def turned(self, measured: Measured) -> Floats:
        """Return the score such that the higher one is the graver."""
        score = measured.score(self.name)
        if self.below:
            return -score
        if self.either_way == "ratio":
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio: Floats = np.maximum(score, 1 / score)
                return ratio
        return np.abs(score) if self.either_way == "sign" else score


class LimitsPanel:
    """Policies that judge by fixed limits; rows are those of one engine."""

    def __init__(self, policies: Mapping[str, Rules], books: Mapping[str, AlertBook], shape: GridShape) -> None:
        self._names, self._rules = list(policies), list(policies.values())
        self._books = [books[name] for name in self._names]
        self._shared = SharedBooks(self._books, [rules.life for rules in self._rules])
        keys = [(tuple(one.limits.items()), one.alert_from, need_of(one, shape.bins)) for one in self._rules]
        verdicts = list(dict.fromkeys(keys))
        self._limits = [limits for limits, _, _ in verdicts]
        self._names_of = [tuple(name for name, _ in limits) for limits in self._limits]
        # The same, as numbers that are quickly compared.
        self._naming_of = [list(dict.fromkeys(self._names_of)).index(names) for names in self._names_of]
        self._alert_from = np.array([SEVERITIES.index(severity) for _, severity, _ in verdicts])
        self._need = np.array([need for _, _, need in verdicts])
        self._verdict_of = np.array([verdicts.index(key) for key in keys])
        self._axes = list(dict.fromkeys(_axis(*one) for limits in self._limits for one in limits))
        self._bounds: dict[tuple[str, ...], Limits] = {}
        many, features = len(verdicts), shape.features
        self._arrays = {
            "severity": GrowingArray((many, features), np.uint8),
            "place": GrowingArray((many, features), np.uint8),
            "drifts": GrowingArray((many,), np.bool_),
            "open": GrowingArray((len(self._rules),), np.bool_),
            "same_until_ms": GrowingArray((len(self._rules),), np.int64),
        }
        # The life that a row is in.
        self._lives = GrowingArray((), np.int64)

    def judge(self, measured: Measured, told: dict[str, list[DriftAlert]]) -> None:
        """Judge windows of the first horizon, and add the alerts that changed to each policy's."""
        rows = int(measured.rows.max(initial=-1)) + 1
        for array in (self._lives, *self._arrays.values()):
            array.reserve(rows)
        seen = Seen(*(self._arrays[name].rows for name in Seen._fields))
        self._begin_anew(measured, seen)
        turned = [axis.turned(measured) for axis in self._axes]
        limits = self._bounded(tuple(one.dtype.str for one in turned))
        score = np.stack(turned).astype(np.float64)
        scored = Scored(score, np.fmax.reduce(score, axis=2), measured.samples.astype(np.int64))
        most = len(measured) * len(self._names)
        news = News(np.empty(most, np.int64), np.empty(most, np.int64))
        many = hold_against_all(measured.rows, measured.end_ms, scored, limits, seen, news)
        changes = np.flatnonzero(np.diff(news.entry[:many])) + 1
        for policies in np.split(np.arange(many), changes) if many else ():
            self._tell(measured, int(news.entry[policies[0]]), news.policy[policies], scored, limits, seen, told)

    def _tell(
        self, measured: Measured, entry: int, policies: Rows, scored: Scored, limits: Limits, seen: Seen,
        told: dict[str, list[DriftAlert]],
    ) -> None:  # fmt: skip
        """Tell policies of one window: those that see the same in it, and hold the same, all at once."""
        row, totals = int(measured.rows[entry]), measured.totals
        shows = np.concatenate([seen.severity[row], seen.place[row]], axis=1)
        packed, width = shows.tobytes(), shows.shape[1]
        few = bool(np.any(totals.samples[entry] - totals.missing[entry] < self._need.max()))
        self._shared.turn_to(measured.device_id[entry])
        found = []
        for policy, verdict in zip(policies.tolist(), self._verdict_of[policies].tolist(), strict=True):
            # Where samples are few, each knows for itself what it has enough of.
            shown = (packed[verdict * width : (verdict + 1) * width], self._naming_of[verdict], verdict if few else -1)
            one = self._shared.known(policy, shown)
            if one is None:
                unknown = _unknown(measured, entry, verdict, scored, limits)
                one = self._shared.observe(policy, shown, self._observation(measured, entry, verdict, seen, unknown))
            found.append(one)
            if one.alerts:
                told[self._names[policy]] += one.alerts
        seen.open[row, policies] = [one.live is not None for one in found]
        seen.same_until_ms[row, policies] = [one.same_until_ms for one in found]

    def _observation(self, measured: Measured, entry: int, verdict: int, seen: Seen, unknown: Flags) -> Observation:
        against, row = measured.group.against, measured.rows[entry]
        severity, place = seen.severity[row, verdict], seen.place[row, verdict]
        names = self._names_of[verdict]
        return Observation(
            subject=measured.device_id[entry],
            model_id=against.model_id,
            at_ms=int(measured.end_ms[entry]),
            breaches=tuple(
                _breach(against.features[feature], names[place[feature]], int(severity[feature]))
                for feature in np.flatnonzero(severity).tolist()
            ),
            unknown=frozenset(against.features[feature] for feature in np.flatnonzero(unknown).tolist()),
            labels=measured.group.labels,
        )

    def _begin_anew(self, measured: Measured, seen: Seen) -> None:
        lives, rows = self._lives.rows, measured.rows
        for entry in np.flatnonzero(lives[rows] != measured.life).tolist():
            row = rows[entry]
            for values in seen:
                values[row] = 0
            # The row may be another device's now; its alerts, if it had any, are found by its name.
            seen.open[row] = [measured.device_id[entry] in book for book in self._books]
        lives[rows] = measured.life

    def _bounded(self, kinds: tuple[str, ...]) -> Limits:
        """Return the limits, in the precision in which NumPy compares scores with them."""
        if kinds not in self._bounds:
            self._bounds[kinds] = self._laid_out(kinds)
        return self._bounds[kinds]

    def _laid_out(self, kinds: tuple[str, ...]) -> Limits:
        verdicts, places = len(self._limits), max(map(len, self._limits))
        axis = np.full((verdicts, places), -1)
        family = np.zeros((verdicts, places), np.int64)
        bars = np.full((verdicts, places, len(SEVERITIES) - 1), np.nan)
        families = list(dict.fromkeys(family_of(name) for limits in self._limits for name, _ in limits))
        for verdict, limits in enumerate(self._limits):
            for place, (name, limit) in enumerate(limits):
                axis[verdict, place] = self._axes.index(_axis(name, limit))
                family[verdict, place] = families.index(family_of(name))
                bars[verdict, place] = _bars(limit, kinds[axis[verdict, place]])
        grave = np.arange(1, bars.shape[2] + 1) >= self._alert_from[:, np.newaxis, np.newaxis]
        alert_bar = np.fmin.reduce(np.where(grave, bars, np.nan), axis=2)
        return Limits(axis, bars, alert_bar, family, self._alert_from, self._need, self._verdict_of)


def _axis(name: str, limit: Limit) -> _Axis:
    return _Axis(name, limit.below, "" if limit.below else limit.either_way)


def _bars(limit: Limit, kind: str) -> Doubles:
    values = [np.nan if one is None else -one if limit.below else one for one in
              (limit.low, limit.medium, limit.high, limit.critical)]  # fmt: skip
    return np.array(values).astype(kind).astype(np.float64)


def _breach(feature: str, name: str, severity: int) -> Breach:
    return Breach(
        feature=feature, family=family_of(name), severity=SEVERITIES[severity],
        closer=lambda: Shown(kind=name, evidence=_NO_EVIDENCE),
    )  # fmt: skip


def _unknown(measured: Measured, entry: int, verdict: int, scored: Scored, limits: Limits) -> Flags:
    """Return the features that have too few samples, as far as no limit is reached by them all the same."""
    totals, need = measured.totals, limits.need[verdict]
    few: Flags = (totals.samples[entry] - totals.missing[entry]) < need
    if not few.any() or totals.samples[entry] < need:
        return few
    known = limits.axis[verdict] >= 0
    lowest = np.fmin.reduce(limits.bars[verdict, known], axis=1)[:, np.newaxis]
    reached = scored.score[limits.axis[verdict, known], entry] >= lowest
    unknown: Flags = few & ~reached.any(axis=0)
    return unknown
